"""The certificate against runs and adversaries that try to break it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mfpde
from mfpde import theory
from mfpde.theory._certificate_constants import constants

METHODS = ["euler", "rk4", "heun", "midpoint"]
SMOOTH = ["tanh", "sigmoid", "softplus", "gelu", "silu", "sin"]


def draw_shl(seed):
    """A random small SHL problem: any activation, bias, shape, scale of readout, u = 0 or not."""
    rng = np.random.default_rng(seed)
    n, d, layers = (int(rng.integers(1, high)) for high in (4, 4, 5))
    width = n + int(rng.integers(0, 7))
    block = mfpde.SHL(d, str(rng.choice(SMOOTH)), bias=bool(rng.integers(2)))
    readout = 10.0 ** rng.uniform(-1, 2) * np.linalg.qr(rng.standard_normal((d, d)))[0][:1]
    problem = mfpde.Problem(
        rng.standard_normal((n, d)), rng.standard_normal((n, 1)), block=block, readout=readout
    )
    theta = rng.standard_normal((layers, width, block.size))
    theta[..., :d] *= rng.choice([0.0, 0.1, 1.0])
    weights = rng.random((layers, width)) + 0.1
    weights /= weights.sum(axis=1, keepdims=True)
    return problem, mfpde.ParticleMeasure(theta, mfpde.Depth(layers, "euler"), weights)


def deeper(seed, method):
    """The same kind of problem, with nodes of its own for another depth integrator."""
    problem, rho = draw_shl(seed)
    rng = np.random.default_rng(seed + 7)
    depth = mfpde.Depth(rho.levels, method)
    theta = rng.standard_normal((len(depth.nodes), *rho.theta.shape[1:]))
    theta[..., : problem.block.dim] *= rng.choice([0.0, 0.1, 0.5])
    weights = rng.random(theta.shape[:2]) + 0.1
    weights /= weights.sum(axis=1, keepdims=True)
    return problem, mfpde.ParticleMeasure(theta, depth, weights)


def draw_linear(seed, method="euler"):
    rng = np.random.default_rng(seed)
    n, d, layers = (int(rng.integers(1, high)) for high in (5, 4, 5))
    x, readout = rng.standard_normal((n, d)), 10.0 ** rng.uniform(-1, 1) * np.eye(d)
    y = x @ readout @ (np.eye(d) + 0.2 * rng.standard_normal((d, d))) + 0.1 * rng.standard_normal(
        (n, d)
    )
    problem = mfpde.Problem(x, y, block=mfpde.Linear(d), readout=readout)
    depth = mfpde.Depth(layers, method)
    theta = rng.uniform(0.3, 2.0) * rng.standard_normal((len(depth.nodes), 4 * d, 2 * d))
    if method != "euler":  # weakly coupled, so that steps of several stages are certified
        theta[..., d:] += rng.uniform(0.0, 0.1) * theta[..., :d]
        theta = np.concatenate([theta, theta * np.repeat([1.0, -1.0], d)], axis=1)
    return problem, mfpde.ParticleMeasure(theta, depth)


def rated(problem, seed):
    """The same in the metric of random rates, different in every coordinate."""
    return problem.under(np.random.default_rng(seed).uniform(0.2, 3.0, problem.block.size))


def eased(problem, rho, criterion, slack=0.999):
    """The same problem with the residual shrunk to what the certificate says it can bear.

    Below 1e-10 the rounding of the outputs, which the certificate counts, would be all of E(0).
    """
    found = theory.certificate(problem, rho, criterion=criterion)
    assume(found.loss_needed > 1e-10)
    output = mfpde.predict(problem, rho)
    part = min(1.0, np.sqrt(slack / max(found.pessimism, 1e-30)))
    targets = output + part * (problem.y - output)
    other = mfpde.Problem(problem.x, targets, block=problem.block, readout=problem.readout)
    return other.under(problem.rates)


def check_promises(problem, rho, certified, decades=8.0, max_steps=60):
    """Run the flow (a stiff one as far as max_steps go) and hold every promise against it."""
    sol = mfpde.solve(
        problem,
        rho,
        s_end=0.5 * decades * np.log(10.0) / certified.rate,
        method="rk45",
        rtol=1e-8,  # its error in E stays below the floor of the comparison
        atol=1e-11,
        max_steps=max_steps,
        save="steps",
        raise_on_failure=False,
    )
    excess = sol.loss - certified.least
    promise = certified.loss * np.exp(-2.0 * certified.rate * sol.s)
    floor = 1e-9 * certified.loss + 1e-13 * (1.0 + sol.loss[0] + certified.least)
    assert np.all(excess <= promise * (1 + 1e-5) + floor)
    mass = (rho.depth.weights[:, None] * rho.weights)[:, :, None] * problem.prices
    length, last = 0.0, rho.theta
    for theta in [*sol.states, sol.final.theta]:
        length += np.sqrt(np.sum(mass * np.square(theta - last)))
        away = np.sqrt(np.sum(mass * np.square(theta - rho.theta)))
        last = theta
        assert away <= certified.distance * (1 + 1e-4)
    assert length <= certified.distance * (1 + 1e-4)
    assert certified.distance <= certified.radius * (1 + 1e-12)
    return sol


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    criterion=st.sampled_from(["uniform", "integral"]),
    rates=st.booleans(),
)
def test_no_shl_run_violates_a_certificate(seed, criterion, rates):
    problem, rho = draw_shl(seed)
    problem = rated(problem, seed) if rates else problem
    problem = eased(problem, rho, criterion)
    certified = theory.certificate(problem, rho, criterion=criterion)
    assert certified.passed
    check_promises(problem, rho, certified)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    criterion=st.sampled_from(["uniform", "integral"]),
    method=st.sampled_from(METHODS),
    rates=st.booleans(),
)
def test_no_linear_run_violates_a_certificate(seed, criterion, method, rates):
    problem, rho = draw_linear(seed, method)
    problem = rated(problem, seed) if rates else problem
    problem = eased(problem, rho, criterion)
    certified = theory.certificate(problem, rho, criterion=criterion)
    assert certified.passed
    check_promises(problem, rho, certified)


@settings(max_examples=16, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    part=st.floats(0.02, 0.98),
    method=st.sampled_from(METHODS),
    rates=st.booleans(),
)
def test_no_measure_on_the_ball_breaks_its_shl_bound(seed, part, method, rates):
    """λ_min(K)/N, the worst m over all residuals, against m(R) at adversarial points."""
    problem, rho = deeper(seed, method)
    problem = rated(problem, seed) if rates else problem
    found = constants(problem, rho)
    assume(found.rate(0.0) > 0.0)
    radius = part * last_radius(found)
    bound = found.rate(radius)
    rng = np.random.default_rng(seed + 1)
    for theta in adversaries(problem, rho, radius, rng):
        least = np.linalg.eigvalsh(theory.tangent_kernel(problem, rho.with_state(theta)))[0]
        assert least / problem.size >= bound * (1 - 1e-9) - 1e-13


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    part=st.floats(0.02, 0.98),
    method=st.sampled_from(METHODS),
    rates=st.booleans(),
)
def test_no_measure_on_the_ball_breaks_its_linear_bound(seed, part, method, rates):
    problem, rho = draw_linear(seed, method)
    problem = rated(problem, seed) if rates else problem
    found, least = constants(problem, rho), theory.gradient_domination(problem)[1]
    assume(found.rate(0.0) > 0.0)
    radius = part * last_radius(found)
    rng = np.random.default_rng(seed + 1)
    for theta in adversaries(problem, rho, radius, rng):
        there = rho.with_state(theta)
        squares = np.square(mfpde.gradient(problem, there)) / problem.prices
        norm2 = there.integrate(squares.sum(axis=2))
        excess = mfpde.loss(problem, there) - least
        assert norm2 >= 2 * found.rate(radius) * excess * (1 - 1e-9) - 1e-13


def last_radius(found):
    low, high = 0.0, 64.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if found.rate(middle) > 0 else (low, middle)
    return low


def adversaries(problem, rho, radius, rng):
    """Moves of length R: spread, on one layer, on one light particle, shrinking u, w or all."""
    d, shape = problem.block.dim, rho.theta.shape
    mass = (rho.depth.weights[:, None] * rho.weights)[:, :, None] * problem.prices
    moves = [rng.standard_normal(shape) for _ in range(3)]
    layer = np.zeros(shape)
    layer[rng.integers(shape[0])] = rng.standard_normal(shape[1:])
    light = np.zeros(shape)
    light[0, rho.weights[0].argmin()] = rng.standard_normal(shape[2])
    shrink_w, shrink_u = -rho.theta, -rho.theta
    shrink_w[..., :d], shrink_u[..., d:] = 0.0, 0.0
    moves += [layer, light, -rho.theta, shrink_w, shrink_u, 1.0 * rho.theta]
    moves.append(mfpde.gradient(problem, rho))
    for move in moves:
        size = np.sqrt(np.sum(mass * np.square(move)))
        if size > 0.0:
            yield rho.theta + radius / size * move
            yield rho.theta - radius / size * move


def barboni(readout, count=64, steps=8, method="euler"):
    """u = 0, (w, b) Gaussian, outputs read from a coordinate that the data leave at zero."""
    x = np.array([[-1.2], [0.1], [1.0]])
    law = mfpde.laws.Product(mfpde.laws.Dirac(0.0, dim=2), mfpde.laws.Gaussian(1.5, dim=3))
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), readout=[[0.0, readout]])
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(steps, method), count=count)
    return problem, rho


@pytest.mark.parametrize("method", ["rk4", "heun", "midpoint"])
def test_other_integrators_are_certified_and_tend_to_euler_with_the_depth(method):
    euler = theory.certificate(*barboni(1.0, steps=32)).readout_scale
    coarse, fine = (
        theory.certificate(*barboni(1.0, steps=n, method=method)).readout_scale for n in (4, 32)
    )
    assert 0.95 * euler < fine < 1.3 * euler
    assert fine <= 1.05 * coarse
    problem, rho = barboni(1.001 * coarse, steps=4, method=method)
    certified = theory.certificate(problem, rho)
    assert certified.passed
    sol = check_promises(problem, rho, certified, max_steps=4000)
    assert sol.loss[-1] < 1e-8 * sol.loss[0]


def test_stages_of_a_node_that_differ_lower_the_bound():
    """Two stages of rk4 read the middle of a step; the further apart, the less is certain."""
    found = constants(*barboni(1.0, steps=2, method="rk4"))
    assert found.gap.max() < 1e-10  # u = 0: the data stand still
    problem, rho = barboni(1.0, steps=2, method="rk4")
    theta = rho.theta.copy()
    theta[..., :2] = 0.02 * theta[..., 2:4]
    moving = constants(problem, rho.with_state(theta))
    assert moving.gap.max() > 1e-7
    assert replace(moving, gap=0.0 * moving.gap).rate(0.0) > moving.rate(0.0)


def test_initialisation_with_zero_u_and_lifted_readout_passes():
    refused = theory.certificate(*barboni(1.0))
    assert not refused.passed
    assert refused.rate == 0.0
    assert refused.distance == np.inf
    assert "readout" in str(refused)
    problem, rho = barboni(1.001 * refused.readout_scale)
    certified = theory.certificate(problem, rho)
    assert certified.passed
    assert 2 * certified.loss / certified.rate <= certified.radius**2
    assert "certified" in str(certified)
    sol = check_promises(problem, rho, certified, max_steps=4000)
    assert sol.loss[-1] < 1e-8 * sol.loss[0]
    assert not theory.certificate(*barboni(0.99 * refused.readout_scale)).passed


def test_white_linear_initialisation_passes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 2))
    y = x @ np.array([[1.05, 0.02], [-0.03, 0.98]])
    problem = mfpde.Problem(x, y, block=mfpde.Linear(2))
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    depth = mfpde.Depth(16, "euler")
    rho = mfpde.ParticleMeasure(np.repeat(2.0 * corners[None], 16, axis=0), depth)
    certified = theory.certificate(problem, rho)
    assert certified.passed
    sol = check_promises(problem, rho, certified, max_steps=4000)
    exact = theory.linear_closure(problem, rho.second_moment(), depth, [sol.s[-1]])
    assert sol.loss[-1] == pytest.approx(exact.loss[0], abs=1e-9)


def test_integral_criterion_certifies_more_and_is_sharp_for_scalars():
    """d = 1, Σ = σ²Id: the multiplier e^S reaches any β > 0, and β = 0 has excess ½: the limit."""
    signs = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    problem = mfpde.Problem([[1.0]], [[0.2]], block=mfpde.Linear(1))
    rho = mfpde.ParticleMeasure(
        np.repeat(20.0 * signs[None], 4096, axis=0), mfpde.Depth(4096, "euler")
    )
    integral = theory.certificate(problem, rho, criterion="integral")
    uniform = theory.certificate(problem, rho)
    assert uniform.loss_needed < integral.loss_needed < 0.5
    assert integral.loss_needed > 0.38
    assert integral.passed
    assert not uniform.passed


def test_advice_is_what_it_says():
    problem, rho = barboni(10.0)
    found = theory.certificate(problem, rho)
    assert found.pessimism == pytest.approx(found.loss / found.loss_needed)
    richer = found.constants.scaled(found.eigenvalue_factor)
    radii = np.linspace(0.0, 5.0, 2001)[1:]
    reach = max(0.5 * r**2 * richer.rate(r) for r in radii)
    assert reach == pytest.approx(found.loss, rel=0.05)
    easier = mfpde.Problem(
        problem.x,
        problem.y * np.sqrt(0.999 / found.pessimism),
        block=problem.block,
        readout=problem.readout,
    )
    assert theory.certificate(easier, rho).passed


def test_bound_decreases_with_the_radius_and_the_rounding_margin_counts():
    found = constants(*barboni(1.0))
    rates = [found.rate(r) for r in np.linspace(0.0, 0.3, 50)]
    assert np.all(np.diff(rates) <= 0)
    assert rates[0] > 0
    assert 0 < found.safety < 1e-9
    assert replace(found, safety=1e-3).rate(0.01) < found.rate(0.01)


def test_singular_features_certify_nothing():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((2, 1)), 2, axis=0)
    problem, rho = barboni(1e6)
    twins = mfpde.Problem(x, np.arange(4.0), block=problem.block, readout=problem.readout)
    found = theory.certificate(twins, rho)
    assert not found.passed
    assert found.eigenvalue_factor == np.inf
    assert found.readout_scale == np.inf
    assert "singular to rounding" in str(found)
    assert "only 2 of 4 data are distinct" in str(found)
    few = mfpde.ParticleMeasure(rho.theta[:, :2], rho.depth)
    found = theory.certificate(problem, few)
    assert not found.passed
    assert f"{problem.size} data need at least {problem.size} particles" in str(found)


@pytest.mark.parametrize("law", [1.0, 1e-9])
def test_the_answer_never_advises_what_is_not_finite(law):
    """Close data, or features that are hardly bent: the kernel's rank is numerical."""
    x = np.linspace(-1, 1, 24)[:, None]
    problem = mfpde.Problem(x, np.sin(6 * x), block=mfpde.SHL(2), readout="last")
    rho = mfpde.ParticleMeasure.from_law(
        mfpde.laws.Gaussian(law, dim=5), mfpde.Depth(8, "euler"), count=64, rule="iid"
    )
    found = theory.certificate(problem, rho)
    assert found.constants.least.max() == 0.0
    assert "lie further apart" in str(found)
    assert "inf" not in str(found)


@pytest.mark.parametrize("method", METHODS[1:])
def test_linear_certificates_of_other_integrators(method):
    """At ρ_0 they tend to that of Euler; on a ball a light node may move further, and costs."""
    depths = mfpde.Depth(64, "euler"), mfpde.Depth(4, method), mfpde.Depth(64, method)
    euler, coarse, fine = (theory.certificate(*white(depth)) for depth in depths)
    assert fine.constants.rate(0.0) == pytest.approx(euler.constants.rate(0.0), rel=1e-6)
    assert 0.25 * euler.loss_needed < fine.loss_needed <= 1.001 * euler.loss_needed
    assert 0.0 < coarse.loss_needed < 1.001 * fine.loss_needed
    problem, rho = white(mfpde.Depth(4, method))
    output = mfpde.predict(problem, rho)
    part = np.sqrt(0.999 / max(coarse.pessimism, 1.0))
    targets = output + part * (problem.y - output)
    problem = mfpde.Problem(problem.x, targets, block=problem.block)
    certified = theory.certificate(problem, rho)
    assert certified.passed
    check_promises(problem, rho, certified, max_steps=4000)


def white(depth):
    """Linear blocks of second moment 4 Id and a target near the identity."""
    x = np.random.default_rng(0).standard_normal((6, 2))
    y = x @ np.array([[1.02, 0.01], [-0.01, 0.99]])
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    theta = np.repeat(2.0 * corners[None], len(depth.nodes), axis=0)
    return mfpde.Problem(x, y, block=mfpde.Linear(2)), mfpde.ParticleMeasure(theta, depth)


@pytest.mark.parametrize("kind", ["shl", "linear"])
@pytest.mark.parametrize("method", METHODS)
def test_rates_are_a_change_of_variables(kind, method):
    """η_u = 1/r, η_w = r is the plain flow of states √r X; one η for all another time."""
    r = 3.0
    problem, rho = deeper(5, method) if kind == "shl" else draw_linear(5, method)
    d, root, size = problem.block.dim, np.sqrt(r), problem.block.size
    problem = mfpde.Problem(problem.x, problem.y, block=problem.block, readout=problem.readout)
    first, second = (1 / r, r) if kind == "shl" else (r, 1 / r)  # of u; of w, or v
    eta = np.concatenate([np.full(d, first), np.full(d, second), np.ones(size - 2 * d)])
    other = mfpde.Problem(
        problem.x, problem.y, block=problem.block, embed=root * problem.embed,
        readout=problem.readout / root,
    )  # fmt: skip
    known = theory.certificate(other, rho.with_state(rho.theta / np.sqrt(eta)))
    found = theory.certificate(problem.under(eta), rho)
    for name in ("loss_needed", "measured", "pessimism"):
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=1e-9)
    radius = 0.5 * last_radius(known.constants)
    assert found.constants.rate(radius) == pytest.approx(known.constants.rate(radius), rel=1e-9)
    plain, quick = (constants(problem.under(np.full(size, one)), rho) for one in (1.0, r))
    assert quick.rate(radius) == pytest.approx(r * plain.rate(root * radius), rel=1e-9)


def test_other_obstacles_have_names_of_their_own():
    problem, rho = barboni(1.0)
    linear = mfpde.Problem(np.eye(2), np.eye(2), block=mfpde.Linear(2))
    theta = 3.0 * np.tile(np.eye(2), (3, 1, 2))  # v = u: h Λ = 1.5
    far = mfpde.ParticleMeasure(theta, mfpde.Depth(3, "euler"))
    assert "more layers" in str(theory.certificate(linear, far))
    assert "rates of 0" in str(theory.certificate(problem.under((0.0, 1.0, 1.0)), rho))
    assert theory.certificate(problem.under((1.0, 0.0, 0.0)), rho).loss_needed > 0.0
    wild = mfpde.ParticleMeasure(8.0 * rho.theta + 5.0, rho.depth)
    assert "smaller norm" in str(theory.certificate(problem, wild))
    twice = mfpde.Problem(
        problem.x, np.tile(problem.y[:, :1], 2), block=problem.block, embed=problem.embed,
        readout=np.tile(problem.readout[:1], (2, 1)),
    )  # fmt: skip
    assert "dependent rows" in str(theory.certificate(twice, rho))


def test_the_true_flow_may_converge_where_nothing_is_certified():
    problem, rho = barboni(1.0, count=16, steps=2)
    assert not theory.certificate(problem, rho).passed
    sol = mfpde.solve(problem, rho, s_end=np.inf, loss_below=1e-6, rtol=1e-2)
    assert sol.success


def test_outside_its_range_it_refuses():
    problem, rho = barboni(1.0)
    relu = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(2, "relu"))
    with pytest.raises(ValueError, match="smooth"):
        theory.certificate(relu, rho)
    with pytest.raises(ValueError, match="criterion"):
        theory.certificate(problem, rho, criterion="hope")
