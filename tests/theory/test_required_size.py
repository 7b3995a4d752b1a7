"""The law of a network's loss, on losses made to order, and the size read off it."""

import numpy as np
import pytest
from problems import sine

from mfpde import laws, resnet
from mfpde.theory import fit_loss_law, required_size

C, A, Q, B = -2.0, 0.3, 0.5, 0.6
LAYERS, WIDTH = (axis.ravel().astype(float) for axis in np.meshgrid([4, 8, 16, 32], [2, 8, 32]))


def made(seeds: int, layers=LAYERS, width=WIDTH, seed: int = 0) -> np.ndarray:
    xi = np.random.default_rng(seed).standard_normal((len(layers), seeds))
    n = layers * width
    return np.exp((C + A / layers + Q / n)[:, None] + B * xi / np.sqrt(n)[:, None])


@pytest.fixture(scope="module")
def law():
    return fit_loss_law(LAYERS, WIDTH, made(400), resamples=200)


def test_the_fit_recovers_the_law_it_was_given(law):
    low, high = np.quantile(law.samples, [0.001, 0.999], axis=0)
    assert np.all((low <= (C, A, Q, B)) & (high >= (C, A, Q, B)))
    assert (law.c, law.a, law.b) == pytest.approx((C, A, B), rel=0.1)
    assert np.all(np.abs(law.spread - 1) < 0.15)
    assert law.limit_interval()[0] < law.limit < law.limit_interval()[1]


@pytest.mark.parametrize(
    ("margin", "eta", "layers"), [(0.2, 0.05, 8), (0.1, 0.3, 64), (0.3, 0.6, 4)]
)
def test_blocks_needed_is_where_the_probability_is_reached(law, margin, eta, layers):
    epsilon = law.limit * (1 + margin)
    blocks = law.blocks_needed(epsilon, eta, layers)
    assert law.probability(epsilon, layers, blocks / layers) == pytest.approx(1 - eta, abs=1e-12)
    low, high = law.blocks_interval(epsilon, eta, layers)
    assert low <= blocks <= high


def test_the_probability_is_that_of_fresh_losses(law):
    shape = np.array([16.0]), np.array([8.0])
    fresh = made(20000, *shape, seed=1)[0]
    epsilon = np.quantile(fresh, 0.8)
    assert law.probability(epsilon, *shape)[0] == pytest.approx(0.8, abs=0.03)
    assert law.median(*shape)[0] == pytest.approx(np.median(fresh), rel=0.01)


def test_out_of_reach_is_infinite(law):
    assert law.blocks_needed(law.limit * 0.99, 0.05, 32) == np.inf
    assert law.blocks_needed(law.limit * np.exp(0.9 * law.a / 4), 0.05, 4) == np.inf
    assert np.isfinite(law.blocks_needed(law.limit * np.exp(0.9 * law.a / 4), 0.05, 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": -made(4)}, "losses must be > 0"),
        ({"losses": made(4)[:, :1]}, "at least 2 seeds"),
        ({"layers": np.full(12, 4.0)}, "4 shapes, of 2 depths and 2 widths"),
        ({"width": np.full(12, 4.0)}, "4 shapes, of 2 depths and 2 widths"),
    ],
)
def test_bad_losses(change, message):
    with pytest.raises(ValueError, match=message):
        fit_loss_law(**{"layers": LAYERS, "width": WIDTH, "losses": made(4)} | change)


GAUSSIAN = laws.Gaussian(1.0, dim=5)
HOW = {"s_end": 3.0, "step": 0.25, "particles": 256}


@pytest.fixture(scope="module", params=["independent", "tied"])
def size(request):
    how = HOW | {"particles": 1024, "coupling": request.param, "pilots": 400}
    return required_size(sine(8), GAUSSIAN, 0.1535, 0.1, **how)


def test_the_answer_is_the_least_width_of_the_prediction(size):
    assert size.probability(size.layers, size.width) >= 0.9
    assert size.probability(size.layers, size.width - 1) < 0.9
    assert size.width_at(size.layers) == size.width
    assert size.width_interval[0] <= size.width <= size.width_interval[1]
    assert str(size.width) in repr(size)


def test_pilots_reach_the_probability_asked_for(size):
    low, high = size.checked
    assert size.pilots == 400
    assert low <= 0.93
    assert high >= 0.87
    assert high - low < 0.1


def test_no_network_is_trained_where_the_prediction_tells():
    alone = required_size(sine(8), GAUSSIAN, 0.1535, 0.1, **HOW | {"particles": 512})
    assert (alone.bound, alone.pilots, alone.checked) == ("loss", 0, None)
    low, high = alone.width_interval
    assert 1 < low < alone.width < high <= 4 * low


def test_an_interval_knows_that_the_expansion_decided():
    """Beyond what the expansion reaches a width is no answer of ε: the interval says less."""
    held = required_size(sine(8), GAUSSIAN, 0.17, 0.1, pilots=0, **HOW)
    assert held.bound == "expansion"
    assert held.width_interval[0] < 0.5 * held.width
    assert held.width_interval[1] >= held.width
    assert f"holds from M = {held.width} on" in repr(held)


@pytest.mark.parametrize("epsilon", [0.156, 0.17])
def test_pilots_find_the_width_that_the_expansion_does_not(epsilon):
    """Against many fresh networks of the ends of the interval and of the answer."""
    how = HOW | {"particles": 64}
    size = required_size(sine(8), GAUSSIAN, epsilon, 0.1, **how)
    assert size.bound == "pilots"
    low, high = size.width_interval
    assert low <= size.width <= high <= 6 * low
    assert size.checked[0] < 0.9 <= size.checked[1] or size.width == low == 1

    def share(width):
        run = resnet.train(
            size.prediction.problem, GAUSSIAN, layers=size.layers, width=int(width), s_end=size.s,
            step=HOW["step"], seeds=range(10_000, 10_400), progress=False,
        )  # fmt: skip
        return np.mean(run.loss[:, -1] <= epsilon)

    assert share(size.width) >= 0.82
    assert share(high) >= 0.88
    assert low == 1 or share(low) < 0.92


def test_depth_is_no_remedy_for_tied_layers(size):
    deep = size.width_at(4 * size.layers)
    if size.coupling == "tied":
        assert deep > 0.5 * size.width
    else:
        assert deep < 0.35 * size.width


def test_without_a_training_time_the_limit_gives_one():
    size = required_size(sine(8), GAUSSIAN, 0.3, 0.1, particles=64, layers=8)
    assert size.layers == 8
    assert size.prediction.limit_loss[-1] < 0.2
    assert size.s > 0
    assert (size.bound, size.width) == ("pilots", 1)


def test_a_loss_below_the_limits_is_an_error_that_says_so():
    with pytest.raises(ValueError, match=r"not reached .* train longer or go deeper"):
        required_size(sine(8), GAUSSIAN, 0.01, 0.1, s_end=1.0, step=0.25, particles=64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": 0.0}, "epsilon must be finite and > 0"),
        ({"eta": 1.0}, r"eta must lie in \(0, 1\)"),
        ({"pilots": -1}, "pilots must be a whole number >= 0"),
        ({"layers": 0}, "layers must be a whole number >= 1"),
        ({"coupling": "loose"}, "coupling must be one of"),
    ],
)
def test_bad_requests(change, message):
    how = {"epsilon": 0.2, "eta": 0.1, "s_end": 0.5, "step": 0.25, "particles": 64}
    with pytest.raises(ValueError, match=message):
        required_size(sine(6), GAUSSIAN, **how | change)
