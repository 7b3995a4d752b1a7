"""The registry of activations σ: an entry holds its NumPy, compiled and torch forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.kernels import activate as kernel

Array = NDArray[Any]
Map = Callable[[Array], Array]

_INF = float("inf")


class TorchForm(NamedTuple):
    """σ, and (g, kept) ↦ g σ′ in one kernel; ``kept`` is σ where ``from_value``, else z."""

    sigma: Callable[[Any], Any]
    pull: Callable[[Any, Any], Any]
    from_value: bool = False


@dataclass(frozen=True)
class Activation:
    """One activation σ: R → R.

    ``forms`` are σ, σ′ and σ″ as vectorised functions of an array, ``torch`` takes the module
    torch and returns σ on tensors (or a ``TorchForm``); without it torch's engines refuse the
    activation. ``slope`` and ``curvature`` bound |σ′| and |σ″| (``inf`` where σ″ is not a bounded
    function, or the bound is not known), ``bound`` is sup|σ|. ``code`` selects σ inside compiled
    kernels, and then ``forms`` are theirs; an activation without code (−1) runs through NumPy.

        mfpde.activations.register(
            mfpde.activations.Activation(
                "softsign",
                forms=(
                    lambda z: z / (1 + np.abs(z)),
                    lambda z: 1 / (1 + np.abs(z)) ** 2,
                    lambda z: -2 * np.sign(z) / (1 + np.abs(z)) ** 3,
                ),
                torch=lambda torch: torch.nn.functional.softsign,
            )
        )
    """

    name: str
    forms: tuple[Map, Map, Map] | None = None
    torch: Callable[[Any], Any] | None = None
    bound: float = _INF
    slope: float = _INF
    curvature: float = _INF
    code: int = -1

    def __reduce__(self) -> Any:
        """By name where it is registered: forms may be functions without an import path."""
        if ACTIVATIONS.get(self.name) is self:
            return get_activation, (self.name,)
        return super().__reduce_ex__(2)

    @property
    def compiled(self) -> bool:
        """Whether the kernels know σ."""
        return self.code >= 0

    def __call__(self, z: Array) -> Array:
        """σ(z), elementwise, in the precision of ``z``."""
        if not self.compiled:
            return self._form(0, z)
        z = np.ascontiguousarray(z)
        return kernel.values(self.code, z.ravel()).reshape(z.shape)

    def derivative(self, z: Array) -> Array:
        """σ′(z), elementwise, in the precision of ``z`` (for relu, 0 at z = 0)."""
        return self.with_slope(z)[1]

    def second_derivative(self, z: Array) -> Array:
        """σ″(z), elementwise, in the precision of ``z`` (for relu, 0 everywhere)."""
        return self.three(z)[2]

    def with_slope(self, z: Array) -> tuple[Array, Array]:
        """σ(z) and σ′(z)."""
        if not self.compiled:
            return self._form(0, z), self._form(1, z)
        z = np.ascontiguousarray(z)
        s, ds = kernel.values_and_slopes(self.code, z.ravel())
        return s.reshape(z.shape), ds.reshape(z.shape)

    def three(self, z: Array) -> tuple[Array, Array, Array]:
        """σ(z), σ′(z) and σ″(z)."""
        if not self.compiled:
            return self._form(0, z), self._form(1, z), self._form(2, z)
        z = np.ascontiguousarray(z)
        s, ds, dds = (v.reshape(z.shape) for v in kernel.three(self.code, z.ravel()))
        return s, ds, dds

    def torch_form(self, torch: Any) -> TorchForm:
        """σ for torch, and how a cotangent is pulled through it.

        Raises ValueError where torch's σ or its derivative is not that of the entry.
        """
        if self.torch is None:
            raise ValueError(f"activation {self.name!r} has no torch form")
        form = self.torch(torch)
        if isinstance(form, TorchForm):
            return form
        made = TorchForm(form, lambda g, z: _autograd(torch, form, g, z))
        self._compare(torch, made)
        return made

    def _form(self, order: int, z: Array) -> Array:
        assert self.forms is not None
        out = np.asarray(self.forms[order](z))
        return np.broadcast_to(out, z.shape).astype(z.dtype)  # a copy, which callers may change

    def _compare(self, torch: Any, form: TorchForm) -> None:
        z = np.linspace(-4.0, 4.0, 64)
        there = torch.tensor(z)
        pairs = {
            "": (form.sigma(there).numpy(), self(z)),
            "'s derivative": (form.pull(torch.ones_like(there), there).numpy(), self.derivative(z)),
        }
        for what, (given, expected) in pairs.items():
            worst = float(np.abs(given - expected).max())
            if not worst <= 1e-9:
                raise ValueError(
                    f"activation {self.name!r}: torch's form{what} differs from NumPy's by "
                    f"{worst:.3g} on [-4, 4]"
                )


def _autograd(torch: Any, sigma: Callable[[Any], Any], g: Any, z: Any) -> Any:
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        return torch.autograd.grad(sigma(leaf), leaf, g)[0]


# -- the registry -----------------------------------------------------------------------------

ACTIVATIONS: dict[str, Activation] = {}


def register(activation: Activation) -> Activation:
    """Make an activation known by its name, to ``SHL``, run files and case files; returns it.

    Raises ValueError for a name that is taken, forms that are missing, or derivatives and bounds
    that do not fit σ on [−8, 8] (central differences; places where those fail are left out).
    """
    if ACTIVATIONS.get(activation.name, activation) is not activation:
        raise ValueError(f"activation {activation.name!r} is registered already")
    if activation.forms is None:
        raise ValueError(f"activation {activation.name!r} must have forms: σ, σ′ and σ″")
    with np.errstate(all="ignore"):
        _check(activation)
    ACTIVATIONS[activation.name] = activation
    return activation


def get_activation(name: str) -> Activation:
    """The activation of that name; an unknown name is an error that lists them."""
    return ACTIVATIONS[checks.choice("activation", name, ACTIVATIONS)]


def _check(activation: Activation, h: float = 1e-4) -> None:
    z = np.linspace(-8.0, 8.0, 996) + 0.0031  # beside whole numbers, where kinks are
    forms: list[Map] = [activation, activation.derivative, activation.second_derivative]
    for order, letter in ((1, "σ′"), (2, "σ″")):
        f = forms[order - 1]
        fine, coarse = ((f(z + e) - f(z - e)) / (2 * e) for e in (h, 2 * h))
        error = np.abs(forms[order](z) - fine) - 10 * np.abs(fine - coarse)
        if not np.nanmax(error, initial=0.0) <= 1e-6 * (1 + np.nanmax(np.abs(fine))):
            at = int(np.nanargmax(error))
            raise ValueError(
                f"activation {activation.name!r}: {letter} disagrees with central differences at "
                f"z = {z[at]:.4g}: {forms[order](z)[at]:.6g} against {fine[at]:.6g}"
            )
    bounds = (activation.bound, activation.slope, activation.curvature)
    for f, most, name in zip(forms, bounds, ("bound", "slope", "curvature"), strict=True):
        found = np.nanmax(np.abs(f(z)))
        if found > most * (1 + 1e-6):
            raise ValueError(
                f"activation {activation.name!r}: {name} = {most:g} is passed: {found:.6g}"
            )


# -- the package's own ------------------------------------------------------------------------

LINEAR_FROM = 40.0  # where softplus(z) = z to the last bit of float64; torch's own limit is 20


def _softplus(torch: Any) -> TorchForm:
    return TorchForm(
        lambda z: torch.nn.functional.softplus(z, threshold=LINEAR_FROM),
        lambda g, z: torch.ops.aten.softplus_backward(g, z, 1.0, LINEAR_FROM),
    )


def _relu(torch: Any) -> TorchForm:
    pull = torch.ops.aten.threshold_backward
    return TorchForm(torch.relu, lambda g, s: pull(g, s, 0), from_value=True)


# sup|σ′| and sup|σ″| rounded up in the last digit written.
_OWN = (
    Activation(
        "tanh",
        torch=lambda torch: TorchForm(torch.tanh, torch.ops.aten.tanh_backward, from_value=True),
        bound=1.0,
        slope=1.0,
        curvature=0.769801,
        code=kernel.TANH,
    ),
    Activation(
        "sigmoid",
        torch=lambda torch: TorchForm(torch.sigmoid, torch.ops.aten.sigmoid_backward, True),
        bound=1.0,
        slope=0.25,
        curvature=0.0962251,
        code=kernel.SIGMOID,
    ),
    Activation("softplus", torch=_softplus, slope=1.0, curvature=0.25, code=kernel.SOFTPLUS),
    Activation(
        "gelu",
        torch=lambda torch: TorchForm(torch.nn.functional.gelu, torch.ops.aten.gelu_backward),
        slope=1.12905,
        curvature=0.797885,
        code=kernel.GELU,
    ),
    Activation(
        "silu",
        torch=lambda torch: TorchForm(torch.nn.functional.silu, torch.ops.aten.silu_backward),
        slope=1.09985,
        curvature=0.5,
        code=kernel.SILU,
    ),
    Activation("relu", torch=_relu, slope=1.0, code=kernel.RELU),
    Activation(
        "sin",
        torch=lambda torch: TorchForm(torch.sin, lambda g, z: g * torch.cos(z)),
        bound=1.0,
        slope=1.0,
        curvature=1.0,
        code=kernel.SIN,
    ),
)
ACTIVATIONS.update({activation.name: activation for activation in _OWN})
