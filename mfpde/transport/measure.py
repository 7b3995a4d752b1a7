"""Measures on Θ × [0, 1] with uniform depth marginal, as discrete laws on depth cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.measures.joint import PlacedBlocks
from mfpde.measures.joint_grid import JointGrid

Floats = NDArray[np.float64]

LARGEST = 1e150  # of a coordinate: distances are squared


@dataclass(frozen=True)
class ConditionalMeasure:
    """ρ(dt, dθ) = ρ_t(dθ) dt with ρ_t = Σ_j a_kj δ_{θ_kj} while t is in the k-th depth cell.

    ``edges`` (K+1,) rise from 0 to 1; ``nodes`` (K,) are the depths the cells stand for; ``atoms``
    hold K arrays (M_k, p) and ``weights`` K arrays (M_k,) of sum 1. The sizes M_k may differ.
    """

    edges: Floats
    nodes: Floats
    atoms: tuple[Floats, ...]
    weights: tuple[Floats, ...]

    @property
    def dim(self) -> int:
        """p, the dimension of θ."""
        return int(self.atoms[0].shape[1])

    @property
    def lengths(self) -> Floats:
        """Lengths ω_k of the depth cells, shape (K,), sum 1."""
        return np.diff(self.edges)

    def padded(self) -> tuple[Floats, Floats]:
        """theta (K, M, p) and weights (K, M); short cells repeat an atom with weight zero."""
        longest = max(len(x) for x in self.atoms)
        grow = [(0, longest - len(x)) for x in self.atoms]
        theta = [np.pad(x, (g, (0, 0)), mode="edge") for x, g in zip(self.atoms, grow, strict=True)]
        weights = [np.pad(a, g) for a, g in zip(self.weights, grow, strict=True)]
        return np.stack(theta), np.stack(weights)

    def __repr__(self) -> str:
        sizes = sorted({len(x) for x in self.atoms})
        count = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        return f"ConditionalMeasure({count} atoms in R^{self.dim} on {len(self.atoms)} depth cells)"


def measured(rho: ConditionalMeasure, rates: ArrayLike | None) -> ConditionalMeasure:
    """The measure in coordinates θ_i/√η_i, where the metric Σ_i dθ_i²/η_i is the plain one.

    Raises ValueError for rates (p,) that are not positive: distances would be infinite.
    """
    if rates is None:
        return rho
    eta = checks.array("rates", rates, (rho.dim,))
    if not np.all(eta > 0.0):
        raise ValueError(
            f"rates must be > 0 for a distance, which rates of 0 make infinite; the smallest given "
            f"is {eta.min():g}"
        )
    return replace(rho, atoms=tuple(x / np.sqrt(eta) for x in rho.atoms))


class CellPair(NamedTuple):
    """One cell of a common refinement: its length and the cells of the two measures it lies in."""

    length: float
    first: int
    second: int


@checks.typed
def as_measure(name: str, value: Any) -> ConditionalMeasure:
    """Whatever the module accepts as a measure, checked.

    A ConditionalMeasure; a ParticleMeasure; anything with ``to_particles()`` (a GridMeasure); or
    arrays ``(t, theta)`` or ``(t, theta, weights)``: t a ``Depth`` or rising depths (K,) in [0, 1],
    theta (K, M, p) or K arrays (M_k, p), weights None (equal) or laid out like theta.

    The k-th cell of a measure with quadrature weights ω is [Σ_{l<k} ω_l, Σ_{l<=k} ω_l); bare depths
    t have no weights and their cells are bounded by midpoints.

    Raises TypeError for anything else and ValueError for wrong shapes, non-finite entries, negative
    weights or weights whose sum is not 1.
    """
    if isinstance(value, ConditionalMeasure):
        return value
    if hasattr(value, "to_particles"):
        value = value.to_particles()
    if all(hasattr(value, part) for part in ("theta", "depth", "weights")):
        return _from_arrays(name, value.depth, value.theta, value.weights)
    if isinstance(value, tuple | list) and len(value) in (2, 3):
        return _from_arrays(name, *value)
    if isinstance(value, JointGrid | PlacedBlocks):
        raise TypeError(
            f"{name} must hold a law of the parameters at fixed depths; given "
            f"{type(value).__name__}: compare joint measures by mfpde.transport.joint_distance"
        )
    raise TypeError(
        f"{name} must be a measure or arrays (t, theta[, weights]); given {type(value).__name__}"
    )


def _from_arrays(
    name: str, depth: Any, theta: Sequence[Any], weights: Sequence[Any] | None = None
) -> ConditionalMeasure:
    nodes, edges = _cells(name, depth)
    count = len(nodes)
    if len(theta) != count:
        raise ValueError(
            f"{name}: theta must hold {count} slices, one per depth; given {len(theta)}"
        )
    atoms = tuple(checks.array(f"{name}: theta[{k}]", x, ("M", "p")) for k, x in enumerate(theta))
    if max(float(np.abs(x).max(initial=0.0)) for x in atoms) > LARGEST:
        raise ValueError(f"{name}: theta must stay below {LARGEST:g}, its squares are needed")
    dims = {x.shape[1] for x in atoms}
    if len(dims) > 1 or 0 in dims or any(len(x) == 0 for x in atoms):
        raise ValueError(
            f"{name}: theta slices must be (M, p), M >= 1, of one dimension p >= 1; "
            f"given {[x.shape for x in atoms]}"
        )
    if weights is not None and len(weights) != count:
        raise ValueError(f"{name}: weights must hold {count} slices; given {len(weights)}")
    laws = tuple(
        _law(f"{name}: weights[{k}]", None if weights is None else weights[k], len(x))
        for k, x in enumerate(atoms)
    )
    return ConditionalMeasure(edges, nodes, atoms, laws)


def _law(name: str, weights: Any, size: int) -> Floats:
    if weights is None:
        return np.full(size, 1.0 / size)
    law: Floats = checks.array(name, weights, (size,))
    if law.min() < 0.0:
        raise ValueError(f"{name} must be >= 0; the smallest given is {law.min():.3g}")
    total = float(law.sum())
    if abs(total - 1.0) > 1e-8:
        raise ValueError(f"{name} must sum to 1; given {total:.9g}: divide by the sum")
    return law / total


def _cells(name: str, depth: Any) -> tuple[Floats, Floats]:
    if hasattr(depth, "nodes") and hasattr(depth, "weights"):
        nodes = np.asarray(depth.nodes, dtype=np.float64)
        inner = np.cumsum(depth.weights)[:-1]
    else:
        nodes = checks.array(f"{name}: t", depth, ("K",))
        if nodes.size == 0 or nodes.min() < 0 or nodes.max() > 1 or np.any(np.diff(nodes) <= 0):
            raise ValueError(f"{name}: t must rise within [0, 1]; given {nodes}")
        inner = 0.5 * (nodes[1:] + nodes[:-1])
    return nodes, np.concatenate([[0.0], inner, [1.0]])


def common_refinement(mu: ConditionalMeasure, nu: ConditionalMeasure) -> list[CellPair]:
    """The cells on which both measures are constant in depth.

    Edges closer than 1e−12 count as one, so that equal depth axes refine to themselves.
    """
    edges = np.union1d(mu.edges, nu.edges)
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-12])]
    edges[-1] = 1.0
    middles = 0.5 * (edges[1:] + edges[:-1])
    first = np.searchsorted(mu.edges, middles) - 1
    second = np.searchsorted(nu.edges, middles) - 1
    lengths = np.diff(edges)
    return [
        CellPair(float(w), int(k), int(j)) for w, k, j in zip(lengths, first, second, strict=True)
    ]


def check_pair(mu: ConditionalMeasure, nu: ConditionalMeasure) -> None:
    """Raise ValueError unless both measures live on the same R^p."""
    if mu.dim != nu.dim:
        raise ValueError(
            f"mu and nu must live on the same parameter space; given p = {mu.dim} and p = {nu.dim}"
        )
