"""The assumptions of the theorems against values by hand, brute force and rasters."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.ndimage import label

import mfpde
from mfpde import laws, theory

X = np.linspace(-1.0, 1.0, 5)[:, None]


class Cubic(mfpde.Block):
    """u (w x)³: of degree 4, so that no bound of the papers holds."""

    dim, coordinates = 1, ("u", "w")
    power = 3

    def value(self, x, theta):
        u, w = theta.T
        return (u * (x * w) ** self.power)[:, :, None]

    def pull_state(self, x, theta, q):
        u, w = theta.T
        return (q * self.power * u * w * (x * w) ** (self.power - 1))[:, :, None]

    def pull_parameter(self, x, theta, q):
        u, w = theta.T
        slope = self.power * (x * w) ** (self.power - 1)
        return np.stack([q * (x * w) ** self.power, q * u * x * slope], axis=-1)


class Product(Cubic):
    """u w x, the linear block written by a user."""

    power = 1


def task(block, **how):
    return mfpde.Problem(X, X + 0.3 * X**2, block=block, **how)


def found(block, law=None, **how):
    return theory.assumptions(task(block, **how), law or laws.Uniform(-1.0, 1.0, dim=block.size))


@pytest.mark.parametrize(
    ("block", "growth"),
    [
        (mfpde.SHL(1), 0.5),  # ½ sup|tanh|
        (mfpde.SHL(2, "relu"), 0.5),  # ½ (σ(0) + sup σ′)
        (mfpde.SHL(1, "sigmoid"), 0.375),  # ½ (½ + ¼)
        (mfpde.SHL(1, "softplus"), 0.5 * (np.log(2.0) + 1.0)),
        (mfpde.Linear(2), 0.5),
    ],
)
def test_constants_are_those_by_hand_and_hold_everywhere(block, growth):
    here = found(block)
    assert here["growth"].value == pytest.approx(growth, rel=1e-12)
    radius = here["states"].value
    moment, start = block.size / 3.0, 1.0
    assert radius + 1 == pytest.approx((start + 1) * np.exp(growth * (moment + 1)), rel=1e-9)
    rng = np.random.default_rng(0)
    for scale in (0.1, 1.0, 10.0):
        x = rng.uniform(-radius, radius, (64, block.dim)) / np.sqrt(block.dim)
        theta, q = scale * rng.standard_normal((64, block.size)), rng.standard_normal(x.shape)
        q /= np.linalg.norm(q, axis=1, keepdims=True)
        size = np.linalg.norm(theta, axis=1)
        far = np.linalg.norm(x, axis=1)[:, None]
        value = np.linalg.norm(block.value(x, theta), axis=2) / ((size**2 + 1) * (far + 1))
        state = np.linalg.norm(block.pull_state(x, theta, q), axis=2) / (size**2 + 1)
        slope = np.linalg.norm(block.pull_parameter(x, theta, q), axis=2) / (size + 1)
        assert value.max() <= growth
        assert max(state.max(), slope.max()) <= here["lipschitz"].value
    assert here["growth"].holds
    assert here["lipschitz"].holds


def test_lipschitz_constants_by_hand():
    radius = found(mfpde.SHL(1))["states"].value
    expected = {
        mfpde.SHL(1): np.sqrt(radius**2 + 1),
        mfpde.SHL(1, "sigmoid"): None,
        mfpde.Linear(1): None,
    }
    for block, value in expected.items():
        here = found(block)
        r = here["states"].value
        if value is None:
            value = r if isinstance(block, mfpde.Linear) else max(0.5, 0.25 * np.sqrt(r**2 + 1))
        assert here["lipschitz"].value == pytest.approx(value, rel=1e-12)


def test_a_users_block_is_sampled_and_only_refuted():
    cubic = found(Cubic())
    assert cubic["growth"].holds is False
    assert cubic["lipschitz"].holds is False
    assert {"smooth", "universal"} <= set(cubic.undecided())
    own, proved = found(Product()), found(mfpde.Linear(1))
    assert own["growth"].holds is None
    assert 0.1 < own["growth"].value <= proved["growth"].value
    assert own["features"].value == pytest.approx(proved["features"].value, abs=1e-12)


def test_smoothness_and_universality():
    relu = found(mfpde.SHL(1, "relu"))
    assert relu["smooth"].holds is False
    assert relu["universal"].holds
    assert found(mfpde.SHL(1))["smooth"].value == pytest.approx(0.7698, abs=1e-4)
    assert found(mfpde.SHL(1, bias=False))["universal"].holds is False
    assert found(mfpde.SHL(1, "sigmoid", bias=False))["universal"].holds is None
    assert found(mfpde.Linear(1))["universal"].holds is False


def test_data_and_law_by_hand():
    law = laws.Product(laws.Dirac(0.0, dim=1), laws.Uniform(-1.0, 1.0, dim=2))
    here = found(mfpde.SHL(1), law, readout=[[0.5]], embed=[[2.0]])
    values = {"data": 2.0, "targets": 1.3, "readout": 0.5, "second moment": 2 / 3}
    values |= {"bounded support": np.sqrt(2.0), "silent start": 0.0, "depth": 0.0}
    for name, value in values.items():
        assert here[name].holds
        assert here[name].value == pytest.approx(value, rel=1e-12, abs=1e-14)
    assert here["full support"].holds is False
    gaussian = found(mfpde.SHL(1), laws.Gaussian(1.0, dim=3), weight_decay=0.1)
    assert gaussian["full support"].holds
    assert {"bounded support", "silent start", "regulariser"} <= set(gaussian.failing())
    assert "bounded support" in str(gaussian)
    with pytest.raises(ValueError, match="assumption must be"):
        gaussian["nothing"]
    with pytest.raises(TypeError, match="R\\^3"):
        found(mfpde.SHL(1), laws.Gaussian(1.0, dim=4))


def test_the_least_eigenvalue_is_that_of_the_kernel():
    block, law = mfpde.SHL(1), laws.Gaussian(1.0, dim=3)
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(8, "euler"), count=512)
    least = np.linalg.eigvalsh(theory.tangent_kernel(task(block), rho))[0] / len(X)
    assert found(block, law)["features"].value == pytest.approx(least, rel=1e-9)
    assert found(block, law, temperature=0.1)["features"].holds is None
    again = mfpde.Problem(np.repeat(X, 2, axis=0), np.zeros(10), block=block)
    assert theory.assumptions(again, law)["features"].holds is False


def test_laws_that_move_in_depth():
    turning = found(mfpde.SHL(1), lambda t: laws.Gaussian(1.0, mean=[0.5 * t, 0.0, 0.0]))
    assert turning["depth"].holds is None
    assert turning["depth"].value == pytest.approx(0.5, rel=1e-9)
    jump = found(mfpde.SHL(1), lambda t: laws.Gaussian(1.0, mean=[float(t > 0.5), 0.0, 0.0]))
    assert jump["depth"].holds is False


def test_laws_whose_coordinates_hang_together():
    block = mfpde.SHL(1, "relu", bias=False)

    def turning(t):
        c = 0.9 * np.sin(6.0 * t)
        return laws.Correlated([[1.0, c], [c, 1.0]])

    def bures(a, b):
        root = sqrtm(a.covariance)
        cross = sqrtm(root @ b.covariance @ root).real
        return np.sqrt(np.trace(a.covariance + b.covariance - 2.0 * cross).real)

    t = np.linspace(0.0, 1.0, 65)
    steps = [64 * bures(turning(a), turning(b)) for a, b in pairwise(t)]
    here = found(block, turning)
    assert here["depth"].value == pytest.approx(max(steps), rel=1e-6)
    assert here["depth"].holds is None
    assert here["full support"].holds
    assert here["separates spheres"].holds
    assert "W₂ from below" in here["depth"].reason
    line = found(block, laws.Correlated([[1.0, 1.0], [1.0, 1.0]]))
    assert line["full support"].holds is None
    assert line["separates spheres"].holds is None
    around = laws.Mixture([laws.Uniform(-0.1, 0.1, dim=2), laws.Uniform(2.0, 3.0, dim=2)])
    apart = laws.Mixture([laws.Uniform(-3.0, -2.0, dim=2), laws.Uniform(2.0, 3.0, dim=2)])
    above = laws.Product(laws.Correlated([[2.0, 1.0], [1.0, 2.0]]), laws.Uniform(0.5, 1.0, dim=1))
    separates = [theory.separation(law, task(block)).sphere for law in (around, apart)]
    assert separates == [True, None]
    assert theory.separation(above, task(mfpde.SHL(1, "relu"))).sphere is False
    points = laws.Empirical([[0.0, 1.0], [0.0, -2.0]])
    still = found(block, points)
    assert [still[name].holds for name in ("silent start", "full support")] == [True, False]
    assert still["bounded support"].value == 2.0


def test_degrees_are_those_of_the_formula():
    relu = theory.homogeneity(mfpde.SHL(2, "relu"))
    assert relu.degrees == {("u",): 1.0, ("w", "b"): 1.0, ("u", "w", "b"): 2.0}
    assert relu.two
    assert relu.linear == (("u",),)
    assert not relu.even  # relu(−z) is not relu(z)
    assert theory.homogeneity(mfpde.SHL(2)).degrees == {("u",): 1.0}
    linear = theory.homogeneity(mfpde.Linear(2))
    assert linear.degrees == {("u",): 1.0, ("v",): 1.0, ("u", "v"): 2.0}
    assert ("u", "v") in linear.even
    assert theory.homogeneity(Cubic()).degrees == {("u",): 1.0, ("w",): 3.0, ("u", "w"): 4.0}


def test_boxes_separate_circles_as_a_raster_of_paths_says():
    rng, relu = np.random.default_rng(0), mfpde.SHL(1, "relu", bias=False)
    for _ in range(40):
        low = rng.uniform(-1.0, 0.4, 2)
        high = low + rng.uniform(0.1, 1.2, 2)
        law = laws.Uniform(low, high)
        exact = theory.separation(law, task(relu)).sphere
        # paths that avoid the box from the circle of radius .05 to that of radius 3
        u, w = np.meshgrid(*[np.linspace(-3.2, 3.2, 257)] * 2, indexing="ij")
        free = ~((u >= low[0]) & (u <= high[0]) & (w >= low[1]) & (w <= high[1]))
        parts, _ = label(free)
        inner = np.hypot(u, w) <= 0.05
        if np.abs(np.concatenate([low, high])).min() > 0.08:  # beside what the raster resolves
            escape = set(parts[inner & free]) & set(parts[np.hypot(u, w) >= 3.0])
            assert exact == (not escape)


def test_separation_of_spheres_and_cylinders():
    relu, tanh = task(mfpde.SHL(1, "relu")), task(mfpde.SHL(1))
    normal = laws.Gaussian(1.0, dim=3)
    flat = laws.Product(laws.Dirac(0.0, dim=1), laws.Gaussian(1.0, dim=2))
    half = laws.Product(laws.Gaussian(1.0, dim=2), laws.Uniform(0.0, 5.0, dim=1))
    positive = laws.Product(laws.Uniform(0.5, 1.0, dim=1), laws.Gaussian(1.0, dim=2))
    both = [theory.separation(law, relu) for law in (normal, flat, half, positive)]
    assert [one.sphere for one in both] == [True, False, False, False]
    assert [one.cylinder for one in both] == [True, True, False, True]
    smooth = [theory.separation(law, tanh) for law in (normal, flat, half, positive)]
    assert [one.cylinder for one in smooth] == [True, True, False, True]
    assert all(one.sphere is None for one in smooth)  # tanh is not homogeneous in (w, b)
    assert [one.holds for one in both] == [True, True, False, True]
    assert [one.holds for one in smooth] == [True, True, False, True]
    wide = mfpde.Problem(np.eye(2), np.eye(2), block=mfpde.SHL(2))
    found = theory.separation(laws.Gaussian(1.0, dim=5), wide)
    assert found.cylinder is None  # θ¹ is a vector
    assert found.holds is False  # no theorem is about this block


def test_separation_at_some_depth():
    relu = task(mfpde.SHL(1, "relu"))

    def late(t):
        return laws.Gaussian(1.0, dim=3) if t > 0.5 else laws.Dirac(1.0, dim=3)

    one = theory.separation(late, relu)
    assert one.sphere
    assert one.t > 0.5
    assert theory.separation(lambda t: laws.Dirac(1.0, dim=3), relu).sphere is None


def test_particles_in_a_half_space_do_not_separate_and_others_have_a_gap():
    relu, depth = task(mfpde.SHL(1, "relu")), mfpde.Depth(2, "euler")
    theta = np.random.default_rng(1).standard_normal((2, 64, 3))
    around = theory.separation(mfpde.ParticleMeasure(theta, depth), relu)
    assert around.sphere is None
    assert 0.1 < around.gap < 1.0
    theta[:, :, 0] = np.abs(theta[:, :, 0])
    above = theory.separation(mfpde.ParticleMeasure(theta, depth), relu)
    assert above.sphere is False
    assert above.cylinder is None
    theta[:, :, 1] = 2.0 * theta[:, :, 2]
    assert theory.separation(mfpde.ParticleMeasure(theta, depth), relu).cylinder is False
