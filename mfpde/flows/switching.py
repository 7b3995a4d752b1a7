"""Which of its two methods "auto" works with, judged after every step by counts alone.

An explicit step costs six gradients and is bound by stability, h λ_max <= 3.2, or by accuracy; an
implicit one costs kernels and factorisations, priced in gradients from the sizes, and is bound by
accuracy only. Where stability binds the explicit method, its error estimate says how much longer a
step accuracy would allow: g times, g = error^(−1/5). Implicit steps were then measured to be
``reach``·g² times as long (over 60 points of seven problems, to within a factor of 2). In an
implicit step the explicit cost of the same stretch follows from hλ_max. What the other method would
have saved is summed, and the method changes when that has paid for ``PATIENCE`` implicit steps:
no choice costs more than a few steps, and the two do not alternate.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mfpde.flows import control as steps
from mfpde.flows import prices, stability
from mfpde.flows.schemes import SCHEMES
from mfpde.runs.solution import Control
from mfpde.runs.step import Scheme

EXPLICIT, IMPLICIT = "rk45", "implicit"
# Implicit steps that must have been paid for by what the other method would have saved.
PATIENCE = 2.0
# Implicit steps where nothing is stiff are at most this many explicit ones.
SMOOTH = 3.0
GRADIENTS = 6.0


def reconsidered(flow: Any, point: Any, scheme: Scheme, control: Control, h: float) -> Control:
    """The control after an accepted step of length h to ``point``, its method perhaps another."""
    if control.method == EXPLICIT:
        return _after_explicit(flow, scheme, control, h)
    return _after_implicit(flow, point, control, h)


def _after_explicit(flow: Any, scheme: Scheme, control: Control, h: float) -> Control:
    bound = h * control.rate >= 0.8 * steps.MARGIN * (scheme.stability or np.inf)
    price = prices.implicit_step(flow, flow.rows_of_table)
    if not bound:
        return replace(control, worth=max(control.worth - GRADIENTS, 0.0))
    gain = max(control.error, 1e-15) ** (-1.0 / 5.0)
    ratio = prices.reach(flow.rows_of_table) * gain**2
    worth = max(control.worth + GRADIENTS - price / ratio, 0.0)
    if worth < PATIENCE * price:
        return replace(control, worth=worth)
    return _changed(control, IMPLICIT, 0.5 * ratio * h)


def _after_implicit(flow: Any, point: Any, control: Control, h: float) -> Control:
    rate, watch = stability.largest_eigenvalue(flow, point, control.watch, 1)
    control = replace(control, rate=rate, watch=watch)
    price = prices.implicit_step(flow, flow.rows_of_table)
    stable = steps.MARGIN * (SCHEMES[EXPLICIT].stability or np.inf)
    explicit = GRADIENTS * max(h * rate / stable, SMOOTH)
    worth = max(control.worth + price - explicit, 0.0)
    if worth < PATIENCE * price:
        return replace(control, worth=worth)
    return _changed(control, EXPLICIT, min(control.h, stable / rate) if rate > 0.0 else control.h)


def _changed(control: Control, method: str, h: float) -> Control:
    return replace(
        control, method=method, h=h, worth=0.0, error=0.0, switches=control.switches + 1
    )
