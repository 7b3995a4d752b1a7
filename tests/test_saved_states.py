"""Saved states in fewer bytes: packed without loss, and some coordinates only."""

import h5py
import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde.runs import packed

LAW = mfpde.laws.Gaussian(1.0, dim=5)


def stored(rows, path):
    with h5py.File(path, "w") as file:
        packed.write(file, "rows", rows)
    with h5py.File(path, "r") as file:
        return (
            packed.read(file["rows"]),
            file["rows"].id.get_storage_size(),
            dict(file["rows"].attrs),
        )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["smooth", "noise", "special"])
def test_packing_loses_no_bit(dtype, kind, tmp_path):
    rng = np.random.default_rng(0)
    start, speed = rng.standard_normal((2, 40, 60))
    rows = start + np.linspace(0, 1, 300)[:, None, None] * speed
    if kind == "noise":
        rows = rng.standard_normal(rows.shape)
    rows = rows.astype(dtype)
    if kind == "special":
        rows.view(f"u{rows.itemsize}").flat[::3] = rng.integers(
            0, 2 ** (8 * rows.itemsize), rows.size // 3, dtype=f"u{rows.itemsize}"
        )
        rows.flat[:4] = np.nan, -np.inf, -0.0, np.finfo(dtype).tiny / 2
    found, size, attributes = stored(rows, tmp_path / "a.h5")
    assert found.dtype == dtype
    assert found.tobytes() == rows.tobytes()
    assert "packed" in attributes
    assert size < {"smooth": 0.6, "noise": 1.01, "special": 1.01}[kind] * rows.nbytes


@pytest.mark.parametrize("rows", [np.ones(5), np.ones((3, 4)), np.ones((1000, 2)), np.arange(9)])
def test_what_is_small_stays_as_it_is(rows, tmp_path):
    found, _, attributes = stored(rows, tmp_path / "a.h5")
    assert not attributes
    np.testing.assert_array_equal(found, rows)


def test_a_packed_run_is_read_without_the_package(tmp_path):
    """As docs/runs.md says how: two sums of whole numbers."""
    problem, path = sine(5), tmp_path / "run.h5"
    rho0 = gaussian_measure(problem, mfpde.Depth(8, "rk4"), count=64)
    run = mfpde.solve(
        problem, rho0, s_end=2.0, method="gd", step=0.02, save="steps", checkpoint=path
    )
    with h5py.File(path, "r") as file:
        bits = file["rows/states/values"][()]
    bits = (bits >> np.uint64(1)) ^ (-(bits & np.uint64(1)).astype(np.int64)).view(np.uint64)
    bits[1:] = np.cumsum(bits[1:], axis=0, dtype=np.uint64)
    states = np.cumsum(bits, axis=0, dtype=np.uint64).view(np.float64)
    np.testing.assert_array_equal(states, run.states)
    assert path.stat().st_size < 0.75 * states.nbytes
    for name in ("states", "saved_s", "loss"):
        np.testing.assert_array_equal(getattr(mfpde.Solution.load(path), name), getattr(run, name))


def test_what_is_not_packed_is_not_unpacked(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value, dtype in (("a", np.ones(3), "<f8"), ("b", np.ones(3, np.uint32), "<f8")):
            file[name] = value
            file[name].attrs["packed"] = dtype
            with pytest.raises(ValueError, match="cannot be packed"):
                packed.read(file[name])


# -- coordinates ----------------------------------------------------------------------------------


def particles():
    return gaussian_measure(sine(8), mfpde.Depth(2, "rk4"), count=6)


def joint():
    return mfpde.JointMeasure.from_law(LAW, count=12, seed=1)


def solved(rho0, **how):
    how = {"method": "rk45", "rtol": 1e-6, "s_end": 1.0, "save": "steps", **how}
    return mfpde.solve(sine(8), rho0, **how)


@pytest.mark.parametrize(
    ("rho0", "how", "beside"),
    [(particles, {}, []), (joint, {}, [-1]), (particles, {"reaction": 0.5}, [-1])],
    ids=["particles", "joint", "reaction"],
)
def test_chosen_coordinates_are_those_of_whole_states(rho0, how, beside, tmp_path):
    path = tmp_path / "run.h5"
    names = ("b", "w0")
    every, some = solved(rho0(), **how), solved(rho0(), coordinates=names, checkpoint=path, **how)
    columns = [sine(8).block.coordinates.index(name) for name in names]
    for run in (some, mfpde.Solution.load(path)):
        np.testing.assert_array_equal(run.loss, every.loss)
        np.testing.assert_array_equal(run.saved_s, every.saved_s)
        np.testing.assert_array_equal(run.states, np.array(every.states)[..., columns + beside])
        np.testing.assert_array_equal(_state(run.initial, how), every.states[0])
        for k in range(0, len(every.saved_s), 3):  # ρ_s itself has all of them
            np.testing.assert_array_equal(_state(run.at(every.saved_s[k]), how), every.states[k])
        labelled = run.to_xarray()
        assert list(labelled.coordinate.values) == list(names)
        np.testing.assert_array_equal(
            labelled.theta.sel(coordinate="b"), np.array(every.states)[..., columns[0]]
        )


def test_averages_of_an_optimiser_keep_the_chosen_coordinates():
    how = {"optimizer": {"kind": "heavy_ball", "memory": 1.0}}
    every, some = (solved(particles(), coordinates=c, **how) for c in (None, ["w1", "b"]))
    np.testing.assert_array_equal(some.states, np.array(every.states)[..., [3, 4]])
    for k in range(0, len(every.s), 2):
        np.testing.assert_array_equal(some.at(every.s[k]).theta, every.at(every.s[k]).theta)
    assert list(some.to_xarray().coordinate.values) == ["w1", "b"]


def _state(rho, how):
    return np.concatenate([rho.theta, rho.weights[..., None]], -1) if how else rho.state


def test_resuming_needs_no_other_coordinates(tmp_path):
    path, how = tmp_path / "run.h5", {"coordinates": "b"}
    straight = solved(particles(), **how)
    solved(particles(), checkpoint=path, callback=lambda run: run.control.steps == 2, **how)
    again = mfpde.resume(path)
    np.testing.assert_array_equal(again.states, straight.states)
    np.testing.assert_array_equal(again.final.theta, straight.final.theta)
    assert np.shape(again.states)[-1] == 1


def test_global_error_needs_no_other_coordinates():
    every, some = (solved(particles(), global_error=True, coordinates=c) for c in (None, ["b"]))
    np.testing.assert_array_equal(some.errors.loss, every.errors.loss)
    np.testing.assert_array_equal(some.errors.state, every.errors.state)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"coordinates": ["c"]}, "coordinates must be one of 'u0', 'u1', 'w0', 'w1', 'b'"),
        ({"coordinates": [0]}, "coordinates must be one of"),
        ({"coordinates": []}, "each coordinate once"),
        ({"coordinates": ["b", "b"]}, "each coordinate once"),
        ({"coordinates": ["b"], "save": None}, "give save as well"),
    ],
)
def test_wrong_coordinates_are_named(how, words):
    with pytest.raises((TypeError, ValueError), match=words):
        solved(particles(), **how)


def test_grids_have_no_coordinates_to_choose():
    x = np.linspace(-1, 1, 5)[:, None]
    problem = mfpde.Problem(x, np.sin(x), block=mfpde.Linear(1))
    rho0 = mfpde.GridMeasure.from_law(
        mfpde.laws.Gaussian(0.5, dim=2), mfpde.Depth(2, "euler"), cells=9
    )
    with pytest.raises(ValueError, match="coordinates must be None on a grid"):
        mfpde.solve(problem, rho0, s_end=1.0, save=2, coordinates=problem.block.coordinates[0])
