"""How long the next step is: pure functions of a run's ``Control``, which remembers for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfpde.runs.control import Control
from mfpde.runs.options import Options
from mfpde.runs.step import Scheme

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
# Share of the stability limit that explicit steps take, and weight of the error before the last.
MARGIN, MEMORY = 0.9, 0.4


def proposal(
    control: Control, options: Options, scheme: Scheme, longest: float
) -> tuple[float, float]:
    """The step to try, shortened to land on the next stop, and where it lands."""
    stops = [] if scheme.dense else [t for t in options.times if t > control.s]
    stop = min([*stops, options.s_end])
    h = min(control.h, longest)
    if control.s + h * (1 + 1e-9) >= stop:
        return stop - control.s, stop
    return h, control.s + h


def stable(control: Control, scheme: Scheme) -> float:
    """The longest step that the last look at λ_max allows a scheme."""
    if scheme.stability is None or control.rate <= 0.0:
        return float("inf")
    return MARGIN * scheme.stability / control.rate


def judged(
    control: Control, scheme: Scheme, h: float, error: float, rose: bool, wanted: float
) -> tuple[bool, Control]:
    """Whether a step of length h is accepted, and the control with the next proposal.

    ``error`` is relative to what is allowed, inf where the step is refused; ``rose`` says that the
    energy rose where it may not; ``wanted`` is h before it was cut to land on a stop. Proportional
    and integral control (Gustafsson 1991), so that an error which grows from step to step shortens
    the next; of order 1 and 2 integral alone, which takes the fewest steps to zero loss.
    """
    accepted = error <= 1.0 and not rose
    if not np.isfinite(error):
        factor = SHRINK
    elif not accepted and error <= 1.0:
        factor = 0.5  # the energy rose
    else:
        factor = _factor(control, scheme, max(error, 1e-10), accepted)
    # After a rejection the step may not grow at once; a step cut to land on a stop says nothing
    # against the longer one that was wanted.
    limit = 1.0 if control.rejected_last and accepted else factor
    following = h * min(factor, limit)
    if not accepted:
        return False, replace(control, h=following, rejected_last=True)
    if h < wanted:
        following = max(following, wanted)
    return True, replace(control, h=following, rejected_last=False, error=error)


def _factor(control: Control, scheme: Scheme, error: float, accepted: bool) -> float:
    order = scheme.error_order or 1
    factor = SAFETY * error ** (-1.0 / order)
    if accepted and control.error > 0.0 and order > 2:
        factor *= (error**0.5 * max(control.error, 1e-10)) ** (MEMORY / order)
    return float(np.clip(factor, SHRINK, GROW))


def exhausted(control: Control) -> bool:
    """Whether the step has fallen to a 10⁻¹² of s: states hardly move by such steps in doubles."""
    return control.h <= 1e-12 * max(control.s, 1e-300)
