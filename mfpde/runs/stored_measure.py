"""Particles in sealed records: depth among the plain values, positions and weights as arrays."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from mfpde.depth import Depth
from mfpde.measures.particles import ParticleMeasure

Arrays = dict[str, NDArray[Any]]


def write(rho: ParticleMeasure, name: str) -> tuple[list[Any], Arrays]:
    """Its depth, and its arrays under ``name``."""
    arrays = {f"{name}/theta": rho.theta, f"{name}/weights": rho.weights}
    return [rho.depth.steps, rho.depth.method], arrays


def read(depth: list[Any], arrays: Arrays, name: str) -> ParticleMeasure:
    """The inverse of ``write``."""
    return ParticleMeasure(arrays[f"{name}/theta"], Depth(*depth), arrays[f"{name}/weights"])
