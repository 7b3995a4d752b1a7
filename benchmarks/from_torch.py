"""A gradient of a network of `from_torch`'s blocks, SHL's formula: beside `SHL`, and torch alone.

torch alone is the loop that a user would write by hand for this formula, products of matrices and
autograd, without the package. Both it and `SHL` keep what the forward pass formed of every particle
and datum; `from_torch` forms it again in the pull, four products of matrices in place of three.
Claim: at (256 data, 512 particles, d = 64) at most 3.5 times `SHL`, 1.6 times torch. Half a minute.
"""

from __future__ import annotations

import harness
import numpy as np
import torch

import mfpde

LAYERS, LEAST = 4, 3e6  # of a network; numbers N·M·d of one timed call
CASES = ((256, 512, 64), (64, 128, 16), (16, 32, 3))


def shl(x, theta):
    d = x.shape[0]
    return theta[:d] * torch.tanh(theta[d : 2 * d] @ x + theta[2 * d])


def by_hand(problem: mfpde.Problem, rho: mfpde.ParticleMeasure) -> np.ndarray:
    theta = torch.tensor(rho.theta, requires_grad=True)
    d, (layers, width, _) = problem.block.dim, rho.theta.shape
    z, y = torch.tensor(problem.x), torch.tensor(problem.y)
    for own in theta:
        hidden = torch.tanh(z @ own[:, d : 2 * d].T + own[:, 2 * d])
        z = z + hidden @ own[:, :d] / (width * layers)
    energy = 0.5 * ((z[:, :1] - y) ** 2).sum(dim=1).mean()
    return layers * width * torch.autograd.grad(energy, theta)[0].numpy()


def measure(data: int, particles: int, d: int, rounds: int) -> dict:
    rng, size = np.random.default_rng(0), 2 * d + 1
    x, y = rng.standard_normal((data, d)), rng.standard_normal((data, 1))
    theta = rng.standard_normal((LAYERS, particles, size)) / 8
    rho = mfpde.ParticleMeasure(theta, mfpde.Depth(LAYERS, "euler"))
    blocks = mfpde.SHL(d), mfpde.blocks.from_torch(shl, dim=d, size=size)
    own, function = (mfpde.Problem(x, y, block=block) for block in blocks)
    repeats = max(1, round(LEAST / (data * particles * d)))
    runs = {
        "SHL": lambda: mfpde.gradient(own, rho),
        "from_torch": lambda: mfpde.gradient(function, rho),
        "torch": lambda: by_hand(own, rho),
    }
    for run in runs.values():
        np.testing.assert_allclose(run(), runs["SHL"](), rtol=1e-9, atol=1e-9)
    timed = {name: lambda run=run: [run() for _ in range(repeats)] for name, run in runs.items()}
    seconds = harness.alternate(timed, rounds, warm=8)  # sums become traces
    return {
        "case": f"N = {data}, M = {particles}, d = {d}",
        "threads": 1,
        "milliseconds": {name: 1e3 * np.median(s) / repeats for name, s in seconds.items()},
        "over_shl": harness.ratios(seconds["from_torch"], seconds["SHL"]),
        "over_torch": harness.ratios(seconds["from_torch"], seconds["torch"]),
    }


if __name__ == "__main__":
    rounds = harness.options(__doc__, 7).rounds
    rows = []
    with harness.set_threads(1):
        torch.set_num_threads(1)
        for case in CASES:
            row = measure(*case, rounds)
            rows.append(row)
            times = ", ".join(f"{k} {v:.2f}" for k, v in row["milliseconds"].items())
            low, middle, high = row["over_shl"]
            over = (
                f"over SHL {low:.1f} – {middle:.1f} – {high:.1f}, torch {row['over_torch'][1]:.1f}"
            )
            print(f"{row['case']:26s} ms: {times}; {over}", flush=True)
    harness.record("from_torch", rows, "over_shl", "times that of SHL")
