"""Run files of trainings: interrupted and resumed equals straight, bit for bit."""

import signal

import numpy as np
import pytest
from problems import Cubic, sine

import mfpde
from mfpde import Status, laws
from mfpde.resnet import (
    SGD,
    Adam,
    GradientDescent,
    Langevin,
    Momentum,
    load,
    observables,
    resume,
    train,
)

OPTIMIZERS = [GradientDescent(), SGD(batch=3), Momentum(), Adam(batch=5), Langevin(0.05)]
WATCHED = {"moved": observables.displacement, "z": observables.outputs}


def run(engine="layers", optimizer="gd", **how):
    how = {"observe": WATCHED, "s_end": 2.0, "record": 2, "save": [0.7], **how}
    return train(
        sine(8), laws.Gaussian(1.0, dim=5), layers=3, width=4, seeds=[4, 1], step=0.1,
        optimizer=optimizer, engine=engine, device="cpu", **how,
    )  # fmt: skip


def pressing(step):
    """Observables that press Ctrl-C once, in step ``step``."""
    pressed = []

    def press(state):
        if not pressed and state.s >= step * 0.1 - 1e-9:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)
        return observables.displacement(state)

    return {**WATCHED, "moved": press}


def assert_same(one, other):
    for name in ("s", "loss", "outputs", "theta", "saved_s", "saved"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, values in other.observed.items():
        np.testing.assert_array_equal(one.observed[name], values)
    assert one.status is other.status
    assert (one.seeds, one.engine) == (other.seeds, other.engine)


@pytest.mark.parametrize("engine", ["layers", "particles", "adjoint", "autograd"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.name)
def test_interrupted_and_resumed_equals_straight_bit_for_bit(optimizer, engine, tmp_path):
    if engine in ("adjoint", "autograd"):
        pytest.importorskip("torch")
    straight, path = run(engine, optimizer), tmp_path / "run.h5"
    broken = run(engine, optimizer, observe=pressing(6), checkpoint=path)
    assert broken.status is Status.INTERRUPTED
    assert "mfpde.resnet.resume" in broken.message
    assert broken.s[-1] == pytest.approx(0.6)
    again = resume(path, observe=pressing(12), device="cpu")
    assert again.status is Status.INTERRUPTED
    assert_same(resume(path, observe=WATCHED, device="cpu"), straight)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_checkpoint_is_as_good_as_the_last(tmp_path, monkeypatch):
    """A copy of the file as it stood after each write resumes to the same run."""
    from mfpde.runs.run_file import RunFile

    straight, path, copies = run(optimizer="adam"), tmp_path / "run.h5", []
    write = RunFile.write

    def keep(*given, **how):
        write(*given, **how)
        copies.append(tmp_path / f"copy{len(copies)}.h5")
        copies[-1].write_bytes(path.read_bytes())

    monkeypatch.setattr(RunFile, "write", keep)
    run(optimizer="adam", checkpoint=path, checkpoint_every=0.0)
    monkeypatch.undo()
    assert len(copies) == 21
    for copy in copies[::4]:
        assert_same(resume(copy, observe=WATCHED), straight)


def test_an_interruption_between_records_is_seen_but_not_kept(tmp_path, monkeypatch):
    """What comes back includes the present state, the file only what the straight run records."""
    from mfpde.resnet import randomness

    problem, law, path = sine(8), laws.Gaussian(1.0, dim=5), tmp_path / "run.h5"
    how = {"layers": 3, "width": 4, "seeds": 2, "s_end": 5.0, "step": 0.1, "record": 20}
    straight = train(problem, law, optimizer=SGD(batch=2), **how)
    drawn = randomness.minibatch

    def press(seed, step, size, data):
        if (seed, step) == (0, 33):
            signal.raise_signal(signal.SIGINT)
        return drawn(seed, step, size, data)

    monkeypatch.setattr(randomness, "minibatch", press)
    broken = train(problem, law, optimizer=SGD(batch=2), checkpoint=path, **how)
    monkeypatch.undo()
    np.testing.assert_allclose(broken.s, [0.0, 2.0, 3.4])
    loss = mfpde.loss(problem, broken.final[0])
    np.testing.assert_allclose(broken.loss[0, -1], loss, rtol=1e-12)
    assert_same(resume(path), straight)


def test_resume_goes_on_to_a_later_end(tmp_path):
    path = tmp_path / "run.h5"
    run(checkpoint=path)
    longer = resume(path, s_end=3.0, observe=WATCHED)
    straight = run(s_end=3.0)
    np.testing.assert_allclose(longer.theta, straight.theta, rtol=1e-12)
    assert longer.s[-1] == 3.0
    for s_end in (3.05, 2.0):
        with pytest.raises(ValueError, match=r"whole number of steps of 0\.1, and at least 3"):
            resume(path, s_end=s_end, observe=WATCHED)


def test_what_cannot_be_resumed_is_named(tmp_path):
    path = tmp_path / "run.h5"
    run(checkpoint=path)
    with pytest.raises(
        ValueError, match=r"observe must name what the run observes, \['moved', 'z'\]"
    ):
        resume(path)
    with pytest.raises(FileNotFoundError, match="no run file"):
        resume(tmp_path / "absent.h5")
    torn = tmp_path / "torn.h5"
    torn.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="whole run file"):
        resume(torn)
    mfpde.solve(sine(8), run().final[0], s_end=0.2, step=0.1, method="gd", checkpoint=torn)
    with pytest.raises(ValueError, match="not a run file of mfpde training but of mfpde run"):
        resume(torn)


def test_user_blocks_are_handed_over(tmp_path):
    x = np.linspace(-1, 1, 6)[:, None]
    problem, path = mfpde.Problem(x, x, block=Cubic()), tmp_path / "run.h5"
    how = {"layers": 2, "width": 3, "seeds": 1, "s_end": 0.4, "step": 0.1}
    done = train(problem, laws.Gaussian(0.5, dim=2), checkpoint=path, **how)
    with pytest.raises(ValueError, match="block: the run used a block of the user's own"):
        resume(path)
    assert_same(resume(path, block=Cubic()), done)


def test_networks_are_read_from_any_of_their_files(tmp_path):
    path, other = tmp_path / "run.h5", tmp_path / "saved.h5"
    straight = run(checkpoint=path)
    straight.save(other)
    before = path.read_bytes()
    for file in (path, other):
        found = load(file)
        assert_same(found, straight)
        assert found.at(0.7, 1).theta.shape == (3, 4, 5)
    assert path.read_bytes() == before  # reading is no run
    broken = run(observe=pressing(6), checkpoint=path)
    assert_same(load(path), broken)
    solved = tmp_path / "solved.h5"
    problem = sine(8)
    rho0 = mfpde.ParticleMeasure.from_law(laws.Gaussian(1.0, dim=5), mfpde.Depth(2), count=4)
    mfpde.solve(problem, rho0, s_end=0.1, checkpoint=solved)
    with pytest.raises(ValueError, match="not a run file of mfpde training but of mfpde run"):
        load(solved)


def test_a_file_between_two_records_is_resumed_rather_than_read(tmp_path, monkeypatch):
    from mfpde.resnet.run import Run

    path, move = tmp_path / "run.h5", Run._move

    def moving(self, passed):
        move(self, passed)
        if self.state.n == 5:  # records are even
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Run, "_move", moving)
    for observe, words in ((WATCHED, "stands between two records"), (None, None)):
        broken = run(observe=observe, checkpoint=path)
        assert broken.status is Status.INTERRUPTED
        if words is None:
            assert_same(load(path), broken)
        else:
            with pytest.raises(ValueError, match=words):
                load(path)
