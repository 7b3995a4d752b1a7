"""The infinitely wide, infinitely deep limit to a tolerance, with error bars.

``verb`` is what users call, ``search`` finds the sizes, ``tensor`` and ``scrambled`` resolve
width, ``parts`` depth and training time, ``law_in_depth`` looks at the law itself, and ``study``
does the runs.
"""

from mfpde.limits.result import Limit, Prediction
from mfpde.limits.verb import limit

__all__ = ["Limit", "Prediction", "limit"]
