"""
Blocks that move in depth
=========================

Lu et al. let blocks change their place. Here the right blocks stand in the wrong order: with fixed
depths training has to change what they do, with free depths it may change where they are.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots

x = np.linspace(-1, 1, 32)[:, None]
block = mfpde.SHL(1, bias=False)
steep, flat = laws.Uniform([3, 15], [4, 25]), laws.Uniform([-4, 0.7], [-3, 1.3])  # (u, w)
rho0 = mfpde.JointMeasure.from_law(lambda t: steep if t < 0.5 else flat, count=256, beta=0.3)
reverse = mfpde.JointMeasure(rho0.theta, 1 - rho0.t)
problem = mfpde.Problem(x, mfpde.predict(mfpde.Problem(x, x, block=block), reverse), block=block)

free = mfpde.solve(problem, rho0, s_end=3.0, method="rk45", rtol=1e-3)
fixed = mfpde.JointMeasure(rho0.theta, rho0.t, beta=np.inf)
fixed = mfpde.solve(problem, fixed, s_end=3.0, method="rk45", rtol=1e-3)

figure, (left, right) = plt.subplots(1, 2, figsize=(plots.PAGE, 2.4))
plots.curve(left, free.s, free.loss, label="free depth")
plots.curve(left, fixed.s, fixed.loss, label="fixed depth")
left.set(xlabel="training time $s$", ylabel="loss")
left.legend()
points = right.scatter(rho0.t, free.final.t, c=rho0.theta[:, 1], s=5, cmap="cividis")
figure.colorbar(points, label="$w$ at the start")
right.set(xlabel="depth at the start", ylabel="depth at the end")
print(f"{fixed.loss[-1] / free.loss[-1]:.0f} times lower where blocks may move")

# %%
# The density of w at every depth: steep blocks stand before flat ones at the start, and behind them
# at the end.

figure, axes = plt.subplots(1, 2, figsize=(plots.PAGE, 2.4), sharey=True)
for ax, rho, title in zip(axes, (rho0, free.final), ("start", "end"), strict=True):
    mesh = plots.marginals(rho, 1, bins=12, ax=ax)
    ax.set(ylabel="$w$", title=title)
figure.colorbar(mesh, ax=axes, label="density")
