"""What each verb must return for a measure, from plain NumPy, finite differences and sorting.

One function a verb, called with a measure of any kind that the table says it takes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from verbs.measures import BETA, DECAY, QUARTIC, Plain, plain, problem

import mfpde
from mfpde import theory, transport

H = 1e-6


def call(verb: str, rho: Any, folder: Any) -> Any:
    """The verb with the plainest arguments that it needs."""
    return CALLS[verb](rho, folder)


def decayed() -> mfpde.Problem:
    return problem(weight_decay=DECAY, quartic_decay=QUARTIC)


def close(found: Any, expected: Any, tol: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tol, atol=tol)


def penalty(theta: np.ndarray) -> np.ndarray:
    square = (theta**2).sum(axis=-1)
    return 0.5 * DECAY * square + 0.25 * QUARTIC * square**2


def penalty_slope(theta: np.ndarray) -> np.ndarray:
    return (DECAY + QUARTIC * (theta**2).sum(axis=-1, keepdims=True)) * theta


def penalty_mean(rho: Any) -> float:
    it = plain(decayed(), rho)
    if isinstance(rho, mfpde.JointMeasure | mfpde.OrderedBlocks):
        return float(penalty(rho.theta).mean())
    return float(it.depth.weights @ (it.weights * penalty(it.theta)).sum(axis=1))


def placed(rho: Any) -> bool:
    return isinstance(rho, mfpde.JointMeasure | mfpde.OrderedBlocks)


def gridded(rho: Any) -> bool:
    return isinstance(rho, mfpde.GridMeasure | mfpde.JointGrid)


def in_order(rho: Any, values: np.ndarray) -> np.ndarray:
    """Values by depth node as the verbs give them: blocks by their numbers, cells by axis."""
    if placed(rho):
        out = np.empty_like(values[:, 0])
        out[np.argsort(rho.t, kind="stable")] = values[:, 0]
        return out
    return values.reshape(len(values), *rho.grid.shape) if gridded(rho) else values


def predict(rho, folder):
    task = problem()
    close(mfpde.predict(task, rho), plain(task, rho).outputs)
    new = mfpde.Problem(
        [[0.3], [-1.1]], [[0.0], [0.0]], block=task.block, embed=task.embed, readout=task.readout
    )
    close(mfpde.predict(task, rho, new.x), plain(new, rho).outputs)


def loss(rho, folder):
    close(mfpde.loss(problem(), rho), plain(problem(), rho).fit)
    close(mfpde.loss(decayed(), rho), plain(problem(), rho).fit + penalty_mean(rho))


def evaluate(rho, folder):
    it, others = plain(decayed(), rho), (np.array([[0.3], [-1.0]]), np.array([1.0, 0.5]))
    root = float(np.sqrt(np.mean((it.outputs - it.problem.y) ** 2)))
    found = mfpde.evaluate(decayed(), rho)
    close([found["loss"], found["rmse"]], [it.fit + penalty_mean(rho), root])
    it = plain(problem().on(*others), rho)
    root = float(np.sqrt(np.mean((it.outputs - it.problem.y) ** 2)))
    found = mfpde.evaluate(problem(), rho, *others)
    close([found["loss"], found["rmse"]], [it.fit, root])


def gradient(rho, folder):
    found, it = mfpde.gradient(decayed(), rho), plain(decayed(), rho)
    if not placed(rho):
        close(found, it.gradient() + penalty_slope(rho.theta))
        return
    scale = it.weights[:, :, None]  # n times the steps: the mass of a block in its own flow
    expected = in_order(rho, scale * it.gradient()) + penalty_slope(rho.theta)
    close(found[:, :-1], expected)
    if isinstance(rho, mfpde.OrderedBlocks):  # E is smooth in t between exchanges
        close(found[:, -1], by_depth(rho, lambda moved: mfpde.loss(problem(), moved)), 1e-7)
    else:  # E depends on the order only: the marginal in depth must be kept
        assert abs(found[:, -1].sum()) < 1e-12


def by_depth(rho: Any, of: Any) -> np.ndarray:
    """n β⁻² ∂/∂t_j by central differences."""
    slopes = []
    for j in range(rho.count):
        ends = []
        for sign in (1, -1):
            t = rho.t.copy()
            t[j] += sign * H
            ends.append(of(type(rho)(rho.theta, t, beta=rho.beta)))
        slopes.append(rho.count * (ends[0] - ends[1]) / (2 * H) / rho.beta**2)
    return np.array(slopes)


def first_variation(rho, folder):
    it = plain(decayed(), rho)
    own = it.potential(it.theta) + penalty(it.theta)
    close(mfpde.first_variation(decayed(), rho), in_order(rho, own))
    points = np.random.default_rng(5).standard_normal((3, 2))
    everywhere = np.tile(points, (len(it.theta), 1, 1))
    expected = it.potential(everywhere) + penalty(points)
    close(mfpde.first_variation(decayed(), rho, points), expected)
    close(mfpde.first_variation(decayed(), rho, everywhere), expected)


def trajectories(rho, folder):
    found, it = mfpde.trajectories(problem(), rho), plain(problem(), rho)
    close(found.hidden, it.path)
    close(found.adjoint, len(it.start) * it.back)
    ends = np.linspace(0, 1, it.depth.steps + 1)
    close(found.t, np.concatenate([[0], np.sort(rho.t)]) if placed(rho) else ends)


def solve(rho, folder):
    sol = mfpde.solve(problem(), rho, s_end=0.2, method=explicit(rho), step=fixed(rho))
    assert sol.success
    close(sol.loss[0], plain(problem(), rho).fit)
    close(sol.loss[-1], plain(problem(), sol.final).fit)
    assert np.all(np.diff(sol.loss) < 0)
    fall = 0.5 * (sol.gradient_norm2[1:] + sol.gradient_norm2[:-1]) @ sol.step[1:]
    if not isinstance(rho, mfpde.JointMeasure):  # whose E jumps where seven blocks change order
        assert abs((sol.loss[0] - sol.loss[-1]) / fall - 1) < (0.35 if gridded(rho) else 0.02)


def explicit(rho: Any) -> str:
    return "muscl" if gridded(rho) else "gd"


def fixed(rho: Any) -> float | None:
    return None if gridded(rho) else 0.01


def resume(rho, folder):
    how = {"method": explicit(rho), "step": fixed(rho), "save": [0.05]}
    path = folder / "run.h5"
    mfpde.solve(problem(), rho, s_end=0.05, checkpoint=path, **how)
    whole = mfpde.solve(problem(), rho, s_end=0.1, **how)
    again = mfpde.resume(path, s_end=0.1)
    np.testing.assert_array_equal(again.final.state, whole.final.state)
    np.testing.assert_array_equal(again.loss, whole.loss)


def stationary(rho, folder):
    warm = problem(temperature=0.3, weight_decay=DECAY)
    found = mfpde.stationary(warm, rho, tol=1e-11).final
    it = plain(warm, found)
    v = it.potential(it.theta) + 0.5 * DECAY * (it.theta**2).sum(axis=-1)
    gibbs = np.exp(-v / 0.3) * rho.grid.volumes.ravel()
    close(found.masses.reshape(v.shape), gibbs / gibbs.sum(axis=1, keepdims=True), 1e-9)


def hessian_product(rho, folder):
    direction = np.random.default_rng(6).standard_normal(rho.theta.shape)
    ends = [
        plain(problem(), rho.with_state(rho.theta + sign * H * direction)).gradient()
        for sign in (1, -1)
    ]
    found = mfpde.hessian_product(problem(), rho, direction)
    close(found, (ends[0] - ends[1]) / (2 * H), 1e-7)


# -- the tangent kernel --------------------------------------------------------------------------


def kernel_of(rho: Any) -> np.ndarray:
    """K = J P Jᵀ with the Jacobian of the plain network and the metric written out."""
    it = plain(problem(), rho)
    if placed(rho):
        return kernel_of_blocks(rho, it)
    if gridded(rho):
        return kernel_of_cells(rho, it)
    by_theta = it.by_theta() / it.depth.weights[:, None, None]
    mass = it.depth.weights[:, None] * it.weights
    return np.einsum("akmp,bkmp,km->ab", by_theta, by_theta, mass)


def kernel_of_blocks(rho: Any, it: Plain) -> np.ndarray:
    mass = it.weights[:, :, None]
    by_theta = (it.by_theta() * mass).reshape(len(it.outputs.ravel()), -1)
    kernel = rho.count * by_theta @ by_theta.T
    if rho.beta == np.inf:
        return kernel
    outputs = by_depth(rho, lambda moved: plain(problem(), moved).outputs.ravel()).T
    return kernel + outputs @ outputs.T * rho.beta**2 / rho.count


def kernel_of_cells(rho: Any, it: Plain) -> np.ndarray:
    by_mass = it.by_mass()
    joint = isinstance(rho, mfpde.JointGrid)
    axes = [axis.centres for axis in rho.grid.axes]
    if joint:  # V by mass, of which there are levels times more per unit of depth
        cells = (np.arange(rho.levels) + 0.5) * rho.beta / rho.levels
        v = (rho.levels * by_mass).reshape(len(by_mass), *rho.masses.shape)
        return faces([cells, *axes], rho.masses, v)
    v = by_mass / it.depth.weights[:, None]
    shape = (len(v), *rho.grid.shape)
    parts = [faces(axes, rho.masses[k], v[:, k].reshape(shape)) for k in range(rho.levels)]
    return np.einsum("k,kab->ab", it.depth.weights, parts)


def faces(axes: list[np.ndarray], masses: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Σ over faces of mean mass · slope · slope, for values v (rows, cells...)."""
    out = np.zeros((len(v), len(v)))
    for i, centres in enumerate(axes):
        m, w = np.moveaxis(masses, i, 0), np.moveaxis(v, i + 1, 1)
        for j, (left, right) in enumerate(pairwise(centres)):
            slope = ((w[:, j + 1] - w[:, j]) / (right - left)).reshape(len(v), -1)
            mean = 0.5 * (m[j] + m[j + 1]).ravel()
            out += (slope * mean) @ slope.T
    return out


def frozen(rho: Any) -> Any:
    """Blocks whose ∂_t V is an average that no difference of E shows, with depth held fixed."""
    if isinstance(rho, mfpde.JointMeasure):
        return mfpde.JointMeasure(rho.theta, rho.t, beta=np.inf, window=rho.window)
    return rho


def theory_tangent_kernel(rho, folder):
    rho = frozen(rho)
    close(theory.tangent_kernel(problem(), rho), kernel_of(rho), 1e-7)


def theory_tangent_operator(rho, folder):
    rho = frozen(rho)
    operator = theory.tangent_operator(problem(), rho)
    close(operator @ np.eye(4), kernel_of(rho), 1e-7)


def theory_kernel_spectrum(rho, folder):
    rho = frozen(rho)
    found = theory.kernel_spectrum(problem(), rho)
    values, vectors = np.linalg.eigh(kernel_of(rho) / 4)
    residual = (plain(problem(), rho).outputs - problem().y).ravel()
    close(found.eigenvalues, values[::-1], 1e-7)
    close(found.rate, residual @ kernel_of(rho) @ residual / 4 / (residual @ residual), 1e-7)
    assert np.all((vectors.T @ residual) ** 2 >= 0)


class Still:
    """A run that stays where it is."""

    s, loss, gradient_norm2 = np.zeros(1), np.zeros(1), np.zeros(1)

    def __init__(self, rho: Any) -> None:
        self.rho = rho

    def at(self, s: float) -> Any:
        return self.rho


def theory_kernel_evolution(rho, folder):
    rho = frozen(rho)
    found = theory.kernel_evolution(problem(), Still(rho), [0.0, 1.0])
    assert np.all(found.drift == 0.0)
    values = np.linalg.eigvalsh(kernel_of(rho) / 4)[::-1]
    close(found.eigenvalues, [values, values], 1e-7)


def hidden_kernel(rho: Any, node: int) -> np.ndarray:
    """∫ D_θf D_θfᵀ dρ_t (d = 1) at the mean of the states that the node is read at."""
    it = plain(problem(), rho)
    x = node_states(it)[node][:, 0]
    u, w = it.theta[node].T
    z = np.outer(x, w)
    rows = np.stack([np.tanh(z), u * x[:, None] / np.cosh(z) ** 2], axis=-1)
    if not gridded(rho):
        return np.einsum("nmp,lmp,m->nl", rows, rows, it.weights[node])
    axes = [axis.centres for axis in rho.grid.axes]
    values = (u * np.tanh(z)).reshape(-1, *rho.grid.shape)
    return faces(axes, rho.masses[node], values)


def node_states(it: Plain) -> np.ndarray:
    out = np.zeros((len(it.theta), *it.start.shape))
    for (step, i), k in np.ndenumerate(it.depth.stage_nodes):
        out[k] += it.depth.tableau.b[i] * it.stages[step, i] / it.depth.weights[k] / it.depth.steps
    return out


def theory_depth_kernel(rho, folder):
    for node in range(rho.levels):
        close(theory.depth_kernel(problem(), rho, node), hidden_kernel(rho, node), 1e-11)


def slopes(rho: Any) -> np.ndarray:
    """sup_i |∫ D_xf dρ_t| in d = 1, (K,)."""
    it = plain(problem(), rho)
    u, w = np.moveaxis(it.theta, 2, 0)
    z = node_states(it)[:, :, 0][:, :, None] * w[:, None, :]
    layer = np.einsum("kim,km->ki", (u * w)[:, None, :] / np.cosh(z) ** 2, it.weights)
    return np.abs(layer).max(axis=1)


def theory_lipschitz(rho, folder):
    close(theory.lipschitz(problem(), rho), slopes(rho), 1e-11)


def theory_polyak_lojasiewicz(rho, folder):
    found, it = theory.polyak_lojasiewicz(problem(), rho), plain(problem(), rho)
    kernel, residual = kernel_of(rho), (it.outputs - problem().y).ravel() / 4
    close(found.loss, it.fit)
    close(found.measured, residual @ kernel @ residual / (2 * it.fit), 1e-7)
    close(found.kernel, max(np.linalg.eigvalsh(kernel)[0], 0.0) / 4, 1e-7)
    parts = it.depth.weights * slopes(rho)
    later = np.array([parts[k + 1 :].sum() for k in range(len(parts))])
    if it.depth.method == "euler":
        factors = np.array([np.prod(1 - parts[k + 1 :]) for k in range(len(parts))])
    else:
        factors = np.exp(-later - 0.5 * parts)
    least = [max(np.linalg.eigvalsh(hidden_kernel(rho, k))[0], 0.0) for k in range(len(parts))]
    close(found.paper, 0.8**2 / 4 * (it.depth.weights * least) @ factors**2, 1e-9)


def theory_envelope(rho, folder):
    found = theory.envelope(problem(), Still(rho), [0.0, 0.5])
    one = theory.polyak_lojasiewicz(problem(), rho)
    close(found.bound["measured"], one.loss * np.exp([0.0, -one.measured]))


def theory_stationarity(rho, folder):
    box = [[-1.2, 1.2], [-1.2, 1.2]]
    found, it = theory.stationarity(decayed(), rho, box), plain(decayed(), rho)
    means = (it.weights * (it.potential(it.theta) + penalty(it.theta))).sum(axis=1)
    mesh = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, 81)] * 2), axis=-1).reshape(-1, 2)
    least = (it.potential(np.tile(mesh, (len(means), 1, 1))) + penalty(mesh)).min(axis=1)
    assert np.all(found.per_depth >= means - least - 1e-9)
    at = found.minimisers[:, None]
    close(found.per_depth, means - (it.potential(at) + penalty(at))[:, 0], 1e-11)


def theory_insert(rho, folder):
    found, eps = theory.stationarity(problem(), rho, [-1.0, 1.0]), 1e-5
    losses = [
        plain(problem(), theory.insert(rho, found, factor * eps)).fit for factor in (1.0, 2.0)
    ]
    slope = (4 * losses[0] - losses[1] - 3 * plain(problem(), rho).fit) / (2 * eps)
    it = plain(problem(), rho)
    points = theory.insert(rho, found, eps)
    new = plain(problem(), points)
    close(new.weights.sum(axis=1), 1.0)
    own = (it.weights * it.potential(it.theta)).sum(axis=1)
    moved = ((new.weights * it.potential(new.theta)).sum(axis=1) - own) / eps
    close(slope, it.depth.weights @ moved, 1e-4)  # the derivative in mass, as inserted
    if not gridded(rho):
        close(slope, -it.depth.weights @ np.maximum(found.per_depth, 0.0), 1e-4)


def theory_escape(rho, folder):
    start = plain(problem(), rho).fit
    found = theory.escape(problem(), rho, loss_below=0.95 * start, rounds=2, s_round=2.0)
    assert found.success
    close(found.loss, plain(problem(), found.final).fit)
    assert found.loss <= 0.95 * start


def theory_separation(rho, folder):
    found, it = theory.separation(rho, problem()), plain(problem(), rho)
    gaps = []
    for theta, mass in zip(it.theta, it.weights, strict=True):
        angles = np.sort(np.arctan2(*theta[mass > 0].T))
        gaps.append(0.5 * np.diff(angles, append=angles[0] + 2 * np.pi).max())
    assert found.sphere is None  # tanh is not homogeneous
    assert found.outer == ("u0",)
    close(found.gap, min(gaps), 5e-3)


def theory_certificate(rho, folder):
    flat = mfpde.ParticleMeasure(rho.theta, mfpde.Depth(rho.levels, "euler"), rho.weights)
    found, it = theory.certificate(problem(), flat), plain(problem(), flat)
    close(found.loss, it.fit, 1e-6)
    close(found.measured, theory.polyak_lojasiewicz(problem(), flat).measured, 1e-6)
    assert found.constants.rate(0.0) <= theory.polyak_lojasiewicz(problem(), flat).kernel + 1e-9


def theory_sublevel_certificate(rho, folder):
    task, it = labelled(), plain(labelled(), rho)
    level = float(np.mean(np.log1p(np.exp(-task.y * it.outputs))))
    found, gradient = theory.sublevel_certificate(task, rho, 0.5 * level), mfpde.gradient(task, rho)
    close(found.loss, level, 1e-6)
    norm2 = it.depth.weights @ (it.weights * (gradient**2).sum(axis=2)).sum(axis=1)
    bound = np.sqrt(found.constants.rate(0.0)) * -np.expm1(-task.size * level) / task.size
    assert bound <= np.sqrt(norm2) * (1 + 1e-9)


def labelled():
    """The table's problem with labels ±1 and the logistic loss."""
    like = problem()
    y = np.where(like.y[:, :1] > 0, 1.0, -1.0)
    how = {"block": like.block, "embed": like.embed, "readout": like.readout[:1]}
    return mfpde.Problem(like.x, y, loss="logistic", **how)


def theory_shallow_comparison(rho, folder):
    found, it = theory.shallow_comparison(problem(), rho), plain(problem(), rho)
    norms = np.sqrt((it.weights * (it.gradient() ** 2).sum(axis=2)).sum(axis=1))
    close(found.gradient, norms)
    assert np.all(found.shallow > 0)


# -- transport ------------------------------------------------------------------------------------


def shifted(rho: Any, c: float) -> Any:
    """The measure with every θ moved by (c, 0)."""
    by = np.array([c, 0.0])
    if isinstance(rho, mfpde.GridMeasure | mfpde.JointGrid):
        first, second = rho.grid.axes
        axes = [type(first)(first.edges + c), second]
        if isinstance(rho, mfpde.JointGrid):
            return mfpde.JointGrid(rho.masses, axes, beta=rho.beta)
        return mfpde.GridMeasure(rho.masses, rho.depth, axes)
    if placed(rho):
        return type(rho)(rho.theta + by, rho.t, beta=rho.beta)
    return mfpde.ParticleMeasure(rho.theta + by, rho.depth, rho.weights)


def cot_distance(rho, folder):
    close(mfpde.cot_distance(rho, rho), 0.0, 1e-7)
    close(mfpde.cot_distance(rho, shifted(rho, 0.3)), 0.3, 1e-9)


def conditional_transport(rho, folder):
    found = mfpde.conditional_transport(rho, shifted(rho, 0.3))
    close(found.distance, 0.3, 1e-9)
    close(found.per_depth, 0.3, 1e-9)


def transport_uniform_distance(rho, folder):
    close(transport.uniform_distance(rho, rho), 0.0, 1e-7)
    close(transport.uniform_distance(rho, shifted(rho, 0.3)), 0.3, 1e-9)


def transport_joint_distance(rho, folder):
    close(transport.joint_distance(rho, shifted(rho, 0.3), beta=BETA), 0.3, 1e-9)


def transport_as_measure(rho, folder):
    found = transport.as_measure("rho", rho)
    it = plain(problem(), rho)
    close(found.lengths, it.depth.weights)
    moments = [a @ x for x, a in zip(found.atoms, found.weights, strict=True)]
    close(moments, np.einsum("knp,kn->kp", it.theta, it.weights))


def transport_marginal_distance(rho, folder):
    close(transport.marginal_distance(rho, shifted(rho, 0.3)), [0.3, 0.0], 1e-9)


def transport_barycentre(rho, folder):
    found = transport.barycentre([rho, shifted(rho, 0.4)])
    target = transport.as_measure("rho", shifted(rho, 0.2))
    close(mfpde.cot_distance(found.measure, target), 0.0, 1e-6)


def transport_path_length(rho, folder):
    close(transport.path_length([rho, shifted(rho, 0.3), rho]), 0.6, 1e-9)


def transport_metric_speed(rho, folder):
    middle, speed = transport.metric_speed([0.0, 0.5], [rho, shifted(rho, 0.3)])
    close([*middle, *speed], [0.25, 0.6], 1e-9)


def transport_depth_regularity(rho, folder):
    gaps, moved = transport.depth_regularity(rho)
    nodes = plain(problem(), rho).depth.nodes
    close(gaps, np.diff(nodes))
    pieces = transport.as_measure("rho", rho)
    first, second = (([0.0], [pieces.atoms[k]], [pieces.weights[k]]) for k in (0, 1))
    close(moved[0], mfpde.cot_distance(first, second, method="simplex"), 1e-8)


def transport_sample_distance(rho, folder):
    found = transport.sample_distance(rho, shifted(rho, 0.3))
    close(found.plain, 0.09, 1e-8)


def _direction(rho: Any) -> Any:
    flat = mfpde.ParticleMeasure(np.zeros((1, 1, 2)), mfpde.Depth(1, "euler"))
    return theory.stationarity(problem(), flat)


CALLS: dict[str, Any] = {
    "gradient": lambda rho, _: mfpde.gradient(problem(), rho),
    "stationary": lambda rho, _: mfpde.stationary(problem(temperature=0.1), rho),
    "hessian_product": lambda rho, _: mfpde.hessian_product(problem(), rho, rho.state),
    "theory.depth_kernel": lambda rho, _: theory.depth_kernel(problem(), rho, 0),
    "theory.lipschitz": lambda rho, _: theory.lipschitz(problem(), rho),
    "theory.polyak_lojasiewicz": lambda rho, _: theory.polyak_lojasiewicz(problem(), rho),
    "theory.envelope": lambda rho, _: theory.envelope(problem(), Still(rho), [0.0]),
    "theory.stationarity": lambda rho, _: theory.stationarity(problem(), rho),
    "theory.insert": lambda rho, _: theory.insert(rho, _direction(rho), 0.1),
    "theory.escape": lambda rho, _: theory.escape(problem(), rho),
    "theory.separation": lambda rho, _: theory.separation(rho, problem()),
    "theory.certificate": lambda rho, _: theory.certificate(problem(), rho),
    "theory.sublevel_certificate": lambda rho, _: theory.sublevel_certificate(labelled(), rho, 0.1),
    "theory.shallow_comparison": lambda rho, _: theory.shallow_comparison(problem(), rho),
    "cot_distance": lambda rho, _: mfpde.cot_distance(rho, rho),
    "conditional_transport": lambda rho, _: mfpde.conditional_transport(rho, rho),
    "transport.uniform_distance": lambda rho, _: transport.uniform_distance(rho, rho),
    "transport.as_measure": lambda rho, _: transport.as_measure("rho", rho),
    "transport.marginal_distance": lambda rho, _: transport.marginal_distance(rho, rho),
    "transport.barycentre": lambda rho, _: transport.barycentre([rho]),
    "transport.path_length": lambda rho, _: transport.path_length([rho, rho]),
    "transport.metric_speed": lambda rho, _: transport.metric_speed([0.0, 1.0], [rho, rho]),
    "transport.depth_regularity": lambda rho, _: transport.depth_regularity(rho),
    "transport.sample_distance": lambda rho, _: transport.sample_distance(rho, rho),
}
