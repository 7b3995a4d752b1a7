"""Run files: HDF5, whole at any moment, appended to at the price of what is new.

A file is a sequence of sealed parts (``mfpde.runs.sealed``). The first is an HDF5 image of a whole
record; each that follows is a small image of what came after: values that changed, and new rows of
series and states. A checkpoint appends one part and flushes it: neither a reader nor a kill at any
moment sees half of it, since a part that is cut short does not count. HDF5 itself cannot append
like this: it changes its tables in place, and a writer killed between two of them leaves a file
that nothing opens.

Once the parts that follow hold as many bytes as the first, and when a run ends, all of it is
written anew as one part beside the file and renamed over it: h5py and other HDF5 programs, which
see the first part only, see a whole run, of a finished run all of it, and all writing together is
at most about four times what there is to keep. Long series of states are packed when a run ends
(``mfpde.runs.packed``), not at its checkpoints, which should cost little.

A file may come from a stranger: no link but plain ones, no storage outside the file, no object but
plain arrays is read, and no array larger than its bytes in the file can hold.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.runs import packed, sealed
from mfpde.runs.atomic import PathLike, replacing

if TYPE_CHECKING:
    import h5py

SCHEMA = 4
# No filter of HDF5 makes an array more than about a thousand times smaller.
DENSEST = 1100
# Groups of a run file hold arrays or groups of arrays.
DEEPEST = 4

# Of the versions of the HDF5 format, one that keeps small objects small.
FORMATS = ("v110", "v110")

Array = NDArray[Any]


@dataclass
class Record:
    """What a run file holds: plain values, arrays, and series that only grow, by their paths.

    ``fixed`` never changes during a run; ``config``, ``arrays`` and what is appended to ``rows``
    do.
    """

    format: str
    fixed: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    fixed_arrays: dict[str, Array] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    rows: dict[str, Sequence[Any]] = field(default_factory=dict)


class Thinned(Sequence[Any]):
    """A series of which some rows are no longer kept: counted as all, read as those left."""

    def __init__(self, rows: Sequence[tuple[int, Any]], count: int) -> None:
        self._rows, self._count = rows, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: Any) -> Any:
        first, stop, _ = which.indices(self._count)
        return [value for k, value in self._rows if first <= k < stop]


class RunFile:
    """A run file while its run goes on: written whole at first, then appended to."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._kept: dict[str, int] = {}
        self._first = 0
        self._file: tuple[int, int, int] | None = None  # device, inode and size as we left it

    def write(self, record: Record, *, whole: bool = False) -> None:
        """Bring the file up to ``record``; ``whole`` leaves it as one part.

        Raises OSError where that fails: the file is then as it was.
        """
        if not whole and self._file is not None and self._file == _identity(self.path):
            part = _image(record, self._kept)
            if self.path.stat().st_size + len(part) <= 2 * self._first:
                self._append(part)
                self._note(record)
                return
        with replacing(self.path) as file:
            write_whole(record, file, pack=whole)
        self._note(record)
        self._first = self.path.stat().st_size

    def _append(self, part: bytes) -> None:
        flags = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self.path, flags)
        try:
            at = os.fstat(descriptor).st_size
            try:
                _write_at(descriptor, part, at)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, at)
                raise
        finally:
            os.close(descriptor)

    def _note(self, record: Record) -> None:
        self._kept = {name: len(values) for name, values in record.rows.items()}
        self._file = _identity(self.path)


def save(record: Record, path: PathLike) -> None:
    """Write ``record`` to ``path`` as one part; until it is whole, the old file stays.

    Raises FileNotFoundError where the folder does not exist, OSError where it cannot be written.
    """
    RunFile(path).write(record, whole=True)


def load(path: PathLike, kind: str) -> Record:
    """Read the run file of format ``kind`` at ``path``.

    Raises FileNotFoundError for a missing file, ValueError, which names it, for one that is torn,
    damaged, of another format or schema, or that holds what no run file does.
    """
    source = _existing(path)
    with naming(source), source.open("rb") as file:
        found = list(sealed.parts(file)) if _is_sealed(file) else []
        if not found:
            raise ValueError(_foreign(file, kind))
        record = _first(file, found[0], kind)
        for part in found[1:]:
            body = io.BytesIO(os.pread(file.fileno(), part.length, part.start))
            _extend(record, _first(body, part, kind))
    return record


def format_of(path: PathLike) -> str:
    """What a run file at ``path`` says it is. Raises as ``load``."""
    import h5py

    source = _existing(path)
    with naming(source), source.open("rb") as file:
        if not _is_sealed(file) or next(sealed.parts(file), None) is None:
            raise ValueError(_foreign(file, "mfpde"))
        with h5py.File(file, "r") as image:
            return str(image.attrs.get("format"))


def _existing(path: PathLike) -> Path:
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"path: no run file at {source}")
    return source


@contextmanager
def naming(source: Path) -> Iterator[None]:
    """Turn whatever goes wrong with what a file holds into a ValueError that names the file."""
    try:
        yield
    except MemoryError:
        raise ValueError(f"path: {source} holds more than this machine's memory") from None
    except (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        text = str(error)
        if text.startswith("path: "):
            raise
        raise ValueError(f"path: {source}: {text or type(error).__name__}") from error


def write_whole(record: Record, file: BinaryIO, *, pack: bool = False) -> None:
    """A record as one sealed part, whose long series are packed on request."""
    import h5py

    sink = _Sink(file.fileno())
    with h5py.File(sink, "w", libver=FORMATS, userblock_size=sealed.HEADER) as image:
        _fill(image, record, {}, packed.write if pack else _as_it_is)
    sink.check()
    length = os.fstat(file.fileno()).st_size - sealed.HEADER
    digest = sealed.body_digest(file, sealed.Part(sealed.HEADER, length))
    _write_at(file.fileno(), sealed.header(length, digest), 0)


# -- writing ----------------------------------------------------------------------------------


def _image(record: Record, kept: Mapping[str, int]) -> bytes:
    """What is new since ``kept`` rows, as a sealed part."""
    import hashlib

    import h5py

    with io.BytesIO() as memory:
        with h5py.File(memory, "w", libver=FORMATS) as image:
            _fill(image, record, kept, _as_it_is)
        body = memory.getvalue()
    return sealed.header(len(body), hashlib.blake2b(body, digest_size=32).hexdigest()) + body


def _as_it_is(group: h5py.Group, name: str, rows: Array) -> None:
    group[name] = rows


def _fill(
    image: h5py.File,
    record: Record,
    kept: Mapping[str, int],
    store: Callable[[h5py.Group, str, Array], None],
) -> None:
    whole = not kept
    image.attrs.update(format=record.format, schema=SCHEMA)
    config = {"config": record.config, **({"fixed": record.fixed} if whole else {})}
    image["config"] = np.bytes_(json.dumps(config).encode())
    for name, array in {**(record.fixed_arrays if whole else {}), **record.arrays}.items():
        image[name] = array
    for name, values in record.rows.items():
        new = values[kept.get(name, 0) :]
        if whole or len(new):
            store(image, "rows/" + name, np.array(new))


class _Sink(io.RawIOBase):
    """The file that HDF5 writes to. What fails is kept for ``check``, never shown to HDF5.

    After a failed write HDF5 would keep the file open and try again when the interpreter ends.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first thing that went wrong."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._at, os.fstat(self._descriptor).st_size)[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._try(lambda: _write_at(self._descriptor, view, self._at))
        self._at += len(view)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = os.pread(self._descriptor, len(view), self._at)
        view[:] = found.ljust(len(view), b"\0")
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        end = self._at if size is None else size
        self._try(lambda: os.ftruncate(self._descriptor, end))
        return end

    def _try(self, act: Any) -> None:
        if self._error is None:
            try:
                act()
            except OSError as error:
                self._error = error


def _write_at(descriptor: int, data: bytes | memoryview, at: int) -> None:
    view = memoryview(data)
    while len(view):
        done = os.pwrite(descriptor, view, at)
        view, at = view[done:], at + done


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size


# -- reading ----------------------------------------------------------------------------------


def _is_sealed(file: BinaryIO) -> bool:
    return os.pread(file.fileno(), len(sealed.NAME), 0) == sealed.NAME


def _foreign(file: BinaryIO, kind: str) -> str:
    """What to say of a file that does not begin with a whole part."""
    import h5py

    if _is_sealed(file):
        return "not a whole run file: it is cut short"
    try:
        with h5py.File(file, "r") as image:
            if image.attrs.get("format") == kind:
                return f"not a whole run file of schema {SCHEMA}: damaged, or of another version"
        return f"an HDF5 file, but not a run file of {kind}"
    except (OSError, RuntimeError, TypeError, ValueError):
        return "not a whole run file: it does not begin like one"


def _first(file: Any, part: sealed.Part, kind: str) -> Record:
    """The record of one HDF5 image."""
    import h5py

    with h5py.File(file, "r") as image:
        if (found := image.attrs.get("format")) != kind:
            raise ValueError(f"not a run file of {kind} but of {found}")
        arrays = _arrays(image, part.length)
    values = json.loads(arrays.pop("config").tobytes())
    rows = {name: arrays.pop(name) for name in list(arrays) if name.startswith("rows/")}
    plain: dict[str, Sequence[Any]] = {
        name.removeprefix("rows/"): list(values) for name, values in rows.items()
    }
    return Record(kind, values.get("fixed", {}), values["config"], {}, arrays, plain)


def _extend(record: Record, new: Record) -> None:
    """What a later part adds."""
    record.config = new.config
    record.arrays.update(new.arrays)
    for name, values in new.rows.items():
        record.rows[name] = [*record.rows.get(name, []), *values]


def _arrays(image: h5py.File, room: int) -> dict[str, Array]:
    """Every array of an image by its path, after a look at what it claims to be."""
    found = list(_datasets(image, ""))
    if (claimed := sum(item.nbytes for _, item in found)) > checks.memory_limit():
        raise ValueError(f"it claims {claimed} bytes, more than this machine's memory")
    for where, item in found:
        _check_dataset(item, where, room)
    return {where: packed.read(item) for where, item in found}


def _datasets(group: h5py.Group, path: str) -> Iterator[tuple[str, h5py.Dataset]]:
    import h5py

    for name in group:
        where = f"{path}/{name}".lstrip("/")
        plain = isinstance(group.get(name, getlink=True), h5py.HardLink)
        if not plain or where.count("/") > DEEPEST:
            raise ValueError(f"{where} is a link, which no run file holds")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, where)
        elif isinstance(item, h5py.Dataset):
            yield where, item
        else:
            raise ValueError(f"{where} is no array")


def _check_dataset(item: h5py.Dataset, where: str, room: int) -> None:
    if item.external or item.is_virtual or item.dtype.kind not in "biufS":
        raise ValueError(f"{where} is not an array of numbers inside the file")
    stored = item.id.get_storage_size()
    densest = DENSEST if item.chunks else 1
    if any(part > full for part, full in zip(item.chunks or (), item.shape, strict=False)):
        raise ValueError(f"{where} has chunks {item.chunks} larger than itself, {item.shape}")
    if stored > room or item.nbytes > max(densest * stored, 64):
        raise ValueError(f"{where} claims {item.nbytes} bytes, of which the file holds {stored}")
