"""What training returns: measures at saved times only, files, pictures, labelled arrays."""

import numpy as np
import pytest
from problems import sine

import mfpde
from mfpde import laws
from mfpde.resnet import Training, observables, train


@pytest.fixture(scope="module")
def run():
    return train(
        sine(8), laws.Gaussian(1.0, dim=5), layers=3, width=4, seeds=[4, 1], step=0.1, s_end=2.0,
        record=4, save=[0.7],
        observe={"moved": observables.displacement, "z": observables.outputs},
    )  # fmt: skip


def test_measures_at_saved_times_give_the_recorded_losses(run):
    for index, rho in enumerate(run.final):
        assert mfpde.loss(sine(8), rho) == pytest.approx(run.loss[index, -1], rel=1e-13)
        start = run.at(0.0, index)
        assert mfpde.loss(sine(8), start) == pytest.approx(run.loss[index, 0], rel=1e-13)
    np.testing.assert_array_equal(run.at(0.7, 1).theta, run.saved[1, 1])
    np.testing.assert_array_equal(run.at(2.0).theta, run.final[0].theta)


@pytest.mark.parametrize("s", [0.6, 0.71, 1.9999, -1.0])
def test_a_time_that_was_not_saved_is_refused(run, s):
    with pytest.raises(ValueError, match=r"saved, 0, 0\.7, 2; given"):
        run.at(s)


def test_an_index_without_a_network_is_refused(run):
    with pytest.raises(ValueError, match=r"index must be in 0\.\.1; given 2"):
        run.at(0.0, 2)


def test_a_file_holds_all_of_it_and_damage_is_found(run, tmp_path):
    path = tmp_path / "networks.h5"
    run.save(path)
    again = Training.load(path)
    assert vars(again).keys() == vars(run).keys()
    for name, value in vars(run).items():
        np.testing.assert_equal(vars(again)[name], value)
    assert repr(again) == repr(run)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"networks\.h5"):
        Training.load(path)
    run.save(path)
    with pytest.raises(ValueError, match="mfpde run"):
        mfpde.Solution.load(path)


def test_the_picture_shows_every_network(run):
    losses, others = run.plot().axes
    assert [len(line.get_ydata()) for line in losses.lines] == [run.s.size] * 2
    np.testing.assert_array_equal(others.lines[1].get_ydata(), run.observed["moved"][1])


def test_labelled_arrays(run):
    pytest.importorskip("xarray")
    found = run.to_xarray()
    assert found.loss.sel(seed=1, s=0.4, method="nearest") == run.loss[1, 1]
    np.testing.assert_array_equal(found.theta.sel(seed=4).isel(saved_s=1), run.saved[0, 1])
    assert found.z.dims[:2] == ("seed", "s")
