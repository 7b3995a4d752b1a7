"""How a run starts: which method "auto" means, the first step, and what is said of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mfpde.flows import accuracy, stability, switching
from mfpde.flows.flow import Flow, Point
from mfpde.flows.schemes import SCHEMES, Scheme
from mfpde.runs.control import Control
from mfpde.runs.options import Options


def prepare(flow: Flow, point: Point, options: Options) -> tuple[Options, Control, str]:
    """Options with "auto" resolved, the first step, and a note on what was chosen."""
    watch, note = stability.start_vector(flow), ""
    if options.method == "auto":
        explicit = switching.scheme(flow, options, switching.EXPLICIT)
        h = first_step(flow, point, options, explicit)
        note = "method='auto' began with 'rk45'."
        control = Control(0.0, point.state, h, watch=watch, method=switching.EXPLICIT)
        return options, control, note
    if SCHEMES[options.method].adaptive:
        h = first_step(flow, point, options, flow.scheme(options))
    elif options.step is None:
        h, watch = default_step(flow, point, options)
        note = f"Step {h:.4g}: stable by a factor of two, and accurate, at rho0."
    else:
        h = options.step
    fixed = not SCHEMES[options.method].adaptive
    control = Control(0.0, point.state, h, watch=watch, chosen=fixed and options.step is None)
    return replace(options, step=h if fixed else None), control, note


def default_step(flow: Flow, point: Point, options: Options) -> tuple[float, Any]:
    """Half the stability limit at ρ_0, or what the stated accuracy allows there."""
    scheme = SCHEMES[options.method]
    value, watch = stability.largest_eigenvalue(flow, point, stability.start_vector(flow), 12)
    if not np.isfinite(value):
        raise ValueError("the tangent kernel at rho0 is not finite: scale the data or the law down")
    h = 0.5 * (scheme.stability or 1.0) / value if value else options.s_end
    return accuracy.longest_step(flow, scheme, point, h, options.s_end), watch


def choose(
    flow: Flow, point: Point, options: Options, explicit: str, not_stiff: float
) -> tuple[Options, str]:
    """``explicit`` for runs of up to ``not_stiff`` of the fastest time scales, else "implicit"."""
    value, _ = stability.largest_eigenvalue(flow, point, stability.start_vector(flow), 8)
    scales = options.s_end * value
    if scales <= not_stiff:
        method, why = explicit, f"s_end spans {scales:.1f} of its fastest time scales"
    elif np.isfinite(scales):
        method, why = "implicit", f"s_end spans {scales:.3g} of its fastest time scales: stiff"
    else:
        method, why = "implicit", "the run ends by its loss alone, and late training is stiff"
    return chosen(options, method, why)


def chosen(options: Options, method: str, why: str) -> tuple[Options, str]:
    """The options with a method in place of "auto", and the note that says so."""
    return replace(options, method=method), f"method='auto' chose {method!r}: {why}."


def first_step(flow: Flow, point: Point, options: Options, scheme: Scheme) -> float:
    """A step that moves little beside the allowed error's root; all of the run without an error."""
    order = scheme.error_order
    longest = options.s_end if np.isfinite(options.s_end) else 1.0
    speed = float(np.sqrt(point.norm2))
    if order is None or speed == 0.0:
        return longest
    size = scheme.share * (options.atol + options.rtol * max(flow.size(point), 1e-3))
    return float(min(longest, 0.5 * size ** (1.0 / order) / speed))
