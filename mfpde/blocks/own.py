"""The package's own kinds of block: registered, and answered for."""

from __future__ import annotations

from mfpde.blocks._jax import JaxBlock
from mfpde.blocks._torch import TorchBlock
from mfpde.blocks.attention import Attention
from mfpde.blocks.base import Block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.blocks.meshed import Meshed
from mfpde.blocks.normalised import Normalised
from mfpde.blocks.populations import Populations
from mfpde.blocks.registry import register
from mfpde.blocks.scalar_attention import ScalarAttention
from mfpde.blocks.shl import SHL
from mfpde.blocks.token_mlp import TokenMLP

KINDS: dict[str, type[Block]] = {
    "shl": SHL,
    "linear": Linear,
    "meshed": Meshed,
    "attention": Attention,
    "scalar_attention": ScalarAttention,
    "token_mlp": TokenMLP,
    "normalised": Normalised,
    "populations": Populations,
    "torch": TorchBlock,
    "jax": JaxBlock,
}
for kind, block in KINDS.items():
    register(kind, block)

_FORMULAS = (SHL, Linear, Meshed, Attention, ScalarAttention)


def is_own(block: Block) -> bool:
    """Whether the package itself answers for the block's formula and derivatives."""
    if computes(block, TokenMLP) or computes(block, Normalised):
        return is_own(block.block)
    if computes(block, Populations):
        return all(is_own(one) for one in block.blocks)
    return any(computes(block, kind) for kind in _FORMULAS)
