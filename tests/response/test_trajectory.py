"""The linearised run: tangents against differences of runs, adjoints against tangents."""

import tracemalloc

import numpy as np
import pytest
from problems import random_case

import mfpde
from mfpde.response import trajectory
from mfpde.response.trajectory import METHODS, Trajectory, record

MARKS = (0.35, 1.0)


def made(method, block=None, loss="squared", seed=3):
    problem, rho = random_case(block or mfpde.SHL(2), "heun", loss, seed)
    step = None if method == "rk45" else 0.1
    return problem, rho, record(problem, rho, MARKS, method=method, step=step, rtol=1e-4)


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_adjoints_are_adjoint_to_tangents(method, loss):
    problem, rho, run = made(method, loss=loss)
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
    assert np.abs(inner - want).max() <= 1e-10 * np.abs(want).max()


@pytest.mark.parametrize("method", ["gd", "rk45"])
def test_tangents_are_differences_of_runs(method):
    problem, rho, run = made(method)
    rng = np.random.default_rng(1)
    change, mass = rng.standard_normal(rho.theta.shape), rng.standard_normal(rho.weights.shape)
    mass -= mass.mean(axis=1, keepdims=True)

    def outputs(e):
        moved = mfpde.ParticleMeasure(rho.theta + e * change, rho.depth, rho.weights + e * mass)
        end = Trajectory(problem, moved, method, run.s).final
        return mfpde.predict(problem, moved.with_state(end))

    h = 1e-3
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
