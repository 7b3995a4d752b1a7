"""How a run of particles starts: which method "auto" means, and the first step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mfpde.flows import dual, stability
from mfpde.flows.options import Options
from mfpde.flows.schemes import SCHEMES, scheme
from mfpde.solution import Control

# Explicit methods win while the whole run is this many multiples of the fastest time scale.
NOT_STIFF = 50.0


def prepare(flow: Any, point: Any, options: Options) -> tuple[Options, Control, str]:
    """Options with "auto" resolved, the first step, and a note on what was chosen."""
    watch, note = stability.start_vector(flow), ""
    if options.method == "auto":
        options, note = _choose(flow, point, options)
    if options.method == "implicit" and not dual.is_dense(flow.problem):
        how = f"Dual systems of size N k = {flow.rows} are solved by conjugate gradients."
        note = f"{note} {how}".strip()
    if SCHEMES[options.method].adaptive:
        h = _first_step(flow, point, options)
    elif options.step is None:
        value, watch = stability.largest_eigenvalue(flow, point, watch, 12)
        h = 0.5 * (SCHEMES[options.method].stability or 1.0) / value if value else options.s_end
        note = f"Step {h:.4g}: half the stability limit at rho0."
    else:
        h = options.step
    options = replace(options, step=h if not SCHEMES[options.method].adaptive else None)
    return options, Control(0.0, point.state, h, watch=watch), note


def _choose(flow: Any, point: Any, options: Options) -> tuple[Options, str]:
    value, _ = stability.largest_eigenvalue(flow, point, stability.start_vector(flow), 8)
    scales = options.s_end * value
    if scales <= NOT_STIFF:
        method, why = "rk45", f"s_end spans {scales:.1f} of its fastest time scales"
    elif np.isfinite(scales):
        method, why = "implicit", f"s_end spans {scales:.3g} of its fastest time scales: stiff"
    else:
        method, why = "implicit", "the run ends by its loss alone, and late training is stiff"
    return replace(options, method=method), f"method='auto' chose {method!r}: {why}."


def _first_step(flow: Any, point: Any, options: Options) -> float:
    """A step whose first-order displacement is small beside the allowed error's root."""
    order = scheme(options.method, options.rtol, options.atol).error_order or 1
    size = options.atol + options.rtol * max(flow.norm(point.state), 1e-3)
    speed = float(np.sqrt(point.norm2))
    longest = options.s_end if np.isfinite(options.s_end) else 1.0
    if speed == 0.0:
        return longest
    return min(longest, 0.5 * size ** (1.0 / order) / speed)
