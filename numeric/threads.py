"""Static partition of blocks over threads.

Stage: below ``compiled``. Kernels release the interpreter lock and points are independent, so plain
threads are all that is needed: no threading layer has to be installed or may be missing, callers
may be concurrent, and the numbers do not depend on the partition.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

WORTH = 16384
"""Points per thread below which starting a thread costs more than it saves."""


def thread_count() -> int:
    """Return the number of threads: ``STIELTJES_THREADS``, else the processors of this process."""
    text = os.environ.get("STIELTJES_THREADS", "")
    if text.isdigit() and int(text) > 0:
        return int(text)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def run_blocks(
    solve: Callable[[int, int], None], blocks: int, width: int, threads: int | None = None
) -> None:
    """Call ``solve(first, last)`` on a partition of ``range(blocks)``, in several threads.

    Args:
        solve: solves the blocks first, ..., last - 1.
        blocks: number of blocks.
        width: points per block.
        threads: at most this many; by default ``thread_count()``, fewer for little work.
    """
    most = thread_count() if threads is None else threads
    count = max(1, min(most, blocks if threads else blocks * width // WORTH))
    if count == 1:
        solve(0, blocks)
        return
    own, *others = pairwise(blocks * i // count for i in range(count + 1))
    with ThreadPoolExecutor(count - 1) as pool:
        futures = [pool.submit(solve, *edge) for edge in others]
        solve(*own)
        for future in futures:
            future.result()
