"""One scheme per file; each offers ``step(flow, point, h) -> Step`` and neither loops nor records.

A scheme is described by a ``Scheme``: its step, its order (of the step-size controller), whether
it estimates its error, and its stability interval on the negative real axis.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mfpde.flows.schemes import explicit, implicit, tsitouras
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
    rows = implicit.rows_for(rtol if served is None else served)
    step = partial(found.step, rows=rows, rtol=rtol, atol=atol)
    return replace(found, order=len(rows), error_order=len(rows), step=step)
