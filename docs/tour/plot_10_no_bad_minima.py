"""
A bad minimum and the way out
=============================

Eight copies of one neuron at zero: the gradient vanishes, the loss does not. Among laws there are
no bad local minima: somewhere V is lower than on average, and mass put there lowers the loss.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import plots, theory

x = np.array([[-1.1], [-0.7], [-0.3], [0.3], [0.7], [1.1]])
problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), readout="last")
stuck = mfpde.ParticleMeasure(np.zeros((8, 8, 5)), mfpde.Depth(8, "euler"))
print("|grad E| =", np.abs(mfpde.gradient(problem, stuck)).max())
found = theory.stationarity(problem, stuck)
print(f"E = {mfpde.loss(problem, stuck):.3f}; V falls {found.value:.3f} below its mean")

# %%
# ``escape`` inserts mass at the minimiser of V, follows the flow, and does so again until the loss
# is zero. Each colour is one round.

out = theory.escape(problem, stuck, loss_below=1e-8, s_round=30.0)
print(out.message)
_, ax = plt.subplots(figsize=(plots.COLUMN, 2.6))
start = 0.0
for number, one in enumerate(out.rounds):
    s = start + one.solution.s
    ax.semilogy(s, one.solution.loss, color=f"C{number % 6}")
    ax.semilogy([start, start], [one.loss_before, one.loss_inserted], ":", color="0.5")
    start = s[-1]
ax.set(xlabel="training time $s$, all rounds", ylabel="loss")
