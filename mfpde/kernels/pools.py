"""Who uses the cores: one pool of threads for everything, and BLAS on the thread that calls it.

BLAS, OpenMP and Numba each keep threads that spin for their next call: beside threads of another
pool, or of another process, they take cores away. Therefore

* compiled kernels are dealt in *shares* to the threads here, ``shared``; they never nest. Who
  takes which share is left to chance, what a share does is not: a result depends on the number of
  shares alone. A thread that another process keeps waiting has its shares done by the caller;
* around products of matrices, which only BLAS does well, Python's threads are dealt tasks whose
  results do not meet, ``deal``, each with a BLAS of its own thread;
* all this stands within ``serial_blas``: verbs and runs enter it.

How many threads there are is Numba's ``get_num_threads``. One Python thread has the pool at a
time; another one that comes meanwhile, or the child of a fork, does all of its shares by itself.

Why not Numba's own threads: regions here last a tenth of a millisecond to ten. Its "workqueue"
wakes too slowly for them, as Python's own threads do, and ends the process when two Python threads
meet; OpenMP is as fast on an idle machine, several times slower on a busy one, where a region waits
for a thread that does not run, and spins beside ``deal``. What holds of a job, in words of shared
memory that are read and written in one order by all threads:

* entry, frame and number of shares change between jobs only, while no share is on offer;
* the ticket counts jobs and the shares taken: a share is taken by raising the ticket, which fails
  once the job that was read is over;
* the caller returns when all shares are finished: nobody looks at the frame, on its stack, again;
* before it sleeps a thread sets its word to 1 and looks again; who turns it to 0 wakes it. A wake
  may come late, for a job that is over: whoever wakes looks for what it waits for.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numba
from numba import njit, types
from threadpoolctl import ThreadpoolController

from mfpde.kernels.native import (
    INNER,
    add,
    address,
    address_for,
    call_plain,
    call_shares,
    enter,
    load,
    pause,
    replace,
    store,
    swap,
)

# Waking threads costs tens of microseconds: below this many elementary operations one is faster.
PARALLEL_FROM = 1 << 17
# How often a thread looks for work before it sleeps: half a millisecond to two.
LOOKS = 30000
# Words of a pool's memory, each on a cache line of its own: the job's number and its next share;
# what is finished; whether the caller sleeps; what the job is; then for each thread whether it
# sleeps and its lock.
LINE = 64
TICKET, FINISHED, WAITING, JOB, THREAD = (LINE * k for k in range(5))
ENTRY, FRAME, SHARES, THREADS, ACQUIRE, RELEASE, CALLER = (JOB + 8 * k for k in range(7))
BITS = 20  # of a ticket that count shares
STOP = -1


def threads_for(operations: int) -> int:
    """How many threads to use: one if there is little to do."""
    return int(numba.get_num_threads()) if operations >= PARALLEL_FROM else 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Compiled kernels of this Python thread do all by themselves."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


# -- compiled kernels -----------------------------------------------------------------------------


@njit(**INNER)
def _work(box):
    """Take shares of the job at hand while there are any."""
    while True:
        ticket = load(box + TICKET)
        if ticket == STOP:
            return
        t = ticket & ((1 << BITS) - 1)
        entry, frame, shares = load(box + ENTRY), load(box + FRAME), load(box + SHARES)
        if t >= shares:
            return
        # Succeeds only if the job is still the one whose entry and frame were read.
        if replace(box + TICKET, ticket, ticket + 1):
            enter(entry, frame, t)
            if add(box + FINISHED, 1) + 1 == shares and swap(box + WAITING, 0) == 1:
                call_plain(load(box + RELEASE), load(box + CALLER), 0)


@njit(**INNER)
def _open(box):
    """Whether there is a share to take, or the end to see."""
    ticket = load(box + TICKET)
    return ticket == STOP or (ticket & ((1 << BITS) - 1)) < load(box + SHARES)


@njit(cache=True, nogil=True, error_model="numpy")
def _serve(box, k):
    """What a thread of the pool does: look for work for a while, then sleep until called."""
    sleeps = box + THREAD + k * LINE
    while load(box + TICKET) != STOP:
        looks = 0
        while looks < LOOKS and not _open(box):
            pause()
            looks += 1
        if looks == LOOKS:
            swap(sleeps, 1)
            # Awake again at once if work has come; who finds the 1 first decides who is to wake.
            if not _open(box) or swap(sleeps, 0) == 0:
                call_plain(load(box + ACQUIRE), load(sleeps + 8), 1)
        _work(box)


@njit(**INNER)
def _lead(box, entry, frame, shares):
    """Post a job, wake who sleeps, do what others leave, and wait for the shares they took.

    Without a ``box`` all shares are done here.
    """
    if box == 0:
        for t in range(shares):
            enter(entry, frame, t)
        return
    store(box + SHARES, 0)  # nothing to take while the rest changes
    store(box + ENTRY, entry)
    store(box + FRAME, frame)
    store(box + FINISHED, 0)
    store(box + TICKET, ((load(box + TICKET) >> BITS) + 1) << BITS)
    store(box + SHARES, shares)
    for k in range(min(shares - 1, load(box + THREADS))):
        sleeps = box + THREAD + k * LINE
        if load(sleeps) == 1 and swap(sleeps, 0) == 1:
            call_plain(load(box + RELEASE), load(sleeps + 8), 0)
    _work(box)
    while load(box + FINISHED) < shares:
        looks = 0
        while load(box + FINISHED) < shares and looks < LOOKS:
            pause()
            looks += 1
        if looks == LOOKS:
            swap(box + WAITING, 1)
            if load(box + FINISHED) < shares or swap(box + WAITING, 0) == 0:
                call_plain(load(box + ACQUIRE), load(box + CALLER), 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _run(lead, box, share, shares, arguments):
    call_shares(lead, box, share, shares, arguments)


class _Pool:
    """Threads that serve the shares of compiled kernels, and Python's threads for tasks."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # of its own thread it cannot be lost by an interrupt
        self.child = False
        self.served: list[threading.Thread] = []
        self.tasks: ThreadPoolExecutor | None = None
        self.size = 0  # of ``tasks``
        self.box = 0

    def after_fork(self) -> None:
        """Threads are not inherited; one that is not here may have held the lock."""
        self.lock, self.child, self.served, self.tasks = threading.RLock(), True, [], None

    @contextmanager
    def taken(self, threads: int) -> Iterator[bool]:
        """Whether more than one thread is wanted and the pool is free, which it then is not."""
        held = threads > 1 and not self.child and self.lock.acquire(blocking=False)
        try:
            yield held
        finally:
            if held:
                self.lock.release()

    def grow(self, threads: int) -> None:
        """At least so many threads beside the caller, of those that Numba may have."""
        if not self.box:
            self._lay_out(numba.config.NUMBA_NUM_THREADS)
        for k in range(len(self.served), min(threads, numba.config.NUMBA_NUM_THREADS - 1)):
            thread = threading.Thread(target=_serve, args=(self.box, k), daemon=True)
            thread.start()
            self.served.append(thread)
            self._word(THREADS).value = k + 1

    def _lay_out(self, count: int) -> None:
        memory = ctypes.create_string_buffer(THREAD + LINE * (count + 1))
        # Never given back: a thread may look at it while the process ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
        first = ctypes.addressof(memory)
        self.box = first + -first % LINE
        for at, function in ((ACQUIRE, _acquire), (RELEASE, _release)):
            self._word(at).value = ctypes.cast(function, ctypes.c_void_p).value or 0
        for at in (CALLER, *(THREAD + LINE * k + 8 for k in range(count))):
            lock = _allocate()
            _acquire(lock, 1)
            self._word(at).value = lock

    def _word(self, at: int) -> Any:
        return ctypes.c_int64.from_address(self.box + at)

    def stop(self) -> None:
        """Send the threads home."""
        if self.child or not self.served:
            return
        with self.lock:
            self._word(TICKET).value = STOP
            for k, thread in enumerate(self.served):
                while thread.is_alive():
                    sleeps = self._word(THREAD + LINE * k)
                    if sleeps.value:
                        sleeps.value = 0
                        _release(self._word(THREAD + LINE * k + 8).value)
                    thread.join(0.001)
            self.served = []


_allocate = ctypes.pythonapi.PyThread_allocate_lock
_allocate.restype = ctypes.c_void_p
_acquire = ctypes.pythonapi.PyThread_acquire_lock
_acquire.argtypes = [ctypes.c_void_p, ctypes.c_int]
_release = ctypes.pythonapi.PyThread_release_lock
_release.argtypes, _release.restype = [ctypes.c_void_p], None

_pool = _Pool()
atexit.register(_pool.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.after_fork)


def shared(share: Any, shares: int, *arguments: Any) -> None:
    """``share(t, *arguments)`` for every t < shares, by as many threads; ``share`` is compiled."""
    lead, code = address_for(_lead, *(types.int64,) * 4), address(share, 0, *arguments)
    with _pool.taken(shares) as held:
        if held:
            _pool.grow(shares - 1)
        _run(lead, _pool.box if held else 0, code, shares, arguments)


# -- tasks around products of matrices ------------------------------------------------------------


def deal(work: Callable[[Any], object], tasks: Sequence[Any], threads: int) -> None:
    """``work(task)`` for every task, on up to so many threads; results must not meet.

    Tasks are taken in order by whoever is free: put the longest ones first. An error in one, or an
    interrupt, is raised when no thread is inside a task any more.
    """
    threads, left = min(threads, len(tasks)), iter(tasks)

    def serve() -> None:
        for task in left:  # a step of a list's iterator is not divided
            work(task)

    with serial_blas(), _pool.taken(threads) as held:
        if not held:
            serve()
            return
        if _pool.tasks is None or _pool.size < threads:
            _pool.tasks, _pool.size = ThreadPoolExecutor(threads), threads
        serving = [_pool.tasks.submit(serve) for _ in range(threads)]
        try:
            for one in serving:
                one.result()
        finally:
            list(left)  # after an error nobody begins another one
            wait(serving)


# -- BLAS -----------------------------------------------------------------------------------------


class _Blas:
    """How many hold BLAS to one thread, and how many threads it had before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.libraries: list[Any] | None = None
        self.holders, self.before = 0, []  # type: tuple[int, list[int]]

    def after_fork(self) -> None:
        self.lock = threading.Lock()

    def hold(self) -> None:
        with self.lock:
            self.holders += 1
            if self.holders == 1:
                self.before = [library.num_threads for library in self._found()]
                self._set([1] * len(self.before))

    def release(self) -> None:
        with self.lock:
            self.holders -= 1
            if self.holders == 0:
                self._set(self.before)

    def _found(self) -> list[Any]:
        if self.libraries is None:
            import scipy.linalg.cython_blas  # noqa: F401  SciPy's own, which kernels call

            found = ThreadpoolController().select(user_api="blas")
            self.libraries = found.lib_controllers
        return self.libraries

    def _set(self, counts: list[int]) -> None:
        if max(self.before, default=1) == 1:
            return
        for library, count in zip(self._found(), counts, strict=True):
            _free(library)
            library.set_num_threads(count)
            _free(library)


def _free(library: Any) -> None:
    """Let any thread set the number: some versions only listen to the first one that ever did.

    Here the count of holders keeps threads from undoing what others did.
    """
    clear = getattr(library, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


_blas = _Blas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_blas.after_fork)


@contextmanager
def serial_blas() -> Iterator[None]:
    """Within this context a BLAS call stays on the thread that makes it.

    For all threads of the process, until the last context ends.
    """
    _blas.hold()
    try:
        yield
    finally:
        _blas.release()
