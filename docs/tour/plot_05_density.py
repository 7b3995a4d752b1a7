"""
A grid and its density
======================

The same flow in Eulerian coordinates: finite volumes that conserve mass and keep it positive. The
density of block parameters splits and stretches into thin ridges.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots

x = np.linspace(-1, 1, 16)[:, None]
problem = mfpde.Problem(x, 0.5 * x + 0.4, block=mfpde.SHL(dim=1, bias=False))  # θ = (u, w)
depth, law = mfpde.Depth(4, "rk4"), laws.Gaussian(1.0, dim=2)
rho0 = mfpde.GridMeasure.from_law(law, depth, cells=(96, 96), box=[[-4, 4], [-4, 4]])
times = [0.0, 1.0, 8.0]
sol = mfpde.solve(problem, rho0, s_end=8.0, method="muscl", save=times)

figure, axes = plt.subplots(1, 3, figsize=(plots.PAGE, 2.3), sharey=True)
for ax, s in zip(axes, times, strict=True):
    plots.density(sol.at(s), t=0.5, ax=ax)
    ax.set(title=f"$s = {s:g}$", xlabel="$u$", ylabel="$w$")
    ax.label_outer()
print(f"E = {sol.loss[-1]:.2e}, mass lost {sol.stats['mass_drift']:.0e}")

# %%
# The same run as a moving picture, beside its loss.
#
# .. image:: ../tour/density.gif
#    :alt: the density of (u, w) as it splits, and the loss falling
#    :width: 100%

sol.animate("density.gif", frames=24)
