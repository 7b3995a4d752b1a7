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


def finishes(what: str, begin: str = PROBLEM, **more: str) -> None:
    code = textwrap.dedent(begin) + textwrap.dedent(what)
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


SHARES = """
    import os, signal, threading
    import numba, numpy as np
    from numba import njit
    from mfpde.kernels import pools
    from mfpde.kernels.native import LEAN
    from mfpde.kernels.pools import deal, shared

    @njit(**LEAN | {"cache": False})
    def share(t, work, out):
        for i in range(work[t]):
            out[t] += 1.0

    def right(shares, work=50):
        out = np.zeros(shares)
        shared(share, shares, np.full(shares, work), out)
        return np.array_equal(out, np.full(shares, float(work)))
"""
MANY = """
    for count in (1, 2, 5, 64, 3):  # more than there are threads, and cores
        numba.set_num_threads(min(count, 4))
        assert all(right(count, work) for work in (1, 50, 20_000) for _ in range(300)), count

    same = []
    def work():
        same.extend(right(1 + k % 7, 500) for k in range(2000))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert same == [True] * 8000

    found = np.zeros(40, bool)
    def nested(task):
        found[task] = right(4, 3000)
    for _ in range(20):
        deal(nested, range(40), 4)
        assert found.all()
        found[:] = False
"""
LATE = """
    # What a thread does that was kept waiting after its last share: it wakes a caller of later.
    late, ended = 0, threading.Event()
    def disturb():
        global late
        while not ended.is_set():
            waiting, caller = (pools._pool._word(at) for at in (pools.WAITING, pools.CALLER))
            if waiting.value == 1:
                waiting.value = 0
                pools._release(caller.value)
                late += 1
            time.sleep(1e-4)
    import time
    assert right(3)
    thread = threading.Thread(target=disturb)
    thread.start()
    work = np.array([1, 30_000_000, 30_000_000])
    for _ in range(100):
        out = np.zeros(3)
        shared(share, 3, work, out)
        assert np.array_equal(out, work), out
        if late > 5: break
    ended.set()
    thread.join()
    assert late > 5
"""
FAILS = """
    done = []
    def work(task):
        if task == 3:
            raise RuntimeError("three")
        assert right(2)
        done.append(task)
    for _ in range(50):
        try:
            deal(work, range(1000), 4)
        except RuntimeError as error:
            assert str(error) == "three"
            count = len(done)
        assert right(3) and len(done) == count  # nobody works on
    assert count < 50 * 1000

    interrupted = 0
    for k in range(200):
        timer = threading.Timer(1e-3 * (k % 9), os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            while True:
                deal(lambda task: right(2), range(50), 3)
                assert right(4, 5000)
        except KeyboardInterrupt:
            interrupted += 1
    assert interrupted == 200
    with pools._pool.taken(2) as held:
        assert held  # it was not lost
    assert all(right(4, 5000) for _ in range(100))
"""
FORKS = """
    for k in range(20):
        assert right(3)
        if (child := os.fork()) == 0:
            good = all(right(count, 500) for count in (2, 3, 4) for _ in range(20))
            os._exit(0 if good else 7)
        assert right(4)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    "what", [MANY, LATE, FAILS, FORKS], ids=["many", "late wakes", "errors", "forks"]
)
def test_every_share_is_done_once_before_the_call_returns(what):
    finishes(what, SHARES, NUMBA_NUM_THREADS="4")


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
