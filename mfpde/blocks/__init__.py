"""Residual blocks f(x, θ): the standard ones, the protocol for a user's own, and its check."""

from mfpde.blocks._jax import JaxBlock, from_jax
from mfpde.blocks._torch import TorchBlock, from_torch
from mfpde.blocks.attention import Attention
from mfpde.blocks.base import Block
from mfpde.blocks.check import check_block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.blocks.meshed import Meshed
from mfpde.blocks.normalised import Normalised
from mfpde.blocks.own import is_own
from mfpde.blocks.populations import Populations
from mfpde.blocks.registry import BLOCKS, from_spec, register, spec_of
from mfpde.blocks.scalar_attention import ScalarAttention
from mfpde.blocks.shl import SHL
from mfpde.blocks.token_mlp import TokenMLP

__all__ = [
    "BLOCKS",
    "SHL",
    "Attention",
    "Block",
    "JaxBlock",
    "Linear",
    "Meshed",
    "Normalised",
    "Populations",
    "ScalarAttention",
    "TokenMLP",
    "TorchBlock",
    "check_block",
    "computes",
    "from_jax",
    "from_spec",
    "from_torch",
    "is_own",
    "register",
    "spec_of",
]
