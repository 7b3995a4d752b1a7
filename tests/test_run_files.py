"""Run files that are damaged, tampered with, hostile, or at odds with themselves are refused."""

import json
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from problems import Cubic, gaussian_measure, sine

import mfpde
from mfpde.runs import run_file, sealed
from mfpde.runs.run_file import Record, RunFile, load, save

DEPTH = mfpde.Depth(2, "euler")
RESULT = ("s", "loss", "energy", "gradient_norm2", "saved_s", "states")


def solved(path, **how):
    problem = sine(5)
    rho0 = gaussian_measure(problem, DEPTH, count=how.pop("count", 3))
    how = {"method": "gd", "step": 0.05, "save": "steps", "checkpoint": path, **how}
    return mfpde.solve(problem, rho0, s_end=0.5, **how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run.h5"
    solved(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A file of several parts, as a killed run leaves it."""
    path = tmp_path_factory.mktemp("running") / "run.h5"
    files = []
    solved(
        path,
        count=300,
        checkpoint_every=0.0,
        callback=lambda run: bool(path.exists() and files.append(path.read_bytes())),
    )
    return max(files, key=lambda content: len(parts_of(content, path)))


def parts_of(content, path):
    path.with_name("looked at").write_bytes(content)
    with path.with_name("looked at").open("rb") as file:
        return list(sealed.parts(file))


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"path: {path}: "):
        mfpde.Solution.load(path)


@pytest.mark.parametrize("kind", ["finished", "running"])
def test_every_flipped_bit_is_found(kind, request, tmp_path):
    whole, rng = request.getfixturevalue(kind), np.random.default_rng(0)
    assert kind == "finished" or len(parts_of(whole, tmp_path / "x")) > 2
    places = [
        *range(600),
        *rng.integers(len(whole), size=300),
        *range(len(whole) - 600, len(whole)),
    ]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        refused(tmp_path / "run.h5", bytes(flipped))


@pytest.mark.parametrize("kind", ["finished", "running"])
def test_every_zeroed_or_repeated_sector_is_found(kind, request, tmp_path):
    whole = request.getfixturevalue(kind)
    for start in range(0, len(whole), 512):
        for sector in (bytes(512), whole[512:1024]):
            changed = whole[:start] + sector + whole[start + 512 :]
            changed = changed[: len(whole)]
            if changed != whole:
                refused(tmp_path / "run.h5", changed)


def test_a_truncated_file_is_refused_or_an_earlier_whole_state(finished, running, tmp_path):
    path = tmp_path / "run.h5"
    for length in range(0, len(finished), 61):
        refused(path, finished[:length])
    path.write_bytes(running)
    last = mfpde.Solution.load(path)
    first = parts_of(running, path)[0].stop
    for length in range(first, len(running), 997):
        path.write_bytes(running[:length])
        found = mfpde.Solution.load(path)
        n = found.s.size
        assert found.control.steps == n - 1 <= last.control.steps
        for name in RESULT:
            np.testing.assert_array_equal(getattr(found, name), getattr(last, name)[: len(found.s)])


def test_any_hdf5_program_reads_a_run(finished, running, tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(finished)
    run = mfpde.Solution.load(path)
    with h5py.File(path, "r") as file:
        assert file.attrs["format"] == "mfpde run"
        np.testing.assert_array_equal(file["rows/series/loss"], run.loss)
        np.testing.assert_array_equal(file["rows/states/values"], run.states)
        assert json.loads(file["config"][()])["config"]["status"] == "END_REACHED"
    path.write_bytes(running)
    with h5py.File(path, "r") as file:  # the first part, whole
        known = len(file["rows/series/loss"])
        np.testing.assert_array_equal(
            file["rows/series/loss"], mfpde.Solution.load(path).loss[:known]
        )


def edited(content, path, change):
    """The record of a run file, changed and sealed again: damage that no checksum finds."""
    path.write_bytes(content)
    record = load(path, "mfpde run")
    change(record)
    save(record, path)


def set_control(**values):
    return lambda record: record.config["control"].update(values)


CONTRADICTIONS = {
    "s is NaN": set_control(s=float("nan")),
    "s is not where the series end": set_control(s=0.25),
    "h is NaN": set_control(h=float("nan")),
    "h is zero": set_control(h=0.0),
    "h is negative": set_control(h=-1.0),
    "h is a word": set_control(h="long"),
    "steps": set_control(steps=3),
    "an unknown control": set_control(extra=1),
    "no control": lambda record: record.config.pop("control"),
    "no series": lambda record: record.rows.pop("series/loss"),
    "series of two lengths": lambda record: record.rows["series/loss"].pop(),
    "series that go back": lambda record: record.rows["series/s"].reverse(),
    "an unknown status": lambda record: record.config.update(status="FINE"),
    "a state of NaN": lambda record: record.rows["states/values"][-1].fill(np.nan),
    "a state of another shape": lambda record: record.rows["states/values"].__setitem__(
        slice(None), [np.zeros((2, 4, 4))] * len(record.rows["states/s"])
    ),
    "a mark of NaN": lambda record: record.rows["marks/plain"].__setitem__(
        0, json.dumps({**json.loads(record.rows["marks/plain"][0]), "h": np.nan}).encode()
    ),
    "a depth of letters": lambda record: record.fixed["measure"].update(depth="x"),
    "an unknown measure": lambda record: record.fixed["measure"].update(kind="x"),
    "data of NaN": lambda record: record.arrays["problem/x"].fill(np.nan),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_files_at_odds_with_themselves_are_refused(name, finished, tmp_path):
    path = tmp_path / "run.h5"
    edited(finished, path, CONTRADICTIONS[name])
    with pytest.raises(ValueError, match=f"path: {path}: "):
        mfpde.resume(path, s_end=1.0)


class Quartic(Cubic):
    """Another function of as many parameters."""

    def value(self, x, theta):
        u, w = theta.T
        return (u * (x * w) ** 4)[:, :, None]


class Renamed(Cubic):
    """The same function under another name."""


def test_another_block_of_as_many_parameters_is_refused(tmp_path):
    x, path = np.linspace(-1, 1, 6)[:, None], tmp_path / "run.h5"
    problem = mfpde.Problem(x, x, block=Cubic())
    rho0 = mfpde.ParticleMeasure.from_law(mfpde.laws.Gaussian([0.5, 1.0]), DEPTH, count=8)
    mfpde.solve(problem, rho0, s_end=0.5, method="rk45", checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"block: the run used Cubic.*another function.*Quartic"):
        mfpde.resume(path, s_end=1.0, block=Quartic())
    assert path.read_bytes() == before
    assert mfpde.resume(path, s_end=1.0, block=Renamed()).success


def hostile(path, fill):
    """An HDF5 image with whatever ``fill`` puts in, sealed as a run file."""
    with h5py.File(path, "w", userblock_size=sealed.HEADER) as file:
        file.attrs.update(format="mfpde run", schema=3)
        file["config"] = np.bytes_(b'{"config": {}}')
        fill(file)
    with path.open("r+b") as file:
        part = sealed.Part(sealed.HEADER, path.stat().st_size - sealed.HEADER)
        os.pwrite(file.fileno(), sealed.header(part.length, sealed.body_digest(file, part)), 0)
    with pytest.raises(ValueError, match=f"path: {path}: ") as caught:
        mfpde.Solution.load(path)
    return str(caught.value)


def test_what_reaches_out_of_the_file_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(4.0).tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(4.0)
    path = tmp_path / "run.h5"

    def external_storage(file):
        file.create_dataset("x", (4,), "f8", external=[(str(secret), 0, 32)])

    def virtual(file):
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4,))
        file.create_virtual_dataset("x", layout)

    assert "inside the file" in hostile(path, external_storage)
    assert "inside the file" in hostile(path, virtual)
    for link in (h5py.ExternalLink(str(tmp_path / "other.h5"), "x"), h5py.SoftLink("/config")):
        assert "is a link" in hostile(path, lambda file, link=link: file.update({"x": link}))
    assert "is a link" in hostile(path, lambda file: file.create_group("a").update({"b": file}))
    strings = h5py.string_dtype()
    assert "inside the file" in hostile(path, lambda f: f.create_dataset("x", (2,), strings))


def test_sizes_are_checked_before_anything_is_allocated(tmp_path):
    path = tmp_path / "run.h5"
    assert "more than this machine" in hostile(
        path, lambda file: file.create_dataset("x", (10**15,), "f8")
    )
    for how in ({}, {"chunks": (1000,)}):  # nothing is stored of either
        text = hostile(path, lambda file, how=how: file.create_dataset("x", (10**6,), "f8", **how))
        assert "claims 8000000 bytes" in text


def test_a_changed_file_is_written_anew_rather_than_appended_to(tmp_path):
    path, record = tmp_path / "run.h5", Record("mfpde run", rows={"series/s": [0.0]})
    record.arrays["padding"] = np.zeros(1000)
    own = RunFile(path)
    own.write(record)
    first = path.stat().st_size
    del record.arrays["padding"]
    record.rows["series/s"] = [0.0, 1.0]
    own.write(record)
    assert first < path.stat().st_size < 2 * first
    for change in (
        lambda: path.unlink(),
        lambda: path.write_bytes(b"mine"),
        lambda: save(replace(record), path),
    ):
        change()
        own.write(record)
        assert load(path, "mfpde run").rows["series/s"] == [0.0, 1.0]
        with path.open("rb") as file:
            assert len(list(sealed.parts(file))) == 1


def test_checkpoints_cost_what_is_new(tmp_path, monkeypatch):
    """With a state kept at every step, all writing together is linear in the number of steps."""
    written, put = [0], run_file._write_at

    def counted(descriptor, data, at):
        written[0] += len(data)
        put(descriptor, data, at)

    monkeypatch.setattr(run_file, "_write_at", counted)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # its price is the disk's
    problem, path = sine(5), tmp_path / "run.h5"
    rho0 = gaussian_measure(problem, mfpde.Depth(8, "euler"), count=64)

    def cost(steps):
        written[0] = 0
        how = {"method": "gd", "step": 0.01, "save": "steps", "checkpoint_every": 0.0}
        run = mfpde.solve(problem, rho0, s_end=0.01 * steps, checkpoint=path, **how)
        return written[0] / np.array(run.states).nbytes

    short, long = cost(50), cost(400)
    # A part of one state holds 1.4 times its bytes, and the file is written anew at doublings.
    assert long < 5.0
    assert short < 5.0
