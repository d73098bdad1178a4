"""Methods timed side by side, and their table: what all rooms of the benchmark share.

Stage: below ``bench``. Methods are interleaved, round by round, so that a busy machine slows all of
them alike; the median of the wall time is shown, and the least processor time, which is the one to
look at on a machine that does other work. Counts stand beside times: they do not depend on the
machine.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.progress import progress

Array = NDArray[np.float64]
SLOW = 3.0
"""Seconds; a method that takes longer runs once after the warm-up, not in every round."""
QUICK = 0.02
"""Seconds; a run shorter than this follows an untimed one."""
FAILED = 1e-6
"""Relative residual or error that counts as a wrong answer."""


@dataclass(frozen=True)
class Judged:
    """What is said of answers, besides how long they took.

    Attributes:
        worst: largest relative residual or error among the right answers.
        wrong: share of points without a right answer.
        counts: steps, nodes, degrees, in words.
    """

    worst: float
    wrong: float
    counts: str = ""


@dataclass(frozen=True)
class Method:
    """One way to solve a case.

    Attributes:
        name: as shown.
        points: how many points it is given.
        build_seconds: wall time until it can be called, compilation included.
        run: what is timed.
        judge: says how good the return value of ``run`` is; not timed.
    """

    name: str
    points: int
    build_seconds: float
    run: Callable[[], Any]
    judge: Callable[[Any], Judged]


@dataclass(frozen=True)
class Row:
    """What was measured of one method.

    Attributes:
        case: what was solved.
        method: its name.
        points: number of points.
        wall: nanoseconds per point, median over the rounds.
        cpu: processor time per point in nanoseconds, least over the rounds.
        build_seconds: wall time until the first answer.
        judged: residual or error, wrong answers, counts.
    """

    case: str
    method: str
    points: int
    wall: float
    cpu: float
    build_seconds: float
    judged: Judged


@dataclass(frozen=True)
class Section:
    """One workload of the report.

    Attributes:
        title: heading.
        claim: what is solved, over which ranges, and what the column "worst" means.
        rows: the measurements.
        notes: further paragraphs.
    """

    title: str
    claim: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n\n".join((f"## {self.title}", self.claim, table(self.rows), *self.notes))


def built(make: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function makes, and the wall time it took."""
    began = time.perf_counter()
    made = make()
    return made, time.perf_counter() - began


def judged(error: Array, counts: str = "", failed: float = FAILED) -> Judged:
    """Judge relative errors or residuals, one per point; those above ``failed`` are wrong."""
    right = error <= failed
    worst = float(error[right].max()) if right.any() else float("nan")
    return Judged(worst, float(1 - right.mean()), counts)


def measure(case: str, methods: Sequence[Method], rounds: int) -> list[Row]:
    """Time methods interleaved; the first round warms up; one slower than ``SLOW`` runs twice.

    A run shorter than ``QUICK`` follows an untimed one of the same method: otherwise it would be
    timed with the caches and the clock that another method left behind.
    """
    times: dict[str, list[tuple[float, float]]] = {m.name: [] for m in methods}
    last: dict[str, Any] = {}
    with progress((rounds + 1) * len(methods), case) as advance:
        for turn in range(rounds + 1):
            for method in methods:
                known = times[method.name]
                if turn < 2 or known[0][0] < SLOW:
                    if known and known[-1][0] < QUICK:
                        method.run()
                    wall, cpu = time.perf_counter(), time.process_time()
                    last[method.name] = method.run()
                    end = (time.perf_counter() - wall, time.process_time() - cpu)
                    known.append(end)
                advance(1)
    return [_row(case, m, np.array(times[m.name][1:]), last[m.name]) for m in methods]


def _row(case: str, method: Method, times: Array, answer: Any) -> Row:
    return Row(
        case=case,
        method=method.name,
        points=method.points,
        wall=float(np.median(times[:, 0])) / method.points * 1e9,
        cpu=float(np.min(times[:, 1])) / method.points * 1e9,
        build_seconds=method.build_seconds,
        judged=method.judge(answer),
    )


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table; ratios are processor time over that of the case's first."""
    head = (
        "| case | method | points | wall ns | cpu ns | ratio | build s | counts | worst | wrong |"
    )
    lines = [head, "| --- | --- " + "| ---: " * 5 + "| --- | ---: | ---: |"]
    for row in rows:
        base = next(r for r in rows if r.case == row.case)
        ratio = row.cpu / base.cpu if base.cpu else float("nan")
        counts = row.judged.counts.replace("|", "\\|")
        lines.append(
            f"| {row.case} | {row.method} | {row.points} | {row.wall:.4g} | {row.cpu:.4g} "
            f"| {ratio:.3g} | {row.build_seconds:.2f} | {counts} "
            f"| {row.judged.worst:.1e} | {row.judged.wrong:.2%} |"
        )
    return "\n".join(lines)
