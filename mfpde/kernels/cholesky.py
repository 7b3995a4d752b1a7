"""Cholesky's factor of a large matrix, tile by tile on the threads of ``pools``.

LAPACK's own threads are no use inside a run: BLAS workers spin for tens of milliseconds after each
call, beside the kernels that follow, and their sums depend on who else holds BLAS at the time. Here
tiles are dealt that do not meet, each with a BLAS of its own thread: the factor is the same for
every number of threads above one.
"""

from __future__ import annotations

import ctypes

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  whose address is taken below
from numba.extending import get_cython_function_address

from mfpde.kernels.pools import deal, threads_for

SIDE, HIGH = 128, 192  # columns of a panel, rows of a tile
TILED_FROM = 1500  # rows: below, LAPACK on one thread is as fast

_TEXT, _INT = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
_ARRAY, _NUMBER = ctypes.c_void_p, ctypes.POINTER(ctypes.c_double)
# SciPy's wrapper of it would hold Python's lock.
_trsm = ctypes.CFUNCTYPE(
    None, *[_TEXT] * 4, _INT, _INT, _NUMBER, _ARRAY, _INT, _ARRAY, _INT
)(get_cython_function_address("scipy.linalg.cython_blas", "dtrsm"))  # fmt: skip


def factor(a: np.ndarray) -> tuple[np.ndarray, bool]:
    """What ``scipy.linalg.cho_solve`` takes: Cholesky's factor of a symmetric a > 0, not changed.

    Raises LinAlgError where a is not positive definite.
    """
    from scipy import linalg

    threads = threads_for(a.size)
    if threads == 1 or len(a) < TILED_FROM or a.dtype != np.float64:
        return linalg.cho_factor(a, lower=True, check_finite=False)
    lower = np.array(a, order="C")
    for lo in range(0, len(a), SIDE):
        _panel(lower, slice(lo, min(lo + SIDE, len(a))), threads)
    return lower.T, False  # in the order that LAPACK reads without a copy


def _panel(a: np.ndarray, columns: slice, threads: int) -> None:
    """The next columns of the factor, from those on their left."""
    from scipy import linalg

    left, corner = a[:, : columns.start], a[columns, columns]

    def reduce(rows: slice) -> None:
        a[rows, columns] -= left[rows] @ left[columns].T

    def finish(rows: slice) -> None:
        reduce(rows)
        _divide(a[rows, columns], corner)

    reduce(columns)
    corner[:] = linalg.cholesky(corner, lower=True, check_finite=False)
    below = range(columns.stop, len(a), HIGH)
    deal(finish, [slice(at, min(at + HIGH, len(a))) for at in below], threads)


def _divide(x: np.ndarray, lower: np.ndarray) -> None:
    """x ← x L⁻ᵀ, for parts of arrays whose rows are contiguous: columns, as BLAS reads them."""
    rows, columns = map(ctypes.c_int, x.shape)
    steps = [ctypes.c_int(array.strides[0] // array.itemsize) for array in (lower, x)]
    places = lower.ctypes.data, x.ctypes.data
    one = ctypes.c_double(1.0)
    _trsm(b"L", b"U", b"T", b"N", columns, rows, one, places[0], steps[0], places[1], steps[1])
