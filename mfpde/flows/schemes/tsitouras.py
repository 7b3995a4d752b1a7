"""Tsitouras 5(4) with dense output; the last stage is the next step's first."""

from __future__ import annotations

import numpy as np

from mfpde.flows.flow import DescentPoint, Flow
from mfpde.flows.schemes.explicit import advance, descend
from mfpde.runs.step import Array, Step

# The tableau and its quartic interpolant (Tsitouras 2011, Runge–Kutta pairs of order 5(4)
# satisfying only the first column simplifying assumption). B is the row of the seventh stage; E is
# B minus the weights of order 4; a row of P holds powers 1 to 4.
A = [
    np.array(row)
    for row in (
        [0.0],
        [0.161],
        [-0.008480655492356989, 0.335480655492357],
        [2.8971530571054935, -6.359448489975075, 4.3622954328695815],
        [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
        [
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ],
    )
]
B = np.array(
    [
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
    ]
)
E = -np.array(
    [
        -0.00178001105222577714,
        -0.0008164344596567469,
        0.007880878010261995,
        -0.1447110071732629,
        0.5823571654525552,
        -0.45808210592918697,
        1 / 66,
    ]
)
P = np.array(
    [
        [1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216],
        [0.0, 0.13169999999999998, -0.2234, 0.1017],
        [0.0, 3.9302962368947516, -5.941033872131505, 2.490627285651253],
        [0.0, -12.411077166933676, 30.33818863028232, -16.548102889244902],
        [0.0, 37.50931341651104, -88.1789048947664, 47.37952196281928],
        [0.0, -27.896526289197286, 65.09189467479366, -34.87065786149661],
        [0.0, 1.5, -4.0, 2.5],
    ]
)

# Where |R(−z)| = 1 on the negative real axis.
STABILITY = 3.5068


def step(flow: Flow, point: DescentPoint, h: float) -> Step:
    """Order 5 solution, error estimate of order 5 in h, interpolant of order 4.

    The last two stages stand at the same time: what their slopes differ by over what they differ
    by themselves is λ_max from below, close to it where stiff parts outweigh the rest.
    """
    slopes = [point.gradient]
    for row in A[1:]:
        last = advance(flow, point, h, row, slopes)
        slopes.append(last.gradient)
    new = advance(flow, point, h, B, slopes)
    slopes.append(new.gradient)
    error = descend(np.zeros_like(point.state), h, E, slopes)
    apart = flow.norm(new.state - last.state)
    rate = flow.norm(slopes[-1] - slopes[-2]) / apart if apart > 0.0 else 0.0

    def dense(fraction: float) -> Array:
        return descend(point.state, h, P @ np.cumprod(np.full(P.shape[1], fraction)), slopes)

    return Step(new, error, dense, rate=rate)
