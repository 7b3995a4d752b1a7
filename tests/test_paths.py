"""Laws of paths in depth: marginals, correlations, and the two ends, tied and independent."""

import numpy as np
import pytest
from problems import sine
from scipy import stats

import mfpde
from mfpde import laws, paths

DEPTH = mfpde.Depth(4, "euler")
GAUSSIAN = laws.Product(laws.Gaussian(2.0, 1.0, dim=1), laws.Uniform(0, 3, dim=1), laws.Dirac(4.0))
PATHS = [paths.Exponential(0.4), paths.Smooth(0.3), paths.Shared(0.5)]


def drawn(path, count=4000, rule="iid", law=GAUSSIAN, depth=DEPTH):
    how = {"count": count, "rule": rule, "coupling": path}
    return mfpde.ParticleMeasure.from_law(law, depth, **how).theta


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("rule", ["iid", "sobol"])
def test_every_depth_has_the_law_and_depths_the_correlation(path, rule):
    theta = drawn(path, rule=rule)
    for node in theta:
        assert stats.kstest(node[:, 0], stats.norm(1, 2).cdf).pvalue > 1e-3
        assert stats.kstest(node[:, 1], stats.uniform(0, 3).cdf).pvalue > 1e-3
        assert np.all(node[:, 2] == 4.0)
    gap = np.abs(DEPTH.nodes[:, None] - DEPTH.nodes[None])
    want = path.correlation(gap)
    assert np.abs(np.corrcoef(theta[:, :, 0]) - want).max() < 0.06
    uniform = 6 / np.pi * np.arcsin(want / 2)  # of quantiles with a Gaussian copula
    assert np.abs(np.corrcoef(theta[:, :, 1]) - uniform).max() < 0.06


def test_the_ends_are_tied_and_independent():
    tied = drawn(paths.Shared(1.0))
    assert np.abs(tied - tied[:1]).max() < 1e-6
    assert np.abs(drawn(paths.Smooth(1e9)) - drawn(paths.Smooth(1e9))[:1]).max() < 1e-5
    free = np.corrcoef(drawn(paths.Shared(0.0))[:, :, 0])
    assert np.abs(free - np.eye(4)).max() < 0.06


def test_laws_may_change_with_depth():
    theta = drawn(paths.Smooth(0.5), law=lambda t: laws.Gaussian(1.0 + t, dim=1))
    np.testing.assert_allclose(theta[:, :, 0].std(axis=1), 1 + DEPTH.nodes, rtol=0.1)


def test_networks_of_width_one_start_from_paths():
    problem, path = sine(6), paths.Exponential(0.5)
    law = laws.Gaussian(1.0, dim=5)
    how = {"layers": 4, "width": 1, "seeds": 2, "s_end": 0.5, "step": 0.25, "coupling": path}
    run = mfpde.resnet.train(problem, law, progress=False, save=[0.0], **how)
    want = drawn(path, count=1, law=law)
    np.testing.assert_array_equal(run.at(0.0).theta, want)


@pytest.mark.parametrize("bad", [lambda: paths.Exponential(0.0), lambda: paths.Shared(1.5)])
def test_bad_paths(bad):
    with pytest.raises(ValueError, match=r"(length must be|share must lie)"):
        bad()


def test_tensor_rules_have_no_paths():
    with pytest.raises(ValueError, match="'iid' or 'sobol' for paths"):
        drawn(paths.Smooth(0.5), rule="gauss")
