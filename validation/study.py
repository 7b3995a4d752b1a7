"""What all validation scripts share: their frame, tables and claims; problems, studies and fits."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

import mfpde
from mfpde import data, laws
from mfpde.resnet import randomness
from mfpde.runs.progress import track
from mfpde.theory import FiniteSizeFit
from mfpde.theory._finite_size import slope as slope

ROOT = Path(__file__).resolve().parents[1]
Sizes = SimpleNamespace
Shape = tuple[int, int]


@dataclass(frozen=True)
class Claim:
    """One statement of a theorem, what was measured, and whether it holds; None: not resolved."""

    text: str
    measured: str
    holds: bool | None


def script(
    doc: str,
    measure: Callable[[Sizes, Path], Iterable[Claim]],
    full: Mapping[str, Any] = MappingProxyType({}),
    quick: Mapping[str, Any] = MappingProxyType({}),
    **options: Mapping[str, Any],
) -> Callable[..., int]:
    """The ``main(argv)`` of a script: ``measure(sizes, out)`` writes its tables into the folder.

    ``sizes`` holds ``full``, with ``--quick`` what ``quick`` replaces, ``quick`` itself, and the
    values of further ``options``, keywords of ``add_argument`` by name.
    """
    name = Path(measure.__code__.co_filename).stem

    def main(argv: list[str] | None = None) -> int:
        options_of = parser(doc, name)
        for option, how in options.items():
            options_of.add_argument(f"--{option}", **how)
        chosen = vars(options_of.parse_args(argv))
        out = chosen.pop("out")
        out.mkdir(parents=True, exist_ok=True)
        smaller = quick if chosen["quick"] else {}
        return verdict(measure(Sizes(**{**full, **smaller, **chosen}), out), out)

    return main


def parser(doc: str, name: str) -> argparse.ArgumentParser:
    """--quick and --out, with the script's docstring as its help."""
    out = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--quick", action="store_true", help="a small version, under a minute")
    out.add_argument("--out", type=Path, default=ROOT / "out" / name, help="folder for the data")
    return out


WORDS = {True: "holds ", False: "FAILS ", None: "open  "}


def verdict(claims: Iterable[Claim], out: Path) -> int:
    """Print the claims, and write them to ``claims.csv``; the exit status is 1 when one fails."""
    found, rows = [], []
    print()
    for claim in claims:
        found.append(None if claim.holds is None else bool(claim.holds))
        rows.append((WORDS[found[-1]].strip(), claim.text, claim.measured))
        print(f"{WORDS[found[-1]]} {claim.text}\n       {claim.measured}")
    write_csv(out / "claims.csv", ["verdict", "claim", "measured"], rows)
    failed, unresolved = found.count(False), found.count(None)
    parts = [f"{failed} claim(s) do not hold"] if failed else []
    parts += [f"{unresolved} claim(s) not resolved"] if unresolved else []
    print(f"\n{', '.join(parts) or 'All claims hold'}.")
    return int(failed > 0)


def say(text: object) -> None:
    """A line of progress, out at once even through a pipe."""
    print(text, flush=True)
    sys.stdout.flush()


def report(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows, and print them under an empty line."""
    rows = list(rows)
    write_csv(path, header, rows)
    print()
    table(header, rows)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header, columns aligned."""
    lines = [list(header), *([_show(value) for value in row] for row in rows)]
    widths = [max(len(line[c]) for line in lines) for c in range(len(header))]
    for line in lines:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def _show(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows at full precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(
            [repr(float(v)) if isinstance(v, float) else v for v in row] for row in rows
        )


def write_series(path: Path, **columns: Sequence[float] | np.ndarray) -> None:
    """Write columns of numbers of one length, each under its name."""
    write_csv(path, list(columns), np.column_stack(list(columns.values())).tolist())


# Problems and laws


def sine(count: int) -> mfpde.Problem:
    """sin(pi x) at ``count`` points of [-1, 1], lifted to d = 2 and read from the second."""
    x = np.linspace(-1, 1, count)[:, None]
    return mfpde.Problem(x, np.sin(np.pi * x), block=mfpde.SHL(dim=2), readout="last")


def learning(amplitude: float = 0.3, count: int = 8, **block: Any) -> mfpde.Problem:
    """x + amplitude sin(πx) at ``count`` points of [-1, 1], hidden states in R."""
    x = np.linspace(-1.0, 1.0, count)[:, None]
    return mfpde.Problem(x, x + amplitude * np.sin(np.pi * x), block=mfpde.SHL(1, **block))


# Options of scripts that take data by file, for ``script``.
DATA = {
    "data": {"default": "digits", "help": "bundled set, .npz or .csv file"},
    "inputs": {"nargs": "+", "help": "input columns of a .csv"},
    "targets": {"nargs": "+", "help": "target columns of a .csv"},
}


DIABETES = DATA | {"data": {"default": "diabetes", "help": DATA["data"]["help"]}}


def supervised(x: np.ndarray, y: np.ndarray, components: int) -> mfpde.Problem:
    """Principal components beside zeros that the readout reads; labels one-hot, values scaled."""
    labels = y.ndim == 1 and y.dtype.kind in "iu"
    targets = data.one_hot(y) if labels else (y - y.mean(axis=0)) / y.std(axis=0)
    outputs = 1 if targets.ndim == 1 else targets.shape[1]
    inputs = data.principal_components(x, min(components, *x.shape))
    block = mfpde.SHL(dim=inputs.shape[1] + outputs, activation="tanh")
    return mfpde.Problem(inputs, targets, block=block, embed="pad", readout="last")


def silent_law(problem: mfpde.Problem) -> laws.Law:
    """u = 0, (w, b) standard Gaussian: the initialisation of Barboni et al. 2024."""
    d = problem.block.dim
    return laws.Product(laws.Dirac(0.0, dim=d), laws.Gaussian(1.0, dim=d + 1))


def standardised(source: str, inputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """One input column and the target of a data set, mean 0 and standard deviation 1."""
    x, y = data.load(source, inputs=inputs, targets=targets)
    column = x[:, 2 if source == "diabetes" else 0]  # the body-mass index
    columns = np.stack([column, np.asarray(y, float).reshape(len(y))])
    columns -= columns.mean(axis=1, keepdims=True)
    x, y = columns / columns.std(axis=1, keepdims=True)
    return x, y


@dataclass(frozen=True)
class Images:
    """The problem on the first images, inputs (n, d_in) and classes (n,) of those held out."""

    problem: mfpde.Problem
    unseen: np.ndarray
    classes: np.ndarray

    @classmethod
    def load(cls, source: str, size: Sizes) -> Images:
        x, y = data.load(source)
        if not (y.ndim == 1 and y.dtype.kind in "iu"):
            raise SystemExit(f"--data must hold integer class labels; {source} does not")
        unseen = min(size.unseen, len(x) // 5)
        x, y = data.subset(x, y, min(size.count + unseen, len(x)))
        whole, seen = supervised(x, y, size.components), len(x) - unseen
        problem = _restricted(whole, slice(None, seen))
        return cls(problem, whole.x[seen:], whole.y[seen:].argmax(axis=1))

    def accuracy(self, rho: mfpde.ParticleMeasure) -> float:
        """Share of the unseen images whose largest output is that of their class."""
        outputs = mfpde.predict(self.problem, rho, self.unseen)
        return float(np.mean(outputs.argmax(axis=1) == self.classes))


def _restricted(problem: mfpde.Problem, rows: slice | np.ndarray) -> mfpde.Problem:
    """The same problem on some of its data."""
    how = {"block": problem.block, "embed": problem.embed, "readout": problem.readout}
    return mfpde.Problem(problem.x[rows], problem.y[rows], **how)


# The limit


def sobol_start(
    problem: mfpde.Problem, steps: int, count: int, seed: int = 0
) -> mfpde.ParticleMeasure:
    """The silent law by quadrature particles, fresh at every depth of rk4."""
    depth, how = mfpde.Depth(steps, "rk4"), {"coupling": "independent", "seed": seed}
    return mfpde.ParticleMeasure.from_law(silent_law(problem), depth, count=count, **how)


def on_batches(
    problem: mfpde.Problem, rho: mfpde.ParticleMeasure, size: Sizes, step: float, seed: int | None
) -> mfpde.ParticleMeasure:
    """Gradient descent of a measure to s_end, on the batches of the network ``seed`` or on all."""
    for n in range(round(size.s_end / step)):
        part = problem
        if seed is not None:
            rows = randomness.minibatch(seed, n, size.batch, problem.size)
            part = _restricted(problem, rows)
        change = step * mfpde.gradient(part, rho)
        rho = mfpde.ParticleMeasure(rho.theta - change, rho.depth, rho.weights)
    return rho


def descend(
    problem: mfpde.Problem, rho0: mfpde.ParticleMeasure, step: float, times: Sequence[float]
) -> mfpde.Solution:
    """Gradient descent with the networks' own step: only depth and width differ."""
    how = {"method": "gd", "step": step, "save": [s for s in times if s > 0]}
    return mfpde.solve(problem, rho0, s_end=times[-1], **how)


# Finite networks beside the limit


def fastest_backend() -> str:
    """For deep networks on few data: torch on a GPU, the package's compiled passes elsewhere."""
    try:
        import torch
    except ImportError:
        return "particles"
    return "torch" if torch.cuda.is_available() else "particles"


def shapes_of(layers: Iterable[int], widths: Iterable[int]) -> list[Shape]:
    """All (L, M)."""
    return list(product(layers, widths))


def at_shape(rows: Iterable[Sequence[Any]], shapes: Iterable[Shape], column: int) -> np.ndarray:
    """Values of a column of rows (L, M, ...) at each shape, (shapes, repeats)."""
    rows = list(rows)
    return np.array([[row[column] for row in rows if row[:2] == shape] for shape in shapes])


def rms(difference: np.ndarray) -> np.ndarray:
    """Root mean square over data and outputs, (..., N, k) to (...)."""
    return np.sqrt(np.mean(np.square(difference), axis=(-2, -1)))


def pooled(outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """The mean of independent outputs (N, k), and its uncertainty: one RMS standard error."""
    found = np.stack(outputs)
    spread = found.std(axis=0, ddof=1)
    return found.mean(axis=0), float(rms(spread)) / float(np.sqrt(len(found)))


def with_riders(rho: mfpde.ParticleMeasure, starts: np.ndarray) -> mfpde.ParticleMeasure:
    """``rho`` and particles (L, m, p) without mass at its first L nodes.

    The limit's field moves them and does not see them, so that i.i.d. samples of the initial law
    end as i.i.d. samples of the law at s.
    """
    riders = np.concatenate([starts, starts[-1:]])  # the node at t = 1 has no layer
    theta = np.concatenate([rho.theta, riders], axis=1)
    weights = np.concatenate([rho.weights, np.zeros(riders.shape[:2])], axis=1)
    return mfpde.ParticleMeasure(theta, rho.depth, weights)


# The published study of depth and width (Chizat 2025): data, training, errors

D = 10  # dimension and number of data
STEPS = 100
GAUSSIAN = laws.Gaussian(1.0, dim=2 * D)
PUBLISHED_LOSS = {10: 0.55, 20: 0.37, 40: 0.21, 60: 0.105, 80: 0.06}


def gaussian_data(draw: int) -> mfpde.Problem:
    """X, Y ~ N(0, 1), in the coordinates in which the published training is the plain flow.

    The published layer is H + V tanh(U'H/D)/(LM), entries of U and V of size sqrt(D), 100 steps of
    rate D on half the mean square; u = V/sqrt(D), w = U/sqrt(D), A = Id/sqrt(D), B = sqrt(D) Id.
    """
    x, y = np.random.default_rng(np.random.SeedSequence(draw)).standard_normal((2, D, D))
    root = np.sqrt(D) * np.eye(D)
    block = mfpde.SHL(dim=D, activation="tanh", bias=False)
    return mfpde.Problem(x, y, block=block, embed=root / D, readout=root)


def train(
    problem: mfpde.Problem, layers: int, width: int, seeds: Iterable[int], record: int = STEPS
) -> mfpde.resnet.Training:
    """Networks after the published number of steps."""
    how = {"layers": layers, "width": width, "seeds": [*seeds], "s_end": STEPS / D, "step": 1 / D}
    return mfpde.resnet.train(problem, GAUSSIAN, record=record, backend=fastest_backend(), **how)


def deep_reference(problem: mfpde.Problem, size: int) -> tuple[np.ndarray, float]:
    """Mean output (N, D) of two networks with L = M = size, and its uncertainty."""
    one, two = (train(problem, size, size, [seed]).outputs[0] for seed in track((101, 102), "deep"))
    return 0.5 * (one + two), 0.5 * float(rms(one - two))


def errors_of(problem: mfpde.Problem, exact: np.ndarray, shapes: list[Shape]) -> np.ndarray:
    """Distances of the outputs of five networks of each shape to the reference, (shapes, 5)."""
    runs = (train(problem, *shape, range(1, 6)) for shape in track(shapes, "networks"))
    return np.array([rms(run.outputs - exact) for run in runs])


def published_losses(draws: int) -> list[tuple[float, ...]]:
    """Rows (draw, distance of its log-losses to the published ones, losses)."""
    published, steps = np.array(list(PUBLISHED_LOSS.values())), np.array(list(PUBLISHED_LOSS))
    rows = []
    for draw in track(range(draws), "draws"):
        loss = 2 / D * train(gaussian_data(draw), 100, 100, [0], record=10).loss[0, steps // 10]
        distance = float(np.sqrt(np.mean(np.log(loss / published) ** 2)))
        rows.append((draw, distance, *loss.tolist()))
    return rows


# The published study of tied weights (Marion, Wu, Sander, Biau 2024): layers h + V GELU(W h)/L

WIDE = 16  # dimension of the states


def tied_data(count: int, width: int, seed: int = 0) -> mfpde.Problem:
    """X, Y ~ N(0, 1), in the coordinates in which the published training is the plain flow.

    u = sqrt(M) V, w = sqrt(M) W, A = Id/sqrt(M), B = sqrt(M) Id; descent of rate r L on the mean
    square over all entries is that of step 2 r/d.
    """
    x, y = np.random.default_rng(np.random.SeedSequence(seed)).standard_normal((2, count, WIDE))
    root = np.sqrt(width) * np.eye(WIDE)
    block = mfpde.SHL(dim=WIDE, activation="gelu", bias=False)
    return mfpde.Problem(x, y, block=block, embed=root / width, readout=root)


def tied_law(width: int) -> laws.Law:
    """V = 0 and W standard Gaussian."""
    return laws.Product(laws.Dirac(0.0, dim=WIDE), laws.Gaussian(np.sqrt(width), dim=WIDE))


def tied_start(depth: mfpde.Depth, width: int) -> mfpde.ParticleMeasure:
    """The same draw of M particles at every depth."""
    how = {"count": width, "rule": "iid", "coupling": "tied", "seed": 0}
    return mfpde.ParticleMeasure.from_law(tied_law(width), depth, **how)


def tied_training(
    problem: mfpde.Problem, layers: int, width: int, **how: Any
) -> mfpde.resnet.Training:
    """A network by gradient descent from that start."""
    how |= {"layers": layers, "width": width, "seeds": [0], "backend": fastest_backend()}
    return mfpde.resnet.train(problem, tied_law(width), coupling="tied", **how)


def weights(theta: np.ndarray) -> dict[str, np.ndarray]:
    """V and W of parameters (..., L, M, 2d), in the scale of the paper."""
    scaled = theta / np.sqrt(theta.shape[-2])
    return {"V": scaled[..., :WIDE], "W": scaled[..., WIDE:]}


def jumps(theta: np.ndarray) -> list[float]:
    """max_k |Z_{k+1} - Z_k| in Frobenius norm for Z = V, W; theta (..., L, M, 2d)."""
    changes = [np.diff(z, axis=-3) for z in weights(theta).values()]
    return [float(np.sqrt(np.square(change).sum(axis=(-2, -1))).max()) for change in changes]


# Stability of the flow


def expansion(
    problem: mfpde.Problem, s: np.ndarray, states: Sequence[mfpde.ParticleMeasure]
) -> tuple[np.ndarray, np.ndarray]:
    """Λ(s), the fastest linear expansion of two flows, and its integral from 0.

    Minus the least eigenvalue of E's Hessian in the COT metric, for equal masses at every depth,
    which make the Hessian symmetric; by Lanczos with differences of the gradient.
    """
    rate = np.array([-_lanczos(problem, rho, return_eigenvectors=False)[0] for rho in states])
    return rate, trapezoids(s, rate)


def expanding(problem: mfpde.Problem, rho: mfpde.ParticleMeasure) -> np.ndarray:
    """The direction (K, M, p) of fastest expansion, of unit root mean square over particles."""
    direction = _lanczos(problem, rho, return_eigenvectors=True)[1].reshape(rho.theta.shape)
    return direction * np.sqrt(direction.shape[0] * direction.shape[1])


def _lanczos(problem: mfpde.Problem, rho: mfpde.ParticleMeasure, **how: bool) -> Any:
    def product(v: np.ndarray) -> np.ndarray:
        scale = 1e-4 * np.sqrt(v.size) / np.linalg.norm(v)
        change = scale * v.reshape(rho.theta.shape)
        up, down = (
            mfpde.gradient(problem, mfpde.ParticleMeasure(rho.theta + step, rho.depth))
            for step in (change, -change)
        )
        return (up - down).ravel() / (2 * scale)

    size = rho.theta.size
    start = np.random.default_rng(np.random.SeedSequence(0)).standard_normal(size)
    hessian = LinearOperator((size, size), matvec=product, dtype=float)
    return eigsh(hessian, k=1, which="SA", tol=1e-3, v0=start, **how)


def trapezoids(s: np.ndarray, values: np.ndarray) -> np.ndarray:
    """∫₀^s of a series, by trapezoids."""
    return np.concatenate([[0.0], np.cumsum(np.diff(s) * 0.5 * (values[1:] + values[:-1]))])


# Fits, and what is said of them


def orders(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> np.ndarray:
    """Exponents of y ~ x^q between consecutive finite points."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    keep = np.isfinite(y)
    found: np.ndarray = np.diff(np.log(y[keep])) / np.diff(np.log(x[keep]))
    return found


def near(value: float, target: float, share: float = 0.25) -> bool:
    """Whether ``value`` is the target up to a share of it."""
    return bool(abs(value / target - 1) <= share)


def spread(value: float, interval: Sequence[float], digits: str = ".3f") -> str:
    """A number with its 95 % interval."""
    return f"{value:{digits}} [{interval[0]:{digits}}, {interval[1]:{digits}}]"


def width_claim(text: str, fit: FiniteSizeFit) -> Claim:
    """That an error has slope -1/2 in LM where width rules."""
    added = "a/L + b/sqrt(LM)" if fit.form == "sum" else "sqrt(a^2/L^2 + b^2/(LM))"
    a, b = spread(fit.a, fit.a_interval, ".3g"), spread(fit.b, fit.b_interval, ".3g")
    slope = spread(fit.exponent, fit.exponent_interval)
    measured = f"slope {slope}; {added} with a = {a}, b = {b}."
    return Claim(text, measured, abs(fit.exponent + 0.5) <= 0.1)


def depth_claim(text: str, fit: FiniteSizeFit) -> Claim:
    """That an error has slope -1 in L where depth rules."""
    slope = spread(fit.depth_exponent, fit.depth_exponent_interval)
    a = spread(fit.a, fit.a_interval, ".3g")
    return Claim(text, f"slope {slope}; a = {a}.", abs(fit.depth_exponent + 1.0) <= 0.15)
