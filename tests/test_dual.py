"""The dual system of implicit steps: conjugate gradients against factorisation."""

import numpy as np
import pytest
from problems import gaussian_measure, random_case, sine

import mfpde
from mfpde import losses
from mfpde.flows import dual
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.preconditioners import Kronecker, Recycled
from mfpde.passes import carry
from mfpde.passes.interface import Carried
from mfpde.passes.kronecker import mixtures, sample
from mfpde.runs.step import Solving

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
    ways = {}
    for way in (dual.FACTORISED, dual.PRODUCTS, dual.KRONECKER):
        monkeypatch.setattr(dual, "costs", lambda *a, way=way, **how: {way: 1.0})
        ways[way] = mfpde.solve(problem, rho0, **how)
    factored = ways.pop(dual.FACTORISED)
    assert "products" not in factored.stats
    for way, iterated in ways.items():
        assert "kernels" not in iterated.stats
        assert ("preconditioners" in iterated.stats) == (way == dual.KRONECKER)
        agree(problem, rho0, factored, iterated, rtol)


def agree(problem, rho0, factored, iterated, rtol):
    flow = ParticleFlow(problem, rho0)
    for one, other in zip(factored.states, iterated.states, strict=True):
        assert flow.norm(one - other) <= rtol * flow.norm(one)
    assert iterated.loss[-1] == pytest.approx(factored.loss[-1], rel=rtol)


@pytest.mark.parametrize("case", ["one datum", "fewer data than outputs", "next to no weight"])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_few_data_and_data_that_hardly_count(case, loss, monkeypatch):
    """All ways agree; data of weight 1e-14, all of the preconditioner's sample, are as if left out.

    Weights of 0 are refused.
    """
    rng, count = np.random.default_rng(2), {"one datum": 1, "next to no weight": 20}.get(case, 3)
    x, outputs = rng.standard_normal((count, 3)), 2 if count == 20 else 5
    y = np.arange(count) % outputs if loss == "cross_entropy" else rng.random((count, outputs))
    y = np.eye(outputs)[y] if loss == "cross_entropy" else y
    kept, weights = np.ones(count, bool), None
    if count == 20:
        kept[sample(count)] = False
        weights = np.where(kept, 1.0, 1e-14)
        with pytest.raises(ValueError, match="weights must be positive"):
            mfpde.Problem(x, y, block=mfpde.SHL(8), loss=loss, weights=1.0 * kept)
    block = mfpde.SHL(8)
    terms = {"block": block, "embed": "pad", "readout": "last", "loss": loss}
    problem = mfpde.Problem(x, y, weights=weights, **terms)
    rho0 = gaussian_measure(problem, DEPTH, count=24)
    how = {"s_end": 20.0, "method": "implicit", "rtol": 1e-3, "progress": False}
    runs = [mfpde.solve(mfpde.Problem(x[kept], y[kept], **terms), rho0, **how)]
    for way in (dual.FACTORISED, dual.PRODUCTS, dual.KRONECKER):
        monkeypatch.setattr(dual, "costs", lambda *a, way=way, **how: {way: 1.0})
        runs.append(mfpde.solve(problem, rho0, **how))
    for run in runs[1:]:
        assert run.success
        assert run.loss[-1] == pytest.approx(runs[0].loss[-1], rel=1e-3, abs=1e-9)


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
def test_mixed_kernels_are_those_of_the_whole(loss):
    """Against all of K; Euler's method evaluates a node once, so that nothing is merged."""
    _, point = random_point(loss, "euler")
    mixes = np.random.default_rng(0).standard_normal((3, point.slope.shape[1]))
    whole = Carried.mixed_kernel(point.carried, mixes, point.root)
    found = point.carried.mixed_kernel(mixes, point.root)
    np.testing.assert_allclose(found, whole, atol=1e-12 * whole.max())
    n, k = point.slope.shape
    roots = np.eye(k)[None].repeat(n, axis=0) if point.root is None else point.root
    rows = np.einsum("qa,nab->qnb", mixes, roots)  # by hand, entry by entry
    blocks = point.kernel.reshape(n, k, n, k)
    by_hand = sum(np.einsum("ia,iajb,jb->ij", row, blocks, row) for row in rows)
    np.testing.assert_allclose(whole, by_hand, atol=1e-12 * whole.max())


def test_merged_evaluations_are_close():
    """Stage states of one node differ by a power of the step in depth."""
    gaps = []
    for steps in (2, 4, 8):
        problem = sine(12)
        point = carry(problem, gaussian_measure(problem, mfpde.Depth(steps, "rk4"), count=32))
        mixes = np.eye(1)
        whole = Carried.mixed_kernel(point, mixes)
        gaps.append(np.abs(point.mixed_kernel(mixes) - whole).max() / whole.max())
    assert gaps[0] < 0.05
    assert gaps[2] < 0.3 * gaps[1] < 0.3 * gaps[0]


def test_mixed_kernels_of_a_grid():
    problem, _ = random_case(mfpde.SHL(1), "rk4", "squared")
    x = problem.x[:, :1]
    block, readout = mfpde.SHL(1), [[1.0], [-0.5]]
    many = mfpde.Problem(x, x @ [[1.0, -1.0]], block=block, readout=readout)
    rho = mfpde.GridMeasure.from_law(
        mfpde.laws.Gaussian(0.8, dim=3), DEPTH, cells=6, box=[(-3.5, 3.5)] * 3
    )
    carried, mixes = carry(many, rho), mixtures(2)
    whole = Carried.mixed_kernel(carried, mixes)
    np.testing.assert_allclose(carried.mixed_kernel(mixes), whole, atol=1e-12 * whole.max())


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_both_factors_have_the_trace_of_the_kernel(loss):
    """Exactly where all data are in the sample."""
    flow, point = random_point(loss, "euler")
    n, k = point.slope.shape
    assert len(sample(n)) == n
    whole = point.kernel.reshape(n, k, n, k)
    roots = np.eye(k)[None].repeat(n, axis=0) if point.root is None else point.root
    trace = np.einsum("iab,ibic,ica->", roots, whole, roots)
    data, outputs = flow.kronecker(point, point.carried)
    assert np.trace(data) * np.trace(outputs) == pytest.approx(trace, rel=1e-12)


def test_preconditioners_are_inverses():
    rng = np.random.default_rng(3)
    a, b = (m @ m.T for m in (rng.standard_normal((6, 4)), rng.standard_normal((3, 3))))
    v, gamma = rng.standard_normal((6, 3)), 7.0
    kernel = Kronecker.of(a, b)
    found = kernel.inverse(gamma)(v)
    system = np.eye(18) + gamma * np.kron(a, b)
    np.testing.assert_allclose(system @ found.ravel(), v.ravel(), atol=1e-10)
    whole = system @ np.diag(rng.uniform(1.0, 2.0, 18)) @ system  # another G, with directions
    directions = [rng.standard_normal((6, 3)) for _ in range(5)]
    directions.append(directions[0] + 1e-15)  # one of them twice
    images = [(whole @ p.ravel()).reshape(6, 3) for p in directions]
    apply = Recycled.of(kernel, directions, images).inverse(gamma)
    target = np.eye(18) + gamma * whole
    for p in directions:
        np.testing.assert_allclose(apply((target @ p.ravel()).reshape(6, 3)), p, atol=1e-6)
    matrix = np.stack([apply(e.reshape(6, 3)).ravel() for e in np.eye(18)])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-8 * np.abs(matrix).max())
    assert np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0] > 0.0
    assert Recycled.of(kernel, [], []) is kernel


def several_outputs(count=24, outputs=6, width=48):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((count, 4))
    problem = mfpde.Problem(x, rng.standard_normal((count, outputs)), block=mfpde.SHL(10))
    return problem, gaussian_measure(problem, DEPTH, count=width)


def needed(flow, gamma, point, *, kronecker, solves=1):
    krylov, counts = dual.Krylov(flow, 1e-6, kronecker=kronecker), []
    for _ in range(solves):
        before = krylov.products
        assert krylov.solve(point, gamma, point.slope) is not None
        counts.append(krylov.products - before)
    return krylov, counts


def test_outputs_that_share_data_save_iterations():
    problem, rho = several_outputs()
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    gamma = 300.0 / np.linalg.eigvalsh(point.kernel)[-1]
    _, (plain, *_) = needed(flow, gamma, point, kronecker=False)
    krylov, (first, second) = needed(flow, gamma, point, kronecker=True, solves=2)
    assert first < 0.6 * plain
    assert second <= 2
    assert krylov.without == pytest.approx(plain, rel=0.3)  # known without a product


@pytest.mark.parametrize(("loss", "stiffest"), [("squared", 1e7), ("cross_entropy", 1e3)])
@pytest.mark.parametrize("kronecker", [False, True])
def test_products_in_single_precision_leave_no_larger_residual(
    loss, stiffest, kronecker, monkeypatch
):
    """Up to systems whose rounding is far above what is asked for."""
    problem, rho = several_outputs(12, 3, 48)
    if loss == "cross_entropy":
        problem = mfpde.Problem(problem.x, np.arange(12) % 3, block=problem.block, loss=loss)
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    assert not dual.Krylov(flow, 1.0)._rough  # calls cost more than products here
    monkeypatch.setattr(dual.prices, "SINGLE_FROM", 0.0)
    right = np.random.default_rng(0).standard_normal((12, 3))
    for gamma in (1.0, 1e2, stiffest):
        exact = dual.Dense(flow).solve(point, gamma, right)
        for allowed in (1e-1, 1e-6):
            krylov = dual.Krylov(flow, allowed, kronecker=kronecker)
            for _ in range(2):
                z = krylov.solve(point, gamma, right)
                error = flow.pull_outputs(point, z - exact)
                assert gamma * flow.norm(error) <= dual.SHARE * allowed * (1 + 1e-6) + 1e-9


def test_products_too_rough_to_help_are_left_to_double_precision(monkeypatch):
    class Rough:
        def __init__(self, carried):
            self.carried = carried

        def kernel_product(self, v):
            factor = 1.0 + 0.9 * np.sin(np.arange(v.size)).reshape(v.shape)
            return factor * self.carried.kernel_product(v)

    problem, rho = several_outputs(12, 3, 48)
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    monkeypatch.setattr(dual.prices, "SINGLE_FROM", 0.0)
    monkeypatch.setattr(dual, "SINGLE", 1.0)
    monkeypatch.setattr(dual, "ITERATIONS", 5000)
    monkeypatch.setattr(dual.Krylov, "_in_single", lambda self, at: Rough(at.carried))
    krylov = dual.Krylov(flow, 1e-6)
    z = krylov.solve(point, 3.0, point.slope)
    assert not krylov._rough
    exact = dual.Dense(flow).solve(point, 3.0, point.slope)
    assert 3.0 * flow.norm(flow.pull_outputs(point, z - exact)) <= dual.SHARE * 1e-6


def test_one_output_is_solved_by_its_kernel():
    """k = 1: A is K, but for evaluations that are merged."""
    problem = sine(16)
    rho = gaussian_measure(problem, mfpde.Depth(4, "euler"), count=48)
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    assert needed(flow, 1e4, point, kronecker=True)[1] == [1]


def test_a_way_that_costs_more_than_another_is_given_up(monkeypatch):
    problem, rho = several_outputs()
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    exact = dual.Dense(flow).solve(point, 1e3, point.slope)
    prices = {dual.PRODUCTS: 1.0, dual.KRONECKER: 3.0, dual.FACTORISED: 4.0}
    monkeypatch.setattr(dual, "costs", lambda *a: dict(prices))
    solver = dual.Chosen(flow, point, 1e-9, solves=1, kernels=1)
    np.testing.assert_allclose(solver.solve(point, 1e3, point.slope), exact, atol=1e-9)
    assert solver.seen.kind == dual.FACTORISED
    assert solver.seen.kronecker >= 4.0


def test_ways_change_by_their_cost_and_not_back_and_forth():
    assert dual.chosen({"products": 10.0, "averaged": 9.0}, "products") == "products"
    assert dual.chosen({"products": 10.0, "averaged": 8.0}, "products") == "averaged"
    assert dual.chosen({"products": 10.0, "averaged": 9.0}, "") == "averaged"
    assert dual.chosen({"products": 10.0, "averaged": 9.0}, "factorised") == "averaged"


def test_what_is_seen_of_one_way_tells_of_the_other():
    seen = dual.updated(Solving("products", 4.0, 3.0), "products", 16.0, 0.0)
    assert seen == Solving("products", 16.0, 6.0)
    assert dual.updated(seen, "kronecker", 5.0, 40.0) == Solving("kronecker", 40.0, 5.0)
    assert dual.updated(seen, "products", 0.0, 0.0).kronecker > 0.0
    unsolved = dual.updated(seen, "kronecker", 90.0, 0.0)  # given up: nothing is known of others
    assert unsolved == Solving("kronecker", 16.0, 90.0)


def test_a_resumed_run_chooses_as_the_whole_one(tmp_path):
    problem, rho0 = several_outputs()
    how = {"s_end": 1e3, "rtol": 3e-2, "method": "implicit"}
    run = mfpde.solve(problem, rho0, **how)
    assert run.stats["preconditioners"] > 0
    path, half = tmp_path / "run.h5", run.control.steps // 2
    mfpde.solve(problem, rho0, checkpoint=path, callback=lambda r: r.control.steps == half, **how)
    resumed = mfpde.resume(path)
    assert resumed.control.solving == run.control.solving
    np.testing.assert_array_equal(resumed.final.theta, run.final.theta)


def test_what_does_not_fit_is_not_factorised():
    assert dual.fits(1000)
    assert not dual.fits(9000)
    assert dual.holds(10_000) == (dual.checks.memory_limit() >= 4.8e9)
    assert not dual.holds(10**7)


def test_a_step_that_nothing_solves_is_shortened(monkeypatch):
    """An iteration that stagnates is no answer: the step is refused, the next one shorter."""
    monkeypatch.setattr(dual, "costs", lambda *a, **how: {dual.PRODUCTS: 1.0})
    monkeypatch.setattr(dual, "ITERATIONS", 3)
    problem, rho0 = several_outputs(12, 3, 16)
    flow = ParticleFlow(problem, rho0)
    with pytest.raises(dual.Unsolved):
        dual.Chosen(flow, flow.at(rho0.theta), 0.0, solves=1, kernels=1).solve(
            flow.at(rho0.theta), 1e6, flow.at(rho0.theta).slope
        )
    how = {"s_end": 20.0, "rtol": 3e-2, "method": "implicit"}
    run = mfpde.solve(problem, rho0, **how)
    monkeypatch.undo()
    whole = mfpde.solve(problem, rho0, **how)
    assert run.stats["rejected"] > whole.stats["rejected"]
    assert run.control.steps > whole.control.steps
    assert run.loss[-1] == pytest.approx(whole.loss[-1], rel=0.1)


class Welsch(losses.Loss):
    """ℓ = Σ_c 1 − e^{−r_c²/2}: concave where |r_c| > 1."""

    name = "welsch"

    def value(self, z, y):
        return (1.0 - np.exp(-0.5 * (z - y) ** 2)).sum(axis=1)

    def gradient(self, z, y):
        return (z - y) * np.exp(-0.5 * (z - y) ** 2)

    def hessian(self, z, y):
        r2 = (z - y) ** 2
        return ((1.0 - r2) * np.exp(-0.5 * r2))[:, :, None] * np.eye(z.shape[1])


@pytest.mark.parametrize("way", [dual.FACTORISED, dual.PRODUCTS, dual.KRONECKER])
def test_a_concave_loss_is_followed(way, monkeypatch):
    """Implicit where it is convex, explicit where it is not: the order is kept."""
    monkeypatch.setattr(losses, "LOSSES", dict(losses.LOSSES))
    loss = losses.register(Welsch())
    x = np.linspace(-1.0, 1.0, 10)[:, None]
    y = 2.5 * np.sin(3 * x) * [[1.0, -0.4]]
    problem = mfpde.Problem(
        x, y, block=mfpde.SHL(3), embed="pad", readout="last", loss=loss, weight_decay=0.01
    )
    rho0 = gaussian_measure(problem, DEPTH, count=16)
    point = ParticleFlow(problem, rho0).at(rho0.theta)
    assert point.carried.hessian.min() < -0.1
    np.testing.assert_allclose(point.root @ point.root, point.hessian, atol=1e-12)
    exact = mfpde.solve(problem, rho0, s_end=6.0, method="rk45", rtol=1e-9)
    monkeypatch.setattr(dual, "costs", lambda *a, **how: {way: 1.0})
    errors = []
    for rtol in (1e-2, 1e-4):
        run = mfpde.solve(problem, rho0, s_end=6.0, method="implicit", rtol=rtol)
        errors.append(abs(run.loss[-1] / exact.loss[-1] - 1.0))
        assert f"At {run.stats['concave']} points the loss was concave" in run.message
    assert errors[0] < 1e-2
    assert errors[1] < 1e-4
    assert "concave" not in exact.message
