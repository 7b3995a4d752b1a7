"""Dormand–Prince 5(4) with dense output; the last stage is the next step's first."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfpde.flows.schemes.explicit import advance, descend
from mfpde.runs.step import Array, Step

# The tableau (Dormand, Prince 1980) and its quartic interpolant (Shampine 1986). B is the row of
# the seventh stage; E is B minus the weights of order 4; a row of P holds powers 1 to 4.
A = [
    np.array(row)
    for row in (
        [0.0],
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    )
]
B = np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84])
E = np.array(
    [-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40]
)  # fmt: skip
P = np.array(
    [
        [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
        [0, 0, 0, 0],
        [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
        [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
        [0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632],
        [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
        [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
    ]
)


def step(flow: Any, point: Any, h: float) -> Step:
    """Order 5 solution, error estimate of order 5 in h, interpolant of order 4."""
    slopes = [point.gradient]
    for row in A[1:]:
        slopes.append(advance(flow, point, h, row, slopes).gradient)
    new = advance(flow, point, h, B, slopes)
    slopes.append(new.gradient)
    error = descend(np.zeros_like(point.state), h, E, slopes)

    def dense(fraction: float) -> Array:
        return descend(point.state, h, P @ np.cumprod(np.full(P.shape[1], fraction)), slopes)

    return Step(new, error, dense)
