"""What objects show in a notebook: tables that parse, with the numbers they stand for."""

import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from problems import gaussian_measure, sine
from test_plots import THREE_D, measures

import mfpde
from mfpde import tables
from mfpde.runs import progress


class Table(HTMLParser):
    """Rows of the table, the points of the curve; fails on tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.points = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.cells += [""] if tag in ("th", "td") else []

    def handle_startendtag(self, tag, attrs):
        self.points = dict(attrs)["points"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] in ("th", "td"):
            self.cells[-1] += text

    @property
    def rows(self):
        return dict(zip(self.cells[::2], self.cells[1::2], strict=True))


def test_names_from_outside_are_escaped():
    found = Table(tables.card("<b>", {"<i>": "a & <script>"}))
    assert found.rows == {"<i>": "a & <script>"}


def test_a_sparkline_falls_where_the_values_do_and_leaves_out_what_has_no_logarithm():
    points = Table(tables.sparkline([1.0, 0.1, np.nan, 0.0, 0.01])).points
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert heights == [2.0, 18.0, 34.0]
    assert tables.sparkline([0.0, -1.0]) == ""


def test_a_run_shows_its_end():
    problem = sine(4)
    sol = mfpde.solve(problem, gaussian_measure(problem, mfpde.Depth(1), count=4), s_end=1.0)
    found = Table(sol._repr_html_())
    assert float(found.rows["loss"]) == pytest.approx(sol.loss[-1], rel=1e-5)
    assert found.points
    assert "4, R^1 → R^1" in problem._repr_html_()


@pytest.mark.parametrize("rho", list(measures()), ids=lambda rho: rho.kind)
def test_a_measure_shows_its_mean(rho):
    rows = Table(rho._repr_html_()).rows
    mean = next(value for name, value in rows.items() if name.startswith("mean of θ"))
    np.testing.assert_allclose([float(part) for part in mean.split(",")], 0.0, atol=0.1)


def test_a_certificate_shows_its_verdict():
    x = np.linspace(-1, 1, 3)[:, None]
    problem = mfpde.Problem(x, x, block=mfpde.SHL(1))
    rho = mfpde.ParticleMeasure.from_law(THREE_D, mfpde.Depth(2, "euler"), count=16)
    found = mfpde.theory.certificate(problem, rho)
    assert Table(found._repr_html_()).rows["verdict"] == str(found)


def test_bars_are_shown_in_a_notebook_and_nowhere_else_without_a_terminal(monkeypatch, capsys):
    assert not progress.shown("auto")
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)  # without widgets
    assert progress.shown("auto")
    assert list(progress.track(range(3), "three")) == [0, 1, 2]
    assert "three" in capsys.readouterr().err
