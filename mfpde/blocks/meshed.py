"""Particle–mesh: sums over M particles and N data in M + N·(lattice points) operations.

    F(x) = Σ_j a_j u_j σ(w_j·x + b_j)  ≈  Σ_k μ_k σ(w_k·x + b_k),
    μ = Q Σ_j a_j u_j B((w_j, b_j)/h − k)

Particles are deposited on a lattice h·Z in (w, b) by cubic B-splines, the sums of the block run
over the lattice, where σ factorises, and the particles read the potential back by the same
splines. In other words σ(w·x + b) is replaced by its spline in (w, b), of error O(h⁴), and nothing
else: every derivative is the exact one of that block, so that discrete gradients, energy decay
and implicit steps hold to rounding. Source: the method is that of Hockney, Eastwood 1988.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import Block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.shl import SHL
from mfpde.depth import Depth
from mfpde.kernels import grid_sums, splines

Array = NDArray[Any]

MOST_POINTS = 1 << 20  # of one window


class Window(NamedTuple):
    """The part of the lattice that some particles touch."""

    first: NDArray[np.int64]  # (3,) lattice index of the corner
    shape: NDArray[np.int64]  # (3,) lattice points along each axis, 1 for a missing one
    values: Array  # coordinates of the axes, one after the other
    ends: NDArray[np.int64]  # (A + 1,) where each axis begins and ends in ``values``
    points: Array  # (d, W) w of every lattice point

    @property
    def size(self) -> int:
        """W, the number of lattice points."""
        return int(self.points.shape[1])


class Meshed(Block):
    """An ``SHL`` block whose sums over particles go through a lattice of width ``spacing``.

    For many particles and many data in few dimensions: beside some 20 evaluations of σ for each
    particle, the cost is that of as many particles as the lattice has points over their range of
    (w, b). It has at most three axes, that is d = 1 or 2. The error is that of cubic splines of
    (w, b) ↦ σ(w·x + b), of order spacing⁴; ``benchmarks/particle_mesh.py`` says when it pays.
    Particles may go anywhere, the lattice has no end; where its window would pass 2²⁰ points the
    sums are NaN (an adaptive step is then rejected) and a warning says so.

    Raises TypeError for a block that is no ``SHL``, ValueError for more than three
    coordinates (w, b), an activation without compiled form, or a spacing that is not positive.
    """

    @checks.typed
    def __init__(self, block: SHL, spacing: float) -> None:
        if not computes(block, SHL):
            raise TypeError(f"Meshed takes an SHL block; given {block!r}")
        if not block.activation.compiled:
            raise ValueError(
                f"Meshed needs an activation that the kernels know; {block.activation.name!r} is "
                "registered from outside: use the block itself"
            )
        self.block, self.dim, self.coordinates = block, block.dim, block.coordinates
        self._axes = block.size - block.dim
        if self._axes > splines.AXES:
            raise ValueError(
                f"Meshed takes blocks with at most {splines.AXES} coordinates (w, b), d = 1 or 2; "
                f"{block!r} has {self._axes}: use the block itself"
            )
        self.spacing = checks.positive("spacing", spacing)
        self._code, self._inverse = block.activation.code, 1.0 / self.spacing

    def __repr__(self) -> str:
        return f"Meshed({self.block!r}, spacing={self.spacing:g})"

    def spec(self) -> dict[str, Any]:
        return {"kind": "meshed", "block": self.block.spec(), "spacing": self.spacing}

    @property
    def smooth(self) -> bool:
        return self.block.smooth

    @classmethod
    def from_spec(cls, **fields: Any) -> Self:
        """The block of a run file."""
        inner = {key: value for key, value in fields["block"].items() if key != "kind"}
        return cls(SHL(**inner), fields["spacing"])

    # -- elementwise ------------------------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return self._sigma(x, theta)[0][:, :, None] * theta[None, :, : self.dim]

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        window = self._window(theta)
        if window is None:
            return np.full((len(x), len(theta), self.dim), np.nan)
        slope = self.block.activation.derivative(self._preactivation(x, window))
        steep = slope[:, None, :] * window.points
        found = self._interpolate(window, steep.reshape(-1, window.size), theta)[0]
        found = found.reshape(len(x), self.dim, -1).transpose(0, 2, 1)
        return (q @ theta[:, : self.dim].T)[:, :, None] * found

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        return self._parameter_rows(x, theta, q[:, None, :])[:, 0]

    # -- sums -------------------------------------------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        window = self._window(theta)
        if window is None:
            return np.full_like(x, np.nan)
        return self._field(window, x, self._deposit(window, theta, a))

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        window = self._window(theta)
        if window is None:
            return np.full_like(x, np.nan), np.full_like(theta, np.nan)
        state, g = self._pull(window, x, self._deposit(window, theta, a), q)
        return state, self._read(window, g, theta)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        window = self._window(theta)
        if window is None:
            return np.full(len(theta), np.nan)
        values = self._interpolate(window, self._summed(window, x, q), theta)[0]
        return (values.T * theta[:, : self.dim]).sum(axis=1)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        window = self._window(theta)
        if window is None:
            return np.full_like(theta, np.nan)
        return self._read(window, self._summed(window, x, q), theta)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        window = self._window(theta)
        if window is None:
            return np.full_like(x, np.nan)
        out = self._field(window, x, self._deposit(window, theta, a, dtheta))
        mu = self._deposit(window, theta, a)
        for c, unit in enumerate(np.eye(self.dim)):
            state = self._pull(window, x, mu, np.tile(unit, (len(x), 1)))[0]
            out[:, c] += (state * dx).sum(axis=1)
        return out

    def sensitivity(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        rows = self._parameter_rows(x, theta, q).reshape(x.shape[0] * q.shape[1], -1)
        states = [self.backward(x, theta, a, q[:, c])[0] for c in range(q.shape[1])]
        return np.stack(states, axis=1), rows

    # -- whole passes -----------------------------------------------------------------------------

    def forward_pass(
        self, depth: Depth, theta: Array, weights: Array, start: Array, keep: bool
    ) -> tuple[Array, Array, Any]:
        window = self._window(theta)
        if window is None:
            nothing = np.full((depth.steps + 1, *start.shape), np.nan)
            return np.full((*depth.stage_nodes.shape, *start.shape), np.nan), nothing, None
        pairs = zip(theta, weights, strict=True)
        mu = np.stack([self._deposit(window, places, a) for places, a in pairs])
        setting = (*self._setting(window), *depth.compiled)
        stages, path = grid_sums.forward(*setting, mu, *_floats(start))
        return stages, path, (window, mu)

    def adjoint_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, terminal: Array, kept: Any
    ) -> tuple[Array, Array, Array]:
        if kept is None:
            nothing = np.full((depth.steps + 1, *terminal.shape), np.nan)
            return np.full_like(stages, np.nan), nothing, np.full_like(theta, np.nan)
        window, mu = kept
        weighted = mu[:, :, None, :] * window.points
        setting = (*self._setting(window), *depth.compiled)
        cotangents, path, g = grid_sums.adjoint(*setting, mu, weighted, stages, *_floats(terminal))
        out = np.empty(theta.shape, theta.dtype)
        for k, places in enumerate(theta):
            out[k] = self._read(window, g[k], places)
        return cotangents, path, out

    # -- the lattice ------------------------------------------------------------------------------

    def _window(self, theta: Array) -> Window | None:
        """The window that all particles θ (..., p) touch; None if they are too far apart or NaN."""
        columns = [theta[..., i] for i in range(self.dim, self.size)]  # faster than over axes
        low, high = (
            self._inverse * np.array([float(end(column)) for column in columns])
            for end in (np.min, np.max)
        )
        extent = np.floor(high) - np.floor(low) + 2 * splines.REACH
        with np.errstate(all="ignore"):
            count = float(np.prod(extent))
        if not count <= MOST_POINTS:
            if np.isfinite(count):
                warnings.warn(
                    f"spacing={self.spacing:g} needs a lattice of {count:.3g} points for particles "
                    f"within {low * self.spacing} and {high * self.spacing}, more than "
                    f"{MOST_POINTS}: the sums are NaN; use a larger spacing, or the block itself",
                    stacklevel=2,
                )
            return None
        first = np.floor(low).astype(np.int64) - (splines.REACH - 1)
        shape = extent.astype(np.int64)
        axes = [self.spacing * (k + np.arange(n)) for k, n in zip(first, shape, strict=True)]
        mesh = np.meshgrid(*axes, indexing="ij")
        points = np.stack([mesh[i].ravel() for i in range(self.dim)])
        missing = splines.AXES - self._axes
        first, full = np.pad(first, (missing, 0)), np.pad(shape, (missing, 0), constant_values=1)
        return Window(first, full, np.concatenate(axes), np.cumsum([0, *shape]), points)

    def _setting(self, window: Window) -> tuple[int, bool, Array, NDArray[np.int64]]:
        return self._code, self.block.bias, window.values, window.ends

    def _deposit(
        self, window: Window, theta: Array, a: Array, change: Array | None = None
    ) -> Array:
        """μ (d, W), or its derivative in the direction ``change`` (M, p)."""
        out = np.zeros((self.dim, window.size))
        where = window.first, window.shape, self._inverse
        theta, a = _floats(theta, a)
        if change is None:
            splines.deposit(*where, theta, a, out)
        else:
            splines.deposit_change(*where, theta, a, *_floats(change), out)
        splines.quasi_interpolate(window.shape, out)
        return out

    def _interpolate(self, window: Window, g: Array, theta: Array) -> tuple[Array, Array]:
        """Splines of g (C, W), which is overwritten, at the particles: (C, M) and (C, M, A)."""
        splines.quasi_interpolate(window.shape, g)
        values = np.empty((len(g), len(theta)))
        slopes = np.empty((*values.shape, splines.AXES))
        where = window.first, window.shape, self._inverse
        splines.gather(*where, *_floats(theta), g, values, slopes)
        return values, slopes[:, :, splines.AXES - self._axes :]

    def _read(self, window: Window, g: Array, theta: Array) -> Array:
        """∇_θ ⟨u, g(w, b)⟩ at the particles, (M, p), for g (d, W), which is overwritten."""
        splines.quasi_interpolate(window.shape, g)
        out = np.empty(theta.shape)
        splines.read(window.first, window.shape, self._inverse, *_floats(theta), g, out)
        return out.astype(theta.dtype, copy=False)

    def _field(self, window: Window, x: Array, mu: Array) -> Array:
        out = np.empty(x.shape)
        grid_sums.field(*self._setting(window), mu, *_floats(x), out)
        return out

    def _pull(self, window: Window, x: Array, mu: Array, q: Array) -> tuple[Array, Array]:
        """D_xF(x_i)ᵀ q_i, shape (N, d), and Σ_i q_i σ on the lattice, (d, W)."""
        state, g = np.empty(x.shape), np.zeros(mu.shape)
        weighted = mu[:, None, :] * window.points
        grid_sums.backward(*self._setting(window), weighted, *_floats(x, q), state, g)
        return state, g

    def _summed(self, window: Window, x: Array, q: Array) -> Array:
        """Σ_i q_i σ on the lattice, (d, W)."""
        g = np.zeros((self.dim, window.size))
        grid_sums.potential(*self._setting(window), *_floats(x, q), g)
        return g

    def _preactivation(self, x: Array, window: Window) -> Array:
        """w_k·x_i + b_k on the lattice, (N, W)."""
        z = np.asarray(x, np.float64) @ window.points
        if self.block.bias:
            b = window.values[window.ends[-2] :]
            z += np.tile(b, window.size // b.size)
        return z

    def _sigma(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """The spline of σ for every datum, (N, M), and its slopes in (w, b), (N, M, A)."""
        window = self._window(theta)
        if window is None:
            shape = len(x), len(theta)
            return np.full(shape, np.nan), np.full((*shape, self._axes), np.nan)
        sigma = self.block.activation(self._preactivation(x, window))
        return self._interpolate(window, sigma, theta)

    def _parameter_rows(self, x: Array, theta: Array, q: Array) -> Array:
        """D_θ f(x_i, θ_j)ᵀ q_ic for q (N, C, d), shape (N, C, M, p)."""
        s, slopes = self._sigma(x, theta)
        t = q @ theta[:, : self.dim].T
        parts = s[:, None, :, None] * q[:, :, None, :], t[..., None] * slopes[:, None]
        return np.concatenate(parts, axis=-1)


def _floats(*arrays: Array) -> tuple[Array, ...]:
    return tuple(np.ascontiguousarray(array, np.float64) for array in arrays)
