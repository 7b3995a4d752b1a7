"""Networks on several processes: ``python trainings.py FOLDER WAY NAMES``.

The way is "whole", "slow" (to be killed between two steps) or "resume".
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

import mfpde
from mfpde import resnet

X = np.linspace(-1, 1, 12)[:, None]
# By the compiled layers, and by the sums of a block that has none; noise and batches are a seed's.
CASES = {
    "adam": (mfpde.SHL(2), resnet.Adam(batch=5)),
    "noisy": (mfpde.Linear(2), resnet.Langevin(temperature=0.01)),
    "plain": (mfpde.SHL(2), "gd"),
}


def size(snapshot):
    return np.abs(snapshot.theta).mean(axis=(1, 2))


def slow_size(snapshot):
    time.sleep(0.2)
    return size(snapshot)


def found(name, observe=size, **how):
    block, optimizer = CASES[name]
    problem = mfpde.Problem(X, np.sin(3 * X), block=block, weight_decay=1e-3)
    law = mfpde.laws.Gaussian(1.0, dim=block.size)
    given = {"s_end": 1.0, "step": 0.05, "record": 5, "save": 2, "seeds": 5, "progress": False}
    given |= {"layers": 3, "width": 8, "optimizer": optimizer, "observe": {"size": observe}}
    return resnet.train(problem, law, **given | {"backend": "particles"} | how)


def main(folder, way, *names):
    from mpi4py import MPI

    comm, folder = MPI.COMM_WORLD, Path(folder)
    for name in names:
        path = folder / f"{name}.run.h5"
        path.with_suffix(f".{comm.Get_rank()}.pid").write_text(str(os.getpid()))
        if way == "resume":
            training = resnet.resume(path, observe={"size": size}, progress=False, comm=comm)
        else:
            observe = slow_size if way == "slow" else size
            training = found(name, observe, checkpoint=path, checkpoint_every=0.0, comm=comm)
        same = comm.allgather(training.theta.tobytes())
        assert all(one == same[0] for one in same)
        if comm.Get_rank() == 0:
            training.save(folder / f"{name}.h5")


if __name__ == "__main__":
    main(*sys.argv[1:])
