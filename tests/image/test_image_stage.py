"""Blocks with a place in depth: the plain network at the start, gradients, exchanges, state."""

import copy
import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from mfpde import images  # noqa: E402
from mfpde.images import models  # noqa: E402
from mfpde.images.stage import exchanges  # noqa: E402

RULES = pytest.mark.parametrize("rule", images.RULES)


class Smooth(nn.Module):
    """x + tanh(A x + b): a block of someone else's, smooth enough for differences."""

    def __init__(self, dim: int = 4) -> None:
        super().__init__()
        self.inner = nn.Linear(dim, dim, dtype=torch.float64)

    def forward(self, x):
        return x + torch.tanh(self.inner(x))


class Theirs(nn.Module):
    """A model of someone else's, with a library's layers as residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        layers = (nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0) for _ in range(4))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.layers(self.embed(x)))


def smooth_stage(rule: str, count: int = 5, seed: int = 0):
    torch.manual_seed(seed)
    stage = images.MeanFieldStage([Smooth() for _ in range(count)], rule).double()
    return stage, torch.randn(6, 4, dtype=torch.float64)


def at(stage, places):
    """The stage with its blocks at these places, sorted."""
    stage.position.data = torch.tensor(places, dtype=stage.position.dtype)
    stage.sort()
    return stage


def loss_and_gradients(model, x):
    model.zero_grad()
    y = model(x)
    y.square().mean().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    return y.detach(), [g for name, g in gradients.items() if not name.endswith("position")]


def same(ours, theirs) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


@RULES
@pytest.mark.parametrize(
    "make",
    [
        partial(models.residual_network, (3, 3, 3), (4, 6, 8)),
        partial(models.bottleneck_network, 3),
        partial(models.aggregated_network, 2, 4),
    ],
    ids=["basic", "preactivated", "aggregated"],
)
def test_the_start_is_the_plain_network_bit_for_bit(make, rule):
    torch.manual_seed(1)
    plain = make()
    wrapped = copy.deepcopy(plain)
    training = images.MeanFieldTraining(wrapped, wrapped.reorderable, rule=rule)
    x = torch.randn(4, 3, 16, 16)
    (y, slopes), (y_plain, slopes_plain) = (loss_and_gradients(m, x) for m in (wrapped, plain))
    assert torch.equal(y, y_plain)
    assert same(slopes, slopes_plain)
    assert all(stage.position.grad.abs().min() > 0 for stage in training.stages)
    assert [sum(t) for t in training.t] == [(len(t) + 1) / 2 for t in training.t]


@RULES
def test_a_librarys_layers_wrapped_in_one_line(rule):
    torch.manual_seed(2)
    plain = Theirs()
    wrapped = copy.deepcopy(plain)
    training = images.MeanFieldTraining(wrapped, ["layers[1:]"], rate=3.0, rule=rule)
    x = torch.randn(5, 7, 3)
    (y, slopes), (y_plain, slopes_plain) = (loss_and_gradients(m, x) for m in (wrapped, plain))
    assert torch.equal(y, y_plain)
    assert same(slopes, slopes_plain)
    optimizer = torch.optim.SGD(training.parameter_groups(), lr=0.1, momentum=0.9)
    first = float(wrapped(x).detach().square().mean())
    for _ in range(20):
        optimizer.zero_grad()
        loss = wrapped(x).square().mean()
        loss.backward()
        optimizer.step()
        training.after_step()
    assert float(loss.detach()) < 0.1 * first
    assert training.t != [[1 / 3, 2 / 3, 1.0]]
    assert len(training.t[0]) == 3


@RULES
def test_gradients_in_t_against_differences(rule):
    stage, x = smooth_stage(rule)
    places = [1.3, 2.05, 1.7, 4.4, 2.2]
    weights = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(6, 4)

    def loss(moved):
        return (at(stage, moved)(x).sin() * weights).sum()

    stage.zero_grad()
    loss(places).backward()
    slope, h = stage.position.grad.tolist(), 1e-5
    for j, exact in enumerate(slope):
        ends = [[p + sign * h * (i == j) for i, p in enumerate(places)] for sign in (1, -1)]
        with torch.no_grad():
            difference = float(loss(ends[0]) - loss(ends[1])) / (2 * h)
        assert exact == pytest.approx(difference, rel=1e-7, abs=1e-9)
    assert max(map(abs, slope)) > 1e-3


def test_gradient_of_the_gaps_is_the_difference_of_neighbouring_pairings():
    """∂E/∂(n t^l) = ⟨P^l, f^l⟩ − ⟨P^{l+1}, f^{l+1}⟩, P the cotangent after a block's step."""
    stage, x = smooth_stage("gap", count=3)
    at(stage, [0.8, 2.9, 1.9])
    places = stage.position.detach()[stage.order]
    gaps = torch.diff(places, prepend=torch.zeros(1, dtype=places.dtype))
    states, fields = [x], []
    for block, gap in zip(stage.order, gaps, strict=True):
        fields.append(stage.blocks[block](states[-1]) - states[-1])
        states.append(states[-1] + gap * fields[-1])
    cotangents = torch.autograd.grad(states[-1].sin().sum(), states[1:], retain_graph=True)
    pairings = [float((p * f).sum().detach()) for p, f in zip(cotangents, fields, strict=True)]
    expected = np.array(pairings) - np.array([*pairings[1:], 0.0])
    stage(x).sin().sum().backward()
    np.testing.assert_allclose(stage.position.grad[stage.order], expected, rtol=1e-12)


def test_shares_keep_the_total_of_the_residuals():
    """Gaps over their sum: a common factor of all places does nothing; by hand at given gaps."""
    stage, x = smooth_stage("share", count=3)
    output = at(stage, [0.8, 2.0, 1.2])(x).detach()
    torch.testing.assert_close(at(stage, [0.4, 1.0, 0.6])(x).detach(), output, rtol=1e-12, atol=0)
    y = x
    for block, gap in zip((0, 2, 1), (0.8, 0.4, 0.8), strict=True):
        y = y + 1.5 * gap * (stage.blocks[block](y).detach() - y)
    torch.testing.assert_close(output, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("others", [(0.4, 3.0, 4.5), (1.8, 2.1, 3.0)])
def test_an_exchange_under_window_is_continuous(others):
    stage, x = smooth_stage("window")

    def output(gap):
        return at(stage, [2.0, 2.0 + gap, *others])(x).detach()

    for gap in (1e-3, 1e-6, 1e-9):
        jump = (output(gap) - output(-gap)).abs().max()
        assert jump <= 5 * gap
    torch.testing.assert_close(output(0.0), output(1e-13), rtol=1e-11, atol=1e-11)


def test_an_exchange_under_gap_is_the_jump_that_the_docstring_says():
    stage, x = smooth_stage("gap", count=2)
    before, after = (at(stage, [0.7, 0.7 + gap])(x).detach() for gap in (1e-9, -1e-9))
    fields = [block(x).detach() - x for block in stage.blocks]
    torch.testing.assert_close(before - after, 0.7 * (fields[0] - fields[1]), rtol=1e-7, atol=1e-8)
    assert (before - after).abs().max() > 0.1


def test_blocks_that_meet_under_window_do_not_know_their_order():
    stage, x = smooth_stage("window")
    outputs = []
    for order in itertools.permutations(range(3)):
        at(stage, [1.5, 1.5, 1.5, 2.0, 3.7])
        stage.set_extra_state({"order": [*order, 3, 4]})
        outputs.append(stage(x).detach())
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0], rtol=1e-13, atol=1e-13)


def test_far_apart_window_is_the_plain_network_in_the_order_of_t():
    stage, x = smooth_stage("window", count=3)
    y = x
    for block in (2, 0, 1):
        y = stage.blocks[block](y)
    assert torch.equal(at(stage, [2.2, 3.5, 0.0])(x), y)


@given(st.permutations(range(7)), st.permutations(range(7)))
def test_exchanges_are_the_pairs_whose_order_differs(before, after):
    pairs = itertools.combinations(range(7), 2)
    swapped = [
        (before.index(a) < before.index(b)) != (after.index(a) < after.index(b)) for a, b in pairs
    ]
    assert exchanges(before, after) == sum(swapped)


def momenta(model, optimizer):
    """Momentum buffers by parameter name."""
    names = {p: name for name, p in model.named_parameters()}
    return {names[p]: held["momentum_buffer"].clone() for p, held in optimizer.state.items()}


def steps(model, optimizer, x, count):
    for _ in range(count):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def test_optimiser_state_travels_with_its_block():
    """After an exchange, training goes on as in a network whose blocks and momenta were moved."""
    torch.manual_seed(3)
    model = nn.Sequential(*(images.blocks.basic(4, 4, 1) for _ in range(3)))
    wrapped = nn.Sequential(copy.deepcopy(model))
    training = images.MeanFieldTraining(wrapped, ["0"], rate=0.0)
    optimizer = torch.optim.SGD(training.parameter_groups(), lr=0.05, momentum=0.9)
    x = torch.randn(8, 4, 6, 6)
    steps(wrapped, optimizer, x, 3)
    stage = training.stages[0]
    at(stage, [2.0, 3.0, 1.0])
    assert stage.order == [2, 0, 1]

    moved = nn.Sequential(*(copy.deepcopy(stage.blocks[i]) for i in stage.order))
    theirs = torch.optim.SGD(moved.parameters(), lr=0.05, momentum=0.9)
    for place, block in enumerate(stage.order):
        pairs = zip(moved[place].parameters(), stage.blocks[block].parameters(), strict=True)
        for new, old in pairs:
            theirs.state[new]["momentum_buffer"] = optimizer.state[old]["momentum_buffer"].clone()
    steps(wrapped, optimizer, x, 3)
    steps(moved, theirs, x, 3)
    for place, block in enumerate(stage.order):
        states = (one.state_dict().values() for one in (moved[place], stage.blocks[block]))
        assert same(*map(list, states))
    ours = momenta(wrapped, optimizer)
    assert same(
        [ours[f"0.blocks.{b}.last.weight"] for b in stage.order],
        [m for n, m in momenta(moved, theirs).items() if n.endswith("last.weight")],
    )


def test_the_order_is_part_of_the_state():
    stage, x = smooth_stage("window")
    expected = at(stage, [3.1, 2.6, 0.4, 2.9, 0.1])(x)
    other, _ = smooth_stage("window", seed=9)
    other.load_state_dict(stage.state_dict())
    assert other.order == stage.order
    assert torch.equal(other(x), expected)


def test_places_stay_in_the_unit_interval_and_move_at_their_own_rate():
    torch.manual_seed(4)
    model = nn.Sequential(nn.Sequential(Smooth(), Smooth(), Smooth()))
    training = images.MeanFieldTraining(model, ["0"], rate=1e3)
    groups = training.parameter_groups(weight_decay=0.1)
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert groups[1]["lr"] == 1e3
    assert groups[1]["momentum"] == 0.0
    optimizer = torch.optim.SGD(groups, lr=1e-3, momentum=0.9)
    x = torch.randn(5, 4, dtype=torch.float64)
    for _ in range(5):
        steps(model, optimizer, x, 1)
        training.after_step()
        assert all(0.0 <= t <= 1.0 for t in training.t[0])
    assert {0.0, 1.0} & set(training.t[0])
    assert training.exchanges > 0


def test_sorting_each_epoch_waits_for_its_end():
    model = nn.Sequential(nn.Sequential(Smooth(), Smooth()))
    training = images.MeanFieldTraining(model, ["0"], reorder="epoch")
    stage = training.stages[0]
    stage.position.data = torch.tensor([1.6, 1.2])
    x = torch.randn(5, 4, dtype=torch.float64)
    training.after_step()
    first, second = stage.blocks
    y = x + 1.6 * (first(x) - x)
    expected = y - 0.4 * (second(y) - y)
    torch.testing.assert_close(model(x), expected, rtol=1e-6, atol=1e-6)
    training.after_epoch()
    assert (stage.order, training.exchanges) == ([1, 0], 1)


def test_bad_input_is_one_clear_error():
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4)), nn.ReLU())
    wrap = images.MeanFieldTraining
    with pytest.raises(ValueError, match=r"made \(2, 4\) of \(2, 3\): leave it out of the stage"):
        wrap(copy.deepcopy(model), ["0"]).model(torch.ones(2, 3))
    for bad, text in [
        ("1", "is a ReLU"),
        ("0[2:]", "of 2"),
        ("7", "no module '7'"),
        ("0[:", "like"),
    ]:
        with pytest.raises(ValueError, match=text):
            wrap(copy.deepcopy(model), [bad])
    with pytest.raises(ValueError, match="at least one"):
        wrap(model, [])
    with pytest.raises(ValueError, match="rule must be one of 'gap', 'share', 'window'"):
        wrap(model, ["0"], rule="gaps")
    with pytest.raises(ValueError, match="given 'epoch'"):
        wrap(model, ["0"], rule="window", reorder="epoch")
    with pytest.raises(ValueError, match="at least one module"):
        images.MeanFieldStage([])
