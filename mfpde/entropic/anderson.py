"""Anderson acceleration of the Gibbs map in log ρ, guarded by J.

With iterates x_j = log ρ_j and residuals R_j, the next iterate is

    x + βR − Σ_j γ_j (Δx_j + βΔR_j),   γ minimising |R − Σ_j γ_j ΔR_j| in ⟨·,·⟩ at the present ρ,

which for a linear map is GMRES. A step that raises J is replaced by a damped step βR, β from a line
search on J, and the memory is emptied. Source: Walker, Ni 2011 (type II).
"""

from __future__ import annotations

import numpy as np

from mfpde.entropic import search
from mfpde.entropic.free_energy import Array, Point

CUTOFF = 1e-10  # relative singular values of the Gram matrix below this carry no information


class Anderson:
    """``window`` differences are remembered."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._mixing = 1.0
        self._last: Point | None = None
        self._moves: list[Array] = []
        self._changes: list[Array] = []

    def advance(self, point: Point) -> Point | None:
        self._remember(point)
        if self._changes:
            trial = point.free.at(point.logs + self._mixed(point))
            if search.lowers(trial, point):
                return trial
            self._moves, self._changes = [], []
        found, length = search.along(point, point.residual, min(1.0, 2.0 * self._mixing))
        self._mixing = length or self._mixing
        return found

    def _remember(self, point: Point) -> None:
        if self._last is not None:
            self._moves.append(point.logs - self._last.logs)
            self._changes.append(point.residual - self._last.residual)
            del self._moves[: -self.window], self._changes[: -self.window]
        self._last = point

    def _mixed(self, point: Point) -> Array:
        changes = [point.centred(change) for change in self._changes]
        sizes = np.array([np.sqrt(point.inner(c, c)) for c in changes])
        sizes[sizes == 0.0] = 1.0
        gram = np.array([[point.inner(a, b) for a in changes] for b in changes])
        right = np.array([point.inner(c, point.residual) for c in changes]) / sizes
        scaled = gram / np.multiply.outer(sizes, sizes)
        gamma = np.linalg.lstsq(scaled, right, rcond=CUTOFF)[0] / sizes
        step = self._mixing * point.residual
        for share, move, change in zip(gamma, self._moves, changes, strict=True):
            step -= share * (move + self._mixing * change)
        return step
