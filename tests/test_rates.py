"""Rates: a diagonal metric on Θ is a change of variables θ = √η φ, by which all is compared."""

from __future__ import annotations

import numpy as np
import pytest

import mfpde
from mfpde import cases, theory, transport
from mfpde.flows import dual

RATES = np.array([0.5, 2.0, 3.0, 0.7, 1.6])
ROOT = np.sqrt(RATES)
X, Y = np.random.default_rng(0).standard_normal((2, 5, 2))


class Scaled(mfpde.Block):
    """f(x, √η φ) for the formula u tanh(w·x + b)."""

    def __init__(self, root=ROOT):
        self.root, self.dim = root, len(root) // 2
        self.coordinates = tuple(f"phi{i}" for i in range(len(root)))

    def _parts(self, x, phi):
        u, w, b = np.split(phi * self.root, [self.dim, 2 * self.dim], axis=1)
        return u, w, np.tanh(x @ w.T + b[:, 0])

    def value(self, x, theta):
        u, _, s = self._parts(x, theta)
        return s[:, :, None] * u

    def pull_state(self, x, theta, q):
        u, w, s = self._parts(x, theta)
        return ((q @ u.T) * (1 - s**2))[:, :, None] * w

    def pull_parameter(self, x, theta, q):
        u, _, s = self._parts(x, theta)
        t = ((q @ u.T) * (1 - s**2))[:, :, None]
        by_w = t * x[:, None, :]
        return np.concatenate([s[:, :, None] * q[:, None, :], by_w, t], axis=2) * self.root


def problems(y=Y, **terms):
    """The problem with rates, and the one in the other variables."""
    rated = mfpde.Problem(X, y, block=mfpde.SHL(2), rates=RATES, **terms)
    return rated, mfpde.Problem(X, y, block=Scaled(), **terms)


def close(found, expected, tol=1e-12):
    np.testing.assert_allclose(found, expected, rtol=tol, atol=tol)


def theta(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (*shape, 5))


def particles(seed=1):
    weights = np.random.default_rng(2).dirichlet(np.ones(6), 5)
    return mfpde.ParticleMeasure(theta(5, 6, seed=seed), mfpde.Depth(2, "rk4"), weights)


def pair(rho):
    """A measure, and what it is in the other variables."""
    if isinstance(rho, mfpde.GridMeasure):
        axes = [mfpde.Axis(a.edges / r) for a, r in zip(rho.axes, ROOT, strict=True)]
        return rho, mfpde.GridMeasure(rho.masses, rho.depth, mfpde.Grid(tuple(axes)))
    if isinstance(rho, mfpde.JointMeasure | mfpde.OrderedBlocks):
        more = {"window": rho.window} if isinstance(rho, mfpde.JointMeasure) else {}
        return rho, type(rho)(rho.theta / ROOT, rho.t, beta=rho.beta, **more)
    return rho, rho.with_state(rho.theta / ROOT)


def grid(rates=RATES, cells=3):
    edges = mfpde.Grid(tuple(mfpde.Axis.uniform(-1.0, 1.2 + 0.1 * i, cells) for i in range(5)))
    masses = np.random.default_rng(3).dirichlet(np.ones(edges.size), 3)
    return mfpde.GridMeasure(masses.reshape(3, *edges.shape), mfpde.Depth(2, "heun"), edges)


def joint():
    return mfpde.JointMeasure(theta(7), np.linspace(0.9, 0.1, 7), beta=0.7, window=0.4)


def ordered():
    return mfpde.OrderedBlocks(theta(5), [0.9, 0.2, 0.35, 0.7, 0.55], beta=0.7)


METHODS = {
    "gd": {"step": 0.05},
    "heun": {"step": 0.05},
    "rk4": {"step": 0.05},
    "rk45": {},
    "implicit": {},
    "auto": {},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_particles_is_that_of_the_other_variables(method, monkeypatch):
    # Preconditioners merge what SHL knows of its evaluations: factorised systems are alike.
    monkeypatch.setattr(dual, "chosen", lambda found, kind: dual.FACTORISED)
    (rated, other), (rho, scaled) = problems(), pair(particles())
    how = {"s_end": 3.0, "method": method, **METHODS[method]}
    one, two = mfpde.solve(rated, rho, **how), mfpde.solve(other, scaled, **how)
    tol = 1e-12 if "step" in how else 1e-8  # steps chosen by an error: its rounding is in them
    close(one.s, two.s, tol)
    close(one.loss, two.loss, tol)
    close(one.gradient_norm2, two.gradient_norm2, tol)
    close(one.final.theta, two.final.theta * ROOT, tol)
    gap = one.loss[-1] - mfpde.solve(rated.under(np.ones(5)), rho, **how).loss[-1]
    assert abs(gap) > 1e-3


@pytest.mark.parametrize("build", [joint, ordered])
def test_blocks_placed_in_depth(build):
    (rated, other), (rho, scaled) = problems(), pair(build())
    how = {"s_end": 0.3, "method": "gd", "step": 0.02}
    one, two = mfpde.solve(rated, rho, **how), mfpde.solve(other, scaled, **how)
    close(one.loss, two.loss)
    close(one.final.t, two.final.t)
    close(one.final.theta, two.final.theta * ROOT)
    close(theory.tangent_kernel(rated, rho), theory.tangent_kernel(other, scaled), 1e-11)


GRID_METHODS = ("upwind", "muscl", "third_order", "implicit")


@pytest.mark.parametrize("method", GRID_METHODS)
def test_every_method_of_grids(method):
    (rated, other), (rho, scaled) = problems(), pair(grid())
    one = mfpde.solve(rated, rho, s_end=0.2, method=method)
    two = mfpde.solve(other, scaled, s_end=0.2, method=method)
    close(one.s, two.s, 1e-10)
    close(one.loss, two.loss)
    close(one.gradient_norm2, two.gradient_norm2, 1e-10)  # its steps differ by roundings
    close(one.final.masses, two.final.masses)
    assert one.stats["mass_drift"] < 1e-13


@pytest.mark.parametrize("method", ["scharfetter_gummel", "muscl"])
def test_entropy_diffuses_by_the_rates(method):
    (rated, other), (rho, scaled) = problems(temperature=0.2), pair(grid())
    one = mfpde.solve(rated, rho, s_end=0.05, method=method)
    two = mfpde.solve(other, scaled, s_end=0.05, method=method)
    close(one.final.masses, two.final.masses)
    close(one.gradient_norm2, two.gradient_norm2, 1e-11)
    constant = 0.2 * np.log(ROOT).sum()  # of the entropy in other units
    close(one.energy + constant, two.energy)


def test_a_grid_in_theta_and_depth():
    eta, law = RATES[[0, 2, 4]], mfpde.laws.Uniform([-0.9] * 3, [0.8] * 3)
    rho = mfpde.JointGrid.from_law(law, depth_cells=3, cells=4, box=[(-1, 1)] * 3, beta=0.6)
    pairs = zip(rho.grid.axes, np.sqrt(eta), strict=True)
    axes = mfpde.Grid(tuple(mfpde.Axis(axis.edges / root) for axis, root in pairs))
    scaled = mfpde.JointGrid(rho.masses, axes, beta=rho.beta)
    rated = mfpde.Problem(X[:, :1], Y[:, :1], block=mfpde.SHL(1), rates=eta)
    other = mfpde.Problem(X[:, :1], Y[:, :1], block=Scaled(np.sqrt(eta)))
    one, two = (mfpde.solve(p, r, s_end=0.5) for p, r in ((rated, rho), (other, scaled)))
    close(one.loss, two.loss)
    close(one.final.masses, two.final.masses)
    close(theory.tangent_kernel(rated, rho), theory.tangent_kernel(other, scaled))


def test_birth_and_death_and_a_loss_with_a_hessian(monkeypatch):
    monkeypatch.setattr(dual, "chosen", lambda found, kind: dual.FACTORISED)
    labels = np.array([0, 1, 1, 0, 1])
    rated, other = problems(labels, loss="cross_entropy")
    rho, scaled = pair(particles())
    for how in ({"reaction": 0.5}, {"method": "implicit"}):
        one = mfpde.solve(rated, rho, s_end=1.0, **how)
        two = mfpde.solve(other, scaled, s_end=1.0, **how)
        close(one.loss, two.loss, 1e-10)
        close(one.final.weights, two.final.weights, 1e-10)
        close(one.final.theta, two.final.theta * ROOT, 1e-10)


@pytest.mark.parametrize("build", [particles, grid])
def test_kernels_and_constants(build):
    (rated, other), (rho, scaled) = problems(), pair(build())
    close(theory.tangent_kernel(rated, rho), theory.tangent_kernel(other, scaled))
    operators = [theory.tangent_operator(p, r) for p, r in ((rated, rho), (other, scaled))]
    v = np.random.default_rng(4).standard_normal(10)
    close(operators[0] @ v, operators[1] @ v)
    close(theory.depth_kernel(rated, rho, 1), theory.depth_kernel(other, scaled, 1))
    one, two = (theory.polyak_lojasiewicz(p, r) for p, r in ((rated, rho), (other, scaled)))
    close([one.measured, one.kernel, one.paper], [two.measured, two.kernel, two.paper])
    one, two = (theory.kernel_spectrum(p, r) for p, r in ((rated, rho), (other, scaled)))
    close(one.eigenvalues, two.eigenvalues)
    close(one.alignment, two.alignment)


def test_the_kernel_of_many_outputs_by_both_products():
    """Few particles take the flat product of SHL, many the Hadamard one; then the mean over c."""
    for count in (2, 60):
        rho, scaled = pair(mfpde.ParticleMeasure(theta(2, count), mfpde.Depth(2, "euler")))
        rated, other = problems()
        close(theory.tangent_kernel(rated, rho), theory.tangent_kernel(other, scaled))
        from mfpde.passes import carry

        mixes = np.random.default_rng(5).standard_normal((3, 2))
        found = [carry(p, r).mixed_kernel(mixes) for p, r in ((rated, rho), (other, scaled))]
        close(found[0], found[1])


def test_distances():
    mu, nu = particles(), particles(seed=7)
    scaled = pair(mu)[1], pair(nu)[1]
    for verb in (transport.cot_distance, transport.uniform_distance, transport.joint_distance):
        close(verb(mu, nu, rates=RATES), verb(*scaled))
    found = transport.conditional_transport(mu, nu, rates=RATES)
    close(found.per_depth, transport.conditional_transport(*scaled).per_depth)
    middle = transport.geodesic(found, 0.5)
    close(transport.cot_distance(mu, middle, rates=RATES), 0.5 * found.distance, 1e-10)
    close(transport.path_length([mu, nu], rates=RATES), found.distance)
    with pytest.raises(ValueError, match="rates must be > 0 for a distance"):
        transport.cot_distance(mu, nu, rates=[0.0, 1, 1, 1, 1])


def test_the_energy_identity_and_the_speed_of_the_flow():
    rated, _ = problems()
    run = mfpde.solve(rated, particles(), s_end=1.0, method="rk4", step=0.01, save="steps")
    fall = -np.diff(run.loss) / run.step[1:]
    mean = 0.5 * (run.gradient_norm2[1:] + run.gradient_norm2[:-1])
    close(fall, mean, 1e-4)
    some = slice(0, 9)
    measures = [run.at(s) for s in run.s[some]]
    speed = transport.metric_speed(run.s[some], measures, rates=RATES)[1]
    close(speed, np.sqrt(mean[:8]), 1e-4)


@pytest.mark.parametrize("rates", [(0.5, 2.0, 1.5), RATES])
def test_verbs_take_rates_for_one_call(rates, tmp_path):
    plain = mfpde.Problem(X, Y, block=mfpde.SHL(2))
    whole = np.repeat(rates, [2, 2, 1]) if len(rates) == 3 else rates
    rho = particles()
    run = mfpde.solve(plain, rho, s_end=1.0, rates=rates, checkpoint=tmp_path / "run.h5")
    same = mfpde.solve(plain.under(whole), rho, s_end=1.0)
    np.testing.assert_array_equal(run.final.theta, same.final.theta)
    np.testing.assert_array_equal(run.problem.rates, whole)
    loaded = mfpde.Solution.load(tmp_path / "run.h5")
    np.testing.assert_array_equal(loaded.problem.rates, whole)
    again = mfpde.resume(tmp_path / "run.h5", s_end=2.0)
    straight = mfpde.solve(plain, rho, s_end=2.0, rates=rates)
    close(again.loss[-1], straight.loss[-1], 1e-3)
    np.testing.assert_array_equal(again.at(0.7).theta, run.at(0.7).theta)


def test_the_limit_is_that_of_the_scaled_law():
    rated, other = problems()
    std = np.array([0.8, 0.6, 1.0, 0.9, 0.4])
    law, scaled = mfpde.laws.Gaussian(std=std), mfpde.laws.Gaussian(std=std / ROOT)
    how = {"s_end": 1.0, "rtol": 0.05, "times": 4, "progress": False}
    plain = rated.under(np.ones(5))
    one, two = mfpde.limit(plain, law, rates=RATES, **how), mfpde.limit(other, scaled, **how)
    close(one.loss, two.loss, 1e-9)
    close(one.outputs, two.outputs, 1e-9)
    assert np.array_equal(one.problem.rates, RATES)


def test_networks_descend_in_the_problem_s_metric():
    rated, _ = problems()
    start = theta(1, 3, 4)
    how = {"start": start, "s_end": 0.5, "step": 0.05}
    found = mfpde.resnet.train(rated, **how)
    run = mfpde.solve(
        rated, mfpde.ParticleMeasure(start[0], mfpde.Depth(3, "euler")), s_end=0.5, method="gd",
        step=0.05,
    )  # fmt: skip
    close(found.loss[0], run.loss)
    same = mfpde.resnet.train(rated.under(np.ones(5)), rates=RATES, **how)
    np.testing.assert_array_equal(found.loss, same.loss)


def test_coordinates_of_rate_zero_stay():
    for eta in ((1.0, 0.0, 0.0), (0.0, 1.0, 2.0), (0.0, 0.0, 1.0)):
        problem = mfpde.Problem(X, Y, block=mfpde.SHL(2), rates=eta)
        still = problem.rates == 0.0
        rho = particles()
        for method in ("rk45", "implicit"):
            run = mfpde.solve(problem, rho, s_end=1.0, method=method)
            np.testing.assert_array_equal(run.final.theta[..., still], rho.theta[..., still])
            assert run.loss[-1] < run.loss[0]
        near = problem.under(np.where(still, 1e-12, problem.rates))
        close(theory.tangent_kernel(problem, rho), theory.tangent_kernel(near, rho), 1e-10)
        with pytest.raises(ValueError, match="rates must be > 0 on a grid"):
            mfpde.predict(problem, grid())


def test_penalties_descend_by_the_rates():
    """Explicit and implicit steps against the flow written out, penalty and its gradient."""
    problem = mfpde.Problem(
        X, Y, block=mfpde.SHL(2), rates=RATES, weight_decay=0.3, quartic_decay=0.1
    )
    rho = particles()
    slope = RATES * mfpde.gradient(problem, rho)
    h = 1e-6
    moved = mfpde.solve(problem, rho, s_end=h, method="gd", step=h)
    close((rho.theta - moved.final.theta) / h, slope, 1e-8)
    fine = mfpde.solve(problem, rho, s_end=2.0, method="rk45", rtol=1e-9)
    for rtol in (1e-3, 1e-6):
        found = mfpde.solve(problem, rho, s_end=2.0, method="implicit", rtol=rtol)
        close(found.final.theta, fine.final.theta, 20 * rtol)
    blocks = ordered()
    moved = mfpde.solve(problem, blocks, s_end=h, method="gd", step=h)
    close((blocks.theta - moved.final.theta) / h, mfpde.gradient(problem, blocks)[:, :-1], 1e-7)


def test_data_in_blocks():
    rated, _ = problems()
    tight = mfpde.Problem(X, Y, block=mfpde.SHL(2), rates=RATES, memory=2000)
    rho = particles()
    whole = mfpde.solve(rated, rho, s_end=0.5, method="rk45")
    parts = mfpde.solve(tight, rho, s_end=0.5, method="rk45")
    close(parts.final.theta, whole.final.theta, 1e-11)


def test_two_populations_have_their_own_rates():
    block = mfpde.blocks.Populations([mfpde.SHL(2), mfpde.Linear(2)])
    names, sizes = block.groups
    assert list(zip(names, sizes, strict=True)) == [
        ("0.u", 2), ("0.w", 2), ("0.b", 1), ("1.u", 2), ("1.v", 2),
    ]  # fmt: skip
    eta = np.random.default_rng(8).uniform(0.5, 2.0, 9)
    problem = mfpde.Problem(X, Y, block=block, rates=eta)
    where = np.random.default_rng(9).standard_normal((2, 3, 9))
    rho = mfpde.ParticleMeasure(where, mfpde.Depth(2, "euler"))
    kernel, h = theory.tangent_kernel(problem, rho), 1e-6
    jacobian = np.stack([
        (mfpde.predict(problem, rho.with_state(rho.theta + h * unit))
         - mfpde.predict(problem, rho.with_state(rho.theta - h * unit))).ravel() / (2 * h)
        for unit in np.eye(rho.theta.size).reshape(-1, *rho.theta.shape)
    ], axis=1).reshape(10, 2, 3, 9)  # fmt: skip
    close(kernel, 6 * np.einsum("akmp,bkmp,p->ab", jacobian, jacobian, eta), 1e-7)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([1.0, 2.0], "rates must be 5 numbers"),
        ([1.0, -1.0, 1.0], "rates must be >= 0"),
        ([0.0, 0.0, 0.0], "rates must not all be 0"),
        ([1.0, np.nan, 1.0], "rates"),
    ],
)
def test_bad_rates_are_refused(rates, said):
    with pytest.raises(ValueError, match=said):
        mfpde.Problem(X, Y, block=mfpde.SHL(2), rates=rates)


def test_what_is_stated_for_the_plain_metric_refuses():
    rated, _ = problems()
    law = mfpde.laws.Gaussian(std=[0.5] * 5)
    calls = {
        "finite_size": lambda: mfpde.finite_size(rated, law, s_end=1.0),
        "sensitivity": lambda: mfpde.sensitivity(rated, law, s_end=1.0),
    }
    for who, call in calls.items():
        with pytest.raises(ValueError, match=f"{who} needs rates=None"):
            call()


def test_ones_are_the_plain_metric():
    assert mfpde.Problem(X, Y, block=mfpde.SHL(2), rates=(1, 1, 1)).rates is None
    assert "rates" not in repr(mfpde.Problem(X, Y, block=mfpde.SHL(2)))
    assert "rates" in repr(problems()[0])


def test_errors_of_whole_runs_are_in_the_metric():
    (rated, other), (rho, scaled) = problems(), pair(particles())
    how = {"s_end": 2.0, "method": "rk45", "rtol": 1e-4, "global_error": True}
    one, two = mfpde.solve(rated, rho, **how), mfpde.solve(other, scaled, **how)
    close(one.errors.loss, two.errors.loss, 1e-6)
    close(one.errors.state, two.errors.state, 1e-6)


def test_a_case_file_names_rates_and_an_optimizer(tmp_path):
    rows = np.column_stack([X[:, 0], Y[:, 0]])
    np.savetxt(tmp_path / "d.csv", rows, delimiter=",", header="x,y", comments="")
    text = """
        [data]
        source = "d.csv"
        [block]
        kind = "shl"
        dim = 2
        [problem]
        rates = [1.0, 0.5, 0.5]
        [depth]
        steps = 2
        [law]
        kind = "gaussian"
        std = 1.0
        dim = 5
        [measure]
        count = 8
        [solve]
        s_end = 0.5
        optimizer = {kind = "heavy_ball", memory = 0.5}
        """
    (tmp_path / "case.toml").write_text(text)
    case = cases.read(tmp_path / "case.toml", ["solve.rates=[2.0, 1.0, 1.0]"])
    np.testing.assert_array_equal(case.problem.rates, [1, 1, 0.5, 0.5, 0.5])
    run = mfpde.solve(case.problem, case.rho0, **case.arguments("solve"))
    np.testing.assert_array_equal(run.problem.rates, [2, 2, 1, 1, 1])
    assert run.options.optimizer == {"kind": "heavy_ball", "memory": 0.5}


def test_a_run_is_read_in_its_own_metric():
    plain = mfpde.Problem(X, Y, block=mfpde.SHL(2))
    run = mfpde.solve(plain, particles(), s_end=0.5, rates=RATES)
    for verb in (theory.envelope, theory.kernel_evolution):
        with pytest.raises(ValueError, match=r"hand over sol\.problem"):
            verb(plain, run, [0.0, 0.5])
    found = theory.envelope(run.problem, run, run.s)
    close(found.bound["measured"], run.loss, 1e-2)
    other = mfpde.solve(plain, particles(), s_end=0.5, optimizer=mfpde.optimizers.HeavyBall(1.0))
    with pytest.raises(ValueError, match="envelope is about gradient flows"):
        theory.envelope(plain, other, [0.0, 0.5])
