"""Case files: a run described in TOML, checked key by key."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfpde import checks, data, laws
from mfpde.blocks import BLOCKS, Block, from_spec
from mfpde.depth import Depth
from mfpde.laws import Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem

# Every section with the keys it may hold; a key in capitals must be there.
SECTIONS: dict[str, tuple[str, ...]] = {
    "data": ("SOURCE", "inputs", "targets", "count", "components", "seed", "one_hot"),
    "block": ("KIND", "dim", "activation", "bias"),
    "problem": ("embed", "readout", "loss", "weight_decay", "quartic_decay"),
    "depth": ("STEPS", "method"),
    "law": ("KIND", "std", "mean", "low", "high", "value", "dim"),
    "measure": ("COUNT", "rule", "coupling", "seed", "dtype"),
    "solve": (
        "S_END",
        "method",
        "rtol",
        "atol",
        "step",
        "loss_below",
        "save",
        "max_steps",
        "checkpoint_every",
    ),
}

LAWS: dict[str, Callable[..., Law]] = {
    "gaussian": laws.Gaussian,
    "uniform": laws.Uniform,
    "dirac": laws.Dirac,
}


@dataclass(frozen=True)
class Case:
    """A problem, its initial measure, and the keyword arguments of ``mfpde.solve``."""

    problem: Problem
    rho0: ParticleMeasure
    solve: dict[str, Any]


def read(path: str | os.PathLike[str]) -> Case:
    """The case in a TOML file; relative data paths are taken from the file's folder.

        [data]
        source = "digits"            # a bundled set, or a .npz or .csv file
        count = 64                   # optional: a random subset
        components = 6               # optional: principal components
        one_hot = true               # labels as rows of the identity
        [block]
        kind = "shl"                 # or "linear"
        dim = 16
        activation = "tanh"
        [problem]
        readout = "last"
        [depth]
        steps = 4
        method = "rk4"
        [[law]]                      # one table per group of coordinates, in order
        kind = "dirac"
        value = 0.0
        dim = 16
        [[law]]
        kind = "gaussian"
        std = 1.0
        dim = 17
        [measure]
        count = 128
        rule = "sobol"
        [solve]
        s_end = 100.0

    Raises FileNotFoundError, or ValueError that names the file, the section and the key.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"case: no file at {source}")
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"case: {source.name} is not valid TOML ({error})") from None
    return build(table, source.parent)


def build(table: Mapping[str, Any], folder: Path = Path()) -> Case:
    """The case of a parsed TOML table."""
    _check(table)
    problem = _problem(table, folder)
    depth = Depth(**table["depth"])
    rho0 = ParticleMeasure.from_law(_law(table["law"]), depth, **table["measure"])
    if rho0.dim != problem.block.size:
        raise ValueError(
            f"case: [[law]] has {rho0.dim} coordinates; {problem.block!r} has {problem.block.size}"
        )
    return Case(problem, rho0, dict(table["solve"]))


def _check(table: Mapping[str, Any]) -> None:
    for section in table:
        if section not in SECTIONS:
            raise ValueError(
                f"case: unknown section [{section}]; there are {', '.join(SECTIONS)}"
                + checks.nearest(section, SECTIONS)
            )
    for section, keys in SECTIONS.items():
        known = [key.lower() for key in keys]
        parts = table.get(section, {})
        for part in parts if isinstance(parts, list) else [parts]:
            _check_keys(section, part, known, [key.lower() for key in keys if key.isupper()])


def _check_keys(section: str, part: Any, known: list[str], needed: list[str]) -> None:
    if not isinstance(part, Mapping):
        raise ValueError(f"case: [{section}] must be a table; given {part!r}")
    for key in part:
        if key not in known:
            raise ValueError(
                f"case: unknown key {key!r} in [{section}]; it may hold {', '.join(known)}"
                + checks.nearest(key, known)
            )
    for key in needed:
        if key not in part:
            raise ValueError(f"case: [{section}] needs the key {key!r}")


def _problem(table: Mapping[str, Any], folder: Path) -> Problem:
    part = dict(table["data"])
    source = part["source"]
    if source not in data.BUNDLED:
        source = folder / source
    x, y = data.load(source, inputs=part.get("inputs"), targets=part.get("targets"))
    if "count" in part:
        x, y = data.subset(x, y, part["count"], part.get("seed", 0))
    if part.get("one_hot", False):
        y = data.one_hot(y)
    if "components" in part:
        x = data.principal_components(x, part["components"])
    return Problem(x, y, block=_block(table["block"], x, y), **table.get("problem", {}))


def _block(part: Mapping[str, Any], x: Any, y: Any) -> Block:
    checks.choice("case [block] kind", part["kind"], BLOCKS)
    outputs = 1 if np.ndim(y) == 1 else np.shape(y)[1]
    fields = {"dim": np.shape(x)[1] + outputs, **part}
    try:
        return from_spec(fields)
    except TypeError as error:
        raise ValueError(f"case: [block] of kind {part['kind']!r}: {error}") from None


def _law(parts: Any) -> Law:
    groups = []
    for part in parts if isinstance(parts, list) else [parts]:
        fields = dict(part)
        kind = checks.choice("case [law] kind", fields.pop("kind"), LAWS)
        try:
            groups.append(LAWS[kind](**fields))
        except TypeError as error:
            raise ValueError(f"case: [law] of kind {kind!r}: {error}") from None
    return laws.Product(*groups)
