"""f(x, θ) = A(θ) s(x, θ) where a trace shows it: sums over particles are then products of matrices.

Nearly every block ends in a product with parameters (u σ(…), W₂ h + b₂). Summed as it stands,
Σ_j f(x_i, θ_j) forms N·M·d values; as Σ_j A(θ_j) s(x_i, θ_j) it is one product of matrices, N·M·h
by M·h·d. The trace is split at that last product; where there is none, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Map = Callable[..., Any]

_SAME = {"view", "_unsafe_view", "reshape", "squeeze", "squeeze_", "unsqueeze", "clone", "alias"}
_SAME |= {"detach"}


class Term(NamedTuple):
    """Columns of A(θ), as (d, h) after ``turn``, and the features (h,) beside them; None is 1."""

    head: Any
    turn: bool
    feature: Any


def factors(torch: Any, f: Map, dim: int, size: int, device: Any) -> tuple[Map, Map, int] | None:
    """A: (p,) → (d, h), s: (d,), (p,) → (h,) with f = A s, and h, or None; for float64."""
    from torch.fx.experimental.proxy_tensor import make_fx

    x, theta = (torch.zeros(n, dtype=torch.float64, device=device) for n in (dim, size))
    try:
        traced = make_fx(f, tracing_mode="fake")(x, theta)
    except Exception:  # what cannot be traced is only slower
        return None
    found = _Split(traced.graph, dim).terms
    if found is None:
        return None
    heads = _cut(torch, traced, [term.head for term in found])
    features = _cut(torch, traced, [term.feature for term in found if term.feature is not None])

    def head(theta: Any) -> Any:
        parts = zip(heads(x, theta), found, strict=True)
        columns = [(one.mT if term.turn else one).reshape(dim, -1) for one, term in parts]
        return torch.cat(columns, dim=1)

    def feature(x: Any, theta: Any) -> Any:
        values = iter(features(x, theta))
        one = theta.new_ones(1)
        parts = [one if term.feature is None else next(values).reshape(-1) for term in found]
        return torch.cat(parts)

    inner = feature(x, theta).numel()
    return (head, feature, inner) if _agree(torch, f, head, feature, x, theta) else None


def _agree(torch: Any, f: Map, head: Map, feature: Map, x: Any, theta: Any) -> bool:
    draw = torch.Generator().manual_seed(0)
    x, theta = (
        torch.randn(one.shape, generator=draw, dtype=torch.float64).to(one) for one in (x, theta)
    )
    with torch.no_grad():
        expected = f(x, theta)
        error = (head(theta) @ feature(x, theta) - expected).abs().max()
        return bool(error <= 1e-12 * (1.0 + expected.abs().max()))


def _cut(torch: Any, traced: Any, nodes: list[Any]) -> Map:
    """The traced function with these values as its results."""
    graph = torch.fx.Graph()
    places: dict[Any, Any] = {}
    graph.graph_copy(traced.graph, places)
    graph.output(tuple(places[node] for node in nodes))
    graph.eliminate_dead_code()
    made: Map = torch.fx.GraphModule(traced, graph)
    return made


class _Split:
    """The terms of the last product of a trace; None where it has none."""

    def __init__(self, graph: Any, dim: int) -> None:
        self._dim = dim
        places = [node for node in graph.nodes if node.op == "placeholder"]
        self._x, (result,) = places[0], [node for node in graph.nodes if node.op == "output"]
        self._on_x: dict[Any, bool] = {}
        for node in graph.nodes:
            inputs = node.all_input_nodes
            self._on_x[node] = node is self._x or any(self._on_x[one] for one in inputs)
        out = result.args[0]
        out = out[0] if isinstance(out, tuple | list) else out
        self.terms = self._terms(out)

    def _terms(self, node: Any) -> list[Term] | None:
        if not self._on_x[node]:
            return [Term(node, False, None)] if self._numbers(node) == self._dim else None
        name = getattr(getattr(node.target, "overloadpacket", None), "__name__", "")
        if name in _SAME:
            return self._terms(node.args[0])
        if node.kwargs:
            return None
        if name == "add" and len(node.args) == 2:
            return self._sum(*node.args)
        if name == "addmm":
            return self._sum(node.args[0], None, self._product(*node.args[1:]))
        if name == "addmv":
            return self._sum(node.args[0], None, self._product(*node.args[1:]))
        if name in ("mv", "mm"):
            return self._product(*node.args)
        return self._scaled(*node.args) if name == "mul" else None

    def _sum(self, one: Any, other: Any, found: list[Term] | None = None) -> list[Term] | None:
        parts = [found if part is None else self._of(part) for part in (one, other)]
        if parts[0] is None or parts[1] is None:
            return None
        return parts[0] + parts[1]

    def _of(self, part: Any) -> list[Term] | None:
        return self._terms(part) if part in self._on_x else None

    def _product(self, left: Any, right: Any) -> list[Term] | None:
        """A s with a matrix A(θ), or sᵀAᵀ with a row s."""
        for head, feature, turn in ((left, right, False), (right, left, True)):
            rows = head.meta["val"].shape
            fits = len(rows) == 2 and rows[1 if turn else 0] == self._dim
            inner = rows[0 if turn else 1] if fits else -1
            if fits and not self._on_x[head] and self._numbers(feature) == inner:
                return [Term(head, turn, feature)]
        return None

    def _scaled(self, left: Any, right: Any) -> list[Term] | None:
        """u s with a vector u(θ) and a number s."""
        for head, feature in ((left, right), (right, left)):
            both = head in self._on_x and feature in self._on_x
            if both and not self._on_x[head] and self._numbers(head) == self._dim:
                return [Term(head, False, feature)] if self._numbers(feature) == 1 else None
        return None

    @staticmethod
    def _numbers(node: Any) -> int:
        value = node.meta.get("val")
        return value.numel() if hasattr(value, "numel") else -1
