"""One gradient on several ranks: measured here, and what a cluster of this core would take.

    mpiexec -n 1 python benchmarks/mpi.py
    mpiexec -n 2 python benchmarks/mpi.py

Measured: wall time of one gradient (median of five), processor time of a rank, bytes and messages
that a rank sends, on N = 2,000 data in d = 50, 4 Euler layers, M = 4,096. Modelled, marked as such:
N = 60,000, L·M = 10⁷ on more ranks from the processor time per particle and datum measured here, a
bandwidth and a latency per rank that are assumed, and the messages of ``mfpde.passes.ranks``. The
model leaves out waiting for the slowest rank and assumes that a rank has a core, memory bandwidth
and its share of the network for itself.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from mpi4py import MPI

import mfpde
from mfpde.passes.distributed import DistributedOperator, SharedBlock
from mfpde.passes.particles import ParticleOperator
from mfpde.passes.ranks import GROUPED_FROM, Ranks, group_size
from mfpde.passes.room import ALIVE, AT_ONCE

DATA, DIM, LAYERS, WIDTH = 2000, 50, 4, 4096
LARGE = {"data": 60_000, "layers": 100, "particles": 10**7}
RANKS = (8, 64, 512)


def task() -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((DATA, DIM))
    problem = mfpde.Problem(x, x[:, :1], block=mfpde.SHL(DIM))
    theta = rng.standard_normal((LAYERS, WIDTH, problem.block.size)) / np.sqrt(DIM)
    return problem, mfpde.ParticleMeasure(theta, mfpde.Depth(LAYERS, "euler"))


def measured(comm: MPI.Comm) -> tuple[float, float]:
    """Wall and processor seconds of one gradient, the largest of the ranks."""
    problem, rho = task()
    ranks = Ranks(comm)
    operator = ParticleOperator(problem, rho)
    state = rho.state
    if ranks.size > 1:
        operator = DistributedOperator(problem, rho, ranks)
        state = operator.part(state)
    found = []
    for _ in range(6):
        comm.Barrier()
        wall, busy = time.perf_counter(), time.process_time()
        _ = operator.carry(state).variation
        found.append((time.perf_counter() - wall, time.process_time() - busy))
    wall, busy = np.median(found[1:], axis=0)
    return ranks.largest(wall), ranks.largest(busy)


def layered() -> float:
    """Processor seconds per particle and datum of a gradient, layer by layer as ranks do it."""
    problem, rho = task()
    block = SharedBlock(problem.block, Ranks(MPI.COMM_SELF))
    x, q = problem.start(), np.ones((DATA, DIM))
    theta, a = rho.theta[0], rho.weights[0]
    found = []
    for _ in range(6):
        busy = time.process_time()
        block.field(x, theta, a)
        block.backward(x, theta, a, q)
        found.append(time.process_time() - busy)
    return float(np.median(found[1:])) / (DATA * WIDTH)


def traffic(ranks: int, data: int, layers: int, blocks: int) -> tuple[float, int]:
    """Bytes and messages that a rank sends in a gradient: two sums a layer for each block."""
    group = group_size(ranks) if ranks >= GROUPED_FROM else 1
    numbers, messages = 0.0, 0
    for size, share in ((group, 1.0), (ranks // group, 1.0 / group)):
        numbers += 2 * share * (size - 1) / size * data * DIM
        messages += 2 * (size - 1)
    return 2 * layers * numbers * 8.0, 2 * layers * blocks * messages


def table(each: float, memory: float, bandwidth: float, latency: float) -> None:
    data, layers, particles = LARGE.values()
    states = data * 2 * (2 * layers + 1) * DIM * 8
    blocks = 1 if ALIVE * states <= memory else -(-AT_ONCE * states // int(memory))
    print(
        f"\nModel: N = {data}, {layers} layers, L·M = {particles:.0e}, d = {DIM}, {blocks} blocks"
    )
    print(f"{each * 1e9:.1f} ns a particle and datum; {bandwidth:.0e} B/s, {latency:.0e} s assumed")
    print("ranks  compute s  bytes s  latency s  efficiency  MB a stage")
    for ranks in RANKS:
        sent, messages = traffic(ranks, data, layers, blocks)
        parts = (each * data * particles / ranks, sent / bandwidth, messages * latency)
        share, stage = parts[0] / sum(parts), sent / (2 * layers) / 1e6
        print(
            f"{ranks:5d}  {parts[0]:9.1f}  {parts[1]:7.2f}  {parts[2]:9.2f}  {share:10.3f}"
            f"  {stage:9.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", type=float, default=2e9, help="bytes of states a rank may hold")
    parser.add_argument("--bandwidth", type=float, default=1e9, help="bytes a second and rank")
    parser.add_argument("--latency", type=float, default=5e-6, help="seconds a message")
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    wall, busy = measured(comm)
    if comm.Get_rank():
        return
    sent, messages = traffic(comm.Get_size(), DATA, LAYERS, 1)
    print(f"{comm.Get_size()} ranks, one thread each: gradient {wall * 1e3:.1f} ms of wall time,")
    print(
        f"{busy * 1e3:.1f} ms of a rank's processor; a rank sends {sent / 1e6:.2f} MB, {messages}"
    )
    table(layered(), options.memory, options.bandwidth, options.latency)


if __name__ == "__main__":
    main()
