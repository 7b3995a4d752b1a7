"""Figure: finite networks against the limit on real data, under minibatches.

Above: output error against LM with the fit, and the bound of COT between networks and samples of
the limit. Below: noise of the minibatches in the limit against the step; accuracy on unseen images
against LM, beside the limit's. Data: validation/real_data.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, folder, guide, powers, save, style

from mfpde.theory import fit_finite_size


def draw(data: Path):
    """The figure, from the files of the validation script."""
    rows, limit, noise = (columns(data / f"{name}.csv") for name in ("networks", "limit", "noise"))
    with style() as plt:
        figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.2))
        _sizes(axes[0, 0], rows, "error", "output error")
        _sizes(axes[0, 1], rows, "distance", "COT distance to samples")
        axes[1, 0].loglog(noise["step"], noise["error"], "o-", label="measured")
        guide(axes[1, 0], noise["step"], 0.5 * noise["error"][0], 0.5, "slope $1/2$")
        guide(axes[1, 0], noise["step"], 1.5 * noise["error"][0], 1.0, "slope $1$")
        axes[1, 0].lines[-1].set_linestyle("--")
        powers(axes[1, 0].xaxis, noise["step"], 2)
        axes[1, 0].set(xlabel="step $h$", ylabel="noise of minibatches")
        axes[1, 0].legend()
        _accuracy(axes[1, 1], rows, limit)
    return figure


def _by_shape(rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.stack([rows["layers"], rows["width"]], axis=1)
    shapes = np.unique(pairs, axis=0)
    return shapes, np.array([rows[name][np.all(pairs == one, axis=1)] for one in shapes])


def _sizes(axes, rows, name: str, label: str) -> None:
    shapes, found = _by_shape(rows, name)
    fit = fit_finite_size(*shapes.T, found, form="quadrature", resamples=2)
    for number, layers in enumerate(np.unique(shapes[:, 0])):
        keep = shapes[:, 0] == layers
        size, rms = shapes[keep].prod(axis=1), np.sqrt(np.mean(found[keep] ** 2, axis=1))
        how = {"color": f"C{number}", "mfc": "none", "label": f"$L={layers:.0f}$"}
        axes.loglog(size, rms, "os^Dv"[number % 5], **how)
        axes.loglog(size, fit(*shapes[keep].T), color=f"C{number}", lw=0.5)
    size = np.sort(shapes.prod(axis=1))
    guide(axes, size, 1.5 * fit.b / np.sqrt(size[0]), -0.5, "slope $-1/2$")
    axes.set(xlabel="blocks $LM$", ylabel=label)
    powers(axes.xaxis, size)
    axes.legend()


def _accuracy(axes, rows, limit) -> None:
    shapes, found = _by_shape(rows, "accuracy")
    for number, layers in enumerate(np.unique(shapes[:, 0])):
        keep = shapes[:, 0] == layers
        how = {"color": f"C{number}", "mfc": "none", "label": f"$L={layers:.0f}$"}
        axes.semilogx(
            shapes[keep].prod(axis=1), found[keep].mean(axis=1), "os^Dv"[number % 5], **how
        )
    axes.axhline(limit["accuracy"].mean(), color="0.2", lw=0.8, label="limit")
    axes.set(xlabel="blocks $LM$", ylabel="accuracy on unseen images")
    powers(axes.xaxis, shapes.prod(axis=1))
    axes.legend()


def main(argv: list[str] | None = None) -> int:
    data = folder("real_data", __doc__, argv)
    save(draw(data), data, "real_data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
