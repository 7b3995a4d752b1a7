"""Transport on grids with given potentials: exact solutions, order ladders, positivity, mass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfpde.measures.axes import Axis, Grid
from mfpde.passes.mobility import moved
from mfpde.volumes.diffusion import Diffusion
from mfpde.volumes.faces import Potential, Transport, implicit_along
from mfpde.volumes.limiters import LIMITERS

SHARES = {1: (1.0,), 2: (1.0, 0.5), 3: (1.0, 0.25, 2.0 / 3.0)}
STAGES = {"upwind": 1, "van_leer": 2, "minmod": 2, "mc": 2, "koren": 3, "third": 3}
CFL = dict.fromkeys(STAGES, 0.45) | {"upwind": 0.9}


def full(grid, v):
    """A potential (n1, ..., np) at one depth, as the kernels read it."""
    transport = Transport(grid)
    return transport, Potential.of(np.reshape(v, (1, transport.rows, transport.plane)))


def drifted(grid, v, masses, s_end, limiter):
    """Masses (n1, ..., np) after transport down a frozen potential, at the CFL limit."""
    transport, potential = full(grid, v)
    fastest = transport.survey(potential, np.ones((1, *grid.shape))).fastest
    count = int(np.ceil(s_end * fastest / CFL[limiter]))
    m = masses[None]
    for _ in range(count):
        start = here = m
        for share in SHARES[STAGES[limiter]]:
            here = transport.advance(limiter, potential, start, here, s_end / count, share)
        m = here
    return m[0]


def bump(grid, centre, width):
    square = sum((grid.points[..., i] - c) ** 2 for i, c in enumerate(centre))
    return np.exp(-0.5 * square / width**2) * grid.volumes


def contracting(n, limiter, spacing):
    """L1 error against ρ_s(θ) = e^{ps} ρ_0(e^s θ), the flow of V = |θ|²/2, p = 2."""
    grid = Grid.of_box([(-3.0, 3.0), (-3.0, 3.0)], n, spacing)
    s, centre, width = 0.5, np.array([0.4, -0.3]), 0.45
    masses = bump(grid, centre, width)
    total = masses.sum()
    v = 0.5 * np.square(grid.points).sum(axis=-1)
    found = drifted(grid, v, masses / total, s, limiter)
    exact = bump(grid, centre * np.exp(-s), width * np.exp(-s)) * np.exp(2 * s) / total
    return np.abs(found - exact).sum()


@pytest.mark.parametrize(
    ("limiter", "spacing", "order", "ceiling"),
    [
        ("upwind", "uniform", 0.8, 0.07),
        ("upwind", "sinh", 0.8, 0.04),
        ("minmod", "sinh", 1.75, 5e-3),
        ("van_leer", "uniform", 1.8, 5e-3),
        ("van_leer", "sinh", 1.95, 2e-3),
        ("mc", "sinh", 1.9, 1.5e-3),
        ("koren", "sinh", 2.0, 8e-4),
        ("third", "sinh", 2.0, 8e-4),
    ],
)
def test_order_of_a_contraction_in_two_dimensions(limiter, spacing, order, ceiling):
    middle, fine = (contracting(n, limiter, spacing) for n in (64, 128))
    assert fine < ceiling
    assert np.log2(middle / fine) > order


def translated(n, limiter):
    """L1 error of a Gaussian bump moved by 1 at unit velocity."""
    grid = Grid((Axis.uniform(-4.0, 4.0, n),))
    edges = grid.axes[0].edges
    masses = np.diff(_smooth_step(edges + 0.5))
    found = drifted(grid, -grid.axes[0].centres, masses, 1.0, limiter)
    return np.abs(found - np.diff(_smooth_step(edges - 0.5))).sum()


@pytest.mark.parametrize(
    ("limiter", "order", "ceiling"),
    [("van_leer", 1.9, 5e-3), ("koren", 2.2, 2e-3), ("third", 2.9, 5e-4)],
)
def test_order_of_a_translation_along_one_axis(limiter, order, ceiling):
    coarse, fine = (translated(n, limiter) for n in (200, 400))
    assert fine < ceiling
    assert np.log2(coarse / fine) > order


def _smooth_step(x):
    from scipy import special

    return 0.5 * (1 + special.erf(x / 0.8))


@pytest.mark.parametrize("limiter", ["van_leer", "koren"])
def test_a_point_mass_is_translated_and_stays_narrow(limiter):
    grid = Grid.of_box([(-1.0, 3.0), (-1.0, 3.0)], 100)
    masses = np.zeros(grid.shape)
    masses[25, 25] = 1.0
    start = grid.points[25, 25]
    found = drifted(grid, -grid.points.sum(axis=-1), masses, 1.0, limiter)
    mean = np.einsum("ij,ijc->c", found, grid.points)
    spread = np.einsum("ij,ijc->c", found, (grid.points - mean) ** 2) ** 0.5
    np.testing.assert_allclose(mean, start + 1.0, atol=0.3 * 0.04)
    assert np.all(spread < 2.5 * 0.04)  # cells; upwinding would give √(h) = 0.2
    assert abs(found.sum() - 1.0) < 1e-14


@pytest.mark.parametrize("limiter", LIMITERS)
def test_the_affine_form_of_a_potential_gives_the_same_masses(limiter):
    rng = np.random.default_rng(0)
    grid = Grid((Axis.sinh(-2, 3, 9), Axis.uniform(-1, 1, 7), Axis.sinh(-1, 1, 5)))
    m = rng.random((2, *grid.shape))
    slope, base = rng.standard_normal((2, 2, 35))
    row, u = rng.standard_normal(9), grid.axes[0].centres
    v = Potential(u, slope, base, row, np.empty((0, 0, 0)))
    transport = Transport(grid)
    dense = Potential.of(v.values())
    h = 0.2 / transport.survey(dense, m).fastest
    found = transport.advance(limiter, v, m, m, h)
    np.testing.assert_allclose(found, transport.advance(limiter, dense, m, m, h), rtol=1e-12)
    ours, theirs = transport.survey(v, m), transport.survey(dense, m)
    np.testing.assert_allclose(ours.dissipation, theirs.dissipation, rtol=1e-12)
    np.testing.assert_allclose(ours.fastest, theirs.fastest, rtol=1e-12)


@pytest.mark.parametrize("shape", [(11,), (6, 7), (4, 5, 6), (3, 4, 3, 5)])
def test_fluxes_against_a_plain_numpy_reference(shape):
    """Van Leer's scheme written axis by axis with whole arrays."""
    rng = np.random.default_rng(1)
    grid = Grid(tuple(Axis.sinh(-1.0, 2.0, n) for n in shape))
    m, v = rng.random((1, *shape)), rng.standard_normal((1, *shape))
    change = np.zeros_like(m)
    for i, axis in enumerate(grid.axes, start=1):
        change += np.moveaxis(_changes(np.moveaxis(m, i, -1), np.moveaxis(v, i, -1), axis), -1, i)
    transport, potential = full(grid, v)
    found = transport.advance("van_leer", potential, m, m, 1e-3)
    np.testing.assert_allclose(found, m + 1e-3 * change, rtol=1e-12)


def _changes(m, v, axis):
    jump = np.diff(m, axis=-1)
    product = jump[..., 1:] * jump[..., :-1]
    total = jump[..., 1:] + jump[..., :-1]
    half = np.where(product > 0, product / np.where(product > 0, total, 1.0), 0.0)
    half = np.pad(half, [(0, 0)] * (m.ndim - 1) + [(1, 1)])
    w = -np.diff(v, axis=-1) / np.diff(axis.centres) ** 2
    face = np.where(w > 0, (m + half)[..., :-1], (m - half)[..., 1:])
    flux = np.pad(w * face, [(0, 0)] * (m.ndim - 1) + [(1, 1)])
    return -np.diff(flux, axis=-1)


@given(
    shape=st.lists(st.integers(3, 9), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
    limiter=st.sampled_from(sorted(LIMITERS)),
    sparse=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_mass_positivity_and_descent_for_any_potential(shape, seed, limiter, sparse):
    rng = np.random.default_rng(seed)
    axes = []
    for n in shape:
        low = rng.normal()
        spacing = Axis.sinh if rng.random() < 0.5 else Axis.uniform
        axes.append(spacing(low, low + rng.gamma(2.0) + 0.1, n))
    grid = Grid(tuple(axes))
    masses = rng.random(grid.shape) ** 4
    if sparse:
        masses[rng.random(grid.shape) < 0.6] = 0.0
        masses.flat[rng.integers(masses.size)] = 1.0
    masses = masses[None] / masses.sum()
    v = rng.standard_normal((1, *grid.shape))
    transport, potential = full(grid, v)
    fastest = transport.survey(potential, masses).fastest
    h = CFL[limiter] / fastest if fastest else 1.0
    found = transport.advance(limiter, potential, masses, masses, h)
    assert found.min() >= 0.0
    assert abs(found.sum() - 1.0) < 1e-14
    assert (v * (found - masses)).sum() <= 1e-14


@given(seed=st.integers(0, 2**32 - 1), tau=st.sampled_from([0.0, 1e-3, 0.3]))
@settings(max_examples=40, deadline=None)
def test_implicit_lines_keep_mass_and_sign_and_lower_free_energy(seed, tau):
    rng = np.random.default_rng(seed)
    grid = Grid((Axis.sinh(-1, 2, 6), Axis.uniform(-1, 1, 5), Axis.uniform(0, 1, 4)))
    masses = rng.random((2, *grid.shape)) ** 6
    masses /= masses.sum(axis=(1, 2, 3), keepdims=True)
    v = rng.standard_normal((2, *grid.shape)) * 10 ** rng.uniform(-3, 1)

    def free(m):
        return (m * v).sum() + tau * (m * np.log(m / grid.volumes)).sum()

    energy, h = free(masses), 10 ** rng.uniform(-3, 4)
    for i in range(3):
        masses = implicit_along(grid, i, masses, v, tau, h)
        assert masses.min() >= 0.0
        np.testing.assert_allclose(masses.sum(axis=(1, 2, 3)), 1.0, atol=1e-14, rtol=0)
        if tau:
            after = free(np.maximum(masses, 1e-300))
            assert after <= energy + 1e-12 * (1 + abs(energy))
            energy = after


def test_implicit_lines_leave_gibbs_states_alone_and_match_the_dense_system():
    rng = np.random.default_rng(2)
    axis, tau, h = Axis.sinh(-1, 2, 9), 0.2, 0.7
    grid = Grid((axis,))
    v, m = rng.standard_normal((2, 1, 9))
    m = np.exp(m)
    gibbs = np.exp(-v / tau) * grid.volumes
    np.testing.assert_allclose(implicit_along(grid, 0, gibbs, v, tau, 1e6), gibbs, rtol=1e-12)
    x = np.diff(v[0]) / tau
    out = tau * x / np.expm1(x) / (np.diff(axis.centres) * axis.widths[:-1])
    back = tau * -x / np.expm1(-x) / (np.diff(axis.centres) * axis.widths[1:])
    rates = np.diag(out, -1) + np.diag(back, 1)
    rates -= np.diag(rates.sum(axis=0))
    expected = np.linalg.solve(np.eye(9) - h * rates, m[0])
    np.testing.assert_allclose(implicit_along(grid, 0, m, v, tau, h)[0], expected, rtol=1e-12)


def test_heat_is_a_positive_conservative_semigroup_of_second_order():
    def error(n):
        grid = Grid((Axis.sinh(-6, 6, n), Axis.uniform(-6, 6, n)))
        start, end = (bump(grid, (0.3, -0.2), w) for w in (0.6, np.sqrt(0.36 + 0.4)))
        heat = Diffusion(grid)
        once = heat.apply(start[None] / start.sum(), 0.2)
        np.testing.assert_allclose(
            heat.apply(heat.apply(start[None], 0.05), 0.15), once * start.sum(), atol=1e-13
        )
        assert once.min() >= 0.0
        assert abs(once.sum() - 1.0) < 1e-14
        return np.abs(once[0] - end / end.sum()).sum()

    coarse, fine = error(32), error(64)
    assert fine < 6e-3
    assert np.log2(coarse / fine) > 1.9


def test_the_flow_of_a_potential_is_symmetric_and_dissipates():
    rng = np.random.default_rng(3)
    grid = Grid((Axis.sinh(-1, 2, 6), Axis.uniform(-1, 1, 5)))
    m = rng.random((2, *grid.shape))
    v, w = rng.standard_normal((2, 2, *grid.shape))
    np.testing.assert_allclose(
        (w * moved(grid.axes, m, v)).sum(), (v * moved(grid.axes, m, w)).sum()
    )
    transport = Transport(grid)
    potential = Potential.of(v)
    energy = (v * moved(grid.axes, m, v)).reshape(2, -1).sum(axis=1)
    np.testing.assert_allclose(transport.survey(potential, m).dissipation, energy, rtol=1e-12)
