"""What a law is as a function of depth, looked at wherever a run might not look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde.depth import Depth
from mfpde.laws import Coupled, DepthLaw, Law, at_depth
from mfpde.limits.gaps import ORDER_HIGH
from mfpde.limits.sizes import DEPTH_STEPS
from mfpde.measures import quadrature

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Pieces = tuple[tuple[int, int], ...]

EVEN, RANDOM = 256, 256
# Interpolation error of the law, RMS over depth and relative to its size, that counts as seen.
RESOLVED = 0.05
LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
# Steps at which the law's smoothness shows; a law that is missed by less there is smooth enough.
ROUGH_AT, SMOOTH = (13, 55), 1e-6
# Points that show the quantiles of coordinates that hang together; the same at all depths.
SAMPLE, SEED = 256, np.random.SeedSequence(20240602)


class LawInDepth:
    """A law with what it does over depth: which coordinates it never fixes, and how it varies.

    The law is evaluated at 257 even and 256 random depths (always the same ones), each coordinate
    by itself; of coordinates that hang together their covariances too. Features narrower than
    about 1/500 of the depth escape it.

    ``pieces`` has the sheets and coordinates of each of the law's pieces, None where these are not
    the same at all depths; ``random`` and ``smooth`` tell of the coordinates of all pieces which
    are not fixed, and which have a smooth density, at some depth.
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
        self.constant = isinstance(law, Law)
        pieces = [one.pieces for one in found]
        shapes = {tuple((len(p.shares), len(p.marginals)) for p in each) for each in pieces}
        lines = [[m for piece in each for m in piece.marginals] for each in pieces]
        self.pieces: Pieces | None = shapes.pop() if len(shapes) == 1 else None
        if self.pieces is None:
            lines = lines[:1]
        self.random: Flags = np.any([[m.random for m in each] for each in lines], axis=0)
        self.smooth: Flags = np.any([[m.smooth for m in each] for each in lines], axis=0)
        self._coupled = any(isinstance(one, Coupled) for one in found)

    @property
    def widest(self) -> int:
        """Random coordinates of the piece that has most."""
        assert self.pieces is not None
        parts = np.split(self.random, np.cumsum([n for _, n in self.pieces])[:-1])
        return max(int(part.sum()) for part in parts)

    @property
    def sheets(self) -> int:
        """Particles of a tensor rule of one node in every coordinate."""
        return sum(sheets for sheets, _ in self.pieces or ())

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

    def order(self) -> float:
        """The order in the step that the law's own smoothness in depth allows, at most 4.

        A jump is missed like L^−1/2 in the root mean square and leaves an error like 1/L, a kink
        like L^−3/2 and like L^−2; a smooth law is missed like L^−3 and leaves the order to rk4.
        """
        if self.constant:
            return ORDER_HIGH
        coarse, fine = (self.missed(steps) for steps in ROUGH_AT)
        if fine <= SMOOTH:
            return ORDER_HIGH
        shown = np.log(coarse / fine) / np.log(ROUGH_AT[1] / ROUGH_AT[0])
        return 1.0 if shown < 1.0 else 2.0 if shown < 2.25 else ORDER_HIGH

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
        """Quantiles of every coordinate, (depths, p, levels), and covariances beside them."""
        laws = [at_depth(self.law, float(t)) for t in depths]
        if not self._coupled:
            v = np.repeat(LEVELS[:, None], laws[0].dim, axis=1)
            return np.stack([law.quantiles(v).T for law in laws])
        points = [quadrature.points(law, SAMPLE, "sobol", SEED)[0] for law in laws]
        quantiles = np.quantile(np.stack(points), LEVELS, axis=1).transpose(1, 2, 0)
        covariances = np.stack([law.covariance for law in laws]).reshape(len(laws), -1, 1)
        return np.concatenate([quantiles, np.repeat(covariances, LEVELS.size, axis=2)], axis=1)


def _parabolas(nodes: Array, depths: Array, steps: int) -> Array:
    """Values (K, p, l) at the nodes of ``steps`` rk4 steps, interpolated step by step."""
    step = np.minimum((depths * steps).astype(int), steps - 1)
    z = (2.0 * (depths * steps - step) - 1.0)[:, None, None]
    left, middle, right = nodes[2 * step], nodes[2 * step + 1], nodes[2 * step + 2]
    out: Array = middle + 0.5 * z * (right - left) + 0.5 * z**2 * (right + left - 2.0 * middle)
    return out
