"""Several kinds of block at every depth, each with particles of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import LARGEST_DIM, Block, TorchField
from mfpde.blocks.registry import from_spec, spec_of

Array = NDArray[Any]


class Populations(Block):
    """Blocks f_1, …, f_K side by side: f(x, (θ_1, …, θ_K)) = Σ_k f_k(x, θ_k).

    The mean field is that of K populations, each with its law: the marginals ρ^k_t of ρ_t carry

        dX/dt = Σ_k ∫ f_k(X, θ_k) ρ^k_t(dθ_k),

    and since V(t, θ) = Σ_k V_k(t, θ_k), θ_k moves by −∇V_k(t, θ_k) alone: how particles of
    different populations are paired changes nothing in outputs, losses, gradients and their flow.
    Pairing does matter to what weighs or compares whole particles: birth and death, and the
    distance between two laws, which is at least the root of the sum of the squares of the
    populations' own.

    A layer of width M has M particles of each kind, or M r_k of kind k with ``particles`` = (r_1,
    …, r_K): one particle of the measure then holds φ_k = θ_k/√r_k for r_k particles of kind k, and
    f = Σ_k (1/r_k) Σ_c f_k(x, √r_k φ_kc). In φ the metric |dφ|², gradients, decay and distances are
    those of the populations' own laws; a law of φ_k is that of θ_k, divided by √r_k.

    ``split(φ)`` gives the populations' θ_k, ``joined`` goes back; ``laws.Product`` joins laws of
    φ. Coordinates are named "k.name", or "k.c.name" where r_k > 1, k, c = 0, 1, ….

    Raises TypeError for a part that is no block, ValueError for none, blocks of different dim, or
    ``particles`` that are not one count >= 1 for each.
    """

    @checks.typed
    def __init__(self, blocks: Sequence[Block], particles: Sequence[int] | None = None) -> None:
        self.blocks = tuple(
            checks.instance(f"blocks[{k}]", block, Block) for k, block in enumerate(blocks)
        )
        dims = {block.dim for block in self.blocks}
        if len(dims) != 1:
            raise ValueError(f"blocks must be one or more of one dim; given dims {sorted(dims)}")
        self.dim = checks.count("blocks' dim", dims.pop(), most=LARGEST_DIM)
        counts = [1] * len(self.blocks) if particles is None else particles
        if len(counts) != len(self.blocks):
            raise ValueError(f"particles must be {len(self.blocks)} counts; given {particles!r}")
        self.particles = tuple(checks.count(f"particles[{k}]", r) for k, r in enumerate(counts))
        kinds = list(zip(self.blocks, self.particles, strict=True))
        self.coordinates = tuple(
            f"{k}.{c}.{name}" if r > 1 else f"{k}.{name}"
            for k, (block, r) in enumerate(kinds)
            for c in range(r)
            for name in block.coordinates
        )
        self._ends = np.cumsum([block.size * r for block, r in kinds])[:-1].tolist()

    def __repr__(self) -> str:
        counts = "" if set(self.particles) == {1} else f", particles={self.particles}"
        return f"Populations([{', '.join(map(repr, self.blocks))}]{counts})"

    def spec(self) -> dict[str, Any] | None:
        inner = [spec_of(block) for block in self.blocks]
        if None in inner:
            return None
        return {"kind": "populations", "blocks": inner, "particles": list(self.particles)}

    @property
    def smooth(self) -> bool:
        return all(block.smooth for block in self.blocks)

    @classmethod
    def from_spec(cls, **fields: Any) -> Self:
        blocks = [from_spec(spec) for spec in fields["blocks"]]
        return cls(blocks, fields.get("particles"))

    def split(self, theta: Array) -> list[Array]:
        """The populations' parameters θ_k (..., M r_k, p_k) of φ (..., M, p)."""
        parts = zip(self._cut(theta), self.blocks, self.particles, strict=True)
        return [_unfolded(part, block.size, r) for part, block, r in parts]

    def joined(self, thetas: Sequence[Array]) -> Array:
        """φ (..., M, p) of the populations' parameters θ_k (..., M r_k, p_k), in their order.

        Raises ValueError where their numbers do not fit together.
        """
        if len(thetas) != len(self.blocks):
            raise ValueError(f"thetas must be {len(self.blocks)} arrays; given {len(thetas)}")
        widths = {np.shape(one)[-2] / r for one, r in zip(thetas, self.particles, strict=True)}
        if len(widths) > 1 or max(widths) % 1:
            raise ValueError(f"thetas must hold M r_k particles of kind k, r = {self.particles}")
        parts = zip(thetas, self.particles, strict=True)
        return np.concatenate([_folded(one, r) / r**0.5 for one, r in parts], axis=-1)

    def torch_form(self) -> Callable[[Any], TorchField] | None:
        forms = [block.torch_form() for block in self.blocks]
        known = [one for one in forms if one is not None]
        if len(known) < len(forms):
            return None
        sizes = [block.size * r for block, r in zip(self.blocks, self.particles, strict=True)]

        def form(torch: Any) -> TorchField:
            fields = [one(torch) for one in known]

            def together(x: Any, theta: Any) -> Any:
                parts = zip(fields, torch.split(theta, sizes, -1), self.particles, strict=True)
                return sum(
                    field(x, _unfolded(part, part.shape[-1] // r, r)) for field, part, r in parts
                )

            return together

        return form

    # -- one particle at a time -----------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return _total(_means(block.value(x, part), r) for block, part, r in self._parts(theta))

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        parts = self._parts(theta)
        return _total(_means(block.pull_state(x, part, q), r) for block, part, r in parts)

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        parts = self._parts(theta)
        return _side_by_side((block.pull_parameter(x, part, q), r) for block, part, r in parts)

    # -- sums -------------------------------------------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return _total(block.field(x, part, _dealt(a, r)) for block, part, r in self._parts(theta))

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        parts = self._parts(theta)
        found = [(*block.backward(x, part, _dealt(a, r), q), r) for block, part, r in parts]
        return _total(one[0] for one in found), _side_by_side(one[1:] for one in found)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        parts = self._parts(theta)
        return _total(_means(block.potential(x, part, q), r, 0) for block, part, r in parts)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        parts = self._parts(theta)
        return _side_by_side((block.gradient(x, part, q), r) for block, part, r in parts)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        parts = zip(self._parts(theta), self.split(dtheta), strict=True)
        return _total(
            block.tangent(x, part, _dealt(a, r), dx, move) for (block, part, r), move in parts
        )

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        parts = zip(self._parts(theta), self.split(dtheta), strict=True)
        return _total(
            block.tangents(x, part, _dealt(a, r), dx, move, da if da is None else _dealt(da, r))
            for (block, part, r), move in parts
        )

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
        pulls, changes, potentials = [], [], []
        for (block, part, r), move in zip(self._parts(theta), self.split(dtheta), strict=True):
            masses = _dealt(a, r), da if da is None else _dealt(da, r)
            pull, change, potential = block.backward_tangents(
                x, part, masses[0], q, dx, move, dq, masses[1]
            )
            pulls.append(pull)
            changes.append((change, r))
            potentials.append(_means(potential, r))
        return _total(pulls), _side_by_side(changes), _total(potentials)

    def sensitivity(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, list[Any]]:
        states, factors = [], []
        for block, part, r in self._parts(theta):
            for copy in range(r):
                own = np.ascontiguousarray(part[copy::r])
                state, factor = block.sensitivity(x, own, a / r, q)
                states.append(state)
                factors.append(factor)
        return _total(states), factors

    def gram(self, factors: list[Any], a: Array, scale: float, out: Array) -> None:
        for k, (block, r) in enumerate(self._copies()):
            block.gram([one[k] for one in factors], a, scale / r, out)

    def scaled(self, factor: list[Any], root: Array) -> list[Any]:
        at, found = 0, []
        for one, (block, _) in zip(factor, self._copies(), strict=True):
            found.append(block.scaled(one, root[at : at + block.size]))
            at += block.size
        return found

    def _copies(self) -> list[tuple[Block, int]]:
        """Every block r_k times, and r_k."""
        kinds = zip(self.blocks, self.particles, strict=True)
        return [(block, r) for block, r in kinds for _ in range(r)]

    def _cut(self, theta: Array) -> list[Array]:
        return [np.ascontiguousarray(one) for one in np.split(theta, self._ends, axis=-1)]

    def _parts(self, theta: Array) -> Iterator[tuple[Block, Array, int]]:
        return zip(self.blocks, self.split(theta), self.particles, strict=True)


def _unfolded(part: Any, size: int, count: int) -> Any:
    """θ (..., M r, p_k) of φ (..., M, r p_k); of torch too."""
    if count == 1:
        return part
    return part.reshape(*part.shape[:-2], part.shape[-2] * count, size) * count**0.5


def _folded(rows: Array, count: int) -> Array:
    """(..., M r, p_k) as (..., M, r p_k)."""
    return rows.reshape(*rows.shape[:-2], rows.shape[-2] // count, count * rows.shape[-1])


def _side_by_side(found: Iterable[tuple[Array, int]]) -> Array:
    """Derivatives by all φ_k from those by θ_k: (1/r) √r of them."""
    return np.concatenate([_folded(one, r) / r**0.5 for one, r in found], -1)


def _means(found: Array, count: int, axis: int = 1) -> Array:
    """Over the particles of one kind that one particle of the measure holds."""
    if count == 1:
        return found
    cut = found.reshape(*found.shape[:axis], -1, count, *found.shape[axis + 1 :])
    return cut.mean(axis=axis + 1)


def _dealt(a: Array, count: int) -> Array:
    """Weights (..., M) of the measure as (..., M r)."""
    return a if count == 1 else np.repeat(a, count, axis=-1) / count


def _total(found: Iterable[Array]) -> Array:
    """Their sum, in order."""
    first, *rest = found
    return sum(rest, start=first)
