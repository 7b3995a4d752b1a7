"""
Predicting networks
===================

How far will a network of a given size be from the limit? ``mfpde.finite_size`` knows it from the
limit alone, without training a network. Here it is compared with networks that were trained.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots

x = np.linspace(-1, 1, 12)[:, None]
problem = mfpde.Problem(x, np.sin(np.pi * x), block=mfpde.SHL(dim=2), readout="last")
law, how = laws.Gaussian(1.0, dim=5), {"s_end": 4.0, "step": 0.25}

found = mfpde.finite_size(problem, law, particles=512, **how)
print(found)

# %%
# Shaded: where nine networks out of ten ended up. Dashed: where the prediction puts them.

layers, width = 16, 128
run = mfpde.resnet.train(problem, law, layers=layers, width=width, seeds=100, **how)
_, ax = plt.subplots(figsize=(plots.COLUMN, 2.6))
plots.networks(run.s, run.loss, probability=0.9, label="100 networks, median", ax=ax)
low, high = found.loss_band(layers, width, level=0.9).T
ax.plot(found.s, low, "--", found.s, high, "--", color="C1", label="predicted")
ax.legend(*[part[:2] for part in ax.get_legend_handles_labels()])

# %%
# And the other way round: how wide must it be for a loss within a tenth of the limit's?

goal = 1.1 * found.limit_loss[-1]
print(found.size_for(goal, probability=0.95))
