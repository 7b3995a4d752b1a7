"""Grids on several processes: what their operators answer, and whole runs; exits 0 if equal."""

import sys
from pathlib import Path

import numpy as np
from job import COMM
from operators import equal

import mfpde
from mfpde.passes.grid import GridOperator
from mfpde.passes.grid_on_ranks import DistributedGridOperator
from mfpde.passes.in_blocks import InBlocks
from mfpde.passes.ranks import Ranks

# Layers of few coefficients, and of one for each cell, with methods of runs.
CASES = {"shl": ("muscl", "implicit"), "linear": ("third_order", "auto")}


def case(kind, **terms):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 1))
    block = mfpde.SHL(1) if kind == "shl" else mfpde.Linear(1)
    problem = mfpde.Problem(x, np.sin(x), block=block, weight_decay=1e-2, **terms)
    law = mfpde.laws.Gaussian(mean=[0.3] * block.size, std=0.8)
    return problem, mfpde.GridMeasure.from_law(
        law, mfpde.Depth(2, "rk4"), cells=10, box=[(-3.5, 3.7)] * block.size
    )


def passes(ranks, kind, rates=None, **terms):
    problem, rho = case(kind, rates=rates)
    one = GridOperator(problem, rho).carry(rho.state)
    operator = DistributedGridOperator(case(kind, rates=rates, **terms)[0], rho, ranks)
    dealt = operator.carry(operator.part(rho.state))
    assert isinstance(dealt, InBlocks) == bool(terms)
    v = np.random.default_rng(1).standard_normal(one.outputs.shape)
    equal(dealt.outputs, one.outputs)
    equal(dealt.loss, one.loss)
    equal(dealt.variation, one.variation[operator.own])
    equal(dealt.pull(v), one.pull(v)[operator.own])
    equal(dealt.kernel_product(v), one.kernel_product(v))
    equal(dealt.inner(dealt.variation, dealt.variation), one.inner(one.variation, one.variation))
    equal(dealt.kernel, one.kernel)
    np.testing.assert_array_equal(operator.whole(operator.part(rho.state)), rho.state)


def runs(folder):
    for kind, methods in CASES.items():
        for method in methods:
            problem, rho = case(kind)
            path = folder / f"{kind}_{method}.h5"
            sol = mfpde.solve(
                problem, rho, s_end=1.0, method=method, save=3, checkpoint=path, comm=COMM
            )
            assert sol.stats["mass_drift"] < 1e-13
            same = COMM.allgather(sol.final.state.tobytes())
            assert all(one == same[0] for one in same)


if __name__ == "__main__":
    ranks = Ranks(COMM)
    for kind in CASES:
        passes(ranks, kind)
        passes(ranks, kind, memory=3e3)
        passes(ranks, kind, rates=(0.5, 2.0, 3.0)[: case(kind)[0].block.size])
    runs(Path(sys.argv[1]))
