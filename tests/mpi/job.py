"""A script as a user would write it: the same file on one process and on several.

``python job.py OUT METHOD`` solves, data in blocks with a third word ``blocks``; with ``slow`` each
step waits and is written, with ``broken`` one rank fails, with ``resume`` a run goes on.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

import mfpde

COMM = MPI.COMM_WORLD
S_END = 1.0


def problem(**terms):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3))
    return mfpde.Problem(
        x, np.sin(x[:, :2]), block=mfpde.SHL(4), weight_decay=1e-3, quartic_decay=1e-2, **terms
    )


def measure():
    law = mfpde.laws.Gaussian(std=1.0, dim=9)
    return mfpde.ParticleMeasure.from_law(law, mfpde.Depth(2, "rk4"), count=17)


def pause(solution):
    time.sleep(0.05)


def fail(solution):
    if COMM.Get_rank() == COMM.Get_size() - 1:
        raise RuntimeError("a callback went wrong")


HOW = {
    "slow": {"callback": pause, "checkpoint_every": 0.0},
    "broken": {"callback": fail},
}


def main(out, method, how=""):
    Path(out).with_suffix(f".{COMM.Get_rank()}.pid").write_text(str(os.getpid()))
    if how == "resume":
        sol = mfpde.resume(out, progress=True, comm=COMM)
    else:
        terms = {"memory": 3e4} if how == "blocks" else {}
        run = {"s_end": S_END, "method": method, "save": 3, "checkpoint": out, "progress": True}
        sol = mfpde.solve(problem(**terms), measure(), comm=COMM, **run, **HOW.get(how, {}))
    same = COMM.allgather(sol.final.state.tobytes())
    assert all(one == same[0] for one in same)
    if COMM.Get_rank() == 0:
        sys.stdout.write(f"{sol!r}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
