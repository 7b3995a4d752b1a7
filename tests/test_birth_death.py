"""Birth–death: exact replicator, mass, decay, order, and a trap that transport cannot leave."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde.flows import birth_death


def draw(seed=0, method="euler", steps=3, count=24):
    rng = np.random.default_rng(seed)
    depth = mfpde.Depth(steps, method)
    problem = mfpde.Problem(
        rng.standard_normal((5, 2)), rng.standard_normal((5, 1)), block=mfpde.SHL(2)
    )
    theta = rng.standard_normal((len(depth.nodes), count, 5))
    return problem, mfpde.ParticleMeasure(theta, depth)


def test_tilt_solves_the_frozen_replicator_exactly():
    rng = np.random.default_rng(0)
    weights, potential = rng.random((2, 6)), rng.standard_normal((2, 6))
    weights /= weights.sum(axis=1, keepdims=True)
    steps = np.linspace(0.0, 0.7, 20001)
    a = weights.copy()
    for ds in np.diff(steps):  # explicit midpoint on da/ds = −a (V − Σ aV)
        half = a - 0.5 * ds * a * (potential - (a * potential).sum(1, keepdims=True))
        a = a - ds * half * (potential - (half * potential).sum(1, keepdims=True))
    assert np.abs(birth_death.tilt(weights, potential, 0.7) - a).max() < 1e-9
    twice = birth_death.tilt(birth_death.tilt(weights, potential, 0.3), potential, 0.4)
    assert np.abs(birth_death.tilt(weights, potential, 0.7) - twice).max() < 1e-15


@pytest.mark.parametrize(("depth", "method"), [("euler", "rk45"), ("rk4", "implicit")])
def test_mass_energy_and_positivity_at_every_step(depth, method):
    problem, rho = draw(method=depth)
    sol = mfpde.solve(problem, rho, s_end=2.0, method=method, reaction=3.0, rtol=1e-3, save="steps")
    assert sol.success
    assert np.all(np.diff(sol.loss) <= 0)
    for weights in (state[:, :, -1] for state in sol.states):
        assert np.abs(weights.sum(axis=1) - 1.0).max() < 4e-16 * weights.shape[1]
        assert weights.min() >= 0
    assert mfpde.loss(problem, sol.final) == pytest.approx(sol.loss[-1], rel=1e-14)
    assert np.abs(sol.final.weights - rho.weights).max() > 0.01


def test_dissipation_is_transport_plus_variance():
    problem, rho = draw()
    v = mfpde.first_variation(problem, rho, rho.theta)
    variance = rho.integrate(v**2) - rho.depth.weights @ (rho.weights * v).sum(axis=1) ** 2
    norm2 = rho.integrate(np.square(mfpde.gradient(problem, rho)).sum(axis=2))
    sol = mfpde.solve(problem, rho, s_end=1e-4, method="rk45", reaction=2.0, rtol=1e-8)
    rate = (sol.loss[0] - sol.loss[-1]) / 1e-4
    assert rate == pytest.approx(norm2 + 2.0 * variance, rel=1e-3)


def test_splitting_is_of_order_two():
    problem, rho = draw()
    flow = birth_death.ReactionFlow(problem, rho, reaction=4.0)
    step = mfpde.flows.schemes.SCHEMES["rk45"]

    def end(pieces):
        point = flow.at(flow.start_state)
        for _ in range(pieces):
            point = birth_death.split(step, flow, point, 1.0 / pieces).point
        return point.state[:, :, :-1], point.state[:, :, -1]

    theta, weights = end(128)
    errors = []
    for pieces in (4, 8, 16):
        other = end(pieces)
        errors.append(np.abs(other[0] - theta).max() + np.abs(other[1] - weights).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 2.0) < 0.35)
    assert errors[-1] < 2e-3


def test_no_reaction_is_the_plain_flow_and_a_small_one_is_near_it():
    problem, rho = draw()
    plain = mfpde.solve(problem, rho, s_end=1.0, method="rk45", rtol=1e-8)
    zero = mfpde.solve(problem, rho, s_end=1.0, method="rk45", rtol=1e-8, reaction=0.0)
    assert np.array_equal(plain.loss, zero.loss)
    slow = mfpde.solve(problem, rho, s_end=1.0, method="rk45", rtol=1e-8, reaction=1e-6)
    assert slow.loss[-1] == pytest.approx(plain.loss[-1], rel=1e-5)


def test_states_in_between_and_at_save_times():
    problem, rho = draw()
    sol = mfpde.solve(problem, rho, s_end=1.0, method="rk45", reaction=2.0, save=[0.25, 0.5])
    assert list(sol.saved_s) == [0.0, 0.25, 0.5]
    assert np.array_equal(sol.at(0.5).weights, sol.states[2][:, :, -1])
    exact = mfpde.solve(problem, rho, s_end=0.375, method="rk45", reaction=2.0, rtol=1e-8).final
    middle = sol.at(0.375)
    assert np.abs(middle.weights - exact.weights).max() < 1e-4
    assert np.abs(middle.theta - exact.theta).max() < 1e-3
    assert np.array_equal(sol.initial.weights, rho.weights)
    assert np.array_equal(sol.initial.theta, rho.theta)
    every = mfpde.solve(
        problem, rho, s_end=1.0, method="rk45", reaction=2.0, save="steps", rtol=1e-6
    )
    sparse = mfpde.solve(problem, rho, s_end=1.0, method="rk45", reaction=2.0, rtol=1e-6)
    assert every.s.size > 4
    for s in every.s:
        assert np.array_equal(sparse.at(s).weights, every.at(s).weights)
        assert np.array_equal(sparse.at(s).theta, every.at(s).theta)


@pytest.mark.parametrize("method", ["auto", "implicit"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_files_hold_the_weights_and_a_resumed_run_is_the_straight_one(method, dtype, tmp_path):
    problem, rho = draw()
    rho = mfpde.ParticleMeasure(rho.theta, rho.depth, dtype=dtype)
    how = {"s_end": 2.0, "method": method, "reaction": 3.0, "rtol": 1e-4, "save": [0.3]}
    path = tmp_path / "run.h5"
    straight = mfpde.solve(problem, rho, **how)
    mfpde.solve(problem, rho, **how, checkpoint=path, callback=lambda sol: sol.s.size == 3)
    stopped = mfpde.Solution.load(path)
    assert np.abs(stopped.final.weights - rho.weights).max() > 1e-6
    assert stopped.final.dtype == rho.dtype
    rest = mfpde.resume(path)
    for sol in (rest, mfpde.Solution.load(path)):
        assert np.array_equal(sol.loss, straight.loss)
        assert np.array_equal(sol.s, straight.s)
        assert np.array_equal(sol.final.weights, straight.final.weights)
        assert np.array_equal(sol.final.theta, straight.final.theta)
        assert np.array_equal(sol.at(0.7).weights, straight.at(0.7).weights)
        assert np.array_equal(sol.initial.weights, rho.weights)


def test_labelled_arrays_hold_the_weights_over_time():
    pytest.importorskip("xarray")
    problem, rho = draw()
    sol = mfpde.solve(problem, rho, s_end=1.0, method="rk45", reaction=2.0, save=[0.5])
    table = sol.to_xarray()
    assert np.array_equal(table.weights.sel(saved_s=0.5), sol.at(0.5).weights)
    assert table.theta.shape == (2, *rho.theta.shape)


def test_light_particles_grow_where_transport_alone_is_stuck():
    """All but a mass 1e−6 sits at the critical point θ = 0; a few strays lie elsewhere."""
    x = np.linspace(-1.0, 1.0, 6)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), readout="last")
    rng = np.random.default_rng(0)
    theta = np.concatenate([np.zeros((4, 1, 5)), rng.standard_normal((4, 15, 5))], axis=1)
    weights = np.r_[1.0 - 1.5e-5, np.full(15, 1e-6)]
    rho = mfpde.ParticleMeasure(theta, mfpde.Depth(4, "euler"), weights)
    plain = mfpde.solve(problem, rho, s_end=10.0, method="rk45", rtol=1e-3)
    reacting = mfpde.solve(problem, rho, s_end=10.0, method="rk45", rtol=1e-3, reaction=10.0)
    assert plain.loss[-1] > 0.5 * plain.loss[0]
    assert reacting.loss[-1] < 0.1 * plain.loss[-1]


def test_what_does_not_go_together_is_refused():
    problem, rho = draw()
    with pytest.raises(ValueError, match="adaptive"):
        mfpde.solve(problem, rho, s_end=1.0, method="gd", reaction=1.0)
    with pytest.raises(ValueError, match="vanishing_decay"):
        mfpde.solve(problem, rho, s_end=1.0, reaction=1.0, vanishing_decay=1.0)
    blocks = mfpde.JointMeasure.from_law(mfpde.laws.Gaussian(1.0, dim=5), count=4)
    with pytest.raises(TypeError, match="reaction needs a ParticleMeasure"):
        mfpde.solve(problem, blocks, s_end=1.0, reaction=1.0)
    with pytest.raises(ValueError, match="reaction"):
        mfpde.solve(problem, rho, s_end=1.0, reaction=-1.0)


def test_auto_keeps_the_reaction_when_it_changes_method(monkeypatch):
    from mfpde.flows import switching

    def third(flow, point, scheme, control, h, rtol):
        return switching.changed(control, "implicit", h) if control.steps == 3 else control

    monkeypatch.setattr(switching, "reconsidered", third)
    problem = sine(8)
    rho0 = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    how = {"s_end": 60.0, "reaction": 0.05, "rtol": 1e-3}
    run = mfpde.solve(problem, rho0, **how)
    exact = mfpde.solve(problem, rho0, method="rk45", **{**how, "rtol": 1e-5})
    assert run.stats["switches"] == 1
    assert run.stats.get("kernels", 0) + run.stats.get("products", 0) > 0  # implicit steps
    assert np.abs(run.final.weights - rho0.weights).max() > 1e-3
    np.testing.assert_allclose(run.final.weights, exact.final.weights, atol=2e-3)
