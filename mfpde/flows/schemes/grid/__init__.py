"""Schemes for masses on a grid: all conserve the mass of every depth and keep it >= 0."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from mfpde import checks
from mfpde.flows.flow import Cells, CellsPoint
from mfpde.flows.schemes.grid import implicit, muscl, scharfetter_gummel, third_order, upwind
from mfpde.runs.step import Scheme
from mfpde.volumes.limiters import LIMITERS

__all__ = ["SCHEMES", "register", "scheme"]


def _cfl(number: float) -> Any:
    """The longest step that empties no cell, with the share ``number`` of its outflow."""

    def longest(flow: Cells, point: CellsPoint) -> float:
        fastest = point.survey.fastest
        return number / fastest if fastest else float("inf")

    return longest


def _muscl(name: str, limiter: str) -> Scheme:
    take = partial(muscl.step, limiter=limiter)
    return Scheme(name, 2, take, stability=2.0, longest=_cfl(muscl.CFL))


def _third_order(name: str, limiter: str) -> Scheme:
    take = partial(third_order.step, limiter=limiter)
    return Scheme(name, 3, take, stability=2.5, longest=_cfl(third_order.CFL))


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("upwind", 1, upwind.step, stability=2.0, longest=_cfl(upwind.CFL)),
        _muscl("muscl", "van_leer"),
        _muscl("muscl_minmod", "minmod"),
        _muscl("muscl_mc", "mc"),
        _third_order("third_order", "third"),
        _third_order("koren", "koren"),
        Scheme("implicit", 2, implicit.step, error_order=2),
        Scheme("scharfetter_gummel", 1, scharfetter_gummel.step, error_order=2),
    )
}


def register(name: str, limiter: str) -> None:
    """The MUSCL scheme with another limiter of ``mfpde.volumes.limiters``, as a method of grids.

    Raises ValueError for a name that is taken or an unknown limiter.
    """
    checks.choice("limiter", limiter, LIMITERS)
    if name in SCHEMES:
        raise ValueError(f"name must be new; {name!r} is taken, there are {', '.join(SCHEMES)}")
    SCHEMES[name] = _muscl(name, limiter)


def scheme(method: str, rtol: float, atol: float, entropic: bool) -> Scheme:
    """The scheme of a run; a split scheme need not lower the sum of its two energies.

    Raises ValueError for "implicit" with entropy.
    """
    found = SCHEMES[method]
    if method == "implicit":
        if entropic:
            raise ValueError(
                "method='implicit' needs temperature=0: drift and entropy balance each other at "
                "late times, and long steps must take both at once, as 'scharfetter_gummel' does"
            )
        found = replace(found, step=partial(found.step, rtol=rtol, atol=atol))
    return replace(found, descends=not entropic or method == "scharfetter_gummel")
