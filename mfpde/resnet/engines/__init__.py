"""Engines: what computes a training step, by name, by rule, or by measurement."""

from __future__ import annotations

import ctypes
import sys
import time
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from mfpde import checks
from mfpde.blocks import SHL, computes
from mfpde.problem import Problem
from mfpde.resnet.engines.base import Array, Descent, Engine, Pass

BACKENDS = ("auto", "torch", "particles")
DTYPES = ("float64", "float32", "tf32", "bfloat16")

__all__ = [
    "BACKENDS",
    "DTYPES",
    "ENGINES",
    "Descent",
    "Engine",
    "Pass",
    "TooLarge",
    "available",
    "check_memory",
    "choose",
    "make",
    "out_of_memory",
    "race",
]


class Entry(NamedTuple):
    """Where an engine is, and what it takes."""

    backend: str
    module: str
    kind: str
    shl_only: bool
    dtypes: tuple[str, ...]
    gpu_only: bool = False


_WIDE = ("float64", "float32")

# In order of preference, which is what "auto" goes by.
ENGINES: dict[str, Entry] = {
    "layers": Entry("particles", "layers", "LayerByLayer", True, _WIDE),
    "particles": Entry("particles", "particles", "Particles", False, _WIDE),
    "captured": Entry("torch", "captured", "Captured", True, DTYPES, True),
    "adjoint": Entry("torch", "adjoint", "Adjoint", True, DTYPES),
    "autograd": Entry("torch", "autograd", "Autograd", False, (*_WIDE, "tf32")),
    "fused": Entry("torch", "fused", "Fused", True, _WIDE, True),
    "compiled": Entry("torch", "autograd", "Compiled", False, (*_WIDE, "tf32")),
}


def choose(problem: Problem, backend: str, engine: str, dtype: str, device: str) -> str:
    """The engine that "auto" stands for, or the one named, if it fits what is asked.

    By rule, so that a run has the same numbers wherever it is repeated on one kind of machine: on
    a GPU the captured adjoint, on a processor the compiled layers for SHL blocks, else the block's
    own sums. Raises ValueError or ImportError that says what does not fit.
    """
    checks.choice("backend", backend, BACKENDS)
    checks.choice("dtype", dtype, DTYPES)
    checks.choice("engine", engine, (*ENGINES, "auto", "fastest"))
    if engine in ENGINES:
        reason = _obstacle(engine, problem, backend, dtype, device)
        if reason is not None:
            raise reason
        return engine
    return available(problem, backend, dtype, device)[0]


def available(problem: Problem, backend: str, dtype: str, device: str) -> list[str]:
    """Engines that fit, the preferred one first. Raises where there is none."""
    if backend == "auto":
        asked = dtype not in _WIDE or device not in ("auto", "cpu")
        gpu = _knows(problem) and _on_gpu(device)
        backend = "torch" if asked or gpu else "particles"
    reasons = {name: _obstacle(name, problem, backend, dtype, device) for name in ENGINES}
    found = [name for name, reason in reasons.items() if reason is None]
    if found:
        return found
    last = "autograd" if backend == "torch" else "particles"
    raise reasons[last] or ValueError(f"no engine for {problem.block!r}")


def make(problem: Problem, name: str, dtype: str, device: str) -> Engine:
    """The engine of that name; torch's ones split their batch when memory runs out."""
    entry = ENGINES[name]
    kind = getattr(import_module(f"{__name__}.{entry.module}"), entry.kind)
    if entry.backend == "particles":
        return kind(problem, dtype)
    from mfpde.resnet.engines.splitting import Splitting

    return Splitting(kind(problem, dtype, device))


class TooLarge(MemoryError, ValueError):
    """Passes that take more memory than is allowed."""


def check_memory(
    problem: Problem, name: str, dtype: str, shape: tuple[int, ...], batch: int | None
) -> None:
    """Raise TooLarge where networks (S, L, M, p) need more than the problem's ``memory``.

    States there and back, and σ of every layer, for the data of a step; what is held between
    the networks of a stack is counted for all, except by the engine that takes them in turn.
    Where no bound is given it is the machine's memory for that engine, which keeps less σ; a GPU
    has its own, and batches are split there.
    """
    if problem.memory is None:
        if name == "layers":
            _check_machine(problem, dtype, shape, batch)
        return
    networks, layers, width, _ = shape
    data, together = batch or problem.size, 1 if name == "layers" else networks
    numbers = data * (2 * (layers + 1) * problem.block.dim + layers * width)
    forward = problem.size * 2 * (problem.block.dim + width)  # of all data, when a loss is recorded
    needed = together * max(numbers, forward) * (8 if dtype == "float64" else 4)
    if needed > problem.memory:
        raise TooLarge(
            f"memory: a step of {together} network(s) on {data} data takes "
            f"{needed} bytes, {problem.memory:g} are allowed: give more, or take an optimizer "
            "with a smaller batch, or fewer layers"
        )


def _check_machine(problem: Problem, dtype: str, shape: tuple[int, ...], batch: int | None) -> None:
    """Raise ValueError where the compiled layers of one network take more than there is."""
    from mfpde.resnet.engines.layers import KEEP

    _, layers, width, _ = shape
    data, itemsize = batch or problem.size, 8 if dtype == "float64" else 4
    each = (layers + 3) * problem.block.dim + 3 * width
    needed = itemsize * float(max(data, problem.size) * each)
    kept = min(float(KEEP), float(itemsize * layers * width * data))
    remedy = "take an optimizer with a smaller batch, or fewer layers"
    checks.memory(f"a step on {data} data", needed + kept, remedy)


def race(
    problem: Problem, names: list[str], dtype: str, device: str, theta: Array, rounds: int = 3
) -> dict[str, float]:
    """Seconds of one gradient by each engine, the best of ``rounds`` after one that compiles."""
    seconds = {}
    for name in names:
        engine = make(problem, name, dtype, device)
        state = engine.load(theta)
        engine.numpy(engine.gradient(state).loss)
        seconds[name] = min(_seconds(engine, state) for _ in range(rounds))
    return seconds


def out_of_memory() -> tuple[type[BaseException], ...]:
    """What running out of memory raises: torch has an exception of its own."""
    torch = sys.modules.get("torch")
    return (MemoryError,) if torch is None else (MemoryError, torch.OutOfMemoryError)


def _seconds(engine: Engine, state: Any) -> float:
    begin = time.perf_counter()
    engine.numpy(engine.gradient(state).loss)  # waits for the device
    return time.perf_counter() - begin


def _obstacle(
    name: str, problem: Problem, backend: str, dtype: str, device: str
) -> Exception | None:
    """Why an engine cannot be used, or None."""
    entry = ENGINES[name]
    if backend not in ("auto", entry.backend):
        return ValueError(f"engine={name!r} belongs to backend={entry.backend!r}, not {backend!r}")
    if dtype not in entry.dtypes:
        return ValueError(f"engine={name!r} computes in {', '.join(entry.dtypes)}; given {dtype!r}")
    if entry.shl_only and not computes(problem.block, SHL):
        return ValueError(f"engine={name!r} is for SHL blocks; given {problem.block!r}")
    if name == "layers" and not problem.block.activation.compiled:  # type: ignore[attr-defined]
        return ValueError(f"engine='layers' has no kernel for {problem.block!r}")
    if entry.backend == "particles":
        fits = device in ("auto", "cpu")
        return (
            None
            if fits
            else ValueError(f"device must be 'auto' or 'cpu' for engine={name!r}; given {device!r}")
        )
    if problem.block.torch_form() is None:
        return ValueError(f"backend='torch' has no {problem.block!r}; use backend='particles'")
    if not problem.loss.in_torch:
        loss = problem.loss.name
        return ValueError(f"loss {loss!r} has no torch form; use backend='particles'")
    if find_spec("torch") is None:
        return ImportError("backend='torch' needs torch: pip install 'mfpde[torch]'")
    if entry.gpu_only and not _on_gpu(device):
        return ValueError(f"engine={name!r} needs a CUDA device; use engine='adjoint'")
    if dtype == "tf32" and not _on_gpu(device):
        return ValueError("dtype='tf32' needs a CUDA device; use dtype='float32'")
    if name == "fused":
        return _fused_obstacle(problem)
    return None


def _fused_obstacle(problem: Problem) -> Exception | None:
    if find_spec("triton") is None:
        return ImportError("engine='fused' needs triton, which torch brings along on Linux")
    from mfpde.resnet.engines.fused import obstacle

    return obstacle(problem)


def _knows(problem: Problem) -> bool:
    """Whether torch has the block (a subclass may compute something else) and the loss."""
    return problem.block.torch_form() is not None and problem.loss.in_torch


def _on_gpu(device: str) -> bool:
    """Whether that device is a GPU; torch, seconds to import, is asked only where a driver is."""
    if device == "cpu" or find_spec("torch") is None:
        return False
    if device == "auto" and not _driver():
        return False
    from mfpde.resnet.engines.tensors import device_named

    return device_named(device).type == "cuda"


@lru_cache(maxsize=1)
def _driver() -> bool:
    """Whether this machine has NVIDIA's driver."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
