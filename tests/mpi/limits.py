"""Limits on several processes: ``python limits.py FOLDER WAY NAMES``.

The way is "whole", "slow" (to be killed between two runs) or "resume".
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

import mfpde
from mfpde import laws


def problem():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3))
    return mfpde.Problem(x, np.sin(x @ [1.0, 0.5, -0.5]), block=mfpde.SHL(dim=4), readout="last")


def cases():
    """By scrambles, in a hurry beside the flow of u alone; by a tensor rule."""
    silent = laws.Product(laws.Dirac(0.0, dim=4), laws.Gaussian(1.0, dim=5))
    line = mfpde.Problem([[-0.8], [0.1], [0.9]], [[0.4], [0.0], [-0.7]], block=mfpde.SHL(dim=1))
    return {
        "scrambles": (problem(), silent, {"s_end": 6.0, "rtol": 6e-3}),
        "tensor": (line, laws.Uniform([-1] * 3, [1] * 3), {"s_end": 2.0, "rtol": 1e-4}),
    }


def size(problem, rho):
    return float((rho.theta**2).mean())


def slow_size(problem, rho):
    time.sleep(0.05)
    return size(problem, rho)


def found(name, observe=size, **how):
    task, law, terms = cases()[name]
    return mfpde.limit(task, law, times=3, observe={"size": observe}, **terms, **how)


def main(folder, way, *names):
    from mpi4py import MPI

    comm, folder = MPI.COMM_WORLD, Path(folder)
    for name in names:
        path = folder / f"{name}.runs.h5"
        path.with_suffix(f".{comm.Get_rank()}.pid").write_text(str(os.getpid()))
        observe = slow_size if way == "slow" else size
        limit = found(name, observe, checkpoint=path, resume=way == "resume", comm=comm)
        same = comm.allgather(limit.outputs.tobytes())
        assert all(one == same[0] for one in same)
        if comm.Get_rank() == 0:
            limit.save(folder / f"{name}.h5")


if __name__ == "__main__":
    main(*sys.argv[1:])
