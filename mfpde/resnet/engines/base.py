"""What computes a training step: the loss, the outputs and the gradient of S networks at once."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde.problem import Problem

Array = NDArray[Any]
Rows = NDArray[np.int64]


class Pass(NamedTuple):
    """The data's part of E (S,), outputs (S, n, k), and L·M·∂E/∂θ in the layout of θ.

    An engine may write the next pass over this one: use it before asking for another.
    """

    loss: Any
    outputs: Any
    slope: Any


class Descent(NamedTuple):
    """The same before a step of gradient descent, and θ after it."""

    loss: Any
    outputs: Any
    theta: Any


def weighted_targets(problem: Problem) -> Array:
    """Targets with the weight of each datum behind them, (N, k + 1): they travel together."""
    weights = np.ones(problem.size) if problem.weights is None else problem.weights
    return np.column_stack([problem.y, weights])


class Engine(Protocol):
    """θ lives in the engine's own arrays; penalties and optimisers are not its business.

    Except that an engine may have ``descend(theta, step, rows, out) -> Descent``, which writes
    θ − step·gradient into ``out``: where θ is large, a pass of its own would double the cost.

    ``coordinates`` is the axis of θ that holds the p coordinates: −1 for (S, L, M, p), −2 for
    (S, L, p, M), in which particles are contiguous. ``rows`` (S, n) are the data of each
    network's minibatch; None is all data.
    """

    problem: Problem
    backend: str
    name: str
    coordinates: int

    def load(self, theta: Array) -> Any:
        """θ (S, L, M, p) in the engine's precision, layout and place."""

    def unload(self, theta: Any) -> Array:
        """θ back as (S, L, M, p)."""

    def rates(self, values: Array) -> Any:
        """(p,) as an array that multiplies θ."""

    def numpy(self, value: Any) -> Array:
        """Losses or outputs back to NumPy."""

    def gradient(self, theta: Any, rows: Rows | None = None) -> Pass:
        """Loss, outputs and mean-field gradient on the rows."""

    def evaluate(self, theta: Any, rows: Rows | None = None) -> tuple[Any, Any]:
        """Loss (S,) and outputs (S, n, k) on the rows."""
