"""The benchmark: seconds, steps, residuals and failures of every method, side by side in one run.

Stage: run as ``python -m numeric.bench``; prints a Markdown table. Methods are interleaved, round
by round, so that a busy machine slows all of them alike; the median of the wall time is shown, and
the least processor time, which is the one to look at on a machine that does other work. Counts of
operations, divisions and steps stand beside the times: they do not depend on the machine.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derive.printing.lane_phases import Asked, LaneProgram
from derive.printing.lane_program import lane_program
from derive.program import program
from derive.symbols import Quantity
from derive.theory.deep_features import deep_features
from numeric.bench_rivals import (
    Workload,
    fixed_point,
    has_jax,
    jax_full_newton,
    jax_same,
    jax_tower,
    scipy_root,
)
from numeric.c_oracle import COMPILER_FLAGS, build, c_source
from numeric.compiled import METHODS, compile
from numeric.doctor import report
from numeric.lanes import FLAGS, counts_text
from numeric.progress import progress
from numeric.threads import run_blocks

Array = NDArray[np.float64]
LEAN = Asked((), errors=False, slopes=False)
SLOW = 3.0
FAILED = 1e-6
"""Relative residual, or a negative unknown, that counts as a wrong answer."""


@dataclass(frozen=True)
class Method:
    """One way to solve a workload.

    Attributes:
        name: as shown.
        points: how many points it is given.
        compile_seconds: wall time until it can be called, first call included.
        solve: inputs (controls, points) to unknowns and mean steps.
    """

    name: str
    points: int
    compile_seconds: float
    solve: Callable[[Array], tuple[Array, float]]


@dataclass(frozen=True)
class Row:
    """What was measured of one method.

    Attributes:
        depth: hidden layers.
        method: its name.
        points: number of points.
        wall: nanoseconds per point, median over the rounds.
        cpu: processor time per point in nanoseconds, least over the rounds.
        compile_seconds: wall time until the first answer.
        steps: mean steps per point.
        residual: largest relative residual among the right answers.
        wrong: share of points without a right answer.
    """

    depth: int
    method: str
    points: int
    wall: float
    cpu: float
    compile_seconds: float
    steps: float
    residual: float
    wrong: float


def workload(depth: int, points: int, seed: int = 0) -> Workload:
    """Return random points of a network of ``depth`` layers: the worst case for lanes.

    Ranges: lam 1e-6..10, n/d 0.1..10, widths 0.2..5, a 0.1..1, b 0.01..1, all log-uniform.
    """
    system = deep_features(["tanh"] * depth).system()
    constants = (s for s, _ in system.constants)
    free = (*system.controls, *(s for s in constants if isinstance(s, Quantity)))
    opened = replace(system, controls=free, constants=())
    ready = program(opened)
    ranges = {"alpha": (0.1, 10), "lam": (1e-6, 10), "gamma": (0.2, 5), "a": (0.1, 1)}
    rng = np.random.default_rng([seed, depth])
    rows = []
    for quantity in ready.inputs:
        low, high = ranges.get(quantity.name.split("_")[0], (0.01, 1))
        rows.append(np.exp(rng.uniform(np.log(low), np.log(high), points)))
    return Workload(depth, opened, ready, np.array(rows))


def ours(work: Workload, method: str, points: int, threads: int) -> Method:
    """Return one of our evaluators, unknowns with residual and status only."""
    began = time.perf_counter()
    evaluate = compile(work.program, outputs=(), errors=False, slopes=False, method=method)
    evaluate.solve(work.inputs[:, :32].copy(), 1)
    ready = time.perf_counter() - began
    count = len(work.program.unknowns)
    out = np.empty((count + 3, points))

    def solve(inputs: Array) -> tuple[Array, float]:
        evaluate.solve(inputs, threads, out)
        return out[:count], float(out[-1].mean())

    return Method(f"{method}, {threads} thread{'s'[: threads > 1]}", points, ready, solve)


def c_lanes(work: Workload, points: int, threads: int, folder: Path) -> Method:
    """Return the C text of the same lanes, compiled by gcc; threads by static partition."""
    began = time.perf_counter()
    lanes = lane_program(work.program, LEAN)
    place = folder / str(work.depth)
    place.mkdir(exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    run = build(c_source(lanes), place)
    ready = time.perf_counter() - began
    count, constants = len(work.program.unknowns), np.empty(0)
    out = np.empty((len(lanes.rows), points))

    def solve(inputs: Array) -> tuple[Array, float]:
        size = inputs.shape[1]
        flat, result = inputs.ravel(), out.reshape(-1)
        run_blocks(
            lambda first, last: run(flat, constants, result, size, first, last),
            size // 32,
            32,
            threads,
        )
        return out[:count], float(out[-1].mean())

    return Method(f"C (gcc), {threads} thread{'s'[: threads > 1]}", points, ready, solve)


def methods(work: Workload, points: int, threads: int, folder: Path) -> list[Method]:
    """Return every method that this machine can run on a workload."""
    found = [ours(work, m, points, 1) for m in METHODS]
    found.append(c_lanes(work, points, 1, folder))
    if threads > 1:
        found.append(ours(work, "llvm", points, threads))
        found.append(c_lanes(work, points, threads, folder))
    rivals = [("scipy.optimize.root, Jacobian, our start", 200, scipy_root)]
    if has_jax():
        rivals.append(("JAX, tower to 1e-10", points, jax_tower))
        rivals.append(("JAX, same algorithm", points, jax_same))
        rivals.append(("JAX, full Newton", points, jax_full_newton))
    rivals.append(("NumPy, damped fixed point", 200, fixed_point))
    for name, most, make in rivals:
        count = min(most, points)
        began = time.perf_counter()
        solve = make(work)
        if name.startswith("JAX"):
            solve(work.inputs[:, :count])
        found.append(Method(name, count, time.perf_counter() - began, solve))
    return found


def measure(work: Workload, found: Sequence[Method], rounds: int) -> list[Row]:
    """Time methods interleaved; the first round warms up; one slower than ``SLOW`` runs twice."""
    times: dict[str, list[tuple[float, float]]] = {m.name: [] for m in found}
    last: dict[str, tuple[Array, float]] = {}
    inputs = {m.name: np.ascontiguousarray(work.inputs[:, : m.points]) for m in found}
    with progress((rounds + 1) * len(found), f"L = {work.depth}") as advance:
        for turn in range(rounds + 1):
            for method in found:
                if turn < 2 or times[method.name][0][0] < SLOW:
                    wall, cpu = time.perf_counter(), time.process_time()
                    last[method.name] = method.solve(inputs[method.name])
                    end = (time.perf_counter() - wall, time.process_time() - cpu)
                    times[method.name].append(end)
                advance(1)
    return [_row(work, m, np.array(times[m.name][1:]), *last[m.name]) for m in found]


def _row(work: Workload, method: Method, times: Array, x: Array, steps: float) -> Row:
    with np.errstate(all="ignore"):
        residual = work.residual(work.inputs[:, : method.points], x)
    right = residual <= FAILED
    wall = np.median(times[:, 0]) / method.points * 1e9
    cpu = np.min(times[:, 1]) / method.points * 1e9
    worst = float(residual[right].max()) if right.any() else np.nan
    return Row(
        depth=work.depth,
        method=method.name,
        points=method.points,
        wall=float(wall),
        cpu=float(cpu),
        compile_seconds=method.compile_seconds,
        steps=steps,
        residual=worst,
        wrong=float(1 - right.mean()),
    )


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table; ratios are processor time over that of the first row."""
    head = "| L | method | points | wall ns | cpu ns | ratio | to first answer s | steps "
    lines = [f"{head}| residual | wrong |", "| ---: | --- " + "| ---: " * 8 + "|"]
    for row in rows:
        base = next(r for r in rows if r.depth == row.depth)
        lines.append(
            f"| {row.depth} | {row.method} | {row.points} | {row.wall:.4g} | {row.cpu:.4g} "
            f"| {row.cpu / base.cpu:.3g} | {row.compile_seconds:.2f} | {row.steps:.3g} "
            f"| {row.residual:.1e} | {row.wrong:.2%} |"
        )
    return "\n".join(lines)


def counts(depths: Sequence[int]) -> str:
    """Return operations and divisions of one lane per phase, for each depth."""
    programs: list[LaneProgram] = [lane_program(workload(d, 1).program, LEAN) for d in depths]
    return "\n".join(f"* L = {d}: {counts_text(p)}" for d, p in zip(depths, programs, strict=True))


def run(depths: Sequence[int], points: int, rounds: int, threads: int) -> str:
    """Run the benchmark and return its Markdown text."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for depth in depths:
            work = workload(depth, points)
            rows += measure(work, methods(work, points, threads, Path(folder)), rounds)
    parts = [
        "# Deep random features, unknowns with residual and status",
        f"{platform.node()}: {points} random points, {rounds} interleaved rounds.",
        table(rows),
        "Operations and divisions of one lane per phase:",
        counts(depths),
        f"LLVM flags: {' '.join(FLAGS)}. gcc: {' '.join(COMPILER_FLAGS)}.",
        f"```\n{report()}\n```",
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--points", type=int, default=32_000, help="a multiple of 32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    print(run(chosen.depths, chosen.points, chosen.rounds, chosen.threads))


if __name__ == "__main__":
    main()
