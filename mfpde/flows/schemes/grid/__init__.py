"""Schemes for masses on a grid: all conserve the mass of every depth and keep it >= 0."""

from __future__ import annotations

from functools import partial
from typing import Any

from mfpde.flows.schemes.grid import koren, muscl, upwind
from mfpde.flows.schemes.step import Scheme

__all__ = ["SCHEMES"]


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
    )
}
