"""A block that changes its parent's formula is obeyed everywhere; one that is wrong is refused."""

import numpy as np
import pytest
from problems import Cubic

import mfpde
from mfpde import Axis, Grid
from mfpde.blocks import BLOCKS, computes, register, spec_of
from mfpde.blocks.inheritance import derived
from mfpde.passes.cell_sums import CellSums, on_grid

METHODS = ("euler", "heun", "rk4", "midpoint")


class Scaled:
    """Three methods, times a function of θ: g(θ) = 1 + |θ|²/2 in front of the parent's f."""

    def value(self, x, theta):
        return self.factor(theta) * super().value(x, theta)

    def pull_state(self, x, theta, q):
        return self.factor(theta) * super().pull_state(x, theta, q)

    def pull_parameter(self, x, theta, q):
        along = np.einsum("nmd,nd->nm", super().value(x, theta), q)
        return self.factor(theta) * super().pull_parameter(x, theta, q) + along[:, :, None] * theta

    def factor(self, theta):
        return 1 + np.square(theta).sum(axis=-1)[:, None] / 2


class ScaledSHL(Scaled, mfpde.SHL):
    """The three methods come from a class that is no block."""


class ScaledLinear(Scaled, mfpde.Linear):
    pass


class ScaledMeshed(Scaled, mfpde.Meshed):
    pass


class Helper(mfpde.SHL):
    """Only private helpers change: 2σ(z) for σ(z)."""

    def _sigma(self, x, theta):
        return 2 * super()._sigma(x, theta)

    def _sigma_slope(self, x, theta):
        s, ds = super()._sigma_slope(x, theta)
        return 2 * s, 2 * ds


class Grandchild(Helper):
    """Changes nothing of a block that changed something."""


class OwnField(Helper):
    """Has one fast sum of its own."""

    def field(self, x, theta, a):
        s = np.tanh(x @ theta[:, 1:2].T + theta[:, 2])
        return 2 * s @ (a[:, None] * theta[:, :1])


def shl(x, theta):
    d = len(x)
    return theta[:d] * np.tanh(theta[d : 2 * d] @ x + theta[2 * d])


def linear(x, theta):
    d = len(x)
    return theta[d:] * (theta[:d] @ x)


def scaled(f):
    return lambda x, theta: (1 + theta @ theta / 2) * f(x, theta)


def doubled(x, theta):
    return 2 * shl(x, theta)


CASES = {
    "scaled shl": (ScaledSHL(1), scaled(shl)),
    "scaled linear": (ScaledLinear(1), scaled(linear)),
    "helper": (Helper(1), doubled),
    "grandchild": (Grandchild(1), doubled),
    "own field": (OwnField(1), doubled),
}


def measures(p):
    """One measure of every kind, with its law at each depth or its blocks in order."""
    rng = np.random.default_rng(3)
    for method in METHODS:
        depth = mfpde.Depth(3, method)
        nodes = len(depth.nodes)
        theta = rng.standard_normal((nodes, 4, p))
        yield mfpde.ParticleMeasure(theta, depth)
        yield mfpde.ParticleMeasure(theta, depth, rng.dirichlet(np.ones(4), nodes))
    axes = [Axis.uniform(-1.0, 1.2, 3)] * p
    masses = rng.dirichlet(np.ones(3**p), nodes).reshape(nodes, *[3] * p)
    grid = mfpde.GridMeasure(masses, depth, axes)
    yield grid
    yield mfpde.MovingGrid.from_grid(grid)
    yield mfpde.JointGrid(rng.dirichlet(np.ones(4 * 3**p)).reshape(4, *[3] * p), axes)
    for kind in (mfpde.JointMeasure, mfpde.OrderedBlocks):
        yield kind(rng.standard_normal((6, p)), rng.random(6))


def plain(problem, rho, formula):
    """Outputs by loops over data, steps, stages and particles."""
    return np.array([problem.readout @ _end(rho, formula, x) for x in problem.start()])


def _end(rho, formula, x):
    if isinstance(rho, mfpde.JointMeasure | mfpde.OrderedBlocks):
        _, theta, _, steps = rho.ordered()
        for h, one in zip(steps, theta, strict=True):
            x = x + h * formula(x, one)
        return x
    if isinstance(rho, mfpde.ParticleMeasure):
        layers = list(zip(rho.theta, rho.weights, strict=True))
    else:
        layers = [(rho.grid.points.reshape(-1, rho.dim), m.ravel()) for m in rho.slices]
    tableau, h = rho.depth.tableau, rho.depth.step
    for nodes in rho.depth.stage_nodes:
        slopes = []
        for i, k in enumerate(nodes):
            z = x + h * sum((a * f for a, f in zip(tableau.a[i], slopes, strict=False)), 0 * x)
            slopes.append(sum(a * formula(z, one) for one, a in zip(*layers[k], strict=True)))
        x = x + h * sum(b * f for b, f in zip(tableau.b, slopes, strict=True))
    return x


def problem_of(block):
    x = np.array([[-1.1], [0.2], [0.7], [1.4]])
    return mfpde.Problem(x, np.sin(2 * x), block=block)


@pytest.mark.parametrize("case", CASES)
def test_predict_is_the_plain_loop_on_every_measure(case):
    block, formula = CASES[case]
    problem = problem_of(block)
    for rho in measures(block.size):
        expected = plain(problem, rho, formula)
        np.testing.assert_allclose(mfpde.predict(problem, rho), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_central_differences_on_every_measure(case):
    block, _ = CASES[case]
    problem = problem_of(block)
    for rho in measures(block.size):
        if isinstance(rho, mfpde.ParticleMeasure):
            _check_particles(problem, rho)
        elif not isinstance(rho, mfpde.JointMeasure | mfpde.OrderedBlocks):
            _check_masses(problem, rho)
        else:
            _check_blocks(problem, rho)


def _slope(energy, h=1e-4):
    return (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h)


def _check_particles(problem, rho):
    way = np.random.default_rng(0).standard_normal(rho.theta.shape)
    numeric = _slope(lambda h: mfpde.loss(problem, rho.with_state(rho.theta + h * way)))
    mass = (rho.depth.weights[:, None] * rho.weights)[:, :, None]
    exact = (mass * mfpde.gradient(problem, rho) * way).sum()
    assert numeric == pytest.approx(exact, rel=1e-7, abs=1e-8)


def _check_masses(problem, rho):
    """Mass moved within each depth changes E by ∫ V."""
    cells = len(rho.masses), -1
    way = np.random.default_rng(0).standard_normal(rho.masses.shape) * rho.masses
    at_depth = way.reshape(cells).sum(axis=1) / rho.masses.reshape(cells).sum(axis=1)
    way -= (at_depth[:, None] * rho.masses.reshape(cells)).reshape(way.shape)
    numeric = _slope(lambda h: mfpde.loss(problem, rho.with_state(rho.masses + h * way)))
    moved = (way * mfpde.first_variation(problem, rho)).reshape(cells).sum(axis=1)
    exact = moved.sum() if isinstance(rho, mfpde.JointGrid) else moved @ rho.depth.weights
    assert numeric == pytest.approx(exact, rel=1e-7, abs=1e-8)


def _check_blocks(problem, rho):
    way = np.random.default_rng(0).standard_normal(rho.theta.shape)
    numeric = _slope(lambda h: mfpde.loss(problem, type(rho)(rho.theta + h * way, rho.t)))
    exact = (mfpde.gradient(problem, rho)[:, :-1] * way).sum() / rho.count
    assert numeric == pytest.approx(exact, rel=1e-7, abs=1e-8)


def test_a_meshed_block_that_changes_its_formula_loses_the_lattice_sums():
    block = ScaledMeshed(mfpde.SHL(1), 0.2)
    assert mfpde.check_block(block) < 1e-8
    assert all(
        getattr(ScaledMeshed, name) is getattr(mfpde.Block, name) for name in derived(mfpde.Block)
    )


def test_who_keeps_what():
    class Renamed(mfpde.SHL):
        def __init__(self):
            super().__init__(2, "gelu")

    assert Renamed.field is mfpde.SHL.field
    assert computes(Renamed(), mfpde.SHL)
    assert spec_of(Renamed()) is None  # a file would not know the class
    for block in (ScaledSHL(1), Helper(1), Grandchild(1), OwnField(1)):
        assert not computes(block, mfpde.SHL)
        assert block.spec() is None
        assert type(on_grid(block, Grid.of_box([[-1, 1]] * 3, 3))) is CellSums
    assert OwnField.field is not mfpde.Block.field
    assert OwnField.backward is mfpde.Block.backward


def test_methods_belong_to_the_class():
    block = mfpde.SHL(1)
    with pytest.raises(AttributeError, match="subclass SHL to change it"):
        block.value = lambda x, theta: 0.0


def test_theory_does_not_take_a_subclass_for_its_parent():
    for block in (ScaledSHL(1), ScaledLinear(1)):
        rho = mfpde.ParticleMeasure(np.ones((2, 2, block.size)), mfpde.Depth(2, "euler"))
        with pytest.raises(TypeError, match="needs an SHL or Linear block"):
            mfpde.theory.certificate(problem_of(block), rho)


# -- wrong blocks -----------------------------------------------------------------------------


def broken(kind, name):
    """A block of that kind whose method ``name`` alone is wrong by one part in a thousand."""
    source = getattr(kind, name)

    def wrong(self, *arguments, **keywords):
        found = source(self, *arguments, **keywords)
        if name == "gram":
            arguments[3][...] *= 1.001
        if found is None:
            return None
        parts = found if isinstance(found, tuple) else (found,)
        if name == "scaled":  # a factor of SHL's own kind
            return source(self, arguments[0], 1.001 * arguments[1])
        first = next(i for i, one in enumerate(parts) if isinstance(one, np.ndarray))
        parts = [1.001 * one if i == first else one for i, one in enumerate(parts)]
        return tuple(parts) if isinstance(found, tuple) else parts[0]

    own = {other: vars(kind)[other] for other in derived(mfpde.Block) if other in vars(kind)}
    return type("Broken", (kind,), {**own, name: wrong})


# ``merged`` approximates, ``kept_bytes`` is no part of the formula.
NO_SUMS = {"spec", "torch_form", "sensitivity", "_differences", "merged", "kept_bytes"}
SUMS = [name for name in derived(mfpde.Block) if name not in NO_SUMS]


@pytest.mark.parametrize("name", ["pull_state", "pull_parameter", *SUMS])
def test_each_wrong_fast_form_is_named(name):
    with pytest.raises(ValueError, match=rf"block\.{name} disagrees"):
        mfpde.check_block(broken(mfpde.SHL, name)(2))


def test_a_wrong_block_makes_no_problem():
    class Wrong(Cubic):
        def pull_parameter(self, x, theta, q):
            return super().pull_parameter(x, theta, q) * [1.0, 1.001]

    for x in (np.ones((3, 1)), 1e-3 * np.arange(5)[:, None], np.array([[1e3], [-2e3]])):
        with pytest.raises(ValueError, match=r"block\.pull_parameter disagrees with central"):
            mfpde.Problem(x, x, block=Wrong())
        mfpde.Problem(x, x, block=Cubic())
    with pytest.raises(ValueError, match=r"block\.pull_state disagrees with central"):
        mfpde.Problem([[1.0]], [[1.0]], block=broken(mfpde.SHL, "pull_state")(1))


def test_kinks_and_narrow_domains_are_no_reason_to_refuse():
    class Kinked(mfpde.SHL):
        def _sigma(self, x, theta):
            return np.abs(self._preactivation(x, theta))

        def _sigma_slope(self, x, theta):
            z = self._preactivation(x, theta)
            return np.abs(z), np.sign(z)

    class Root(Cubic):
        def value(self, x, theta):
            return np.sqrt(theta[None, :, :1]) * x[:, :, None]

        def pull_state(self, x, theta, q):
            return np.sqrt(theta[None, :, :1]) * q[:, :, None]

        def pull_parameter(self, x, theta, q):
            first = (q * x)[:, :, None] / (2 * np.sqrt(theta[None, :, :1]))
            return np.concatenate([first, 0 * first], axis=2)

    for scale in (0.0, 1e-8, 1.0, 1e6):
        x = scale * np.array([[0.0], [0.0], [1.0]])
        mfpde.Problem(x, x, block=Kinked(1, bias=False))
        mfpde.Problem(x, x, block=Root())


# -- the registry -----------------------------------------------------------------------------


def test_what_cannot_be_registered_is_said():
    with pytest.raises(TypeError, match="must be a subclass of"):
        register("mine", dict)
    with pytest.raises(TypeError, match="must define spec"):
        register("mine", Cubic)
    with pytest.raises(ValueError, match="'shl' is taken by SHL"):
        register("shl", mfpde.Linear)
    assert set(BLOCKS) >= {"shl", "linear", "meshed"}
