"""The linearised run: tangents against differences of runs, adjoints against tangents."""

import tracemalloc

import numpy as np
import pytest
from problems import random_case

import mfpde
from mfpde.response import trajectory
from mfpde.response.implicit_steps import Implicit, _convex
from mfpde.response.steps import EXPLICIT
from mfpde.response.trajectory import METHODS, Trajectory, record

MARKS = (0.35, 1.0)


def made(method, block=None, loss="squared", seed=3):
    problem, rho = random_case(block or mfpde.SHL(2), "heun", loss, seed)
    step = 0.1 if method in ("gd", "heun", "rk4") else None
    rtol = 1e-3 if method == "implicit" else 1e-4
    return problem, rho, record(problem, rho, MARKS, method=method, step=step, rtol=rtol)


def both_kinds():
    """Explicit and implicit steps of every order in one run, as "auto" takes them."""
    problem, rho = random_case(mfpde.SHL(2), "heun", "cross_entropy", 3)
    kinds = [EXPLICIT["rk45"], *(Implicit(rows) for rows in ((1, 2), (1, 2, 3), (2, 3, 4, 5)))]
    s = np.array([0.0, 0.1, 0.35, 0.6, 1.0])
    return problem, rho, Trajectory(problem, rho, kinds, s, MARKS)


@pytest.mark.parametrize("method", ["gd", "heun", "rk4"])
def test_the_run_is_that_of_solve(method):
    problem, rho, run = made(method)
    sol = mfpde.solve(problem, rho, s_end=1.0, method=method, step=0.1, save=MARKS)
    np.testing.assert_allclose(run.final, sol.final.theta, rtol=1e-12)
    np.testing.assert_allclose(run.at(run.index(0.35)).layers.theta, sol.at(0.35).theta, rtol=1e-12)


def test_adaptive_steps_are_cut_at_marks_and_keep_their_tolerance():
    problem, rho, run = made("rk45")
    fine = mfpde.solve(problem, rho, s_end=1.0, method="rk45", rtol=1e-10).final.theta
    assert {0.0, *MARKS} <= set(run.s.tolist())
    assert np.abs(run.final - fine).max() <= 1e-3


@pytest.mark.parametrize("method", ["implicit", "auto"])
def test_implicit_steps_are_those_of_solve(method):
    """But for what their linear solves err by."""
    problem, rho, run = made(method)
    rtol = 1e-3 if method == "implicit" else 1e-4
    sol = mfpde.solve(problem, rho, s_end=1.0, method=method, rtol=rtol, save=MARKS)
    np.testing.assert_allclose(run.final, sol.final.theta, rtol=1e-3, atol=1e-4)
    alone = made("implicit")[2]
    assert len(alone.s) < 40


def far(run, problem, rho):
    """What tangents and adjoints of a run differ by, beside their size."""
    rng = np.random.default_rng(0)
    change, mass = (
        rng.standard_normal((2, *rho.theta.shape)),
        rng.standard_normal((2, *rho.weights.shape)),
    )
    v = rng.standard_normal((2, 3, problem.size, problem.outputs))
    marks = [run.index(s) for s in MARKS]
    pushed = [point.push(moved) for point, moved in run.tangents(change, mass, marks)]
    seeds = {n: trajectory.of_outputs(run.at(n), v[m]) for m, n in enumerate(marks)}
    back = run.adjoint(seeds)
    omega = rho.depth.weights
    inner = np.einsum("ckmp,ekmp,k,km->ce", back.initial, change, omega, rho.weights)
    inner += np.einsum("ckm,ekm,k->ce", back.influence, mass, omega)
    want = np.concatenate([np.einsum("cnk,enk->ce", v[m], pushed[m]) for m in (1, 0)])
    return np.abs(inner - want).max() / np.abs(want).max()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_adjoints_are_adjoint_to_tangents(method, loss):
    problem, rho, run = made(method, loss=loss)
    assert far(run, problem, rho) <= 1e-10


def test_adjoints_are_adjoint_to_tangents_where_methods_change():
    problem, rho, run = both_kinds()
    assert far(run, problem, rho) <= 1e-10


def test_auto_is_followed_through_its_changes(monkeypatch):
    """Made impatient, "auto" goes over to implicit steps early."""
    from mfpde.flows import switching

    monkeypatch.setattr(switching, "LINGER", 0.0)
    monkeypatch.setattr(switching, "PATIENCE", 0.0)
    x = np.linspace(-1, 1, 6)[:, None]
    how = {"embed": [[3.0], [1.0]], "readout": [[10.0, 10.0]]}
    problem = mfpde.Problem(x, np.sin(3 * x), block=mfpde.SHL(2), **how)
    law = mfpde.laws.Gaussian([2.0, 2.0, 1.0, 1.0, 1.0])
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(2, "heun"), count=16)
    run = record(problem, rho, MARKS, method="auto", rtol=1e-3)
    kinds = {type(step).__name__ for step in run.taken}
    assert kinds == {"Explicit", "Implicit"}
    assert far(run, problem, rho) <= 1e-9


@pytest.mark.parametrize("method", ["gd", "rk45", "implicit", "both"])
def test_tangents_are_differences_of_runs(method):
    problem, rho, run = both_kinds() if method == "both" else made(method)
    rng = np.random.default_rng(1)
    change, mass = rng.standard_normal(rho.theta.shape), rng.standard_normal(rho.weights.shape)
    mass -= mass.mean(axis=1, keepdims=True)

    def outputs(e):
        moved = mfpde.ParticleMeasure(rho.theta + e * change, rho.depth, rho.weights + e * mass)
        end = Trajectory(problem, moved, run.taken, run.s).final
        return mfpde.predict(problem, moved.with_state(end))

    h = 5e-4
    want = (8 * (outputs(h) - outputs(-h)) - (outputs(2 * h) - outputs(-2 * h))) / (12 * h)
    ((point, moved),) = run.tangents(change[None], mass[None], [run.steps])
    assert np.abs(point.push(moved)[0] - want).max() <= 1e-7 * np.abs(want).max()


def test_memory_is_that_of_few_states():
    """2√n states and a few of working space, for n = 256 steps: below 64 of 256."""
    block = mfpde.SHL(2)
    problem, _ = random_case(block, "euler", "squared")
    rng = np.random.default_rng(0)
    rho = mfpde.ParticleMeasure(rng.standard_normal((2, 4000, 5)), mfpde.Depth(2, "euler"))
    one = rho.theta.nbytes
    tracemalloc.start()
    run = Trajectory(problem, rho, "gd", np.linspace(0, 1, 257))
    run.adjoint({256: trajectory.of_loss(run.at(256))})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 96 * one


def test_a_concave_loss_has_no_derivatives_through_implicit_steps():
    with pytest.raises(ValueError, match="convex along the run"):
        _convex(np.array([[[1.0, 0.0], [0.0, -0.3]]]))
    hessian = np.array([[[1.0, 1.0], [1.0, 1.0]]])  # singular, and convex but for rounding
    assert _convex(hessian) is hessian
