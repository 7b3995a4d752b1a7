"""Are the error bars of ``mfpde.limit`` true? Random problems against much finer references.

Each case (``random_problems.py``) draws a block (SHL of seven activations, d = 1 or 2, or Linear),
a law (Gaussian, uniform, silent; one in three moves with depth), a loss, data, s and rtol, and
compares what the limit claims with a fixed discretisation that it never uses: own trapezoidal and
Gauss nodes in up to four random coordinates, else many Sobol points; 13 or 21 rk4 steps; rtol/100.
A reference counts where a second, coarser one shows it known ten times better than the claim.

Prediction: true <= claimed in 98 % of the cases, claimed/true at most 3 in the median, true/claimed
never above 3. About 5 s a case on one thread; --quick is four cases.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import study
from random_problems import draw
from study import Claim, Sizes, rms

import mfpde
from mfpde import laws

STEPS = {False: (8, 13), True: (13, 21)}  # of rk4, by whether the law moves with depth
NODES = {0: 1, 1: 200, 2: 40, 3: 22, 4: 11}  # per coordinate, by the number of random ones
COLUMNS = ("seed", "rtol", "success", "claimed", "true", "reference", "along_s", "seconds")


def line(m: laws.Marginal, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of one coordinate: trapezoidal where it is Gaussian and n large."""
    z = np.linspace(-6.5, 6.5, n)
    w = np.exp(-0.5 * z**2)
    if not (m.smooth and n > 20):
        rules = np.polynomial
        z, w = (rules.hermite_e.hermegauss if m.smooth else rules.legendre.leggauss)(n)
    return m.mean + m.std * z * (1 if m.smooth else np.sqrt(3)), w / w.sum()


def product(law: laws.Law, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tensor nodes (M, p) and weights (M,)."""
    lines = [line(m, n) for m, n in zip(law.marginals, orders, strict=True)]
    nodes = np.meshgrid(*(z for z, _ in lines))
    weights = np.prod(np.meshgrid(*(w for _, w in lines)), axis=0).ravel()
    return np.stack([z.ravel() for z in nodes], axis=1), weights / weights.sum()


def fine_measure(problem: mfpde.Problem, law, finer: bool) -> mfpde.ParticleMeasure:
    """A discretisation that the limit never uses."""
    depth = mfpde.Depth(STEPS[callable(law)][finer])
    found = [law if isinstance(law, laws.Law) else law(t) for t in depth.nodes]
    free = np.any([[m.random for m in one.marginals] for one in found], axis=0)
    kinks = "relu" in repr(problem.block)
    if free.sum() > 4 or kinks:
        how = {"count": 4096 if finer else 1024, "coupling": "independent", "seed": 987 + finer}
        return mfpde.ParticleMeasure.from_law(law, depth, **how)
    most, dim = NODES[int(free.sum())], problem.block.dim
    orders = np.where(free, most if finer else int(0.75 * most), 1)
    if free.sum() > 2:  # the flow is nearly polynomial in u
        orders[:dim] = (orders[:dim] + 1) // 2
    theta, weights = zip(*(product(one, orders) for one in found), strict=True)
    return mfpde.ParticleMeasure(np.stack(theta), depth, np.stack(weights))


def reference(problem, law, s: np.ndarray, rtol: float, finer: bool):
    """Outputs (n, N, k) and losses (n,) at the times s."""
    rho, tight = fine_measure(problem, law, finer), rtol * (1e-2 if finer else 1e-1)
    run = mfpde.solve(problem, rho, s_end=s[-1], rtol=tight, save=s[1:].tolist(), progress=False)
    states = [run.at(v) for v in s]
    found = [(mfpde.predict(problem, rho), mfpde.loss(problem, rho)) for rho in states]
    return tuple(map(np.array, zip(*found, strict=True)))


def case(seed: int) -> tuple[float, ...]:
    """One row of the table."""
    problem, law, s_end, rtol, name = draw(seed)
    begin = time.process_time()
    found = mfpde.limit(problem, law, s_end=s_end, rtol=rtol, times=4, max_work=3e7)
    seconds = time.process_time() - begin
    outputs, loss = reference(problem, law, found.s, rtol, True)
    coarse = reference(problem, law, found.s, rtol, False)
    scale = np.sqrt(np.mean(problem.y**2))

    def off(z: np.ndarray, e: np.ndarray) -> float:
        return max((rms(z - outputs) / scale).max(), (np.abs(e - loss) / loss[0]).max())

    true, known = off(found.outputs, found.loss), off(*coarse)
    inside = rms(found.outputs - outputs) <= found.outputs_error + known * scale
    inside &= np.abs(found.loss - loss) <= found.loss_error + known * loss[0]
    numbers = f"claimed {found.error:.1e} true {true:.1e} reference {known:.0e}"
    study.say(f"{seed:5d} {name:32s} {found.sizes.points!s:22s} rtol {rtol:.0e} {numbers}")
    return (seed, rtol, float(found.success), found.error, true, known, inside.mean(), seconds)


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows = []
    for seed in range(size.seed, size.seed + size.cases):
        rows.append(case(seed))
        study.write_csv(out / "cases.csv", COLUMNS, rows)
    _, _, success, claimed, true, known, along, _ = np.array(rows, dtype=float).T
    usable = known <= 0.1 * claimed
    ratio = claimed[usable] / np.maximum(true[usable], 1e-15)
    share, median, worst = np.mean(ratio >= 1), np.median(ratio), 1 / ratio.min()
    study.say(f"{usable.sum()} of {usable.size} references are good enough")
    study.say(f"rtol met in {success.mean():.0%}, bars hold at {along.mean():.1%} of all times")
    sharp = bool(median <= 3) if len(ratio) >= 20 else None  # a median of few says nothing
    return [
        Claim("The true error is within the claimed one.", f"{share:.1%}", bool(share >= 0.98)),
        Claim("Bars are not wasteful.", f"median claimed/true {median:.2f}", sharp),
        Claim("No bar is far too small.", f"true/claimed up to {worst:.2f}", bool(worst <= 3)),
    ]


SEED = {"type": int, "default": 0, "help": "of the first case"}
main = study.script(__doc__, measure, {"cases": 100}, {"cases": 4}, seed=SEED)

if __name__ == "__main__":
    sys.exit(main())
