"""The dual system of implicit steps: conjugate gradients against factorisation."""

import numpy as np
import pytest
from problems import gaussian_measure, random_case, sine

import mfpde
from mfpde.flows import dual
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.passes import carry
from mfpde.passes.interface import Carried

DEPTH = mfpde.Depth(2, "rk4")


def random_point(loss, method="heun"):
    problem, rho = random_case(mfpde.SHL(3), method, loss)
    flow = ParticleFlow(problem, rho)
    return flow, flow.at(rho.theta)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("gamma", [1e-3, 1.0, 1e3])
def test_both_solvers_solve_the_system(loss, gamma):
    flow, point = random_point(loss)
    right = np.random.default_rng(1).standard_normal(point.slope.shape)
    n, k = right.shape
    hessian = np.eye(k)[None].repeat(n, axis=0) if point.hessian is None else point.hessian
    system = np.einsum("nab,nbr->nar", hessian, point.kernel.reshape(n, k, n * k))
    system = np.eye(n * k) + gamma * system.reshape(n * k, n * k)
    for solver in (dual.Dense(flow), dual.Krylov(flow, allowed=0.0)):
        z = solver.solve(point, gamma, right)
        np.testing.assert_allclose(system @ z.ravel(), right.ravel(), atol=1e-9)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("gamma", [1e-2, 1.0, 1e2])
def test_the_displacement_errs_by_no_more_than_allowed(loss, gamma, monkeypatch):
    """|J*(z − z_exact)|_COT γ stays below SHARE of what is allowed, for tight and wide budgets."""
    monkeypatch.setattr(dual, "RELATIVE", np.inf)
    flow, point = random_point(loss)
    exact = dual.Dense(flow).solve(point, gamma, point.slope)
    for allowed in (1e-1, 1e-3, 1e-5):
        z = dual.Krylov(flow, allowed).solve(point, gamma, point.slope)
        error = flow.pull_outputs(point, z - exact)
        assert gamma * flow.norm(error) <= dual.SHARE * allowed * (1 + 1e-9) + 1e-12


def test_directions_of_one_solve_precondition_the_next():
    problem = sine(24)
    rho = gaussian_measure(problem, DEPTH, count=64)
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    krylov, counts = dual.Krylov(flow, allowed=1e-6), []
    for gamma in (100.0, 50.0):
        before = flow.clock.counts["products"]
        krylov.solve(point, gamma, point.slope)
        counts.append(flow.clock.counts["products"] - before)
    assert counts[1] < 0.5 * counts[0]


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("rtol", [1e-2, 1e-4])
def test_the_trajectory_is_that_of_factorisation(loss, weight_decay, rtol, monkeypatch):
    problem = sine(12, loss=loss, weight_decay=weight_decay)
    rho0 = gaussian_measure(problem, DEPTH)
    how = {"s_end": 30.0, "method": "implicit", "rtol": rtol, "save": [3.0, 30.0]}
    factored = mfpde.solve(problem, rho0, **how)
    monkeypatch.setattr(dual, "DENSE_ROWS", 0)
    iterated = mfpde.solve(problem, rho0, **how)
    assert "products" not in factored.stats
    assert "kernels" not in iterated.stats
    assert iterated.stats["products"] > 0
    flow = ParticleFlow(problem, rho0)
    for one, other in zip(factored.states, iterated.states, strict=True):
        assert flow.norm(one - other) <= rtol * flow.norm(one)
    assert iterated.loss[-1] == pytest.approx(factored.loss[-1], rel=rtol)


def test_zero_loss_and_resume_without_a_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr(dual, "DENSE_ROWS", 0)
    problem, path = sine(10), tmp_path / "run.h5"
    rho0 = gaussian_measure(problem, mfpde.Depth(3, "rk4"), count=32)
    how = {"s_end": np.inf, "loss_below": 1e-10, "rtol": 3e-2}
    how["method"] = "implicit"
    run = mfpde.solve(problem, rho0, **how)
    assert run.status is mfpde.Status.LOSS_REACHED
    assert run.control.steps < 150
    assert np.all(np.diff(run.loss) <= 0)
    mfpde.solve(problem, rho0, checkpoint=path, callback=lambda r: r.control.steps == 9, **how)
    resumed = mfpde.resume(path)
    np.testing.assert_array_equal(resumed.loss, run.loss)
    np.testing.assert_array_equal(resumed.final.theta, run.final.theta)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_the_averaged_kernel_is_the_mean_of_the_diagonal_blocks(loss, method):
    """Against all of K, for particles and for a grid with a metric of its own."""
    _, point = random_point(loss, method)
    root = None if point.hessian is None else dual.square_root(point.hessian)
    whole = Carried.mean_kernel(point.carried, root)
    np.testing.assert_allclose(point.carried.mean_kernel(root), whole, atol=1e-12 * whole.max())


def test_the_averaged_kernel_of_a_grid():
    problem, _ = random_case(mfpde.SHL(1), "rk4", "squared")
    x = problem.x[:, :1]
    block, readout = mfpde.SHL(1), [[1.0], [-0.5]]
    many = mfpde.Problem(x, x @ [[1.0, -1.0]], block=block, readout=readout)
    rho = mfpde.GridMeasure.from_law(
        mfpde.laws.Gaussian(0.8, dim=3), DEPTH, cells=6, box=[(-3.5, 3.5)] * 3
    )
    carried = carry(many, rho)
    whole = Carried.mean_kernel(carried)
    np.testing.assert_allclose(carried.mean_kernel(), whole, atol=1e-12 * whole.max())


def several_outputs(count=24, outputs=6, width=48):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((count, 4))
    problem = mfpde.Problem(x, rng.standard_normal((count, outputs)), block=mfpde.SHL(10))
    return problem, gaussian_measure(problem, DEPTH, count=width)


def test_averaging_saves_iterations():
    problem, rho = several_outputs()
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    gamma = 300.0 / np.linalg.eigvalsh(point.kernel)[-1]
    needed = []
    for averaged in (False, True):
        krylov = dual.Krylov(flow, 1e-6, averaged=averaged)
        assert krylov.solve(point, gamma, point.slope) is not None
        needed.append(krylov.products)
    assert needed[1] < 0.6 * needed[0]


def test_a_way_that_costs_more_than_another_is_given_up(monkeypatch):
    problem, rho = several_outputs()
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    exact = dual.Dense(flow).solve(point, 1e3, point.slope)
    prices = {dual.PRODUCTS: 1.0, dual.AVERAGED: 3.0, dual.FACTORISED: 4.0}
    monkeypatch.setattr(dual, "costs", lambda *a: dict(prices))
    solver = dual.Chosen(flow, point, 1e-9, solves=1, kernels=1)
    np.testing.assert_allclose(solver.solve(point, 1e3, point.slope), exact, atol=1e-9)
    assert solver.seen.kind == dual.FACTORISED
    assert solver.seen.products >= 3.0
    assert solver.seen.averaged >= 4.0


def test_ways_change_by_their_cost_and_not_back_and_forth():
    assert dual.chosen({"products": 10.0, "averaged": 9.0}, "products") == "products"
    assert dual.chosen({"products": 10.0, "averaged": 8.0}, "products") == "averaged"
    assert dual.chosen({"products": 10.0, "averaged": 9.0}, "") == "averaged"
    assert dual.chosen({"products": 10.0, "averaged": 9.0}, "factorised") == "averaged"


def test_iterations_stay_below_their_bound():
    """The condition number bounds conjugate gradients, whatever the spectrum."""
    rng = np.random.default_rng(2)
    values = np.geomspace(1.0, 1e-3, 200)
    for stiffness in (1.0, 30.0, 1000.0):
        b = rng.standard_normal((200, 1))
        enough = dual.RELATIVE * np.linalg.norm(b)
        _, directions, _, done = dual.conjugate_gradients(
            lambda v: values[:, None] * v, stiffness, b, enough, None
        )
        assert done
        assert len(directions) <= dual.iterations(stiffness) + 1


def test_a_resumed_run_chooses_as_the_whole_one(tmp_path):
    problem, rho0 = several_outputs()
    how = {"s_end": 1e3, "rtol": 3e-2, "method": "implicit"}
    run = mfpde.solve(problem, rho0, **how)
    assert run.stats["mean_kernels"] > 0
    path, half = tmp_path / "run.h5", run.control.steps // 2
    mfpde.solve(problem, rho0, checkpoint=path, callback=lambda r: r.control.steps == half, **how)
    resumed = mfpde.resume(path)
    assert resumed.control.solving == run.control.solving
    np.testing.assert_array_equal(resumed.final.theta, run.final.theta)


def test_what_does_not_fit_is_not_factorised():
    assert dual.fits(1000)
    assert not dual.fits(9000)
