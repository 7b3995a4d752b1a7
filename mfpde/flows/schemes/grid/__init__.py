"""Schemes for masses on a grid: all conserve the mass of every depth and keep it >= 0."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from mfpde.flows.schemes.grid import implicit, koren, muscl, scharfetter_gummel, upwind
from mfpde.flows.schemes.step import Scheme

__all__ = ["SCHEMES", "scheme"]


def _cfl(number: float) -> Any:
    """The longest step that empties no cell, with the share ``number`` of its outflow."""

    def longest(flow: Any, point: Any) -> float:
        fastest = point.survey.fastest
        return number / fastest if fastest else float("inf")

    return longest


def _muscl(name: str, limiter: str) -> Scheme:
    take = partial(muscl.step, limiter=limiter)
    return Scheme(name, 2, take, stability=2.0, longest=_cfl(muscl.CFL))


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("upwind", 1, upwind.step, stability=2.0, longest=_cfl(upwind.CFL)),
        _muscl("muscl", "van_leer"),
        _muscl("muscl_minmod", "minmod"),
        _muscl("muscl_mc", "mc"),
        Scheme("koren", 2, koren.step, stability=2.5, longest=_cfl(koren.CFL)),
        Scheme("implicit", 2, implicit.step, error_order=2),
        Scheme("scharfetter_gummel", 1, scharfetter_gummel.step, error_order=2),
    )
}


def scheme(method: str, rtol: float, atol: float, entropic: bool) -> Scheme:
    """The scheme of a run; a split scheme need not lower the sum of its two energies."""
    found = SCHEMES[method]
    if method == "implicit":
        found = replace(found, step=partial(found.step, rtol=rtol, atol=atol))
    return replace(found, descends=not entropic or method == "scharfetter_gummel")
