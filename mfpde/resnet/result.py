"""What training returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.runs.status import Status

Array = NDArray[Any]

REMEDIES = {
    Status.INTERRUPTED: "Interrupted: the last state is kept. With checkpoint=path, continue it "
    "with mfpde.resnet.resume(path).",
    Status.NON_FINITE: "The loss of a network became non-finite; the last finite record is kept. "
    "Use a smaller step.",
    Status.NOT_WRITTEN: "The run file could not be written, and training has ended: the file "
    "holds the last whole checkpoint, this result all of the run.",
}


@dataclass(frozen=True)
class Training:
    """Networks of one shape, S seeds: what was recorded, and the trained parameters.

    ``s`` (n,) recorded training times and ``loss`` (S, n) there; ``outputs`` (S, N, k) and
    ``theta`` (S, L, M, p) at the last one; ``observed`` the observables by name, (S, n, …);
    ``saved_s`` (m,) and ``saved`` (S, m, L, M, p) parameters kept on the way, the first and the
    last always; ``backend`` and ``engine`` say what computed them, ``status`` and ``message`` how
    it ended.
    """

    s: Array
    loss: Array
    outputs: Array
    theta: Array
    seeds: tuple[int, ...]
    backend: str
    engine: str
    status: Status
    observed: dict[str, Array] = field(default_factory=dict)
    saved_s: Array = field(default_factory=lambda: np.zeros(0))
    saved: Array = field(default_factory=lambda: np.zeros((0, 0, 0, 0, 0)))

    @property
    def success(self) -> bool:
        return self.status.success

    @property
    def message(self) -> str:
        """How the run ended; the remedy, where it failed."""
        return REMEDIES.get(self.status, self.status.text)

    @checks.typed
    def measure(self, index: int = 0, s: float | None = None) -> ParticleMeasure:
        """The network of seed ``seeds[index]`` as a measure of Euler depth.

        At the last time, or at the saved time nearest to ``s``.
        """
        theta = self.theta if s is None else self.saved[:, np.abs(self.saved_s - s).argmin()]
        return ParticleMeasure(theta[index], Depth(theta.shape[1], "euler"))

    def __repr__(self) -> str:
        count, layers, width, _ = self.theta.shape
        low, high = self.loss[:, -1].min(), self.loss[:, -1].max()
        return (
            f"Training({self.status.name}: {count} networks of {layers} layers and width {width} "
            f"at s = {self.s[-1]:.6g}, loss {low:.3e} to {high:.3e}, by {self.engine!r})"
        )


def join(parts: Sequence[Training]) -> Training:
    """Networks trained apart, as one result; they end at the earliest end among them."""
    first = parts[0]
    if len(parts) == 1:
        return first
    worst = min(parts, key=lambda part: (part.success, part.s.size))
    n, m = (min(getattr(part, name).size for part in parts) for name in ("s", "saved_s"))
    return Training(
        s=first.s[:n],
        loss=np.concatenate([part.loss[:, :n] for part in parts]),
        outputs=np.concatenate([part.outputs for part in parts]),
        theta=np.concatenate([part.theta for part in parts]),
        seeds=tuple(seed for part in parts for seed in part.seeds),
        backend=first.backend,
        engine=first.engine,
        status=worst.status,
        observed={
            name: np.concatenate([part.observed[name][:, :n] for part in parts])
            for name in first.observed
        },
        saved_s=first.saved_s[:m],
        saved=np.concatenate([part.saved[:, :m] for part in parts]),
    )
