"""Python threads that meet in the package, and the child of a fork, on several threads of Numba."""

import os
import subprocess
import sys
import textwrap

import pytest

PROBLEM = """
    import os, threading
    import numba, numpy as np
    import mfpde
    from mfpde import theory

    x = np.random.default_rng(0).standard_normal((256, 2))
    problem = mfpde.Problem(x, x, block=mfpde.SHL(2))
    law = mfpde.laws.Gaussian(1.0, dim=5)
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(2), count=512)

    def numbers():
        return mfpde.gradient(problem, rho), theory.tangent_kernel(problem, rho)

    def equal(found):
        return all(np.array_equal(a, b) for a, b in zip(found, expected))

    expected = numbers()
    assert numba.get_num_threads() == 2
"""
MEET = """
    same = []
    def work():
        same.extend(equal(numbers()) for _ in range(8))
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert same == [True] * 24, same
"""
FORK = """
    child = os.fork()
    if child == 0:
        os._exit(0 if equal(numbers()) else 7)
    assert os.waitpid(child, 0)[1] == 0
    assert equal(numbers())
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
@pytest.mark.parametrize("what", [MEET, FORK], ids=["threads", "fork"])
def test_neither_threads_nor_a_fork_end_the_process_or_change_a_bit(what, layer):
    code = textwrap.dedent(PROBLEM) + textwrap.dedent(what)
    threads = {"NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": layer}
    run = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        run, env=os.environ | threads, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
