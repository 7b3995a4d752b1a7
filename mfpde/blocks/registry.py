"""The registry of blocks: kind ↦ class, for run files, case files and the check of own blocks."""

from __future__ import annotations

from typing import Any

from mfpde import checks
from mfpde.blocks._jax import JaxBlock
from mfpde.blocks._torch import TorchBlock
from mfpde.blocks.attention import Attention
from mfpde.blocks.base import Block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.blocks.meshed import Meshed
from mfpde.blocks.populations import Populations
from mfpde.blocks.shl import SHL
from mfpde.blocks.token_mlp import TokenMLP

BLOCKS: dict[str, type[Block]] = {
    "shl": SHL,
    "linear": Linear,
    "meshed": Meshed,
    "attention": Attention,
    "token_mlp": TokenMLP,
    "populations": Populations,
    "torch": TorchBlock,
    "jax": JaxBlock,
}

_OWN = (SHL, Linear, Meshed, Attention)


def register(kind: str, block: type[Block]) -> type[Block]:
    """Make a class of blocks known by name to run files and case files; returns the class.

    Its ``spec()`` returns ``{"kind": kind, **fields}`` with fields that JSON can hold, and
    ``block.from_spec(**fields)``, by default ``block(**fields)``, gives the block back. Loading a
    file needs the same call first.

    Raises TypeError for a class that is no ``Block`` or has no ``spec`` of its own, ValueError for
    a kind that is taken.
    """
    if not (isinstance(block, type) and issubclass(block, Block)):
        raise TypeError(f"block must be a subclass of mfpde.Block; given {block!r}")
    if block.spec is Block.spec:
        raise TypeError(f"{block.__name__} must define spec(), which returns its kind and fields")
    if BLOCKS.get(kind, block) is not block:
        raise ValueError(f"kind {kind!r} is taken by {BLOCKS[kind].__name__}; choose another name")
    BLOCKS[kind] = block
    return block


def spec_of(block: Block) -> dict[str, Any] | None:
    """What a file keeps of a block; None unless exactly its class is registered."""
    spec = block.spec()
    known = spec is not None and BLOCKS.get(spec.get("kind", "")) is type(block)
    return spec if known else None


def from_spec(spec: dict[str, Any]) -> Block:
    """The block of a spec.

    Raises ValueError for a kind that is not registered.
    """
    fields = dict(spec)
    kind = checks.choice("block kind", fields.pop("kind"), BLOCKS)
    return BLOCKS[kind].from_spec(**fields)


def is_own(block: Block) -> bool:
    """Whether the package itself answers for the block's formula and derivatives."""
    if computes(block, TokenMLP):
        return is_own(block.block)
    if computes(block, Populations):
        return all(is_own(one) for one in block.blocks)
    return any(computes(block, kind) for kind in _OWN)
