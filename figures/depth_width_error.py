"""Figure: error of finite ResNets to their limit over depth and width.

a: RMS error over (L, M), with contours of the fit sqrt(a^2 D/(LM) + b^2/L^2). b: the two regimes,
networks of width 1 with slope -1/2 and wide ones with slope -1; lines are the published
.22 sqrt(D)/sqrt(LM) and .15/L. Data: validation/depth_width_error.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, outside, script, style
from matplotlib.figure import Figure

from mfpde.theory import fit_finite_size

D, A, B = 10, 0.22, 0.15


def by_shape(rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Shapes (n, 2) and errors (n, S)."""
    pairs = np.stack([rows["layers"], rows["width"]], axis=1)
    shapes = np.unique(pairs, axis=0)
    return shapes, np.array([rows["error"][np.all(pairs == one, axis=1)] for one in shapes])


def rms(errors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(errors**2, axis=1))


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    surface, wide, narrow = (
        by_shape(columns(data / f"{name}.csv")) for name in ("surface", "wide", "narrow")
    )
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6), width_ratios=(1.25, 1))
        _surface(figure, left, *surface)
        _regimes(right, surface, wide, narrow)
    return figure


def _surface(figure, axes, shapes, errors) -> None:
    from matplotlib.colors import LogNorm

    layers, widths = (np.unique(column) for column in shapes.T)
    values = rms(errors).reshape(len(layers), len(widths))
    norm = LogNorm(values.min(), values.max())
    image = axes.pcolormesh(
        np.arange(len(widths) + 1) - 0.5, np.arange(len(layers) + 1) - 0.5, values, norm=norm
    )
    fit = fit_finite_size(*shapes.T, errors, form="quadrature", resamples=2)
    at, to = np.linspace(0, len(widths) - 1, 60), np.linspace(0, len(layers) - 1, 60)
    m = np.exp(np.interp(at, np.arange(len(widths)), np.log(widths)))
    n = np.exp(np.interp(to, np.arange(len(layers)), np.log(layers)))
    lines = axes.contour(
        at, to, fit(n[:, None], m), levels=[0.005, 0.01, 0.02, 0.05, 0.1, 0.2], colors="w"
    )
    lines.set_linewidth(0.8)
    axes.clabel(lines, fmt="%g", fontsize=6)
    axes.set_xticks(range(len(widths)), [f"{w:.0f}" for w in widths], rotation=60)
    axes.set_yticks(range(len(layers)), [f"{w:.0f}" for w in layers])
    axes.set(xlabel="width $M$", ylabel="layers $L$")
    figure.colorbar(image, ax=axes, label="RMS error", pad=0.02)


def _regimes(axes, surface, wide, narrow) -> None:
    shapes, errors = surface
    one = shapes[:, 1] == 1
    layers = np.concatenate([shapes[one, 0], narrow[0][:, 0]])
    values = np.concatenate([rms(errors[one]), rms(narrow[1])])
    order = np.argsort(layers)
    layers, values = layers[order], values[order]
    axes.loglog(layers, values, "o", color="C0", mfc="none", label="$M=1$")
    axes.loglog(layers, A * np.sqrt(D / layers), "-", color="C0", lw=0.8, label="published")
    at = wide[0][:, 0]
    axes.loglog(at, rms(wide[1]), "s", color="C1", label=f"$M={wide[0][0, 1]:.0f}$")
    axes.loglog(at, B / at, "--", color="C1", lw=0.8, label="published")
    axes.set(xlabel="layers $L$", ylabel="RMS error")
    outside(axes)


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
