"""A script as a user would write it: the same file on one process and on several.

``python job.py FOLDER NAME,METHOD,HOW ...`` makes a run file for each: HOW is empty, "blocks" (of
data), "waiting" (to be killed), "broken" (one rank fails) or "resume".
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


def wait(solution):
    """Let the first step be written, and wait to be killed after the second."""
    if solution.control.steps > 1:
        time.sleep(600)


def fail(solution):
    if COMM.Get_rank() == COMM.Get_size() - 1:
        raise RuntimeError("a callback went wrong")


HOW = {
    "": {"progress": True},
    "blocks": {},
    "waiting": {"callback": wait, "checkpoint_every": 0.0},
    "broken": {"callback": fail},
}


def solve(out, method, how):
    if how == "resume":
        return mfpde.resume(out, comm=COMM)
    terms = {"memory": 3e4} if how == "blocks" else {}
    run = {"s_end": S_END, "method": method, "save": 3, "checkpoint": out, **HOW[how]}
    return mfpde.solve(problem(**terms), measure(), comm=COMM, **run)


def main(folder, *jobs):
    for job in jobs:
        name, method, how = job.split(",")
        out = Path(folder) / f"{name}.h5"
        out.with_suffix(f".{COMM.Get_rank()}.pid").write_text(str(os.getpid()))
        sol = solve(out, method, how)
        same = COMM.allgather(sol.final.state.tobytes())
        assert all(one == same[0] for one in same)
        if COMM.Get_rank() == 0:
            sys.stdout.write(f"{sol!r}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
