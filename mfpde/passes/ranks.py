"""The processes of one run: sums in the order of ranks, and what all of them must agree on.

Every rank computes the same sum from the same numbers in the same order, so that all ranks hold
the same bits and take the same decisions, and a run repeats bit for bit at a given number of ranks
(whatever algorithm the MPI library would have chosen). Large sums are made in shares: each rank
adds up its own share and hands it round, 2 (R − 1)/R of the array's bytes and 2 (R − 1) messages
from each rank. Many ranks do so within groups of neighbours first, then across the groups, in about
4 √R messages.
"""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SMALL = 1 << 12  # bytes up to which every rank sends all it has to every other
GROUPED_FROM = 16  # ranks
# What the launchers of Open MPI, of MPICH and Intel MPI, and of Slurm tell a process.
LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")


class Ranks:
    """The ranks of an ``mpi4py`` communicator; ``here`` of them share this machine.

    Raises TypeError for what is no communicator.
    """

    @classmethod
    def of(cls, comm: Any) -> Ranks | None:
        """The ranks, or None where there is one, or no communicator."""
        ranks = None if comm is None else cls(comm)
        return None if ranks is None or ranks.size == 1 else ranks

    def __init__(self, comm: Any) -> None:
        if not all(hasattr(comm, name) for name in ("Alltoall", "Allgather", "Abort", "Get_rank")):
            raise TypeError(
                "comm must be a communicator of mpi4py, such as MPI.COMM_WORLD; given "
                f"{type(comm).__name__}"
            )
        self.comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._levels = self._grouped() if self.size >= GROUPED_FROM else [comm]
        self._rooms: dict[tuple[int, int, str], tuple[Array, Array]] = {}
        self.here = int(comm.allgather(platform.node()).count(platform.node()))

    def _grouped(self) -> list[Any]:
        """The ranks of a group of neighbours, and those with the same place in other groups."""
        group = group_size(self.size)
        if group == 1:
            return [self.comm]
        return [
            self.comm.Split(self.rank // group, self.rank),
            self.comm.Split(self.rank % group, self.rank),
        ]

    def free(self) -> None:
        """Give back what the groups took; no sums after that."""
        for level in self._levels:
            if level is not self.comm:
                level.Free()

    def share(self, count: int) -> slice:
        """The part of ``count`` things that this rank owns; parts differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, array: Array) -> Array:
        """The sum over ranks, in their order; the same bits on each of them."""
        flat = np.ascontiguousarray(array).ravel()
        small = flat.nbytes <= SMALL
        total = _in_order(self._from_all(flat)) if small else self._in_shares(flat, 0).copy()
        return total.reshape(array.shape)

    def _in_shares(self, flat: Array, level: int) -> Array:
        """The sum over the ranks from a level on, each share added up by one of them.

        The result lives in memory that the next sum of this size takes again: fresh pages cost
        more than the messages within a machine.
        """
        if level == len(self._levels):
            return flat
        comm = self._levels[level]
        parts, found = self._room(level, int(comm.Get_size()), flat)
        parts.ravel()[: flat.size] = flat
        comm.Alltoall(parts, found)
        comm.Allgather(self._in_shares(_in_order(found), level + 1), parts)
        return parts.ravel()[: flat.size]

    def _room(self, level: int, ranks: int, flat: Array) -> tuple[Array, Array]:
        """Two arrays (R, n) for the parts of an array, zero beyond its end."""
        key = (level, flat.size, flat.dtype.str)
        if key not in self._rooms:
            shape = ranks, -(-flat.size // ranks)
            self._rooms[key] = np.zeros(shape, flat.dtype), np.zeros(shape, flat.dtype)
        return self._rooms[key]

    def _from_all(self, flat: Array) -> Array:
        """What every rank has, (R, n)."""
        found = np.empty((self.size, flat.size), flat.dtype)
        self.comm.Allgather(flat, found)
        return found

    def largest(self, value: float) -> float:
        """The largest of a number over ranks."""
        return float(self._from_all(np.array([value], np.float64)).max())

    def agreed(self, wish: bool) -> bool:
        """Whether any rank wishes it; the same answer for all."""
        return bool(self.largest(float(wish)))

    def gathered(self, own: Any) -> list[Any]:
        """What each rank has, any object, on all of them."""
        mine = range(self.size)
        return [self.comm.bcast(own if r == self.rank else None, root=r) for r in mine]

    def joined(self, part: Array, count: int) -> Array:
        """Parts (K, M_r, p) of all ranks as one array (K, M, p), on every rank."""
        rows, _, width = part.shape
        longest = -(-count // self.size)
        padded = np.zeros((rows, longest, width), part.dtype)
        padded[:, : part.shape[1]] = part
        found = self._from_all(padded.ravel()).reshape(self.size, *padded.shape)
        ends = [(rank + 1) * count // self.size for rank in range(self.size)]
        sizes = np.diff(ends, prepend=0)
        return np.concatenate([one[:, :n] for one, n in zip(found, sizes, strict=True)], axis=1)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within this context an error in one rank ends them all; no sums after it."""
        try:
            yield
            self.free()
        except BaseException:
            traceback.print_exc()
            sys.stderr.write(f"mfpde: rank {self.rank} failed, and the run ends on all\n")
            sys.stderr.flush()
            self.comm.Abort(1)  # the others wait for a message that will not come
            raise


def group_size(ranks: int) -> int:
    """How many neighbours sum first: the largest divisor of ``ranks`` up to its root."""
    return max(size for size in range(1, int(ranks**0.5) + 1) if ranks % size == 0)


def _in_order(rows: Array) -> Array:
    """The sum of the rows, first to last."""
    total: Array = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def launched() -> int:
    """How many processes a launcher of MPI has started, 1 without one."""
    return max(int(os.environ.get(name, 1)) for name in LAUNCHERS)


def world() -> Any:
    """The communicator of all processes that a launcher started, or None for a single one.

    Raises ImportError where it started several and mpi4py is not installed.
    """
    if launched() == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        raise ImportError(
            f"{launched()} processes were started by MPI, and mpi4py is not installed: "
            "pip install 'mfpde[mpi]', or start one process"
        ) from None
    return MPI.COMM_WORLD
