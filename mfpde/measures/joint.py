"""ρ on Θ × [0, 1] as blocks of equal mass that move in θ and in depth (Lu et al. 2020)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, laws, tables
from mfpde.depth import Depth
from mfpde.kernels.depth_average import inversions
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.measures import quadrature
from mfpde.measures.particles import ParticleMeasure

Array = NDArray[np.float64]

EVEN = "even"


class Ordered(NamedTuple):
    """Blocks in order of depth: the permutation, θ (n, p), t (n,) and the steps of the pass (n,).

    Blocks at equal depth keep the order of their numbers.
    """

    order: NDArray[np.intp]
    theta: Array
    t: Array
    steps: Array


class PlacedBlocks(ABC):
    """n blocks (θ_j, t_j) of mass 1/n on Θ × [0, 1].

    ``JointMeasure`` and ``OrderedBlocks`` differ in the step of a block in the forward pass.
    ``theta`` (n, p), ``t`` (n,) in [0, 1], in any order: block j keeps its number however it
    moves. ``beta`` > 0 is the price of depth: the flow is the gradient flow in the metric
    |dθ|² + β²|dt|² of ``transport.joint_distance(beta=beta)``; ``beta=inf`` freezes the depths.
    """

    kind: ClassVar[str]

    @checks.typed
    def __init__(self, theta: ArrayLike, t: ArrayLike, *, beta: float = 1.0) -> None:
        self.theta: Array = checks.array("theta", theta, ("n", "p")).copy()
        if 0 in self.theta.shape:
            raise ValueError(f"theta must not be empty; given shape {self.theta.shape}")
        self.t: Array = checks.array("t", t, (len(self.theta),)).copy()
        if self.t.min() < 0.0 or self.t.max() > 1.0:
            raise ValueError(
                f"t must lie in [0, 1]; given {self.t.min():.6g} to {self.t.max():.6g}"
            )
        self.beta = np.inf if beta == np.inf else checks.positive("beta", beta)

    @staticmethod
    @abstractmethod
    def steps(t: Array) -> Array:
        """The steps of the forward pass for sorted depths t (n,)."""

    @staticmethod
    @abstractmethod
    def even(count: int) -> Array:
        """Rising depths of ``count`` blocks that share [0, 1] evenly."""

    @classmethod
    @checks.typed
    def from_law(
        cls,
        law: Law | DepthLaw,
        *,
        count: int,
        rule: str = "sobol",
        depth: str | Law = EVEN,
        seed: int = 0,
        **fields: Any,
    ) -> Self:
        """``count`` blocks from a law on R^p, or from a callable t ↦ law of θ given t.

        ``rule`` is "iid" or "sobol" (scrambled Sobol points of (t, θ) together); ``depth`` is
        "even", or the law of t on [0, 1] as a ``mfpde.laws`` law of one coordinate (blocks beyond
        the ends are placed there); ``fields`` are those of the constructor.
        """
        checks.choice("rule", rule, ("iid", "sobol"))
        first = at_depth(law, 0.0)
        checks.memory(f"count = {count}", 24.0 * count * (1 + first.dim), "take fewer blocks")
        cube = laws.Uniform(0.0, 1.0, dim=1 + first.dim)
        v, _ = quadrature.points(cube, count, rule, np.random.SeedSequence(seed, spawn_key=(0,)))
        v = v[np.argsort(v[:, 0], kind="stable")]
        t = cls._depths(depth, v[:, 0])
        if isinstance(law, Law):
            return cls(law.quantiles(v[:, 1:]), t, **fields)
        theta = [at_depth(law, s).quantiles(v[[j], 1:]) for j, s in enumerate(t.tolist())]
        return cls(np.concatenate(theta), t, **fields)

    @classmethod
    def _depths(cls, depth: str | Law, v: Array) -> Array:
        if isinstance(depth, Law):
            if depth.dim != 1:
                raise ValueError(f"depth must be a law of one coordinate; given {depth}")
            return np.clip(depth.marginals[0].ppf(v), 0.0, 1.0)
        checks.choice("depth", depth, (EVEN,))
        return cls.even(len(v))

    @property
    def count(self) -> int:
        """n, the number of blocks."""
        return len(self.theta)

    @property
    def dim(self) -> int:
        """p, the dimension of θ."""
        return int(self.theta.shape[1])

    @property
    def state(self) -> Array:
        """What the flow moves: (θ_j, t_j), shape (n, p + 1)."""
        return np.column_stack([self.theta, self.t])

    def with_state(self, state: Array) -> Self:
        """The same blocks elsewhere; depths are held in [0, 1] against rounding."""
        config, _ = self.spec()
        return type(self)(state[:, :-1], np.clip(state[:, -1], 0.0, 1.0), **config)

    def spec(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a run file keeps beside the state: plain values, and arrays."""
        return {"beta": self.beta}, {}

    @classmethod
    def from_spec(cls, config: dict[str, Any], arrays: dict[str, Array], state: Array) -> Self:
        """The measure of a run file."""
        return cls(state[:, :-1], state[:, -1], **config)

    def labelled(
        self, states: Array, coordinates: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Positions at the saved times, for ``Solution.to_xarray``."""
        names = ("saved_s", "block")
        variables = {
            "theta": ((*names, "coordinate"), states[:, :, :-1]),
            "t": (names, states[:, :, -1]),
        }
        return variables, {"coordinate": list(coordinates)}

    @classmethod
    def order(cls, theta: Array, t: Array) -> Ordered:
        """Blocks (θ_j, t_j) in order of depth, with the steps that they make."""
        order = np.argsort(t, kind="stable")
        return Ordered(order, theta[order], t[order], cls.steps(t[order]))

    def ordered(self) -> Ordered:
        """The blocks in order of depth."""
        return self.order(self.theta, self.t)

    def integrate(self, values: Array) -> float:
        """∫ g dρ for values g(θ_j, t_j), shape (n,), summed in fixed order."""
        return float(values.mean())

    @checks.typed
    def exchanges(self, other: PlacedBlocks) -> int:
        """Pairs of blocks that stand in the opposite order in ``other``, ties broken by number.

        Raises ValueError where the numbers of blocks differ.
        """
        if other.count != self.count:
            raise ValueError(f"other must hold {self.count} blocks; given {other.count}")
        rank = np.empty(self.count, dtype=np.int64)
        rank[other.ordered().order] = np.arange(self.count)
        return int(inversions(rank[self.ordered().order]))

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = {
            "blocks": f"{self.count} in R^{self.dim} × [0, 1]",
            "mean of θ": self.theta.mean(axis=0),
            "depths": f"{self.t.min():.3g} to {self.t.max():.3g}, mean {self.t.mean():.3g}",
            "price of depth β": self.beta,
        }
        return tables.card(type(self).__name__, rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.count} blocks in R^{self.dim} x [0, 1])"


class JointMeasure(PlacedBlocks):
    """ρ = (1/n) Σ_j δ_(θ_j, t_j), a probability on Θ × [0, 1] with a free depth marginal.

        X^{l+1} = X^l + (1/n) f(X^l, θ^l)   in order of t:  dX/dt = ∫ f(X, θ) ρ(t, dθ) as n → ∞

    where ρ(t, dθ) dt = ρ includes the density in depth, so that E depends on the order of the
    blocks only. The *Wasserstein* joint flow moves both coordinates, dθ_j/ds = −∇_θ V and
    dt_j/ds = −β⁻² ∂_t V; see ``mfpde.passes.joint`` for what ∂_t V means where E is piecewise
    constant in t, and for its limit. ``window`` in (0, 1] is the width in depth over which ∂_t V
    averages; n^(−1/3) by default.

    Raises ValueError for wrong shapes, non-finite entries, depths outside [0, 1], or a beta or
    window out of range. Source: Lu et al. 2020, Section 2.
    """

    kind: ClassVar[str] = "joint"

    @checks.typed
    def __init__(
        self,
        theta: ArrayLike,
        t: ArrayLike,
        *,
        beta: float = 1.0,
        window: float | None = None,
    ) -> None:
        super().__init__(theta, t, beta=beta)
        default = self.count ** (-1.0 / 3.0)
        self.window = default if window is None else checks.positive("window", window)
        if self.window > 1.0:
            raise ValueError(f"window must be in (0, 1], a width in depth; given {window!r}")

    @staticmethod
    def steps(t: Array) -> Array:
        return np.full(len(t), 1.0 / len(t))

    @staticmethod
    def even(count: int) -> Array:
        return (np.arange(count) + 0.5) / count

    @classmethod
    @checks.typed
    def from_particles(cls, rho: ParticleMeasure, **fields: Any) -> JointMeasure:
        """The particles of K layers as n = K M blocks; each layer's share its interval evenly.

        Raises ValueError unless the K M particles have equal mass ("euler", equal weights).
        """
        mass = rho.depth.weights[:, None] * rho.weights
        if np.ptp(mass) > 1e-12 * mass.max():
            raise ValueError(
                "rho must hold particles of equal mass: depth method 'euler' and equal weights; "
                f"given masses {mass.min():.3g} to {mass.max():.3g}"
            )
        theta = rho.theta.reshape(-1, rho.dim)
        return cls(theta, cls.even(len(theta)), **fields)

    @checks.typed
    def to_particles(self, depth: Depth | None = None) -> ParticleMeasure:
        """The same network with depth measured by mass: block l owns [l/n, (l + 1)/n].

        Node k of ``depth`` gets the blocks on its share of mass, an interval of length ω_k. With
        the default, one block per layer, all outputs are the same, since they depend on the
        order of the blocks only; a coarser depth is the mean-field measure that they sample.
        """
        depth = Depth(self.count, "euler") if depth is None else depth
        ends = np.concatenate([[0.0], np.cumsum(depth.weights)])
        theta, n = self.ordered().theta, self.count
        first = np.minimum((ends[:-1] * n + 1e-9).astype(int), n - 1)
        last = np.clip(np.ceil(ends[1:] * n - 1e-9).astype(int), first + 1, n)
        blocks = first[:, None] + np.arange((last - first).max())
        upper = np.minimum((blocks + 1) / n, ends[1:, None])
        overlap = np.maximum(upper - np.maximum(blocks / n, ends[:-1, None]), 0.0)
        weights = np.where(blocks < last[:, None], overlap, 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
        return ParticleMeasure(theta[np.minimum(blocks, n - 1)], depth, weights)

    def spec(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a run file keeps beside the state: plain values, and arrays."""
        return {"beta": self.beta, "window": self.window}, {}


class OrderedBlocks(PlacedBlocks):
    """Blocks that own the depth behind them, as in the published training algorithm.

        X^{l+1} = X^l + (t^l − t^{l−1}) f(X^l, θ^l)   in order of t,  t^{−1} = 0

    A block's depth decides its place *and* its step. Evenly placed blocks, t^l = (l + 1)/n, are
    the plain ResNet. As n → ∞ the pass tends to dX/dt = ∫ f(X, θ) ρ_t(dθ) with the *conditional*
    law ρ_t of θ at depth t, whatever the depth marginal: not the limit of ``JointMeasure``. See
    ``mfpde.passes.ordered`` for its flow and for what happens where blocks change order.

    Raises ValueError for wrong shapes, non-finite entries, depths outside [0, 1] or a beta that is
    not positive. Source: Lu et al. 2020, Section 4.
    """

    kind: ClassVar[str] = "ordered"

    @staticmethod
    def steps(t: Array) -> Array:
        return np.diff(t, prepend=0.0)

    @staticmethod
    def even(count: int) -> Array:
        return (np.arange(count) + 1.0) / count
