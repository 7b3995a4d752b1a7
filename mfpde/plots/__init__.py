"""Pictures of runs, measures and networks, in one style.

Each function draws one picture on ``ax`` (a new figure where none is given) and returns the
artists that hold its data. They draw what the verbs return and compute nothing of their own.
"""

from mfpde.plots.animation import FRAMES, RATE, animate
from mfpde.plots.budget import error_budget
from mfpde.plots.curves import energy_identity, networks, spectrum, trained, training
from mfpde.plots.hidden import outputs, trajectories
from mfpde.plots.law import density, particles
from mfpde.plots.marginals import marginals, ridges
from mfpde.plots.plan import transport_plan
from mfpde.plots.style import COLUMN, PAGE, axes_for, curve, save, style
from mfpde.plots.ways import ways

__all__ = [
    "COLUMN",
    "FRAMES",
    "PAGE",
    "RATE",
    "animate",
    "axes_for",
    "curve",
    "density",
    "energy_identity",
    "error_budget",
    "marginals",
    "networks",
    "outputs",
    "particles",
    "ridges",
    "save",
    "spectrum",
    "style",
    "trained",
    "training",
    "trajectories",
    "transport_plan",
    "ways",
]
