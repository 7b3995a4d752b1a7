"""Files in, files out: data loaders, case files and the command line."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import mfpde
from mfpde import cases, cli, data

CASE = """
[data]
source = "points.csv"
[block]
kind = "shl"
dim = 2
[depth]
steps = 2
method = "rk4"
[law]
kind = "gaussian"
std = 1.0
dim = 5
[measure]
count = 16
[solve]
s_end = 2.0
"""


@pytest.fixture
def folder(tmp_path):
    x = np.linspace(-1, 1, 8)
    rows = "\n".join(f"{a},{np.sin(a)}" for a in x)
    (tmp_path / "points.csv").write_text(f"x,y\n{rows}\n")
    (tmp_path / "case.toml").write_text(CASE)
    return tmp_path


def edit(folder: Path, old: str, new: str) -> Path:
    path = folder / "case.toml"
    path.write_text(CASE.replace(old, new))
    return path


def test_bundled_digits_and_their_components():
    pytest.importorskip("sklearn")
    x, y = data.load("digits")
    assert x.shape == (1797, 64)
    scores = data.principal_components(x, 14)
    gram = scores.T @ scores
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    assert np.mean(np.square(scores).sum(axis=1)) == pytest.approx(1.0)
    np.testing.assert_array_equal(data.one_hot(y).argmax(axis=1), y)
    small, labels = data.subset(x, y, 10, seed=1)
    assert (small.shape, labels.shape) == ((10, 64), (10,))


def test_npz_of_either_layout(tmp_path):
    images, labels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4), np.arange(3)
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    np.savez(tmp_path / "b.npz", x_train=images, y_train=labels, x_test=images[:1])
    for name in ("a.npz", "b.npz"):
        x, y = data.load(tmp_path / name)
        assert x.shape == (3, 16)
        np.testing.assert_array_equal(y, labels)


def test_csv_columns_by_name(folder):
    x, y = data.load(folder / "points.csv")
    assert (x.shape, y.shape) == ((8, 1), (8,))
    swapped, _ = data.load(folder / "points.csv", inputs=["y"], targets=["x"])
    np.testing.assert_array_equal(swapped[:, 0], y)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.npz", None, "no file at"),
        ("a.txt", b"1", "must be a .npz or .csv file"),
        ("a.npz", b"not an archive", "is not a readable .npz"),
        ("a.csv", b"a,b\n1,2\n3,oops\n", "has an entry that is not a number"),
        ("a.csv", b"a,b\n1,2\n3,nan\n", "y of a.csv must be finite; 1 of its 2"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data.load(tmp_path / name)


def test_wrong_arrays_and_columns_are_named(tmp_path, folder):
    np.savez(tmp_path / "a.npz", images=np.ones(3))
    with pytest.raises(ValueError, match="must hold x and y, or x_train and y_train; found images"):
        data.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=np.ones((3, 2)), y=np.ones(4))
    with pytest.raises(ValueError, match="holds 3 inputs but 4 targets"):
        data.load(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"is not a readable \.npz"):
        data.load(tmp_path / "c.npz")
    with pytest.raises(ValueError, match=r"no column 'z'; it has x, y"):
        data.load(folder / "points.csv", targets=["z"])
    (tmp_path / "d.csv").write_bytes(gzip.compress(b"x,y\n1,2\n"))
    with pytest.raises(ValueError, match=r"d\.csv"):
        data.load(tmp_path / "d.csv")


def test_solve_resume_info_plot(folder, capsys):
    run = folder / "case.h5"
    assert cli.main(["solve", str(folder / "case.toml")]) == 0
    assert "s_end was reached" in capsys.readouterr().out
    assert cli.main(["resume", str(run), "--s-end", "3"]) == 0
    assert mfpde.Solution.load(run).s[-1] == 3.0
    assert cli.main(["info", str(run)]) == 0
    assert "gradients" in capsys.readouterr().out
    assert cli.main(["plot", str(run)]) == 0
    assert run.with_suffix(".png").stat().st_size > 10_000
    assert cli.main(["env"]) == 0
    assert "numba" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("s_end", "s_ned", r"case.toml: \[solve\]: unknown key 's_ned'.*did you mean 's_end'"),
        ("[solve]", "[sovle]", r"unknown section \[sovle\].*did you mean 'solve'"),
        ("s_end = 2.0", "", r"\[solve\] needs the key 's_end'"),
        ("dim = 5", "dim = 4", "4 coordinates; the block has 5"),
        ('kind = "gaussian"', 'kind = "gauss"', "did you mean 'gaussian'"),
        ("std = 1.0", "low = 1.0", r"\[law\]: unknown key 'low'"),
        ("steps = 2", "steps = 0", "Depth steps must be a whole number"),
        ("count = 16", "count = ", "is not valid TOML"),
        ("points.csv", "other.csv", "no file at"),
    ],
)
def test_case_errors_name_the_key(folder, old, new, message, capsys):
    path = edit(folder, old, new)
    with pytest.raises((ValueError, OSError), match=message):
        cases.read(path).rho0  # noqa: B018  made when asked for
    assert cli.main(["solve", str(path)]) == 2
    assert capsys.readouterr().err.startswith("mfpde: ")


def test_a_failed_run_exits_with_one(folder, capsys):
    path = edit(folder, "s_end = 2.0", 's_end = 900.0\nmethod = "gd"\nstep = 50.0')
    assert cli.main(["solve", str(path)]) == 1
    assert "method='implicit'" in capsys.readouterr().out


def test_the_documented_case_is_valid():
    pytest.importorskip("sklearn")
    case = cases.read(Path(__file__).parents[1] / "docs" / "cases" / "digits.toml")
    assert case.problem.size == 64
    assert case.rho0.dim == 33
