"""ρ_t as weighted particles at each depth node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from mfpde import checks, tables
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.measures import network, quadrature
from mfpde.paths import Path

Array = NDArray[np.float64]

PRECISIONS = ("float32", "float64")


class ParticleMeasure:
    """Particles θ_kj with weights a_kj at the depth nodes: ρ_{t_k} = Σ_j a_kj δ_{θ_kj}.

    ``theta`` (K, M, p), K = len(depth.nodes); ``weights`` (K, M) or (M,), >= 0, each row with sum
    1 (equal weights by default). With explicit Euler in depth and i.i.d. particles this *is* a
    ResNet with K layers of width M.

    Raises ValueError for a wrong shape, non-finite entries, negative weights, a node without
    mass, or rows that do not sum to 1.
    """

    kind: ClassVar[str] = "particles"

    @checks.typed
    def __init__(
        self,
        theta: ArrayLike,
        depth: Depth,
        weights: ArrayLike | None = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> None:
        if dtype is None:
            dtype = np.float32 if np.asarray(theta).dtype == np.float32 else np.float64
        checks.choice("dtype", np.dtype(dtype).name, PRECISIONS)
        self.depth = depth
        self.theta = checks.array("theta", theta, (len(depth.nodes), "M", "p"), dtype=dtype).copy()
        if 0 in self.theta.shape:
            raise ValueError(f"theta must not be empty; given shape {self.theta.shape}")
        self.weights = self._check_weights(weights)

    def _check_weights(self, weights: ArrayLike | None) -> Array:
        k, m, _ = self.theta.shape
        if weights is None:
            return np.full((k, m), 1.0 / m)
        a = checks.array("weights", weights)
        a = checks.array("weights", np.tile(a, (k, 1)) if a.ndim == 1 else a, (k, m))
        if np.any(a < 0):
            raise ValueError(f"weights must be >= 0; the smallest given is {a.min():.3g}")
        sums = a.sum(axis=1)
        off = np.abs(sums - 1.0)
        if off.max() > 1e-8:
            worst = int(off.argmax())
            raise ValueError(
                f"weights must sum to 1 at each depth; node {worst}: {sums[worst]:.9g}"
            )
        return a / sums[:, None] if off.max() > 1e-14 else a

    @classmethod
    @checks.typed
    def from_law(
        cls,
        law: Law | DepthLaw,
        depth: Depth,
        *,
        count: int | Sequence[int],
        rule: str = "sobol",
        coupling: str | Path = "tied",
        seed: int = 0,
        dtype: DTypeLike = np.float64,
    ) -> ParticleMeasure:
        """Particles from a law on R^p, or from a callable t ↦ law.

        ``rule`` is "iid", "sobol", "gauss" or "spectral" (``mfpde.measures.quadrature.points``);
        ``coupling`` is "tied" (the same points of the unit cube at every node: t ↦ θ is as smooth
        as the law), "independent" (fresh points at node k, from
        ``SeedSequence(seed, spawn_key=(k,))``) or a law of paths of ``mfpde.paths``, by which a
        particle's parameters at two nodes hang together. For tensor rules ``count`` may be the
        orders of the p coordinates.
        """
        checks.choice("rule", rule, quadrature.RULES)
        if isinstance(coupling, Path):
            points = quadrature.paths(law, depth.nodes, coupling, count, rule, seed)
            return cls(points, depth, dtype=dtype)
        checks.choice("coupling", coupling, ("tied", "independent"))
        if isinstance(count, int | np.integer):
            needed = 24.0 * len(depth.nodes) * checks.count("count", count)
            needed *= at_depth(law, 0.0).dim
            checks.memory(f"count = {count} at {len(depth.nodes)} depths", needed, "take fewer")
        if rule in quadrature.TENSOR_RULES and coupling == "independent":
            raise ValueError(f"rule={rule!r} is deterministic: it has no coupling='independent'")
        stream = np.random.SeedSequence(seed)
        theta, weights = quadrature.over_depth(law, depth.nodes, count, rule, coupling, stream)
        return cls(theta, depth, weights, dtype=dtype)

    @staticmethod
    @checks.typed
    def from_network(module: object, *, scale: float = 1.0) -> ParticleMeasure:
        """The measure of a trained torch network: with it, Euler depth is that network.

        ``module`` holds the residual blocks x ← x + scale·W₂σ(W₁x + b) in their order, each as two
        ``torch.nn.Linear`` (d → M, M → d), the second without bias; embedding and readout stay
        outside: they are the ``Problem``'s. Layer l gives the particles (u, w, b) = (scale·L·M·
        column j of W₂, row j of W₁, b_j), for ``SHL(d, activation)`` of the network's activation.

        Raises TypeError or ValueError for a module of another form.
        """
        theta = network.particles(module, scale)
        return ParticleMeasure(theta, Depth(len(theta), "euler"))

    @property
    def levels(self) -> int:
        """K, the number of depth nodes."""
        return int(self.theta.shape[0])

    @property
    def count(self) -> int:
        """M, the number of particles at each node."""
        return int(self.theta.shape[1])

    @property
    def dim(self) -> int:
        """p, the dimension of θ."""
        return int(self.theta.shape[2])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.theta.dtype

    @property
    def state(self) -> Array:
        """What the flow moves: the positions θ (K, M, p)."""
        return self.theta

    def with_state(self, state: Array) -> ParticleMeasure:
        """The same weights at other positions θ (K, M, p), or (θ, a) (K, M, p + 1) with its own.

        Transport moves particles, never mass; with birth–death weights move as well. Of (θ, m, …)
        (n, K, M, p), as an optimiser moves them, θ is taken.
        """
        theta, weights = _split(state if state.ndim == 3 else state[0], self.dim)
        weights = self.weights if weights is None else weights
        return ParticleMeasure(theta, self.depth, weights, dtype=self.dtype)

    def spec(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a run file keeps beside the state: plain values, and arrays."""
        values = {"depth": asdict(self.depth), "dim": self.dim, "dtype": self.dtype.name}
        return values, {"weights": self.weights}

    def labelled(
        self, states: Array, coordinates: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Positions at the saved times and weights, for ``Solution.to_xarray``."""
        names = ("saved_s", "t", "particle", "coordinate")
        averages = states[:, 1:] if states.ndim == 5 else None
        positions = states if averages is None else states[:, 0]
        theta, moving = _split(positions, len(coordinates))
        weights = (names[1:3], self.weights) if moving is None else (names[:3], moving)
        variables: dict[str, Any] = {"theta": (names, theta), "weights": weights}
        if averages is not None:
            variables["averages"] = (("saved_s", "average", *names[1:]), averages)
        return variables, {"t": self.depth.nodes, "coordinate": list(coordinates)}

    @classmethod
    def from_spec(
        cls, config: dict[str, Any], arrays: dict[str, Array], state: Array
    ) -> ParticleMeasure:
        """The measure of a run file."""
        theta, weights = _split(state if state.ndim == 3 else state[0], config["dim"])
        weights = arrays["weights"] if weights is None else weights
        return cls(theta, Depth(**config["depth"]), weights, dtype=config["dtype"])

    def mean(self) -> Array:
        """∫ θ ρ_t(dθ) at each node, shape (K, p)."""
        return np.einsum("kmp,km->kp", self.theta, self.weights)

    def second_moment(self) -> Array:
        """∫ θθᵀ ρ_t(dθ) at each node, shape (K, p, p)."""
        return np.einsum("kmp,kmq,km->kpq", self.theta, self.theta, self.weights)

    def marginal(self, coordinate: int) -> tuple[Array, Array]:
        """Positions and weights of one coordinate at each node, both (K, M)."""
        if not -self.dim <= coordinate < self.dim:
            raise ValueError(f"coordinate must be in 0..{self.dim - 1}; given {coordinate}")
        return self.theta[:, :, coordinate].copy(), self.weights.copy()

    def integrate(self, values: Array) -> float:
        """∫∫ g ρ_t(dθ) dt for values g(t_k, θ_kj), shape (K, M), summed in fixed order."""
        return float(self.depth.weights @ (self.weights * values).sum(axis=1))

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        mean = self.depth.weights @ self.mean()
        square = np.einsum("k,kpp->p", self.depth.weights, self.second_moment())
        rows = {
            "particles": f"{self.count} in R^{self.dim} at each of {self.levels} depths",
            "depth": self.depth,
            "mean of θ over depth": mean,
            "its deviation": np.sqrt(np.maximum(square - mean**2, 0.0)),
        }
        return tables.card(type(self).__name__, rows)

    def __repr__(self) -> str:
        k, m, p = self.theta.shape
        return (
            f"ParticleMeasure({m} particles in R^{p} at {k} depths of {self.depth}, {self.dtype})"
        )


def _split(state: Array, dim: int) -> tuple[Array, Array | None]:
    """Positions, and weights where the state holds them as one more coordinate."""
    if state.shape[-1] == dim:
        return state, None
    return state[..., :dim], state[..., dim]
