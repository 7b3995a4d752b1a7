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
    assert numba.get_num_threads() >= 2
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


ALONE = """
    import time
    from threadpoolctl import threadpool_info

    def counts():
        return {lib["filepath"]: lib["num_threads"] for lib in threadpool_info()}

    x = np.random.default_rng(0).standard_normal((1024, 64))
    problem = mfpde.Problem(x, x, block=mfpde.SHL(64))
    law = mfpde.laws.Gaussian(1.0, dim=129)
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(2), count=64)
    mfpde.gradient(problem, rho)
    before, numba_before = counts(), numba.set_num_threads(1)
    elsewhere = time.thread_time() - time.process_time()
    for _ in range(20):
        mfpde.gradient(problem, rho)
    elsewhere += time.process_time() - time.thread_time()
    assert elsewhere < 0.02, elsewhere
    assert before == counts() and 2 in before.values(), counts()
"""
OVERLAP = """
    from threadpoolctl import ThreadpoolController
    from mfpde.kernels.pools import serial_blas

    def counts():
        found = ThreadpoolController().select(user_api="blas")
        return {library.num_threads for library in found.lib_controllers}

    inside, leave = threading.Event(), threading.Event()
    def work():
        with serial_blas():
            inside.set()
            leave.wait()
    thread = threading.Thread(target=work)
    with serial_blas():
        thread.start()
        inside.wait()
    assert counts() == {1}  # the other thread holds it
    leave.set()
    thread.join()
    assert counts() == {2}
"""


def finishes(what: str, **more: str) -> None:
    code = textwrap.dedent(PROBLEM) + textwrap.dedent(what)
    threads = {"NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"} | more
    run = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        run, env=os.environ | threads, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layer", ["default", "workqueue"])
@pytest.mark.parametrize("what", [MEET, FORK], ids=["threads", "fork"])
def test_neither_threads_nor_a_fork_end_the_process_or_change_a_bit(what, layer):
    finishes(what, NUMBA_THREADING_LAYER=layer)


@pytest.mark.parametrize("what", [ALONE, OVERLAP], ids=["verbs", "contexts"])
def test_blas_stays_on_its_thread_and_has_its_threads_again_afterwards(what):
    finishes(what)


def test_shares_are_done_once_each_whoever_does_them():
    finishes("""
    from mfpde.kernels.pools import shared
    from mfpde.kernels import totals

    for count in (1, 2, 5, 64):
        for _ in range(200):
            out = np.ones(1000)
            shared(totals._add_share, count, count, np.arange(3000.0).reshape(3, 1000), out)
            assert np.array_equal(out, 1.0 + 3000.0 + 3.0 * np.arange(1000)), count
    """)


def test_a_large_factor_is_choleskys_for_any_number_of_threads():
    finishes(
        """
    from scipy import linalg
    from mfpde.kernels import cholesky

    numba.set_num_threads(2)
    rows = np.random.default_rng(1).standard_normal((cholesky.TILED_FROM + 101, 300))
    a = rows @ rows.T / 300
    a.flat[:: len(a) + 1] += 1.0
    given = a.copy()
    factor, lower = cholesky.factor(a)
    assert np.array_equal(a, given) and not lower
    assert np.abs(np.triu(factor).T - np.linalg.cholesky(a)).max() < 1e-14
    right = rows[:, 0]
    assert np.abs(a @ linalg.cho_solve((factor, lower), right) - right).max() < 1e-12
    for threads, same in ((3, True), (1, False)):
        numba.set_num_threads(threads)
        other, lower = cholesky.factor(a)
        assert lower is not same
        assert not same or np.array_equal(factor, other)
    numba.set_num_threads(2)
    for at in (5, 1400, len(a) - 1):  # in the first panel, amid, in the last
        a[at, at] = -1.0
        try:
            cholesky.factor(a)
        except linalg.LinAlgError:
            a[at, at] = given[at, at]
        else:
            raise AssertionError(at)
    """,
        NUMBA_NUM_THREADS="3",
    )
