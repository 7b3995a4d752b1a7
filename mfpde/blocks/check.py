"""A user's block against central differences and its own formula, before anything rests on it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from mfpde import checks
from mfpde.blocks import reference
from mfpde.blocks.base import Array, Block
from mfpde.blocks.inheritance import derived
from mfpde.depth import TABLEAUX, Depth

DIRECTIONS = 64  # differentiated along; a block with more parameters along random ones
FORMULA_SAYS = "what value, pull_state and pull_parameter give"


class Sample(NamedTuple):
    """States x (3, d), cotangents q (3, d), parameters θ (4, p), weights a (4,), and changes."""

    x: Array
    q: Array
    theta: Array
    a: Array
    dx: Array
    dtheta: Array
    scale: Array  # of x, by coordinate


@checks.typed
def check_block(block: Block, x: Array | None = None, *, seed: int = 0, tol: float = 1e-6) -> float:
    """Largest relative error of a block: derivatives and sums against its own ``value``.

    Draws θ (4, p), q (3, d) and x (3, d) from N(0, 1), or takes x beside three rows of the states
    handed over, (n, d), and compares in float64

    * ``pull_state`` and ``pull_parameter`` with central differences of ⟨q, f⟩,
    * every sum that the block has in a form of its own, chains and whole passes through each
      method of depth included, with what follows from its three methods.

    With ``x`` entries that are not finite are left out (parameters outside a block's domain).
    Raises TypeError if ``block`` is not a ``Block`` or names no dim or coordinates, ValueError for
    a wrong shape or an error above ``tol`` and above what differences can resolve; the message
    says which method and which entry.
    """
    if not isinstance(block, Block):
        raise TypeError(f"block must subclass mfpde.Block; given {type(block).__name__}")
    for attribute in ("dim", "coordinates"):
        if not hasattr(block, attribute):
            raise TypeError(f"block must set {attribute!r}; see help(mfpde.Block)")
    with np.errstate(all="ignore"):
        sample = _sample(block, x, np.random.default_rng(seed))
        _check_shape("value", block.value(sample.x, sample.theta), (3, 4, block.dim))
        compared = [*_derivatives(block, sample), *_own_forms(block, sample)]
        return max(_error(*one, tol, strict=x is None) for one in compared)


class Compared(NamedTuple):
    """What a method returned, what it should have, and by how much that may be off."""

    name: str
    against: str
    given: Array
    expected: Array
    slack: Array | float = 0.0


def _sample(block: Block, x: Array | None, rng: np.random.Generator) -> Sample:
    d, p = block.dim, block.size
    own, q = rng.standard_normal((2, 3, d))
    theta, scale = rng.standard_normal((4, p)), np.ones(d)
    if x is not None:
        rows = checks.array("x", x, ("n", block.dim))[np.linspace(0, len(x) - 1, 3).astype(int)]
        size = np.sqrt(np.mean(np.square(x), axis=0))
        scale = np.where(size > 0, size, 1.0)
        own = rows + 0.01 * scale * own  # beside kinks: many a block has one at x = 0
    return Sample(own, q, theta, rng.dirichlet(np.ones(4)), *_changes(rng, scale, p), scale)


def _changes(rng: np.random.Generator, scale: Array, p: int) -> tuple[Array, Array]:
    return scale * rng.standard_normal((3, len(scale))), rng.standard_normal((4, p))


# -- derivatives ------------------------------------------------------------------------------


def _derivatives(block: Block, sample: Sample) -> Iterator[Compared]:
    x, q, theta, against = *sample[:3], "central differences of block.value"
    for name, size, scale in (
        ("pull_state", block.dim, sample.scale),
        ("pull_parameter", block.size, np.ones(block.size)),
    ):
        given = getattr(block, name)(x, theta, q)
        _check_shape(name, given, (3, 4, size))
        directions = _directions(size) * scale
        expected, slack = _differences(block, sample, directions, name == "pull_state")
        yield Compared(name, against, given @ directions.T, expected, slack)


def _directions(size: int) -> Array:
    if size <= DIRECTIONS:
        return np.eye(size)
    return np.random.default_rng(0).choice([-1.0, 1.0], (DIRECTIONS, size))


def _differences(
    block: Block, sample: Sample, directions: Array, by_state: bool, h: float = 1e-5
) -> tuple[Array, Array]:
    """⟨q, f⟩ differentiated along each direction, and how far differences can be trusted."""

    def slope(direction: Array, step: float) -> tuple[Array, Array]:
        move = step * direction
        dx, dtheta = (move, 0.0) if by_state else (0.0, move)
        up, down = (
            np.asarray(block.value(sample.x + s * dx, sample.theta + s * dtheta)) for s in (1, -1)
        )
        rounding = np.finfo(up.dtype).eps * np.einsum("nmd,nd->nm", np.abs(up), np.abs(sample.q))
        return np.einsum("nmd,nd->nm", up - down, sample.q) / (2 * step), 100 * rounding / step

    fine, coarse = ([slope(v, s) for v in directions] for s in (h, 2 * h))
    expected = np.stack([value for value, _ in fine], axis=-1)
    rounding = np.stack([noise for _, noise in fine], axis=-1)
    return expected, rounding + 10 * np.abs(expected - np.stack([v for v, _ in coarse], axis=-1))


# -- sums and passes --------------------------------------------------------------------------


def _own_forms(block: Block, sample: Sample) -> Iterator[Compared]:
    names = (name for name in derived(Block) if not name.startswith("_"))
    own = {name for name in names if getattr(type(block), name) is not getattr(Block, name)}
    parts = _sums(block, sample, own), _chains(block, sample, own), _second(block, sample, own)
    for compared in chain(*parts):
        if compared.name in own:
            yield compared
    if "forward_pass" in own:
        for method in TABLEAUX:
            for count in (1, 3):
                yield from _passes(block, sample, Depth(2, method), count)


def _sums(block: Block, sample: Sample, own: set[str]) -> Iterator[Compared]:
    x, q, theta, a, dx, dtheta, _ = sample
    arguments = {
        "field": (x, theta, a),
        "backward": (x, theta, a, q),
        "potential": (x, theta, q),
        "gradient": (x, theta, q),
        "tangent": (x, theta, a, dx, dtheta),
    }
    for name, given in arguments.items():
        yield from _both(block, name, given)
    if not own & {"sensitivity", "gram", "scaled"}:
        return
    many = np.stack([q, dx], axis=1)
    state, expected = (
        kind.sensitivity(block, x, theta, a, many)[0] for kind in (type(block), Block)
    )
    yield Compared("sensitivity", FORMULA_SAYS, state, expected)
    yield Compared(
        "sensitivity" if "gram" not in own else "gram",
        FORMULA_SAYS,
        *(_gram(block, kind, sample, many) for kind in (type(block), Block)),
    )
    root = 0.5 + np.arange(block.size) / block.size
    yield Compared(
        "scaled",
        FORMULA_SAYS,
        *(_gram(block, kind, sample, many, root) for kind in (type(block), Block)),
    )


def _gram(
    block: Block, kind: type[Block], sample: Sample, many: Array, root: Array | None = None
) -> Array:
    """The lower triangle that ``gram`` adds up from the factors of two evaluations."""
    x, _, theta, a, dx, *_ = sample
    factors = [kind.sensitivity(block, z, theta, a, many)[1] for z in (x, x + 0.1 * dx)]
    if root is not None:
        factors = [kind.scaled(block, factor, root) for factor in factors]
    out = np.zeros((many.shape[0] * many.shape[1],) * 2)
    kind.gram(block, factors, a, 0.7, out)
    return np.tril(out)


def _second(block: Block, sample: Sample, own: set[str]) -> Iterator[Compared]:
    """Two directions at once: of the state, and of all."""
    x, q, theta, a, dx, dtheta, _ = sample
    many = np.stack([dx, dx[::-1]]), np.stack([0.0 * dtheta, dtheta])
    da = np.stack([0.0 * a, a[::-1] - 0.3])
    for masses in (None, da):
        if "tangents" in own:
            yield from _both(block, "tangents", (x, theta, a, *many, masses))
        if "backward_tangents" in own:
            arguments = (x, theta, a, q, *many, np.stack([0.0 * q, q[::-1]]), masses)
            yield from _both(block, "backward_tangents", arguments)


def _chains(block: Block, sample: Sample, own: set[str]) -> Iterator[Compared]:
    steps, start = np.array([0.3, 0.0, 0.2, 0.5]), np.ascontiguousarray(sample.x.T)
    yield from _both(block, "chain_forward", (sample.theta, steps, start))
    path = Block.chain_forward(block, sample.theta, steps, start)
    terminal = np.ascontiguousarray(sample.q.T)
    yield from _both(block, "chain_adjoint", (sample.theta, steps, path, terminal))
    back = Block.chain_adjoint(block, sample.theta, steps, path, terminal)[0]
    yield from _both(block, "chain_rows", (sample.theta, path, back))


def _both(block: Block, name: str, arguments: tuple[Array | None, ...]) -> Iterator[Compared]:
    """A method of the block beside the generic one of ``Block``."""
    pair = getattr(block, name)(*arguments), getattr(Block, name)(block, *arguments)
    yield from _pairs(name, *(one if isinstance(one, tuple) else (one,) for one in pair))


def _pairs(name: str, given: tuple[Array, ...], expected: tuple[Array, ...]) -> Iterator[Compared]:
    for one, other in zip(given, expected, strict=True):
        _check_shape(name, one, np.shape(other))
        yield Compared(name, FORMULA_SAYS, np.asarray(one), other)


def _passes(block: Block, sample: Sample, depth: Depth, count: int) -> Iterator[Compared]:
    rng = np.random.default_rng(count)
    theta, change = rng.standard_normal((2, len(depth.nodes), count, block.size))
    weights = rng.dirichlet(np.ones(count), len(depth.nodes))
    layers = depth, theta, weights
    stages, path = reference.forward(block, *layers, sample.x)
    for keep in (False, True):
        passed = block.forward_pass(*layers, sample.x, keep)
        if passed is not None:
            yield from _pairs("forward_pass", passed[:2], (stages, path))
    kept = None if passed is None else passed[2]
    back = block.adjoint_pass(*layers, stages, sample.q, kept)
    if back is not None:
        wanted = reference.adjoint(block, *layers, stages, sample.q)
        yield from _pairs("adjoint_pass", back, wanted)
    end = block.tangent_pass(*layers, stages, change, kept)
    if end is not None:
        wanted_end = reference.tangent(block, *layers, stages, change)
        yield from _pairs("tangent_pass", (end,), (wanted_end,))
    names = ("forward_tangents_pass", "adjoint_tangents_pass")
    if any(getattr(type(block), name) is not getattr(Block, name) for name in names):
        yield from _second_passes(block, sample, layers, stages, kept)


def _second_passes(
    block: Block, sample: Sample, layers: tuple[Depth, Array, Array], stages: Array, kept: Any
) -> Iterator[Compared]:
    """Two directions of everything at once."""
    _, theta, weights = layers
    change = np.stack([np.roll(theta, 1, axis=-1), theta**2])
    mass = np.stack([0.0 * weights, weights[:, ::-1] - 0.3])
    moves = change, mass, np.stack([sample.dx, sample.dx[::-1]])
    forward = reference.forward_tangents(block, *layers, stages, *moves)
    if (given := block.forward_tangents_pass(*layers, stages, kept, *moves)) is not None:
        yield from _pairs("forward_tangents_pass", given, forward)
    cotangents = reference.adjoint(block, *layers, stages, sample.q)[0]
    states, moves = (stages, cotangents), (change, mass, np.stack([sample.q[::-1], 0.0 * sample.q]))
    back = block.adjoint_tangents_pass(*layers, *states, kept, forward[0], *moves)
    if back is not None:
        wanted = reference.adjoint_tangents(block, *layers, *states, forward[0], *moves)
        yield from _pairs("adjoint_tangents_pass", back, wanted)


# -- verdicts ---------------------------------------------------------------------------------


def _check_shape(name: str, value: Array, shape: tuple[int, ...]) -> None:
    if np.shape(value) != shape:
        raise ValueError(f"block.{name} must return shape {shape}; returned {np.shape(value)}")


def _error(
    name: str,
    against: str,
    given: Array,
    expected: Array,
    slack: Array | float,
    tol: float,
    *,
    strict: bool,
) -> float:
    least = 1.0 if strict else max(np.nanmax(np.abs(expected)), 1e-200)  # data of any scale
    size = least + np.abs(expected)
    error = np.abs(given - expected) / size
    above = error - slack / size
    if not strict:
        error, above = (np.where(np.isfinite(above), one, 0.0) for one in (error, above))
    worst = np.unravel_index(int(above.argmax()), error.shape)
    if not above.max() <= tol:
        entry = tuple(int(i) for i in worst)
        raise ValueError(
            f"block.{name} disagrees with {against} at entry {entry}: "
            f"{given[worst]:.6g} against {expected[worst]:.6g} (tolerance {tol:g})"
        )
    return float(error.max())
