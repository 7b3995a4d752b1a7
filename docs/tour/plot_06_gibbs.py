"""
Entropy and Gibbs states
========================

With noise in training the flow descends the loss plus temperature times entropy, and comes to rest
in a Gibbs state of its own potential. ``mfpde.stationary`` solves for it in a few Newton steps.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import entropic, plots
from mfpde.measures import Grid

x = np.linspace(-1.7, 1.7, 24)[:, None]
y = 1.2 * np.tanh(2 * x)
found = {}
for eps in (0.5, 0.05, 0.01):
    decay = {"weight_decay": eps, "quartic_decay": 0.2 * eps, "temperature": eps}
    problem = mfpde.Problem(x, y, block=mfpde.SHL(dim=1), **decay)
    grid = Grid.of_box([[-2.5, 2.5]] * 3, 16)
    nu = entropic.prior(problem, mfpde.Depth(8, "rk4"), grid)  # the cold start: no data
    found[eps] = mfpde.stationary(problem, nu)
    print(f"temperature {eps}: {found[eps]}")

# %%
# The colder, the further the law leaves the prior, and the closer the outputs come to the targets.

figure, axes = plt.subplots(1, 4, figsize=(plots.PAGE, 2.0))
for ax, (eps, state) in zip(axes, found.items(), strict=False):
    plots.density(state.final, (0, 1), ax=ax)
    ax.set(title=rf"$\tau = {eps}$", xlabel="$u$", ylabel="$w$")
    axes[3].plot(x, mfpde.predict(problem, state.final), label=rf"$\tau = {eps}$")
axes[3].plot(x, y, "k.", ms=2, label="targets")
axes[3].set(xlabel="$x$", title="outputs")
axes[3].legend(fontsize=5)

# %%
# The coldest law over depth: the density of u, one ridge for each t.

_, ax = plt.subplots(figsize=(plots.COLUMN, 2.6))
plots.ridges(found[0.01].final, 0, ax=ax)
ax.set(xlabel="$u$")
