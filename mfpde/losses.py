"""Losses ℓ(z, y) of one datum and their registry: value, gradient, Hessian and torch's form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks

Array = NDArray[np.float64]


class TorchForm(NamedTuple):
    """ℓ and ∂ℓ/∂z on tensors z, y (..., k): (...,) and (..., k)."""

    value: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], Any]


class Loss(ABC):
    """A loss; rows are data: outputs z (N, k) and targets y (N, k).

    Subclass it, set ``name``, write ``value``, ``gradient`` and ``hessian``, and hand one to
    ``mfpde.losses.register``. Parameters are those of a frozen dataclass (see ``Huber``). The
    Hessian may have negative eigenvalues: implicit schemes take those directions explicitly.
    """

    name: str

    @abstractmethod
    def value(self, z: Array, y: Array) -> Array:
        """ℓ(z_i, y_i), shape (N,)."""

    @abstractmethod
    def gradient(self, z: Array, y: Array) -> Array:
        """∂ℓ/∂z, shape (N, k)."""

    @abstractmethod
    def hessian(self, z: Array, y: Array) -> Array | None:
        """∂²ℓ/∂z², shape (N, k, k); None stands for the identity."""

    def target_gradient(self, z: Array, y: Array) -> Array:
        """∂ℓ/∂y, shape (N, k), the targets free of constraints; by default differences."""
        units = np.eye(y.shape[1])
        columns = [_differences(lambda y: self.value(z, y)[:, None], y, unit) for unit in units]
        return np.concatenate(columns, axis=1)

    def target_push(self, z: Array, y: Array, v: Array) -> Array:
        """Σ_a v_ia ∂²ℓ/∂z_a∂y_b for v (..., N, k), like v; by default differences."""
        units = np.eye(y.shape[1])
        mixed = [_differences(lambda y: self.gradient(z, y), y, unit) for unit in units]
        return np.einsum("...na,bna->...nb", v, np.stack(mixed))

    def correct(self, z: Array, y: Array) -> NDArray[np.bool_] | None:
        """Whether each datum is put into its class, (N,); None for losses that know no classes."""
        return None

    def torch_value(self, torch: Any) -> Callable[[Any, Any], Any] | None:
        """ℓ on tensors z, y (..., k), shape (...,); None: torch's engines refuse the loss."""
        return None

    def torch_form(self, torch: Any) -> TorchForm:
        """The same with its gradient, by default torch's own."""
        value = self.torch_value(torch)
        if value is None:
            raise ValueError(f"loss {self.name!r} has no torch form; use backend='particles'")
        return TorchForm(value, lambda z, y: _autograd(torch, value, z, y))

    @property
    def in_torch(self) -> bool:
        """Whether the loss has a torch form."""
        kind = type(self)
        return kind.torch_value is not Loss.torch_value or kind.torch_form is not Loss.torch_form

    def targets(self, y: NDArray[Any], classes: int | None, most: int) -> Array:
        """Targets (N, k) from what a user gave; ``classes`` is k where it is known already.

        ``most`` is the largest k that the problem's readout allows. Raises ValueError.
        """
        return checks.array("y", y[:, None] if y.ndim == 1 else y, ("N", "k"))


def _differences(f: Callable[[Array], Array], y: Array, unit: Array, h: float = 1e-3) -> Array:
    """The derivative of f along ``unit``, central and of order 4."""
    near, far = ((f(y + e * unit) - f(y - e * unit)) / (2 * e) for e in (h, 2 * h))
    return (4.0 * near - far) / 3.0


def _autograd(torch: Any, value: Callable[[Any, Any], Any], z: Any, y: Any) -> Any:
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        return torch.autograd.grad(value(leaf, y).sum(), leaf)[0]


def apply(matrices: Array | None, v: Array) -> Array:
    """A_i v_i for matrices (N, k, k), one per datum, and v (N, k); None is the identity."""
    return v if matrices is None else np.einsum("nab,nb->na", matrices, v)


def convex_part(hessian: Array) -> tuple[Array, Array]:
    """H without its negative eigenvalues, and S with SS = H, both (N, k, k) and symmetric."""
    values, vectors = np.linalg.eigh(hessian)
    kept = np.maximum(values, 0.0)
    root = (vectors * np.sqrt(kept)[:, None, :]) @ vectors.transpose(0, 2, 1)
    if np.all(values >= -1e-12 * np.abs(values).max(initial=0.0)):  # but for rounding
        return hessian, root
    return (vectors * kept[:, None, :]) @ vectors.transpose(0, 2, 1), root


# -- the package's own ------------------------------------------------------------------------


class Squared(Loss):
    """ℓ(z, y) = ½|z − y|²."""

    name = "squared"

    def __repr__(self) -> str:
        return f"loss {self.name!r}"

    def value(self, z: Array, y: Array) -> Array:
        return 0.5 * np.square(z - y).sum(axis=1)

    def gradient(self, z: Array, y: Array) -> Array:
        return z - y

    def hessian(self, z: Array, y: Array) -> None:
        return None

    def target_gradient(self, z: Array, y: Array) -> Array:
        return y - z

    def target_push(self, z: Array, y: Array, v: Array) -> Array:
        return -v

    def torch_form(self, torch: Any) -> TorchForm:
        return TorchForm(lambda z, y: 0.5 * (z - y).square().sum(-1), lambda z, y: z - y)


class CrossEntropy(Loss):
    """ℓ(z, y) = log Σ_c e^{z_c} − ⟨y, z⟩ for y on the simplex (one-hot for class labels)."""

    name = "cross_entropy"

    def __repr__(self) -> str:
        return f"loss {self.name!r}"

    def value(self, z: Array, y: Array) -> Array:
        top = z.max(axis=1)
        return top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - (y * z).sum(axis=1)

    def gradient(self, z: Array, y: Array) -> Array:
        return self._softmax(z) - y

    def hessian(self, z: Array, y: Array) -> Array:
        p = self._softmax(z)
        diagonal: Array = p[:, :, None] * np.eye(p.shape[1])
        return diagonal - p[:, :, None] * p[:, None, :]

    def target_gradient(self, z: Array, y: Array) -> Array:
        return -z

    def target_push(self, z: Array, y: Array, v: Array) -> Array:
        return -v

    def correct(self, z: Array, y: Array) -> NDArray[np.bool_]:
        return np.asarray(z.argmax(axis=1) == y.argmax(axis=1))

    def torch_form(self, torch: Any) -> TorchForm:
        return TorchForm(
            lambda z, y: torch.logsumexp(z, -1) - (z * y).sum(-1),
            lambda z, y: torch.softmax(z, -1) - y,
        )

    def targets(self, y: NDArray[Any], classes: int | None, most: int) -> Array:
        if y.ndim == 1:
            return _one_hot(y, classes, most)
        out = checks.array("y", y, ("N", "k"))
        if np.any(out < 0) or np.abs(out.sum(axis=1) - 1.0).max(initial=0.0) > 1e-8:
            one = "; labels in one column are y[:, 0]" if out.shape[1] == 1 else ""
            raise ValueError(
                "y must hold class labels, or rows >= 0 with sum 1, under loss='cross_entropy'"
                + one
            )
        if out.shape[1] < 2:
            raise ValueError("y must name two classes or more under loss='cross_entropy'; given 1")
        return out

    @staticmethod
    def _softmax(z: Array) -> Array:
        e: Array = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


def _one_hot(y: NDArray[Any], classes: int | None, most: int) -> Array:
    """Labels 0 … k − 1 (or False and True), each of which occurs unless k is known, as rows."""
    if y.dtype.kind not in "iub":
        raise ValueError(
            f"y must hold whole numbers as class labels; given {y.dtype}: use y.astype(int)"
        )
    found = np.unique(y.astype(np.int64))
    if found.size and found[0] < 0:
        raise ValueError(f"y must hold class labels >= 0; the smallest is {found[0]}")
    k = classes or (2 if y.dtype.kind == "b" else int(found.max(initial=0)) + 1)
    if found.max(initial=0) >= k:
        raise ValueError(f"y must hold class labels below {k}; the largest is {found[-1]}")
    if classes is None and y.dtype.kind != "b" and found.size < k:
        raise ValueError(
            f"y must use every class label from 0 to {k - 1}; it holds {_few(found)}. Number the "
            "classes 0, 1, 2, …, or hand over one-hot rows (N, k)"
        )
    if not 2 <= k <= most:
        raise ValueError(
            f"y names {k} classes; a problem has two or more, and this readout at most {most}"
        )
    out = np.zeros((len(y), k))
    out[np.arange(len(y)), y.astype(np.int64)] = 1.0
    return out


def _few(labels: NDArray[np.int64]) -> str:
    shown = ", ".join(map(str, labels[:6]))
    return shown if labels.size <= 6 else f"{shown}, … ({labels.size} in all)"


class Logistic(Loss):
    """ℓ(z, y) = log(1 + e^{−yz}) for one output and labels y ∈ {−1, 1}."""

    name = "logistic"

    def value(self, z: Array, y: Array) -> Array:
        return np.logaddexp(0.0, -y * z).sum(axis=1)

    def gradient(self, z: Array, y: Array) -> Array:
        return -y * self._chance(-y * z)

    def hessian(self, z: Array, y: Array) -> Array:
        p = self._chance(-y * z)
        return (p * (1.0 - p))[:, :, None]

    def target_gradient(self, z: Array, y: Array) -> Array:
        return -z * self._chance(-y * z)

    def target_push(self, z: Array, y: Array, v: Array) -> Array:
        p = self._chance(-y * z)
        return v * (y * z * p * (1.0 - p) - p)

    def correct(self, z: Array, y: Array) -> NDArray[np.bool_]:
        return np.asarray(z[:, 0] * y[:, 0] > 0.0)

    def torch_form(self, torch: Any) -> TorchForm:
        return TorchForm(
            lambda z, y: torch.nn.functional.softplus(-y * z, threshold=40.0).sum(-1),
            lambda z, y: -y * torch.sigmoid(-y * z),
        )

    def targets(self, y: NDArray[Any], classes: int | None, most: int) -> Array:
        out = super().targets(y, classes, most)
        if out.shape[1] != 1 or not np.all(np.abs(out) == 1.0) or y.dtype.kind == "b":
            raise ValueError(
                "y must be one column of −1 and 1 under loss='logistic'; for labels 0 and 1 use "
                "2 * y − 1, for more classes loss='cross_entropy'"
            )
        return out

    @staticmethod
    def _chance(v: Array) -> Array:
        """1/(1 + e^{−v})."""
        e = np.exp(-np.abs(v))
        return np.where(v < 0, e, 1.0) / (1.0 + e)


@dataclass(frozen=True)
class Huber(Loss):
    """ℓ(z, y) = Σ_c h(z_c − y_c): h(r) = r²/2 up to |r| = δ, then δ(|r| − δ/2). Huber 1964.

    The Hessian is that on either side of the kink of h′. Raises ValueError unless δ > 0.
    """

    delta: float = 1.0
    name = "huber"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", checks.positive("Huber delta", self.delta))

    def value(self, z: Array, y: Array) -> Array:
        r = np.abs(z - y)
        near = np.minimum(r, self.delta)
        return (near * (r - 0.5 * near)).sum(axis=1)

    def gradient(self, z: Array, y: Array) -> Array:
        return np.clip(z - y, -self.delta, self.delta)

    def hessian(self, z: Array, y: Array) -> Array:
        inside = (np.abs(z - y) <= self.delta).astype(np.float64)
        return inside[:, :, None] * np.eye(z.shape[1])

    def target_gradient(self, z: Array, y: Array) -> Array:
        return -self.gradient(z, y)

    def target_push(self, z: Array, y: Array, v: Array) -> Array:
        return -v * (np.abs(z - y) <= self.delta)

    def torch_form(self, torch: Any) -> TorchForm:
        huber, delta = torch.nn.functional.huber_loss, self.delta
        return TorchForm(
            lambda z, y: huber(z, y, reduction="none", delta=delta).sum(-1),
            lambda z, y: (z - y).clamp(-delta, delta),
        )


# -- from functions of torch or JAX -----------------------------------------------------------


class FunctionLoss(Loss):
    """A loss of a function ℓ(z, y) of another library: see ``from_torch`` and ``from_jax``."""

    def __init__(self, name: str, f: Any, run: Callable[..., Array], maps: Mapping[str, Any]):
        self.name, self._f, self._run, self._maps = name, f, run, maps

    def value(self, z: Array, y: Array) -> Array:
        return self._run(self._maps["value"], z, y)

    def gradient(self, z: Array, y: Array) -> Array:
        return self._run(self._maps["gradient"], z, y)

    def hessian(self, z: Array, y: Array) -> Array:
        return self._run(self._maps["hessian"], z, y)


class TorchLoss(FunctionLoss):
    """The same, which torch's engines know too."""

    def torch_value(self, torch: Any) -> Callable[[Any, Any], Any]:
        each = torch.func.vmap(self._f)
        return lambda z, y: each(
            z.reshape(-1, z.shape[-1]), y.expand(z.shape).reshape(-1, z.shape[-1])
        ).reshape(z.shape[:-1])


def from_torch(f: Callable[[Any, Any], Any], *, name: str) -> Loss:
    """A loss from ℓ(z, y): (k,), (k,) → () in torch, to hand to ``register``; by ``torch.func``."""
    import torch

    def run(map: Any, z: Array, y: Array) -> Array:
        with torch.no_grad():
            found: Array = map(torch.tensor(z), torch.tensor(np.asarray(y, z.dtype))).numpy()
        return found

    vmap, func = torch.func.vmap, torch.func
    maps = {"value": vmap(f), "gradient": vmap(func.grad(f)), "hessian": vmap(func.hessian(f))}
    return TorchLoss(name, f, run, maps)


def in_double(jax: Any) -> Any:
    """What lets JAX compute in float64 for a while: older versions have it elsewhere."""
    found = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
    return found.enable_x64


def from_jax(f: Callable[[Any, Any], Any], *, name: str) -> Loss:
    """A loss from ℓ(z, y): (k,), (k,) → () in JAX, to hand to ``register``; float64."""
    import jax

    double = in_double(jax)

    def run(map: Any, z: Array, y: Array) -> Array:
        with double(True):
            return np.array(map(z, y))

    parts = {"value": f, "gradient": jax.grad(f), "hessian": jax.hessian(f)}
    return FunctionLoss(name, f, run, {key: jax.jit(jax.vmap(g)) for key, g in parts.items()})


# -- the registry -----------------------------------------------------------------------------

LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (Squared(), CrossEntropy(), Logistic(), Huber())
}


def register(loss: Loss, z: Array | None = None, y: Array | None = None) -> Loss:
    """Make a loss known by its name to ``Problem``, run files and case files; returns it.

    ``z`` and ``y`` (N, k) are outputs and targets on which the gradient and the Hessian are
    compared with central differences, by default random ones with k = 2.

    Raises TypeError for what is no ``Loss``, ValueError for a name that is taken or a wrong
    derivative.
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a mfpde.losses.Loss; given {type(loss).__name__}")
    if LOSSES.get(loss.name, loss) is not loss:
        raise ValueError(f"loss {loss.name!r} is registered already")
    rng = np.random.default_rng(0)
    z = rng.standard_normal((5, 2)) if z is None else checks.array("z", z, ("N", "k"))
    y = rng.standard_normal(z.shape) if y is None else checks.array("y", y, z.shape)
    _check(loss, z, y)
    LOSSES[loss.name] = loss
    return loss


def named(loss: str | Loss | Mapping[str, Any]) -> Loss:
    """The loss of that name, of that spec (see ``spec_of``), or the one given.

    Raises ValueError for a name, or a loss, that is not registered.
    """
    if isinstance(loss, Mapping):
        fields = dict(loss)
        if "name" not in fields:
            raise ValueError(f"loss: a table needs the key 'name', one of {', '.join(LOSSES)}")
        entry = LOSSES[checks.choice("loss", fields.pop("name", None), LOSSES)]
        try:
            return replace(entry, **fields) if fields else entry  # type: ignore[type-var]
        except TypeError as error:
            raise ValueError(f"loss {entry.name!r}: {error}") from None
    if not isinstance(loss, Loss):
        return LOSSES[checks.choice("loss", loss, LOSSES)]
    entry = LOSSES.get(loss.name, loss)
    same = loss is entry or (is_dataclass(loss) and type(loss) is type(entry))
    if loss.name not in LOSSES or not same:
        raise ValueError(f"loss {loss.name!r} is not registered: mfpde.losses.register(loss)")
    return loss


def spec_of(loss: Loss) -> dict[str, Any]:
    """What a file keeps of a loss, which ``named`` reads."""
    fields: dict[str, Any] = (
        asdict(loss) if is_dataclass(loss) and not isinstance(loss, type) else {}
    )
    return {"name": loss.name, **fields}


def _check(loss: Loss, z: Array, y: Array, h: float = 1e-5) -> None:
    steps = h * np.eye(z.shape[1])
    hessian = loss.hessian(z, y)
    if hessian is None:
        hessian = np.broadcast_to(np.eye(z.shape[1]), (*z.shape, z.shape[1]))
    pairs = {"gradient": loss.gradient(z, y), "hessian": hessian}
    for (name, given), f in zip(pairs.items(), (loss.value, loss.gradient), strict=True):
        columns = [(f(z + step, y) - f(z - step, y)) / (2 * h) for step in steps]
        expected = np.stack(columns, axis=-1)
        if np.shape(given) != expected.shape:
            raise ValueError(
                f"loss {loss.name!r}: {name} must have shape {expected.shape}; "
                f"given {np.shape(given)}"
            )
        error = float(np.abs(given - expected).max())
        if not error <= 1e-6 * (1 + np.abs(expected).max()):
            raise ValueError(
                f"loss {loss.name!r}: {name} is off by {error:.3g} from central differences"
            )
