"""Worker processes for experiments, each with one thread.

Stage: an executor for whatever takes one. Draws are small matrices: linear algebra on several
threads spins longer than it computes, and the number of threads is read when NumPy loads. Workers
are therefore fresh processes, started with one thread each.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def workers(count: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of single-threaded worker processes.

    Args:
        count: number of processes; the number of processors this process may use by default.

    Yields:
        A ``concurrent.futures`` executor. Leaving the block, also by an interrupt, cancels what has
        not started.

    Example:
        >>> with workers(1) as pool:
        ...     pool.submit(abs, -2).result()
        2
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    pool = ProcessPoolExecutor(
        count or _processors(), mp_context=multiprocessing.get_context("spawn")
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _processors() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
