"""What particles dealt to ranks answer, against all of them in one process; exits 0 if equal."""

import numpy as np
from job import COMM, measure, problem

from mfpde.blocks import shl
from mfpde.passes import ranks as module
from mfpde.passes.distributed import DistributedOperator
from mfpde.passes.in_blocks import InBlocks
from mfpde.passes.particles import ParticleOperator
from mfpde.passes.ranks import Ranks


def equal(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12 * np.abs(wanted).max())


def sums(ranks, grouped):
    """Short and long sums are those in the order of ranks or groups, the same bits on each."""
    for size in (1, 7, 4001):
        parts = np.random.default_rng(0).standard_normal((ranks.size, size, 2))
        wanted = parts[0].copy()
        for part in parts[1:]:
            wanted += part
        if grouped and parts[0].nbytes > module.SMALL:
            wanted = (parts[0] + parts[1]) + (parts[2] + parts[3])
        np.testing.assert_array_equal(ranks.sum(parts[ranks.rank]), wanted)
    assert ranks.largest(float(ranks.rank)) == ranks.size - 1


def passes(ranks, rates=None, **terms):
    rho = measure()
    one = ParticleOperator(problem(rates=rates), rho).carry(rho.state)
    operator = DistributedOperator(problem(rates=rates, **terms), rho, ranks)
    dealt = operator.carry(operator.part(rho.state))
    assert isinstance(dealt, InBlocks) == bool(terms)
    v = np.random.default_rng(1).standard_normal(one.outputs.shape)
    equal(dealt.outputs, one.outputs)
    equal(dealt.loss, one.loss)
    equal(operator.whole(dealt.variation), one.variation)
    equal(operator.whole(dealt.pull(v)), one.pull(v))
    equal(dealt.kernel_product(v), one.kernel_product(v))
    light = operator.single.carry(operator.part(rho.state).astype(np.float32))
    assert light.end.dtype == np.float32
    np.testing.assert_allclose(light.kernel_product(v), one.kernel_product(v), rtol=1e-4, atol=1e-4)
    equal(dealt.inner(dealt.variation, dealt.variation), one.inner(one.variation, one.variation))
    equal(dealt.kernel, one.kernel)
    np.testing.assert_array_equal(operator.whole(operator.part(rho.state)), rho.state)


if __name__ == "__main__":
    module.GROUPED_FROM = 4
    grouped = Ranks(COMM)
    sums(grouped, grouped=True)
    passes(grouped)
    grouped.free()
    module.GROUPED_FROM = 16
    ranks = Ranks(COMM)
    sums(ranks, grouped=False)
    passes(ranks, memory=3e4)
    passes(ranks, rates=(0.5, 2.0, 3.0))
    shl.FUSED_TO = 0  # as for a block without compiled passes
    passes(ranks)
