"""Run files after an accident, or a hand: each is a clear error or the numbers that were written.

Bits flipped, bytes changed, sectors zeroed or swapped, ends cut off, rubbish behind the end, values
and metadata changed through HDF5 itself. A file that loads must hold what the run wrote, or what it
had written at an earlier checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from outcome import Outcome, limited
from problems import gaussian_measure, sine

import mfpde
from mfpde import laws, resnet

SECTOR = 512
SECONDS = 10.0  # to read a file


class Original:
    """A file, and what reading it must return: all of it, or what a shorter series began with."""

    def __init__(self, name: str, path: Path, read: Callable[[Path], list[Any]]) -> None:
        self.name, self.path, self.read = name, path, read
        self.bytes = path.read_bytes()
        self.values = read(path)

    def judge(self, case: str, path: Path) -> Outcome:
        case = f"{self.name}: {case}"
        try:
            with limited(SECONDS):
                found = self.read(path)
        except TimeoutError as error:
            return Outcome("hang", case, str(error))
        except (ValueError, OSError) as error:
            named = str(path) in str(error)
            return Outcome("clear" if named else "unclear", case, str(error)[:200])
        except Exception as error:
            return Outcome("unclear", case, f"{type(error).__name__}: {error}")
        if all(_same(a, b) for a, b in zip(found, self.values, strict=True)):
            return Outcome("right", case)
        return Outcome("silent", case, "other values were read")


def _same(a: Any, b: Any) -> bool:
    if isinstance(b, np.ndarray):
        return np.shape(a) == b.shape and a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


def originals(folder: Path) -> list[Original]:
    """Run files of particles, a grid, blocks in depth, and networks."""
    found = []
    problem = sine(weight_decay=0.1)
    law = laws.Gaussian(1.0, dim=5)
    line = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(1, bias=False))
    box = laws.Uniform([-1.5, -1.5], [1.5, 1.5])
    starts = {
        "particles": (problem, gaussian_measure(problem, mfpde.Depth(2)), 1.0),
        "joint": (problem, mfpde.JointMeasure.from_law(law, count=12), 0.3),
        "grid": (line, mfpde.GridMeasure.from_law(box, mfpde.Depth(2), cells=6), 0.3),
    }
    for name, (task, rho, end) in starts.items():
        path = folder / f"{name}.h5"
        mfpde.solve(task, rho, s_end=end, save="steps", checkpoint=path, progress=False)
        found.append(Original(name, path, _run))
    path = folder / "network.h5"
    shape: dict[str, Any] = {"layers": 3, "width": 4, "seeds": 2, "s_end": 1.0, "step": 0.1}
    resnet.train(problem, law, checkpoint=path, optimizer=resnet.Adam(), progress=False, **shape)
    return [*found, Original("network", path, _network)]


def _run(path: Path) -> list[Any]:
    sol = mfpde.Solution.load(path)
    problem, rho = sol.problem, sol.final
    numbers = [sol.s, sol.loss, sol.gradient_norm2, sol.step, rho.state, np.array(sol.states)]
    fixed = [problem.x, problem.y, problem.embed, problem.readout, *rho.spec()[1].values()]
    words = [sol.status, sol.options, repr(problem.block), problem.penalty, sol.message]
    return [*numbers, *fixed, *words, repr(rho), sol.control.h, sol.control.steps]


def _network(path: Path) -> list[Any]:
    found = resnet.resume(path, progress=False)
    return [found.theta, found.s, found.loss, found.outputs, found.saved, found.seeds, found.status]


# -- damage ---------------------------------------------------------------------------------------


def judge(original: Original, seed: int, folder: Path) -> Iterator[Outcome]:
    """One outcome for every kind of damage."""
    rng = np.random.default_rng(seed)
    for name, harm in HARM.items():
        path = folder / "damaged.h5"
        path.write_bytes(original.bytes)
        harm(path, rng)
        if path.read_bytes() != original.bytes:
            yield original.judge(f"{name} (seed {seed})", path)


def _bytes(change: Callable[[bytearray, np.random.Generator], Any]) -> Callable[..., None]:
    def harm(path: Path, rng: np.random.Generator) -> None:
        data = bytearray(path.read_bytes())
        found = change(data, rng)
        path.write_bytes(data if found is None else found)

    return harm


@_bytes
def _bit(data: bytearray, rng: np.random.Generator) -> None:
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))


@_bytes
def _header_bit(data: bytearray, rng: np.random.Generator) -> None:
    data[rng.integers(min(4096, len(data)))] ^= 1 << int(rng.integers(8))


@_bytes
def _byte(data: bytearray, rng: np.random.Generator) -> None:
    data[rng.integers(len(data))] = int(rng.integers(256))


@_bytes
def _letter(data: bytearray, rng: np.random.Generator) -> None:
    """A digit in some text becomes another."""
    digits = [k for k in range(len(data)) if chr(data[k]).isdigit()]
    data[digits[rng.integers(len(digits))]] = ord(str(rng.integers(10)))


@_bytes
def _zeros(data: bytearray, rng: np.random.Generator) -> None:
    at = SECTOR * int(rng.integers(len(data) // SECTOR))
    data[at : at + SECTOR] = bytes(SECTOR)


@_bytes
def _swapped(data: bytearray, rng: np.random.Generator) -> None:
    i, j = (SECTOR * int(k) for k in rng.integers(len(data) // SECTOR, size=2))
    data[i : i + SECTOR], data[j : j + SECTOR] = data[j : j + SECTOR], data[i : i + SECTOR]


@_bytes
def _cut(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(len(data))])


@_bytes
def _rubbish(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data) + rng.bytes(int(rng.integers(1, 2000)))


@_bytes
def _inserted(data: bytearray, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    return bytes(data[:at] + rng.bytes(1) + data[at:])


def _value(path: Path, rng: np.random.Generator) -> None:
    """Another number in some array, by HDF5's own hand."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: _listed(names, name, item))
        if names:
            item = file[names[rng.integers(len(names))]]
            values = item[()].ravel()
            values[rng.integers(values.size)] += 1
            item[...] = values.reshape(item.shape)


def _listed(names: list[str], name: str, item: Any) -> None:
    if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind in "iuf":
        names.append(name)


def _attribute(path: Path, rng: np.random.Generator) -> None:
    """Another word or number among the metadata, by HDF5's own hand."""
    with h5py.File(path, "r+") as file:
        names = sorted(file.attrs)
        name = names[rng.integers(len(names))]
        value = file.attrs[name]
        file.attrs[name] = f"{value}?" if isinstance(value, str) else value + 1


HARM: dict[str, Callable[..., None]] = {
    "bit": _bit,
    "bit near the beginning": _header_bit,
    "byte": _byte,
    "digit": _letter,
    "zeroed sector": _zeros,
    "swapped sectors": _swapped,
    "cut short": _cut,
    "rubbish behind": _rubbish,
    "inserted byte": _inserted,
    "changed value": _value,
    "changed attribute": _attribute,
}


def every(seeds: range, folder: Path) -> Iterator[Outcome]:
    """All kinds of damage to all kinds of files, for all seeds."""
    shelf = folder / "originals"
    shelf.mkdir()
    files = originals(shelf)
    for seed in seeds:
        for original in files:
            yield from judge(original, seed, folder)
    shutil.rmtree(shelf)
