"""Small tables for notebooks: a title, rows, and a curve as an inline picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

WIDTH, HEIGHT, POINTS = 160.0, 36.0, 100


def card(title: str, rows: Mapping[str, Any], picture: str = "") -> str:
    """An HTML table of two columns below a title; ``picture`` is markup that ends it."""
    lines = "".join(
        f'<tr><th style="text-align:left;font-weight:normal;opacity:.7">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(_told(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f"<div><strong>{escape(title)}</strong><table>{lines}</table>{picture}</div>"


def sparkline(values: ArrayLike, *, logarithmic: bool = True, label: str = "") -> str:
    """A curve without axes, as SVG: finite values (positive ones, where logarithmic) in order.

    Empty where fewer than two values can be drawn. ``label`` is what a screen reader says.
    """
    series = np.asarray(values, dtype=np.float64)
    series = series[np.isfinite(series) & ((series > 0.0) | (not logarithmic))]
    if series.size < 2:
        return ""
    heights = np.log10(series) if logarithmic else series
    kept = np.unique(np.linspace(0, heights.size - 1, min(POINTS, heights.size)).astype(int))
    span = float(np.ptp(heights)) or 1.0
    x = 2.0 + (WIDTH - 4.0) * kept / (heights.size - 1)
    y = 2.0 + (HEIGHT - 4.0) * (heights.max() - heights[kept]) / span
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<svg width="{WIDTH:g}" height="{HEIGHT:g}" role="img" aria-label="{escape(label)}">'
        f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def _told(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ", ".join(_told(one) for one in value)
