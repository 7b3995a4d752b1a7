"""Slice solvers: one file each, one registry, and the rule that picks among them."""

from __future__ import annotations

from collections.abc import Sequence

from mfpde import checks
from mfpde.transport.methods.assignment import Assignment
from mfpde.transport.methods.base import Method, Slice, SliceResult
from mfpde.transport.methods.one_dim import OneDim
from mfpde.transport.methods.same_index import SameIndex
from mfpde.transport.methods.shortlist import Shortlist
from mfpde.transport.methods.simplex import Simplex
from mfpde.transport.methods.sinkhorn import Sinkhorn
from mfpde.transport.methods.sliced import Sliced

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        OneDim(),
        Simplex(),
        Shortlist(),
        Assignment(),
        Sinkhorn(),
        Sliced(),
        SameIndex(),
    )
}

SHORTLIST_FROM = 300  # atoms per slice from which the shortlist is faster than POT's simplex

__all__ = [
    "METHODS",
    "Assignment",
    "Method",
    "OneDim",
    "SameIndex",
    "Shortlist",
    "Simplex",
    "Sinkhorn",
    "Slice",
    "SliceResult",
    "Sliced",
    "pick",
]


def pick(method: str | Method, pairs: Sequence[Slice]) -> tuple[Method, str]:
    """The method object and a few words on why: "auto" always picks an exact one."""
    if isinstance(method, Method):
        return method, "as asked"
    if checks.choice("method", method, ("auto", *METHODS)) != "auto":
        return METHODS[method], "as asked"
    if pairs[0].x.shape[1] == 1:
        return METHODS["one_dim"], "auto: p = 1"
    largest = max(pair.size for pair in pairs)
    name = "shortlist" if largest >= SHORTLIST_FROM else "simplex"
    return METHODS[name], f"auto: {largest} atoms in the largest slice"
