"""One scheme per file; each offers ``step(flow, point, h) -> Step`` and neither loops nor records.

A scheme is described by a ``Scheme``: its step, its order (of the step-size controller), whether
it estimates its error, and its stability interval on the negative real axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from mfpde.flows import dual
from mfpde.flows.flow import Flow, Point
from mfpde.flows.schemes import explicit, implicit, rosenbrock, tsitouras
from mfpde.runs.step import Scheme, Step

__all__ = ["SCHEMES", "Scheme", "Step", "scheme"]


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("gd", 1, explicit.euler, stability=2.0),
        Scheme("heun", 2, explicit.heun, stability=2.0),
        Scheme("rk4", 4, explicit.rk4, stability=2.785293563405282),
        Scheme("rk45", 5, tsitouras.step, error_order=5, stability=tsitouras.STABILITY, dense=True),
        Scheme("implicit", 2, implicit.step, error_order=2),  # of higher order: see ``scheme``
    )
}


def scheme(method: str, rtol: float, atol: float, served: float | None = None) -> Scheme:
    """The scheme of a run: "implicit" takes order and accuracy of its solves from rtol."""
    found = SCHEMES[method]
    if method != "implicit":
        return found
    way = late(rtol if served is None else served)
    step = partial(way.step, rtol=rtol, atol=atol)
    return replace(found, order=way.order, error_order=way.order, step=step)


class Late(NamedTuple):
    """What "implicit" is at a tolerance: its step, and what ``switching`` reckons with.

    ``work`` counts dual systems, ``passes`` gradients besides; ``reach`` says how its steps compare
    with explicit ones that are bound by accuracy.
    """

    step: Callable[..., Step]
    order: int
    work: dict[str, int]
    passes: int
    reach: float

    def price(self, flow: Flow, point: Point) -> float:
        """Gradients that one step is worth."""
        found = dual.costs(flow, point, **self.work)
        return found[dual.chosen(found, flow.solving.kind)] + self.passes


def table(rows: tuple[int, ...], reach: float) -> Late:
    """Extrapolation by these rows."""
    work = implicit.work(rows)
    return Late(partial(implicit.step, rows=rows), len(rows), work, work["kernels"], reach)


COARSE = table((1, 2), 0.3)
MIDDLE = Late(rosenbrock.step, rosenbrock.ORDER, rosenbrock.WORK, rosenbrock.PASSES, 0.8)
TIGHT = table((2, 3, 4, 5), 3.5)


def late(rtol: float) -> Late:
    """The cheapest way to this tolerance.

    To the ends of six problems, by "auto", work in gradients at errors of E that are alike (.5 to 7
    rtol): at 1e-3 21,000 by the Rosenbrock method against 26,000 by rows 1, 2, 3; at 1e-4 33,000
    against 45,000 by rows 2, 3, 4, 5; at 1e-5 57,000 against 51,000. To zero loss on digits at
    .03, where accuracy is no matter, 785 gradients by rows 1, 2 against 1,442.
    """
    return COARSE if rtol >= 3e-3 else MIDDLE if rtol >= 5e-5 else TIGHT
