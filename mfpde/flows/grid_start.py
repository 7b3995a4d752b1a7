"""How a run of a grid starts: which method "auto" means, and the first step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mfpde.flows import dual, stability
from mfpde.flows.options import Options
from mfpde.flows.schemes.grid import SCHEMES, muscl
from mfpde.solution import Control

# Explicit transport wins while the whole run is this many multiples of the fastest time scale.
NOT_STIFF = 200.0
# With entropy, drift and diffusion go on at equilibrium: explicit steps never grow long.
MOST_SPLIT = 2000.0


def prepare(flow: Any, point: Any, options: Options) -> tuple[Options, Control, str]:
    """Options with "auto" resolved, the first step, and a note on what was chosen."""
    note = ""
    if options.method == "auto":
        options, note = _choose(flow, point, options)
    if options.method == "implicit" and not dual.is_dense(flow.problem):
        how = f"Dual systems of size N k = {flow.rows} are solved by conjugate gradients."
        note = f"{note} {how}".strip()
    h = _first_step(flow, point, options)
    return options, Control(0.0, point.state, h, watch=stability.start_vector(flow)), note


def _choose(flow: Any, point: Any, options: Options) -> tuple[Options, str]:
    if flow.problem.temperature:
        return _choose_entropic(flow, point, options)
    value, _ = stability.largest_eigenvalue(flow, point, stability.start_vector(flow), 8)
    scales = options.s_end * value
    if scales <= NOT_STIFF:
        method, why = "muscl", f"s_end spans {scales:.1f} of its fastest time scales"
    elif np.isfinite(scales):
        method, why = "implicit", f"s_end spans {scales:.3g} of its fastest time scales: stiff"
    else:
        method, why = "implicit", "the run ends by its loss alone, and late training is stiff"
    return replace(options, method=method), f"method='auto' chose {method!r}: {why}."


def _choose_entropic(flow: Any, point: Any, options: Options) -> tuple[Options, str]:
    steps = options.s_end * point.survey.fastest / muscl.CFL
    if steps <= MOST_SPLIT:
        method, why = "muscl", f"s_end is about {steps:.0f} of its steps away"
    else:
        method, why = "scharfetter_gummel", f"s_end is {steps:.3g} explicit steps away"
    return replace(options, method=method), f"method='auto' chose {method!r}: {why}."


def _first_step(flow: Any, point: Any, options: Options) -> float:
    """All of the run where limits rule; else a step that moves little beside the error's root."""
    longest = options.s_end if np.isfinite(options.s_end) else 1.0
    order = SCHEMES[options.method].error_order
    speed = float(np.sqrt(point.norm2))
    if order is None or speed == 0.0:
        return longest
    size = options.atol + options.rtol * max(flow.size(point), 1e-3)
    return float(min(longest, 0.5 * size ** (1.0 / order) / speed))
