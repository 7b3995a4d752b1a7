"""Twenty-three problems with late times: plateaus, stiffness that comes and goes, every loss.

The time stepper's constants were chosen on ``KNOWN``; ``HELD_OUT`` was drawn before and looked at
after. Each is a ``Case``: problem, start, end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import mfpde
from mfpde import Depth, laws


@dataclass(frozen=True)
class Case:
    problem: mfpde.Problem
    rho0: mfpde.ParticleMeasure
    end: float


class Bump(mfpde.Block):
    """f(x, θ) = u exp(−(w·x + b)²) in d = 2, as a user would write it."""

    dim, coordinates = 2, ("u0", "u1", "w0", "w1", "b")

    def value(self, x, theta):
        return self._bump(x, theta)[1][:, :, None] * theta[None, :, :2]

    def pull_state(self, x, theta, q):
        z, bump = self._bump(x, theta)
        return (-2 * z * bump * self._along(theta, q))[:, :, None] * theta[None, :, 2:4]

    def pull_parameter(self, x, theta, q):
        z, bump = self._bump(x, theta)
        slope = (-2 * z * bump * self._along(theta, q))[:, :, None]
        u = bump[:, :, None] * (q[:, None, :] if q.ndim == 2 else q)
        return np.concatenate([u, slope * x[:, None, :], slope], axis=2)

    def _bump(self, x, theta):
        z = x @ theta[:, 2:4].T + theta[:, 4]
        return z, np.exp(-(z**2))

    def _along(self, theta, q):
        return q @ theta[:, :2].T if q.ndim == 2 else (q * theta[None, :, :2]).sum(axis=-1)


def line(count):
    return np.linspace(-1, 1, count)[:, None]


def case(x, y, block, levels, rule, count, end, *, std=1.0, start=None, **more) -> Case:
    """A Gaussian start of ``count`` particles at each node; ``more`` is the problem's."""
    law = laws.Gaussian(std, dim=block.size)
    rho0 = mfpde.ParticleMeasure.from_law(law, Depth(levels, rule), count=count, **(start or {}))
    return Case(mfpde.Problem(x, y, block=block, **more), rho0, end)


def sine():
    x = line(32)
    return case(x, np.sin(2 * np.pi * x), mfpde.SHL(2), 16, "euler", 128, 1000.0)


def sine_iid():
    x, start = line(24), {"rule": "iid", "seed": 3}
    return case(x, np.sin(2 * np.pi * x), mfpde.SHL(2), 8, "euler", 64, 600.0, start=start)


def two_outputs():
    x = np.random.default_rng(5).uniform(-1, 1, (20, 2))
    y = np.stack([np.sin(3 * x[:, 0]) * x[:, 1], np.cos(2 * x[:, 0] + x[:, 1])], axis=1)
    return case(x, y, mfpde.SHL(4), 2, "rk4", 128, 600.0, readout="last")


def two_classes():
    x = line(24)
    y = (np.sin(3 * np.pi * x[:, 0]) > 0).astype(int)
    return case(x, y, mfpde.SHL(3), 4, "euler", 64, 400.0, loss="cross_entropy")


def weight_decay():
    x = line(20)
    return case(x, np.abs(x) - 0.5, mfpde.SHL(2), 4, "heun", 64, 500.0, weight_decay=1e-3)


def half_wave():
    x = line(12)
    return case(x, np.sin(np.pi * x), mfpde.SHL(2), 2, "rk4", 32, 300.0)


def softplus():
    x = np.random.default_rng(9).normal(size=(30, 2))
    block, start = mfpde.SHL(3, activation="softplus"), {"seed": 4}
    return case(x, x[:, :1] * x[:, 1:], block, 6, "euler", 80, 400.0, std=0.7, start=start)


def step_function():
    x, block = line(16), mfpde.SHL(2, activation="sigmoid")
    return case(x, np.sign(x) * 0.8, block, 8, "euler", 48, 800.0, std=1.5, start={"seed": 2})


def outlier():
    x = np.random.default_rng(7932).uniform(-1, 1, (24, 2))
    y = np.sin(4 * x[:, 0] + x[:, 1])
    y[3] += 3
    return case(x, y, mfpde.SHL(3), 6, "euler", 48, 500.0, start={"seed": 101}, loss="huber")


def chequerboard():
    x = np.random.default_rng(15851).uniform(-1, 1, (28, 2))
    y = np.sign(np.sin(4 * x[:, 0]) * np.sin(4 * x[:, 1]))
    return case(x, y, mfpde.SHL(3), 4, "euler", 64, 400.0, start={"seed": 102}, loss="logistic")


def weighted():
    x, start = line(20), {"seed": 103, "coupling": "tied"}
    y, weights = 0.7 * np.cos(3 * np.pi * x), np.linspace(0.3, 2, 20)
    return case(x, y, mfpde.SHL(2), 3, "rk4", 64, 600.0, start=start, weights=weights)


def three_classes():
    x = np.random.default_rng(31689).normal(size=(30, 2))
    y = (np.arctan2(x[:, 1], x[:, 0]) * 3 / np.pi % 3).astype(int)
    how = {"start": {"seed": 104}, "loss": "cross_entropy", "readout": "first"}
    return case(x, y, mfpde.SHL(4), 5, "euler", 48, 300.0, **how)


def gelu_classes():
    x, block = line(24), mfpde.SHL(2, activation="gelu")
    y = (np.cos(3 * np.pi * x[:, 0]) > 0).astype(int)
    how = {"start": {"seed": 107}, "loss": "cross_entropy", "weight_decay": 1e-4}
    return case(x, y, block, 6, "euler", 48, 400.0, **how)


def three_halves():
    x, start = line(24), {"seed": 108, "rule": "iid"}
    return case(x, np.sin(3 * np.pi * x), mfpde.SHL(2), 8, "euler", 48, 600.0, start=start)


def digits():
    from sklearn.datasets import load_digits

    images = load_digits()
    rows = np.random.default_rng(7996).permutation(len(images.data))[:40]
    x = images.data[rows] / 16
    x = x - x.mean(0)
    x = x @ np.linalg.svd(x, full_matrices=False)[2][:5].T
    y = np.eye(10)[images.target[rows]][:, :4]
    how = {"std": 0.7, "start": {"seed": 201}, "readout": "last"}
    return case(x / x.std(), y, mfpde.SHL(9), 4, "euler", 40, 300.0, **how)


def own_block():
    x = np.random.default_rng(15915).uniform(-1, 1, (14, 2))
    y = 0.8 * np.sin(5 * x[:, 0])
    return case(x, y, Bump(), 3, "euler", 20, 60.0, start={"seed": 202})


def populations():
    x = np.random.default_rng(23834).normal(size=(18, 2))
    y = np.stack([x[:, 0] * x[:, 1], np.cos(2 * x[:, 0])], axis=1)
    block = mfpde.Populations([mfpde.SHL(3), mfpde.Linear(3)])
    return case(x, y, block, 3, "euler", 24, 150.0, std=0.6, start={"seed": 203})


def noisy_sine():
    x, block = line(28), mfpde.SHL(2, activation="sin")
    y = np.sin(4 * np.pi * x) + 0.2 * np.random.default_rng(31753).normal(size=x.shape)
    how = {"start": {"seed": 204}, "loss": mfpde.losses.Huber(delta=0.3)}
    return case(x, y, block, 5, "euler", 56, 300.0, **how)


def spirals():
    t = np.linspace(0.5, 3, 16)
    arm = np.stack([t * np.cos(2 * t), t * np.sin(2 * t)], axis=1) / 3
    weights = np.random.default_rng(39672).uniform(0.5, 1.5, 32)
    x, y = np.concatenate([arm, -arm]), np.repeat([1.0, -1.0], 16)
    how = {"start": {"seed": 205}, "loss": "logistic", "weights": weights}
    return case(x, y, mfpde.SHL(3), 6, "euler", 64, 400.0, **how)


def tokens():
    x = np.random.default_rng(47591).normal(size=(16, 4))
    y, block = np.sin(3 * x[:, :1]) * x[:, 1:2], mfpde.TokenMLP(2, mfpde.SHL(2))
    return case(x, y, block, 3, "euler", 24, 150.0, start={"seed": 206})


def four_classes():
    x = np.random.default_rng(63429).normal(size=(32, 2))
    y = ((x[:, 0] > 0) * 2 + (np.sin(3 * x[:, 1]) > 0)).astype(int)
    how = {"start": {"seed": 208, "coupling": "tied"}, "loss": "cross_entropy"}
    return case(x, y, mfpde.SHL(5), 5, "euler", 48, 400.0, **how)


def decaying_waves():
    x, start = line(22), {"seed": 209, "rule": "iid"}
    y = np.sin(2.5 * np.pi * x)
    return case(x, y, mfpde.SHL(2), 7, "euler", 56, 600.0, start=start, weight_decay=3e-4)


def two_bumps():
    x, block = line(26), mfpde.SHL(3, activation="sigmoid")
    y = np.exp(-30 * (x - 0.5) ** 2) - np.exp(-30 * (x + 0.4) ** 2)
    return case(x, y, block, 8, "euler", 72, 700.0, std=2.0, start={"seed": 210})


KNOWN: dict[str, Callable[[], Case]] = {
    "sin 2πx, L = 16, M = 128, s = 1000": sine,
    "the same, 24 data, L = 8, M = 64 i.i.d., s = 600": sine_iid,
    "two outputs, d = 4, rk4, M = 128, s = 600": two_outputs,
    "cross-entropy, sin 3πx, s = 400": two_classes,
    "weight decay, s = 500": weight_decay,
    "sin πx, 12 data, s = 300": half_wave,
    "softplus, x₁x₂, s = 400": softplus,
    "sigmoid, a step, s = 800": step_function,
    "huber, one outlier, s = 500": outlier,
    "logistic, a chequerboard, s = 400": chequerboard,
    "weighted, cos 3πx, tied, s = 600": weighted,
    "three classes, s = 300": three_classes,
    "two classes, gelu, weight decay, s = 400": gelu_classes,
    "sin 3πx, i.i.d., s = 600": three_halves,
}
HELD_OUT: dict[str, Callable[[], Case]] = {
    "digits, 4 outputs, s = 300": digits,
    "a block of a user's own, s = 60": own_block,
    "populations of SHL and linear blocks, s = 150": populations,
    "huber, sin 4πx with noise, sine activation, s = 300": noisy_sine,
    "logistic, weighted, spirals, s = 400": spirals,
    "token MLP, s = 150": tokens,
    "four classes, tied, s = 400": four_classes,
    "sin 2.5πx, weight decay, s = 600": decaying_waves,
    "two bumps, sigmoid, s = 700": two_bumps,
}
