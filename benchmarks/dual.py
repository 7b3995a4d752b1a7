"""The dual systems of implicit steps: which way solves them for the least work.

First, iterations of conjugate gradients to 3e-3 against γλ_max on the digits (N = 128, k = 10),
along a run to zero loss, under each preconditioner; random right sides would say less than the
run's own. Then whole runs by each way forced, and by the way that ``mfpde.flows.dual`` chooses by
counts: its time over that of the best. About 6 minutes; --full adds N = 400 and the cross-entropy
to 1e-3.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from time import process_time

import harness
import numpy as np

import mfpde
from mfpde import data, laws
from mfpde.flows import dual
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.preconditioners import Identity, Kronecker, Recycled
from mfpde.passes.kronecker import mixtures

WAYS = (dual.PRODUCTS, dual.KRONECKER, dual.FACTORISED)
GOALS = {"squared": (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8), "cross_entropy": (0.5, 0.1, 0.02)}


def digits(count, loss="squared", components=14, particles=256):
    x, y = data.subset(*data.load("digits"), count)
    inputs, block = data.principal_components(x, components), mfpde.SHL(components + 10)
    problem = mfpde.Problem(
        inputs, data.one_hot(y), block=block, embed="pad", readout="last", loss=loss
    )
    return problem, start(problem, mfpde.Depth(4, "rk4"), particles)


def start(problem, depth, particles):
    """u = 0, (w, b) standard Gaussian."""
    d = problem.block.dim
    parts = laws.Dirac(0.0, dim=d), laws.Gaussian(1.0, dim=problem.block.size - d)
    law = laws.Product(*parts)
    return mfpde.ParticleMeasure.from_law(law, depth, count=particles, seed=0)


def random(n, k, d, particles, depth, loss="squared", **terms):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, d - k)), rng.standard_normal((n, k))
    if loss == "cross_entropy":
        y = np.eye(k)[rng.integers(0, k, n)]
    problem = mfpde.Problem(
        x, y, block=mfpde.SHL(d), embed="pad", readout="last", loss=loss, **terms
    )
    return problem, start(problem, depth, particles)


def sine():
    x = np.linspace(-1, 1, 32)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * np.pi * x), block=mfpde.SHL(2))
    depth = mfpde.Depth(16, "euler")
    return problem, mfpde.ParticleMeasure.from_law(laws.Gaussian(1.0, dim=5), depth, count=128)


def linear():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 8))
    problem = mfpde.Problem(x, x @ rng.standard_normal((8, 4)), block=mfpde.Linear(12))
    law = laws.Gaussian(0.1, dim=problem.block.size)
    return problem, mfpde.ParticleMeasure.from_law(law, mfpde.Depth(6, "rk4"), count=16)


def runs(full):
    """Name: problem and measure, and how to run it."""
    zero = partial(dict, s_end=1e8, rtol=0.03)
    rk4, euler = partial(mfpde.Depth, method="rk4"), partial(mfpde.Depth, method="euler")
    cases = {
        "sine, N = 32, k = 1": (sine(), {"s_end": 300.0, "rtol": 1e-3}),
        "digits, N = 128, k = 10, to 1e-10": (digits(128), zero(loss_below=1e-10)),
        "digits, cross-entropy, to .1": (digits(128, "cross_entropy"), zero(loss_below=0.1)),
        "N = 200, k = 1, d = 10": (random(200, 1, 10, 128, rk4(3)), zero(loss_below=1e-6)),
        "N = 40, k = 2, d = 6, decay": (
            random(40, 2, 6, 64, rk4(4), weight_decay=1e-3), {"s_end": 1e3, "rtol": 1e-2},
        ),
        "N = 60, k = 24, d = 40": (random(60, 24, 40, 64, euler(6)), zero(loss_below=1e-6)),
        "N = 50, k = 5, d = 100 (p large)": (
            random(50, 5, 100, 128, euler(4)), zero(loss_below=1e-6),
        ),
        "N = 100, k = 3, cross-entropy": (
            random(100, 3, 12, 128, euler(8), "cross_entropy"), zero(loss_below=1e-3),
        ),
        "Linear, N = 60, k = 4": (linear(), zero(loss_below=1e-8)),
        "N = 8, k = 1": (random(8, 1, 3, 32, euler(4)), zero(loss_below=1e-8)),
    }  # fmt: skip
    if full:
        cases["digits, N = 400, to 1e-5"] = digits(400), zero(loss_below=1e-5)
        case = digits(128, "cross_entropy")
        cases["digits, cross-entropy, to 1e-3"] = case, zero(loss_below=1e-3)
    return cases


@contextmanager
def forced(way):
    """The way named at every step, None for the one chosen."""
    rule = dual.costs
    if way is not None:
        dual.costs = lambda *args, **how: {way: 1.0}
    try:
        yield
    finally:
        dual.costs = rule


def timed(problem, rho0, way, how):
    begin = process_time()
    with forced(way):
        how = {"max_steps": 400, "raise_on_failure": False, "progress": False, **how}
        run = mfpde.solve(problem, rho0, method="implicit", **how)
    names = ("products", "preconditioners", "kernels", "factorisations", "steps", "rejected")
    return process_time() - begin, run.loss[-1], {name: run.stats.get(name, 0) for name in names}


def compared(name, case, how, rounds):
    """The time of the chosen way over that of the best one forced, and all counts."""
    seconds = {way: [] for way in (*WAYS, None)}
    counts, losses = {}, {}
    for way in seconds:
        timed(*case, way, how | {"max_steps": 3})  # compiles
    for _ in range(rounds):
        for way, found in seconds.items():
            one, losses[way], counts[way] = timed(*case, way, how)
            found.append(one)
    best = min(WAYS, key=lambda way: np.median(seconds[way]))
    row = {"case": name, "best": best, "ratio": harness.ratios(seconds[None], seconds[best])}
    row |= {str(way): float(np.median(found)) for way, found in seconds.items()}
    row |= {"counts": {str(way): found for way, found in counts.items()}}
    low, middle, high = row["ratio"]
    print(f"{name}: best {best}, chosen over it {low:.2f} – {middle:.2f} – {high:.2f}", flush=True)
    for way, found in seconds.items():
        print(f"  {way or 'chosen':11} {np.median(found):8.3f} s  E {losses[way]:.1e}", counts[way])
    return row


# -- iterations ---------------------------------------------------------------------------------


class Whole:
    """G itself at another state, or any dense approximation, as a preconditioner."""

    def __init__(self, matrix):
        self.values, self.vectors = np.linalg.eigh(matrix)

    def inverse(self, gamma):
        scale = 1.0 / (1.0 + gamma * np.maximum(self.values, 0.0))
        return lambda v: (self.vectors @ (scale * (self.vectors.T @ v.ravel()))).reshape(v.shape)


def system(flow, theta):
    """G, its right side without γ, and its blocks, at a state."""
    point = flow.at(theta)
    n, k = point.slope.shape
    blocks, root = point.kernel.reshape(n, k, n, k), point.root
    if root is None:
        return point, blocks, point.slope, None
    right = np.einsum("iab,ibjc,jc->ia", root, blocks, point.slope, optimize=True)
    return point, np.einsum("iab,ibjc,jcd->iajd", root, blocks, root, optimize=True), right, root


def iterations(matrix, gamma, right, preconditioner):
    """Products that the system takes, and search directions with theirs."""
    n, k = right.shape
    found = dual.conjugate_gradients(
        lambda v: (matrix @ v.ravel()).reshape(n, k), gamma, right,
        dual.RELATIVE * float(np.linalg.norm(right)), preconditioner, 3000,
    )  # fmt: skip
    return found[1], found[2]


def count(matrix, gamma, right, preconditioner):
    total = 0

    def product(v):
        nonlocal total
        total += 1
        return (matrix @ v.ravel()).reshape(right.shape)

    enough = dual.RELATIVE * float(np.linalg.norm(right))
    dual.conjugate_gradients(product, gamma, right, enough, preconditioner, 3000, keep=False)
    return total


def approximations(flow, point, blocks, root, kept):
    """Preconditioners at a point; ``kept`` are those of an earlier one."""
    n, k = point.slope.shape
    mean = np.einsum("icjc->ij", blocks) / k
    shares = np.einsum("icid->cd", blocks) / n
    scaled = mean * k / np.trace(shares)
    mixed = {q: mixtures(k)[:q] for q in (1, 2)}
    found = {"none": Identity(), "mean over outputs ⊗ I": Kronecker.of(mean, np.eye(k))}
    found["mean ⊗ B"] = Kronecker.of(scaled, shares)
    for q, mixes in mixed.items():
        data_part = np.einsum("qc,icjd,qd->ij", mixes, blocks, mixes, optimize=True)
        data_part *= np.trace(scaled) / np.trace(data_part)
        found[f"{q} mixed ⊗ B"] = Kronecker.of(data_part, shares)
    found["as built"] = Kronecker.of(*flow.kronecker(point, point.carried))
    rho, theta = flow.rho, point.state
    few = mfpde.ParticleMeasure(theta[:, :: rho.count // 32], rho.depth)
    part = ParticleFlow(flow.problem, few).at(few.theta)
    found["32 of 256 particles ⊗ B"] = Kronecker.of(
        part.carried.mixed_kernel(np.eye(k), root) / np.trace(shares), shares
    )
    diagonal = np.zeros_like(blocks)
    for c in range(k):
        diagonal[:, c, :, c] = blocks[:, c, :, c]
    found["a block for each output"] = Whole(diagonal.reshape(n * k, n * k))
    return found | kept


def table(loss):
    """Rows: E, γλ_max and iterations of the first solve and, recycled, of the second."""
    problem, rho0 = digits(128, loss)
    flow, rows, kept = ParticleFlow(problem, rho0), [], {}
    for goal in GOALS[loss]:
        run = mfpde.solve(
            problem, rho0, s_end=1e8, loss_below=goal, method="implicit", rtol=0.03, progress=False
        )
        gamma, theta = run.step[-1] / problem.size, run.final.theta
        point, blocks, right, root = system(flow, theta)
        matrix = blocks.reshape(right.size, right.size)
        if root is not None:
            right = gamma * right
        known = approximations(flow, point, blocks, root, kept)
        row = {"E": run.loss[-1], "γλ": gamma * np.linalg.eigvalsh(matrix)[-1]}
        row |= {name: count(matrix, gamma, right, one) for name, one in known.items()}
        for name in ("none", "as built"):
            recycled = Recycled.of(known[name], *iterations(matrix, gamma, right, known[name]))
            row[f"{name}, γ/2"] = count(matrix, gamma / 2, right, known[name])
            row[f"{name}, γ/2, recycled"] = count(matrix, gamma / 2, right, recycled)
        kept.setdefault("as built, of the first row", known["as built"])
        kept["as built, of the row before"] = known["as built"]
        kept["all of G, of the row before"] = Whole(matrix)
        rows.append(row)
    print(loss)
    for name in rows[-1]:
        shown = " | ".join(f"{row[name]:.2g}" if name in row else "" for row in rows)
        print(f"| {name} | {shown} |", flush=True)
    return rows


def main():
    options = harness.options(__doc__, 1)
    with harness.set_threads(1):
        tables = {loss: table(loss) for loss in GOALS}
        rows = [compared(name, *one, options.rounds) for name, one in runs(options.full).items()]
    harness.record("dual", rows, "ratio", "time of the chosen way over the best", **tables)


if __name__ == "__main__":
    main()
