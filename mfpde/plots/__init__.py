"""Pictures of runs, measures and networks, in one style.

Each function draws one picture on ``ax`` (a new figure where none is given) and returns the
artists that hold its data. They draw what the verbs return and compute nothing of their own.
"""

from mfpde.plots.curves import energy_identity, networks, spectrum, training
from mfpde.plots.hidden import outputs, trajectories
from mfpde.plots.law import density, particles
from mfpde.plots.style import COLUMN, PAGE, axes_for, curve, save, style

__all__ = [
    "COLUMN",
    "PAGE",
    "axes_for",
    "curve",
    "density",
    "energy_identity",
    "networks",
    "outputs",
    "particles",
    "save",
    "spectrum",
    "style",
    "training",
    "trajectories",
]
