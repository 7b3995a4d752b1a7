"""
The tangent kernel along training
=================================

How fast each direction of the outputs is learned is an eigenvalue of the tangent kernel. It is not
frozen: in the mean-field scaling features move, and the spectrum moves with them.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots, theory

x = np.linspace(-1, 1, 10)[:, None]
problem = mfpde.Problem(x, np.sin(np.pi * x), block=mfpde.SHL(dim=2), readout="last")
rho0 = mfpde.ParticleMeasure.from_law(laws.Gaussian(1.0, dim=5), mfpde.Depth(8, "rk4"), count=256)
times = np.concatenate([[0.0], np.geomspace(0.1, 1000.0, 25)])
sol = mfpde.solve(problem, rho0, s_end=1000.0, save=times, method="implicit", rtol=1e-4)

evolution = theory.kernel_evolution(problem, sol, times)
figure, (left, right) = plt.subplots(1, 2, figsize=(plots.PAGE, 2.6))
plots.spectrum(evolution, ax=left)
right.semilogx(evolution.s[1:], evolution.drift[1:], color="C1")
right.set(xlabel="training time $s$", ylabel=r"$\|K(s) - K(0)\| / \|K(0)\|$")

# %%
# What is left of the residual lies in the slow directions, at the end in the slowest alone.

print("share of the three slowest modes:", evolution.alignment[[0, 10, -1], -3:].sum(axis=1))
found = theory.polyak_lojasiewicz(problem, sol.final)
print(f"rate now {found.measured:.4g}, smallest eigenvalue {found.kernel:.4g}")
