"""How much memory the states of data take in a pass, and how many data fit at a time."""

from __future__ import annotations

from mfpde.kernels import lending
from mfpde.passes.propagate import Layers

ALIVE = 3  # passes that a run holds at a time: the two ends of a step, and a stage
AT_ONCE = 2  # blocks: one is dropped when the next one has been carried
LEAST = 64  # data in a block for which a block of parameters' own values is still kept


def bytes_per_datum(layers: Layers, dim: int) -> int:
    """Hidden and adjoint states of one datum, at all stages and ends of steps."""
    states = layers.depth.stage_nodes.size + layers.depth.steps + 1
    return 2 * states * dim * layers.theta.itemsize


def fits(memory: float, layers: Layers, data: int, dim: int) -> bool:
    """Whether the states of all data may be held at once, as often as a run needs them."""
    return ALIVE * data * bytes_per_datum(layers, dim) <= usable(memory)


def usable(memory: float) -> float:
    """What is left beside memory that waits for its next use."""
    return memory - lending.spare(memory)


def keeps(memory: float, layers: Layers, data: int, dim: int) -> bool:
    """Whether a block may keep what it computed besides; what was dropped last is used again."""
    held = ALIVE * data * bytes_per_datum(layers, dim)
    return held + (ALIVE + 1) * _kept(layers, data) <= usable(memory)


def length(memory: float, most: float, layers: Layers, dim: int) -> int:
    """How many data are carried at a time, of states of at most ``most`` bytes.

    As many as their block computes nothing twice for, where that leaves a block worth a pass.
    Raises ValueError where ``memory`` does not hold the states of one datum.
    """
    each = bytes_per_datum(layers, dim)
    if each > memory:
        raise ValueError(
            f"memory: the states of one datum take {each} bytes, {memory:g} are allowed: "
            "give more, or take fewer steps in depth"
        )
    whole = max(1, int(min(usable(memory) / AT_ONCE, most) // each))
    shorter = whole
    while shorter >= LEAST:
        if _kept(layers, shorter) and keeps(memory, layers, shorter, dim):
            return shorter
        shorter //= 2
    return whole


def _kept(layers: Layers, data: int) -> int:
    return layers.block.kept_bytes(layers.depth, layers.theta, data)
