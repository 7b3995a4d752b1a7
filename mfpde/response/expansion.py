"""Coefficients of the expansion of a finite network about the limit, along training.

A network of L Euler layers and width M holds, at each depth, the empirical law of M draws of ρ_0,t.
To second order in that perturbation of the weights, and in 1/L, what it computes at time s is

    F = F_s + a_s/L + b_s/L² + n^{−1/2} ⟨g_s, ζ⟩ + n^{−1} ½ D²F_s[ζ, ζ],

n = LM for layers drawn independently and n = M for tied ones and for paths in depth, ζ white noise
of covariance ρ_0 − ρ_0 ⊗ ρ_0 at each depth, or of whole paths. F are the outputs at the data and at
other points, and the penalty: its *rows*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import predict
from mfpde.measures.particles import ParticleMeasure
from mfpde.paths import Path
from mfpde.problem import Problem
from mfpde.response import trajectory
from mfpde.response.linearised import Linearised
from mfpde.response.trajectory import Seeds, Trajectory

Array = NDArray[np.float64]

# Bytes of the displacements that one adjoint sweep carries.
SWEEP = 1 << 27
# Networks that are Euler in depth and infinitely wide, from which the terms in 1/L are read.
DEPTHS = (4, 16)
# Layers whose fluctuations are computed too. One is no expansion in depth: its mean is a run's.
FEW = (1, 4)
# Of the rows' variance, what the directions that are pulled back may leave to the probes.
MISSED = 0.08
# Of the largest change of a weight that keeps it positive.
AMPLITUDE = 0.5
# Parts of the points whose differences estimate the error of a covariance.
PARTS = 8


class Rows:
    """What is observed: outputs at the data, at ``x_new``, and ∫∫ r dρ where there is a penalty."""

    def __init__(self, problem: Problem, x_new: Array | None) -> None:
        self.problem, self.x_new = problem, x_new
        self.others = None if x_new is None else problem.start(x_new)
        self.data = problem.size * problem.outputs
        self.new = 0 if self.others is None else len(self.others) * problem.outputs
        self.count = self.data + self.new + bool(problem.penalty)

    def values(self, rho: ParticleMeasure) -> Array:
        """All rows for one measure, (rows,)."""
        parts = [predict(self.problem, rho).ravel()]
        if self.x_new is not None:
            parts.append(predict(self.problem, rho, self.x_new).ravel())
        if self.problem.penalty:
            parts.append(np.array([rho.integrate(self.problem.penalty.value(rho.theta))]))
        return np.concatenate(parts)

    def seeds(self, point: Linearised, combinations: Array) -> Seeds:
        """The seeds of combinations (r, rows) of the rows."""
        count, k = len(combinations), self.problem.outputs
        own, new, last = np.split(combinations, [self.data, self.data + self.new], axis=1)
        parts = [trajectory.of_outputs(point, own.reshape(count, -1, k))]
        if self.others is not None:
            parts.append(trajectory.of_others(point, self.others, new.reshape(count, -1, k)))
        if last.size:
            parts.append(trajectory.scaled(trajectory.of_penalty(point), last[:, 0]))
        return Seeds(*(sum(each[1:], each[0]) for each in zip(*parts, strict=True)))

    def slope(self, values: Array) -> Array:
        """∂E/∂rows where they have these values, (rows,)."""
        problem, found = self.problem, np.zeros(self.count)
        outputs = values[: self.data].reshape(problem.y.shape)
        found[: self.data] = (problem.loss_gradient(outputs) / problem.size).ravel()
        if problem.penalty:
            found[-1] = 1.0
        return found


class Fluctuations(NamedTuple):
    """√n times the fluctuations of the rows at one time: C_∞ = lift · core · liftᵀ.

    ``lift`` (rows, q), ``core`` (q, q), and ``few`` (2, q, q) those of FEW Euler layers; ``error``
    is the relative error of the root mean square deviation.
    """

    lift: Array
    core: Array
    few: Array
    error: float


class Probes(NamedTuple):
    """R random perturbations ζ of ρ_0: ⟨g, ζ⟩ and ½ D²F[ζ, ζ] at the marks, both (T, R, rows)."""

    first: Array
    second: Array


class Core(NamedTuple):
    """The covariance (r, r) of r combinations of rows, and the relative error of its root."""

    matrix: Array
    error: float


# -- influence functions ----------------------------------------------------------------------


def influences(
    run: Trajectory, rows: Rows, marks: Sequence[int], combinations: Sequence[Array]
) -> list[Array]:
    """Influence functions G_s(t_k, θ_kj) of combinations (r, rows) at the marks, (r, K, M) each."""
    one = run.rho0.theta.nbytes * len(marks)
    some = max(int(SWEEP // one), 1)
    found: list[list[Array]] = [[] for _ in marks]
    for first in range(0, max(len(each) for each in combinations), some):
        parts = [each[first : first + some] for each in combinations]
        seeds = {n: rows.seeds(run.at(n), v) for n, v in zip(marks, parts, strict=True) if len(v)}
        pulled = run.adjoint(seeds).influence
        for m in np.argsort(marks)[::-1]:
            found[m].append(pulled[: len(parts[m])])
            pulled = pulled[len(parts[m]) :]
    return [np.concatenate(parts) for parts in found]


def covariance(g: Array, rho0: ParticleMeasure, coupling: str | Path) -> Core:
    """The covariance of √n times the fluctuations, from influence functions g (r, K, M).

    Independent layers: ∫ Cov_{ρ_0,t}(G(t, ·)) dt; tied ones and paths: Cov ∫ G dt. The error is
    that of the mean of eighths of the points: runs of a sequence are spread as evenly as the whole,
    so the whole is no worse.
    """
    omega, a = rho0.depth.weights, rho0.weights
    kink = _kink(g, rho0, coupling) if isinstance(coupling, Path) else 0.0
    if coupling != "independent":
        g, a, omega = np.einsum("rkm,k->rm", g, omega)[:, None], a[:1], np.ones(1)
    mean = np.einsum("rkm,km->rk", g, a)
    centred = (g - mean[:, :, None]) * np.sqrt(omega[:, None] * a)
    flat = centred.reshape(len(g), -1)
    each = np.square(centred).sum(axis=(0, 1))
    parts = np.array([part.sum() for part in np.array_split(each, PARTS)])
    total = max(float(parts.sum()), np.finfo(float).tiny)
    error = 0.5 * float(parts.std(ddof=1)) * np.sqrt(PARTS) / total
    return Core(flat @ flat.T + kink, error)


def _kink(g: Array, rho0: ParticleMeasure, path: Path) -> Array:
    """What a quadrature in depth misses of ∬ Cov(G_t, G_t′) dt dt′ of paths, (r, r).

    Their covariance may have a kink at t = t′, which second differences across the diagonal show:
    as much of them as makes the path's own correlation exact. Euler layers are sums, and exact.
    """
    t, omega, a = rho0.depth.nodes, rho0.depth.weights, rho0.weights
    if rho0.depth.method != "rk4" or len(t) < 3:
        return np.zeros((len(g), len(g)))
    inner, correlation = omega[1:-1], path.correlation(np.abs(t[:, None] - t))
    tau, w = np.polynomial.legendre.leggauss(64)
    exact = float(w @ ((0.5 - 0.5 * tau) * path.correlation(0.5 + 0.5 * tau)))
    beside = np.diag(correlation, 1)
    own = float(inner @ (np.diag(correlation)[1:-1] - 0.5 * (beside[1:] + beside[:-1])))
    missed = (exact - omega @ correlation @ omega) / max(own, np.finfo(float).tiny)
    centred = (g - np.einsum("rkm,km->rk", g, a)[:, :, None]) * np.sqrt(a)
    second = centred[:, 1:-1] - 0.5 * (centred[:, 2:] + centred[:, :-2])
    found = np.einsum("rkm,qkm,k->rq", centred[:, 1:-1], second, inner)
    symmetric: Array = 0.5 * missed * (found + found.T)
    return symmetric


# -- random perturbations ---------------------------------------------------------------------


def leading(first: Array, slope: Array, count: int, missed: float) -> Array:
    """Orthonormal combinations (r, rows), r <= ``count``, that hold most of the fluctuations.

    That of the loss to first order, ``slope`` (rows,), and the largest principal directions of
    ⟨g, ζ⟩ (R, rows), until no more than the share ``missed`` of their squares is left; all rows
    where they are that few and nothing may be missed.
    """
    if missed == 0.0 and first.shape[1] <= count:
        return np.eye(first.shape[1])
    directions = np.linalg.svd(first, full_matrices=False)[2][: count - 1]
    size = max(float(np.linalg.norm(slope)), np.finfo(float).tiny)
    q, r = np.linalg.qr(np.concatenate([slope[None] / size, directions]).T)
    found: Array = q[:, np.abs(np.diag(r)) > 1e-8].T
    held = np.cumsum(np.square(first @ found.T).sum(axis=0))
    enough = int(np.sum(held < (1.0 - missed) * np.square(first).sum())) + 1
    return found[:enough]


def fluctuations(
    first: Array, combinations: Array, core: Core, few: Sequence[Core]
) -> Fluctuations:
    """All rows from R probes (R, rows) and from the covariance of r combinations (r, rows).

    What the combinations y = Uf do not hold of the rows is Ay + e: A by regression on the probes,
    Cov(e) from what it leaves, of which few layers are taken to have as much beside.
    """
    count, r = len(first), len(combinations)
    y = first @ combinations.T
    rest = first - y @ combinations
    change = np.linalg.lstsq(y, rest, rcond=1e-6)[0]
    left = (rest - y @ change) / np.sqrt(max(count - r, 1))
    lift = np.concatenate([(combinations + change).T, left.T], axis=1)
    missed = float(np.square(left).sum())
    held = float(np.einsum("ab,bc,ac->", lift[:, :r], core.matrix, lift[:, :r]))
    part = missed / max(held + missed, np.finfo(float).tiny)
    error = float(np.hypot((1 - part) * core.error, part * _scatter(left, count - r)))
    whole = max(float(np.trace(core.matrix)), np.finfo(float).tiny)
    deep, *low = (_beside(c.matrix, np.trace(c.matrix) / whole, count) for c in (core, *few))
    return Fluctuations(lift, deep, np.stack(low), error)


def _scatter(rows: Array, count: int) -> float:
    """The relative error of the root mean square of |rows| from ``count`` free ones."""
    squares = np.square(rows).sum(axis=1)
    mean = max(float(squares.mean()), np.finfo(float).tiny)
    return 0.5 * float(squares.std(ddof=1)) / mean / float(np.sqrt(max(count, 1)))


def _beside(core: Array, scale: float, count: int) -> Array:
    """The block diagonal of a core and ``scale`` times the identity."""
    r = len(core)
    found = scale * np.eye(r + count)
    found[:r, :r] = core
    return found


def from_probes(first: Array, few: Sequence[Array]) -> Fluctuations:
    """From ⟨g, ζ⟩ along R probes (R, rows) alone, and along the same probes of few layers."""
    count, core = len(first), np.eye(len(first))
    whole = max(float(np.square(first).sum()), np.finfo(float).tiny)
    low = np.stack([np.square(each).sum() / whole * core for each in few])
    return Fluctuations(first.T / np.sqrt(count), core, low, _scatter(first, count))


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
    run: Trajectory, rows: Rows, marks: Sequence[int], shared: bool, count: int, seed: int,
    tick: Callable[[], None],
) -> Probes:  # fmt: skip
    """First and second derivatives along ``count`` random ζ, by symmetric differences of runs."""
    base, rho0 = along(run, rows, marks), run.rho0
    zeta, e = perturbations(rho0, shared, count, seed)
    first, second = [], []
    for one in zeta:
        plus, minus = (
            along(run.beside(rho0.weights + sign * e * one), rows, marks) for sign in (1.0, -1.0)
        )
        first.append((plus - minus) / (2 * e))
        second.append(0.5 * (plus - 2 * base + minus) / e**2)
        tick()
    return Probes(np.stack(first, axis=1), np.stack(second, axis=1))


def bend(second: Array) -> Array:
    """B (T, rows, R) with B Bᵀ/n² the scatter of ½ D²F[ζ, ζ]/n and the error of its mean."""
    count = second.shape[1]
    centred = second - second.mean(axis=1, keepdims=True)
    found: Array = np.moveaxis(centred, 1, 2) * np.sqrt((1 + 1 / count) / (count - 1))
    return found


def along(run: Trajectory, rows: Rows, marks: Sequence[int]) -> Array:
    """The rows at the marks of a run, (T, rows)."""
    return np.stack([rows.values(run.rho0.with_state(run.at(n).layers.theta)) for n in marks])


# -- depth -------------------------------------------------------------------------------------


def depth_terms(limit: Array, euler: Sequence[Array]) -> tuple[Array, Array]:
    """a and b of F_L = F + a/L + b/L² through the limit and Euler layers of ``DEPTHS``."""
    low, high = DEPTHS
    at_low, at_high = (low * (euler[0] - limit), high * (euler[1] - limit))
    b = (at_low - at_high) / (1 / low - 1 / high)
    return at_low - b / low, b


def root(c: Array) -> Array:
    """A with A Aᵀ = C for a positive semidefinite C, without the directions that are rounding."""
    values, vectors = np.linalg.eigh(c)
    keep = values > 1e-12 * max(values[-1], np.finfo(float).tiny)
    found: Array = vectors[:, keep] * np.sqrt(values[keep])
    return found
