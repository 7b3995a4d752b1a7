"""A user's block against central differences, before anything is built on it."""

from __future__ import annotations

import numpy as np

from mfpde import checks
from mfpde.blocks.base import Array, Block


@checks.typed
def check_block(block: Block, *, seed: int = 0, tol: float = 1e-6) -> float:
    """Largest relative error of a block's two derivatives against central differences.

    Draws x (3, d), θ (4, p), q (3, d) from N(0, 1) and compares ⟨q, f⟩ differentiated by
    differences of step 1e−5 with ``pull_state`` and ``pull_parameter``.

    Raises TypeError if ``block`` is not a ``Block`` or names no dim or coordinates, ValueError for
    a wrong shape or an error above ``tol``; the message says which derivative and which entry.
    """
    if not isinstance(block, Block):
        raise TypeError(f"block must subclass mfpde.Block; given {type(block).__name__}")
    for attribute in ("dim", "coordinates"):
        if not hasattr(block, attribute):
            raise TypeError(f"block must set {attribute!r}; see help(mfpde.Block)")
    rng = np.random.default_rng(seed)
    x, q = rng.standard_normal((2, 3, block.dim))
    theta = rng.standard_normal((4, block.size))
    _check_shape("value", block.value(x, theta), (3, 4, block.dim))
    state = _error("pull_state", block.pull_state(x, theta, q), _by_state(block, x, theta, q), tol)
    parameter = _error(
        "pull_parameter", block.pull_parameter(x, theta, q), _by_parameter(block, x, theta, q), tol
    )
    return max(state, parameter)


def _check_shape(name: str, value: Array, shape: tuple[int, ...]) -> None:
    if np.shape(value) != shape:
        raise ValueError(f"block.{name} must return shape {shape}; returned {np.shape(value)}")


def _error(name: str, given: Array, expected: Array, tol: float) -> float:
    _check_shape(name, given, expected.shape)
    error = np.abs(given - expected) / (1.0 + np.abs(expected))
    worst = np.unravel_index(int(error.argmax()), error.shape)
    if not error.max() <= tol:
        entry = tuple(int(i) for i in worst)
        raise ValueError(
            f"block.{name} disagrees with central differences of block.value at entry {entry}: "
            f"{given[worst]:.6g} against {expected[worst]:.6g} (tolerance {tol:g})"
        )
    return float(error.max())


def _by_state(block: Block, x: Array, theta: Array, q: Array, h: float = 1e-5) -> Array:
    columns = []
    for step in h * np.eye(block.dim):
        change = block.value(x + step, theta) - block.value(x - step, theta)
        columns.append(np.einsum("nmd,nd->nm", change, q) / (2 * h))
    return np.stack(columns, axis=-1)


def _by_parameter(block: Block, x: Array, theta: Array, q: Array, h: float = 1e-5) -> Array:
    columns = []
    for step in h * np.eye(block.size):
        change = block.value(x, theta + step) - block.value(x, theta - step)
        columns.append(np.einsum("nmd,nd->nm", change, q) / (2 * h))
    return np.stack(columns, axis=-1)
