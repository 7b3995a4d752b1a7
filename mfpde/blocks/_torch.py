"""Blocks from functions and modules of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from mfpde import checks
from mfpde.blocks._functions import MEMORY, Array, FunctionBlock, Map, origin_of, transforms
from mfpde.blocks._torch_factors import factors
from mfpde.blocks.base import TorchField

TRACES = 64  # sums kept as traces, one for each shape
PATIENCE = 5  # calls of a sum before it is worth a trace


class TorchBlock(FunctionBlock):
    """A block of a function of torch: see ``from_torch``."""

    kind: ClassVar[str] = "torch"

    def __init__(
        self, f: Any, dim: int, size: int | None, origin: str | None, device: str, memory: int
    ) -> None:
        import torch

        checks.count("dim", dim)
        self._torch, self.device = torch, torch.device(device)
        self._traced: dict[Any, Map] = {}
        self._seen: dict[Any, int] = {}
        if isinstance(f, torch.nn.Module):
            f = f.to(self.device)
            layout = [(name, tuple(value.shape)) for name, value in f.named_parameters()]
            self._f = _flat(torch, f)
            count = sum(value.numel() for value in f.parameters())
            if size not in (None, count):
                raise ValueError(f"size must be {count}, the parameters of {f}; given {size}")
        elif size is None:
            raise ValueError("size must be given for a function: p, the length of θ")
        else:
            layout, self._f = [("theta", (size,))], f
        func = torch.func
        library = func.vmap, func.vjp, torch.einsum
        self._sums = self._wide = transforms(self._f, *library)
        found = factors(torch, self._f, dim, sum(int(np.prod(s)) for _, s in layout), self.device)
        self._inner = dim if found is None else found[2]
        if found is not None:
            self._wide = transforms(self._f, *library, found[:2])
        super().__init__(f, dim, layout, origin, memory)

    @classmethod
    def build(cls, f: Any, dim: int, size: int, origin: str) -> Self:
        return cls(f, dim, size, origin, "cpu", MEMORY)

    def torch_form(self) -> Callable[[Any], TorchField]:
        field = self._sums["field"]

        def form(torch: Any) -> TorchField:
            def one(x: Any, theta: Any) -> Any:
                return field(x, theta, theta.new_full((len(theta),), 1.0 / len(theta)))

            return torch.func.vmap(one)

        return form

    def _run(self, name: str, *arrays: Array | None) -> Any:
        torch = self._torch
        given = [torch.tensor(np.asarray(one), device=self.device) for one in arrays]
        with torch.no_grad():
            found = self._flat_sum(name, given)(*given)
        if isinstance(found, tuple):
            return tuple(one.cpu().numpy() for one in found)
        return found.cpu().numpy()

    def _flat_sum(self, name: str, given: list[Any]) -> Map:
        """The sum as a list of torch's own operations: transforms cost more than small sums."""
        torch, key = self._torch, (name, *((one.shape, one.dtype) for one in given))
        if key in self._traced:
            return self._traced[key]
        if len(self._seen) > TRACES:
            self._seen.clear()
            self._traced.clear()
        plain = (self._wide if given[0].dtype == torch.float64 else self._sums)[name]
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] > PATIENCE:
            self._traced[key] = _traced(plain, given)
        return plain


def _traced(f: Map, given: list[Any]) -> Map:
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        traced = make_fx(f)(*given)
    except Exception:  # what cannot be traced is only slower
        return f
    traced.graph.eliminate_dead_code()
    traced.recompile()
    made: Map = traced
    return made


def _flat(torch: Any, module: Any) -> Callable[[Any, Any], Any]:
    """A module as a function of x and its flattened parameters."""
    names, shapes = zip(*((n, v.shape) for n, v in module.named_parameters()), strict=True)
    sizes = [int(np.prod(shape)) for shape in shapes]

    def f(x: Any, theta: Any) -> Any:
        parts = torch.split(theta, sizes)
        pairs = zip(names, parts, shapes, strict=True)
        return torch.func.functional_call(module, {n: v.view(s) for n, v, s in pairs}, (x,))

    return f


def from_torch(
    f: Any,
    *,
    dim: int,
    size: int | None = None,
    origin: str | None = None,
    device: str = "cpu",
    memory: int = MEMORY,
) -> TorchBlock:
    """A block from f(x, θ): (d,), (p,) → (d,) in torch, or from an ``nn.Module`` x ↦ (d,).

    f sees one datum and one particle; ``torch.func`` batches and differentiates it, so that it must
    not branch on values. θ of a module are its parameters, flattened in their order (their present
    values are not used: laws give them); its buffers are part of f. Computes in the precision of
    the measure, on ``device``, with about ``memory`` bytes of f's values at a time.

    Run files keep ``origin``, "package.module:name" (for a function of a module its own path), a
    checksum of the parameters' layout and values at fixed points; whoever loads one imports the
    module first, and what does not match is refused. Without it the block is handed
    over at loading.

    Raises ValueError for a size or a shape that does not fit, ImportError without torch.
    """
    return TorchBlock(f, dim, size, origin or origin_of(f), device, memory)
