"""
A certificate before the run
============================

Convergence guaranteed from the start alone: rate, distance and every constant of the theorem. It is
rigorous, therefore cautious: the run keeps the promise with room to spare.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots, theory

x = np.array([[-1.5], [-0.5], [0.5], [1.5]])
law = laws.Product(laws.Dirac(0.0, dim=2), laws.Gaussian(2.0, dim=3))
rho0 = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(8, "euler"), count=128)


def scaled(c):  # the second coordinate is 0 at the start, and read out with the factor c
    return mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), readout=[[0.0, c]])


print(theory.certificate(scaled(1.0), rho0))

# %%
# It does not pass, and says from which readout scale on it would. There it does:

problem = scaled(1.1 * theory.certificate(scaled(1.0), rho0).readout_scale)
promise = theory.certificate(problem, rho0)
print(promise)

sol = mfpde.solve(problem, rho0, s_end=6.0 / promise.rate, rtol=1e-4)
_, ax = plt.subplots(figsize=(plots.COLUMN, 2.6))
plots.curve(ax, sol.s, sol.loss, label="loss of the run")
plots.curve(ax, sol.s, sol.loss[0] * np.exp(-2 * promise.rate * sol.s), ls="--", label="promised")
ax.set(xlabel="training time $s$", ylabel="loss")
ax.legend()
print("moved", mfpde.cot_distance(rho0, sol.final), "of the", promise.distance, "allowed")
