"""A progress bar that is quiet unless the work is long and somebody is watching.

Stage: used by whatever loops for long (experiments, sweeps, references). The bar goes to standard
error after one second, only if that is a terminal, and goes away also when the work is interrupted.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

DELAY_SECONDS = 1.0


@contextmanager
def progress(
    total: int, label: str, *, show: bool | None = None, stream: TextIO | None = None
) -> Iterator[Callable[[int], None]]:
    """Show the progress of ``total`` equal pieces of work while the block runs.

    Args:
        total: number of pieces.
        label: what is being done, two or three words.
        show: force the bar (True, without delay) or silence it (False); by default it is shown on
            a terminal, for work longer than a second.
        stream: where to write; standard error by default.

    Yields:
        A function to call with the number of pieces just finished.

    Example:
        >>> with progress(3, "draws", show=False) as advance:
        ...     for _ in range(3):
        ...         advance(1)
    """
    target = sys.stderr if stream is None else stream
    silent = not target.isatty() if show is None else not show
    bar = tqdm(
        total=total,
        desc=label,
        file=target,
        disable=silent,
        delay=0.0 if show else DELAY_SECONDS,
        leave=False,
        dynamic_ncols=True,
    )

    def advance(pieces: int) -> None:
        bar.update(pieces)

    try:
        yield advance
    finally:
        bar.close()
