"""Case files reach every measure and verb; their reference page is made from the code."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import mfpde
from mfpde import cases, cli
from mfpde.cases import parts, reference

BASE = """
[data]
source = "points.csv"
[block]
kind = "shl"
dim = 1
activation = "tanh"
bias = false
[law]
kind = "uniform"
low = [-1.0, -1.0]
high = [1.0, 1.0]
"""
SHARED = "[measure]\nkind = "
MEASURES = {
    "particles": "count = 4\n[depth]\nsteps = 1\n",
    "grid": "cells = [4, 5]\nbox = [[-2.0, 2.0], [-2.0, 2.0]]\n[depth]\nsteps = 1\n",
    "moving_grid": 'cells = 4\nspacing = "sinh"\n[depth]\nsteps = 1\n',
    "joint": "count = 6\nbeta = 2.0\n",
    "ordered": "count = 6\n",
    "joint_grid": "cells = 4\ndepth_cells = 3\n",
}


@pytest.fixture
def write(tmp_path):
    x = np.linspace(-1, 1, 6)
    rows = "\n".join(f"{a},{np.sin(a)}" for a in x)
    (tmp_path / "points.csv").write_text(f"x,y\n{rows}\n")

    def written(text: str) -> str:
        path = tmp_path / "case.toml"
        path.write_text(BASE + text)
        return str(path)

    return written


PROBLEM = '[problem]\nreadout = "first"\n'
PARTICLES = f'{PROBLEM}{SHARED}"particles"\n{MEASURES["particles"]}[solve]\ns_end = 0.1\n'


@pytest.mark.parametrize("kind", parts.MEASURES)
def test_every_measure_is_solved_from_a_file(kind, write, capsys):
    path = write(PROBLEM + f'{SHARED}"{kind}"\n{MEASURES[kind]}[solve]\ns_end = 0.1\n')
    assert cli.main(["check", path]) == 0
    assert "work: " in capsys.readouterr().out
    assert cli.main(["solve", path]) == 0
    loaded = mfpde.Solution.load(Path(path).with_suffix(".h5"))
    assert loaded.final.kind == kind
    assert loaded.s[-1] == 0.1


def test_temperature_reaction_and_vanishing_decay(write):
    grid = f'{SHARED}"grid"\n{MEASURES["grid"]}'
    warm = write(f"{PROBLEM}temperature = 0.1\n{grid}[solve]\ns_end = 0.1\nvanishing_decay = 1.0\n")
    assert cli.main(["solve", warm]) == 0
    assert cases.read(warm).problem.temperature == 0.1
    assert cases.read(warm).arguments("solve") == {"s_end": 0.1, "vanishing_decay": 1.0}


def test_the_other_verbs(write, capsys):
    grid = f'{SHARED}"grid"\n{MEASURES["grid"]}'
    cold = write(f"{PROBLEM}temperature = 0.5\n{grid}[stationary]\ntol = 1e-3\n")
    assert cli.main(["stationary", cold]) == 0
    text = "[limit]\ns_end = 0.1\nrtol = 0.1\ntimes = 2\n"
    assert cli.main(["limit", write(PROBLEM + text)]) == 0
    text = "[train]\nlayers = 2\nwidth = 3\nseeds = 1\ns_end = 0.2\nstep = 0.1\n"
    assert cli.main(["train", write(PROBLEM + text)]) == 0
    assert "Training" in capsys.readouterr().out


def test_a_missed_goal_exits_with_one(write, capsys):
    path = write(
        PROBLEM + SHARED + '"particles"\n' + MEASURES["particles"] + "[solve]\ns_end=0.1\n"
    )
    assert cli.main(["solve", path, "--set", "solve.loss_below=1e-12"]) == 1
    assert "loss_below = 1e-12 was missed" in capsys.readouterr().out


def test_overrides(write, capsys):
    path = write(
        PROBLEM + SHARED + '"particles"\n' + MEASURES["particles"] + "[solve]\ns_end=0.1\n"
    )
    case = cases.read(path, ["solve.s_end=50", "block.activation=relu", "measure.count=8"])
    assert case.arguments("solve") == {"s_end": 50}
    assert (case.problem.block.activation.name, case.rho0.count) == ("relu", 8)
    for change, words in (
        ("s_end", r"--set takes section\.key=value; given 's_end'"),
        ("data.source.x=1", "there is no table"),
        ("solve.rtol=true", "rtol must be a number; given True"),
        ("block.bias='false'", "bias must be True or False; given 'false'"),
        ("measure.cells=4", r"case\.toml: \[measure\]: unknown key 'cells'"),
        ("depth.steps=0", r"case\.toml: \[depth\]: Depth steps"),
    ):
        assert cli.main(["solve", path, "--set", change]) == 2
        assert re.search(words, capsys.readouterr().err)


def test_the_reference_page_is_up_to_date():
    page = Path(__file__).parents[1] / "docs" / "cases" / "README.md"
    assert page.read_text() == reference.page()  # python -m mfpde.cases.reference


def test_a_new_case_file_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "mine"]) == 0
    assert cli.main(["new", "mine.toml"]) == 2  # the same name, and it exists
    assert cli.main(["solve", "mine.toml", "--set", "solve.s_end=0.1"]) == 0
    lines = (tmp_path / "mine.toml").read_text().splitlines()
    assert any(line.startswith("# activation") for line in lines)
    shown = [line[2:] for line in lines if re.match(r"# \w+ = +[^# ]", line)]
    assert len(shown) > 15
    assert all(tomllib.loads(line) for line in shown)  # a default may be uncommented as it stands


MIXED = """
[[law]]
kind = "mixture"
weights = [0.25, 0.75]
[[law.parts]]
kind = "correlated"
covariance = [[1.0, 0.5], [0.5, 1.0]]
[[law.parts]]
kind = "product"
parts = [{kind = "dirac", value = [2.0]}, {kind = "uniform", low = [-1.0], high = [1.0]}]
[[law]]
kind = "empirical"
points = "points.csv"
"""


def test_laws_of_parts(write):
    """The same law in Python: equal points, masses, moments."""
    path = write("")
    text = Path(path).read_text()
    Path(path).write_text(text[: text.index("[law]")] + MIXED)
    law, folder = cases.read(path).law, Path(path).parent
    rows = np.loadtxt(folder / "points.csv", delimiter=",", skiprows=1)
    laws = mfpde.laws
    mixture = laws.Mixture(
        [
            laws.Correlated([[1.0, 0.5], [0.5, 1.0]]),
            laws.Product(laws.Dirac([2.0]), laws.Uniform([-1.0], [1.0])),
        ],
        [0.25, 0.75],
    )
    same = laws.Product(mixture, laws.Empirical(rows))
    v = np.random.default_rng(0).random((50, 4))
    np.testing.assert_array_equal(law.quantiles(v), same.quantiles(v))
    np.save(folder / "points.npy", rows)
    again = cases.read(path, ["law.1.points=points.npy"]).law
    np.testing.assert_array_equal(again.quantiles(v), same.quantiles(v))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("law.0.parts.1.kind=normal", r"\[\[law\]\] 1\.parts 2: kind must be one of 'gaussian'"),
        ("law.0.parts.0.covariance=[[1.0]]", r"\[\[law\]\] 1: parts must be one or more laws on"),
        ("law.0.parts=5", r"\[\[law\]\] 1: parts must be a list; given 5"),
        ("law.0.weights=[1.0, 2.0]", r"\[\[law\]\] 1: weights must be >= 0 and sum to 1"),
        ("law.1.points=none.npy", r"\[\[law\]\] 2: points: no file at"),
        ("law.1.points=case.toml", r"\[\[law\]\] 2: points must be a \.npy or \.csv file"),
        ("law.1.kind=mixture", r"\[\[law\]\] 2: unknown key 'points'; it may hold parts, weights"),
    ],
)
def test_wrong_parts_of_laws_are_named(change, words, write, capsys):
    path = write("")
    text = Path(path).read_text()
    Path(path).write_text(text[: text.index("[law]")] + MIXED)
    assert cli.main(["check", path, "--set", change]) == 2
    assert re.search(words, capsys.readouterr().err)
