"""The learning problem: data, block, embedding, readout, loss, confinement and entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.blocks import Block, check_block, is_own
from mfpde.losses import LOSSES, Loss
from mfpde.penalty import Penalty

Array = NDArray[np.float64]


class Problem:
    """Minimise E(ρ) = (1/N) Σ_i ℓ(B X_i(1), y_i) + ∫∫ r(θ) ρ_t(dθ) dt + τ ∫ Ent(ρ_t) dt.

    x (N, d_in) and y (N, k) are the data (y (N,) is one output; integer labels (N,) are taken as
    classes under the cross-entropy loss). X_i solves dX/dt = ∫ f(X, θ) ρ_t(dθ), X(0) = A x_i.

    ``embed``: "pad" (A x = (x, 0), so d >= d_in) or an array A (d, d_in); ``readout``: "first" or
    "last" k coordinates, or an array B (k, d); ``loss``: "squared", ½|z − y|², or "cross_entropy";
    ``weight_decay`` λ >= 0 and ``quartic_decay`` κ >= 0: r(θ) = (λ/2)|θ|² + (κ/4)|θ|⁴;
    ``temperature`` τ >= 0: the weight of Ent(ρ_t) = ∫ ρ_t log ρ_t (noisy training), which only a
    measure with a density has, so that τ > 0 needs a ``GridMeasure``. "Loss" means E without the
    entropy everywhere in the package, "energy" all of it.

    A block that is not the package's own is checked by ``check_block`` on these data.

    Raises ValueError for shapes that do not fit together, non-finite data, unknown names, or a
    block with a wrong derivative.
    Source: Ding et al. 2021 (1)–(3); Barboni et al. 2024 §2.
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        block: Block,
        embed: str | ArrayLike = "pad",
        readout: str | ArrayLike = "first",
        loss: str = "squared",
        weight_decay: float = 0.0,
        quartic_decay: float = 0.0,
        temperature: float = 0.0,
    ) -> None:
        if not isinstance(block, Block):
            raise TypeError(f"block must be a mfpde.Block; given {type(block).__name__}")
        self.block = block
        self.loss: Loss = LOSSES[checks.choice("loss", loss, LOSSES)]
        self.penalty = Penalty(
            checks.positive("weight_decay", weight_decay, zero=True),
            checks.positive("quartic_decay", quartic_decay, zero=True),
        )
        self.temperature = checks.positive("temperature", temperature, zero=True)
        self.x = checks.array("x", x, ("N", "d_in"))
        self.y = _targets(y, len(self.x), self.loss)
        self.embed = _embedding(embed, block.dim, self.x.shape[1])
        self.readout = _readout(readout, self.y.shape[1], block.dim)
        for name in ("x", "y", "embed", "readout"):
            own = getattr(self, name).copy()  # never freeze, or see changes of, the caller's array
            own.flags.writeable = False
            setattr(self, name, own)
        if not is_own(block):
            check_block(block, self.start())

    @property
    def size(self) -> int:
        """N, the number of data."""
        return len(self.x)

    @property
    def outputs(self) -> int:
        """k, the dimension of one output."""
        return int(self.y.shape[1])

    @property
    def weight_decay(self) -> float:
        """λ, the quadratic part of the penalty."""
        return self.penalty.quadratic

    @property
    def regularised(self) -> bool:
        """Whether E holds more than the data's term."""
        return bool(self.penalty) or self.temperature > 0.0

    def refuse_entropy(self) -> None:
        """Raise ValueError for a temperature: particles have no entropy."""
        if self.temperature:
            raise ValueError(
                "temperature must be 0 for particles, which have no entropy; use a GridMeasure, or "
                "mfpde.resnet.train(optimizer='langevin') for noisy training"
            )

    def start(self, x: ArrayLike | None = None) -> Array:
        """Hidden states at depth 0, X_i(0) = A x_i, shape (N, d)."""
        data = self.x if x is None else checks.array("x", x, ("N", self.x.shape[1]))
        return data @ self.embed.T

    def __repr__(self) -> str:
        return (
            f"Problem({self.size} data, R^{self.x.shape[1]} -> R^{self.outputs}, {self.block}, "
            f"loss={self.loss.name!r}{self._terms()})"
        )

    def _terms(self) -> str:
        terms = {
            "weight_decay": self.penalty.quadratic,
            "quartic_decay": self.penalty.quartic,
            "temperature": self.temperature,
        }
        return "".join(f", {name}={value:g}" for name, value in terms.items() if value)


def _targets(y: Any, n: int, loss: Loss) -> Array:
    labels = np.asarray(y)
    if loss.name == "cross_entropy" and labels.ndim == 1 and labels.dtype.kind in "iu":
        if labels.size and labels.min() < 0:
            raise ValueError(f"y must hold class labels >= 0; the smallest is {labels.min()}")
        labels = np.eye(int(labels.max(initial=0)) + 1)[labels]
    if labels.ndim == 1:
        labels = labels[:, None]
    out = checks.array("y", labels, ("N", "k"))
    if len(out) != n:
        raise ValueError(f"y must have as many rows as x, {n}; given {len(out)}")
    if loss.name == "cross_entropy":
        _check_simplex(out)
    return out


def _check_simplex(y: Array) -> None:
    if np.any(y < 0) or np.abs(y.sum(axis=1) - 1.0).max() > 1e-8:
        raise ValueError(
            "y must hold class labels, or rows >= 0 with sum 1, under loss='cross_entropy'"
        )


def _embedding(embed: Any, d: int, d_in: int) -> Array:
    if not isinstance(embed, str):
        return checks.array("embed", embed, (d, d_in))
    checks.choice("embed", embed, ("pad",))
    if d < d_in:
        raise ValueError(f"embed='pad' needs block.dim >= {d_in} (columns of x); given {d}")
    return np.eye(d, d_in)


def _readout(readout: Any, k: int, d: int) -> Array:
    if not isinstance(readout, str):
        return checks.array("readout", readout, (k, d))
    checks.choice("readout", readout, ("first", "last"))
    if d < k:
        raise ValueError(f"readout={readout!r} needs block.dim >= {k} (columns of y); given {d}")
    return np.eye(k, d, k=0 if readout == "first" else d - k)
