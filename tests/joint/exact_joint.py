"""A smooth law on Θ × [0, 1] whose hidden and adjoint paths are known in closed form.

Blocks f = v ⟨u, x⟩ with u ~ N(0, 1), v = J u + noise, at depths of density c(t) = 1 + cos(πt)/2:
dX/dt = c(t) J X, so that X = e^{C(t) J} x with C = ∫c, and P = e^{(1 − C(t)) Jᵀ} P(1).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm
from scipy.special import ndtri

import mfpde
from mfpde import laws, quadrature

J = np.array([[0.3, -2.0], [2.0, -0.1]])


def primitive(t):
    return t + 0.5 * np.sin(np.pi * t) / np.pi


def density(t):
    return 1.0 + 0.5 * np.cos(np.pi * t)


def problem() -> mfpde.Problem:
    x, y = np.random.default_rng(0).standard_normal((2, 8, 2))
    return mfpde.Problem(x, y, block=mfpde.Linear(2))


def sample(count: int, rule: str = "sobol", seed: int = 0):
    """θ (n, 4) and t (n,)."""
    v, _ = quadrature.points(
        laws.Uniform(0.0, 1.0, dim=5), count, rule, np.random.SeedSequence(seed)
    )
    t = v[:, 0].copy()
    for _ in range(30):  # Newton: the inverse of the distribution function of t
        t -= (primitive(t) - v[:, 0]) / density(t)
    z = ndtri(v[:, 1:])
    u = z[:, :2]
    return np.concatenate([u, u @ J.T + 0.5 * z[:, 2:]], axis=1), np.clip(t, 0.0, 1.0)


def gradient(problem: mfpde.Problem, theta, t):
    """∇_θ V (n, 4) and ∂_t V (n,), exactly."""
    end = problem.x @ expm(J).T
    terminal = (end - problem.y) / problem.size
    c = density(t)[:, None, None]
    x = np.einsum("nab,ib->nia", _exponentials(primitive(t)), problem.x)
    p = np.einsum("nba,ib->nia", _exponentials(1.0 - primitive(t)), terminal)
    dx, dp = c * (x @ J.T), -c * (p @ J)
    u, v = theta[:, None, :2], theta[:, None, 2:]
    ux, vp = (u * x).sum(axis=2), (v * p).sum(axis=2)
    udx, vdp = (u * dx).sum(axis=2), (v * dp).sum(axis=2)
    by_theta = [(vp[:, :, None] * x).sum(axis=1), (ux[:, :, None] * p).sum(axis=1)]
    return np.concatenate(by_theta, axis=1), (vdp * ux + vp * udx).sum(axis=1)


def _exponentials(scale):
    """e^{s J} for each s, (n, 2, 2)."""
    values, vectors = np.linalg.eig(J)
    factors = np.exp(scale[:, None] * values)
    return np.real(np.einsum("ab,nb,bc->nac", vectors, factors, np.linalg.inv(vectors)))
