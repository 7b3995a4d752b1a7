"""Coupled runs on grids: agreement with particles, guarantees at every step, entropy, resuming."""

from __future__ import annotations

import numpy as np
import pytest
from problems import Cubic

import mfpde
from mfpde import laws
from mfpde.flows import stability
from mfpde.flows.grid_flow import GridFlow
from mfpde.flows.schemes.grid import SCHEMES, muscl
from mfpde.runs.status import Status


def line(bias: bool = False, data: int = 8, **terms) -> mfpde.Problem:
    """f = u tanh(w x (+ b)) on R, target .5x + .4."""
    x = np.linspace(-1, 1, data)[:, None]
    return mfpde.Problem(x, 0.5 * x + 0.4, block=mfpde.SHL(dim=1, bias=bias), **terms)


def gaussian(problem, cells, std=1.0, **how):
    law = laws.Gaussian(std, dim=problem.block.size)
    return mfpde.GridMeasure.from_law(law, mfpde.Depth(2), cells=cells, **how)


def check_guarantees(solution):
    stats = solution.stats
    assert stats["mass_drift"] <= 1e-14
    assert stats["negative_mass"] == 0.0
    assert stats["energy_rise"] <= 1e-14
    assert np.all(np.diff(solution.energy) <= 1e-14 * np.abs(solution.energy[1:]))


@pytest.mark.parametrize("method", SCHEMES)
@pytest.mark.parametrize("bias", [False, True])
def test_every_scheme_keeps_mass_sign_and_descent(method, bias):
    problem = line(bias)
    rho = gaussian(problem, 12, spacing="sinh")

    def at_every_step(solution):
        masses = solution.control.state
        sums = masses.reshape(len(masses), -1).sum(axis=1)
        np.testing.assert_allclose(sums, 1.0, rtol=0, atol=1e-14)
        assert masses.min() >= 0.0

    sol = mfpde.solve(problem, rho, s_end=3.0, method=method, rtol=1e-2, callback=at_every_step)
    assert sol.success
    assert sol.loss[-1] < 0.95 * sol.loss[0]
    check_guarantees(sol)


@pytest.mark.parametrize(
    ("method", "ceiling", "order"),
    [
        ("upwind", 8e-4, 0.8),
        ("muscl", 1.2e-5, 1.9),
        ("koren", 1.2e-5, 1.7),
        ("third_order", 1.5e-5, 1.9),
    ],
)
def test_the_energy_converges_to_that_of_quadrature_particles(method, ceiling, order):
    problem, depth, times = line(), mfpde.Depth(2), [0.5, 1.0, 2.0, 4.0]
    law = laws.Gaussian(0.8, dim=2)
    particles = mfpde.ParticleMeasure.from_law(law, depth, count=1024, rule="gauss")
    exact = mfpde.solve(problem, particles, s_end=4.0, rtol=1e-8, save=times)

    def error(cells):
        rho = mfpde.GridMeasure.from_law(law, depth, cells=cells, box=[(-4.5, 4.5)] * 2)
        sol = mfpde.solve(problem, rho, s_end=4.0, method=method, save=times)
        pairs = ((mfpde.loss(problem, run.at(s)) for run in (sol, exact)) for s in times)
        return max(abs(a - b) for a, b in pairs)

    coarse, fine = error(24), error(48)
    assert fine < ceiling
    assert np.log2(coarse / fine) > order


def test_implicit_steps_converge_with_order_two_to_the_explicit_ones(monkeypatch):
    monkeypatch.setattr(muscl, "CFL", 0.05)  # leaves the error of the frozen potentials
    problem = line()
    rho = gaussian(problem, 40)
    flow = GridFlow(problem, rho)

    def end(method, count, s=2.0):
        point = flow.at(rho.state)
        for _ in range(count):
            point = SCHEMES[method].step(flow, point, s / count).point
        return point.loss

    exact = end("muscl", 400)
    coarse, fine = (abs(end("implicit", n) - exact) for n in (8, 16))
    assert fine < 1e-6
    assert np.log2(coarse / fine) > 1.8


def test_implicit_steps_reach_late_times_in_few_steps():
    problem = line(bias=True)
    rho = gaussian(problem, (12, 16, 16), spacing="sinh")
    sol = mfpde.solve(problem, rho, s_end=1e4, method="implicit", rtol=1e-2)
    assert sol.control.steps < 60
    assert sol.loss[-1] < 1e-6
    check_guarantees(sol)
    explicit = mfpde.solve(problem, rho, s_end=30.0, method="muscl")
    there = mfpde.solve(problem, rho, s_end=30.0, method="implicit", rtol=1e-3)
    assert abs(there.loss[-1] / explicit.loss[-1] - 1.0) < 0.02
    assert there.control.steps < explicit.control.steps


@pytest.mark.parametrize("block", [mfpde.SHL(dim=1), mfpde.SHL(dim=1, bias=False), Cubic()])
def test_the_tangent_kernel_is_the_limit_of_differences(block):
    """K v = −d outputs/ds along the flow of ⟨v, outputs⟩, and the assembled K agrees."""
    x = np.linspace(-1, 1, 5)[:, None]
    problem = mfpde.Problem(x, 0.5 * x, block=block)
    rho = gaussian(problem, 7, std=0.6, box=[(-2.5, 2.5)] * block.size)
    flow = GridFlow(problem, rho)
    point = flow.at(rho.state)
    v = np.random.default_rng(0).standard_normal((5, 1))
    product = flow.kernel_product(point, v)
    np.testing.assert_allclose(point.kernel @ v, product, rtol=1e-10, atol=1e-13)
    phi = flow.operator.sums.expand(flow.pull_outputs(point, v))
    from mfpde.passes.mobility import moved

    change = moved(rho.axes, rho.state, phi)
    h = 1e-4 / np.abs(change).max() * rho.state.max()
    ends = [flow.at(rho.state + sign * h * change).outputs for sign in (1, -1)]
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * h), product, rtol=1e-5, atol=1e-9)
    found, _ = stability.largest_eigenvalue(flow, point, stability.start_vector(flow), 50)
    assert found == pytest.approx(np.linalg.eigvalsh(point.kernel)[-1] / 5, rel=1e-6)


def test_the_dissipation_is_the_slope_of_the_energy():
    problem = line(weight_decay=0.05)

    def gap(cells):
        rho = gaussian(problem, cells, std=0.8, box=[(-4.5, 4.5)] * 2)
        sol = mfpde.solve(problem, rho, s_end=1.0, method="muscl")
        lost = np.trapezoid(sol.gradient_norm2, sol.s)
        return abs(lost / (sol.energy[0] - sol.energy[-1]) - 1.0)

    coarse, fine = gap(24), gap(48)
    assert fine < 0.02
    assert np.log2(coarse / fine) > 1.7


@pytest.mark.parametrize("method", ["upwind", "muscl", "third_order", "implicit"])
def test_a_symmetric_problem_keeps_its_symmetry(method):
    """y = 0 and ρ even in u and in w: f(·, −θ) = f(·, θ), the field vanishes and nothing moves;
    y odd and ρ invariant under θ ↦ −θ: it stays so.
    """
    x = np.linspace(-1, 1, 8)[:, None]
    problem = mfpde.Problem(x, 0.7 * x, block=mfpde.SHL(dim=1, bias=False))
    sol = mfpde.solve(problem, gaussian(problem, 20), s_end=2.0, method=method, rtol=1e-3)
    masses = sol.final.masses
    assert np.abs(masses - sol.initial.masses).max() > 1e-4
    np.testing.assert_allclose(masses, masses[:, ::-1, ::-1], rtol=0, atol=1e-15)


def ornstein_uhlenbeck(method, cells, s=0.6, **how):
    """L1 distance to the exact Gaussian: λ = .7, τ = .3, no data term."""
    decay, tau = 0.7, 0.3
    problem = mfpde.Problem(
        np.ones((1, 1)),
        np.zeros((1, 1)),
        block=mfpde.SHL(dim=1, bias=False),
        readout=np.zeros((1, 1)),
        weight_decay=decay,
        temperature=tau,
    )
    depth, box = mfpde.Depth(1, "euler"), [(-4.5, 4.5)] * 2

    def gauss(mean, variance):
        law = laws.Gaussian(np.sqrt(variance), mean)
        return mfpde.GridMeasure.from_law(law, depth, cells=cells, box=box)

    rho = gauss((0.8, -0.5), 0.25)
    sol = mfpde.solve(problem, rho, s_end=s, method=method, **how)
    variance = tau / decay + (0.25 - tau / decay) * np.exp(-2 * decay * s)
    exact = gauss(np.exp(-decay * s) * np.array([0.8, -0.5]), variance)
    return sol, float(np.abs(sol.final.masses - exact.masses).sum())


@pytest.mark.parametrize(
    ("method", "ceiling", "order"), [("muscl", 6e-3, 1.8), ("third_order", 2.5e-3, 1.6)]
)
def test_an_ornstein_uhlenbeck_process_is_followed_to_second_order(method, ceiling, order):
    coarse, fine = (ornstein_uhlenbeck(method, n)[1] for n in (40, 80))
    assert fine < ceiling
    assert np.log2(coarse / fine) > order


def test_scharfetter_gummel_follows_it_to_first_order_in_time():
    (coarse, loose), (fine, tight) = (
        ornstein_uhlenbeck("scharfetter_gummel", 60, rtol=rtol) for rtol in (1e-2, 1e-4)
    )
    assert tight < 0.03
    assert tight < 0.5 * loose
    check_guarantees(coarse)
    check_guarantees(fine)


@pytest.mark.parametrize("quartic", [0.0, 0.2])
def test_scharfetter_gummel_ends_in_the_gibbs_state(quartic):
    tau = 0.1
    problem = line(weight_decay=0.3, quartic_decay=quartic, temperature=tau)
    rho = gaussian(problem, 24, std=0.8, box=[(-4, 4), (-4, 4)])
    sol = mfpde.solve(problem, rho, s_end=3e4, method="scharfetter_gummel", rtol=1e-3)
    assert sol.success
    check_guarantees(sol)
    v = mfpde.first_variation(problem, sol.final)
    gibbs = np.exp(-(v - v.min()) / tau) * rho.grid.volumes
    gibbs /= gibbs.sum(axis=(1, 2), keepdims=True)
    assert np.abs(gibbs - sol.final.masses).max() < 1e-8 * gibbs.max()
    assert sol.gradient_norm2[-1] < 1e-15


def test_split_schemes_settle_near_the_gibbs_state_and_report_the_rise():
    tau = 0.1
    problem = line(weight_decay=0.3, temperature=tau)

    def gap(cells):
        rho = gaussian(problem, cells, std=0.8, box=[(-3.6, 3.6), (-3.6, 3.6)])
        exact = mfpde.solve(problem, rho, s_end=1e3, method="scharfetter_gummel", rtol=1e-2)
        sol = mfpde.solve(problem, rho, s_end=15.0, method="muscl")
        assert sol.stats["mass_drift"] <= 1e-14
        assert sol.stats["negative_mass"] == 0.0
        assert sol.stats["energy_rise"] < 1e-2
        return np.abs(sol.final.masses - exact.final.masses)[0].sum()

    coarse, fine = gap(16), gap(32)
    assert fine < 0.05
    assert np.log2(coarse / fine) > 1.7


@pytest.mark.parametrize("method", ["muscl", "implicit", "scharfetter_gummel"])
def test_a_resumed_run_equals_the_uninterrupted_one(method, tmp_path):
    problem = line(weight_decay=0.01)
    rho = gaussian(problem, 16, spacing="sinh")
    how = {"s_end": 12.0, "method": method, "rtol": 1e-2, "save": [1.0, 7.0]}
    whole = mfpde.solve(problem, rho, **how)
    path = tmp_path / "run.h5"
    mfpde.solve(problem, rho, **how, max_steps=6, checkpoint=path, raise_on_failure=False)
    resumed = mfpde.Solution.load(path)
    assert resumed.status is Status.MAX_STEPS
    resumed.options = resumed.options.__class__(**{**vars(resumed.options), "max_steps": 10**6})
    resumed.save(path)
    resumed = mfpde.resume(path)
    np.testing.assert_array_equal(resumed.final.masses, whole.final.masses)
    np.testing.assert_array_equal(resumed.energy, whole.energy)
    np.testing.assert_array_equal(resumed.at(7.0).masses, whole.at(7.0).masses)


def test_a_step_in_which_the_energy_rises_is_refused_and_the_run_goes_on():
    """On a coarse grid the CFL limit, and a λ last seen steps ago, allow steps that overshoot."""
    x = np.linspace(-1, 1, 8)[:, None]
    problem = mfpde.Problem(x, 2 * x, block=mfpde.SHL(dim=1, bias=False))
    rho = gaussian(problem, 10, box=[(-6, 6)] * 2)
    sol = mfpde.solve(problem, rho, s_end=30.0, method="upwind")
    assert sol.stats["rejected"] > 0
    check_guarantees(sol)


def test_a_state_that_is_not_finite_keeps_the_last_good_one(monkeypatch):
    problem = line()
    rho = gaussian(problem, 12)
    real, calls = GridFlow.carry, [0]

    def failing(self, masses):
        calls[0] += 1
        return real(self, masses if calls[0] < 8 else np.full_like(masses, np.nan))

    monkeypatch.setattr(GridFlow, "carry", failing)
    sol = mfpde.solve(problem, rho, s_end=50.0, method="muscl", raise_on_failure=False)
    assert sol.status is Status.NON_FINITE
    assert np.isfinite(sol.loss).all()
    assert np.isfinite(sol.final.masses).all()


def test_auto_says_what_it_chose():
    problem = line()
    rho = gaussian(problem, 12)
    assert "'muscl'" in mfpde.solve(problem, rho, s_end=0.1).message
    assert "'implicit'" in mfpde.solve(problem, rho, s_end=1e4, rtol=1e-1).message


def test_what_a_grid_run_refuses():
    problem = line()
    rho = gaussian(problem, 12)
    with pytest.raises(ValueError, match=r"method .*'muscl'.*'rk45'"):
        mfpde.solve(problem, rho, s_end=1.0, method="rk45")
    with pytest.raises(ValueError, match="chooses its own"):
        mfpde.solve(problem, rho, s_end=1.0, method="muscl", step=0.1)
    with pytest.raises(ValueError, match="p = 3"):
        mfpde.solve(line(bias=True), rho, s_end=1.0)
    with pytest.raises(ValueError, match="scharfetter_gummel"):
        mfpde.solve(line(temperature=0.1), rho, s_end=1.0, method="implicit")
    with pytest.raises(TypeError, match="ParticleMeasure"):
        mfpde.solve(problem, rho, s_end=1.0, reaction=1.0)
