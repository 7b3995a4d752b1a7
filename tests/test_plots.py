"""Pictures of a run: what the axes show, and the style it is saved in."""

import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
from matplotlib import pyplot as plt
from problems import gaussian_measure, sine

import mfpde
from mfpde import plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("first", [1e-12, 1e-3])
def test_a_stiff_run_shows_no_negative_time(first):
    s = np.concatenate([[0.0], np.geomspace(first, 1e4, 50)])
    _, axes = plt.subplots()
    plots.curve(axes, s, np.exp(-s / 1e3))
    assert axes.get_xlim() == (0.0, 1e4)
    assert axes.get_xscale() == "symlog"
    ends = axes.transData.transform([[0.0, 1.0], [1e4, 1.0]])[:, 0]
    box = axes.get_window_extent()
    np.testing.assert_allclose(ends, [box.x0, box.x1])
    linear = axes.transData.transform([[axes.xaxis.get_transform().linthresh, 1.0]])[0, 0]
    assert (linear - box.x0) < 0.25 * box.width  # the decades get the room


def test_a_short_run_is_linear_in_s():
    s = np.linspace(0.0, 5.0, 11)
    _, axes = plt.subplots()
    plots.curve(axes, s, np.exp(-s))
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert axes.get_xlim() == (0.0, 5.0)


@pytest.mark.parametrize(("last", "plain"), [(0.5, True), (0.01, False)])
def test_less_than_a_decade_has_a_few_plain_numbers(last, plain):
    _, axes = plt.subplots()
    plots.curve(axes, np.linspace(0.0, 1.0, 9), np.geomspace(1.0, last, 9))
    axes.figure.canvas.draw()
    labels = [text.get_text() for text in axes.get_yticklabels(which="both") if text.get_text()]
    assert len(labels) >= 2
    assert ("times" in "".join(labels) or "10^" in "".join(labels)) != plain


LAW = mfpde.laws.Gaussian(1.0, dim=5)


@pytest.mark.parametrize(
    "verb",
    [
        lambda problem: mfpde.solve(
            problem, gaussian_measure(problem, mfpde.Depth(1), count=4), s_end=1.0, progress=False
        ),
        lambda problem: mfpde.limit(problem, LAW, s_end=0.3, rtol=0.1, progress=False),
        lambda problem: mfpde.finite_size(problem, LAW, s_end=0.3, particles=32, progress=False),
    ],
    ids=["solve", "limit", "finite_size"],
)
def test_the_style_is_kept_when_the_caller_saves(verb, tmp_path):
    figure = verb(sine(4)).plot()
    figure.savefig(tmp_path / "own.png")
    with plots.style():
        figure.savefig(tmp_path / "styled.png")
    pictures = [matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("own", "styled")]
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].shape[1] > 1900  # 6.8 in at the style's 300 dpi, not pyplot's 100


def test_only_the_style_makes_figures():
    package = Path(mfpde.__file__).parent
    made = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\b(subplots|plt\.figure|Figure)\(", path.read_text(encoding="utf-8"))
    }
    assert made == {"plots/style.py", "plots/animation.py"}  # the second saves what it draws


SIDE = mfpde.measures.Axis.uniform(-6.0, 6.0, 24)
THREE_D = mfpde.laws.Gaussian([0.5, 1.0, 1.5], dim=3)


@pytest.fixture(scope="module")
def run():
    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(x, x + 0.3 * np.sin(2 * x), block=mfpde.SHL(1))
    rho = mfpde.ParticleMeasure.from_law(THREE_D, mfpde.Depth(4, "rk4"), count=16)
    return mfpde.solve(problem, rho, s_end=2.0, save=[0.5, 1.0], method="rk45", rtol=1e-6)


def test_particles_are_where_the_run_saved_them(run):
    paths, start, end = plots.particles(run, (2, 0), t=1.0)
    theta = np.stack([run.at(s).theta[-1][:, [2, 0]] for s in (0.0, 0.5, 1.0, 2.0)], axis=1)
    np.testing.assert_allclose(paths.get_segments(), theta)
    np.testing.assert_allclose(start.get_offsets(), theta[:, 0])
    np.testing.assert_allclose(end.get_offsets(), theta[:, -1])
    assert (end.axes.get_xlabel(), end.axes.get_ylabel()) == ("b", "u0")
    assert len(plots.particles(run, most=5)[0].get_segments()) == 5


def test_particles_refuses_what_it_cannot_draw(run):
    with pytest.raises(ValueError, match="two different ones"):
        plots.particles(run, (0, 3))
    with pytest.raises(ValueError, match="t must be in"):
        plots.particles(run, t=1.5)
    grid = mfpde.GridMeasure.from_law(THREE_D, mfpde.Depth(2), axes=[SIDE] * 3)
    with pytest.raises(TypeError, match=r"plots\.density"):
        plots.particles(SimpleNamespace(final=grid, problem=run.problem))


def measures():
    depth, rng = mfpde.Depth(4, "euler"), np.random.default_rng(0)
    atoms = rng.normal(size=(4000, 3)) * [0.5, 1.0, 1.5]
    yield mfpde.ParticleMeasure(np.broadcast_to(atoms, (4, *atoms.shape)), depth)
    yield mfpde.GridMeasure.from_law(THREE_D, depth, axes=[SIDE] * 3)
    yield mfpde.MovingGrid.from_law(THREE_D, depth, axes=[SIDE] * 3)
    yield mfpde.JointMeasure(atoms, np.linspace(0, 1, len(atoms)))
    yield mfpde.OrderedBlocks(atoms, np.linspace(0, 1, len(atoms)))
    yield mfpde.JointGrid.from_law(THREE_D, depth_cells=4, axes=[SIDE] * 3)


@pytest.mark.parametrize("rho", list(measures()), ids=lambda rho: rho.kind)
@pytest.mark.parametrize("t", [0.5, None])
def test_density_has_mass_one_and_the_moments_of_the_law(rho, t):
    mesh = plots.density(rho, (2, 0), t=t, bins=60)
    x, y = (mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1])
    mass = np.asarray(mesh.get_array()) * np.outer(np.diff(y), np.diff(x))
    assert mass.sum() == pytest.approx(1.0)
    for edges, along, std in ((x, 0, 1.5), (y, 1, 0.5)):
        centres = 0.5 * (edges[1:] + edges[:-1])
        assert np.sqrt(mass.sum(axis=along) @ centres**2) == pytest.approx(std, rel=0.06)


def test_density_refuses_a_depth_without_mass_and_what_is_no_measure():
    masses = np.zeros((4, 3, 3))
    masses[0] = 1 / 9
    side = mfpde.measures.Axis.uniform(-1.0, 1.0, 3)
    with pytest.raises(ValueError, match="depth with mass"):
        plots.density(mfpde.JointGrid(masses, [side, side]), t=0.9)
    with pytest.raises(TypeError, match="rho must be"):
        plots.density(masses)


def test_the_energy_identity_is_one_curve(run):
    fine = mfpde.solve(run.problem, run.initial, s_end=0.5, method="rk4", step=0.01)
    marks, line = plots.energy_identity(fine)
    np.testing.assert_array_equal(line.get_ydata(), fine.gradient_norm2)
    np.testing.assert_allclose(
        marks.get_ydata(), np.interp(*[marks.get_xdata()], *line.get_data()), rtol=1e-3
    )


def test_spectrum_draws_the_largest_eigenvalues(run):
    evolution = mfpde.theory.kernel_evolution(run.problem, run, [0.0, 1.0, 2.0])
    lines = plots.spectrum(evolution, largest=3)
    np.testing.assert_array_equal([line.get_ydata() for line in lines], evolution.eigenvalues.T[:3])


def test_networks_fill_the_band_that_holds_the_share():
    s, losses = np.linspace(0, 1, 3), np.arange(1.0, 102.0)[:, None] * [1.0, 2.0, 3.0]
    _, axes = plt.subplots()
    band, median = plots.networks(s, losses, probability=0.8, ax=axes)
    np.testing.assert_allclose(median.get_ydata(), [51.0, 102.0, 153.0])
    box = band.get_paths()[0].vertices
    at_end = box[box[:, 0] == 1.0, 1]
    np.testing.assert_allclose([at_end.min(), at_end.max()], [33.0, 273.0])
    assert median.axes is axes
    with pytest.raises(ValueError, match="probability"):
        plots.networks(s, losses, probability=1.0)


def test_trajectories_draws_a_line_for_each_datum(run):
    found = mfpde.trajectories(run.problem, run.final)
    lines = plots.trajectories(found, values=run.problem.y[:, 0])
    drawn = np.stack([line.get_ydata() for line in lines], axis=1)
    np.testing.assert_array_equal(drawn, found.hidden[:, :, 0])
    assert lines[0].get_color() != lines[-1].get_color()
    with pytest.raises(ValueError, match="coordinate must be in"):
        plots.trajectories(found, coordinate=1)


def test_outputs_stand_over_their_targets():
    targets, found = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[0.1, 1.1], [1.9, 2.8]])
    points, diagonal = plots.outputs(targets, found, error=0.2 * np.ones((2, 2)))
    marks = points.lines[0]
    np.testing.assert_array_equal(marks.get_data(), [targets.ravel(), found.ravel()])
    np.testing.assert_array_equal(*diagonal.get_data())
    segments = np.array(points.lines[2][0].get_segments())
    np.testing.assert_allclose(np.diff(segments[:, :, 1]), 0.4)
    with pytest.raises(ValueError, match="found"):
        plots.outputs(targets, found[:1])


@pytest.mark.parametrize("rho", list(measures()), ids=lambda rho: rho.kind)
@pytest.mark.parametrize("coordinate", [0, 2])
def test_marginals_have_mass_one_at_every_depth_and_the_law_s_deviation(rho, coordinate):
    mesh = plots.marginals(rho, coordinate, bins=60)
    depths, edges = mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1]
    density = np.asarray(mesh.get_array()).T
    assert (depths[0], depths[-1]) == (0.0, pytest.approx(1.0))
    np.testing.assert_allclose(density @ np.diff(edges), 1.0)
    centres = 0.5 * (edges[1:] + edges[:-1])
    spread = np.sqrt((density * np.diff(edges)) @ centres**2)
    np.testing.assert_allclose(spread, THREE_D.std[coordinate], rtol=0.12)


def test_marginals_follow_the_weights_of_depth_and_leave_empty_depths_blank():
    theta = np.zeros((9, 2, 1)) + np.linspace(0, 1, 9)[:, None, None]
    mesh = plots.marginals(mfpde.ParticleMeasure(theta, mfpde.Depth(4, "rk4")), bins=9)
    np.testing.assert_allclose(np.diff(mesh.get_coordinates()[0, :, 0])[:2], [1 / 24, 4 / 24])
    where = np.asarray(mesh.get_array()).argmax(axis=0)
    np.testing.assert_array_equal(where, np.arange(9))
    placed = mfpde.JointMeasure(np.zeros((2, 3)), [0.1, 0.9])
    shown = np.isfinite(np.asarray(plots.marginals(placed).get_array().filled(np.nan))).all(axis=0)
    assert shown.tolist() == [True] + 6 * [False] + [True]
    with pytest.raises(ValueError, match=r"coordinate must be in 0\.\.2"):
        plots.marginals(placed, 3)


def test_ridges_stand_on_their_depths_and_are_as_high_as_the_density():
    rho = next(measures())
    ridges = plots.ridges(rho, 1, overlap=2.0)
    mesh = plots.marginals(rho, 1)
    density = np.asarray(mesh.get_array()).T
    rise = np.array([np.ptp(r.get_paths()[0].vertices[:, 1]) for r in ridges])
    low = [r.get_paths()[0].vertices[:, 1].min() for r in ridges]
    np.testing.assert_allclose(low, [0.875, 0.625, 0.375, 0.125])
    highest = density.max(axis=1)[::-1]
    np.testing.assert_allclose(rise, 2.0 * 0.25 * highest / highest.max())


def test_a_plan_shows_who_goes_where():
    theta = np.array([[[0.0, 0.0], [4.0, 0.0]], [[1.0, 0.0], [0.0, 5.0]]])
    mu = mfpde.ParticleMeasure(theta, mfpde.Depth(2, "euler"))
    nu = mfpde.ParticleMeasure(theta[:, ::-1] + [0.0, 0.5], mfpde.Depth(2, "euler"))
    found = mfpde.conditional_transport(mu, nu)
    lines, first, second = plots.transport_plan(found, (1, 0), t=0.8)
    moved = sorted(np.asarray(lines.get_segments()).tolist())
    assert moved == [[[0.0, 1.0], [0.5, 1.0]], [[5.0, 0.0], [5.5, 0.0]]]
    np.testing.assert_array_equal(first.get_offsets(), theta[1][:, ::-1])
    np.testing.assert_array_equal(second.get_offsets(), theta[1, ::-1, ::-1] + [0.5, 0.0])
    line = mfpde.ParticleMeasure(theta[:, :, :1], mfpde.Depth(2, "euler"))
    across = plots.transport_plan(mfpde.conditional_transport(line, line), t=0.0)[0]
    assert sorted(np.asarray(across.get_segments()).tolist()) == [
        [[0.0, 0.0], [0.0, 1.0]],
        [[4.0, 0.0], [4.0, 1.0]],
    ]
    with pytest.raises(ValueError, match="must hold plans"):
        plots.transport_plan(mfpde.conditional_transport(mu, nu, method="sliced"))


def test_the_budget_adds_up_to_the_error_of_the_outputs():
    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(x, 0.5 * x, block=mfpde.SHL(1))
    found = mfpde.limit(problem, THREE_D, s_end=1.0, rtol=3e-2, progress=False)
    bands = plots.error_budget(found)
    assert [band.get_label() for band in bands] == ["width", "depth", "time"]
    top = bands[-1].get_paths()[0].vertices
    scale = np.sqrt(np.mean(np.square(problem.y)))
    assert top[:, 1].max() == pytest.approx(found.outputs_error.max() / scale)


@pytest.mark.parametrize("width", ["column", 5.0])
def test_figures_are_as_wide_as_the_journal_asks(width):
    with plots.style(width=width) as pyplot:
        assert pyplot.figure().get_figwidth() == {"column": 3.4}.get(width, width)
    with pytest.raises(ValueError, match="width must be"), plots.style(width="poster"):
        pass


@pytest.mark.parametrize("kind", ["particles", "grid"])
def test_a_run_moves(run, tmp_path, kind):
    from PIL import Image

    found = run
    if kind == "grid":
        small = mfpde.measures.Axis.uniform(-7.0, 7.0, 8)
        grid = mfpde.GridMeasure.from_law(THREE_D, mfpde.Depth(2, "euler"), axes=[small] * 3)
        found = mfpde.solve(run.problem, grid, s_end=0.2, progress=False)
    path = found.animate(tmp_path / "run.gif", (0, 1), t=(0.0, 0.5), frames=3, fps=5)
    with Image.open(path) as picture:
        assert (picture.n_frames, picture.info["duration"]) == (3, 200)
        assert picture.size[0] > 600
    with pytest.raises(ValueError, match="path must be one of"):
        found.animate(tmp_path / "run.txt")
    with pytest.raises(ValueError, match="t must be in"):
        found.animate(tmp_path / "run.gif", t=1.5)


def test_ways_lead_from_hollow_to_full_marks():
    places = np.arange(12.0).reshape(2, 3, 2)
    lines, start, end = plots.ways(places, masses=[1.0, 4.0], size=8.0)
    np.testing.assert_array_equal(lines.get_segments(), places)
    np.testing.assert_array_equal(start.get_offsets(), places[:, 0])
    np.testing.assert_array_equal(end.get_offsets(), places[:, -1])
    np.testing.assert_array_equal(end.get_sizes(), [2.0, 8.0])
    assert plots.ways(places, color="C2")[1].get_facecolor().tolist() == [[1.0, 1.0, 1.0, 1.0]]
    with pytest.raises(ValueError, match="masses"):
        plots.ways(places, masses=[1.0])
