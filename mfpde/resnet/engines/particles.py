"""The package's own passes through explicit Euler depth, one network after another; any block."""

from __future__ import annotations

import numpy as np

from mfpde.depth import Depth
from mfpde.passes import propagate
from mfpde.passes.propagate import Forward, Layers
from mfpde.resnet.engines.arrays import Arrays
from mfpde.resnet.engines.base import Array, Pass, Rows


class Particles(Arrays):
    """Compiled sweeps for SHL blocks, the block's own sums for others."""

    name = "particles"

    def gradient(self, theta: Array, rows: Rows | None = None) -> Pass:
        start, y = self.data(len(theta), rows)
        passed = [self._forward(one, x, keep=True) for one, x in zip(theta, start, strict=True)]
        outputs = np.stack([one.end @ self.readout.T for one in passed])
        terminal = self.cotangent(outputs, y)
        slope = np.empty_like(theta)
        for index, one in enumerate(theta):
            back = propagate.adjoint(self._layers(one), passed[index], terminal[index])
            np.multiply(back.gradient, theta.shape[1], out=slope[index])
        return Pass(self.loss(outputs, y), outputs, slope)

    def evaluate(self, theta: Array, rows: Rows | None = None) -> tuple[Array, Array]:
        start, y = self.data(len(theta), rows)
        ends = [self._forward(one, x).end for one, x in zip(theta, start, strict=True)]
        outputs = np.stack([end @ self.readout.T for end in ends])
        return self.loss(outputs, y), outputs

    def _forward(self, theta: Array, start: Array, *, keep: bool = False) -> Forward:
        return propagate.forward(self._layers(theta), start, keep=keep)

    def _layers(self, theta: Array) -> Layers:
        depth, width = theta.shape[:2]
        weights = np.full((depth, width), 1.0 / width, self.dtype)
        return Layers(self.problem.block, Depth(depth, "euler"), theta, weights)
