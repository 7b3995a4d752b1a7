"""Blocks from functions of JAX."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from mfpde.blocks._functions import MEMORY, Array, FunctionBlock, origin_of, transforms
from mfpde.losses import in_double


class JaxBlock(FunctionBlock):
    """A block of a function of JAX: see ``from_jax``."""

    kind: ClassVar[str] = "jax"

    def __init__(self, f: Any, dim: int, size: int, origin: str | None, memory: int) -> None:
        import jax

        self._double = in_double(jax)
        sums = transforms(f, jax.vmap, jax.vjp, jax.numpy.einsum)
        self._sums = {name: jax.jit(one) for name, one in sums.items()}
        super().__init__(f, dim, [("theta", (size,))], origin, memory)

    @classmethod
    def build(cls, f: Any, dim: int, size: int, origin: str) -> Self:
        return cls(f, dim, size, origin, MEMORY)

    def _run(self, name: str, *arrays: Array | None) -> Any:
        with self._double(True):
            found = self._sums[name](*arrays)
        if isinstance(found, tuple):
            return tuple(np.array(one) for one in found)
        return np.array(found)


def from_jax(
    f: Any, *, dim: int, size: int, origin: str | None = None, memory: int = MEMORY
) -> JaxBlock:
    """A block from f(x, θ): (d,), (p,) → (d,) in JAX, compiled by XLA for each shape it meets.

    f sees one datum and one particle, and must be one that ``jax.vmap``, ``jax.vjp``, ``jax.jit``
    take. Computes in the precision of the measure, on JAX's default device, with about ``memory``
    bytes of f's values at a time. Run files: see ``from_torch``.

    Raises ValueError for a shape that does not fit, ImportError without JAX.
    """
    return JaxBlock(f, dim, size, origin or origin_of(f), memory)
