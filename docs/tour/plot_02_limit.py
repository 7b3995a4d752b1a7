"""
The limit with error bars
=========================

``mfpde.limit`` refines width, depth and training time until the loss of the infinite network is
known to the tolerance asked for, and says what each of them contributes to the error.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots

x = np.linspace(-1, 1, 8)[:, None]
problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1))
found = mfpde.limit(problem, laws.Gaussian(1.0, dim=3), s_end=4.0, rtol=1e-3, progress=False)
print(found)

# %%
# The loss with its band, and the parts of the error over training time.

found.plot()

# %%
# Outputs at new points have their bars too, here a hundred times enlarged.

points = np.linspace(-1.5, 1.5, 31)
outputs, error = found.predict(points[:, None])
_, ax = plt.subplots(figsize=(plots.COLUMN, 2.4))
ax.errorbar(points, outputs[:, 0], 100 * error[:, 0], fmt=".", label="limit, bars × 100")
ax.plot(x, problem.y, "o", mfc="none", color="C1", label="data")
ax.set(xlabel="$x$", ylabel="output")
ax.legend()
