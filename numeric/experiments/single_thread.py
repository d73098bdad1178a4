"""Keep linear algebra on one thread while trials are drawn.

Stage: used by ``numeric.experiments.sampling``. Matrices of a few hundred rows gain little from
threads inside BLAS, and lose a factor of ten and more on a machine that is busy otherwise, because
those threads wait for one another by spinning. Trials are independent: to use several cores, run
them through an executor.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any


@cache
def _controller() -> Any:
    """Find the BLAS libraries in this process; None if ``threadpoolctl`` is not installed."""
    if find_spec("threadpoolctl") is None:
        return None
    return import_module("threadpoolctl").ThreadpoolController()


@contextmanager
def single_thread() -> Iterator[None]:
    """Limit BLAS to one thread in the block; without ``threadpoolctl`` nothing is changed."""
    controller = _controller()
    if controller is None:
        yield
        return
    with controller.limit(limits=1, user_api="blas"):
        yield
