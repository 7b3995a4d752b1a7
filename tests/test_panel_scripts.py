"""The panels of other papers: their scripts small, and the published update written out."""

import numpy as np
import pytest
from scripts import held_and_drawn, script

import mfpde

PANELS = {"hidden_width": 4, "linear_networks": 3, "two_layer": 2, "sgd_risk": 3}


@pytest.mark.parametrize("name", PANELS)
def test_claims_hold_and_the_figure_shows_the_data(name, tmp_path):
    assert len(held_and_drawn(name, tmp_path)[1]) == PANELS[name]


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_two_learning_rates_are_a_unit_of_the_hidden_states(alpha):
    """The published descent of U and V at two rates, in plain NumPy, against the plain flow."""
    dim, layers, width, steps = 6, 12, 3, 5
    problem, law, unit = script("validation", "hidden_width").setting(dim, alpha)
    how = {"step": unit**-2, "s_end": steps * unit**-2, "layers": layers, "width": width}
    run = mfpde.resnet.train(problem, law, seeds=[0], backend="particles", **how)
    start = run.saved[0, 0].transpose(0, 2, 1)
    v, u = start[:, :dim] * unit, start[:, dim:] * dim / unit
    x, y = problem.x.T, problem.y.T
    for step in range(steps + 1):
        path = [x]
        for one, other in zip(u, v, strict=True):
            hidden = other @ np.tanh(one.T @ path[-1] / dim)
            path.append(path[-1] + hidden / (layers * width))
        loss = np.square(path[-1] - y).mean()
        assert 2 / dim * run.loss[0, step] == pytest.approx(loss, rel=1e-12)
        back = (path[-1] - y) / y.size
        for k in reversed(range(layers)):
            h = np.tanh(u[k].T @ path[k] / dim)
            inner = (1 - h**2) * (v[k].T @ back)
            change = u[k] @ inner / (layers * width * dim)
            v[k] -= dim * back @ h.T
            u[k] -= min(1.0, alpha**-2) * path[k] @ inner.T
            back = back + change
    np.testing.assert_allclose(run.outputs[0], path[-1].T, rtol=1e-11)
