"""Real data for scripts and the command line: files, scikit-learn's bundled sets, embeddings."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import archives, checks

Array = NDArray[np.float64]

BUNDLED = ("digits", "diabetes", "wine", "breast_cancer", "iris")


@checks.typed
def load(
    source: str | os.PathLike[str],
    *,
    inputs: list[str] | None = None,
    targets: list[str] | None = None,
) -> tuple[Array, NDArray[Any]]:
    """x (N, d_in) and y, labels (N,) or values (N, k), of a named set or a file.

    ``source`` is one of scikit-learn's bundled sets ("digits", "diabetes", "wine",
    "breast_cancer", "iris"; extra ``validation``), an ``.npz`` with x and y (or x_train and
    y_train), or a ``.csv`` with a header, whose ``inputs`` and ``targets`` name columns (default:
    all but the last, and the last). Inputs of more than two axes are flattened.

    Raises FileNotFoundError or ValueError that say what is wrong with the file.
    """
    if str(source) in BUNDLED:
        return _bundled(str(source))
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"data source: no file at {path}, and no bundled set of that name")
    readers = {".npz": _npz, ".csv": _csv}
    if path.suffix not in readers:
        raise ValueError(f"data must be a .npz or .csv file or one of {BUNDLED}; given {path.name}")
    x, y = readers[path.suffix](path, inputs, targets)
    if len(x) != len(y):
        raise ValueError(f"data: {path.name} holds {len(x)} inputs but {len(y)} targets")
    x = checks.array(f"x of {path.name}", x)
    return x.reshape(len(x), -1), checks.array(f"y of {path.name}", y, dtype=np.asarray(y).dtype)


def _bundled(name: str) -> tuple[Array, NDArray[Any]]:
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            f"data {name!r} needs scikit-learn: pip install 'mfpde[validation]'"
        ) from None
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return np.asarray(x, dtype=np.float64), np.asarray(y)


def _npz(path: Path, inputs: Any, targets: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    if inputs is not None or targets is not None:
        raise ValueError(f"inputs and targets name columns of a .csv; {path.name} is an .npz")
    layouts = (("x", "y"), ("x_train", "y_train"))
    held, names = archives.read_npz(path, [name for pair in layouts for name in pair])
    for x, y in layouts:
        if x in held and y in held:
            return held[x], held[y]
    found = ", ".join(names) or "nothing"
    raise ValueError(f"data: {path.name} must hold x and y, or x_train and y_train; found {found}")


def _csv(path: Path, inputs: Any, targets: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    header = _header(path)
    targets = targets or header[-1:]
    inputs = inputs or [name for name in header if name not in targets]
    for name in (*inputs, *targets):
        if name not in header:
            raise ValueError(
                f"data inputs and targets: {path.name} has no column {name!r}; it has "
                + ", ".join(header)
                + checks.nearest(name, header)
            )
    if not inputs:
        raise ValueError(f"data: {path.name} has no column but {', '.join(header)} to be inputs")
    table = _columns(path, header, [*inputs, *targets])
    x, y = table[:, : len(inputs)], table[:, len(inputs) :]
    return x, _labels(y[:, 0]) if len(targets) == 1 else y


@checks.typed
def points(source: str | os.PathLike[str]) -> Array:
    """Points (n, p), such as trained parameters: an ``.npy`` of this shape, or a ``.csv``.

    A column of the ``.csv``, whose first line names them, is a coordinate. Raises
    FileNotFoundError or ValueError that say what is wrong with the file.
    """
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"points: no file at {path}")
    if path.suffix == ".csv":
        header = _header(path)
        found = _columns(path, header, header)
    elif path.suffix == ".npy":
        try:
            found = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"points: {path.name} is not a readable .npy ({error})") from None
    else:
        raise ValueError(f"points must be a .npy or .csv file; given {path.name}")
    return checks.array(f"points of {path.name}", found, ("n", "p"))


def _columns(path: Path, header: list[str], names: list[str]) -> Array:
    """The columns of these names, (n, len(names))."""
    columns = [header.index(name) for name in names]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files without rows: refused below
            table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns, ndmin=2)
    except ValueError as error:
        raise ValueError(f"data: {path.name} has an entry that is not a number ({error})") from None
    if not table.size:
        raise ValueError(f"data: {path.name} holds no rows after its header {', '.join(header)}")
    return table


def _labels(y: Array) -> NDArray[Any]:
    """Whole numbers as such, since they may be labels of classes."""
    whole = bool(np.all(np.abs(y) < 2.0**53) and np.all(y == np.round(y)))
    return y.astype(np.int64) if whole else y


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            found = [name.strip().strip('"') for name in file.readline().split(",")]
    except UnicodeDecodeError as error:
        raise ValueError(f"data: {path.name} is not a text file ({error})") from None
    if all(map(_is_number, found)):
        raise ValueError(
            f"data: the first line of {path.name} must name the columns; it holds {found[0]!r}, ..."
        )
    if len(set(found)) < len(found):
        raise ValueError(f"data: {path.name} names a column twice: {', '.join(found)}")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text
    return True


@checks.typed
def principal_components(x: Array, count: int) -> Array:
    """Scores on the first ``count`` principal components, scaled to unit mean square norm.

    (N, d_in) → (N, count) with (1/N) Σ |x_i|² = 1. Signs are fixed (largest loading positive), so
    that the result does not depend on the linear algebra library.
    """
    x = checks.nonempty("x", checks.array("x", x, ("N", "d_in")))
    centred = x - x.mean(axis=0)
    if not 1 <= count <= min(centred.shape):
        raise ValueError(f"count of components must be in 1..{min(centred.shape)}; given {count}")
    if np.abs(centred).max() <= 1e-13 * np.abs(x).max():
        raise ValueError("x has no principal components: its rows are all the same")
    if np.abs(centred).max() > 1e150:
        raise ValueError("x is too large for its squares: scale it down")
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:count]
    rows = np.arange(count)
    directions *= np.sign(directions[rows, np.abs(directions).argmax(axis=1)])[:, None]
    scores = centred @ directions.T
    return scores / np.sqrt(np.mean(np.square(scores).sum(axis=1)))


@checks.typed
def one_hot(labels: NDArray[Any]) -> Array:
    """Rows of the identity for integer class labels, (N,) → (N, classes), classes sorted."""
    found = checks.array("labels", labels, ("N",), dtype=np.asarray(labels).dtype)
    classes, index = np.unique(found, return_inverse=True)
    checks.memory(
        f"labels of {len(classes)} classes", 8.0 * len(classes) * len(found), "are they classes?"
    )
    return np.eye(len(classes))[index]


@checks.typed
def subset(x: Array, y: NDArray[Any], count: int, seed: int = 0) -> tuple[Array, NDArray[Any]]:
    """``count`` rows drawn without replacement, the same for the same seed."""
    x, y = checks.array("x", x), checks.array("y", y, dtype=np.asarray(y).dtype)
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
        raise ValueError(f"x and y must have as many rows; given shapes {x.shape} and {y.shape}")
    if not 1 <= count <= len(x):
        raise ValueError(f"count must be in 1..{len(x)}, the size of the data; given {count}")
    rows = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(x))[:count]
    return x[rows], y[rows]
