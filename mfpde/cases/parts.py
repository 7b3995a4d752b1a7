"""What the sections of a case file make: one registry for each section that has kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, data, laws
from mfpde.blocks import BLOCKS, Block, from_spec
from mfpde.blocks._functions import FunctionBlock
from mfpde.cases.keys import call, check, keys_of, kind_of, table
from mfpde.depth import Depth
from mfpde.laws import Law
from mfpde.measures import (
    GridMeasure,
    JointGrid,
    JointMeasure,
    MovingGrid,
    OrderedBlocks,
    ParticleMeasure,
)
from mfpde.problem import Problem


def empirical(points: str | ArrayLike, weights: ArrayLike | None = None) -> Law:
    """The law of points, given as rows or as a file of them."""
    found = data.points(points) if isinstance(points, str) else points
    return laws.Empirical(found, weights)


def product(parts: Sequence[Law]) -> Law:
    """Laws of consecutive groups of coordinates."""
    return laws.Product(*parts)


LAWS: dict[str, Callable[..., Law]] = {
    "gaussian": laws.Gaussian,
    "uniform": laws.Uniform,
    "dirac": laws.Dirac,
    "correlated": laws.Correlated,
    "empirical": empirical,
    "mixture": laws.Mixture,
    "product": product,
}


def joint(
    law: Law, *, count: int, rule: str = "sobol", seed: int = 0, beta: float = 1.0,
    window: float | None = None,
) -> JointMeasure:  # fmt: skip
    """Blocks that move in θ and in depth, evenly placed at the start."""
    how: dict[str, Any] = {"rule": rule, "seed": seed, "beta": beta, "window": window}
    return JointMeasure.from_law(law, count=count, **how)


def ordered(
    law: Law, *, count: int, rule: str = "sobol", seed: int = 0, beta: float = 1.0
) -> OrderedBlocks:
    """Blocks that own the depth behind them, evenly placed at the start."""
    return OrderedBlocks.from_law(law, count=count, rule=rule, seed=seed, beta=beta)


def joint_grid(
    law: Law,
    *,
    depth_cells: int,
    cells: int | Sequence[int],
    box: Sequence[Any] | None = None,
    spacing: str | Sequence[str] = "uniform",
    beta: float = 1.0,
) -> JointGrid:
    """Cells in θ and in depth, uniform in depth at the start."""
    how: dict[str, Any] = {"box": box, "spacing": spacing, "beta": beta}
    return JointGrid.from_law(law, depth_cells=depth_cells, cells=cells, **how)


# Makers of ρ_0 from the law; those that name a ``depth`` need the section [depth].
MEASURES: dict[str, Callable[..., Any]] = {
    "particles": ParticleMeasure.from_law,
    "grid": GridMeasure.from_law,
    "moving_grid": MovingGrid.from_law,
    "joint": joint,
    "ordered": ordered,
    "joint_grid": joint_grid,
}


@checks.typed
def load(
    source: str,
    *,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    count: int | None = None,
    seed: int = 0,
    components: int | None = None,
    one_hot: bool = False,
    folder: Path = Path(),
) -> tuple[NDArray[Any], NDArray[Any]]:
    """x and y of a bundled set or a file; ``count`` rows of it, ``components`` of its inputs."""
    place = source if source in data.BUNDLED else folder / source
    names = {"inputs": inputs, "targets": targets}
    x, y = data.load(place, **{key: list(value) if value else None for key, value in names.items()})
    if count is not None:
        x, y = data.subset(x, y, count, seed)
    if one_hot:
        y = data.one_hot(y)
    return (x if components is None else data.principal_components(x, components)), y


def observed(parts: Mapping[str, Any], folder: Path) -> dict[str, Any] | None:
    """Other data (x, y) by name, of the tables [observe.NAME]."""
    if "observe" not in parts:
        return None
    own = table("[data]", parts["data"])
    for key in ("components", "one_hot"):
        if own.get(key):
            raise ValueError(
                f"[observe] cannot go with {key} of [data], which depends on all data: prepare "
                "both files beforehand"
            )
    tables = table("[observe]", parts["observe"])
    return {
        name: call(f"[observe.{name}]", load_other, fields, folder=folder)
        for name, fields in tables.items()
    }


def load_other(
    source: str,
    *,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    folder: Path = Path(),
) -> tuple[NDArray[Any], NDArray[Any]]:
    """x and y that a run looks at but is not trained on."""
    x, y = load(source, inputs=inputs, targets=targets, folder=folder)
    return x, y


def problem(parts: Mapping[str, Any], folder: Path) -> Problem:
    """The learning problem of [data], [block] and [problem]."""
    x, y = call("[data]", load, parts["data"], folder=folder)
    made = block(parts["block"], np.shape(x)[1] + (1 if np.ndim(y) == 1 else np.shape(y)[1]))
    fields = table("[problem]", parts.get("problem", {}))
    found: Problem = call("[problem]", Problem, fields, x=x, y=y, block=made)
    return found


def block(value: Any, dim: int) -> Block:
    """The block of [block]; ``dim`` where it names none."""
    fields = table("[block]", value)
    kind = kind_of("[block]", fields, BLOCKS)
    inner, known = fields.get("block"), keys_of(keys_from(kind))
    if kind == "meshed" and isinstance(inner, Mapping):  # [block.block]
        fields["block"] = {"kind": "shl", "dim": dim, **inner}
    if "dim" in known and "tokens" not in known:  # d of a token is for the file to say
        fields = {"dim": dim, **fields}
    check("[block]", keys_from(kind), fields, ())
    try:
        return from_spec({"kind": kind, **fields})
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"[block]: {error}") from None


def from_function(*, origin: str, dim: int, size: int) -> None:
    """Keys of a block from a function, "module:name", of a module that is imported."""


def keys_from(kind: str) -> Callable[..., Any]:
    """What has the keys of a kind of block as its parameters."""
    return from_function if issubclass(BLOCKS[kind], FunctionBlock) else BLOCKS[kind]


def law(value: Any, folder: Path = Path()) -> Law:
    """The product of the tables [[law]]."""
    if not isinstance(value, list):
        return one_law("[law]", value, folder)
    return laws.Product(
        *(one_law(f"[[law]] {k}", part, folder) for k, part in enumerate(value, start=1))
    )


def one_law(where: str, value: Any, folder: Path) -> Law:
    """The law of a table, whose ``parts`` are such tables; files are taken from ``folder``."""
    fields = table(where, value)
    kind = kind_of(where, fields, LAWS)
    if "parts" in keys_of(LAWS[kind]) and isinstance(fields.get("parts"), list):
        fields["parts"] = [
            one_law(f"{where}.parts {k}", part, folder)
            for k, part in enumerate(fields["parts"], start=1)
        ]
    if kind == "empirical" and isinstance(fields.get("points"), str):
        fields["points"] = str(folder / fields["points"])
    found: Law = call(where, LAWS[kind], fields)
    return found


def measure(parts: Mapping[str, Any], made: Law, size: int) -> Any:
    """ρ_0 of [measure], of p = ``size`` coordinates."""
    if made.dim != size:
        raise ValueError(f"[law] has {made.dim} coordinates; the block has {size}")
    fields = table("[measure]", parts["measure"])
    maker = MEASURES[kind_of("[measure]", fields, MEASURES, "particles")]
    given: dict[str, Any] = {"law": made}
    if needs_depth(parts):
        given["depth"] = depth(parts)
    elif "depth" in parts:
        raise ValueError("the section [depth] must be left out: this measure has depths of its own")
    return call("[measure]", maker, fields, **given)


def needs_depth(parts: Mapping[str, Any]) -> bool:
    """Whether the kind of measure sits on depth nodes."""
    kind = table("[measure]", parts["measure"]).get("kind", "particles")
    return kind not in ("joint", "ordered", "joint_grid")


def depth(parts: Mapping[str, Any]) -> Depth:
    if "depth" not in parts:
        raise ValueError("the section [depth] is missing: this measure sits on depth nodes")
    found: Depth = call("[depth]", Depth, table("[depth]", parts["depth"]))
    return found
