"""How a run of a grid starts: which method "auto" means there, and the first step."""

from __future__ import annotations

from mfpde.flows import stability, start
from mfpde.flows.flow import CellsPoint, Flow
from mfpde.flows.schemes.grid import muscl
from mfpde.runs.control import Control
from mfpde.runs.options import Options

# Explicit transport wins while the whole run is this many multiples of the fastest time scale.
NOT_STIFF = 200.0
# With entropy, drift and diffusion go on at equilibrium: explicit steps never grow long.
MOST_SPLIT = 2000.0


def prepare(flow: Flow, point: CellsPoint, options: Options) -> tuple[Options, Control, str]:
    """Options with "auto" resolved, the first step, and a note on what was chosen."""
    note = ""
    if options.method == "auto" and flow.problem.temperature:
        options, note = _choose_entropic(point, options)
    elif options.method == "auto":
        options, note = start.choose(flow, point, options, "muscl", NOT_STIFF)
    h = start.first_step(flow, point, options, flow.scheme(options))
    return options, Control(0.0, point.state, h, watch=stability.start_vector(flow)), note


def _choose_entropic(point: CellsPoint, options: Options) -> tuple[Options, str]:
    steps = options.s_end * point.survey.fastest / muscl.CFL
    if steps <= MOST_SPLIT:
        return start.chosen(options, "muscl", f"s_end is about {steps:.0f} of its steps away")
    why = f"s_end is {steps:.3g} explicit steps away"
    return start.chosen(options, "scharfetter_gummel", why)
