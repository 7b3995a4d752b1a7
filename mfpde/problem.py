"""The learning problem: data, block, embedding, readout, loss, confinement and entropy."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, losses, tables
from mfpde.blocks import Block, check_block, is_own
from mfpde.kernels.pools import serial_blas
from mfpde.losses import Loss
from mfpde.penalty import Penalty

Array = NDArray[np.float64]


class Problem:
    """Minimise E(ρ) = (1/N) Σ_i w_i ℓ(B X_i(1), y_i) + ∫∫ r(θ) ρ_t(dθ) dt + τ ∫ Ent(ρ_t) dt.

    x (N, d_in) and y (N, k) are the data (y (N,) is one output; labels (N,) 0, 1, …, k − 1, each
    of which occurs, or booleans, are classes under the cross-entropy loss). X_i solves
    dX/dt = ∫ f(X, θ) ρ_t(dθ), X(0) = A x_i.

    ``embed``: "pad" (A x = (x, 0), so d >= d_in) or an array A (d, d_in); ``readout``: "first" or
    "last" k coordinates, or an array B (k, d); ``loss``: "squared", ½|z − y|², "cross_entropy",
    "logistic" (one output, y = ±1), "huber" or a registered ``mfpde.losses.Loss``, such as
    ``Huber(delta=0.1)``; ``weights`` (N,) > 0 are divided by their mean, w_i = 1 without them;
    ``weight_decay`` λ >= 0 and ``quartic_decay`` κ >= 0: r(θ) = (λ/2)|θ|² + (κ/4)|θ|⁴;
    ``rates`` η >= 0, (p,) or one for each of the block's groups of coordinates, (η_u, η_w, η_b) for
    ``SHL``, is the metric on Θ that everything is descended and measured in: |dθ|² becomes
    Σ_i dθ_i²/η_i, a particle moves by dθ/ds = −η∘∇V, and dE/ds = −∫∫ |√η∘∇V|² dρ. Coordinates of
    rate 0 stay where they are. None is 1 everywhere.
    ``temperature`` τ >= 0: the weight of Ent(ρ_t) = ∫ ρ_t log ρ_t (noisy training), which only a
    measure with a density has, so that τ > 0 needs a ``GridMeasure``. "Loss" means E without the
    entropy everywhere in the package, "energy" all of it.

    ``memory``: bytes that hidden and adjoint states may take, half of the machine's by default.
    Data that need more are carried in blocks, by particles and grids, and sums over data are made
    block by block.

    A block that is not the package's own is checked by ``check_block`` on these data.

    Raises ValueError for shapes that do not fit together, non-finite data, unknown names, or a
    block with a wrong derivative.
    Source: Ding et al. 2021 (1)–(3); Barboni et al. 2024 §2.
    """

    @checks.typed
    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        block: Block,
        embed: str | ArrayLike = "pad",
        readout: str | ArrayLike = "first",
        loss: str | Loss | Mapping[str, Any] = "squared",
        weights: ArrayLike | None = None,
        weight_decay: float = 0.0,
        quartic_decay: float = 0.0,
        temperature: float = 0.0,
        rates: ArrayLike | None = None,
        memory: float | None = None,
    ) -> None:
        if not isinstance(block, Block):
            raise TypeError(f"block must be a mfpde.Block; given {type(block).__name__}")
        self.block = block
        self.loss: Loss = losses.named(loss)
        self.penalty = Penalty(
            checks.positive("weight_decay", weight_decay, zero=True),
            checks.positive("quartic_decay", quartic_decay, zero=True),
        )
        self.temperature = checks.positive("temperature", temperature, zero=True)
        self.rates = None if rates is None else _rates(block, rates)
        self.memory = None if memory is None else checks.positive("memory", memory)
        x = checks.array("x", x, ("N", "d_in"))
        self.embed = _frozen(_embedding(embed, block.dim, x.shape[1]))
        rows = None if isinstance(readout, str) else checks.array("readout", readout, ("k", "d"))
        self._take(x, y, weights, None, block.dim if rows is None else len(rows))
        self.readout = _frozen(_readout(readout, self.y.shape[1], block.dim))
        if not is_own(block):
            check_block(block, self.start())

    def _take(self, x: Array, y: Any, weights: Any, classes: int | None, most: int) -> None:
        """Data, their targets and weights; never frozen, or changed with, the caller's arrays."""
        if not len(x):
            raise ValueError("x must hold at least one row; given none")
        labels = checks.numeric("y", y)
        if labels.ndim not in (1, 2) or 0 in labels.shape[1:]:
            raise ValueError(f"y must have shape (N,) or (N, k), k >= 1; given {labels.shape}")
        if len(labels) != len(x):
            raise ValueError(f"y must have as many rows as x, {len(x)}; given {len(labels)}")
        self.x = _frozen(x)
        self.y = _frozen(self.loss.targets(labels, classes, most))
        self.weights = None if weights is None else _frozen(_weights(weights, len(x)))

    def on(self, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Problem:
        """The same problem on other data: same embedding, readout, outputs and classes.

        For test data, which may lack a class: ``mfpde.loss(problem.on(x, y), rho)``. Raises
        ValueError for shapes that do not fit.
        """
        other = copy(self)
        data = checks.array("x", x, ("N", self.x.shape[1]))
        other._take(data, y, weights, self.outputs, self.outputs)
        if other.outputs != self.outputs:
            raise ValueError(f"y must have {self.outputs} columns; given {other.outputs}")
        return other

    def part(self, rows: slice) -> Problem:
        """The same problem on some rows of its data, whose weights stay as they are."""
        other = copy(self)
        other.x, other.y = self.x[rows], self.y[rows]
        other.weights = None if self.weights is None else self.weights[rows]
        return other

    def under(self, rates: ArrayLike | None) -> Problem:
        """The same problem in the metric of other ``rates``; None leaves it as it is.

        Raises ValueError for rates that do not fit the block.
        """
        if rates is None:
            return self
        other = copy(self)
        other.rates = _rates(self.block, rates)
        return other

    @property
    def prices(self) -> Array:
        """1/η of every coordinate, (p,): the metric |dθ|²; 0 where η = 0, since nothing moves."""
        eta = np.ones(self.block.size) if self.rates is None else self.rates
        return np.divide(1.0, eta, out=np.zeros_like(eta), where=eta > 0.0)

    def refuse_rates(self, who: str) -> None:
        """Raise ValueError for rates: ``who`` holds in the plain metric alone."""
        if self.rates is not None:
            raise ValueError(
                f"{who} needs rates=None: it is stated for the plain metric on the parameters; "
                f"given rates = {_shown(self.rates)}"
            )

    # -- the data's term of E, for outputs z (N, k) -----------------------------------------------

    def fit(self, z: Array) -> float:
        """(1/N) Σ_i w_i ℓ(z_i, y_i)."""
        values = self.loss.value(z, self.y)
        return float(np.mean(values if self.weights is None else self.weights * values))

    def loss_gradient(self, z: Array) -> Array:
        """w_i ∂ℓ/∂z, shape (N, k)."""
        slope = self.loss.gradient(z, self.y)
        return slope if self.weights is None else self.weights[:, None] * slope

    def loss_hessian(self, z: Array) -> Array | None:
        """w_i ∂²ℓ/∂z², shape (N, k, k); None stands for the identity."""
        hessian = self.loss.hessian(z, self.y)
        if self.weights is None:
            return hessian
        base = np.eye(self.outputs) if hessian is None else hessian
        weighted: Array = self.weights[:, None, None] * base
        return weighted

    def target_gradient(self, z: Array) -> Array:
        """w_i ∂ℓ/∂y, shape (N, k)."""
        slope = self.loss.target_gradient(z, self.y)
        return slope if self.weights is None else self.weights[:, None] * slope

    def target_push(self, z: Array, v: Array) -> Array:
        """w_i Σ_a v_ia ∂²ℓ/∂z_a∂y_b for v (..., N, k), like v."""
        moved = self.loss.target_push(z, self.y, v)
        return moved if self.weights is None else self.weights[:, None] * moved

    @property
    def size(self) -> int:
        """N, the number of data."""
        return len(self.x)

    @property
    def outputs(self) -> int:
        """k, the dimension of one output."""
        return int(self.y.shape[1])

    @property
    def weight_decay(self) -> float:
        """λ, the quadratic part of the penalty."""
        return self.penalty.quadratic

    @property
    def regularised(self) -> bool:
        """Whether E holds more than the data's term."""
        return bool(self.penalty) or self.temperature > 0.0

    def refuse_entropy(self) -> None:
        """Raise ValueError for a temperature: particles have no entropy."""
        if self.temperature:
            raise ValueError(
                "temperature must be 0 for particles, which have no entropy; use a GridMeasure, or "
                "mfpde.resnet.train(optimizer='langevin') for noisy training"
            )

    @checks.typed
    @serial_blas()
    def start(self, x: ArrayLike | None = None) -> Array:
        """Hidden states at depth 0, X_i(0) = A x_i, shape (N, d)."""
        data = self.x if x is None else checks.array("x", x, ("N", self.x.shape[1]))
        return data @ self.embed.T

    def __repr__(self) -> str:
        return (
            f"Problem({self.size} data, R^{self.x.shape[1]} -> R^{self.outputs}, {self.block}, "
            f"loss={self.loss.name!r}{self._terms()})"
        )

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        return tables.card(
            "Problem",
            {
                "data": f"{self.size}, R^{self.x.shape[1]} → R^{self.outputs}",
                "block": self.block,
                "loss": self.loss.name + self._terms(),
            },
        )

    def _terms(self) -> str:
        terms = {
            "weight_decay": self.penalty.quadratic,
            "quartic_decay": self.penalty.quartic,
            "temperature": self.temperature,
        }
        weighted = "" if self.weights is None else ", weighted"
        if self.rates is not None:
            weighted += f", rates={_shown(self.rates)}"
        return weighted + "".join(f", {name}={value:g}" for name, value in terms.items() if value)


def _frozen(value: Array) -> Array:
    own = value.copy()
    own.flags.writeable = False
    return own


def _weights(weights: Any, n: int) -> Array:
    out = checks.array("weights", weights, (n,))
    if not np.all(out > 0):
        raise ValueError(f"weights must be positive; the smallest is {out.min():g}")
    mean = out.mean()
    scaled: Array = out if abs(mean - 1.0) <= 1e-14 else out / mean  # a file's stay as they are
    return scaled


def _shown(rates: Array) -> str:
    """The first few of them."""
    few = ", ".join(f"{value:g}" for value in rates[:8])
    return f"({few}, …)" if len(rates) > 8 else f"({few})"


def _rates(block: Block, rates: ArrayLike) -> Array | None:
    """η of every coordinate, (p,), from one for each of them or for each group."""
    given = checks.array("rates", np.atleast_1d(np.asarray(rates)), ("n",))
    names, sizes = block.groups
    if len(given) == len(names):
        given = np.repeat(given, sizes)
    if len(given) != block.size:
        raise ValueError(
            f"rates must be {block.size} numbers, one for each coordinate of {block!r}, or "
            f"{len(names)}, one for each of {', '.join(names)}; given {len(given)}"
        )
    if not np.all(given >= 0.0):
        raise ValueError(f"rates must be >= 0; the smallest given is {given.min():g}")
    if not np.any(given > 0.0):
        raise ValueError("rates must not all be 0: nothing would move")
    return None if np.all(given == 1.0) else _frozen(given)


def _embedding(embed: Any, d: int, d_in: int) -> Array:
    if not isinstance(embed, str):
        return checks.array("embed", embed, (d, d_in))
    if embed != "pad":
        hint = checks.nearest(embed, ("pad",))
        raise ValueError(f"embed must be 'pad' or an array ({d}, {d_in}); given {embed!r}{hint}")
    if d < d_in:
        raise ValueError(f"embed='pad' needs block.dim >= {d_in} (columns of x); given {d}")
    return np.eye(d, d_in)


def _readout(readout: Any, k: int, d: int) -> Array:
    if not isinstance(readout, str):
        return checks.array("readout", readout, (k, d))
    if readout not in ("first", "last"):
        hint = checks.nearest(readout, ("first", "last"))
        raise ValueError(
            f"readout must be 'first', 'last' or an array ({k}, {d}); given {readout!r}{hint}"
        )
    if d < k:
        raise ValueError(f"readout={readout!r} needs block.dim >= {k} (columns of y); given {d}")
    return np.eye(k, d, k=0 if readout == "first" else d - k)
