"""Residual blocks f(x, θ): the standard ones, the protocol for a user's own, and its check."""

from mfpde.blocks.base import Block
from mfpde.blocks.check import check_block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.blocks.meshed import Meshed
from mfpde.blocks.registry import BLOCKS, from_spec, is_own, register, spec_of
from mfpde.blocks.shl import SHL

__all__ = [
    "BLOCKS",
    "SHL",
    "Block",
    "Linear",
    "Meshed",
    "check_block",
    "computes",
    "from_spec",
    "is_own",
    "register",
    "spec_of",
]
