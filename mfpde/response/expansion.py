"""Coefficients of the expansion of a finite network about the limit, along training.

A network of L Euler layers and width M holds, at each depth, the empirical law of M draws of ρ_0,t.
To second order in that perturbation of the weights, and in 1/L, what it computes at time s is

    F = F_s + a_s/L + b_s/L² + n^{−1/2} ⟨g_s, ζ⟩ + n^{−1} ½ D²F_s[ζ, ζ],

n = LM for layers drawn independently and n = M for tied ones and for paths in depth, ζ white noise
of covariance ρ_0 − ρ_0 ⊗ ρ_0 at each depth, or of whole paths. F are the outputs at the data and at
other points, and the penalty: its *rows*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import predict
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.response import trajectory
from mfpde.response.linearised import Linearised
from mfpde.response.trajectory import Seeds, Trajectory

Array = NDArray[np.float64]

# Bytes of the displacements that one adjoint sweep carries.
SWEEP = 1 << 27
# Networks that are Euler in depth and infinitely wide, from which the terms in 1/L are read.
DEPTHS = (4, 16)
# Of the largest change of a weight that keeps it positive.
AMPLITUDE = 0.5


class Rows:
    """What is observed: outputs at the data, at ``x_new``, and ∫∫ r dρ where there is a penalty."""

    def __init__(self, problem: Problem, x_new: Array | None) -> None:
        self.problem = problem
        self.others = None if x_new is None else problem.start(x_new)
        self.data = problem.size * problem.outputs
        self.new = 0 if self.others is None else len(self.others) * problem.outputs
        self.count = self.data + self.new + bool(problem.penalty)

    def values(self, rho: ParticleMeasure, x_new: Array | None) -> Array:
        """All rows for one measure, (rows,)."""
        parts = [predict(self.problem, rho).ravel()]
        if x_new is not None:
            parts.append(predict(self.problem, rho, x_new).ravel())
        if self.problem.penalty:
            parts.append(np.array([rho.integrate(self.problem.penalty.value(rho.theta))]))
        return np.concatenate(parts)

    def seeds(self, point: Linearised, which: slice) -> Seeds:
        """The seeds of the rows first, …, last − 1."""
        k, parts = self.problem.outputs, []
        rows = np.arange(self.count)[which]
        own, new = rows[rows < self.data], rows[(rows >= self.data) & (rows < self.data + self.new)]
        if own.size:
            v = np.eye(self.data)[own].reshape(len(own), -1, k)
            parts.append(trajectory.of_outputs(point, v))
        if new.size and self.others is not None:
            v = np.eye(self.new)[new - self.data].reshape(len(new), -1, k)
            parts.append(trajectory.of_others(point, self.others, v))
        if rows.size and rows[-1] >= self.data + self.new:
            parts.append(trajectory.of_penalty(point))
        return Seeds(*(np.concatenate(each) for each in zip(*parts, strict=True)))


class Covariance(NamedTuple):
    """Of √n times the fluctuations, at one time: a factor A (rows, r) with C = A Aᵀ.

    ``error`` is the relative error of the root mean square deviation, by halves of the particles
    or by the number of probes.
    """

    factor: Array
    error: float

    @property
    def trace(self) -> float:
        """Σ_i C_ii."""
        return float(np.square(self.factor).sum())


class Probes(NamedTuple):
    """R random perturbations ζ of ρ_0: ⟨g, ζ⟩ and ½ D²F[ζ, ζ] at the marks, both (T, R, rows)."""

    first: Array
    second: Array
    rho0: ParticleMeasure


def influences(run: Trajectory, rows: Rows | None, marks: Sequence[int]) -> list[Array]:
    """Influence functions G_s(t_k, θ_kj) of all rows at the marks, T arrays (rows, K, M).

    Without rows: those of the loss, (1, K, M).
    """
    if rows is None:
        pulled = run.adjoint({n: trajectory.of_loss(run.at(n)) for n in marks}).influence
        return [one[None] for one in pulled[::-1]]
    one = run.rho0.theta.nbytes * len(marks)
    some = max(int(SWEEP // one), 1)
    found: list[list[Array]] = [[] for _ in marks]
    for first in range(0, rows.count, some):
        which = slice(first, min(first + some, rows.count))
        pulled = run.adjoint({n: rows.seeds(run.at(n), which) for n in marks}).influence
        size = which.stop - which.start
        for place, m in enumerate(np.argsort(marks)[::-1]):
            found[m].append(pulled[place * size : (place + 1) * size])
    return [np.concatenate(parts) for parts in found]


def covariance(g: Array, rho0: ParticleMeasure, shared: bool) -> Covariance:
    """C of the fluctuations from influence functions g (rows, K, M).

    Independent layers: ∫ Cov_{ρ_0,t}(G(t, ·)) dt; ``shared`` weights over depth (tied layers, or
    paths): Cov ∫ G dt.
    """
    omega, a = rho0.depth.weights, rho0.weights
    if shared:
        g, a, omega = np.einsum("rkm,k->rm", g, omega)[:, None], a[:1], np.ones(1)
    mean = np.einsum("rkm,km->rk", g, a)
    centred = (g - mean[:, :, None]) * np.sqrt(omega[:, None] * a)
    flat = centred.reshape(len(g), -1)
    halves = centred.reshape(len(g), a.shape[0], -1)
    m = halves.shape[2] // 2
    parts = [float(np.square(h).sum()) for h in (halves[:, :, :m], halves[:, :, m : 2 * m])]
    total = max(sum(parts), np.finfo(float).tiny)
    return Covariance(root(flat @ flat.T), 0.25 * abs(parts[0] - parts[1]) / total)


def with_variance(factor: Array, slope: Array, variance: float) -> Array:
    """A factor of C + (v − gᵀCg) e eᵀ, e = Cg/(gᵀCg): ⟨g, F⟩ then has the variance v exactly."""
    along = factor.T @ slope
    known = float(along @ along)
    if known <= 0.0:
        return factor
    e = along / np.sqrt(known)
    stretch = np.sqrt(variance / known) - 1.0
    found: Array = factor + stretch * np.outer(factor @ e, e)
    return found


def perturbations(
    rho0: ParticleMeasure, shared: bool, count: int, seed: int
) -> tuple[Array, float]:
    """``count`` weight changes ζ (R, K, M) of the covariance of white noise, and a safe amplitude.

    Signs ±1 keep the mean of D²F[ζ, ζ] and have the least variance about it.
    """
    omega, a = rho0.depth.weights[:, None], rho0.weights
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    signs = 2.0 * rng.integers(2, size=(count, *a.shape)) - 1.0
    zeta = np.sqrt(a) * signs[:, :1] if shared else np.sqrt(a / omega) * signs
    zeta -= a * zeta.sum(axis=2, keepdims=True)
    positive = a > 0
    largest = np.max(np.abs(zeta)[:, positive] / a[positive])
    return zeta, AMPLITUDE / float(largest)


def probe(
    run: Trajectory, rows: Rows, x_new: Array | None, marks: Sequence[int], shared: bool,
    count: int, seed: int,
) -> Probes:  # fmt: skip
    """First and second derivatives along ``count`` random ζ, by symmetric differences of runs."""
    rho0 = run.rho0
    base = along(run, rows, x_new, marks)
    zeta, e = perturbations(rho0, shared, count, seed)
    first, second = [], []
    for one in zeta:
        plus, minus = (
            along(
                Trajectory(
                    rows.problem,
                    ParticleMeasure(rho0.theta, rho0.depth, rho0.weights + sign * e * one),
                    run.method,
                    run.s,
                ),
                rows,
                x_new,
                marks,
            )
            for sign in (1.0, -1.0)
        )
        first.append((plus - minus) / (2 * e))
        second.append(0.5 * (plus - 2 * base + minus) / e**2)
    return Probes(np.stack(first, axis=1), np.stack(second, axis=1), rho0)


def along(run: Trajectory, rows: Rows, x_new: Array | None, marks: Sequence[int]) -> Array:
    """The rows at the marks of a run, (T, rows)."""
    return np.stack(
        [rows.values(run.rho0.with_state(run.at(n).layers.theta), x_new) for n in marks]
    )


def depth_terms(limit: Array, euler: Sequence[Array]) -> tuple[Array, Array]:
    """a and b of F_L = F + a/L + b/L² through the limit and Euler layers of ``DEPTHS``."""
    low, high = DEPTHS
    at_low, at_high = (low * (euler[0] - limit), high * (euler[1] - limit))
    b = (at_low - at_high) / (1 / low - 1 / high)
    return at_low - b / low, b


def from_probes(first: Array) -> Covariance:
    """C from ⟨g, ζ⟩ along R probes (R, rows): its trace is known to √(2/R) over its rank."""
    count = len(first)
    squares = np.square(first).sum(axis=1)
    mean = max(float(squares.mean()), np.finfo(float).tiny)
    error = 0.5 * float(squares.std(ddof=1)) / mean / np.sqrt(count)
    return Covariance(first.T / np.sqrt(count), error)


def root(c: Array) -> Array:
    """A with A Aᵀ = C for a positive semidefinite C, without the directions that are rounding."""
    values, vectors = np.linalg.eigh(c)
    keep = values > 1e-12 * max(values[-1], np.finfo(float).tiny)
    found: Array = vectors[:, keep] * np.sqrt(values[keep])
    return found
