"""The command line as a user's: results of every verb, own modules, other data, refusals."""

import sys

import numpy as np
import pytest
from problems import Cubic

import mfpde
from mfpde import blocks, cases, cli, entropic, resnet

CASE = """
[data]
source = "points.csv"
[block]
kind = "shl"
dim = 1
bias = false
[problem]
readout = "first"
[law]
kind = "uniform"
low = [-1.0, -1.0]
high = [1.0, 1.0]
[measure]
count = 4
[depth]
steps = 1
[solve]
s_end = 0.5
[limit]
s_end = 0.1
rtol = 0.1
times = 2
[train]
layers = 2
width = 3
seeds = 2
s_end = 0.2
step = 0.1
[stationary]
tol = 1e-3
"""
PLUGIN = """
import numpy as np
import mfpde


class Cubic(mfpde.Block):
    dim, coordinates = 1, ("u", "w")

    def value(self, x, theta):
        u, w = theta.T
        return (u * (x * w) ** 3)[:, :, None]

    def pull_state(self, x, theta, q):
        u, w = theta.T
        return (q * 3 * u * w * (x * w) ** 2)[:, :, None]

    def pull_parameter(self, x, theta, q):
        u, w = theta.T
        return np.stack([q * (x * w) ** 3, q * 3 * u * x * (x * w) ** 2], axis=-1)

    def spec(self):
        return {"kind": "cubic"}


mfpde.blocks.register("cubic", Cubic)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, x in (("points", np.linspace(-1, 1, 6)), ("test", np.linspace(-0.9, 0.8, 4))):
        rows = "\n".join(f"{a},{np.sin(a)}" for a in x)
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{rows}\n")
    (tmp_path / "case.toml").write_text(CASE)
    return tmp_path


def warm(folder):
    grid = 'kind = "grid"\ncells = [4, 5]\nbox = [[-2.0, 2.0], [-2.0, 2.0]]'
    text = CASE.replace("count = 4", grid).replace("[law]", "temperature = 0.5\n[law]")
    (folder / "case.toml").write_text(text)


KINDS = {
    "solve": ("case.h5", mfpde.Solution, "s,loss,energy,gradient_norm2,step"),
    "limit": ("case.limit.h5", mfpde.Limit, "s,loss,loss_error,relative_loss_error,outputs_error"),
    "train": ("case.train.h5", resnet.Training, "s,loss_seed0,loss_seed1"),
    "stationary": ("case.stationary.h5", entropic.Stationary, "factor,J,residual,forward,adjoint"),
}


@pytest.mark.parametrize("verb", KINDS)
def test_every_verb_leaves_a_result_that_every_reader_takes(verb, folder, capsys):
    if verb == "stationary":
        warm(folder)
    name, kind, columns = KINDS[verb]
    assert cli.main([verb, "case.toml"]) == 0
    assert f"written to {name}" in capsys.readouterr().out
    data = (folder / "points.csv").read_bytes()
    for command in ("info", "plot", "table"):
        assert cli.main([command, name]) == 0
    assert kind.__name__ in capsys.readouterr().out
    stem = name.removesuffix(".h5")
    assert (folder / f"{stem}.png").stat().st_size > 10_000
    lines = (folder / f"{stem}.table.csv").read_text().splitlines()
    assert lines[0] == columns
    found = resnet.load(name) if verb == "train" else kind.load(name)
    rows = np.array([line.split(",") for line in lines[1:]], dtype=float)
    if verb == "stationary":
        np.testing.assert_array_equal(rows, found.history)
    else:
        np.testing.assert_array_equal(rows[:, 0], found.s)
        np.testing.assert_array_equal(rows[:, 1], found.loss[0] if verb == "train" else found.loss)
    assert (folder / "points.csv").read_bytes() == data


def test_results_of_two_verbs_stand_side_by_side(folder):
    assert cli.main(["train", "case.toml"]) == 0
    assert cli.main(["solve", "case.toml"]) == 0
    assert {p.name for p in folder.glob("*.h5")} == {"case.h5", "case.train.h5"}
    assert cli.main(["resume", "case.train.h5", "--s-end", "0.4"]) == 0
    assert resnet.load("case.train.h5").s[-1] == pytest.approx(0.4)
    assert cli.main(["resume", "case.h5", "--s-end", "0.7"]) == 0
    assert mfpde.Solution.load("case.h5").s[-1] == 0.7


def test_a_limit_that_misses_its_goal_says_so(folder, capsys):
    assert cli.main(["limit", "case.toml", "--set", "limit.loss_below=1e-3"]) == 1
    assert "loss_below = 0.001 was missed: the loss is 0." in capsys.readouterr().out
    assert cli.main(["limit", "case.toml", "--set", "limit.rtol=1e-10", "--out", "b.h5",
                     "--set", "limit.max_work=20000"]) == 1  # fmt: skip
    assert "BUDGET_SPENT" in capsys.readouterr().out
    assert not mfpde.Limit.load("b.h5").success


def test_no_result_is_computed_for_a_place_that_takes_none(folder, capsys):
    assert cli.main(["limit", "case.toml", "--out", "nowhere/a.h5"]) == 2
    assert "--out: the folder nowhere does not exist" in capsys.readouterr().err


# -- modules of one's own -------------------------------------------------------------------------


@pytest.fixture
def own(folder):
    """A folder with a module that registers a block, as a user writes it."""
    (folder / "my_blocks.py").write_text(PLUGIN)
    yield folder
    blocks.BLOCKS.pop("cubic", None)
    sys.modules.pop("my_blocks", None)


OWN = CASE.replace('kind = "shl"\ndim = 1\nbias = false', 'kind = "cubic"')


def forget():
    """Be another process."""
    blocks.BLOCKS.pop("cubic", None)
    sys.modules.pop("my_blocks", None)


def test_a_block_of_ones_own_by_a_key_of_the_file(own, monkeypatch, capsys):
    (own / "case.toml").write_text('import = "my_blocks"\n' + OWN)
    elsewhere = own / "sub"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # the module is looked for beside the case file
    assert cli.main(["solve", "../case.toml", "--out", "run.h5"]) == 0
    assert sys.path.count(str(own)) == 0
    forget()
    assert cli.main(["info", "run.h5"]) == 2
    assert "block kind must be one of" in capsys.readouterr().err
    monkeypatch.chdir(own)
    assert cli.main(["info", "sub/run.h5", "--import", "my_blocks"]) == 0
    assert cli.main(["resume", "sub/run.h5", "--import", "my_blocks", "--s-end", "0.6"]) == 0
    run = mfpde.Solution.load("sub/run.h5")
    assert type(run.problem.block).__name__ == "Cubic"
    law = mfpde.laws.Uniform([-1.0, -1.0], [1.0, 1.0])
    rho0 = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(1), count=4)
    x = np.linspace(-1, 1, 6)
    problem = mfpde.Problem(x[:, None], np.sin(x), block=Cubic())
    np.testing.assert_allclose(run.loss[-1], mfpde.solve(problem, rho0, s_end=0.6).loss[-1], 1e-6)


def test_a_block_of_ones_own_by_an_option(own):
    (own / "case.toml").write_text(OWN)
    assert cli.main(["check", "case.toml"]) == 2
    assert cli.main(["check", "case.toml", "--import", "my_blocks"]) == 0


def test_a_function_of_torch(own):
    pytest.importorskip("torch")
    (own / "my_blocks.py").write_text(
        "import torch\ndef f(x, theta):\n    return theta[:1] * torch.tanh(theta[1:] * x)\n"
    )
    torch = 'kind = "torch"\norigin = "my_blocks:f"\ndim = 1\nsize = 2'
    plain = CASE.replace("[solve]", '[solve]\nmethod = "rk45"\nrtol = 1e-6')
    (own / "case.toml").write_text(plain)
    text = plain.replace('kind = "shl"\ndim = 1\nbias = false', torch)
    (own / "torch.toml").write_text('import = ["my_blocks"]\n' + text)
    assert cli.main(["solve", "case.toml"]) == 0
    assert cli.main(["solve", "torch.toml"]) == 0
    loss = [mfpde.Solution.load(name).loss for name in ("case.h5", "torch.h5")]
    np.testing.assert_allclose(*loss, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent_thing", "there is no module 'absent_thing'"),
        ("my_blocks.py", "leave out .py"),
        ("1+1", "must name a module"),
        ("broken", "import broken: ZeroDivisionError: division by zero"),
        ("needy", "import needy: No module named 'not_there_at_all'"),
    ],
)
def test_modules_that_cannot_be_imported_are_named(name, words, own, capsys):
    (own / "broken.py").write_text("1 / 0\n")
    (own / "needy.py").write_text("import not_there_at_all\n")
    assert cli.main(["check", "case.toml", "--import", name]) == 2
    assert words in capsys.readouterr().err
    (own / "case.toml").write_text(f'import = ["{name}"]\n' + CASE)
    assert cli.main(["check", "case.toml"]) == 2
    assert words in capsys.readouterr().err


def test_import_inside_a_section_is_told_where_it_belongs(folder, capsys):
    (folder / "case.toml").write_text(CASE + 'import = "os"\n')
    assert cli.main(["check", "case.toml"]) == 2
    assert "'import' stands above the first section" in capsys.readouterr().err


# -- other data -----------------------------------------------------------------------------------

OBSERVE = '[observe.test]\nsource = "test.csv"\n'


@pytest.mark.parametrize("verb", ["solve", "train", "stationary"])
def test_other_data_are_watched(verb, folder, capsys):
    if verb == "stationary":
        warm(folder)
    with (folder / "case.toml").open("a") as file:
        file.write(OBSERVE)
    assert cli.main([verb, "case.toml"]) == 0
    name, kind, _ = KINDS[verb]
    found = resnet.load(name) if verb == "train" else kind.load(name)
    x = np.linspace(-0.9, 0.8, 4)[:, None]
    problem = cases.read("case.toml").problem
    final = found.final[0] if verb == "train" else found.final
    expected = mfpde.evaluate(problem, final, x, np.sin(x))
    last = [found.observed[f"test_{key}"][..., -1] for key in ("loss", "rmse")]
    if verb == "train":
        last = [values[0] for values in last]
    np.testing.assert_allclose(last, [expected["loss"], expected["rmse"]], rtol=1e-9)
    assert cli.main(["info", name]) == 0
    assert "observed test_loss, test_rmse" in capsys.readouterr().out
    assert cli.main(["table", name, "--out", "t.csv"]) == 0
    assert "test_rmse" in (folder / "t.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.components=1", r"[observe] cannot go with components"),
        ("data.one_hot=true", r"[observe] cannot go with one_hot"),
        ("observe.test.source=none.csv", "[observe.test]: data source: no file at"),
        ("observe.test.count=2", "[observe.test]: unknown key 'count'"),
        ("observe.test=5", "[observe.test] must be a table; given 5"),
        ("observe.loss.source=test.csv", "observe must have names"),
    ],
)
def test_other_data_that_do_not_fit_are_named(change, words, folder, capsys):
    with (folder / "case.toml").open("a") as file:
        file.write(OBSERVE)
    assert cli.main(["solve", "case.toml", "--set", change]) == 2
    assert words in capsys.readouterr().err


# -- what used to pass in silence -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1,2\n3,4\n5,6\n", "the first line of points.csv must name the columns; it holds '1'"),
        ("x,y\n", "holds no rows after its header x, y"),
        ("", "must name the columns"),
        ("x,x\n1,2\n", "names a column twice"),
        ("y\n1\n", "has no column but y to be inputs"),
    ],
)
def test_tables_that_are_none(content, words, folder, capsys):
    (folder / "points.csv").write_text(content)
    assert cli.main(["check", "case.toml"]) == 2
    assert words in capsys.readouterr().err


def test_whole_numbers_of_a_table_are_labels(folder):
    (folder / "points.csv").write_text("x,y\n0.1,0\n0.5,1\n-0.3,1\n0.2,0\n")
    changes = ["problem.loss=cross_entropy", "block.dim=2"]
    assert cases.read("case.toml", changes).problem.outputs == 2
    assert cases.read("case.toml").problem.y.tolist() == [[0.0], [1.0], [1.0], [0.0]]


def test_a_section_that_nothing_reads_is_refused(folder, capsys):
    assert cli.main(["check", "case.toml", "--set", "measure.kind=joint"]) == 2
    assert "[depth] must be left out" in capsys.readouterr().err


def test_errors_of_a_verb_name_file_and_section(folder, capsys):
    assert cli.main(["solve", "case.toml", "--set", "solve.rtol=5"]) == 2
    assert "case.toml: [solve]: rtol must be in" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "nowhere/mine"])
def test_new_needs_a_name_in_a_folder(name, folder, capsys):
    assert cli.main(["new", name]) == 2
    assert "NAME must be" in capsys.readouterr().err


def test_pictures_of_unknown_kinds_name_the_known(folder, capsys):
    assert cli.main(["solve", "case.toml"]) == 0
    assert cli.main(["plot", "case.h5", "--out", "a.xyz"]) == 2
    assert "--out must end in ." in capsys.readouterr().err
