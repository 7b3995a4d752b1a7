"""Implicit Scharfetter–Gummel steps, axis by axis: exact at Gibbs states, positive for any step.

V is frozen over a substep. Along one axis the implicit step lowers ∫V dm + τ Ent, and leaves
m ∝ e^{−V/τ} as it is, so that the Gibbs states of the coupled problem are exactly the fixed points.
First order in time: the error is the distance of one step to two half steps, which are kept.
Source: Scharfetter, Gummel 1969.
"""

from __future__ import annotations

import numpy as np

from mfpde.flows.flow import Cells, CellsPoint
from mfpde.runs.step import Step


def step(flow: Cells, point: CellsPoint, h: float) -> Step:
    """Two steps of h/2, with the Hellinger distance to one step of h as the error."""
    once = flow.relaxed(point, h)
    middle = flow.at(flow.relaxed(point, 0.5 * h), point.s + 0.5 * h)
    twice = flow.relaxed(middle, 0.5 * h)
    gap = np.sqrt(once) - np.sqrt(twice)
    return Step(flow.at(twice, point.s + h), flow.root_mean(gap))
