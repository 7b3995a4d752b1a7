"""Limiters: how much of a slope is added to a cell's mass at the face that it flows through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mfpde.kernels import grid_flux


class Limiter(NamedTuple):
    """The code of the compiled loops and the compiled stage that reads it."""

    code: int
    advance: Any


LIMITERS: dict[str, Limiter] = {
    name: Limiter(code, grid_flux.advance)
    for name, code in (
        ("upwind", grid_flux.UPWIND),
        ("van_leer", grid_flux.VAN_LEER),
        ("minmod", grid_flux.MINMOD),
        ("mc", grid_flux.MC),
        ("koren", grid_flux.KOREN),
        ("third", grid_flux.THIRD),
    )
}


def register(name: str, half_slope: Callable[[float, float, float], float]) -> None:
    """A limiter φ(near, b, a) of one's own: the face's mass is near + φ, cut at 0.

    ``half_slope`` is a plain function of three numbers that Numba can compile: near is the mass of
    the cell that the flow comes from, b the difference behind it and a the one across the face. No
    cell is emptied where |φ| <= near, which is checked at random masses. It serves schemes of the
    grid by its name, see ``mfpde.flows.schemes.grid.register``.

    Raises ValueError for a name that is taken, or a φ beyond near.
    """
    from numba import njit

    if name in LIMITERS:
        raise ValueError(f"name must be new; {name!r} is taken, there are {', '.join(LIMITERS)}")
    before, near, after = np.random.default_rng(0).exponential(1.0, (3, 1000))
    steep = [
        abs(half_slope(m, m - b, a - m)) > m * (1.0 + 1e-12)
        for b, m, a in zip(before.tolist(), near.tolist(), after.tolist(), strict=True)
    ]
    if any(steep):
        raise ValueError(f"half_slope must satisfy |φ| <= near; {name!r} empties cells")
    compiled = njit(inline="always")(half_slope)
    LIMITERS[name] = Limiter(-1, grid_flux.advance_with(compiled))
