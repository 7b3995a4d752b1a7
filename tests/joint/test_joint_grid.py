"""The joint flow on a grid: conservation, decay, gradients, and agreement with blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfpde
from mfpde import laws
from mfpde.flows.kinds import flow_class
from mfpde.measures import Axis

BOX = ((-4.0, 4.0), (-2.0, 4.5))


def law(t):
    return laws.Gaussian([0.35, 0.35], [1.5 * np.cos(np.pi * t), 1.2 + 0.8 * np.sin(np.pi * t / 2)])


def problem(**terms):
    x = np.linspace(-1, 1, 12)[:, None]
    y = x + 0.5 * np.sin(np.pi * x)
    return mfpde.Problem(x, y, block=mfpde.SHL(1, bias=False), **terms)


def grid(depth_cells=8, cells=24, **how):
    return mfpde.JointGrid.from_law(law, depth_cells=depth_cells, cells=cells, box=BOX, **how)


def test_the_potential_is_the_derivative_of_the_loss_by_masses():
    task, rho = problem(weight_decay=0.1), grid(4, (6, 5))
    found = mfpde.first_variation(task, rho)
    rng = np.random.default_rng(0)
    change = rng.standard_normal(rho.masses.shape)
    flow = flow_class(rho)(task, rho)
    h = 1e-6
    numeric = flow.at(rho.masses + h * change).loss - flow.at(rho.masses - h * change).loss
    assert numeric / (2 * h) == pytest.approx(float((found * change).sum()), rel=1e-7)
    potential = flow.at(rho.masses).potential.values().reshape(found.shape)
    np.testing.assert_allclose(potential, found, atol=1e-13)
    assert mfpde.loss(task, rho) == pytest.approx(flow.at(rho.masses).loss, rel=1e-13)


def test_uniform_depth_is_the_conditional_grid():
    """With a uniform marginal the pass is that of a GridMeasure of the same depth."""
    task, rho = problem(), grid(6)
    layers = mfpde.GridMeasure(rho.slices, rho.depth, rho.grid)
    np.testing.assert_allclose(mfpde.predict(task, rho), mfpde.predict(task, layers), atol=1e-14)
    inner = grid(6, depth=laws.Uniform(0.25, 0.75))
    np.testing.assert_allclose(inner.depth_density, [0, 1, 2, 2, 1, 0], atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    method=st.sampled_from(["upwind", "muscl", "koren"]),
    beta=st.sampled_from([0.3, 1.0]),
)
def test_mass_is_conserved_positive_and_the_energy_falls(seed, method, beta):
    axes = (Axis.uniform(-2, 2, 6), Axis.sinh(-2, 2, 5))
    masses = np.random.default_rng(seed).dirichlet(np.full(4 * 30, 0.3)).reshape(4, 6, 5)
    rho = mfpde.JointGrid(masses, axes, beta=beta)
    run = mfpde.solve(problem(), rho, s_end=0.5, method=method, progress=False)
    assert run.stats["mass_drift"] < 1e-13
    assert run.stats["negative_mass"] == 0.0
    assert np.all(np.diff(run.energy) <= 1e-15)
    assert np.abs(run.final.depth_density - rho.depth_density).max() > 1e-6  # mass moves in depth


def test_the_energy_falls_by_the_dissipation():
    errors = []
    for cells in (8, 16):
        run = mfpde.solve(
            problem(), grid(cells, 4 * cells), s_end=0.2, method="muscl", progress=False
        )
        errors.append((run.loss[0] - run.loss[-1]) / np.trapezoid(run.gradient_norm2, run.s) - 1)
    assert abs(errors[1]) < 0.5 * abs(errors[0])
    assert abs(errors[1]) < 0.003


def test_grid_and_blocks_agree_under_refinement():
    """Loss and mean parameters over depth after a run in which depth does a third of the work."""
    task, s_end = problem(), 0.1
    blocks = mfpde.JointMeasure.from_law(law, count=8192, beta=0.2)
    start = mfpde.gradient(task, blocks)
    assert 0.04 * np.mean(start[:, -1] ** 2) > 0.3 * np.mean(np.square(start[:, :-1]).sum(axis=1))
    run = mfpde.solve(task, blocks, s_end=s_end, method="rk4", step=0.01, progress=False)
    part = np.minimum((run.final.t * 8).astype(int), 7)
    mean = [run.final.theta[part == k].mean(axis=0) for k in range(8)]
    losses, means = [], []
    for cells in (8, 16, 32):
        found = mfpde.solve(
            task, grid(cells, 2 * cells, beta=0.2), s_end=s_end, method="muscl", progress=False
        )
        losses.append(abs(found.loss[-1] - run.loss[-1]))
        coarse = found.final.mean().reshape(8, -1, 2).mean(axis=1)
        means.append(np.sqrt(np.mean((coarse - mean) ** 2)))
    fall = run.loss[0] - run.loss[-1]
    assert losses[2] < 0.5 * losses[1] < 0.5 * losses[0]
    assert losses[2] < 0.01 * fall
    assert means[2] < 0.7 * means[1] < 0.7 * means[0]
    assert means[2] < 0.1


def test_dear_depth_stands_still():
    run = mfpde.solve(problem(), grid(beta=1e3), s_end=0.5, method="muscl", progress=False)
    frozen = mfpde.GridMeasure(grid().slices, grid().depth, grid().grid)
    other = mfpde.solve(problem(), frozen, s_end=0.5, method="muscl", progress=False)
    assert run.loss[-1] == pytest.approx(other.loss[-1], rel=1e-4)
    np.testing.assert_allclose(run.final.depth_density, 1.0, atol=1e-5)


def test_a_run_resumes_bit_for_bit(tmp_path):
    path = tmp_path / "run.h5"
    whole = mfpde.solve(problem(), grid(), s_end=0.2, method="muscl", progress=False)
    mfpde.solve(
        problem(), grid(), s_end=0.2, method="muscl", progress=False, checkpoint=path,
        callback=lambda sol: sol.control.steps >= 2,
    )  # fmt: skip
    again = mfpde.resume(path, progress=False)
    assert isinstance(again.final, mfpde.JointGrid)
    np.testing.assert_array_equal(again.final.masses, whole.final.masses)
    assert again.final.beta == 1.0


def test_bad_input():
    axes = (Axis.uniform(-1, 1, 3), Axis.uniform(-1, 1, 3))
    even = np.full((4, 3, 3), 1 / 36)
    with pytest.raises(ValueError, match="masses must sum to 1 over all cells; given 4"):
        mfpde.JointGrid(4 * even, axes)
    with pytest.raises(ValueError, match="masses must be >= 0"):
        mfpde.JointGrid(even - np.eye(4)[:, :3, None], axes)
    with pytest.raises(ValueError, match="cells in depth must be a whole number >= 3"):
        mfpde.JointGrid(np.full((2, 3, 3), 1 / 18), axes)
    with pytest.raises(ValueError, match="beta must be finite and > 0"):
        mfpde.JointGrid(even, axes, beta=np.inf)
    with pytest.raises(ValueError, match="temperature must be 0 for a JointGrid"):
        mfpde.solve(problem(temperature=0.1), mfpde.JointGrid(even, axes), s_end=1.0)
    with pytest.raises(TypeError, match="gradient is taken at particles"):
        mfpde.gradient(problem(), mfpde.JointGrid(even, axes))


def test_steep_tails_stay_positive():
    """Masses that fall by 1e-10 from cell to cell: a reconstruction may overshoot by a rounding."""
    task, rho = problem(), grid(8, 16, beta=0.2)
    run = mfpde.solve(task, rho, s_end=0.05, method="muscl", progress=False)
    assert run.final.masses.min() >= 0.0
    assert run.stats["rejected"] == 0
