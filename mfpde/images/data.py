"""Labelled images: CIFAR's own files, .npz archives, scikit-learn's digits."""

from __future__ import annotations

import importlib.util
import io
import os
import pickle
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mfpde import checks

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
    ``x_train_packed`` wants the module that packed it, a Python file with ``load_packed(path)``:
    ``unpacker``, else ``imgpack.py`` beside the archive. That file is run.

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
    try:
        with np.load(path) as archive:
            found = archive.files
            held = {name: archive[name] for name in NAMES if name in found}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"data: {path.name} is not a readable .npz ({error})") from None
    if "x_train_packed" in found:
        held = _unpacked(path, unpacker)
    missing = [name for name in NAMES if name not in held]
    if missing:
        raise ValueError(f"data: {path.name} lacks {', '.join(missing)}; it has {', '.join(found)}")
    return [held[name] for name in NAMES]


def _unpacked(path: Path, unpacker: str | os.PathLike[str] | None) -> dict[str, NDArray[Any]]:
    module = Path(unpacker) if unpacker else path.with_name("imgpack.py")
    if not module.is_file():
        raise FileNotFoundError(
            f"unpacker: {path.name} is packed, and there is no {module}; name the file that has "
            "its load_packed"
        )
    spec = importlib.util.spec_from_file_location(module.stem, module)
    if spec is None or spec.loader is None:
        raise ValueError(f"unpacker must be a Python file; given {module}")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.load_packed(path)


def _files(path: Path) -> dict[str, bytes]:
    """The CIFAR batches in a folder or tar archive, by name."""
    wanted = {name for train, test, _ in CIFAR.values() for name in (*train, *test)}
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.rglob("*") if file.name in wanted}
    try:
        with tarfile.open(path) as archive:
            members = [m for m in archive if m.isfile() and Path(m.name).name in wanted]
            return {Path(m.name).name: archive.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    except tarfile.TarError as error:
        raise ValueError(
            f"data must be a .npz, a folder or a tar archive; {path.name} is none ({error})"
        ) from None


def _cifar(files: dict[str, bytes], path: Path) -> tuple[str, list[NDArray[Any]]]:
    for name, (train, test, key) in CIFAR.items():
        if all(part in files for part in (*train, *test)):
            sets = [_batches([files[part] for part in parts], key) for parts in (train, test)]
            return name, [array for pair in sets for array in pair]
    found = ", ".join(sorted(files)) or "none"
    raise ValueError(f"data: {path} does not hold all batches of CIFAR-10 or -100; found {found}")


def _batches(raw: list[bytes], key: bytes) -> tuple[Images, Labels]:
    held = [_Arrays(io.BytesIO(one), encoding="bytes").load() for one in raw]
    x = np.concatenate([one[b"data"] for one in held]).reshape(-1, 3, 32, 32)
    return x, np.concatenate([one[key] for one in held])


class _Arrays(pickle.Unpickler):
    """Reads pickles of arrays, text and numbers, and refuses any that would run code."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise ValueError(f"data: a batch asks for {module}.{name}, which no CIFAR batch does")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


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
