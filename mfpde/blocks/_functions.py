"""Blocks from functions of torch or JAX: f(x, θ) for one datum and one particle is all they need.

Every sum is written once with two transforms that both libraries have, ``vmap`` and ``vjp``, and
taken over so many particles at a time as a bound on memory allows.
"""

from __future__ import annotations

import hashlib
import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from inspect import isfunction
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import Block

Array = NDArray[Any]
Map = Callable[..., Any]
Layout = Sequence[tuple[str, tuple[int, ...]]]

MEMORY = 1 << 24  # bytes of f's values at a time: more would leave the caches
PROBE = 1e-6  # relative: how far a function may be from the one whose values a file keeps


class FunctionBlock(Block):
    """A block whose formula is a function f(x, θ): (d,), (p,) → (d,) of another library.

    Made by ``from_torch`` and ``from_jax``. ``layout`` names the parts of θ and their shapes.
    """

    kind: ClassVar[str]

    def __init__(
        self, f: Any, dim: int, layout: Layout, origin: str | None, memory: int = MEMORY
    ) -> None:
        self.dim = checks.count("dim", dim)
        self.layout = tuple((name, tuple(map(int, shape))) for name, shape in layout)
        self.coordinates = tuple(name for part in self.layout for name in _names(*part))
        self.origin, self.memory = origin, checks.count("memory", memory)
        self.function = f
        self._inner = getattr(self, "_inner", self.dim)  # numbers of one f(x, θ) that a sum holds
        value = self.value(np.zeros((1, self.dim)), np.zeros((1, self.size)))
        if value.shape != (1, 1, self.dim):
            raise ValueError(
                f"f must map x ({self.dim},) and θ ({self.size},) to ({self.dim},); it returned "
                f"shape {value.shape[2:]}"
            )

    def __repr__(self) -> str:
        where = self.origin or getattr(self.function, "__name__", type(self.function).__name__)
        return f"{type(self).__name__}({where}, dim={self.dim}, size={self.size})"

    @abstractmethod
    def _run(self, name: str, *arrays: Array | None) -> Any:
        """One of ``transforms`` on NumPy arrays, by the library."""

    # -- files ------------------------------------------------------------------------------------

    def spec(self) -> dict[str, Any] | None:
        """Import path, a checksum of θ's layout, and values at fixed points; None without path."""
        if self.origin is None:
            return None
        return {
            "kind": self.kind,
            "origin": self.origin,
            "dim": self.dim,
            "size": self.size,
            "layout": self._checksum(),
            "probe": self._probe().tolist(),
        }

    @classmethod
    @abstractmethod
    def build(cls, f: Any, dim: int, size: int, origin: str) -> Self:
        """The block of a function found again by its import path."""

    @classmethod
    def from_spec(cls, **fields: Any) -> Self:
        """The block of a run file, or of a case file, which need not name layout and probe.

        Raises ValueError where the function's module is not imported, or the function is not the
        one that the file was written with.
        """
        block = cls.build(find(fields["origin"]), fields["dim"], fields["size"], fields["origin"])
        if fields.get("layout", block._checksum()) != block._checksum():
            raise ValueError(f"block: the parameters of {fields['origin']} have another layout now")
        probe = block._probe()
        stored = np.array(fields.get("probe", probe))
        if not np.abs(probe - stored).max() <= PROBE * (1.0 + np.abs(stored).max()):
            raise ValueError(f"block: {fields['origin']} computes something else now")
        return block

    def _checksum(self) -> str:
        return hashlib.sha256(json.dumps([self.dim, self.layout]).encode()).hexdigest()[:16]

    def _probe(self) -> Array:
        rng = np.random.default_rng(0)
        x, theta = rng.standard_normal((2, self.dim)), rng.standard_normal((2, self.size))
        found: Array = self.value(x, theta).ravel()[:16]
        return found

    # -- what a user of a block calls -------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return self._gather("value", x, theta, axis=1)

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        return self._gather("pull_state", x, theta, q, axis=1)

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        return self._gather("pull_parameter", x, theta, q, axis=1)

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        parts = self._parts(x, theta)
        return _total(self._run("field", x, theta[part], a[part]) for part in parts)

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        least = float(np.sqrt(np.finfo(theta.dtype).tiny))
        if not a.min() > least:  # θ's cotangent is divided by a
            pulls = (
                self._run("state", x, theta[part], a[part], q) for part in self._parts(x, theta)
            )
            return _total(pulls), self.gradient(x, theta, q)
        found = [self._run("backward", x, theta[p], a[p], q) for p in self._parts(x, theta)]
        states, changes = zip(*found, strict=True)
        return _total(states), np.concatenate(changes)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        return self._gather("potential", x, theta, q, axis=0)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        return self._gather("gradient", x, theta, q, axis=0)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        parts = self._parts(x, theta)
        return _total(self._run("tangent", x, theta[p], a[p], dx, dtheta[p]) for p in parts)

    def backward_tangents(
        self,
        x: Array,
        theta: Array,
        a: Array,
        q: Array,
        dx: Array,
        dtheta: Array,
        dq: Array,
        da: Array | None,
    ) -> tuple[Array, Array, Array]:
        masses = np.zeros((len(dx), len(a)), a.dtype) if da is None else da
        found = []
        for moves in zip(dx, dtheta, dq, masses, strict=True):
            parts = [
                self._run(
                    "bend", x, theta[p], a[p], q, moves[0], moves[1][p], moves[2], moves[3][p]
                )
                for p in self._parts(x, theta)
            ]
            states, changes, potentials = zip(*parts, strict=True)
            found.append((_total(states), np.concatenate(changes), np.concatenate(potentials)))
        pulls, gradients, values = zip(*found, strict=True)
        return np.stack(pulls), np.stack(gradients), np.stack(values)

    def _gather(self, name: str, x: Array, theta: Array, *more: Array, axis: int) -> Array:
        parts = [self._run(name, x, theta[part], *more) for part in self._parts(x, theta)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)

    def _parts(self, x: Array, theta: Array) -> Iterator[slice]:
        each = len(x) * self._inner * theta.itemsize
        step = max(1, self.memory // max(each, 1))
        return (slice(at, at + step) for at in range(0, len(theta), step))


def _total(parts: Any) -> Array:
    total: Array = reduce(np.add, parts)
    return total


def _names(name: str, shape: tuple[int, ...]) -> list[str]:
    if not shape:
        return [name]
    return [f"{name}{','.join(map(str, index))}" for index in np.ndindex(*shape)]


# -- one formula, all its sums ----------------------------------------------------------------


def transforms(
    f: Map, vmap: Any, vjp: Any, einsum: Any, factors: tuple[Map, Map] | None = None
) -> dict[str, Map]:
    """The sums of a block for x (N, d), θ (M, p), by a library's transforms.

    ``factors`` are A and s with f = A(θ) s(x, θ), (d, h) and (h,): see ``_torch_factors``.
    """

    def each(f: Map) -> Map:
        return vmap(vmap(f, (None, 0)), (0, None))

    if factors is None:
        value = each(f)

        def field(x: Any, theta: Any, a: Any) -> Any:
            return einsum("nmd,m->nd", value(x, theta), a)

        def potential(x: Any, theta: Any, q: Any) -> Any:
            return einsum("nmd,nd->m", value(x, theta), q)

    else:
        head, features = vmap(factors[0]), each(factors[1])

        def value(x: Any, theta: Any) -> Any:
            return einsum("nmh,mdh->nmd", features(x, theta), head(theta))

        def field(x: Any, theta: Any, a: Any) -> Any:
            return einsum("nmh,mdh->nd", features(x, theta), head(theta) * a[:, None, None])

        def potential(x: Any, theta: Any, q: Any) -> Any:
            return (einsum("nd,mdh->nmh", q, head(theta)) * features(x, theta)).sum((0, 2))

    def one_state(x: Any, theta: Any, q: Any) -> Any:
        return vjp(lambda x: f(x, theta), x)[1](q)[0]

    def one_parameter(x: Any, theta: Any, q: Any) -> Any:
        return vjp(lambda theta: f(x, theta), theta)[1](q)[0]

    def pairs(one: Any) -> Any:
        return vmap(vmap(one, (None, 0, None)), (0, None, 0))

    def state(x: Any, theta: Any, a: Any, q: Any) -> Any:
        return vjp(lambda x: field(x, theta, a), x)[1](q)[0]

    def gradient(x: Any, theta: Any, q: Any) -> Any:
        return vjp(lambda theta: potential(x, theta, q).sum(), theta)[1](q.sum() * 0 + 1)[0]

    def backward(x: Any, theta: Any, a: Any, q: Any) -> Any:
        by_x, by_theta = vjp(lambda x, theta: field(x, theta, a), x, theta)[1](q)
        return by_x, by_theta / a[:, None]

    # Second derivatives are pulls of pulls: libraries push wrongly, or not at all, through some of
    # their pulls (torch through those of a layer norm and of SiLU).
    def along(x: Any, theta: Any, a: Any, q: Any, *moves: Any) -> Any:
        """⟨q, F⟩ differentiated along (dx, dθ, da, dq), those that there are; linear in q and a."""

        def paired(x: Any, theta: Any, a: Any, q: Any) -> Any:
            return (q * field(x, theta, a)).sum()

        pulls = vjp(paired, x, theta, a, q)[1](q.sum() * 0 + 1)
        terms = [(g * d).sum() for g, d in zip(pulls, moves, strict=True) if d is not None]
        return sum(terms[1:], start=terms[0])

    def by(f: Map, *at: Any) -> Any:
        return vjp(f, *at)[1](at[0].sum() * 0 + 1)

    def tangent(x: Any, theta: Any, a: Any, dx: Any, dtheta: Any) -> Any:
        return by(lambda q: along(x, theta, a, q, dx, dtheta, None, None), 0 * x)[0]

    def bend(
        x: Any, theta: Any, a: Any, q: Any, dx: Any, dtheta: Any, dq: Any, da: Any
    ) -> tuple[Any, Any, Any]:
        ones = 0 * a + 1
        by_x = by(lambda x: along(x, theta, a, q, dx, dtheta, da, dq), x)[0]
        by_theta = by(lambda theta: along(x, theta, ones, q, dx, dtheta, None, dq), theta)[0]
        return by_x, by_theta, by(lambda a: along(x, theta, a, q, dx, None, None, dq), ones)[0]

    return {
        "value": value,
        "pull_state": pairs(one_state),
        "pull_parameter": pairs(one_parameter),
        "field": field,
        "state": state,
        "backward": backward,
        "potential": potential,
        "gradient": gradient,
        "tangent": tangent,
        "bend": bend,
    }


# -- import paths -----------------------------------------------------------------------------


def origin_of(f: Any) -> str | None:
    """The path "module:name" by which a function can be found again, else None."""
    module, name = getattr(f, "__module__", None), getattr(f, "__qualname__", "<")
    if not isfunction(f) or module in (None, "__main__") or "<" in name:
        return None
    return f"{module}:{name}"


def find(origin: str) -> Any:
    """What an import path names, in a module that is imported already: files run no code.

    Raises ValueError otherwise.
    """
    module, _, name = origin.partition(":")
    source: Any = sys.modules.get(module)
    if source is None:
        raise ValueError(
            f"block: {origin} is not imported: import {module} first (from the shell by --import "
            f"{module}, in a case file by import = {module!r}), or hand the block over as block=..."
        )
    found = source
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isfunction(found) or hasattr(found, "parameters")):
        raise ValueError(f"block: {origin} is no function or module of parameters")
    return found
