"""Training loops: t frozen is plain training, resumed is uninterrupted, runs are paired."""

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import paired_runs  # noqa: E402
from torch.nn import functional  # noqa: E402

from mfpde import images  # noqa: E402
from mfpde.images.training import _fresh  # noqa: E402

RECIPE = images.Recipe(epochs=3, batch_size=16, padding=1, schedule="cosine", weight_decay=1e-3)
MOVING = replace(RECIPE, place_rate=10.0)


@pytest.fixture(scope="module")
def data():
    """Four noisy patterns of 8×8 pixels."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 160, size=(4, 1, 8, 8))
    labels = np.arange(120) % 4
    x = (patterns[labels] + rng.integers(0, 90, size=(120, 1, 8, 8))).astype(np.uint8)
    return images.ImageData("patterns", x[:80], labels[:80], x[80:], labels[80:])


def trained(data, recipe, epochs=None, seed=0, name="tiny"):
    trainer = images.Trainer(name, data, recipe, seed=seed, device="cpu")
    for _ in range(epochs or recipe.epochs):
        trainer.train_epoch()
    return trainer


def weights(trainer):
    """Everything the next step depends on."""
    held = [v for v in trainer.model.state_dict().values() if isinstance(v, torch.Tensor)]
    kept = [one.get("momentum_buffer") for one in trainer.optimizer.state.values()]
    return held + [momentum for momentum in kept if momentum is not None]


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


def test_frozen_places_are_plain_training_bit_for_bit(data):
    """Against a loop that has no wrapper and no places, written out."""
    trainer = trained(data, RECIPE)
    model = _fresh("tiny", data, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)
    batches = images.Trainer("tiny", data, RECIPE, seed=0, device="cpu").batches
    for epoch in range(RECIPE.epochs):
        for step, (pictures, labels) in enumerate(batches(epoch)):
            optimizer.param_groups[0]["lr"] = 0.1 * RECIPE.factor(epoch + step / 5)
            optimizer.zero_grad()
            functional.cross_entropy(model(pictures), labels).backward()
            optimizer.step()
    places = {id(stage.position) for stage in trainer.mean_field.stages}
    ours = [p for p in trainer.model.parameters() if id(p) not in places]
    assert equal(ours, list(model.parameters()))
    buffers = [b for name, b in trainer.model.named_buffers() if not name.endswith("_index")]
    assert equal(buffers, list(model.buffers()))
    momenta = [
        [one.state[p]["momentum_buffer"] for p in group]
        for one, group in ((trainer.optimizer, ours), (optimizer, model.parameters()))
    ]
    assert equal(*momenta)
    assert trainer.history.t[0] == trainer.history.t[-1] == [[1 / 3, 2 / 3, 1.0]]


@pytest.mark.parametrize("rule", images.RULES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_is_uninterrupted_bit_for_bit(rule, precision, data, tmp_path):
    recipe = replace(RECIPE, place_rate=30.0, rule=rule, precision=precision)
    whole = trained(data, recipe)
    assert sum(whole.history.exchanges) > 0
    first = trained(data, recipe, epochs=1)
    first.save(tmp_path / "run.pt")
    second = images.Trainer("tiny", data, recipe, seed=0, device="cpu")
    second.load(tmp_path / "run.pt")
    while second.epoch < recipe.epochs:
        second.train_epoch()
    assert equal(weights(second), weights(whole))
    for name in ("loss", "exchanges", "t"):
        assert getattr(second.history, name) == getattr(whole.history, name)


def test_a_run_continues_from_its_checkpoint(data, tmp_path):
    path = tmp_path / "run.pt"
    whole = images.train_images("tiny", data, MOVING, device="cpu", progress=False)
    trainer = trained(data, MOVING, epochs=1)
    trainer.history.accuracy.append(0.125)
    trainer.save(path)
    resumed = images.train_images(
        "tiny", data, MOVING, device="cpu", checkpoint=path, evaluate_every=3, progress=False
    )
    assert resumed.accuracy[0] == 0.125
    assert math.isnan(resumed.accuracy[1])
    assert resumed.accuracy[2] == whole.accuracy[2] > 0.5
    assert resumed.t == whole.t
    assert len(resumed.t) == 4
    with pytest.raises(ValueError, match=r"of another run: seed 0, not 1; rate 0\.1, not 0\.2"):
        images.train_images(
            "tiny", data, replace(MOVING, rate=0.2), seed=1, device="cpu", checkpoint=path
        )


def test_variants_of_one_seed_share_start_batches_and_augmentation(data):
    ways = [RECIPE, MOVING, *(replace(MOVING, rule=rule) for rule in ("window", "share"))]
    ways += [replace(MOVING, reorder="epoch")]
    trainers = [images.Trainer("tiny", data, way, seed=5, device="cpu") for way in ways]
    assert len({paired_runs.first_loss(trainer) for trainer in trainers}) == 1
    batches = [list(trainer.batches(2)) for trainer in trainers]
    for other in batches[1:]:
        for (x, y), (x_other, y_other) in zip(batches[0], other, strict=True):
            assert torch.equal(x, x_other)
            assert torch.equal(y, y_other)
    others = images.Trainer("tiny", data, RECIPE, seed=6, device="cpu")
    assert not torch.equal(next(others.batches(2))[0], batches[0][0][0])
    assert not torch.equal(batches[0][0][0], next(trainers[0].batches(1))[0])


@pytest.mark.parametrize(
    "change",
    [{"precision": "bfloat16"}, {"channels_last": True}, {"compiled": "eager"}],
    ids=str,
)
def test_other_ways_to_compute_agree(change, data):
    recipe = replace(MOVING, place_rate=1.0, epochs=2)
    plain, other = trained(data, recipe), trained(data, replace(recipe, **change))
    tolerance = 5e-2 if "precision" in change else 1e-4
    np.testing.assert_allclose(other.history.loss, plain.history.loss, rtol=tolerance)


def test_an_exchange_compiles_nothing(data):
    from torch._dynamo.utils import counters

    start = counters["stats"]["unique_graphs"]
    trainer = trained(data, replace(RECIPE, compiled="eager"), epochs=1, name="resnet20")
    trainer.accuracy()
    trained_and_evaluated = counters["stats"]["unique_graphs"]
    assert trained_and_evaluated - start > 8  # torch's limit for one function
    for stage in trainer.mean_field.stages:
        stage.position.data = stage.position.data.flip(0)
        assert stage.sort() > 0
    trainer.train_epoch()
    trainer.accuracy()
    assert counters["stats"]["unique_graphs"] == trained_and_evaluated


def test_schedules():
    step = images.Recipe(epochs=160)
    assert [step.factor(e) for e in (0, 79, 80, 119, 120, 159)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    cosine = images.Recipe(epochs=10, schedule="cosine", warmup=2)
    assert cosine.factor(1) == pytest.approx(0.5 * (1 + math.cos(0.1 * math.pi)) / 2)
    assert cosine.factor(5) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        images.Recipe(schedule="cosin")
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        images.Recipe(batch_size=0)


def test_divergence_says_what_to_do(data):
    with pytest.raises(FloatingPointError, match=r"non-finite in epoch \d: use a smaller rate"):
        trained(data, replace(RECIPE, rate=1e30))


def runs_in(tmp_path, data, recipe=MOVING):
    source = tmp_path / "images.npz"
    data.save(source)
    ways = {"plain": replace(recipe, place_rate=0.0), "gap": recipe}
    return [
        images.Run(str(source), "patterns", "tiny", name, seed, way, tmp_path / "runs", "cpu", 3, 1)
        for seed in (0, 1)
        for name, way in ways.items()
    ]


def test_records_are_made_once_and_tabulated(data, tmp_path):
    runs = runs_in(tmp_path, data)
    assert len(list(images.execute_all(runs[:3]))) == 3
    records = list(images.execute_all(runs, jobs=2))
    assert [(one["variant"], one["seed"]) for one in records] == [("gap", 1)]
    assert not list((tmp_path / "runs").glob("*.pt"))
    known = images.read_records(tmp_path / "runs")
    alone = images.train_images("tiny", data, MOVING, seed=1, device="cpu", progress=False)
    record = next(one for one in known if (one["variant"], one["seed"]) == ("gap", 1))
    assert record["history"]["loss"] == alone.loss
    assert record["history"]["t"] == alone.t
    (row,) = paired_runs.summarise(known)
    assert (row.data, row.architecture, row.variant) == ("patterns", "tiny", "gap")
    assert row.gain.pairs == 2
    assert row.gain.mean == pytest.approx(row.accuracy - row.plain)
    moved = [one["history"]["exchanges"] for one in known if one["variant"] == "gap"]
    assert row.exchanges == np.mean(moved)
    with pytest.raises(ValueError, match=r"was made with rate 0\.1; use another folder"):
        list(images.execute_all(runs_in(tmp_path, data, replace(MOVING, rate=0.2))))


def test_gains_have_the_intervals_of_a_paired_test():
    from scipy import stats

    rng = np.random.default_rng(0)
    plain = rng.normal(90, 2, 200)
    variant = plain + rng.normal(0.5, 1, 200)
    gain = paired_runs.paired_gain(variant, plain)
    expected = stats.ttest_rel(variant, plain).confidence_interval(0.95)
    np.testing.assert_allclose(gain.interval, expected)
    np.testing.assert_allclose(gain.bootstrap, gain.interval, atol=0.03)
    assert gain.found == "gain"
    assert paired_runs.paired_gain(plain, variant).found == "loss"
    assert paired_runs.paired_gain(variant[:3], plain[:3]).pairs == 3
    lonely = paired_runs.paired_gain([91.0], [90.0])
    assert (lonely.mean, lonely.found, lonely.interval[1]) == (1.0, "not resolved", math.inf)
    with pytest.raises(ValueError, match=r"plain must have shape \(2,\)"):
        paired_runs.paired_gain([1.0, 2.0], [1.0])
