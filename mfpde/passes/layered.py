"""What measures at fixed depth nodes share: their layers, and passes through them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mfpde.kernels.gram import mirror
from mfpde.kernels.pools import serial_blas
from mfpde.passes import propagate, room
from mfpde.passes.interface import Array, Carried, Operator, Trajectories
from mfpde.passes.propagate import Adjoint, Forward, Layers


class LayeredCarried(Carried):
    """Data carried through ``layers``; their hidden states of every stage are kept."""

    def __init__(
        self, operator: Operator, state: Array, layers: Layers, start: Array | None, keep: bool
    ) -> None:
        self.operator, self.state, self.layers = operator, state, layers
        self.depth = layers.depth
        self.own, self.keep = start is None, keep
        self.begin = operator.start if start is None else start
        self.prepare()

    def prepare(self) -> None:
        """Carry the data, here all at once."""
        self.passed  # noqa: B018  now, where it is timed

    @cached_property
    def passed(self) -> Forward:
        """The hidden states of every stage."""
        keep = self.keep and room.keeps(self.operator.memory, self.layers, *self.begin.shape)
        return propagate.forward(self.layers, self.begin, keep=keep)

    @property
    def end(self) -> Array:
        return self.passed.end

    @serial_blas()
    def terminal(self, v: Array) -> Array:
        """Bᵀv in the precision of the state, (N, d)."""
        cotangent: Array = (v @ self.operator.problem.readout).astype(self.end.dtype)
        return cotangent

    @serial_blas()
    def read(self, mixes: Array, root: Array | None) -> Array:
        """Mixtures (q, k) of the outputs as readouts: (q, d), or (N, q, d) after S_i (N, k, k)."""
        readout = self.operator.problem.readout
        return np.asarray((mixes if root is None else mixes @ root) @ readout)

    @cached_property
    def back(self) -> Adjoint:
        """The adjoint of the data's term, with its factor 1/N."""
        v = self.slope / self.operator.problem.size
        return propagate.adjoint(self.layers, self.passed, self.terminal(v))

    def trajectories(self) -> Trajectories:
        t = np.linspace(0.0, 1.0, self.depth.steps + 1)
        return Trajectories(t, self.passed.path, len(self.end) * self.back.path)

    @cached_property
    def node_states(self) -> Array:
        """X_i(t_k) at every node, (K, N, d): the b-weighted mean of the stage states read there."""
        out = np.zeros((len(self.depth.nodes), *self.end.shape))
        for (step, i), k in np.ndenumerate(self.depth.stage_nodes):
            weight = self.depth.tableau.b[i] * self.depth.step / self.depth.weights[k]
            out[k] += weight * self.passed.stages[step, i]
        return out

    @cached_property
    def node_adjoints(self) -> Array:
        """P_i(t_k)/N as the first variation reads it, Σ_e Q_e/ω_k, (K, N, d)."""
        out = np.zeros((len(self.depth.nodes), *self.end.shape))
        for (step, i), k in np.ndenumerate(self.depth.stage_nodes):
            out[k] += self.back.cotangents[step, i] / self.depth.weights[k]
        return out

    @serial_blas()
    def potential_at(self, node: int, theta: Array) -> Array:
        block, out = self.operator.problem.block, np.zeros(len(theta), theta.dtype)
        for states, q in self._reads[node]:
            out += block.potential(states, theta, q)
        out /= float(self.depth.weights[node])
        return out

    @serial_blas()
    def potential_slope(self, node: int, theta: Array) -> Array:
        block, out = self.operator.problem.block, np.zeros(theta.shape, theta.dtype)
        for states, q in self._reads[node]:
            out += block.gradient(states, theta, q)
        out /= float(self.depth.weights[node])
        return out

    @cached_property
    def _reads(self) -> list[list[tuple[Array, Array]]]:
        """The stage states and cotangents that each node is read at."""
        reads: list[list[tuple[Array, Array]]] = [[] for _ in self.depth.nodes]
        for (step, i), k in np.ndenumerate(self.depth.stage_nodes):
            reads[k].append((self.passed.stages[step, i], self.back.cotangents[step, i]))
        return reads

    @serial_blas()
    def layer_slopes(self, node: int) -> Array:
        """∫ D_xf(X_i(t_k), θ) ρ_t(dθ) for every datum, (N, d, d)."""
        block, _, theta, weights = self.layers
        states = self.node_states[node]
        n, d = states.shape
        jacobian = np.empty((n, d, d))
        for c in range(d):
            q = np.zeros((n, d))
            q[:, c] = 1.0
            jacobian[:, c] = block.backward(states, theta[node], weights[node], q)[0]
        return jacobian

    @serial_blas()
    def hidden_kernel(self, node: int) -> Array:
        """∫ D_θf(X_i, θ) D_θf(X_j, θ)ᵀ ρ_t(dθ) at the states of a node, (N·d, N·d)."""
        block, _, theta, weights = self.layers
        states = self.node_states[node]
        n, d = states.shape
        unit = np.ascontiguousarray(np.broadcast_to(np.eye(d), (n, d, d)))
        kernel = np.zeros((n * d, n * d))
        factor = block.sensitivity(states, theta[node], weights[node], unit)[1]
        self._add_gram(node, factor, kernel)
        return kernel

    def _add_gram(self, node: int, factor: Array, kernel: Array) -> None:
        a = self.layers.weights[node]
        self.layers.block.gram([factor], a, 1.0, kernel)
        mirror(kernel)
