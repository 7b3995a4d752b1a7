"""The registry of blocks: kind ↦ class, for run files and case files."""

from __future__ import annotations

from typing import Any

from mfpde import checks
from mfpde.blocks.base import Block

BLOCKS: dict[str, type[Block]] = {}  # filled by ``own``, and by users


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
