"""Attention, blocks token by token and populations: torch's own attention, and symmetries."""

import json
import tomllib

import numpy as np
import pytest

import mfpde
from mfpde.blocks import check_block, from_spec, is_own, spec_of

T, D = 4, 3
SHL = mfpde.SHL(D)
BLOCKS = {
    "attention": mfpde.Attention(T, D, 2),
    "causal": mfpde.Attention(T, D, causal=True),
    "tokens": mfpde.TokenMLP(T, SHL),
    "transformer": mfpde.Populations([mfpde.Attention(T, D), mfpde.TokenMLP(T, SHL)]),
    "unequal": mfpde.Populations([mfpde.Attention(T, D), mfpde.TokenMLP(T, SHL)], particles=(2, 3)),
    "normalised": mfpde.Populations(
        [
            mfpde.Normalised(T, mfpde.Attention(T, D), 0.1),
            mfpde.Normalised(T, mfpde.TokenMLP(T, SHL), 0.1),
        ]
    ),
    "three": mfpde.Populations(
        [
            mfpde.Attention(T, D, causal=True),
            mfpde.TokenMLP(T, mfpde.Linear(D)),
            mfpde.SHL(T * D, "gelu"),
        ]
    ),
}
DEPTH = mfpde.Depth(2, "rk4")


def draws(block, data=5, particles=6, directions=2, seed=0):
    """x, θ, a, q, dx, dθ, dq, da."""
    rng = np.random.default_rng(seed)
    many = [(data, block.dim), (particles, block.size)]
    x, theta = (rng.standard_normal(shape) for shape in many)
    dx, dtheta = (rng.standard_normal((directions, *shape)) for shape in many)
    q, dq = rng.standard_normal(x.shape), rng.standard_normal(dx.shape)
    a, da = rng.dirichlet(np.ones(particles)), rng.standard_normal((directions, particles))
    return x, theta, a, q, dx, dtheta, dq, da


def problem(block, **how):
    x = np.random.default_rng(1).standard_normal((6, block.dim))
    return mfpde.Problem(x, np.sin(x[:, :1] + x[:, -1:]), block=block, **how)


def measure(block, depth=DEPTH, count=8, seed=0):
    law = mfpde.laws.Gaussian(0.7, dim=block.size)
    return mfpde.ParticleMeasure.from_law(law, depth, count=count, rule="iid", seed=seed)


def torch_heads(torch, block, x, theta):
    """f(x_i, θ_j), (N, M, T·d), by torch's matrix products."""
    z = x.view(-1, 1, block.tokens, block.width)
    q, k, v, o = theta.view(-1, 4, block.rank, block.width).unbind(1)
    scores = (z @ q.mT) @ (z @ k.mT).mT / block.rank**0.5
    if block.causal:
        scores = scores + torch.full_like(scores[0, 0], -torch.inf).triu(1)
    return (torch.softmax(scores, -1) @ (z @ v.mT) @ o).flatten(-2)


@pytest.mark.parametrize("name", ["attention", "causal"])
def test_every_sum_of_attention_is_torchs_to_second_order(name):
    torch = pytest.importorskip("torch")
    grad, jvp, block, given = torch.func.grad, torch.func.jvp, BLOCKS[name], draws(BLOCKS[name])
    x, theta, a, q, dx, dtheta, dq, da = (torch.tensor(one) for one in given)

    def field(x, theta, a):
        return torch.einsum("nmd,m->nd", torch_heads(torch, block, x, theta), a)

    def sums(x, theta, a, q):
        """What ``backward`` and ``potential`` return."""
        one = torch.ones_like(a)
        state = grad(lambda x: (field(x, theta, a) * q).sum())(x)
        return state, *(
            grad(lambda *given: (field(*given) * q).sum(), k)(x, theta, one) for k in (1, 2)
        )

    expected = {"field": field(x, theta, a), "value": torch_heads(torch, block, x, theta)}
    *expected["backward"], expected["potential"] = sums(x, theta, a, q)
    expected["gradient"] = expected["backward"][1]
    moved = [(dx[c], dtheta[c], da[c]) for c in range(len(dx))]
    pushed = [jvp(field, (x, theta, a), one)[1] for one in moved]
    expected["tangents"] = torch.stack(pushed)
    expected["tangent"] = jvp(field, (x, theta, a), (dx[0], dtheta[0], 0 * a))[1]
    changes = [jvp(sums, (x, theta, a, q), (*one, dq[c]))[1][:2] for c, one in enumerate(moved)]
    still = [jvp(sums, (x, theta, a, q), (dx[c], 0 * theta, 0 * a, dq[c]))[1][2:] for c in (0, 1)]
    expected["backward_tangents"] = [
        torch.stack(one)
        for one in zip(*(a + b for a, b in zip(changes, still, strict=True)), strict=True)
    ]
    x, theta, a, q, dx, dtheta, dq, da = given
    for method, arguments in {
        "value": (x, theta),
        "field": (x, theta, a),
        "backward": (x, theta, a, q),
        "potential": (x, theta, q),
        "gradient": (x, theta, q),
        "tangent": (x, theta, a, dx[0], dtheta[0]),
        "tangents": (x, theta, a, dx, dtheta, da),
        "backward_tangents": (x, theta, a, q, dx, dtheta, dq, da),
    }.items():
        found = getattr(block, method)(*arguments)
        lists = ([one] if hasattr(one, "shape") else one for one in (found, expected[method]))
        for one, other in zip(*lists, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-12, atol=1e-12, err_msg=method)


def test_attention_is_torchs_scaled_dot_product_attention():
    torch = pytest.importorskip("torch")
    for name in ("attention", "causal"):
        block = BLOCKS[name]
        x, theta, *_ = draws(block)
        z = torch.tensor(x).view(-1, 1, T, D)
        q, k, v, o = (torch.tensor(one) for one in block.split(theta))
        attend = torch.nn.functional.scaled_dot_product_attention
        heads = attend(z @ q.mT, z @ k.mT, z @ v.mT, is_causal=block.causal)
        expected = (heads @ o).reshape(len(x), len(theta), -1).numpy()
        np.testing.assert_allclose(block.value(x, theta), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", BLOCKS)
def test_sums_follow_from_the_formula(name):
    block = BLOCKS[name]
    assert is_own(block)
    assert check_block(block) < 1e-7
    x, theta, a, q, dx, dtheta, dq, da = draws(block)
    exact = block.backward_tangents(x, theta, a, q, dx, dtheta, dq, da)
    differences = mfpde.Block.backward_tangents(block, x, theta, a, q, dx, dtheta, dq, da)
    for one, other in zip(exact, differences, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", BLOCKS)
def test_networks_of_torch_are_those_of_the_package(name):
    pytest.importorskip("torch")
    law = mfpde.laws.Gaussian(0.7, dim=BLOCKS[name].size)
    how = {"layers": 3, "width": 4, "seeds": 2, "s_end": 0.5, "step": 0.1}
    own, by_torch = (
        mfpde.resnet.train(problem(BLOCKS[name]), law, backend=backend, device="cpu", **how)
        for backend in ("particles", "torch")
    )
    assert own.loss[:, -1].max() < own.loss[:, 0].max()
    np.testing.assert_allclose(by_torch.loss, own.loss, rtol=1e-12)
    np.testing.assert_allclose(by_torch.theta, own.theta, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", BLOCKS)
def test_gradient_through_a_whole_network_is_that_of_differences(name):
    block, h = BLOCKS[name], 1e-5
    given, rho = problem(block), measure(block)
    slope = mfpde.gradient(given, rho)
    direction = np.random.default_rng(2).standard_normal(rho.theta.shape)

    def moved(step):
        return mfpde.loss(given, mfpde.ParticleMeasure(rho.theta + step * direction, rho.depth))

    weight = rho.depth.weights[:, None, None] / rho.theta.shape[1]
    along = float((slope * direction * weight).sum())
    assert (moved(h) - moved(-h)) / (2 * h) == pytest.approx(along, rel=1e-6)


@pytest.mark.parametrize("name", ["attention", "tokens", "transformer"])
def test_tokens_that_change_places_change_places_in_the_end(name):
    block = BLOCKS[name]
    order = np.array([2, 0, 3, 1])
    x = np.random.default_rng(3).standard_normal((5, T, D))
    given = mfpde.Problem(x.reshape(5, -1), x.reshape(5, -1), block=block)
    rho = measure(block)
    end, swapped = (
        mfpde.predict(given, rho, one.reshape(5, -1)).reshape(5, T, D) for one in (x, x[:, order])
    )
    assert np.abs(end - x).max() > 0.1
    np.testing.assert_allclose(swapped, end[:, order], rtol=1e-13, atol=1e-14)


def test_causal_tokens_see_no_later_ones():
    block = mfpde.Populations([BLOCKS["causal"], BLOCKS["tokens"]])
    x = np.random.default_rng(4).standard_normal((5, T, D))
    given = mfpde.Problem(x.reshape(5, -1), x.reshape(5, -1), block=block)
    other = x.copy()
    other[:, 2] += 1.0
    ends = [
        mfpde.predict(given, measure(block), one.reshape(5, -1)).reshape(5, T, D)
        for one in (x, other)
    ]
    np.testing.assert_array_equal(ends[0][:, :2], ends[1][:, :2])
    assert np.abs(ends[0][:, 3] - ends[1][:, 3]).min() > 1e-4


def test_equal_scores_give_the_mean_of_what_is_seen():
    x, theta = np.random.default_rng(5).standard_normal((2, T * D)), np.zeros((1, 4 * D))
    theta[0, 2 * D :] = 1.0  # Q = K = 0
    sums = x.reshape(2, T, D).sum(axis=2)
    seen = np.cumsum(sums, axis=1) / np.arange(1, T + 1)
    for causal, mean in ((False, seen[:, -1:].repeat(T, axis=1)), (True, seen)):
        block = mfpde.Attention(T, D, causal=causal)
        found = block.value(x, theta).reshape(2, T, D)
        np.testing.assert_allclose(found, mean[:, :, None].repeat(D, axis=2), rtol=1e-13)


def test_scores_of_any_size_are_finite():
    x, theta = np.ones((1, T * D)), np.full((1, 4 * D), 1e3)
    q = np.ones_like(x)
    assert np.isfinite(BLOCKS["causal"].value(x, theta)).all()
    assert np.isfinite(BLOCKS["causal"].pull_parameter(x, theta, q)).all()


def test_how_populations_are_paired_changes_nothing():
    block = BLOCKS["transformer"]
    given, rho = problem(block), measure(block, mfpde.Depth(3))
    heads, neurons = block.split(rho.theta)
    paired = mfpde.ParticleMeasure(np.concatenate([heads, neurons[:, ::-1]], axis=2), rho.depth)
    runs = [mfpde.solve(given, one, s_end=0.5, method="gd", step=0.1) for one in (rho, paired)]
    np.testing.assert_allclose(runs[0].loss, runs[1].loss, rtol=1e-13)
    ends = [block.split(run.final.theta) for run in runs]
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(ends[0][1], ends[1][1][:, ::-1], rtol=1e-11, atol=1e-13)


def test_populations_are_layers_of_both_kinds():
    """Outputs against a loop that adds each population's own mean."""
    block = BLOCKS["transformer"]
    rho = measure(block, mfpde.Depth(3, "euler"))
    given = problem(block)
    x = given.start()
    for layer in rho.theta:
        heads, neurons = layer[:, : 4 * D], layer[:, 4 * D :]
        attended = block.blocks[0].value(x, heads).mean(axis=1)
        rows = SHL.value(x.reshape(-1, D), neurons).mean(axis=1)
        x = x + (attended + rows.reshape(x.shape)) / 3
    np.testing.assert_allclose(mfpde.predict(given, rho), x[:, :1], rtol=1e-13)


class Unsplit(mfpde.Populations):
    """Its kernel from the three methods alone."""

    sensitivity, gram = mfpde.Block.sensitivity, mfpde.Block.gram


def test_tangent_kernel_is_that_of_both_populations():
    block = BLOCKS["transformer"]
    given, rho = problem(block), measure(block)
    kernel = mfpde.theory.tangent_kernel(given, rho)
    unsplit = Unsplit(block.blocks)
    plain = mfpde.theory.tangent_kernel(problem(unsplit), rho)
    np.testing.assert_allclose(kernel, plain, rtol=1e-11, atol=1e-13)


def test_float32_stays_float32():
    for block in BLOCKS.values():
        x, theta, a, q, *_ = (one.astype(np.float32) for one in draws(block))
        for found in (block.field(x, theta, a), *block.backward(x, theta, a, q)):
            assert found.dtype == np.float32
        wide = block.field(x.astype(float), theta.astype(float), a.astype(float))
        np.testing.assert_allclose(block.field(x, theta, a), wide, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BLOCKS)
def test_run_files_know_the_blocks(name, tmp_path):
    block = BLOCKS[name]
    again = from_spec(json.loads(json.dumps(spec_of(block))))
    assert repr(again) == repr(block)
    assert again.coordinates == block.coordinates
    run = mfpde.solve(problem(block), measure(block), s_end=0.2, rtol=1e-2)
    run.save(tmp_path / "run.h5")
    found = mfpde.Solution.load(tmp_path / "run.h5")
    assert repr(found.problem.block) == repr(block)
    ends = (mfpde.predict(one.problem, one.final) for one in (run, found))
    np.testing.assert_array_equal(*ends)


def test_a_part_from_outside_is_checked_and_handed_over():
    class Wrong(mfpde.Linear):
        def pull_state(self, x, theta, q):
            return 2 * super().pull_state(x, theta, q)

    for block in (
        mfpde.TokenMLP(T, Wrong(D)),
        mfpde.Populations([BLOCKS["attention"], mfpde.TokenMLP(T, Wrong(D))]),
    ):
        assert not is_own(block)
        assert spec_of(block) is None
        with pytest.raises(ValueError, match="pull_state disagrees"):
            problem(block)


def test_kinks_inside_are_seen():
    rough = mfpde.TokenMLP(T, mfpde.SHL(D, "relu"))
    assert not rough.smooth
    assert not mfpde.Populations([BLOCKS["attention"], rough]).smooth
    assert all(block.smooth for block in BLOCKS.values())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="Attention tokens"):
        mfpde.Attention(0, D)
    with pytest.raises(ValueError, match="Attention rank"):
        mfpde.Attention(T, D, 0)
    with pytest.raises(TypeError, match="causal"):
        mfpde.Attention(T, D, causal="yes")
    with pytest.raises(TypeError, match="block"):
        mfpde.TokenMLP(T, D)
    with pytest.raises(ValueError, match="one dim; given dims"):
        mfpde.Populations([SHL, mfpde.SHL(2)])
    with pytest.raises(ValueError, match="one or more"):
        mfpde.Populations([])
    with pytest.raises(TypeError, match="Block"):
        mfpde.Populations([SHL, 3])


CASE = """
[block]
kind = "populations"
[[block.blocks]]
kind = "attention"
tokens = 2
dim = 2
[[block.blocks]]
kind = "token_mlp"
tokens = 2
block = { kind = "shl", dim = 2 }
"""


def test_a_case_file_holds_a_transformer():
    from mfpde.cases import parts

    block = parts.block(tomllib.loads(CASE)["block"], 7)
    assert repr(block) == repr(
        mfpde.Populations([mfpde.Attention(2, 2), mfpde.TokenMLP(2, mfpde.SHL(2))])
    )
    with pytest.raises(ValueError, match="needs the key 'dim'"):
        parts.block({"kind": "attention", "tokens": 2}, 7)
    assert parts.block({"kind": "meshed", "block": {}, "spacing": 0.5}, 2).block.dim == 2


def test_a_layer_norm_is_torchs_to_second_order():
    torch = pytest.importorskip("torch")
    inner = mfpde.Attention(T, D, 2)
    block = mfpde.Normalised(T, inner)
    x, theta, a, q, dx, dtheta, dq, da = draws(block)

    def energy(x, theta, a, q):
        z = torch.nn.functional.layer_norm(x.view(-1, T, D), (D,)).reshape(len(x), -1)
        return (torch.einsum("nmd,m->nd", torch_heads(torch, inner, z, theta), a) * q).sum()

    given = [torch.tensor(one, requires_grad=True) for one in (x, theta, a, q)]
    pulls = torch.autograd.grad(energy(*given), given, create_graph=True)
    np.testing.assert_allclose(block.field(x, theta, a), pulls[3].detach(), atol=1e-12)
    np.testing.assert_allclose(block.backward(x, theta, a, q)[0], pulls[0].detach(), atol=1e-12)
    found, _, _ = block.backward_tangents(x, theta, a, q, dx, dtheta, dq, da)
    for c, moves in enumerate(zip(dx, dtheta, da, dq, strict=True)):
        along = sum((one * torch.tensor(m)).sum() for one, m in zip(pulls, moves, strict=True))
        expected = torch.autograd.grad(along, given[0], retain_graph=True)[0]
        np.testing.assert_allclose(found[c], expected, atol=1e-10)


def test_a_layer_may_have_more_neurons_than_heads():
    """Two heads and six neurons: the layer, its velocity and its distances by hand."""
    heads, neurons = mfpde.Attention(T, D), mfpde.TokenMLP(T, SHL)
    block = mfpde.Populations([heads, neurons], particles=(1, 3))
    rng = np.random.default_rng(4)
    thetas = [rng.standard_normal((3, n, one.size)) for n, one in ((2, heads), (6, neurons))]
    phi = block.joined(thetas)
    assert phi.shape == (3, 2, heads.size + 3 * neurons.size)
    for one, other in zip(block.split(phi), thetas, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    depth = mfpde.Depth(3, "euler")
    rho, given = mfpde.ParticleMeasure(phi, depth), problem(block)
    x = given.start()
    for layer in zip(*thetas, strict=True):
        own = zip((heads, neurons), layer, strict=True)
        x = x + sum(one.value(x, theta).mean(axis=1) for one, theta in own) / 3
    np.testing.assert_allclose(mfpde.predict(given, rho), x[:, :1], rtol=1e-12)
    alone = mfpde.Problem(given.x, given.y, block=mfpde.Populations([heads, neurons]))
    six = alone.block.joined([np.repeat(thetas[0], 3, axis=1), thetas[1]])  # every head thrice
    whole = mfpde.ParticleMeasure(six, depth)
    slopes = [
        block.split(mfpde.gradient(given, rho)),
        alone.block.split(mfpde.gradient(alone, whole)),
    ]
    np.testing.assert_allclose(slopes[0][0], slopes[1][0][:, ::3], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(slopes[0][1], slopes[1][1], rtol=1e-11, atol=1e-14)
    runs = [
        mfpde.solve(*one, s_end=1.0, method="gd", step=0.1)
        for one in ((given, rho), (alone, whole))
    ]
    np.testing.assert_allclose(runs[0].loss, runs[1].loss, rtol=1e-12)
    moved = [thetas[0], thetas[1] + 0.5]
    near = mfpde.ParticleMeasure(block.joined(moved), depth)
    assert mfpde.cot_distance(rho, near) == pytest.approx(0.5 * neurons.size**0.5)


def test_populations_that_do_not_fit_are_refused():
    for tokens in (2, 3):
        with pytest.raises(ValueError, match="tokens must divide the block's dim 3"):
            mfpde.Normalised(tokens, SHL)
    with pytest.raises(ValueError, match="epsilon"):
        mfpde.Normalised(1, SHL, 0.0)
    with pytest.raises(ValueError, match="particles must be 1 counts"):
        mfpde.Populations([SHL], particles=(1, 2))
    with pytest.raises(ValueError, match=r"particles\[0\]"):
        mfpde.Populations([SHL], particles=(0,))
    block = mfpde.Populations([SHL, SHL], particles=(1, 3))
    with pytest.raises(ValueError, match="M r_k particles"):
        block.joined([np.zeros((2, 7)), np.zeros((4, 7))])
    with pytest.raises(ValueError, match="2 arrays"):
        block.joined([np.zeros((2, 7))])
