"""The processes of one run: sums in the order of ranks, and what all of them must agree on.

Every rank computes the same sum from the same numbers in the same order, so that all ranks hold
the same bits and take the same decisions, and a run repeats bit for bit at a given number of ranks
(whatever algorithm the MPI library would have chosen). Large sums are made in shares: each rank
adds up its own share and hands it round, 2 (R − 1)/R of the array's bytes to and from each rank.
"""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SMALL = 1 << 12  # bytes up to which every rank sends all it has to every other
# What the launchers of Open MPI, of MPICH and Intel MPI, and of Slurm tell a process.
LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")


class Ranks:
    """The ranks of an ``mpi4py`` communicator; ``here`` of them share this machine.

    Raises TypeError for what is no communicator.
    """

    def __init__(self, comm: Any) -> None:
        if not all(hasattr(comm, name) for name in ("Alltoall", "Allgather", "Abort", "Get_rank")):
            raise TypeError(
                "comm must be a communicator of mpi4py, such as MPI.COMM_WORLD; given "
                f"{type(comm).__name__}"
            )
        self.comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self.here = int(comm.allgather(platform.node()).count(platform.node()))

    def share(self, count: int) -> slice:
        """The part of ``count`` things that this rank owns; parts differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, array: Array) -> Array:
        """The sum over ranks, in their order; the same bits on each of them."""
        flat = np.ascontiguousarray(array).ravel()
        small = flat.nbytes <= SMALL
        total = _in_order(self._from_all(flat)) if small else self._in_shares(flat)
        return total.reshape(array.shape)

    def _in_shares(self, flat: Array) -> Array:
        length = -(-flat.size // self.size)
        parts = np.zeros((self.size, length), flat.dtype)
        parts.ravel()[: flat.size] = flat
        own = np.empty_like(parts)
        self.comm.Alltoall(parts, own)
        return self._from_all(_in_order(own)).ravel()[: flat.size]

    def _from_all(self, flat: Array) -> Array:
        """What every rank has, (R, n)."""
        found = np.empty((self.size, flat.size), flat.dtype)
        self.comm.Allgather(flat, found)
        return found

    def largest(self, value: float) -> float:
        """The largest of a number over ranks."""
        return float(self._from_all(np.array([value], np.float64)).max())

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

    def abort(self) -> None:
        """End all ranks: the others wait for a message that will not come."""
        self.comm.Abort(1)


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
