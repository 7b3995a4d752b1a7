"""Long series of arrays in fewer bytes, without loss: second differences of their bits, deflated.

Numbers along a run change smoothly and have random last digits: of the 64 bits of a double some 20
are predictable. Read as whole numbers, each is stored less what the line through the two before it
predicts (modulo 2^64, so that nothing is lost), sign last; HDF5's own filters, shuffle and deflate,
do the rest. Deflate alone saves half as much.

In a file such a dataset holds unsigned numbers and has an attribute ``packed``, the type it is to
be read as. Anything short, small or not of floating point is stored as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

Array = NDArray[Any]

SMALLEST = 1 << 20  # bytes below which an array stays as it is
CHUNK = 1 << 20  # bytes that are deflated together
LARGEST = 1 << 30  # of one row: HDF5 deflates no chunk of 4 GiB
FEWEST = 4  # rows below which nothing can be predicted


def write(group: h5py.Group, name: str, rows: Array) -> None:
    """Store an array of rows (n, ...), packed where that helps."""
    own = rows.nbytes // max(len(rows), 1)
    small = rows.nbytes < SMALLEST or len(rows) < FEWEST or rows.ndim < 2 or own > LARGEST
    if small or rows.dtype not in (np.float64, np.float32):
        group[name] = rows
        return
    chunk = (min(max(CHUNK // own, 1), len(rows)), *rows.shape[1:])
    item = group.create_dataset(
        name, data=_predicted(rows), chunks=chunk, shuffle=True, compression="gzip",
        compression_opts=1,
    )  # fmt: skip
    item.attrs["packed"] = rows.dtype.str


def read(item: h5py.Dataset) -> Array:
    """The array of ``write``, whether it was packed or not.

    Raises ValueError for a dataset that ``write`` never makes.
    """
    values: Array = item[()]
    if "packed" not in item.attrs:
        return values
    dtype = np.dtype(str(item.attrs["packed"]))
    fits = dtype.kind == "f" and values.dtype.kind == "u" and dtype.itemsize == values.itemsize
    if not fits or not values.ndim:
        raise ValueError(f"{item.name} of type {values.dtype} cannot be packed {dtype}")
    return _restored(values, dtype)


def _predicted(rows: Array) -> Array:
    bits = np.array(rows, order="C").view(np.dtype(f"<u{rows.itemsize}"))
    for first in (1, 2):  # first differences, of which second ones are taken after the first
        for k in range(len(bits) - 1, first - 1, -1):
            bits[k] -= bits[k - 1]
    return (bits << 1) ^ -(bits >> (8 * rows.itemsize - 1))


def _restored(bits: Array, dtype: np.dtype[Any]) -> Array:
    bits = (bits >> 1) ^ -(bits & 1)
    for first in (2, 1):
        for k in range(first, len(bits)):
            bits[k] += bits[k - 1]
    return bits.view(dtype)
