"""A run of residual blocks that have a place in depth each, and are passed in its order.

Blocks l = 1..n sit at t^1 <= ... <= t^n in [0, 1]; a plain ResNet has t^l = l/n. Three rules say
how places act. All cost one evaluation of each block, and at t^l = l/n all are the plain ResNet,
bit for bit.

"gap" is the published one: X ← X + n (t^l − t^{l−1}) f(X, θ^l), t^0 = 0. It has exact gradients in
t, but when two blocks meet, the earlier has the whole gap and the later none, so that their
exchange is a jump, n·gap·(f_i − f_j) to first order. Half gaps to either side jump as well, and so
do all weights w_l = Σ_k α_k Δ_{l+k} linear in the gaps Δ but for w = a t + b (1 − t): blocks that
meet, Δ_{l+1} = 0, must have w_l = w_{l+1} whatever the other gaps are, which makes α_k constant
over k <= 0 and over k > 0. A plain start leaves equal masses.

The gaps sum to t^n, which training moves as well. "share" divides by it,
X ← X + n (t^l − t^{l−1})/t^n f(X, θ^l): the residuals' total stays that of the plain ResNet, order
and shares alone are learnt.

"window" has equal masses, and lets a block's increment arrive at the next blocks over a
window w = 1/n of depth (else an exchange would still jump by a commutator):

    X_j = x_0 + Σ_k c((t_j − t_k)/w) F_k,    F_k = f(X_k, θ_k),    c(r) = min(max(r, 0), 1).

Blocks that meet see the same state, so that their exchange is continuous. The gradient in t_j is
⟨P, D f Ẋ⟩ + ⟨Ṗ, f⟩ with Ẋ and Ṗ averaged over the window: the joint Wasserstein flow of blocks
(θ_j, t_j). It vanishes for blocks further than w from their neighbours.

Source: Lu, Ma, Lu, Lu, Ying 2020: the training algorithm ("gap"), the joint flow ("window");
"share" is a control of this package.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mfpde import checks

RULES = ("gap", "share", "window")


class MeanFieldStage(nn.Module):
    """Blocks that keep the shape of their input, passed in the order of their places in depth.

    ``blocks``: at least one module x ↦ y of equal shapes. One whose ``forward`` takes ``scale``
    scales its own residual; any other module g is read as x + f(x), f(x) = g(x) − x. ``rule``:
    "gap", "share" or "window" (see the module). ``position`` (n,) holds n·t, so that the gaps of
    a plain ResNet are exactly 1; it stays float32 under autocast.

    Blocks never move in ``blocks``: ``order`` lists them from first to last, so that whatever an
    optimiser keeps for a block's parameters stays with the block.

    Raises ValueError for no blocks, an unknown rule, or (on a forward pass) a block that changes
    the shape.
    """

    def __init__(self, blocks: Iterable[nn.Module], rule: str = "gap") -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        count = len(self.blocks)
        if count == 0:
            raise ValueError("blocks must hold at least one module; given none")
        self.rule = checks.choice("rule", rule, RULES)
        self.position = nn.Parameter(torch.arange(1.0, count + 1.0))
        self.register_buffer("_index", torch.arange(count), persistent=False)
        self.order = list(range(count))
        self._places = [float(place) for place in range(1, count + 1)]
        self._scales = ["scale" in inspect.signature(b.forward).parameters for b in self.blocks]

    @property
    def t(self) -> list[float]:
        """The blocks' depths in [0, 1], in the fixed order of ``blocks``."""
        return [place / len(self.blocks) for place in self.position.detach().tolist()]

    def forward(self, x: Tensor) -> Tensor:
        places = self.position.index_select(0, self._index)
        return self._by_window(x, places) if self.rule == "window" else self._by_gaps(x, places)

    def _by_gaps(self, x: Tensor, places: Tensor) -> Tensor:
        gaps = torch.diff(places, prepend=places.new_zeros(1))
        if self.rule == "share":
            gaps = gaps * (len(self.blocks) / places[-1].clamp_min(1e-6))
        for block, gap in zip(self.order, gaps.unbind(), strict=True):
            x = self._scaled(block, x, gap)
        return x

    def _scaled(self, block: int, x: Tensor, scale: Tensor) -> Tensor:
        """x + scale · f(x), exactly the block itself at scale 1."""
        if self._scales[block]:
            return self._checked(block, x, self.blocks[block](x, scale))
        y = self._checked(block, x, self.blocks[block](x))
        return torch.addcmul(y, y - x, scale - 1.0)

    def _by_window(self, x: Tensor, places: Tensor) -> Tensor:
        """``x`` is the sum of all increments so far; a block sees it less what is on its way."""
        recent: list[tuple[int, Tensor, Tensor]] = []
        for block, place in zip(self.order, places.unbind(), strict=True):
            here = self._places[block]
            recent = [known for known in recent if here - self._places[known[0]] <= 1.0]
            if not recent:
                seen, x = x, self._checked(block, x, self.blocks[block](x))
                recent = [(block, place, x - seen)]
                continue
            coming = sum(
                (1.0 - (place - there).clamp(0.0, 1.0)) * step for _, there, step in recent
            )
            seen = x - coming
            y = self._checked(block, seen, self.blocks[block](seen))
            recent.append((block, place, y - seen))
            x = y + coming
        return x

    def _checked(self, block: int, x: Tensor, y: Tensor) -> Tensor:
        if y.shape == x.shape:
            return y
        raise ValueError(
            f"blocks must keep the shape of their input; block {block}, "
            f"{type(self.blocks[block]).__name__}, made {tuple(y.shape)} of {tuple(x.shape)}: "
            "leave it out of the stage"
        )

    def sort(self, places: list[float] | None = None) -> int:
        """Pass the blocks in the order of their places; returns how many pairs exchanged.

        ``places`` are the values of ``position`` where the caller has them on the host. Blocks
        that meet keep the order they are in.
        """
        self._places = self.position.detach().tolist() if places is None else places
        order = sorted(self.order, key=self._places.__getitem__)
        if order == self.order:
            return 0
        count = exchanges(self.order, order)
        self._pass_in(order)
        return count

    def _pass_in(self, order: list[int]) -> None:
        self.order = order
        self._index.copy_(torch.tensor(order))

    def get_extra_state(self) -> dict[str, Any]:
        return {"order": list(self.order)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._pass_in(list(state["order"]))
        self._places = self.position.detach().tolist()


def exchanges(before: list[int], after: list[int]) -> int:
    """Pairs whose order differs: the neighbouring exchanges between two orders of the same blocks.

    >>> exchanges([0, 1, 2], [2, 0, 1])
    2
    """
    rank = {block: place for place, block in enumerate(after)}
    ranks = [rank[block] for block in before]
    return sum(a > b for i, a in enumerate(ranks) for b in ranks[i + 1 :])
