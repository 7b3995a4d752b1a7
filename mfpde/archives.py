"""Archives from strangers: .npz, tar and pickled batches, with a look at what they claim to be.

Nothing that is read here runs code, and nothing is allocated because a header says so: sizes are
compared with what the file holds, or with what the machine has, first.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import pickletools
import struct
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mfpde import checks

# What a damaged or foreign archive makes its readers raise.
UNREADABLE = (
    OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, RuntimeError,
    BadZipFile, tarfile.TarError, struct.error, zlib.error, lzma.LZMAError, pickle.UnpicklingError,
)  # fmt: skip

LARGEST = 1 << 28  # bytes of one file in a tar archive: CIFAR's largest has 1.5e8
HEADERS = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}


# -- .npz -----------------------------------------------------------------------------------------


def read_npz(path: Path, names: Collection[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Those arrays of ``names`` that an .npz holds, and the names of all it holds.

    Raises ValueError for what is no .npz, for pickled objects, for arrays larger than their bytes
    in the archive or than this machine's memory.
    """
    try:
        with ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = {name: members[name] for name in names if name in members}
            needed = float(sum(info.file_size for info in wanted.values()))
            checks.memory(f"data: {path.name}", needed, "it is too large to be read whole")
            return {name: _array(archive, info) for name, info in wanted.items()}, list(members)
    except UNREADABLE as error:
        if str(error).startswith("data: "):
            raise
        raise ValueError(f"data: {path.name} is not a readable .npz ({error})") from None


def _array(archive: ZipFile, info: ZipInfo) -> NDArray[Any]:
    with archive.open(info) as file:
        version, _ = npy.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"{info.filename} is an array of records")
        shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"{info.filename} is not an array of numbers or text")
    claimed = dtype.itemsize
    for length in shape:
        claimed *= length
    if claimed > info.file_size:
        raise ValueError(f"{info.filename} claims {claimed} bytes and has {info.file_size}")
    with archive.open(info) as file:
        found: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return found


# -- tar ------------------------------------------------------------------------------------------


class _Bounded:
    """An archive of which nobody reads more than ``LARGEST`` bytes at once."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST:
            raise ValueError(f"a file in it claims {size} bytes; at most {LARGEST} are read")
        data: bytes = self._file.read(size)
        return data


def read_tar(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """The files of these names in a tar archive, packed or not, whatever their folders.

    Nothing is written to the disk. Raises ValueError for what is no tar archive, and for files of
    more than 256 MiB in it.
    """
    try:
        with _opened(path) as file, _tar(file) as archive:
            members = [m for m in archive if m.isfile() and Path(m.name).name in wanted]
            return {Path(m.name).name: _member(archive, m) for m in members}
    except UNREADABLE as error:
        raise ValueError(
            f"data must be a .npz, a folder or a tar archive; {path.name} is none ({error})"
        ) from None


def _tar(file: Any) -> tarfile.TarFile:
    bounded: Any = _Bounded(file)
    return tarfile.open(fileobj=bounded, mode="r:")


def _opened(path: Path) -> Any:
    packers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    with path.open("rb") as file:
        start = file.read(2)
    return packers.get(start, open)(path, "rb")


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    if file is None or member.size > LARGEST:
        raise ValueError(f"{member.name} claims {member.size} bytes; at most {LARGEST} are read")
    return file.read(member.size)


def read_folder(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """The files of these names in a folder and those below it. Raises ValueError for large ones."""
    found = [file for file in sorted(path.rglob("*")) if file.name in wanted and file.is_file()]
    for file in found:
        if (size := file.stat().st_size) > LARGEST:
            raise ValueError(f"data: {file} has {size} bytes; at most {LARGEST} are read")
    return {file.name: file.read_bytes() for file in found}


# -- pickled batches ------------------------------------------------------------------------------


def unpickled(raw: bytes, name: str) -> Any:
    """What a pickle of arrays, text and numbers holds.

    Raises ValueError for one that asks for anything else, or is not whole.
    """
    try:
        # Sizes and places in a pickle are looked at before the unpickler makes room for them.
        for operation, argument, _ in pickletools.genops(raw):
            if "PUT" in operation.name and int(argument or 0) > len(raw):
                raise ValueError(f"it asks for place {argument} in a memory of {len(raw)}")
        return _Plain(io.BytesIO(raw), encoding="bytes").load()
    except (*UNREADABLE, MemoryError, RecursionError) as error:
        raise ValueError(f"data: {name} is not a batch of images ({error})") from None


class _Call:
    """A function that a pickle may call, of which it cannot change anything."""

    __slots__ = ("_function",)
    _function: Any

    def __init__(self, function: Any) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError("a batch may not change what it calls")

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def _empty(kind: Any, shape: Any, _: Any) -> NDArray[Any]:
    """An array as pickles begin one: it gets its shape with its bytes."""
    if kind != "ndarray" or shape != (0,):
        raise ValueError(f"an array that begins with shape {shape}")
    return np.ndarray(0, np.uint8)


def _dtype(name: Any, *_: Any) -> np.dtype[Any]:
    text = name.decode() if isinstance(name, bytes) else str(name)
    return np.dtype(checks.choice("dtype", text, ("u1", "i1", "i2", "i4", "i8")))


def _encode(text: Any, encoding: Any) -> bytes:
    checks.choice("encoding", encoding if isinstance(encoding, str) else str(encoding), ("latin1",))
    return str(text).encode("latin1")


class _Plain(pickle.Unpickler):
    """Reads pickles of arrays, text and numbers, and refuses any that would run code."""

    _ALLOWED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): _Call(_empty),
        ("numpy._core.multiarray", "_reconstruct"): _Call(_empty),
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): _Call(_dtype),
        ("_codecs", "encode"): _Call(_encode),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise ValueError(f"it asks for {module}.{name}, which no CIFAR batch does")
        return self._ALLOWED[module, name]
