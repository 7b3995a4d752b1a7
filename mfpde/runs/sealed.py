"""Sealed parts, one after another in a file: each with its length and its checksum before it.

A part is 512 bytes of header and a body. The header is one line of ASCII, a checksum of itself
included, padded by zeros; HDF5 looks for its signature after 512 bytes too, so that a file whose
first body is an HDF5 image opens in any HDF5 program, which stops at the end of that image.

Parts are only ever appended. One that is cut short at the end of the file was being written when
its writer died: it does not count. Whatever else differs from what was written, one bit or a
sector, is found before anything is read from it. A checksum finds damage; it is no signature, and
says nothing of who wrote the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

HEADER = 512
NAME = b"mfpde part, schema 4"
CHUNK = 1 << 20


class Part(NamedTuple):
    """Where the body of a part begins, and its length."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.length


def header(length: int, digest: str) -> bytes:
    """The 512 bytes before a body."""
    line = b"%s, bytes %d, blake2b %s" % (NAME, length, digest.encode())
    return (line + b", header %s\n" % _hash(line).encode()).ljust(HEADER, b"\0")


def parts(file: BinaryIO) -> Iterator[Part]:
    """The whole parts of a file, each checked before it is returned.

    Raises ValueError, which says where, for one whose bytes are not what was written.
    """
    size, at = os.fstat(file.fileno()).st_size, 0
    while at + HEADER <= size:
        head = os.pread(file.fileno(), HEADER, at)
        length, digest = _parse(head, at)
        part = Part(at + HEADER, length)
        if part.stop > size:
            return
        if body_digest(file, part) != digest:
            raise damaged(at)
        yield part
        at = part.stop


def body_digest(file: BinaryIO, part: Part) -> str:
    """The checksum of a body."""
    found, at = hashlib.blake2b(digest_size=32), part.start
    while at < part.stop:
        block = os.pread(file.fileno(), min(CHUNK, part.stop - at), at)
        if not block:
            break
        found.update(block)
        at += len(block)
    return found.hexdigest()


def damaged(at: int) -> ValueError:
    """The error of a part that begins at byte ``at``, with what can be saved."""
    whole = f"; the {at} bytes before it are whole and can be cut out as a run file" if at else ""
    return ValueError(f"damaged: the part at byte {at} is not what was written{whole}")


def _parse(head: bytes, at: int) -> tuple[int, str]:
    line, _, check = head.rstrip(b"\0").partition(b", header ")
    if check != _hash(line).encode() + b"\n" or not line.startswith(NAME):
        raise damaged(at)
    _, length, digest = line.removeprefix(NAME).split(b", ")
    return int(length.removeprefix(b"bytes ")), digest.removeprefix(b"blake2b ").decode()


def _hash(line: bytes) -> str:
    return hashlib.blake2b(line, digest_size=16).hexdigest()
