"""Scripts of ``validation/`` and ``figures/``: imported by path, run small, drawn, looked at."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def script(folder: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def held_and_drawn(name: str, out: Path) -> tuple[ModuleType, list]:
    """The figure's module and axes, after the script held its claims in its small version."""
    assert script("validation", name).main(["--quick", "--out", str(out)]) == 0
    module = script("figures", name)
    assert module.main(["--data", str(out)]) == 0
    assert {path.suffix for path in out.glob(f"{name}.*")} == {".pdf", ".png"}
    axes = module.draw(out).axes
    for one in axes:
        assert one.get_xlabel() or one.get_ylabel()
        for line in one.lines:
            values = np.asarray(line.get_ydata(), float)
            assert values.size < 2 or np.isfinite(values).all()
    return module, axes
