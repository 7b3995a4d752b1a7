"""Labelled images: CIFAR's own files, .npz archives, scikit-learn's digits."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import archives, checks

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
NAMES = ("x_train", "y_train", "x_test", "y_test")

# Training and test files of the two CIFAR archives, and the key of their labels.
CIFAR = {
    "cifar10": ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], b"labels"),
    "cifar100": (["train"], ["test"], b"fine_labels"),
}


@dataclass(frozen=True)
class ImageData:
    """Images uint8 (N, C, H, W) and labels 0..classes−1 (N,), for training and for the test."""

    name: str
    x_train: Images
    y_train: Labels
    x_test: Images
    y_test: Labels

    @property
    def classes(self) -> int:
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def channels(self) -> int:
        return self.x_train.shape[1]

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (C,) of the training pixels, from exact counts."""
        channels = np.moveaxis(self.x_train, 1, 0)
        counts = np.stack([np.bincount(one.ravel(), minlength=256) for one in channels])
        values, total = np.arange(256), counts[0].sum()
        mean = counts @ values / total
        return mean, np.sqrt(counts @ values**2 / total - mean**2)

    def first(self, train: int | None = None, test: int | None = None) -> ImageData:
        """The first images of either part; a shortened set carries its sizes in its name."""
        train = min(train or len(self.x_train), len(self.x_train))
        test = min(test or len(self.x_test), len(self.x_test))
        if (train, test) == (len(self.x_train), len(self.x_test)):
            return self
        parts = (self.x_train[:train], self.y_train[:train], self.x_test[:test], self.y_test[:test])
        return ImageData(f"{self.name}-{train}-{test}", *parts)

    def named(self, name: str) -> ImageData:
        """The same images under another name."""
        return replace(self, name=name)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a plain ``.npz`` that ``load_images`` reads back."""
        np.savez(path, **{name: getattr(self, name) for name in NAMES})


def load_images(
    source: str | os.PathLike[str], *, unpacker: str | os.PathLike[str] | None = None
) -> ImageData:
    """Images from "digits" (scikit-learn's, halved), CIFAR's python files, or an ``.npz``.

    ``source`` may be the folder or the tar archive of CIFAR-10 or CIFAR-100 (python version; the
    pickles may hold nothing but arrays, text and numbers), or an ``.npz`` with x_train, y_train,
    x_test, y_test, images (N, 3, H, W), (N, H, W, 3) or (N, H, W) in 0..255. An ``.npz`` with
    ``x_train_packed`` wants the module that packed it, ``unpacker``, a Python file with
    ``load_packed(path)``. That file is run; no other is, and no file beside the data.

    Raises FileNotFoundError or ValueError that say what is wrong.
    """
    if str(source) == "digits":
        return _digits()
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"data: nothing at {path}; give a file, a folder or 'digits'")
    if path.is_file() and path.suffix == ".npz":
        name, arrays = path.stem.removesuffix("_packed"), _npz(path, unpacker)
    else:
        name, arrays = _cifar(_files(path), path)
    return _checked(name, *arrays)


def _digits() -> ImageData:
    """1797 digits of 8×8 pixels in 0..16: half for training, half for the test."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "data 'digits' needs scikit-learn: pip install 'mfpde[validation]'"
        ) from None
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(np.random.SeedSequence(0)).permutation(len(x))
    x = (x[order] * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    y, half = y[order].astype(np.int64), len(x) // 2
    return ImageData("digits", x[:half], y[:half], x[half:], y[half:])


def _npz(path: Path, unpacker: str | os.PathLike[str] | None) -> list[NDArray[Any]]:
    held, found = archives.read_npz(path, NAMES)
    if "x_train_packed" in found:
        held = _unpacked(path, unpacker)
    missing = [name for name in NAMES if name not in held]
    if missing:
        raise ValueError(f"data: {path.name} lacks {', '.join(missing)}; it has {', '.join(found)}")
    return [held[name] for name in NAMES]


def _unpacked(path: Path, unpacker: str | os.PathLike[str] | None) -> dict[str, NDArray[Any]]:
    if unpacker is None:
        raise ValueError(
            f"unpacker: {path.name} is packed; name the Python file that has its load_packed. That "
            "file is run: none is looked for beside the data"
        )
    module = Path(unpacker)
    if not module.is_file():
        raise FileNotFoundError(f"unpacker: there is no {module}")
    spec = importlib.util.spec_from_file_location(module.stem, module)
    if spec is None or spec.loader is None:
        raise ValueError(f"unpacker must be a Python file; given {module}")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    held: dict[str, NDArray[Any]] = loaded.load_packed(path)
    return held


def _files(path: Path) -> dict[str, bytes]:
    """The CIFAR batches in a folder or tar archive, by name."""
    wanted = {name for train, test, _ in CIFAR.values() for name in (*train, *test)}
    return (archives.read_folder if path.is_dir() else archives.read_tar)(path, wanted)


def _cifar(files: dict[str, bytes], path: Path) -> tuple[str, list[NDArray[Any]]]:
    for name, (train, test, key) in CIFAR.items():
        if all(part in files for part in (*train, *test)):
            sets = [_batches({part: files[part] for part in parts}, key) for parts in (train, test)]
            return name, [array for pair in sets for array in pair]
    found = ", ".join(sorted(files)) or "none"
    raise ValueError(f"data: {path} does not hold all batches of CIFAR-10 or -100; found {found}")


def _batches(raw: dict[str, bytes], key: bytes) -> tuple[Images, Labels]:
    held = [_batch(name, archives.unpickled(one, name), key) for name, one in raw.items()]
    x, y = (np.concatenate(part) for part in zip(*held, strict=True))
    return x.reshape(-1, 3, 32, 32), y


def _batch(name: str, held: Any, key: bytes) -> tuple[Images, Labels]:
    """The images, as rows, and labels of one batch."""
    x, y = (
        (held.get(b"data"), held[key]) if isinstance(held, dict) and key in held else (None, None)
    )
    images = isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.shape[1:] == (3072,)
    labels = isinstance(y, list) and all(type(label) is int for label in y)
    if x is None or not images or not labels:
        raise ValueError(f"data: {name} must hold rows of 3072 bytes and a list of labels")
    return x, np.array(y, np.int64)


def _checked(name: str, *arrays: NDArray[Any]) -> ImageData:
    x_train, y_train, x_test, y_test = arrays
    return ImageData(
        name,
        *_pair("train", x_train, y_train),
        *_pair("test", x_test, y_test),
    )


def _pair(part: str, x: NDArray[Any], y: NDArray[Any]) -> tuple[Images, Labels]:
    x, y = np.asarray(x), np.asarray(y).reshape(-1)
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.dtype != np.uint8:
        raise ValueError(
            f"x_{part} must be uint8 (N, 3, H, W), (N, H, W, 3) or (N, H, W); "
            f"given {x.dtype} {x.shape}"
        )
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"y_{part} must have one label per image; {len(y)} for {len(x)} images")
    labels = checks.array(f"y_{part}", y, dtype=np.int64)
    if np.any(labels != y) or labels.min() < 0:
        raise ValueError(f"y_{part} must hold labels 0, 1, 2, ...")
    return np.ascontiguousarray(x), labels
