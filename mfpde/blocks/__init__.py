"""Residual blocks f(x, θ): the standard ones, the protocol for a user's own, and its check."""

from mfpde.blocks.base import Block
from mfpde.blocks.check import check_block
from mfpde.blocks.linear import Linear
from mfpde.blocks.meshed import Meshed
from mfpde.blocks.shl import SHL

__all__ = ["SHL", "Block", "Linear", "Meshed", "check_block"]
