"""Hand-written adjoint of SHL networks, layer by layer through BLAS, on one core."""

from __future__ import annotations

import numpy as np

from mfpde.blocks import SHL, computes
from mfpde.kernels import layered
from mfpde.kernels.activate import FROM_VALUE
from mfpde.problem import Problem
from mfpde.resnet.engines.arrays import Arrays
from mfpde.resnet.engines.base import Array, Descent, Pass, Rows

KEEP = 1 << 29  # bytes of σ kept between the passes; beyond, or where σ′ needs z, it is recomputed


class LayerByLayer(Arrays):
    """Networks one after another, each a compiled loop over its layers; θ is (S, L, p, M)."""

    name, coordinates = "layers", -2

    def __init__(self, problem: Problem, dtype: str = "float64") -> None:
        super().__init__(problem, dtype)
        if not computes(problem.block, SHL):
            raise TypeError(f"block must be SHL; given {problem.block!r}")
        self.code, self.bias = problem.block.activation.code, int(problem.block.bias)
        self._work: tuple[Array, ...] = ()
        self._slope = np.empty(0, self.dtype)

    def load(self, theta: Array) -> Array:
        return np.ascontiguousarray(theta.swapaxes(-1, -2), self.dtype)

    def unload(self, theta: Array) -> Array:
        return theta.swapaxes(-1, -2).copy()  # always: descents write over old buffers

    def rates(self, values: Array) -> Array:
        return values[:, None].astype(self.dtype)

    def gradient(self, theta: Array, rows: Rows | None = None) -> Pass:
        if self._slope.shape != theta.shape:
            self._slope = np.empty_like(theta)
        loss, outputs = self._back_and_forth(theta, np.empty(0, self.dtype), rows, self._slope)
        return Pass(loss, outputs, self._slope)

    def descend(self, theta: Array, step: Array, rows: Rows | None, out: Array) -> Descent:
        """``out`` ← θ − step·gradient, with ``step`` (p, 1)."""
        return Descent(*self._back_and_forth(theta, step.ravel(), rows, out), out)

    def _back_and_forth(
        self, theta: Array, step: Array, rows: Rows | None, out: Array
    ) -> tuple[Array, Array]:
        start, y = self.data(len(theta), rows)
        path, kept, z, s, t, slope = self._memory(theta.shape[1], theta.shape[3], start.shape[1])
        g = np.empty(theta.shape[2:] if step.size else (0, 0), self.dtype)
        outputs = np.empty((*start.shape[:2], len(self.readout)), self.dtype)
        for k, one in enumerate(theta):
            path[0] = start[k]
            layered.forward(self.code, self.bias, one, path, kept, z, s, t)
            outputs[k] = path[-1] @ self.readout.T
            p = self.cotangent(outputs[k : k + 1], y[k : k + 1])[0]
            layered.adjoint(
                self.code, self.bias, one, path, kept, z, s, t, slope, p, step, g, out[k]
            )
        return self.loss(outputs, y), outputs

    def evaluate(self, theta: Array, rows: Rows | None = None) -> tuple[Array, Array]:
        start, y = self.data(len(theta), rows)
        path, kept, z, s, t, _ = self._memory(theta.shape[1], theta.shape[3], start.shape[1])
        ends = np.empty_like(start)
        for index, one in enumerate(theta):
            path[0] = start[index]
            layered.forward(self.code, self.bias, one, path, kept[:0], z, s, t)
            ends[index] = path[-1]
        outputs = ends @ self.readout.T
        return self.loss(outputs, y), outputs

    def _memory(self, layers: int, width: int, data: int) -> tuple[Array, ...]:
        """Path, σ and scratch for one network, held between calls: fresh pages are dear."""
        shape = (layers, data, width)
        if not self._work or self._work[2].shape != shape[1:] or len(self._work[0]) != layers + 1:
            size = layers * data * width * self.dtype.itemsize
            keep = self.code in FROM_VALUE and size <= KEEP
            kept = np.empty(shape if keep else (0, data, width), self.dtype)
            path = np.empty((layers + 1, data, self.start.shape[1]), self.dtype)
            z, s, slope = np.empty((3, data, width), self.dtype)
            self._work = path, kept, z, s, np.empty_like(path[0]), slope
        return self._work
