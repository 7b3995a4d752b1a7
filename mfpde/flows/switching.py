"""Which of its two methods "auto" works with, judged after every step by counts alone.

An explicit step costs six gradients and is bound by stability, h λ_max <= 3.2, or by accuracy; an
implicit one costs what its dual systems do (``prices``) and is bound by accuracy only. Where
stability binds the explicit method, its error estimate says how far accuracy would reach: g times
as far, g = error^(−1/5), and implicit steps were measured to be ``reach``·g² times as long, within
a factor of 2 at 60 points of seven problems. In an implicit step, the explicit cost of the same
stretch follows from h λ_max. What the other method would have saved is summed, and the method
changes when that has paid for the change, so that the two do not alternate.

Explicit steps come first. They are the more accurate by orders of magnitude, and the flow magnifies
what errs while it leaves a plateau, which is when λ_max rises and steps begin to be bound by it. An
error made there is found again at the next plateau, a hundred times as large in proportion to E; no
local estimate shows that. A plateau shows in |grad E|, which grows where the flow leaves one and
nowhere else: the more it has grown, the later explicit steps are left.
"""

from __future__ import annotations

from dataclasses import replace

from mfpde.flows import control as steps
from mfpde.flows import stability
from mfpde.flows.flow import Flow, Point
from mfpde.flows.schemes import SCHEMES, late
from mfpde.runs.control import Control
from mfpde.runs.options import Options
from mfpde.runs.step import Scheme

EXPLICIT, IMPLICIT = "rk45", "implicit"
# Shares of the tolerance that steps of either kind may use: explicit ones pay 1.8 times for it
# where accuracy binds them, and nothing where stability does; implicit ones, by their order: those
# of order 3 are cheap.
EXPLICIT_SHARE, SHARES = 0.05, {2: 0.25, 3: 0.06, 4: 0.7}
# What must have been saved before a change: implicit steps, and gradients before the explicit
# method is left, at most, which is late enough to see plateaus left behind (fewer at tight
# tolerances, where stability binds later): all of them where |grad E| has grown by ``LEFT``.
PATIENCE, LINGER, LEFT = 2.0, 900.0, 10.0
# Less of them where it has not: no plateau has been left.
CALM = 2.0
# Of one explicit step; and how many of them an implicit one replaces where nothing is stiff.
GRADIENTS, SMOOTH = 6.0, 3.0
# Share of the predicted length that the first implicit step takes.
CAUTION = 0.2
# Changes of method that the message lists.
TOLD = 6


def scheme(flow: Flow, options: Options, method: str) -> Scheme:
    """The scheme of a method at work."""
    found: Scheme = flow.scheme(replace(options, method=method))
    return replace(found, share=EXPLICIT_SHARE if method == EXPLICIT else SHARES[found.order])


def reconsidered(
    flow: Flow, point: Point, scheme: Scheme, control: Control, h: float, rtol: float
) -> Control:
    """The control after an accepted step of length h to ``point``, its method perhaps another."""
    way = late(rtol)
    price = way.price(flow, point)
    if control.method == EXPLICIT:
        linger = max(PATIENCE * price, lingering(control.rise, rtol))
        linger *= 1 + control.switches // 2  # steps that were taken back show the reach too long
        return _after_explicit(scheme, control, h, price, way.reach, linger)
    return _after_implicit(flow, point, control, h, price)


def lingering(rise: float, rtol: float) -> float:
    """Gradients to be saved before explicit steps are left, where |grad E| has grown by rise."""
    return LINGER * min(max(rise, CALM) / LEFT, 1.0) * min(1.0, (rtol / 1e-3) ** 0.25)


def _after_explicit(
    scheme: Scheme, control: Control, h: float, price: float, reach: float, linger: float
) -> Control:
    bound = 0.8 * steps.MARGIN * (scheme.stability or float("inf"))
    if h * control.rate < bound:
        return replace(control, worth=max(control.worth - GRADIENTS, 0.0))
    ratio = reach * max(control.error, 1e-15) ** (-2.0 / 5.0)
    worth = max(control.worth + GRADIENTS - price / ratio, 0.0)
    if worth < linger:
        return replace(control, worth=worth)
    return changed(control, IMPLICIT, CAUTION * ratio * h)


def _after_implicit(flow: Flow, point: Point, control: Control, h: float, price: float) -> Control:
    rate, watch = stability.largest_eigenvalue(flow, point, control.watch, 1)
    control = replace(control, rate=rate, watch=watch)
    stable = steps.MARGIN * (SCHEMES[EXPLICIT].stability or float("inf"))
    explicit = GRADIENTS * max(h * rate / stable, SMOOTH)
    worth = max(control.worth + price - explicit, 0.0)
    if worth < PATIENCE * price:
        return replace(control, worth=worth)
    longest = stable / rate if rate > 0.0 else control.h
    return changed(control, EXPLICIT, min(control.h / SMOOTH, longest))


def changed(control: Control, method: str, h: float) -> Control:
    """The control with another method, and no memory of the last one's errors."""
    return replace(control, method=method, h=h, worth=0.0, error=0.0, switches=control.switches + 1)


def told(note: str, control: Control) -> str:
    """The note with the last change of method."""
    if control.switches > TOLD:
        return note
    why = "stiff" if control.method == IMPLICIT else "no longer stiff"
    more = " Later changes are counted in stats." if control.switches == TOLD else ""
    return f"{note} From s = {control.s:.4g} on {control.method!r}: {why}.{more}"
