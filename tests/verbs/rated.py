"""Every verb in the metric of rates η, against the same verb in the variables θ/√η.

Each entry gives numbers that both must share, called with (problem, measure, rates): rates where a
verb takes them itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from verbs.checks import Still, gridded, placed, shifted
from verbs.measures import problem

import mfpde
from mfpde import theory, transport

ETA = np.array([0.4, 2.5])  # of product 1: then √η_w x turns f(x, √η φ) into an SHL block again
ROOT = np.sqrt(ETA)


class Scaled(mfpde.Block):
    """f(x, √η φ) of ``problem``: u tanh(w x)."""

    dim, coordinates = 1, ("u0", "w0")

    def value(self, x, theta):
        u, w = (theta * ROOT).T
        return (u * np.tanh(x * w))[:, :, None]

    def pull_state(self, x, theta, q):
        u, w = (theta * ROOT).T
        return (q * u * w / np.cosh(x * w) ** 2)[:, :, None]

    def pull_parameter(self, x, theta, q):
        u, w = (theta * ROOT).T
        rows = np.stack([q * np.tanh(x * w), q * u * x / np.cosh(x * w) ** 2], axis=-1)
        return rows * ROOT


def other(**terms: Any) -> mfpde.Problem:
    """The problem in the other variables."""
    own = problem()
    return mfpde.Problem(
        own.x, own.y, block=Scaled(), embed=own.embed, readout=own.readout, **terms
    )


def scaled(rho: Any) -> Any:
    """The measure in the other variables."""
    if gridded(rho):
        pairs = zip(rho.grid.axes, ROOT, strict=True)
        grid = mfpde.Grid(tuple(mfpde.Axis(axis.edges / root) for axis, root in pairs))
        if isinstance(rho, mfpde.JointGrid):
            return mfpde.JointGrid(rho.masses, grid, beta=rho.beta)
        return mfpde.GridMeasure(rho.masses, rho.depth, grid)
    if placed(rho):
        more = {"window": rho.window} if isinstance(rho, mfpde.JointMeasure) else {}
        return type(rho)(rho.theta / ROOT, rho.t, beta=rho.beta, **more)
    if isinstance(rho, mfpde.MovingGrid):
        return rho.with_state(rho.theta / ROOT)
    return mfpde.ParticleMeasure(rho.theta / ROOT, rho.depth, rho.weights)


def back(task: mfpde.Problem, theta: np.ndarray) -> np.ndarray:
    """Positions in the variables of ``problem``."""
    return theta * ROOT if isinstance(task.block, Scaled) else theta


def moved(task: mfpde.Problem, rho: Any) -> Any:
    """The measure a little further, the same one in either variables."""
    if isinstance(task.block, Scaled):
        return scaled(shifted(unscaled(rho), 0.3))
    return shifted(rho, 0.3)


def unscaled(rho: Any) -> Any:
    if gridded(rho):
        pairs = zip(rho.grid.axes, ROOT, strict=True)
        axes = [mfpde.Axis(axis.edges * root) for axis, root in pairs]
        if isinstance(rho, mfpde.JointGrid):
            return mfpde.JointGrid(rho.masses, axes, beta=rho.beta)
        return mfpde.GridMeasure(rho.masses, rho.depth, axes)
    if placed(rho):
        return type(rho)(rho.theta * ROOT, rho.t, beta=rho.beta)
    return mfpde.ParticleMeasure(rho.theta * ROOT, rho.depth, rho.weights)


def _gradient(task, rho, rates):
    """As a velocity in the variables of ``problem``, blocks in depth being in those already."""
    found = mfpde.gradient(task, rho)
    if placed(rho):
        return [back(task, found[:, :-1]), found[:, -1]]
    return found / ROOT if isinstance(task.block, Scaled) else found


def _run(task, rho, **how):
    fixed = {} if gridded(rho) else {"method": "gd", "step": 0.01}
    return mfpde.solve(task, rho, s_end=0.1, **(fixed | how))


def _hessian(task, rho, rates):
    direction = np.random.default_rng(6).standard_normal(rho.theta.shape)
    if isinstance(task.block, Scaled):
        return mfpde.hessian_product(task, rho, direction / ROOT) / ROOT
    return mfpde.hessian_product(task, rho, direction)


def _shallow(task, rho, rates):
    found = theory.shallow_comparison(task, rho)
    return [found.gradient, found.shallow, found.cosine]


def _pl(task, rho, rates):
    found = theory.polyak_lojasiewicz(task, rho)
    return [found.measured, found.kernel, found.paper, found.gradient_norm2]


def _as_shl(task: mfpde.Problem, **terms: Any) -> mfpde.Problem:
    """The problem in the other variables, in units of x in which its block is ``SHL``."""
    if not isinstance(task.block, Scaled):
        return mfpde.Problem(
            task.x, terms.pop("y", task.y), block=task.block, embed=task.embed,
            readout=terms.pop("readout", task.readout), rates=task.rates, **terms,
        )  # fmt: skip
    readout = terms.pop("readout", task.readout) / ROOT[1]
    return mfpde.Problem(
        task.x, terms.pop("y", task.y), block=problem().block, embed=ROOT[1] * task.embed,
        readout=readout, **terms,
    )  # fmt: skip


def _certificate(task, rho, rates):
    found = theory.certificate(_as_shl(task), rho)
    return [found.loss_needed, found.measured, found.constants.rate(0.01)]


def _sublevel(task, rho, rates):
    labels = np.where(task.y[:, :1] > 0, 1.0, -1.0)
    like = _as_shl(task, y=labels, readout=task.readout[:1], loss="logistic")
    found = theory.sublevel_certificate(like, rho, 0.1)
    return [found.lowest, found.constants.rate(0.0), found.constants.gain, found.constants.x]


NUMBERS: dict[str, Any] = {
    "theory.certificate": _certificate,
    "theory.sublevel_certificate": _sublevel,
    "gradient": _gradient,
    "solve": lambda task, rho, _: [_run(task, rho).loss, _run(task, rho).gradient_norm2],
    "resume": lambda task, rho, _: mfpde.loss(task, _run(task, rho).final),
    "hessian_product": _hessian,
    "theory.tangent_kernel": lambda task, rho, _: theory.tangent_kernel(task, rho),
    "theory.tangent_operator": lambda task, rho, _: theory.tangent_operator(task, rho) @ np.eye(4),
    "theory.kernel_spectrum": lambda task, rho, _: theory.kernel_spectrum(task, rho).eigenvalues,
    "theory.kernel_evolution": lambda task, rho, _: (
        theory.kernel_evolution(task, Still(rho), [0.0]).eigenvalues
    ),
    "theory.depth_kernel": lambda task, rho, _: theory.depth_kernel(task, rho, 0),
    "theory.polyak_lojasiewicz": _pl,
    "theory.envelope": lambda task, rho, _: list(
        theory.envelope(task, Still(rho), [0.0, 0.5]).bound.values()
    ),
    "theory.shallow_comparison": _shallow,
    "cot_distance": lambda task, rho, rates: mfpde.cot_distance(rho, moved(task, rho), rates=rates),
    "conditional_transport": lambda task, rho, rates: (
        mfpde.conditional_transport(rho, moved(task, rho), rates=rates).per_depth
    ),
    "transport.uniform_distance": lambda task, rho, rates: transport.uniform_distance(
        rho, moved(task, rho), rates=rates
    ),
    "transport.joint_distance": lambda task, rho, rates: transport.joint_distance(
        rho, moved(task, rho), rates=rates
    ),
    "transport.path_length": lambda task, rho, rates: transport.path_length(
        [rho, moved(task, rho)], rates=rates
    ),
    "transport.metric_speed": lambda task, rho, rates: transport.metric_speed(
        [0.0, 1.0], [rho, moved(task, rho)], rates=rates
    )[1],
}

# What no metric changes: called with and without rates.
FREE: dict[str, Any] = {
    "predict": lambda task, rho: mfpde.predict(task, rho),
    "loss": lambda task, rho: mfpde.loss(task, rho),
    "evaluate": lambda task, rho: mfpde.evaluate(task, rho)["loss"],
    "first_variation": lambda task, rho: mfpde.first_variation(task, rho),
    "trajectories": lambda task, rho: mfpde.trajectories(task, rho).adjoint,
    "theory.lipschitz": lambda task, rho: theory.lipschitz(task, rho),
    "theory.stationarity": lambda task, rho: (
        theory.stationarity(task, rho, [-1.2, 1.2], samples=64).per_depth
    ),
    "theory.separation": lambda task, rho: theory.separation(rho, task).gap,
}
