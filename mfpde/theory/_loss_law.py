"""The law of a finite network's trained loss over depth L and width M, fitted to samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LossLaw:
    """log E = c + a/L + q/(LM) + b ξ/√(LM), ξ ~ N(0, 1): the loss of networks trained to one s.

    e^c is the loss of the limit, a the bias of depth, q that of width and b the scatter between
    seeds. ``spread`` (shapes,) is the standard deviation of the residuals ξ at each fitted shape,
    1 where the law holds; ``samples`` (R, 4) are (c, a, q, b) refitted to resampled seeds;
    ``layers`` and ``blocks`` the ranges (low, high) of L and LM that were fitted.
    """

    c: float
    a: float
    q: float
    b: float
    spread: Array = field(repr=False)
    samples: Array = field(repr=False)
    layers: tuple[float, float]
    blocks: tuple[float, float]

    @property
    def limit(self) -> float:
        """e^c, the loss of the infinitely deep and wide limit."""
        return float(np.exp(self.c))

    def limit_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Bootstrap interval of ``limit``."""
        low, high = np.quantile(self.samples[:, 0], [0.5 - 0.5 * level, 0.5 + 0.5 * level])
        return float(np.exp(low)), float(np.exp(high))

    def median(self, layers: ArrayLike, width: ArrayLike) -> Array:
        """Median of E for networks of L layers and width M."""
        depth, blocks = _blocks(layers, width)
        return np.asarray(np.exp(self.c + self.a / depth + self.q / blocks))

    def probability(self, epsilon: ArrayLike, layers: ArrayLike, width: ArrayLike) -> Array:
        """P(E <= ε) for networks of L layers and width M."""
        from scipy.special import ndtr

        depth, blocks = _blocks(layers, width)
        margin = np.log(np.asarray(epsilon, float)) - self.c - self.a / depth - self.q / blocks
        return np.asarray(ndtr(margin * np.sqrt(blocks) / self.b))

    def blocks_needed(self, epsilon: float, eta: float, layers: float) -> float:
        """The smallest n = LM with P(E <= ε) >= 1 − η at depth L; inf where there is none.

        The positive root √n of g n − z b √n − q = 0 with the margin g = log ε − c − a/L that is
        left for width and z the (1 − η)-quantile of N(0, 1).
        """
        return float(
            _blocks_needed(np.array([[self.c, self.a, self.q, self.b]]), epsilon, eta, layers)[0]
        )

    def blocks_interval(
        self, epsilon: float, eta: float, layers: float, level: float = 0.95
    ) -> tuple[float, float]:
        """Bootstrap interval of ``blocks_needed``."""
        found = np.sort(_blocks_needed(self.samples, epsilon, eta, layers))
        tail = 0.5 - 0.5 * level
        low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")
        return float(low), float(high)


@checks.typed
def fit_loss_law(
    layers: ArrayLike,
    width: ArrayLike,
    losses: ArrayLike,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> LossLaw:
    """Fit log E = c + a/L + q/(LM) + b ξ/√(LM) to the losses of networks of several shapes.

    ``layers`` (n,), ``width`` (n,), ``losses`` (n, S) > 0 of S seeds per shape, all trained to one
    training time. Weighted least squares with the weights LM that the scatter implies; ``samples``
    resample the seeds of every shape. The form follows from errors O(1/L + 1/√(LM)) of the output
    (Chizat 2025, Thm 1), whose random part has mean zero to first order.

    Raises ValueError for wrong shapes, losses that are not positive, fewer than 2 seeds, or fewer
    than 4 shapes, 2 values of L or 2 values of M (the law could not be told from others).
    """
    e = checks.array("losses", losses, ("shapes", "seeds"))
    if np.any(e <= 0):
        raise ValueError("losses must be > 0")
    depth = checks.array("layers", layers, (len(e),))
    m = checks.array("width", width, (len(e),))
    if e.shape[1] < 2:
        raise ValueError(f"losses must hold at least 2 seeds of every shape; given {e.shape[1]}")
    if len(set(zip(depth, m, strict=True))) < 4 or min(len(set(depth)), len(set(m))) < 2:
        raise ValueError("layers and width must hold 4 shapes, of 2 depths and 2 widths, or more")
    log_e, blocks = np.log(e), depth * m
    best, residuals = _fit(depth, blocks, log_e)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    checks.memory("resamples", 8.0 * checks.count("resamples", resamples) * e.size, "take fewer")
    draws = rng.integers(e.shape[1], size=(resamples, *e.shape))
    samples = [_fit(depth, blocks, np.take_along_axis(log_e, d, axis=1))[0] for d in draws]
    c, a, q, b = (float(v) for v in best)
    return LossLaw(
        c,
        a,
        q,
        b,
        spread=np.sqrt(np.mean(np.square(residuals / b), axis=1)),
        samples=np.array(samples),
        layers=(float(depth.min()), float(depth.max())),
        blocks=(float(blocks.min()), float(blocks.max())),
    )


def _fit(layers: Array, blocks: Array, log_e: Array) -> tuple[Array, Array]:
    """(c, a, q, b) and the residuals b ξ, (n, S)."""
    root = np.sqrt(blocks)
    terms = np.stack([np.ones_like(layers), 1 / layers, 1 / blocks], axis=1) * root[:, None]
    found, *_ = np.linalg.lstsq(terms, root * log_e.mean(axis=1), rcond=None)
    residuals = root[:, None] * log_e - (terms @ found)[:, None]
    b = np.sqrt(np.square(residuals).sum() / (residuals.size - 3))
    return np.array([*found, b]), residuals


def _blocks(layers: ArrayLike, width: ArrayLike) -> tuple[Array, Array]:
    depth = np.asarray(layers, float)
    return depth, depth * np.asarray(width, float)


def _blocks_needed(laws: Array, epsilon: float, eta: float, layers: float) -> Array:
    """``blocks_needed`` of rows (c, a, q, b)."""
    from scipy.special import ndtri

    c, a, q, b = laws.T
    g, scatter = np.log(epsilon) - c - a / layers, ndtri(1 - eta) * b
    safe = np.where(g > 0, g, 1.0)
    root = (scatter + np.sqrt(np.maximum(scatter**2 + 4 * safe * q, 0.0))) / (2 * safe)
    return np.where(g > 0, np.maximum(root, 0.0) ** 2, np.inf)
