"""The registry of activations σ: name, code in the kernels, and the constants theory needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.kernels import activate as kernel


@dataclass(frozen=True)
class Activation:
    """One activation σ: R → R.

    ``code`` selects it inside compiled kernels; ``slope`` and ``curvature`` bound |σ′| and |σ″|
    (``inf`` where σ″ is not a bounded function), ``bound`` is sup|σ|.
    """

    name: str
    code: int
    bound: float
    slope: float
    curvature: float

    def __call__(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """σ(z), elementwise, in the precision of ``z``."""
        z = np.ascontiguousarray(z)
        return kernel.values(self.code, z.ravel()).reshape(z.shape)

    def derivative(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """σ′(z), elementwise, in the precision of ``z`` (for relu, 0 at z = 0)."""
        z = np.ascontiguousarray(z)
        return kernel.values_and_slopes(self.code, z.ravel())[1].reshape(z.shape)

    def second_derivative(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """σ″(z), elementwise, in the precision of ``z`` (for relu, 0 everywhere)."""
        z = np.ascontiguousarray(z)
        return kernel.three(self.code, z.ravel())[2].reshape(z.shape)


_INF = float("inf")

# sup|σ′| and sup|σ″| rounded up in the last digit written.
ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("tanh", kernel.TANH, 1.0, 1.0, 0.769801),
        Activation("sigmoid", kernel.SIGMOID, 1.0, 0.25, 0.0962251),
        Activation("softplus", kernel.SOFTPLUS, _INF, 1.0, 0.25),
        Activation("gelu", kernel.GELU, _INF, 1.12905, 0.797885),
        Activation("silu", kernel.SILU, _INF, 1.09985, 0.5),
        Activation("relu", kernel.RELU, _INF, 1.0, _INF),
        Activation("sin", kernel.SIN, 1.0, 1.0, 1.0),
    )
}


def get_activation(name: str) -> Activation:
    """The activation of that name; an unknown name is an error that lists them."""
    return ACTIVATIONS[checks.choice("activation", name, ACTIVATIONS)]
