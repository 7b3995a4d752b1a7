"""How a run of a grid starts: which method "auto" means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mfpde.flows import stability
from mfpde.flows.options import Options
from mfpde.solution import Control


def prepare(flow: Any, point: Any, options: Options) -> tuple[Options, Control, str]:
    """Options with "auto" resolved, the first step, and a note on what was chosen."""
    watch, note = stability.start_vector(flow), ""
    if options.method == "auto":
        options, note = replace(options, method="muscl"), "method='auto' chose 'muscl'."
    h = options.s_end if options.s_end < float("inf") else 1.0
    return options, Control(0.0, point.state, h, watch=watch), note
