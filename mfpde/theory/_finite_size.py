"""How far a finite network is from the limit: fits of the error over depth L and width M."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks

Array = NDArray[np.float64]
Interval = tuple[float, float]

FORMS = {"sum": 1.0, "quadrature": 2.0}

# A term rules where it is this many times the other.
DOMINANT = 3.0
REWEIGHTINGS = 30


@dataclass(frozen=True)
class FiniteSizeFit:
    """error(L, M) from a/L and b/√(LM), with bootstrap intervals and free exponents.

    ``form`` "sum": a/L + b/√(LM); "quadrature": √((a/L)² + b²/(LM)). ``exponent`` is that of LM
    where the width term dominates (theory: −1/2), ``depth_exponent`` that of L where the depth
    term does (theory: −1), both fitted freely; NaN where fewer than two sizes are dominated.
    Intervals are (low, high) at ``level``.
    """

    a: float
    b: float
    exponent: float
    depth_exponent: float
    a_interval: Interval
    b_interval: Interval
    exponent_interval: Interval
    depth_exponent_interval: Interval
    level: float
    form: str = "sum"

    def __call__(self, layers: ArrayLike, width: ArrayLike) -> Array:
        """The fitted error of networks of L layers and width M."""
        terms = _terms(np.asarray(layers, float), np.asarray(width, float))
        return _combine(terms, np.array([self.a, self.b]), FORMS[self.form])


@checks.typed
def fit_finite_size(
    layers: ArrayLike,
    width: ArrayLike,
    errors: ArrayLike,
    *,
    form: str = "sum",
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> FiniteSizeFit:
    """Fit a/L and b/√(LM), a, b >= 0, to the RMS over seeds of measured errors.

    ``layers`` (n,), ``width`` (n,), ``errors`` (n, S) of S seeds per shape. ``form`` "sum" adds
    the two terms, as the bounds of the theory do; "quadrature" adds their squares, as the RMS over
    seeds does where depth shifts the output and width scatters it about that shift with mean zero.
    Squares of log(fit/RMS) are minimised, so that small and large errors weigh alike; intervals
    resample the seeds of every shape.
    Source of the terms: Chizat 2025, Thm 1 (O(1/L + 1/√(LM)) for i.i.d. initialisation).

    Raises ValueError for wrong shapes, an unknown form or errors that are not positive.
    """
    e = checks.nonempty("errors", checks.array("errors", errors, ("shapes", "seeds")))
    if np.any(e <= 0):
        raise ValueError("errors must be > 0")
    depth = checks.array("layers", layers, (len(e),))
    m = checks.array("width", width, (len(e),))
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1); given {level!r}")
    power = FORMS[checks.choice("form", form, FORMS)]
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    best = _fit(depth, m, e, power)
    checks.memory("resamples", 8.0 * checks.count("resamples", resamples) * e.size, "take fewer")
    draws = rng.integers(e.shape[1], size=(resamples, *e.shape))
    samples = [_fit(depth, m, np.take_along_axis(e, d, axis=1), power) for d in draws]
    of_a, of_b, of_width, of_depth = (_interval(v, level) for v in np.array(samples).T)
    return FiniteSizeFit(*best, of_a, of_b, of_width, of_depth, level, form)


def _terms(layers: Array, width: Array) -> Array:
    """1/L and 1/√(LM), (..., 2)."""
    return np.stack(np.broadcast_arrays(1 / layers, 1 / np.sqrt(layers * width)), axis=-1)


def _combine(terms: Array, coefficients: Array, power: float) -> Array:
    return np.asarray((terms**power @ coefficients**power) ** (1 / power))


def _fit(
    layers: Array, width: Array, errors: Array, power: float
) -> tuple[float, float, float, float]:
    """a, b and the exponents of LM and L where their terms rule."""
    rms = np.sqrt(np.mean(np.square(errors), axis=1))
    terms = _terms(layers, width)
    a, b = _least_log_squares(terms**power, rms**power) ** (1 / power)
    of_depth, of_width = a * terms[:, 0], b * terms[:, 1]
    wide, deep = of_depth >= DOMINANT * of_width, of_width >= DOMINANT * of_depth
    exponent = slope(layers[deep] * width[deep], rms[deep])
    return float(a), float(b), exponent, slope(layers[wide], rms[wide])


def _least_log_squares(terms: Array, target: Array) -> Array:
    """c >= 0 with least Σ log²(terms·c / target), by reweighted least squares.

    The weights w = log(f/y) / (f (f − y)) turn the stationarity of weighted squares of f − y into
    that of the logarithms.
    """
    from scipy.optimize import nnls

    weights = 1 / target**2
    for _ in range(REWEIGHTINGS):
        root = np.sqrt(weights)
        c, _ = nnls(terms * root[:, None], target * root)
        f = terms @ c
        ratio = f / target - 1
        near = np.abs(ratio) < 1e-6
        safe = np.where(near, 1.0, ratio)
        weights = np.where(near, 1.0, np.log1p(safe) / safe) / (f * target)
    return c


def _interval(values: Array, level: float) -> Interval:
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    return float(low), float(high)


def slope(size: ArrayLike, error: ArrayLike) -> float:
    """Least-squares slope of log(error) over log(size); NaN with fewer than two sizes."""
    x, y = np.log(np.asarray(size, float)), np.log(np.asarray(error, float))
    if len(np.unique(x)) < 2:
        return float("nan")
    return float(np.polyfit(x, y, 1)[0])
