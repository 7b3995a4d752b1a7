"""σ over an array that fits a first-level cache: this package against NumPy, SciPy and torch.

Claim: tanh in float64 at least 6 times as fast as numpy.tanh on one thread of an AVX2 machine, and
twice with AVX-512, for which NumPy has a tanh of its own. About 20 seconds.
"""

from __future__ import annotations

import harness
import numpy as np
import torch
from scipy import special

from mfpde.activations import ACTIVATIONS
from mfpde.kernels import activate

SIZE, REPEATS = 2048, 200
PEERS = {
    "tanh": (np.tanh, torch.tanh),
    "sigmoid": (special.expit, torch.sigmoid),
    "softplus": (lambda z, out: np.logaddexp(0, z, out=out), torch.nn.functional.softplus),
    "gelu": (lambda z, out: np.multiply(z, special.ndtr(z), out=out), torch.nn.functional.gelu),
    "silu": (lambda z, out: np.multiply(z, special.expit(z), out=out), torch.nn.functional.silu),
    "sin": (np.sin, torch.sin),
}


def repeat(run):
    def loop():
        for _ in range(REPEATS):
            run()

    return loop


def measure(name: str, dtype: type, rounds: int) -> dict:
    z = np.random.default_rng(0).standard_normal(SIZE).astype(dtype)
    out, code = np.empty_like(z), ACTIVATIONS[name].code
    by_numpy, by_torch = PEERS[name]
    tensor = torch.from_numpy(z)
    contenders = {
        "mfpde": repeat(lambda: activate.sigma_chunk(code, z, out)),
        "numpy": repeat(lambda: by_numpy(z, out=out)),
        "torch": repeat(lambda: by_torch(tensor)),
    }
    seconds = harness.alternate(contenders, rounds)
    rates = {k: SIZE * REPEATS / np.median(v) / 1e9 for k, v in seconds.items()}
    return {
        "case": f"{name} {np.dtype(dtype).name}",
        "threads": 1,
        "rates": rates,
        "over_numpy": harness.ratios(seconds["numpy"], seconds["mfpde"]),
        "over_torch": harness.ratios(seconds["torch"], seconds["mfpde"]),
    }


if __name__ == "__main__":
    rounds = harness.options(__doc__, 15).rounds
    rows = []
    with harness.set_threads(1):
        for name in PEERS:
            for dtype in (np.float64, np.float32):
                row = measure(name, dtype, rounds)
                rows.append(row)
                rate = ", ".join(f"{k} {v:.3f}" for k, v in row["rates"].items())
                low, middle, high = row["over_numpy"]
                print(
                    f"{row['case']:17s} G values/s: {rate}; over numpy "
                    f"{low:.1f} – {middle:.1f} – {high:.1f}, over torch {row['over_torch'][1]:.1f}"
                )
    harness.record("activations", rows, "over_numpy", "times as fast as NumPy")
