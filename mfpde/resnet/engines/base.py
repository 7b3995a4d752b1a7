"""What computes a training step: the loss, the outputs and the gradient of S networks at once."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Pass(NamedTuple):
    """The data's part of E (S,), outputs (S, N, k), and L·M·∂E/∂θ (S, L, M, p)."""

    loss: Any
    outputs: Any
    slope: Any


class Engine(Protocol):
    """θ lives in the engine's own arrays; penalties and optimisers are not its business.

    ``rows`` (S, n) are the data of each network's minibatch; None is all data.
    """

    backend: str
    name: str

    def array(self, value: NDArray[Any]) -> Any:
        """An array of the engine's kind, in its precision."""

    def numpy(self, value: Any) -> NDArray[Any]:
        """Back to NumPy."""

    def gradient(self, theta: Any, rows: Rows | None = None) -> Pass:
        """Loss, outputs and mean-field gradient on the rows."""

    def evaluate(self, theta: Any) -> tuple[Any, Any]:
        """Loss (S,) and outputs (S, N, k) on all data."""
