"""How many features a convergence certificate needs: P(certified) against the width M.

Theorem (Barboni, Peyre, Vialard 2024). If the number of features is finite but large enough and the
loss small enough at the start, the flow converges to zero loss: what decides is λ_min of the
features' Gram matrix over the data.

Here. u = 0 and (w, b) Gaussian i.i.d., N points on a line, the readout lifted and scaled to twice
what the limit (4,096 Sobol features) needs; draws of width M, fresh in each layer: P(certified),
the M from which on it is at least ½, for growing N, for data closer together and by depth; λ_min
beside its limit; the slack, E(0) over the largest E(0) certified at readout 1, beside the share
of E(0) that the flow from there ends on ("flow"). Linear blocks likewise, from Gaussian draws.

Prediction: P rises from 0 to 1, at an M that grows with N; fewer than N − 1 features certify
nothing, λ_min being 0; the flow converges far outside. Takes 60 seconds on one core, --quick 15.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws, theory

LAW = laws.Product(laws.Dirac(0.0, dim=2), laws.Gaussian(2.0, dim=3))
ROWS = [(2, 1.5, 4), (3, 1.5, 4), (4, 1.5, 4), (6, 1.5, 4)]  # N, spread, L
MORE = [(3, 0.75, 4), (3, 0.375, 4), (3, 1.5, 1), (3, 1.5, 16)]
FULL = {"rows": ROWS, "more": MORE, "seeds": 12, "widths": 7}
QUICK = {"rows": ROWS[::2], "more": MORE[2:3], "seeds": 6, "widths": 5}
Start = tuple[mfpde.Problem, mfpde.ParticleMeasure]
Case, Row = tuple[int, float, int], tuple[int, float, float]


def lifted(case: Case, readout: float, width: int, seed: int | None) -> Start:
    """SHL data and a draw of its features; without a seed Sobol ones."""
    n, spread, layers = case
    x = np.linspace(-spread, spread, n)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), readout=[[0.0, readout]])
    return problem, drawn(LAW, layers, width, seed)


def white(width: int, seed: int | None) -> Start:
    """Linear blocks near the identity."""
    x = np.random.default_rng(0).standard_normal((8, 2))
    problem = mfpde.Problem(x, x @ [[1.03, 0.01], [-0.01, 0.98]], block=mfpde.Linear(2))
    return problem, drawn(laws.Gaussian(1.0, dim=4), 4, width, seed)


def drawn(law: laws.Law, layers: int, width: int, seed: int | None) -> mfpde.ParticleMeasure:
    """Fresh draws in every layer, as in a network."""
    how = {"rule": "iid", "coupling": "independent", "seed": seed} if seed is not None else {}
    return mfpde.ParticleMeasure.from_law(law, mfpde.Depth(layers, "euler"), count=width, **how)


def curve(start: Callable[[int, int], Start], widths: list[int], seeds: int) -> list[Row]:
    """(M, P(certified), median least eigenvalue) of ``start(M, seed)``."""
    rows = []
    for width in widths:
        found = [theory.certificate(*start(width, seed)) for seed in range(seeds)]
        middle = float(np.median([least(one) for one in found]))
        rows.append((width, float(np.mean([one.passed for one in found])), middle))
    return rows


def least(found: theory.Certificate) -> float:
    """λ_min of the features' Gram matrix, the mean over layers."""
    return float(np.mean(found.constants.least))


def half(rows: list[Row]) -> float:
    """The M from which on P >= ½; inf where there is none."""
    last = max((k for k, row in enumerate(rows) if row[1] < 0.5), default=-1)
    return float("inf") if last + 1 == len(rows) else float(rows[last + 1][0])


def flow_end(one: Case) -> float:
    """E at the end over E(0) from readout 1, where the certificate fails."""
    sol = mfpde.solve(*lifted(one, 1.0, 64, 0), s_end=1e7, method="implicit", rtol=0.03)
    return float(sol.loss[-1] / sol.loss[0])


def measure(size: Sizes, out: Path) -> list[Claim]:
    widths = [2**k for k in range(1, size.widths + 1)]
    rows, curves = [], []
    for one in [*size.rows, *size.more]:
        limit = theory.certificate(*lifted(one, 1.0, 4096, None))
        found = curve(partial(lifted, one, 2.0 * limit.readout_scale), widths, size.seeds)
        curves += [(*one, *row) for row in found]
        slack = (limit.pessimism, limit.readout_scale, flow_end(one))
        rows.append((*one, half(found), least(limit), *slack))
        study.say(f"(N, spread, L) = {one}: M = {rows[-1][3]:g}")
    linear = curve(white, [64, 256, 1024, 4096], size.seeds)
    curves += [(0, 0.0, 4, *row) for row in linear]
    header = ("N", "spread", "L", "M", "least", "slack", "readout", "flow")
    study.report(out / "half.csv", header, rows)
    study.write_csv(out / "curves.csv", ("N", "spread", "L", "M", "P", "least"), curves)
    enough, slack, ends = ([row[k] for row in rows[: len(size.rows)]] for k in (3, 5, 7))
    few = [row[4] for row in curves if row[0] and row[3] < row[0] - 1]
    text = "; ".join(f"M = {row[3]:g} for {row[:3]}" for row in rows) + " (N, spread, L)"
    grows = enough == sorted(enough) and enough[-1] > enough[0] and np.isfinite(enough[-1])
    beyond = f"E(0) over what is certified {np.round(slack, 1)}; E/E(0) of the flow {max(ends):.0e}"
    shown = ", ".join(f"P = {row[1]:g} at M = {row[0]}" for row in linear)
    return [
        Claim("P(certified) passes ½ at an M that grows with N.", text, bool(grows)),
        Claim("Fewer than N − 1 features certify nothing.", f"P = {few}", not any(few)),
        Claim("Far outside it the flow converges.", beyond, min(slack) > 10 and max(ends) < 1e-4),
        Claim("Linear blocks: P rises as well.", shown, linear[0][1] < 0.5 < linear[-1][1]),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
