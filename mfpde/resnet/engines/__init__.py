"""Engines: what computes a training step, and which one to take."""

from __future__ import annotations

from importlib.util import find_spec

from mfpde import checks
from mfpde.problem import Problem
from mfpde.resnet.engines.base import Engine, Pass
from mfpde.resnet.engines.particles import Particles

BACKENDS = ("auto", "torch", "particles")

__all__ = ["BACKENDS", "Engine", "Particles", "Pass", "make"]


def make(problem: Problem, backend: str, dtype: str, device: str) -> Engine:
    """The engine of that backend; "auto" is torch where it is installed and knows the block."""
    checks.choice("backend", backend, BACKENDS)
    if backend == "particles":
        return Particles(problem, dtype)
    if find_spec("torch") is None:
        if backend == "torch":
            raise ImportError("backend='torch' needs torch: pip install 'mfpde[torch]'")
        return Particles(problem, dtype)
    from mfpde.resnet.engines.autograd import Autograd
    from mfpde.resnet.engines.tensors import knows

    if knows(problem.block):
        return Autograd(problem, dtype, device)
    if backend == "torch":
        raise ValueError(f"backend='torch' has no {problem.block!r}; use backend='particles'")
    return Particles(problem, dtype)
