"""The page of results is made from what the scripts wrote."""

import csv
import re

import all_figures
import numpy as np
import published
import pytest
from matplotlib.image import imread, imsave
from scripts import script

benchmarks = script("benchmarks", "published")


def test_the_page_shows_each_script_its_claims_and_its_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "MEASURED", tmp_path / "measured")
    monkeypatch.setattr(published, "PAGE", tmp_path / "validation.md")
    run = tmp_path / "out" / "stability"
    run.mkdir(parents=True)
    rows = [
        ("verdict", "claim", "measured"),
        ("holds", "|a| < b\nc", "order 2*"),
        ("open", "d", ""),
    ]
    with (run / "claims.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    imsave(run / "stability.png", np.linspace(0, 1, 4 * 1801).reshape(4, 1801))
    published.publish(tmp_path / "out")
    page = (tmp_path / "validation.md").read_text("utf-8")
    assert "| holds | \\|a\\| &lt; b c | order 2\\* |\n| open | d |  |" in page
    assert "![Two flows from close starts" in page
    assert 2 * page.count("\n## ") == page.count("](../validation/") > 60
    assert "| 1 holds, 1 open |" in page
    assert page.count("Not run at its default size yet.") == page.count("\n## ") - 1
    assert imread(tmp_path / "measured" / "stability.png").shape[:2] == (1, 600)


def test_every_figure_is_made_and_what_fails_is_named(tmp_path, capsys, monkeypatch):
    assert {"zero_loss", "stability", "density_flow"} <= set(all_figures.names())
    monkeypatch.setattr(all_figures, "HERE", tmp_path)
    (tmp_path / "good.py").write_text("import sys; print(sys.argv)")
    (tmp_path / "bad.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(all_figures, "names", lambda: ["good", "bad"])
    assert all_figures.main(["--quick", "--workers", "2", "--out", str(tmp_path / "out")]) == 1
    assert "failed: bad;" in capsys.readouterr().out
    assert "--quick" in (tmp_path / "out/good/log.txt").read_text()
    assert (tmp_path / "out/times.csv").read_text().splitlines()[1].startswith("bad,3,")


def test_figure_scripts_are_short():
    lines = {
        name: len((all_figures.HERE / f"{name}.py").read_text("utf-8").splitlines())
        for name in all_figures.names()
    }
    assert max(lines.values()) <= 60, lines


@pytest.mark.parametrize("flags", [[], ["--all"]])
def test_the_longest_are_small_unless_all_is_asked_for(tmp_path, monkeypatch, flags):
    monkeypatch.setattr(all_figures, "HERE", tmp_path)
    monkeypatch.setattr(all_figures, "names", lambda: ["good", "long"])
    monkeypatch.setattr(all_figures, "LONGEST", ("long",))
    for name in ("good", "long"):
        (tmp_path / f"{name}.py").write_text("import sys; print(sys.argv)")
    assert all_figures.main([*flags, "--out", str(tmp_path)]) == 0
    logs = {name: (tmp_path / name / "log.txt").read_text() for name in ("good", "long")}
    assert "--quick" not in logs["good"]
    assert ("--quick" in logs["long"]) == (not flags)


def test_the_page_is_what_the_files_say():
    assert published.PAGE.read_text("utf-8") == published.page()


def test_the_page_of_benchmarks_is_what_its_files_say():
    """Every table of the page stands after the name of its CSV, and says what that says."""
    page = benchmarks.PAGE.read_text("utf-8")
    assert benchmarks.page(page) == page
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    marked = benchmarks.MARKED.findall(page)
    assert [found[2] for found in marked] == tables
    files = {f"measured/{path.name}" for path in (benchmarks.HERE / "measured").glob("*.csv")}
    assert {found[1] for found in marked} == files


def test_a_benchmark_leaves_the_table_that_the_page_takes(tmp_path, monkeypatch):
    harness = script("benchmarks", "harness")
    monkeypatch.setattr(harness, "OUT", tmp_path)
    row = {"case": "a", "threads": 1, "rates": {"ours": 1.234, "theirs": 10.0}, "over": (2, 3.0, 4)}
    harness.record("speed", [row, row | {"over": (1.0, 1.0, 1.0)}], "over", "times as fast")
    assert benchmarks.table(tmp_path / "speed.csv") == (
        "| case | threads | ours | theirs | over |\n|---|---|---|---|---|\n"
        "| a | 1 | 1.2 | 10 | 2 – 3 – 4 |\n| a | 1 | 1.2 | 10 | 1 |\n"
    )
