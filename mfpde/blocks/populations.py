"""Several kinds of block at every depth, each with particles of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    A layer of width M has M particles of each kind. Pairing does matter to what weighs or compares
    whole particles: birth and death, and the distance between two laws, which is at least the root
    of the sum of the squares of the populations' own.

    ``split(θ)`` gives the populations' θ_k; ``laws.Product`` joins their laws. Coordinates are
    named "k.name", k = 0, 1, ….

    Raises TypeError for a part that is no block, ValueError for none, or blocks of different dim.
    """

    @checks.typed
    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = tuple(
            checks.instance(f"blocks[{k}]", block, Block) for k, block in enumerate(blocks)
        )
        dims = {block.dim for block in self.blocks}
        if len(dims) != 1:
            raise ValueError(f"blocks must be one or more of one dim; given dims {sorted(dims)}")
        self.dim = checks.count("blocks' dim", dims.pop(), most=LARGEST_DIM)
        named = ((k, name) for k, block in enumerate(self.blocks) for name in block.coordinates)
        self.coordinates = tuple(f"{k}.{name}" for k, name in named)
        self._ends = np.cumsum([block.size for block in self.blocks])[:-1].tolist()

    def __repr__(self) -> str:
        return f"Populations([{', '.join(map(repr, self.blocks))}])"

    def spec(self) -> dict[str, Any] | None:
        inner = [spec_of(block) for block in self.blocks]
        return None if None in inner else {"kind": "populations", "blocks": inner}

    @property
    def smooth(self) -> bool:
        return all(block.smooth for block in self.blocks)

    @classmethod
    def from_spec(cls, **fields: Any) -> Self:
        return cls([from_spec(spec) for spec in fields["blocks"]])

    def split(self, theta: Array) -> list[Array]:
        """The populations' parameters θ_k (..., p_k) of θ (..., p)."""
        return [np.ascontiguousarray(one) for one in np.split(theta, self._ends, axis=-1)]

    def torch_form(self) -> Callable[[Any], TorchField] | None:
        forms = [block.torch_form() for block in self.blocks]
        known = [one for one in forms if one is not None]
        if len(known) < len(forms):
            return None
        sizes = [block.size for block in self.blocks]

        def form(torch: Any) -> TorchField:
            fields = [one(torch) for one in known]

            def together(x: Any, theta: Any) -> Any:
                parts = zip(fields, torch.split(theta, sizes, -1), strict=True)
                return sum(field(x, part) for field, part in parts)

            return together

        return form

    # -- one particle at a time -----------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return _total(block.value(x, part) for block, part in self._parts(theta))

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        return _total(block.pull_state(x, part, q) for block, part in self._parts(theta))

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        found = [block.pull_parameter(x, part, q) for block, part in self._parts(theta)]
        return np.concatenate(found, axis=-1)

    # -- sums -------------------------------------------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return _total(block.field(x, part, a) for block, part in self._parts(theta))

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        found = [block.backward(x, part, a, q) for block, part in self._parts(theta)]
        states, changes = zip(*found, strict=True)
        return _total(iter(states)), np.concatenate(changes, axis=-1)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        return _total(block.potential(x, part, q) for block, part in self._parts(theta))

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        found = [block.gradient(x, part, q) for block, part in self._parts(theta)]
        return np.concatenate(found, axis=-1)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        parts = zip(self._parts(theta), self.split(dtheta), strict=True)
        return _total(block.tangent(x, part, a, dx, move) for (block, part), move in parts)

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        parts = zip(self._parts(theta), self.split(dtheta), strict=True)
        return _total(block.tangents(x, part, a, dx, move, da) for (block, part), move in parts)

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
        parts = zip(self._parts(theta), self.split(dtheta), strict=True)
        found = [
            block.backward_tangents(x, part, a, q, dx, move, dq, da)
            for (block, part), move in parts
        ]
        pulls, changes, potentials = zip(*found, strict=True)
        return _total(iter(pulls)), np.concatenate(changes, axis=-1), _total(iter(potentials))

    def sensitivity(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, list[Any]]:
        found = [block.sensitivity(x, part, a, q) for block, part in self._parts(theta)]
        states, factors = zip(*found, strict=True)
        return _total(iter(states)), list(factors)

    def gram(self, factors: list[Any], a: Array, scale: float, out: Array) -> None:
        for k, block in enumerate(self.blocks):
            block.gram([one[k] for one in factors], a, scale, out)

    def scaled(self, factor: list[Any], root: Array) -> list[Any]:
        parts = zip(self.blocks, factor, self.split(root), strict=True)
        return [block.scaled(one, part) for block, one, part in parts]

    def _parts(self, theta: Array) -> Iterator[tuple[Block, Array]]:
        return zip(self.blocks, self.split(theta), strict=True)


def _total(found: Iterator[Array]) -> Array:
    """Their sum, in order."""
    first = next(found)
    return sum(found, start=first)
