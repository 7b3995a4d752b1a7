"""The validation scripts hold in their small versions, and the figure's data are there."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _scripts_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "validation"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    yield
    for name in ("conditional_ot", "proximal_step"):
        sys.modules.pop(name, None)


def _load(path):
    """A figure script shares its name with the validation script: load it under another."""
    spec = importlib.util.spec_from_file_location(f"figure_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_claim_on_conditional_transport_holds(tmp_path):
    import conditional_ot

    assert conditional_ot.main(["--quick", "--out", str(tmp_path)]) == 0
    figure = _load(ROOT / "figures" / "conditional_ot.py")
    moved = figure.columns(tmp_path / "rays.csv")
    assert np.unique(moved["t"]).size == 3
    figure.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    assert {path.suffix for path in tmp_path.glob("conditional_ot.*")} == {".pdf", ".png"}


def test_every_claim_on_the_proximal_step_holds(tmp_path):
    import proximal_step

    assert proximal_step.main(["--quick", "--out", str(tmp_path)]) == 0
