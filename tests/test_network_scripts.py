"""The scripts on finite networks, small, with their verdicts, and their figures by their data."""

import numpy as np
import pytest
import study
from scripts import held_and_drawn, script

import mfpde

# Panels, colour bars included.
FIGURES = {
    "depth_width_error": 3,
    "published_draws": 1,
    "depth_limit": 2,
    "long_training": 2,
    "size_for_loss": 4,
    "predicted_networks": 3,
    "consistency": 3,
    "real_data": 3,
    "minibatch_noise": 1,
    "transformer_limit": 4,
    "token_clustering": 4,
}


@pytest.mark.parametrize("name", FIGURES)
def test_claims_hold_and_the_figure_shows_the_data(name, tmp_path):
    if name in ("real_data", "minibatch_noise", "predicted_networks"):
        pytest.importorskip("sklearn")
    module, axes = held_and_drawn(name, tmp_path)
    assert len(axes) == FIGURES[name]
    check = globals().get(f"check_{name}")
    if check is not None:
        check(module, tmp_path)


def check_depth_width_error(module, out):
    narrow = module.columns(out / "narrow.csv")
    assert set(narrow["width"]) == {1}


def check_published_draws(module, out):
    draws = module.columns(out / "draws.csv")
    assert abs(draws["a"][0] / 0.22 - 1) < 0.25


def check_depth_limit(module, out):
    depths = module.columns(out / "depths.csv")
    np.testing.assert_allclose(
        depths["jump_V"] * depths["layers"], depths["jump_V"][-1] * depths["layers"][-1], rtol=0.15
    )


def check_long_training(module, out):
    assert module.columns(out / "implicit.csv")["loss"][-1] < 1e-7


def check_size_for_loss(module, out):
    phase = module.columns(out / "phase.csv")
    assert np.all((phase["low"] <= phase["p"]) & (phase["p"] <= phase["high"]))


def check_predicted_networks(module, out):
    rows = module.columns(out / "networks.csv")
    assert set(rows["coupling"]) == {"independent", "tied"}
    assert np.all(rows["measured"] > 0)


def check_consistency(module, out):
    rows = module.columns(out / "distances.csv")
    assert np.all(rows["exact"] <= rows["same_index"] + 1e-9)


def published_training(u, v, x, y, steps):
    """Outputs after the training of Chizat 2025 as printed: U, V (L, D, M), X, Y (D, N)."""
    layers, _, width = u.shape
    d, n = x.shape
    for _ in range(steps):
        states, features = [x], []
        for k in range(layers):
            features.append(np.tanh(u[k].T @ states[-1] / d))
            states.append(states[-1] + v[k] @ features[-1] / (layers * width))
        cotangent = (states[-1] - y) / (n * d)
        for k in reversed(range(layers)):
            inner = (v[k].T @ cotangent) * (1 - features[k] ** 2)
            of_v, of_u = cotangent @ features[k].T, states[k] @ inner.T / d
            cotangent = cotangent + u[k] @ inner / (d * layers * width)
            u[k] -= d * of_u
            v[k] -= d * of_v
    for k in range(layers):
        x = x + v[k] @ np.tanh(u[k].T @ x / d) / (layers * width)
    return x


def test_the_plain_flow_is_the_published_training_of_depth_and_width():
    problem, d = study.gaussian_data(0), study.D
    run = study.train(problem, 5, 7, [3])
    start = mfpde.ParticleMeasure.from_law(
        study.GAUSSIAN, mfpde.Depth(5, "euler"), count=7, rule="iid", coupling="independent", seed=3
    ).theta
    v, u = (np.sqrt(d) * part.transpose(0, 2, 1) for part in (start[..., :d], start[..., d:]))
    exact = published_training(u.copy(), v.copy(), problem.x.T, problem.y.T, study.STEPS)
    np.testing.assert_allclose(run.outputs[0], exact.T, atol=1e-12)


def test_the_plain_flow_is_the_published_training_with_shared_weights():
    """h + V GELU(W h)/L by descent of rate r L on the mean square, gradients by torch."""
    torch = pytest.importorskip("torch")
    limit = script("validation", "depth_limit")
    settings = study.Sizes(count=7, width=5, steps=6)
    problem, layers = study.tied_data(7, 5), 4
    run = limit.short(problem, layers, settings)
    start = study.tied_start(mfpde.Depth(layers, "euler"), 5).theta
    first = study.weights(start)
    v, w = (torch.tensor(first[name], requires_grad=True) for name in "VW")
    x, y = (torch.tensor(np.array(part)) for part in (problem.x, problem.y))
    for _ in range(settings.steps):
        h = x
        for k in range(layers):
            h = h + torch.nn.functional.gelu(h @ w[k].T) @ v[k] / layers
        slopes = torch.autograd.grad((h - y).square().mean(), (v, w))
        with torch.no_grad():
            for part, slope in zip((v, w), slopes, strict=True):
                part -= 0.01 * layers * slope
    found = study.weights(run.theta[0])
    np.testing.assert_allclose(found["V"], v.detach().numpy(), atol=1e-13)
    np.testing.assert_allclose(found["W"], w.detach().numpy(), atol=1e-13)
    jumps = [np.abs(np.diff(found[name], axis=0)).max() for name in "VW"]
    assert min(jumps) > 0


def test_riders_follow_the_limit_and_leave_it_alone():
    script_of = script("validation", "consistency")
    settings, problem = study.Sizes(**script_of.QUICK), study.sine(6)
    rng = np.random.default_rng(0)
    starts = rng.standard_normal((4, 3, 5))
    limit, riders = script_of.limit_with_samples(problem, starts, settings)
    alone, _ = script_of.limit_with_samples(problem, starts[:, :1], settings)
    np.testing.assert_allclose(limit, alone, atol=1e-13)
    # a rider that starts on a particle of the limit stays on it
    on_it = limit[0][:, :2]
    again, followers = script_of.limit_with_samples(problem, on_it, settings)
    np.testing.assert_allclose(followers, again[:, :, :2], atol=1e-12)
    assert np.abs(riders[-1] - riders[0]).max() > 1e-2
