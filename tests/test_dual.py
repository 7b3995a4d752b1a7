"""The dual system of implicit steps: conjugate gradients against factorisation."""

import numpy as np
import pytest
from problems import gaussian_measure, random_case, sine

import mfpde
from mfpde.flows import dual
from mfpde.flows.particle_flow import ParticleFlow

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
    assert "conjugate gradients" not in factored.message
    assert "kernels" not in iterated.stats
    assert iterated.stats["products"] > 0
    assert "conjugate gradients" in iterated.message
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


def test_what_is_factorised_is_decided_by_size():
    def of(data, outputs, dim):
        x = np.zeros((data, 1))
        return mfpde.Problem(x, np.zeros((data, outputs)), block=mfpde.SHL(dim))

    assert dual.is_dense(of(32, 1, 2))
    assert dual.is_dense(of(1000, 1, 2))
    assert not dual.is_dense(of(200, 10, 16))  # a kernel costs hundreds of gradients
    assert not dual.is_dense(of(9000, 1, 64))  # beyond DENSE_ROWS
