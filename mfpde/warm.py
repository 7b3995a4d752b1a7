"""Compile ahead of time: every kernel runs once, at a size that reaches it."""

from __future__ import annotations

import time

import numpy as np

from mfpde import laws
from mfpde.activations import ACTIVATIONS
from mfpde.blocks import SHL, Attention, Meshed
from mfpde.depth import Depth
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.measures import JointMeasure, ParticleMeasure
from mfpde.problem import Problem
from mfpde.runs.clock import Clock

# Data and particles below and above the size from which kernels run in parallel.
SIZES = ((8, 4), (256, 512))


def warmup() -> float:
    """Compile the float64 kernels of flows, grids, networks and transport, or load them.

    Returns the seconds it took.

    Compiled code is cached on disk: a minute or two at the first call on a machine, well under a
    second in later processes. Kernels compile on first use anyway; call this to keep that out of
    what you time.
    """
    start = time.perf_counter()
    for data, particles in SIZES:
        _flows(data, particles)
    _placed()
    _grids()
    _meshed()
    _tokens()
    _networks()
    _transport()
    return time.perf_counter() - start


def _flows(data: int, particles: int) -> None:
    """Forward pass, gradient, tangent, and both builds of the tangent kernel."""
    x = np.linspace(-1.0, 1.0, 2 * data).reshape(data, 2)
    for name, method in (*((name, "euler") for name in ACTIVATIONS), ("tanh", "rk4")):
        problem = Problem(x, x, block=SHL(2, name))
        law = laws.Gaussian(1.0, dim=problem.block.size)
        rho = ParticleMeasure.from_law(law, Depth(2, method), count=particles, rule="iid")
        flow = ParticleFlow(problem, rho, Clock())
        point = flow.at(rho.theta)
        flow.push(point, point.gradient)
        problem.block.field(point.carried.end, rho.theta[0], rho.weights[0])
        if name == "tanh":
            point.kernel  # noqa: B018  computed when asked for


def _placed() -> None:
    """Passes through blocks placed in depth, and what moves them there."""
    from mfpde.flows.placed import PlacedFlow

    x = np.linspace(-1.0, 1.0, 8).reshape(4, 2)
    problem = Problem(x, x, block=SHL(2))
    rho = JointMeasure.from_law(laws.Gaussian(1.0, dim=5), count=4)
    flow = PlacedFlow(problem, rho)
    point = flow.at(rho.state)
    flow.push(point, point.gradient)
    flow.observe(point, point)


def _grids() -> None:
    """Sums over cells, fluxes, and the lines of the entropic step."""
    from mfpde.flows.solve import solve
    from mfpde.measures import GridMeasure

    x, law = np.linspace(-1.0, 1.0, 4)[:, None], laws.Uniform([-1, -1], [1, 1])
    for method, temperature in (("muscl", 0.0), ("implicit", 0.0), ("scharfetter_gummel", 0.1)):
        problem = Problem(x, x, block=SHL(1, bias=False), temperature=temperature)
        rho = GridMeasure.from_law(law, Depth(1), cells=6)
        solve(problem, rho, s_end=1e-3, method=method, progress=False)


def _meshed() -> None:
    """Sums over particles through a lattice."""
    x = np.linspace(-1.0, 1.0, 4)[:, None]
    problem = Problem(x, x, block=Meshed(SHL(1), 0.5))
    rho = ParticleMeasure.from_law(laws.Gaussian(1.0, dim=3), Depth(1), count=4)
    flow = ParticleFlow(problem, rho, Clock())
    point = flow.at(rho.theta)
    flow.push(point, point.gradient)
    point.kernel  # noqa: B018  computed when asked for


def _tokens() -> None:
    """The core of attention, to second order."""
    block = Attention(2, 1)
    x, theta, a = np.ones((3, 2)), np.ones((4, block.size)), np.full(4, 0.25)
    block.field(x, theta, a)
    block.backward(x, theta, a, x)
    block.tangents(x, theta, a, x[None], theta[None], None)
    block.backward_tangents(x, theta, a, x, x[None], theta[None], x[None], None)


def _networks() -> None:
    """Forward and adjoint of finite networks, layer by layer."""
    from mfpde.resnet import train

    x = np.linspace(-1.0, 1.0, 8).reshape(4, 2)
    problem, law = Problem(x, x, block=SHL(2)), laws.Gaussian(1.0, dim=5)
    train(problem, law, layers=2, width=3, seeds=1, s_end=1.0, step=1.0, device="cpu")


def _transport() -> None:
    from mfpde.transport import conditional_transport

    depth, law = Depth(1), laws.Gaussian(1.0, dim=2)
    mu, nu = (
        ParticleMeasure.from_law(law, depth, count=400, rule="iid", seed=seed) for seed in (0, 1)
    )
    conditional_transport(mu, nu, method="shortlist")
