"""What every flow of this package shares: a problem's terms in time, and a point's loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.runs.clock import Clock

Array = NDArray[Any]


class ProblemFlow:
    """A problem, a clock, and the decay c e^{−s} ∫∫ |θ|² dρ of Ding et al. 2021."""

    def __init__(self, problem: Problem, clock: Clock | None, vanishing_decay: float) -> None:
        self.problem = problem
        self.clock = clock or Clock()
        self.vanishing_decay = vanishing_decay

    @property
    def rows(self) -> int:
        """N·k, the size of the tangent kernel."""
        return self.problem.size * self.problem.outputs

    def confinement(self, s: float) -> Penalty:
        """r(θ) at time s, the vanishing part included."""
        return self.problem.penalty.vanishing(self.vanishing_decay, s)


class ProblemPoint(ABC):
    """The flow at one state and s: what follows from the hidden states at depth 1."""

    flow: Any
    state: Array
    s: float

    @property
    @abstractmethod
    def end(self) -> Array:
        """X_i(1), (N, d)."""

    @abstractmethod
    def mean_penalty(self, penalty: Penalty) -> float:
        """∫∫ r dρ."""

    @cached_property
    def outputs(self) -> Array:
        """B X_i(1) in float64, (N, k)."""
        return self.end @ self.flow.problem.readout.T

    @cached_property
    def loss(self) -> float:
        """E without entropy, the problem's penalty included; NaN or inf where the state is."""
        return self._fit + self._mean(self.flow.problem.penalty)

    @cached_property
    def confined_energy(self) -> float:
        """E with the vanishing decay, without entropy."""
        return self._fit + self._mean(self.flow.confinement(self.s))

    @property
    def energy(self) -> float:
        """What the flow descends at this time."""
        return self.confined_energy

    @cached_property
    def _fit(self) -> float:
        problem = self.flow.problem
        with np.errstate(all="ignore"):
            return float(problem.fit(self.outputs))

    def _mean(self, penalty: Penalty) -> float:
        if not penalty:
            return 0.0
        with np.errstate(all="ignore"):
            return self.mean_penalty(penalty)

    @cached_property
    def slope(self) -> Array:
        """w ∂ℓ/∂z at the outputs, (N, k)."""
        return self.flow.problem.loss_gradient(self.outputs)

    @cached_property
    def hessian(self) -> Array | None:
        """w ∂²ℓ/∂z² at the outputs, (N, k, k), or None for the identity."""
        return self.flow.problem.loss_hessian(self.outputs)

    @property
    def finite(self) -> bool:
        """Whether the run can go on from here."""
        return bool(np.isfinite(self.loss))
