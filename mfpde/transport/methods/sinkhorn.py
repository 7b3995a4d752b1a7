"""Entropic transport, debiased."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mfpde import checks
from mfpde.transport.methods.base import Floats, Method, Potentials, Slice, SliceResult


@checks.typed
@dataclass(frozen=True)
class Sinkhorn(Method):
    """Sinkhorn divergence S_ε = OT_ε(μ,ν) − ½ OT_ε(μ,μ) − ½ OT_ε(ν,ν), a biased estimate of W₂².

    OT_ε = min ⟨P, C⟩ + ε KL(P | a⊗b), ε = ``regularization`` times the mean cost;
    iterated until the potentials move by less than ``tolerance``·ε on average. S_ε → W₂² as
    ε → 0 and S_ε = 0 only for μ = ν; at finite ε its error has no sign that can be relied on.
    Source: Feydy et al. 2019, Theorem 1.
    """

    regularization: float = 0.05
    tolerance: float = 1e-5
    iterations: int = 10_000
    name: ClassVar[str] = "sinkhorn"
    kind: ClassVar[str] = "biased estimate"

    def __post_init__(self) -> None:
        checks.positive("regularization", self.regularization)
        checks.positive("tolerance", self.tolerance)
        checks.count("iterations", self.iterations)

    def solve(self, pair: Slice, start: Potentials | None = None) -> SliceResult:
        """Solve one slice; `start` is not used."""
        from scipy.spatial.distance import cdist

        cost = cdist(pair.x, pair.y, "sqeuclidean")
        epsilon = self.regularization * float(pair.a @ cost @ pair.b)
        if epsilon == 0.0:  # both laws are the same Dirac
            return SliceResult(0.0)
        cross = self._entropic(pair.a, pair.b, cost, epsilon)
        own = [
            self._entropic(w, w, cdist(z, z, "sqeuclidean"), epsilon)
            for z, w in ((pair.x, pair.a), (pair.y, pair.b))
        ]
        return SliceResult(max(cross - 0.5 * sum(own), 0.0))

    def _entropic(self, a: Floats, b: Floats, cost: Floats, epsilon: float) -> float:
        """OT_ε = ⟨a, f⟩ + ⟨b, g⟩ at the optimal potentials, iterated in the log domain."""
        keep_a, keep_b = a > 0.0, b > 0.0
        a, b, c = a[keep_a], b[keep_b], cost[np.ix_(keep_a, keep_b)] / epsilon
        log_a, log_b = np.log(a)[:, None], np.log(b)
        f, g = np.zeros(len(a)), np.zeros(len(b))
        for _ in range(self.iterations):
            old, f = f, -_log_sum_exp(g + log_b - c, axis=1)
            if float(a @ np.abs(f - old)) < self.tolerance:
                return epsilon * float(a @ f + b @ g)
            g = -_log_sum_exp(f[:, None] + log_a - c, axis=0)
        raise RuntimeError(
            f"Sinkhorn did not settle to {self.tolerance:.1e} in {self.iterations} iterations: "
            "raise `regularization`, `tolerance` or `iterations`"
        )


def _log_sum_exp(z: Floats, axis: int) -> Floats:
    top = z.max(axis=axis, keepdims=True)
    total: Floats = np.log(np.exp(z - top).sum(axis=axis)) + top.squeeze(axis)
    return total
