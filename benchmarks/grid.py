"""Grid kernels against plain NumPy: V at the centres, and one van Leer stage of the transport.

Claims: for separable blocks V costs .4 ns per cell (p = 3, 16 data), since tanh on a tensor grid
is a product of one-dimensional exponentials; a stage of the transport, fluxes and update of all
axes, costs two to three. Both are printed in ns per cell and as ratios to array code that does the
same: a sum over data of u tanh(w x + b), and rolled arrays. d = 1, N = 16, θ = (u, w[, b]). Half a
minute on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import numpy as np

import mfpde
from mfpde.flows.grid_flow import GridFlow
from mfpde.kernels import grid_sums
from mfpde.measures.axes import Grid

SHAPES = ((64, 64), (256, 256), (32, 32, 32), (24, 64, 64))
DATA, NODES, HALF_WIDTH, STEP = 16, 9, 4.0, 1e-4  # nine nodes: rk4 of four steps


def numpy_potential(grid: Grid, x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """V = Σ_i q_i u tanh(w x_i + b) at the centres, written out."""
    u, w, *b = np.moveaxis(grid.points, -1, 0)
    shift = b[0] if b else 0.0
    g = np.zeros(grid.shape[1:])
    for state, cotangent in zip(x[:, 0], q[:, 0], strict=True):
        g += cotangent * np.tanh(w[0] * state + (shift[0] if b else 0.0))
    return u * g


def numpy_stage(grid: Grid, v: np.ndarray, m: np.ndarray, h: float) -> np.ndarray:
    """m + h dm/ds by van Leer's fluxes on uniform axes, as rolled arrays."""
    out = m.copy()
    for i, axis in enumerate(grid.axes):
        n, width = len(axis), axis.widths[0]
        cells = np.moveaxis(m, i, 0)
        slope = np.zeros_like(cells)
        left, right = cells[1:-1] - cells[:-2], cells[2:] - cells[1:-1]
        product = np.maximum(left * right, 0.0)
        slope[1:-1] = 2.0 * product / np.where(product > 0.0, left + right, 1.0)
        speed = -np.diff(np.moveaxis(v, i, 0), axis=0) / width**2
        flux = np.maximum(speed, 0.0) * (cells[:-1] + 0.5 * slope[:-1])
        flux += np.minimum(speed, 0.0) * (cells[1:] - 0.5 * slope[1:])
        to = np.moveaxis(out, i, 0)
        to[: n - 1] -= h * flux
        to[1:] += h * flux
    return out


def measure(shape: tuple[int, ...], rounds: int, threads: int) -> list[dict[str, Any]]:
    """A row for V and one for a stage, after checking that both codes agree."""
    rng = np.random.default_rng(0)
    grid = Grid.of_box([(-HALF_WIDTH, HALF_WIDTH)] * len(shape), shape)
    block = mfpde.SHL(1, bias=len(shape) == 3)
    x, q = np.linspace(-1, 1, DATA)[:, None], rng.standard_normal((DATA, 1))
    masses = np.exp(-0.5 * np.square(grid.points).sum(axis=-1))[None]
    masses = np.tile(masses / masses.sum(), (NODES, *(1,) * len(shape)))
    problem = mfpde.Problem(x, x, block=block)
    flow = GridFlow(problem, mfpde.GridMeasure(masses, mfpde.Depth(4, "rk4"), grid))
    w = np.concatenate([axis.centres for axis in grid.axes[1:]])
    ends = np.cumsum([0, *shape[1:]])
    g, out = np.zeros((1, grid.size // shape[0])), np.empty((1, shape[0], grid.size // shape[0]))

    def potential() -> np.ndarray:
        g[:] = 0.0
        grid_sums.potential(block.activation.code, block.bias, w, ends, x, q, g)
        grid_sums.expand(grid.axes[0].centres[None], g[None], out)
        return out.reshape(shape)

    full = potential().copy()
    v = flow.potential(np.tile(g, (NODES, 1)), problem.penalty)

    def stage() -> np.ndarray:
        return flow.transport.advance("van_leer", v, masses, masses, STEP)

    def stage_by_numpy() -> np.ndarray:
        return np.stack([numpy_stage(grid, full, m, STEP) for m in masses])

    size = " x ".join(map(str, shape))
    return [
        _row(f"V, {size}", potential, lambda: numpy_potential(grid, x, q), rounds, threads),
        _row(f"stage, {size}", stage, stage_by_numpy, rounds, threads),
    ]


def _row(
    case: str,
    ours: Callable[[], np.ndarray],
    theirs: Callable[[], np.ndarray],
    rounds: int,
    threads: int,
) -> dict[str, Any]:
    """Times per cell over enough calls for the clock, and the ratio to NumPy."""
    mine, plain = ours(), theirs()
    cells = mine.size
    calls = max(1, 4_000_000 // cells)

    def repeated() -> None:
        for _ in range(calls):
            ours()

    seconds = harness.alternate({"mfpde": repeated, "numpy": theirs}, rounds, threads)
    own = [s / calls for s in seconds["mfpde"]]
    return {
        "case": case,
        "ns_per_cell": [1e9 * s / cells for s in harness.spread(own)],
        "numpy_over_mfpde": harness.ratios(seconds["numpy"], own),
        "difference": float(np.abs(mine - plain).max() / np.abs(plain).max()),
    }


def main() -> None:
    args = harness.options(__doc__, 9)
    with harness.set_threads(args.threads):
        rows = [row for shape in SHAPES for row in measure(shape, args.rounds, args.threads)]
    for row in rows:
        low, middle, high = row["ns_per_cell"]
        times = " – ".join(f"{value:.0f}" for value in row["numpy_over_mfpde"])
        print(
            f"{row['case']:20s} {low:.2f} – {middle:.2f} – {high:.2f} ns per cell, "
            f"{times} times as fast as numpy, difference {row['difference']:.1e}"
        )
    harness.record("grid", rows, "numpy_over_mfpde", "time of numpy over mfpde")


if __name__ == "__main__":
    main()
