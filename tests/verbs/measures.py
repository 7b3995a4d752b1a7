"""One small measure of every kind, and the plain NumPy network that each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from oracle import Network

import mfpde
from mfpde import Axis, Grid

DECAY, QUARTIC = 0.1, 0.03
BETA = 0.7


def problem(**terms: Any) -> mfpde.Problem:
    """Four data in R², one output, tanh in d = 1 or 2."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 1)), rng.standard_normal((4, 1))
    block = mfpde.SHL(dim=1, bias=False)
    return mfpde.Problem(x, y, block=block, embed=[[1.3]], readout=[[0.8]], **terms)


def _grid() -> Grid:
    return Grid((Axis.sinh(-1.5, 1.7, 6, focus=0.2), Axis.uniform(-2.0, 1.8, 5)))


def _masses(levels: int, seed: int = 1) -> np.ndarray:
    grid = _grid()
    return (
        np.random.default_rng(seed).dirichlet(np.ones(grid.size), levels).reshape(-1, *grid.shape)
    )


def _theta(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).uniform(-1.2, 1.2, (*shape, 2))


def _weighted() -> mfpde.ParticleMeasure:
    weights = np.random.default_rng(3).dirichlet(np.ones(4), 5)
    return mfpde.ParticleMeasure(_theta(5, 4), mfpde.Depth(2, "rk4"), weights)


def _share() -> np.ndarray:
    return np.array([0.1, 0.3, 0.2, 0.4])[:, None, None]


def _still() -> mfpde.GridMeasure:
    return mfpde.GridMeasure(_masses(3), mfpde.Depth(2, "heun"), _grid())


MEASURES = {
    "particles": lambda: mfpde.ParticleMeasure(_theta(3, 4), mfpde.Depth(3, "euler")),
    "weighted": _weighted,
    "grid": _still,
    "moving": lambda: mfpde.MovingGrid.from_grid(_still()),
    "joint": lambda: mfpde.JointMeasure(_theta(7), np.linspace(0.9, 0.1, 7), beta=BETA, window=0.4),
    "joint_grid": lambda: mfpde.JointGrid(
        _masses(4) * [[[0.1]], [[0.3]], [[0.2]], [[0.4]]], _grid(), beta=BETA
    ),
    "ordered": lambda: mfpde.OrderedBlocks(_theta(5), [0.9, 0.2, 0.35, 0.7, 0.55], beta=BETA),
}


@dataclass
class Plain:
    """A measure as depth, atoms (K, n, p) and their masses at each node, and what follows."""

    depth: mfpde.Depth
    theta: np.ndarray
    weights: np.ndarray
    problem: mfpde.Problem

    def __post_init__(self) -> None:
        self.net = Network(self.depth, self.theta, self.weights, "tanh")
        self.start = self.problem.x @ self.problem.embed.T
        self.stages, self.path = self.net.forward(self.start)
        self.outputs = self.path[-1] @ self.problem.readout.T
        terminal = (self.outputs - self.problem.y) @ self.problem.readout / len(self.start)
        self.cotangents, self.back, self.raw = self.net.adjoint(self.stages, terminal)

    @property
    def fit(self) -> float:
        return float(0.5 * np.square(self.outputs - self.problem.y).sum(axis=1).mean())

    def gradient(self) -> np.ndarray:
        """∇V at the atoms, (K, n, p)."""
        return self.raw / self.depth.weights[:, None, None]

    def potential(self, theta: np.ndarray) -> np.ndarray:
        """V at points (K, n, p), (K, n)."""
        d, out = self.start.shape[1], np.zeros(theta.shape[:2])
        for (step, i), k in np.ndenumerate(self.depth.stage_nodes):
            u, w = theta[k][:, :d], theta[k][:, d:]
            f = np.tanh(self.stages[step, i] @ w.T)[:, :, None] * u
            out[k] += np.einsum("nmd,nd->m", f, self.cotangents[step, i])
        return out / self.depth.weights[:, None]

    def by_theta(self) -> np.ndarray:
        """Outputs by θ of every atom with its mass, (N·k, K, n, p)."""
        rows = []
        for i in range(len(self.start)):
            for b in self.problem.readout:
                terminal = np.zeros_like(self.start)
                terminal[i] = b
                rows.append(self.net.adjoint(self.stages, terminal)[2])
        return np.array(rows)

    def by_mass(self) -> np.ndarray:
        """Outputs by the mass of every atom, (N·k, K, n), by central differences."""
        columns, h = [], 1e-6
        for entry in np.ndindex(self.weights.shape):
            ends = []
            for sign in (1, -1):
                moved = self.weights.copy()
                moved[entry] += sign * h
                path = Network(self.depth, self.theta, moved, "tanh").forward(self.start)[1]
                ends.append(path[-1] @ self.problem.readout.T)
            columns.append((ends[0] - ends[1]).ravel() / (2 * h))
        return np.array(columns).T.reshape(-1, *self.weights.shape)


def plain(problem: mfpde.Problem, rho: Any) -> Plain:
    """Any measure as the network that it is, by the definition of its kind."""
    if isinstance(rho, mfpde.ParticleMeasure):
        return Plain(rho.depth, rho.theta, rho.weights, problem)
    if isinstance(rho, mfpde.GridMeasure | mfpde.JointGrid):
        grid = rho.grid
        mesh = np.meshgrid(*(axis.centres for axis in grid.axes), indexing="ij")
        points = np.stack([m.ravel() for m in mesh], axis=1)
        levels = len(rho.masses)
        masses = rho.masses.reshape(levels, -1)
        if isinstance(rho, mfpde.JointGrid):  # a density in depth: mass per unit of depth
            masses = masses * levels
        return Plain(rho.depth, np.tile(points, (levels, 1, 1)), masses, problem)
    order = np.argsort(rho.t, kind="stable")
    n, t = len(order), rho.t[order]
    steps = np.full(n, 1 / n) if isinstance(rho, mfpde.JointMeasure) else np.diff(t, prepend=0.0)
    return Plain(mfpde.Depth(n, "euler"), rho.theta[order][:, None], n * steps[:, None], problem)
