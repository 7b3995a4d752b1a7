"""The paired study runs end to end on digits, adds seeds to one table, and its figure draws."""

import csv

import pytest
from scripts import script

pytest.importorskip("torch")
pytest.importorskip("sklearn")


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_paired_study_and_its_figure(tmp_path, capsys):
    study = script("validation", "reordering_cifar")
    out = ["--quick", "--out", str(tmp_path)]
    assert study.main(out) == 0
    rows = read(tmp_path / "summary.csv")
    assert [(row["variant"], row["pairs"]) for row in rows] == [
        ("gap", "2"), ("share", "2"), ("window", "2"),
    ]  # fmt: skip
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert study.main([*out, "--first-seed", "2", "--seeds", "1", "--variants", "gap"]) == 0
    pairs = {row["variant"]: row["pairs"] for row in read(tmp_path / "summary.csv")}
    assert pairs == {"gap": "3", "share": "2", "window": "2"}
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    shown = capsys.readouterr().out
    assert "missing, whole cifar10: resnet20, " in shown
    assert "+.25 to +.55" in shown
    assert "3 claim(s) not resolved." in shown

    places = read(tmp_path / "places.csv")
    moved = [row for row in places if row["variant"] != "plain" and row["epoch"] == "2"]
    assert all(0 <= float(row["t"]) <= 1 for row in places)
    assert len({row["t"] for row in moved}) > 6
    figure = script("figures", "reordering_cifar")
    above = figure.draw(tmp_path).axes[0]
    t = [float(row["t"]) for row in places if row["block"] == "0" and row["variant"] == "gap"]
    assert list(above.lines[0].get_ydata()) == t[:3]
    assert figure.main(["--data", str(tmp_path)]) == 0
    assert {path.suffix for path in tmp_path.glob("reordering_cifar.*")} == {".pdf", ".png"}
