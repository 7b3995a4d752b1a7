"""A problem in a record: its arrays, and how to know its block again."""

from __future__ import annotations

import platform
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import losses
from mfpde.blocks import Block, from_spec, spec_of
from mfpde.problem import Problem

Array = NDArray[Any]

ARRAYS = ("x", "y", "embed", "readout")
OPTIONAL = ("weights", "rates")


def write(problem: Problem) -> tuple[dict[str, Any], dict[str, Array]]:
    """The plain values and the arrays of a problem."""
    values = {
        "block": spec_of(problem.block),
        "block_is": identity(problem.block),
        "loss": losses.spec_of(problem.loss),
        "penalty": asdict(problem.penalty),
        "temperature": problem.temperature,
        "memory": problem.memory,
    }
    arrays = {"problem/" + name: getattr(problem, name) for name in ARRAYS}
    given = {"problem/" + name: getattr(problem, name) for name in OPTIONAL}
    return values, arrays | {name: value for name, value in given.items() if value is not None}


def read(values: dict[str, Any], arrays: dict[str, Array], block: Any) -> Problem:
    """The problem of ``write``; a block the package does not know is handed over.

    Raises ValueError for a block that is missing, or is not the one that was written.
    """
    return Problem(
        arrays["problem/x"],
        arrays["problem/y"],
        block=_block(values, block),
        embed=arrays["problem/embed"],
        readout=arrays["problem/readout"],
        loss=values["loss"],
        weights=arrays.get("problem/weights"),
        weight_decay=values["penalty"]["quadratic"],
        quartic_decay=values["penalty"]["quartic"],
        temperature=values["temperature"],
        rates=arrays.get("problem/rates"),
        memory=values["memory"],
    )


def identity(block: Block) -> dict[str, Any]:
    """What tells a block from another: names, sizes, and its three methods at fixed points.

    Its numbers rather than its source: a block that was moved, renamed or commented is the same
    block, and one made from a function is known although its class is not its own.
    """
    rng = np.random.default_rng(0)
    x, q = rng.standard_normal((2, 3, block.dim))
    theta = rng.standard_normal((2, block.size))
    with np.errstate(all="ignore"):
        found = (
            block.value(x, theta),
            block.pull_state(x, theta, q),
            block.pull_parameter(x, theta, q),
        )
        probe = [_sums(np.asarray(part, dtype=np.float64)) for part in found]
    return {
        "repr": repr(block),
        "class": f"{type(block).__module__}.{type(block).__qualname__}",
        "dim": block.dim,
        "coordinates": list(block.coordinates),
        "probe": probe,
    }


def _sums(values: Array) -> list[float]:
    """Three sums with fixed weights, which no other function is likely to share."""
    weights = np.cos(np.outer((1.0, 2.0, 3.0), np.arange(values.size)))
    return [float(v) for v in weights @ values.ravel()]


def _block(values: dict[str, Any], given: Any) -> Block:
    known, spec = values["block_is"], values["block"]
    if given is None and spec is not None:
        given = from_spec(spec)
    if not isinstance(given, Block):
        raise ValueError(
            f"block: the run used a block of the user's own, {known['repr']}; "
            "hand it over as block=..."
        )
    own = identity(given)
    same = all(own[name] == known[name] for name in ("dim", "coordinates"))
    if not same or not np.allclose(own["probe"], known["probe"], 1e-6, 1e-9, equal_nan=True):
        raise ValueError(
            f"block: the run used {known['repr']} of class {known['class']}, which is another "
            f"function than {given!r} of class {own['class']}"
        )
    return given


@cache
def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    from importlib.metadata import version

    packages = ("numpy", "scipy", "numba", "h5py", "mfpde")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
