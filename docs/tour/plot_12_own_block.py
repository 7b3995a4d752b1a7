"""
A block of one's own
====================

A residual block is three methods: its value, and its derivatives in state and parameter applied to
a covector. Everything else, the limit, kernels and networks, follows from them.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots


class Wave(mfpde.Block):  # f(x, (u, w)) = u sin(w x) on R
    dim, coordinates = 1, ("u", "w")

    def value(self, x, theta):  # (N, M, 1)
        u, w = theta.T
        return (u * np.sin(x * w))[:, :, None]

    def pull_state(self, x, theta, q):  # D_x f(x_i, θ_j)ᵀ q_i
        u, w = theta.T
        return (q * u * w * np.cos(x * w))[:, :, None]

    def pull_parameter(self, x, theta, q):  # D_θ f(x_i, θ_j)ᵀ q_i
        u, w = theta.T
        return np.stack([q * np.sin(x * w), q * u * x * np.cos(x * w)], axis=-1)


mfpde.check_block(Wave())  # against central differences
x = np.linspace(-2, 2, 24)[:, None]
problem = mfpde.Problem(x, x + 0.3 * np.sin(3 * x), block=Wave())
rho0 = mfpde.ParticleMeasure.from_law(laws.Gaussian(2.0, dim=2), mfpde.Depth(8), count=64)
sol = mfpde.solve(problem, rho0, s_end=200.0, method="implicit")
print(sol)

# %%
# Hidden states on their way through depth before (grey) and after training, coloured by their
# target; right, where they arrive.

figure, (left, right) = plt.subplots(1, 2, figsize=(plots.PAGE, 2.6))
plots.trajectories(mfpde.trajectories(problem, rho0), color="0.8", ax=left)
plots.trajectories(mfpde.trajectories(problem, sol.final), values=problem.y[:, 0], ax=left)
plots.outputs(problem.y, mfpde.predict(problem, sol.final), ax=right)
