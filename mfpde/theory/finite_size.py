"""How far a finite network is from the limit: fits of the error over depth L and width M."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FiniteSizeFit:
    """error(L, M) = a/L + b/√(LM), with bootstrap intervals and the free exponent of width.

    ``exponent`` is that of LM, fitted freely where the width term dominates (theory: −1/2).
    Intervals are (low, high) at ``level``.
    """

    a: float
    b: float
    exponent: float
    a_interval: tuple[float, float]
    b_interval: tuple[float, float]
    exponent_interval: tuple[float, float]
    level: float

    def __call__(self, layers: ArrayLike, width: ArrayLike) -> Array:
        """The fitted error of networks of L layers and width M."""
        depth, m = np.asarray(layers, float), np.asarray(width, float)
        return np.asarray(self.a / depth + self.b / np.sqrt(depth * m))


def fit_finite_size(
    layers: ArrayLike,
    width: ArrayLike,
    errors: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> FiniteSizeFit:
    """Fit error(L, M) = a/L + b/√(LM), a, b >= 0, to the RMS over seeds of measured errors.

    ``layers`` (n,), ``width`` (n,), ``errors`` (n, S) of S seeds per shape. Relative residuals
    are squared, so that small and large errors weigh alike; intervals resample the seeds of every
    shape. Source of the form: Chizat 2025, Thm 1 (O(1/L + 1/√(LM)) for i.i.d. initialisation).

    Raises ValueError for wrong shapes or errors that are not positive.
    """
    e = checks.array("errors", errors, ("shapes", "seeds"))
    if np.any(e <= 0):
        raise ValueError("errors must be > 0")
    depth = checks.array("layers", layers, (len(e),))
    m = checks.array("width", width, (len(e),))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    best = _fit(depth, m, e)
    draws = rng.integers(e.shape[1], size=(resamples, *e.shape))
    samples = np.array([_fit(depth, m, np.take_along_axis(e, d, axis=1)) for d in draws])
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(samples, [tail, 100 - tail], axis=0)
    of_a, of_b, of_exponent = ((float(u), float(v)) for u, v in zip(low, high, strict=True))
    return FiniteSizeFit(*best, of_a, of_b, of_exponent, level)


def _fit(layers: Array, width: Array, errors: Array) -> tuple[float, float, float]:
    from scipy.optimize import nnls

    rms = np.sqrt(np.mean(np.square(errors), axis=1))
    terms = np.stack([1 / layers, 1 / np.sqrt(layers * width)], axis=1)
    (a, b), _ = nnls(terms / rms[:, None], np.ones(len(rms)))
    dominated = b * terms[:, 1] >= 3 * a * terms[:, 0]
    return float(a), float(b), slope(layers[dominated] * width[dominated], rms[dominated])


def slope(size: ArrayLike, error: ArrayLike) -> float:
    """Least-squares slope of log(error) over log(size); NaN with fewer than two sizes."""
    x, y = np.log(np.asarray(size, float)), np.log(np.asarray(error, float))
    if len(np.unique(x)) < 2:
        return float("nan")
    return float(np.polyfit(x, y, 1)[0])
