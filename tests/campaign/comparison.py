"""Random problems, measures, blocks and losses: the verbs beside plain NumPy in complex numbers.

The reference knows nothing of the package but the definition of each measure as atoms with masses
at the nodes of a Runge–Kutta method. It is analytic wherever the problem is, and takes derivatives
by complex steps: the imaginary part of E(θ + 1e-30 i e_j) has no rounding of a difference. Where
states leave a million, rounding decides, and numbers have only to be finite, or refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from outcome import Outcome
from problems import Cubic
from scipy import special

import mfpde
from mfpde import Axis, Grid, theory

STEP = 1e-30
TOLERANCE = 1e-9  # of the largest entry
FAR = 1e6

ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "gelu": lambda z: 0.5 * z * (1 + special.erf(z / np.sqrt(2))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "sin": np.sin,
}


class Plain:
    """E and the outputs of atoms θ (K, n, p) with masses (K, n), perturbations stacked in front."""

    def __init__(self, problem: mfpde.Problem, depth: mfpde.Depth, block: tuple[str, str]) -> None:
        self.problem, self.depth, self.kind = problem, depth, block
        self.start = problem.x @ problem.embed.T

    def f(self, x: Any, theta: Any) -> Any:
        """f(x, θ): x (P, N, d) and θ (P, n, p) to (P, N, n, d)."""
        kind, sigma = self.kind
        d = x.shape[-1]
        u, w = theta[..., :d], theta[..., d : 2 * d]
        if kind == "cubic":
            return (u[:, None] * (x[:, :, None] * w[:, None]) ** 3)[..., :1]
        inner = x @ np.swapaxes(w if kind == "shl" else u, 1, 2)
        if kind == "linear":
            return inner[..., None] * w[:, None]
        bias = theta[..., 2 * d][:, None] if theta.shape[-1] > 2 * d else 0.0
        return ACTIVATIONS[sigma](inner + bias)[..., None] * u[:, None]

    def path(self, theta: Any, masses: Any, start: Any = None, first: int = 0) -> list[Any]:
        """States after each depth step from step ``first`` on, (P, N, d) each."""
        h, tableau = self.depth.step, self.depth.tableau
        states = [self.start[None] if start is None else start]
        for nodes in self.depth.stage_nodes[first:]:
            slopes: list[Any] = []
            for i, k in enumerate(nodes):
                x = states[-1] + h * sum(a * s for a, s in zip(tableau.a[i], slopes, strict=False))
                slopes.append((self.f(x, theta[:, k]) * masses[:, k][:, None, :, None]).sum(2))
            new = sum(b * s for b, s in zip(tableau.b, slopes, strict=True))
            states.append(states[-1] + h * new)
        return states

    def outputs(self, theta: Any, masses: Any, **where: Any) -> Any:
        return self.path(theta, masses, **where)[-1] @ self.problem.readout.T

    def fit(self, z: Any) -> Any:
        """The data's term of E, (P,)."""
        y, name = self.problem.y, self.problem.loss.name
        if name == "squared":
            each = 0.5 * ((z - y) ** 2).sum(-1)
        elif name == "cross_entropy":
            top = z.real.max(-1, keepdims=True)
            each = np.log(np.exp(z - top).sum(-1)) + top[..., 0] - (y * z).sum(-1)
        elif name == "logistic":
            v = -y * z
            v, rest = np.where(v.real > 0, -v, v), np.where(v.real > 0, v, 0)
            each = (rest + np.log1p(np.exp(v))).sum(-1)
        else:
            r = (z - y) * np.sign((z - y).real)
            delta = self.problem.loss.delta  # type: ignore[attr-defined]
            each = np.where(r.real <= delta, 0.5 * r * r, delta * (r - 0.5 * delta)).sum(-1)
        weights = 1.0 if self.problem.weights is None else self.problem.weights
        return (weights * each).mean(-1)

    def energy(self, theta: Any, masses: Any) -> Any:
        mean = (self.depth.weights[:, None] * masses * self.penalty(theta)).sum((1, 2))
        return self.fit(self.outputs(theta, masses)) + mean

    def penalty(self, theta: Any) -> Any:
        """r(θ)."""
        square, it = (theta**2).sum(-1), self.problem.penalty
        return 0.5 * it.quadratic * square + 0.25 * it.quartic * square**2

    def by_theta(self, theta: Any, masses: Any, of: Any) -> Any:
        """d of(θ, masses)/dθ, the entries of θ in front."""
        return np.imag(of(_steps(theta), masses[None])) / STEP

    def by_mass(self, theta: Any, masses: Any) -> Any:
        return np.imag(self.energy(theta[None], _steps(masses))) / STEP

    def adjoint(self, theta: Any, masses: Any) -> Any:
        """P_i(t) at the ends of the steps, (L + 1, N, d)."""
        states = [state[0] for state in self.path(theta[None], masses[None])]
        rows = []
        for k, state in enumerate(states):
            z = self.outputs(theta[None], masses[None], start=_steps(state), first=k)
            rows.append(len(state) * (np.imag(self.fit(z)) / STEP).reshape(state.shape))
        return np.array(rows)


def _steps(values: Any) -> Any:
    """Copies of an array with an imaginary step in one entry each."""
    flat = np.tile(values.ravel().astype(complex), (values.size, 1))
    flat[np.arange(values.size), np.arange(values.size)] += 1j * STEP
    return flat.reshape(values.size, *values.shape)


# -- random problems ------------------------------------------------------------------------------


def draw(rng: np.random.Generator) -> tuple[mfpde.Problem, Any, Plain, Any, Any, str]:
    """A problem, a measure, its plain form with atoms and masses, and a name for it all."""
    kind = rng.choice(["shl", "shl", "shl", "linear", "cubic"])
    sigma = str(rng.choice(list(ACTIVATIONS)))
    d = 1 if kind == "cubic" else int(rng.integers(1, 4))
    block = {
        "shl": lambda: mfpde.SHL(d, sigma, bias=bool(rng.integers(2))),
        "linear": lambda: mfpde.Linear(d),
        "cubic": Cubic,
    }[kind]()
    problem = _problem(rng, block)
    scale = float(rng.choice([0.1, 1.0, 2.0]))
    rho, depth, theta, masses = _measure(rng, block, scale)
    name = f"{type(rho).__name__} {block} {problem.loss.name} {depth} scale {scale}"
    return problem, rho, Plain(problem, depth, (str(kind), sigma)), theta, masses, name


def _problem(rng: np.random.Generator, block: Any) -> mfpde.Problem:
    n, inputs = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    loss = str(rng.choice(["squared", "cross_entropy", "logistic", "huber"]))
    k = {"logistic": 1, "cross_entropy": int(rng.integers(2, 4))}.get(loss, int(rng.integers(1, 4)))
    y: Any = rng.standard_normal((n, k))
    if loss == "logistic":
        y = np.sign(y)
    elif loss == "cross_entropy":
        y = rng.dirichlet(np.ones(k), n)
    weights = rng.dirichlet(np.ones(n)) * n if rng.integers(2) else None
    decay = rng.choice([0.0, 0.1], 2)
    return mfpde.Problem(
        rng.standard_normal((n, inputs)), y, block=block, loss=loss, weights=weights,
        embed=rng.standard_normal((block.dim, inputs)), weight_decay=float(decay[0]),
        readout=rng.standard_normal((k, block.dim)), quartic_decay=float(decay[1]),
    )  # fmt: skip


def _measure(rng: np.random.Generator, block: Any, scale: float) -> tuple[Any, Any, Any, Any]:
    """A measure of a random kind, and its depth, atoms (K, n, p) and masses (K, n)."""
    kinds = ["particles", "particles", "weighted", "joint", "ordered"]
    kinds += ["grid", "moving", "joint grid"] if block.size <= 3 else []
    kind, count = rng.choice(kinds), int(rng.integers(1, 5))
    if kind in ("joint", "ordered"):
        return _placed(rng, block, scale, kind, count)
    method = str(rng.choice(["euler", "heun", "midpoint", "rk4"]))
    depth = mfpde.Depth(int(rng.integers(1, 4)), method)
    levels = len(depth.nodes)
    if kind in ("particles", "weighted"):
        theta = scale * rng.standard_normal((levels, count, block.size))
        weights = rng.dirichlet(np.ones(count), levels) if kind == "weighted" else None
        rho = mfpde.ParticleMeasure(theta, depth, weights)
        return rho, depth, theta, rho.weights
    axes = [Axis.uniform(-scale, 1.1 * scale, int(rng.integers(3, 5))) for _ in range(block.size)]
    grid, shape = Grid(tuple(axes)), tuple(len(axis.centres) for axis in axes)
    if kind == "joint grid":
        levels = int(rng.integers(3, 5))
        masses = rng.dirichlet(np.ones(levels * grid.size)).reshape(levels, *shape)
        rho = mfpde.JointGrid(masses, grid)
        return rho, rho.depth, *_cells(axes, levels * masses)
    masses = rng.dirichlet(np.ones(grid.size), levels).reshape(levels, *shape)
    still = mfpde.GridMeasure(masses, depth, grid)
    if kind == "grid":
        return still, depth, *_cells(axes, masses)
    moving = mfpde.MovingGrid.from_grid(still)
    return moving, depth, moving.theta, moving.weights


def _cells(axes: list[Axis], masses: Any) -> tuple[Any, Any]:
    mesh = np.meshgrid(*(0.5 * (a.edges[1:] + a.edges[:-1]) for a in axes), indexing="ij")
    points = np.stack([part.ravel() for part in mesh], axis=1)
    return np.tile(points, (len(masses), 1, 1)), masses.reshape(len(masses), -1)


def _placed(
    rng: np.random.Generator, block: Any, scale: float, kind: str, count: int
) -> tuple[Any, Any, Any, Any]:
    theta, t = scale * rng.standard_normal((count, block.size)), rng.uniform(size=count)
    make = mfpde.JointMeasure if kind == "joint" else mfpde.OrderedBlocks
    rho, order = make(theta, t, beta=np.inf), np.argsort(t, kind="stable")
    steps = np.full(count, 1 / count) if kind == "joint" else np.diff(t[order], prepend=0.0)
    return rho, mfpde.Depth(count, "euler"), theta[order][:, None], count * steps[:, None]


# -- the verbs ------------------------------------------------------------------------------------


def pairs(seed: int) -> Iterator[tuple[str, Any, Any]]:
    """(verb and case, what the package returns, what it must return) for one random problem."""
    problem, rho, plain, theta, masses, name = draw(np.random.default_rng(seed))
    one = theta[None], masses[None]
    z = plain.outputs(*one)[0]
    yield f"predict {name}", mfpde.predict(problem, rho), z
    energy = plain.energy(*one)[0]
    if isinstance(rho, mfpde.OrderedBlocks):  # of mass 1/n each, whatever their steps
        energy = plain.fit(z) + plain.penalty(theta).mean()
    yield f"loss {name}", mfpde.loss(problem, rho), energy
    found = mfpde.trajectories(problem, rho)
    yield f"hidden {name}", found.hidden, np.concatenate(plain.path(*one))
    yield f"adjoint {name}", found.adjoint, plain.adjoint(theta, masses)
    omega = plain.depth.weights[:, None]
    potential = plain.by_mass(theta, masses).reshape(masses.shape) / omega
    if isinstance(rho, mfpde.JointMeasure | mfpde.OrderedBlocks):
        yield from _of_blocks(name, problem, rho, plain, theta, masses, potential[:, 0])
        return
    found = mfpde.first_variation(problem, rho)
    yield f"first_variation {name}", found, potential.reshape(found.shape)
    if isinstance(rho, mfpde.ParticleMeasure) and np.all(masses > 0):
        mass = (omega * masses)[:, :, None]
        slope = plain.by_theta(theta, masses, plain.energy).reshape(theta.shape)
        yield f"gradient {name}", mfpde.gradient(problem, rho), slope / mass
        rows = plain.by_theta(theta, masses, plain.outputs).reshape(*theta.shape, -1)
        scaled = (rows / np.sqrt(mass)[..., None]).reshape(-1, z.size)
        yield f"kernel {name}", theory.tangent_kernel(problem, rho), scaled.T @ scaled


def _of_blocks(
    name: str, problem: Any, rho: Any, plain: Plain, theta: Any, masses: Any, potential: Any
) -> Iterator[tuple[str, Any, Any]]:
    """First variation and gradient of placed blocks, by their numbers."""
    order = np.argsort(rho.t, kind="stable")
    value = np.empty(rho.count)
    value[order] = potential
    yield f"first_variation {name}", mfpde.first_variation(problem, rho), value
    penalised = plain.problem.penalty
    slope = plain.by_theta(theta, masses, lambda a, b: plain.fit(plain.outputs(a, b)))
    found = np.empty_like(rho.theta)
    found[order] = rho.count * slope.reshape(theta.shape)[:, 0]
    found = found + penalised.gradient(rho.theta) if penalised else found
    yield f"gradient {name}", mfpde.gradient(problem, rho)[:, :-1], found


def judge(seed: int) -> Iterator[Outcome]:
    """One outcome a verb, on the random problem of this seed."""
    with np.errstate(all="ignore"):
        _, _, plain, theta, masses, name = draw(np.random.default_rng(seed))
        far = not np.max(np.abs(plain.path(theta[None], masses[None]))) < FAR
        try:
            for verb, found, expected in pairs(seed):
                if far:
                    finite = bool(np.all(np.isfinite(found)))
                    yield Outcome("right" if finite else "silent", verb, f"seed {seed}")
                else:
                    yield _compare(verb, np.asarray(found), expected, seed)
        except ValueError as error:
            kind = "clear" if far and "overflowed" in str(error) else "unclear"
            yield Outcome(kind, name, f"{error} (seed {seed})")


def _compare(name: str, found: Any, expected: Any, seed: int) -> Outcome:
    scale = np.abs(expected).max(initial=0.0)
    error = np.abs(found - expected).max() if found.shape == np.shape(expected) else np.inf
    same = error <= TOLERANCE * (1e-12 + scale)
    text = "" if same else f"off by {error:.2e} of {scale:.2e} (seed {seed})"
    return Outcome("right" if same else "silent", name, text)
