"""What a law is as a function of depth, looked at wherever a run might not look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.limits.sizes import DEPTH_STEPS

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

EVEN, RANDOM = 256, 256
# Interpolation error of the law, RMS over depth and relative to its size, that counts as seen.
RESOLVED = 0.05
LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])


class LawInDepth:
    """A law with what it does over depth: which coordinates it never fixes, and how it varies.

    The law is evaluated at 257 even and 256 random depths (always the same ones), each coordinate
    by itself. Features narrower than about 1/500 of the depth escape it.
    """

    def __init__(self, law: Law | DepthLaw, size: int) -> None:
        self.law = law
        even = np.linspace(0.0, 1.0, EVEN + 1)
        rng = np.random.default_rng(np.random.SeedSequence(20240601))
        self._t = even if isinstance(law, Law) else np.sort([*even, *rng.random(RANDOM)])
        found = [at_depth(law, float(t)) for t in self._t]
        for t, one in zip(self._t, found, strict=True):
            if one.dim != size:
                raise ValueError(
                    f"law must be on R^{size}, the parameters of the block; at t = {t:g} it is on "
                    f"R^{one.dim}"
                )
        self.random: Flags = np.any([[m.random for m in one.marginals] for one in found], axis=0)
        self.smooth: Flags = np.any([[m.smooth for m in one.marginals] for one in found], axis=0)
        self.constant = isinstance(law, Law)

    def least_steps(self) -> int:
        """The fewest rk4 steps whose nodes show what the law does between them.

        Raises ValueError for a law that the largest number does not show.
        """
        for steps in DEPTH_STEPS[2:]:
            if self.constant or self.missed(steps) <= RESOLVED:
                return steps
        raise ValueError(
            f"law varies over depth faster than {DEPTH_STEPS[-1]} rk4 steps can follow: "
            f"{self.missed(DEPTH_STEPS[-1]):.2g} of it lies between their nodes (allowed "
            f"{RESOLVED:g})"
        )

    def missed(self, steps: int) -> float:
        """Error of each step's parabola through its three nodes, RMS over depth, relative.

        Of the quantiles of each coordinate, beside their own RMS over depth; the largest
        coordinate counts.
        """
        nodes = self._quantiles(Depth(steps, "rk4").nodes)
        truth = self._quantiles(self._t)
        guess = _parabolas(nodes, self._t, steps)
        size = np.sqrt(np.mean(truth**2, axis=(0, 2)))
        off = np.sqrt(np.mean((guess - truth) ** 2, axis=(0, 2)))
        return float(np.max(off[size > 0] / size[size > 0], initial=0.0))

    def _quantiles(self, depths: Array) -> Array:
        """Quantiles of every coordinate, (depths, p, levels)."""
        v = np.repeat(LEVELS[:, None], self.random.size, axis=1)
        return np.stack([at_depth(self.law, float(t)).quantiles(v).T for t in depths])


def _parabolas(nodes: Array, depths: Array, steps: int) -> Array:
    """Values (K, p, l) at the nodes of ``steps`` rk4 steps, interpolated step by step."""
    step = np.minimum((depths * steps).astype(int), steps - 1)
    z = (2.0 * (depths * steps - step) - 1.0)[:, None, None]
    left, middle, right = nodes[2 * step], nodes[2 * step + 1], nodes[2 * step + 2]
    out: Array = middle + 0.5 * z * (right - left) + 0.5 * z**2 * (right + left - 2.0 * middle)
    return out
