"""
Finite networks and the limit
=============================

ResNets of L layers and width M, trained by gradient descent, scatter about the limit; the scatter
goes away like one over the square root of the number of blocks.
"""

import matplotlib.pyplot as plt
import numpy as np

import mfpde
from mfpde import laws, plots

x = np.linspace(-1, 1, 12)[:, None]
problem = mfpde.Problem(x, np.sin(np.pi * x), block=mfpde.SHL(dim=2), readout="last")
law, how = laws.Gaussian(1.0, dim=5), {"s_end": 4.0, "step": 0.1}

rho0 = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(8, "rk4"), count=1024)
limit = mfpde.solve(problem, rho0, method="gd", **how)

widths = (8, 32, 128)
runs = [mfpde.resnet.train(problem, law, layers=16, width=m, seeds=20, **how) for m in widths]

# %%
# Left: the bands that hold nine networks of ten. Right: standard deviation of the loss over 20
# networks, beside the slope −1/2.

figure, (left, right) = plt.subplots(1, 2, figsize=(plots.PAGE, 2.6))
for number, (width, run) in enumerate(zip(widths, runs, strict=True)):
    plots.networks(run.s, run.loss, color=f"C{number}", label=f"M = {width}", ax=left)
plots.curve(left, limit.s, limit.loss, color="black", ls="--", label="limit")
left.legend()

blocks = 16.0 * np.array(widths)
scatter = [run.loss[:, -1].std() for run in runs]
right.loglog(blocks, scatter, "o", label="measured")
right.loglog(blocks, scatter[0] * np.sqrt(blocks[0] / blocks), color="0.5", label="slope −1/2")
right.set(xlabel="blocks $LM$", ylabel="scatter of the loss")
right.set_xticks(blocks, [f"{n:g}" for n in blocks])
right.minorticks_off()
right.legend()
print("slope", np.polyfit(np.log(blocks), np.log(scatter), 1)[0].round(2))
