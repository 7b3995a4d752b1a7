"""The page of results is made from what the scripts wrote."""

import csv

import all_figures
import numpy as np
import published
from matplotlib.image import imread, imsave


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


def test_the_page_is_what_the_files_say():
    assert published.PAGE.read_text("utf-8") == published.page()
