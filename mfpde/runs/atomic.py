"""Files that are whole or absent: written beside the target, flushed, renamed over it.

The temporary file is created exclusively under a random name, so that nothing planted there is
followed or overwritten and no two writers meet. Its writer holds a lock on it: what a killed writer
left behind has none, and the next write to the same target removes it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # no such locks: an open file cannot be removed there
    fcntl = None  # type: ignore[assignment]

PathLike = str | os.PathLike[str]

CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
CREATE |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A new binary file to write (and read), which takes ``path``'s place when the block ends well.

    Until then, and after an error, whatever was at ``path`` stays whole. Raises
    FileNotFoundError where the folder does not exist, IsADirectoryError where ``path`` is one.
    """
    target = check("path", path)
    _sweep(target)
    temporary, file = _create(target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()
            temporary.replace(target)
        _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check(name: str, path: PathLike) -> Path:
    """``path`` as one that a file can have, or an error that names the argument ``name``."""
    target = Path(path)
    if not os.fspath(path) or target.is_dir():
        raise IsADirectoryError(f"{name} must be a file; {os.fspath(path)!r} is a folder")
    if target.exists() and not target.is_file():
        raise OSError(f"{name} must be a file; {target} is a device, a socket or a pipe")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{name}: the folder {target.parent} does not exist")
    return target


def check_writable(name: str, path: PathLike) -> Path:
    """The same, tried by creating a file beside it: OSError where that cannot be done."""
    target = check(name, path)
    try:
        temporary, file = _create(target)
        file.close()
        temporary.unlink()
        with suppress(FileNotFoundError):  # nothing there yet
            target.lstat()
    except OSError as error:
        raise OSError(error.errno, f"{name}: {error.strerror}", str(target)) from None
    return target


def _create(target: Path) -> tuple[Path, BinaryIO]:
    """A locked file of a new random name, of fixed length whatever the target's."""
    while True:
        temporary = target.with_name(f"{_mark(target)}{secrets.token_hex(8)}.tmp")
        file = os.fdopen(os.open(temporary, CREATE, 0o666), "w+b")
        if fcntl is None:
            return temporary, file
        with suppress(OSError):  # a file system without locks: leftovers stay
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # swept away by another writer between its creation and its lock


def _mark(target: Path) -> str:
    """What the temporary names of one target begin with."""
    return f".mfpde-{hashlib.blake2b(os.fsencode(target.name), digest_size=8).hexdigest()}-"


def _sweep(target: Path) -> None:
    """Remove what killed writers of this target left."""
    if fcntl is None:
        return
    for leftover in target.parent.glob(f"{_mark(target)}*.tmp"):
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(descriptor)


def _flush(path: Path) -> None:
    """fsync a folder (some systems cannot open one: the rename still stands)."""
    with suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
