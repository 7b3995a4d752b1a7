"""The particle path: compiled passes through explicit Euler depth, one network after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import propagate
from mfpde.depth import Depth
from mfpde.problem import Problem
from mfpde.propagate import Layers
from mfpde.resnet.engines.base import Pass, Rows

Array = NDArray[Any]


class Particles:
    """NumPy arrays in, NumPy arrays out; any block."""

    backend, name = "particles", "particles"

    def __init__(self, problem: Problem, dtype: str = "float64") -> None:
        self.problem, self.dtype = problem, np.dtype(dtype)
        self._start = problem.start().astype(self.dtype)

    def array(self, value: Array) -> Array:
        return np.ascontiguousarray(value, self.dtype)

    def numpy(self, value: Array) -> Array:
        return value

    def gradient(self, theta: Array, rows: Rows | None = None) -> Pass:
        count = len(theta)
        every: Any = [slice(None)] * count if rows is None else rows
        slope = np.empty_like(theta)
        losses, outputs = [], []
        for index in range(count):
            loss, z = self._network(theta[index], every[index], slope[index])
            losses.append(loss)
            outputs.append(z)
        return Pass(np.array(losses), np.stack(outputs), slope)

    def evaluate(self, theta: Array) -> tuple[Array, Array]:
        readout, y = self.problem.readout.T, self.problem.y
        ends = [propagate.forward(self._layers(one), self._start).end for one in theta]
        outputs = np.stack([end @ readout.astype(self.dtype) for end in ends])
        with np.errstate(all="ignore"):
            losses = [np.mean(self.problem.loss.value(z, y)) for z in outputs]
        return np.array(losses), outputs

    def _network(self, theta: Array, rows: Any, slope: Array) -> tuple[float, Array]:
        problem, layers = self.problem, self._layers(theta)
        start, y = self._start[rows], problem.y[rows]
        readout = problem.readout.astype(self.dtype)
        passed = propagate.forward(layers, start, keep=True)
        z = passed.end @ readout.T
        with np.errstate(all="ignore"):
            loss = float(np.mean(problem.loss.value(z, y)))
            residual = (problem.loss.gradient(z, y) / len(y)).astype(self.dtype)
        back = propagate.adjoint(layers, passed, residual @ readout)
        np.multiply(back.gradient, len(theta), out=slope)
        return loss, z

    def _layers(self, theta: Array) -> Layers:
        depth, width = theta.shape[:2]
        weights = np.full((depth, width), 1.0 / width, self.dtype)
        return Layers(self.problem.block, Depth(depth, "euler"), theta, weights)
