"""COT distance: closed forms, invariances, depth axes, agreement of methods, clear errors."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfpde
from mfpde import transport
from mfpde.transport import Shortlist, Simplex, Sinkhorn, conditional_transport, cot_distance
from mfpde.transport.methods import METHODS

EXACT = ("simplex", "shortlist", "assignment")
T3 = np.array([0.1, 0.5, 0.9])


def cloud(rng, k, m, p, scale=1.0):
    return scale * rng.normal(size=(k, m, p))


def random_weights(rng, k, m):
    a = rng.random((k, m)) + 0.05
    return a / a.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", EXACT)
def test_translation_is_exact(method):
    rng = np.random.default_rng(0)
    theta, shift = cloud(rng, 3, 40, 2), np.array([[3.0, -1.0], [0.0, 2.0], [1.0, 1.0]])
    result = conditional_transport((T3, theta), (T3, theta + shift[:, None]), method=method)
    np.testing.assert_allclose(result.per_depth, np.linalg.norm(shift, axis=1), rtol=1e-12)
    lengths = np.array([0.3, 0.4, 0.3])  # midpoint cells of the depths
    expected = np.sqrt(lengths @ np.sum(shift**2, axis=1))
    assert result.distance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", ["simplex", "shortlist"])
def test_diracs_and_single_atoms(method):
    point, rng = np.array([1.0, -2.0, 0.5]), np.random.default_rng(1)
    theta = cloud(rng, 3, 30, 3)
    a = random_weights(rng, 3, 30)
    dirac = np.tile(point, (3, 1, 1))
    expected = np.sqrt(np.array([0.3, 0.4, 0.3]) @ (a * ((theta - point) ** 2).sum(2)).sum(1))
    assert cot_distance((T3, theta, a), (T3, dirac), method=method) == pytest.approx(
        expected, rel=1e-13
    )
    assert cot_distance((T3, dirac), (T3, dirac + 1.0), method=method) == pytest.approx(
        np.sqrt(3.0), rel=1e-14
    )


def gaussian_pair(n, p):
    """Deterministic clouds with the optimal map x -> m + S x, S symmetric positive."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(p, p))
    stretch = root @ root.T / p + 0.2 * np.eye(p)
    x = rng.normal(size=(n, p))
    return x, x @ stretch + 0.7, stretch


@pytest.mark.parametrize(("method", "n"), [*((m, 60) for m in EXACT), ("shortlist", 700)])
def test_monotone_affine_map_is_optimal(method, n):
    """Brenier: the gradient of a convex function is optimal, whatever the measure."""
    x, y, _ = gaussian_pair(n, 3)
    rng = np.random.default_rng(2)
    y_mixed = rng.permutation(y)
    expected = np.sqrt(np.mean(np.sum((x - y) ** 2, axis=1)))
    got = cot_distance(([0.5], x[None]), ([0.5], y_mixed[None]), method=method)
    assert got == pytest.approx(expected, rel=1e-12)


def test_gaussian_laws_by_quadrature():
    """W2² = |m|² + tr(A + B − 2(A^½ B A^½)^½): Gauss points of diagonal Gaussians, to 1e−3."""
    depth = mfpde.Depth(2, "euler")
    std = np.array([0.5, 1.5]), np.array([1.0, 0.7])
    mu, nu = (
        mfpde.ParticleMeasure.from_law(
            mfpde.laws.Gaussian(std=list(s)), depth, count=400, rule="gauss"
        )
        for s in std
    )
    expected = float(np.linalg.norm(std[0] - std[1]))
    assert mfpde.cot_distance(mu, nu) == pytest.approx(expected, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    p=st.integers(1, 5),
    lattice=st.booleans(),
)
def test_exact_methods_agree_and_bounds_hold(seed, n, m, p, lattice):
    """Ties, duplicates and empty atoms included; certificates close to round-off."""
    rng = np.random.default_rng(seed)
    draw = (lambda *s: rng.integers(0, 3, s).astype(float)) if lattice else rng.normal
    x = draw(1, n, p) if lattice else draw(size=(1, n, p))
    y = draw(1, m, p) if lattice else draw(size=(1, m, p))
    a, b = random_weights(rng, 1, n), random_weights(rng, 1, m)
    if n > 2:
        a[0, 0] = 0.0
        a /= a.sum()
    mu, nu = ([0.5], x, a), ([0.5], y, b)
    short = conditional_transport(mu, nu, method="shortlist")
    simplex = conditional_transport(mu, nu, method="simplex")
    scale = 1.0 + np.abs(x).max() ** 2 + np.abs(y).max() ** 2
    assert abs(short.distance**2 - simplex.distance**2) <= 1e-11 * scale
    if p == 1:
        line = conditional_transport(mu, nu)
        assert line.method == "one_dim"
        assert abs(line.distance**2 - short.distance**2) <= 1e-12 * scale
        assert abs(cot_distance(mu, nu) ** 2 - line.distance**2) <= 1e-12 * scale
        check_certificate(line, scale)
    check_certificate(short, scale)
    check_certificate(simplex, scale)
    assert cot_distance(mu, nu, method="sliced") <= short.distance + 1e-7


def check_certificate(result, scale):
    """Marginals of the plan, feasibility of the potentials on all pairs, no gap."""
    assert abs(result.gap) <= 1e-10 * scale
    for cell, plan, (u, v) in zip(result.cells, result.plans, result.potentials, strict=True):
        x, y = result.mu.atoms[cell.first], result.nu.atoms[cell.second]
        dense = plan.toarray()
        np.testing.assert_allclose(dense.sum(1), result.mu.weights[cell.first], atol=1e-14)
        np.testing.assert_allclose(dense.sum(0), result.nu.weights[cell.second], atol=1e-14)
        cost = ((x[:, None] - y[None]) ** 2).sum(axis=2)
        assert np.min(cost - u[:, None] - v[None]) >= -1e-12 * scale


@pytest.mark.parametrize("equal", [True, False])
def test_large_slices_are_exact(equal):
    """Coarse levels, several pricing rounds; against POT to 1e−10."""
    rng = np.random.default_rng(3)
    x, y = cloud(rng, 1, 1200, 3), cloud(rng, 1, 900 if not equal else 1200, 3, 1.4) + 0.3
    a = None if equal else random_weights(rng, 1, 1200)
    mu, nu = ([0.5], x, a), ([0.5], y)
    short = conditional_transport(mu, nu)
    assert short.method == "shortlist"
    reference = conditional_transport(mu, nu, method=Simplex()).distance
    assert abs(short.distance**2 - reference**2) < 1e-10
    check_certificate(short, 30.0)


def test_lattice_laws_of_a_grid():
    """Massive ties, zero weights and a warm start: POT's value, the same cost again."""
    axis = np.arange(20.0)
    theta = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(1, -1, 2)
    a = np.exp(-((theta - 6.0) ** 2).sum(2) / 12)
    b = np.exp(-((theta - 12.0) ** 2).sum(2) / 20)
    a[a < 1e-4] = 0.0
    a, b = a / a.sum(), b / b.sum()
    mu, nu = ([0.5], theta, a), ([0.5], theta, b)
    short = conditional_transport(mu, nu, method="shortlist")
    assert short.distance**2 == pytest.approx(cot_distance(mu, nu, method="simplex") ** 2, abs=1e-9)
    check_certificate(short, 800.0)
    warm = conditional_transport(mu, nu, method="shortlist", start=short)
    assert warm.distance**2 == pytest.approx(short.distance**2, abs=1e-10)


def test_tiny_scales_are_solved_too():
    """Costs near 1e−16 stay exact: nothing in the solvers has an absolute tolerance."""
    rng = np.random.default_rng(4)
    x, y = cloud(rng, 1, 250, 2), cloud(rng, 1, 250, 2)
    for method in ("simplex", "shortlist"):
        unit = cot_distance(([0.5], x), ([0.5], y), method=method)
        tiny = cot_distance(([0.5], 1e-8 * x), ([0.5], 1e-8 * y), method=method)
        assert tiny == pytest.approx(1e-8 * unit, rel=1e-12)


def test_dense_and_lean_simplex_agree():
    rng = np.random.default_rng(6)
    mu, nu = (T3, cloud(rng, 3, 50, 2)), (T3, cloud(rng, 3, 70, 2))
    lean = conditional_transport(mu, nu, method=Simplex(dense_limit=0))
    assert lean.distance == pytest.approx(cot_distance(mu, nu, method=Simplex()), rel=1e-13)
    check_certificate(lean, 30.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), p=st.integers(1, 4))
def test_metric_axioms_and_isometries(seed, p):
    rng = np.random.default_rng(seed)
    mu, nu, xi = ((T3, cloud(rng, 3, n, p), random_weights(rng, 3, n)) for n in (12, 9, 15))
    d = cot_distance(mu, nu)
    assert d == pytest.approx(cot_distance(nu, mu), rel=1e-11)
    assert cot_distance(mu, mu) <= 1e-7
    assert d <= cot_distance(mu, xi) + cot_distance(xi, nu) + 1e-12
    turn = np.linalg.qr(rng.normal(size=(p, p))).Q
    order = rng.permutation(12)
    moved = (T3, 3.0 * (mu[1][:, order] @ turn) + 1.0, mu[2][:, order])
    assert cot_distance(moved, (T3, 3.0 * (nu[1] @ turn) + 1.0, nu[2])) == pytest.approx(
        3.0 * d, rel=1e-11
    )


def test_depths_do_not_exchange_mass():
    """Two depths that swap their laws are far apart although the mixture over depth is the same."""
    theta = np.array([[[0.0]], [[1.0]]])
    assert cot_distance(([0.2, 0.8], theta), ([0.2, 0.8], theta[::-1])) == pytest.approx(1.0)


def test_common_refinement_of_different_depth_axes():
    """ρ_t = δ_k on 2 cells against δ_l on 3 cells, by hand; Depth weights give the cells."""
    two, three = mfpde.Depth(2, "euler"), mfpde.Depth(3, "euler")
    mu = mfpde.ParticleMeasure(np.array([[[0.0]], [[6.0]]]), two)
    nu = mfpde.ParticleMeasure(np.array([[[0.0]], [[3.0]], [[6.0]]]), three)
    result = conditional_transport(mu, nu)
    np.testing.assert_allclose([c.length for c in result.cells], [1 / 3, 1 / 6, 1 / 6, 1 / 3])
    np.testing.assert_allclose(result.per_depth, [0.0, 3.0, 3.0, 0.0])
    assert result.distance == pytest.approx(np.sqrt(3.0))
    simpson = mfpde.Depth(2, "rk4")
    same = mfpde.ParticleMeasure(np.zeros((5, 1, 1)), simpson)
    again = conditional_transport(same, same.with_state(np.arange(5.0).reshape(5, 1, 1)))
    np.testing.assert_allclose([c.length for c in again.cells], simpson.weights, rtol=1e-12)
    assert again.distance**2 == pytest.approx(simpson.weights @ np.arange(5.0) ** 2)


def test_ragged_slices_and_grids_are_accepted():
    rng = np.random.default_rng(7)
    ragged = [rng.normal(size=(m, 2)) for m in (3, 8, 5)]
    nu = (T3, cloud(rng, 3, 6, 2))
    d = cot_distance((T3, ragged), nu)

    class Grid:
        def to_particles(self):
            return mfpde.ParticleMeasure(np.zeros((3, 6, 2)), mfpde.Depth(3, "euler"))

    parts = [
        cot_distance(([0.5], [x]), ([0.5], [y])) ** 2 for x, y in zip(ragged, nu[1], strict=True)
    ]
    assert d**2 == pytest.approx(np.array([0.3, 0.4, 0.3]) @ parts, rel=1e-12)
    assert cot_distance(Grid(), Grid()) == 0.0


def test_same_index_bounds_and_meets_the_distance():
    rng = np.random.default_rng(8)
    theta, step = cloud(rng, 3, 80, 2), cloud(rng, 3, 80, 2)
    for size, equal in ((1e-4, True), (1.0, False)):
        mu, nu = (T3, theta), (T3, theta + size * step)
        upper, exact = cot_distance(mu, nu, method="same_index"), cot_distance(mu, nu)
        assert (upper - exact <= 1e-12) if equal else (upper > 1.01 * exact)


def test_sinkhorn_tends_to_the_distance():
    rng = np.random.default_rng(9)
    mu, nu = ([0.5], cloud(rng, 1, 60, 2)), ([0.5], cloud(rng, 1, 60, 2) + 1.0)
    exact = cot_distance(mu, nu)
    errors = [
        abs(cot_distance(mu, nu, method=Sinkhorn(regularization=r)) - exact)
        for r in (0.5, 0.1, 0.02)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02 * exact
    assert cot_distance(mu, mu, method="sinkhorn") < 1e-2


def test_threads_change_nothing_and_go_away():
    rng = np.random.default_rng(10)
    t = np.linspace(0.05, 0.95, 6)
    mu, nu = (t, cloud(rng, 6, 90, 2)), (t, cloud(rng, 6, 80, 2))
    before = threading.active_count()
    for method in ("simplex", "shortlist"):
        one, two = (conditional_transport(mu, nu, method=method, workers=w) for w in (1, 2))
        assert one.distance == two.distance
        np.testing.assert_array_equal(one.per_depth, two.per_depth)
    assert threading.active_count() == before


def test_warm_start_gives_the_same_plan():
    rng = np.random.default_rng(11)
    x, y = cloud(rng, 3, 300, 2), cloud(rng, 3, 300, 2)
    first = conditional_transport((T3, x), (T3, y))
    moved = (T3, x + 0.01 * cloud(rng, 3, 300, 2))
    for method in ("simplex", "shortlist"):
        cold = conditional_transport(moved, (T3, y), method=method)
        warm = conditional_transport(moved, (T3, y), method=method, start=first)
        assert warm.distance == pytest.approx(cold.distance, rel=1e-12)
    with pytest.raises(ValueError, match="start must have slices"):
        conditional_transport((T3, x[:, :9]), (T3, y), start=first)


def test_repr_says_what_was_done():
    rng = np.random.default_rng(12)
    x = cloud(rng, 3, 20, 2)
    text = repr(conditional_transport((T3, x), (T3, x + 1.0)))
    assert "exact by 'simplex' (auto: 20 atoms" in text
    assert "duality gap" in text
    assert "lower bound by 'sliced'" in repr(
        conditional_transport((T3, x), (T3, x), method="sliced")
    )


GOOD = (T3, np.zeros((3, 4, 2)))
BAD = {
    "dimension": ((T3, np.zeros((3, 4, 3))), "same parameter space"),
    "sum": ((*GOOD, np.full((3, 4), 0.3)), r"weights\[0\] must sum to 1; given 1.2"),
    "negative": ((*GOOD, np.tile([-0.5, 0.5, 0.5, 0.5], (3, 1))), "must be >= 0"),
    "nan": ((T3, np.full((3, 4, 2), np.nan)), r"theta\[0\] must be finite"),
    "depths": (([0.0, 0.5, 0.5], np.zeros((3, 4, 2))), "must rise within"),
    "outside": (([0.0, 0.5, 1.5], np.zeros((3, 4, 2))), "must rise within"),
    "count": ((T3, np.zeros((2, 4, 2))), "must hold 3 slices"),
    "shape": ((T3, np.zeros((3, 4))), r"must have shape \(M, p\)"),
    "empty": ((T3, np.zeros((3, 0, 2))), "M >= 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_measures_get_one_clear_error(case):
    measure, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        cot_distance(measure, GOOD)


def test_bad_choices_get_one_clear_error():
    with pytest.raises(ValueError, match="did you mean 'simplex'"):
        cot_distance(GOOD, GOOD, method="simplx")
    with pytest.raises(TypeError, match="mu must be a measure"):
        cot_distance(3.0, GOOD)
    with pytest.raises(ValueError, match="needs parameters in R"):
        cot_distance(GOOD, GOOD, method="one_dim")
    with pytest.raises(ValueError, match="equally many atoms"):
        cot_distance(GOOD, (T3, np.zeros((3, 5, 2))), method="assignment")
    with pytest.raises(ValueError, match="equally many atoms"):
        cot_distance(GOOD, (T3, np.zeros((3, 5, 2))), method="same_index")
    with pytest.raises(ValueError, match="workers must be a whole number"):
        cot_distance(GOOD, GOOD, workers=0)
    with pytest.raises(ValueError, match="regularization must be finite and > 0"):
        Sinkhorn(regularization=0.0)


def test_registry_names_and_kinds():
    assert isinstance(METHODS["shortlist"], Shortlist)
    assert {m.kind for m in METHODS.values()} == {
        "exact",
        "upper bound",
        "lower bound",
        "biased estimate",
    }


@pytest.mark.parametrize("seed", range(3))
def test_the_uniform_distance_is_a_metric_above_cot(seed):
    rng, depth = np.random.default_rng(seed), mfpde.Depth(4, "rk4")
    a, b, c = (
        mfpde.ParticleMeasure(rng.standard_normal((9, 6, 2)), depth, rng.dirichlet(np.ones(6), 9))
        for _ in range(3)
    )
    uniform = transport.uniform_distance
    slices = [
        mfpde.cot_distance(*(([0.0], m.theta[k][None], m.weights[k][None]) for m in (a, b)))
        for k in range(9)
    ]
    assert uniform(a, b) == pytest.approx(max(slices), rel=1e-12)
    assert uniform(a, b) > mfpde.cot_distance(a, b)
    assert uniform(a, b) <= uniform(a, c) + uniform(c, b) + 1e-12
    assert uniform(a, a) <= 1e-7
    moved = mfpde.ParticleMeasure(a.theta + np.array([0.3, 0.4]), depth, a.weights)
    assert uniform(a, moved) == pytest.approx(0.5, rel=1e-9)  # one shift: equal to COT


def test_the_uniform_distance_sees_one_depth_where_cot_sees_its_share():
    theta = np.zeros((8, 1, 2))
    theta[3] = [0.6, 0.8]
    a, b = (mfpde.ParticleMeasure(x, mfpde.Depth(8, "euler")) for x in (theta, 0 * theta))
    assert transport.uniform_distance(a, b) == pytest.approx(1.0, rel=1e-12)
    assert mfpde.cot_distance(a, b) == pytest.approx(np.sqrt(1 / 8), rel=1e-12)


def test_a_cauchy_sequence_has_its_limit_in_cot_and_none_in_the_uniform_distance():
    """Means over 2^n cells of t ↦ t^(-1/4), which is in L² and unbounded: complete, not sup."""

    def cells(n):
        edges = np.linspace(0.0, 1.0, 2**n + 1)
        means = 4 / 3 * np.diff(edges**0.75) / np.diff(edges)
        return 0.5 * (edges[1:] + edges[:-1]), means[:, None, None]

    def norm2(n):
        return float(np.mean(cells(n)[1] ** 2))

    end = 11
    cot = np.array([mfpde.cot_distance(cells(n), cells(end)) for n in range(2, end - 1)])
    exact = np.sqrt([norm2(end) - norm2(n) for n in range(2, end - 1)])  # means are projections
    np.testing.assert_allclose(cot, exact, rtol=1e-7)
    assert np.all(np.diff(cot) < 0)
    steps = [mfpde.cot_distance(cells(n), cells(n + 1)) for n in range(2, end)]
    ratio = np.array(steps[1:]) / steps[:-1]
    np.testing.assert_allclose(ratio, 2**-0.25, atol=0.02)  # a convergent series: Cauchy
    sup = [transport.uniform_distance(cells(n), cells(n + 1)) for n in range(2, end)]
    assert np.all(np.diff(sup) > 0)  # Cauchy in COT only
