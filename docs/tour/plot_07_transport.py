"""
Distance and geodesic of conditional transport
==============================================

The metric in which training is a gradient flow moves mass in the parameters and never between
depths. How far did training move the law, and was the path straight?
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots, transport

x = np.linspace(-1, 1, 16)[:, None]
problem = mfpde.Problem(x, 1.5 * np.sin(2 * x), block=mfpde.SHL(dim=1))
rho0 = mfpde.ParticleMeasure.from_law(laws.Gaussian(1.0, dim=3), mfpde.Depth(4, "rk4"), count=128)
sol = mfpde.solve(problem, rho0, s_end=20.0, save=np.linspace(0, 20, 21), method="rk45")

plan = mfpde.conditional_transport(rho0, sol.final)
length = transport.path_length([sol.at(s) for s in sol.saved_s])
print(plan)
print(f"distance {plan.distance:.4f}, length of the path {length:.4f}")

# %%
# Left: the paths of the particles in training. Middle: the optimal plan between the same two laws.
# Right: the geodesic, along which mass goes straight.

figure, axes = plt.subplots(1, 3, figsize=(plots.PAGE, 2.4), sharex=True, sharey=True)
plots.particles(sol, (0, 1), t=0.5, ax=axes[0])
plots.transport_plan(plan, (0, 1), t=0.5, ax=axes[1])
way = np.stack([transport.geodesic(plan, r).atoms[4][:, :2] for r in np.linspace(0, 1, 11)], axis=1)
plots.ways(way, labels=("$r = 0$", "$r = 1$"), ax=axes[2])
axes[1].set(xlabel="$u$", ylabel="", title="plan, $t = 0.5$")
axes[2].set(xlabel="$u$", title="geodesic, $t = 0.5$")
