"""Workload A of the benchmark: unknowns of deep random features, with residual and status.

Stage: below ``bench``. Ours in all printings, the C text of the same lanes, and what people use
instead (``bench_rivals``), on random points.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.printing.lane_phases import Asked, LaneProgram
from derive.printing.lane_program import lane_program
from derive.program import program
from derive.symbols import Quantity
from derive.theory.deep_features import deep_features
from numeric.bench_rivals import (
    Solve,
    Workload,
    fixed_point,
    has_jax,
    jax_full_newton,
    jax_same,
    jax_tower,
    scipy_root,
)
from numeric.bench_table import Judged, Method, Section, judged, measure
from numeric.c_oracle import COMPILER_FLAGS, build, c_source
from numeric.compiled import METHODS, compile
from numeric.lanes import FLAGS, counts_text
from numeric.threads import run_blocks

Array = NDArray[np.float64]
LEAN = Asked((), errors=False, slopes=False)
RIVAL_POINTS = 200


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


def method(work: Workload, name: str, points: int, seconds: float, solve: Solve) -> Method:
    """Return a way to solve the first points of a workload, judged by its equations."""
    inputs = np.ascontiguousarray(work.inputs[:, :points])

    def judge(answer: tuple[Array, float]) -> Judged:
        x, steps = answer
        with np.errstate(all="ignore"):
            return judged(work.residual(inputs, x), f"steps {steps:.3g}")

    return Method(name, points, seconds, lambda: solve(inputs), judge)


def ours(work: Workload, printing: str, points: int, threads: int) -> Method:
    """Return one of our evaluators, unknowns with residual and status only."""
    began = time.perf_counter()
    evaluate = compile(work.program, outputs=(), errors=False, slopes=False, method=printing)
    evaluate.solve(work.inputs[:, :32].copy(), 1)
    ready = time.perf_counter() - began
    count = len(work.program.unknowns)
    out = np.empty((count + 3, points))

    def solve(inputs: Array) -> tuple[Array, float]:
        evaluate.solve(inputs, threads, out)
        return out[:count], float(out[-1].mean())

    return method(work, f"{printing}, {_threads(threads)}", points, ready, solve)


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

    return method(work, f"C (gcc), {_threads(threads)}", points, ready, solve)


def _threads(count: int) -> str:
    return f"{count} thread{'s'[: count > 1]}"


def methods(work: Workload, points: int, threads: int, folder: Path) -> list[Method]:
    """Return every method that this machine can run on a workload."""
    found = [ours(work, m, points, 1) for m in METHODS]
    found.append(c_lanes(work, points, 1, folder))
    if threads > 1:
        found.append(ours(work, "llvm", points, threads))
        found.append(c_lanes(work, points, threads, folder))
    rivals: list[tuple[str, int, Callable[[Workload], Any]]] = [
        ("scipy.optimize.root, Jacobian, our start", RIVAL_POINTS, scipy_root)
    ]
    if has_jax():
        rivals.append(("JAX, tower to 1e-10", points, jax_tower))
        rivals.append(("JAX, same algorithm", points, jax_same))
        rivals.append(("JAX, full Newton", points, jax_full_newton))
    rivals.append(("NumPy, damped fixed point", RIVAL_POINTS, fixed_point))
    for name, most, make in rivals:
        count = min(most, points)
        began = time.perf_counter()
        solve = make(work)
        if name.startswith("JAX"):
            solve(work.inputs[:, :count])
        found.append(method(work, name, count, time.perf_counter() - began, solve))
    return found


def counts(depths: Sequence[int]) -> str:
    """Return operations and divisions of one lane per phase, for each depth."""
    programs: list[LaneProgram] = [lane_program(workload(d, 1).program, LEAN) for d in depths]
    return "\n".join(f"* L = {d}: {counts_text(p)}" for d, p in zip(depths, programs, strict=True))


def section(depths: Sequence[int], points: int, rounds: int, threads: int) -> Section:
    """Run workload A."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for depth in depths:
            work = workload(depth, points)
            found = methods(work, points, threads, Path(folder))
            rows += measure(f"L = {depth}", found, rounds)
    return Section(
        "A. Deep random features: unknowns with residual and status",
        "Random points: lam 1e-6..10, n/d 0.1..10, widths 0.2..5. Worst: largest residual, relative"
        " to the terms of its equation.",
        tuple(rows),
        (
            "Operations and divisions of one lane per phase:",
            counts(depths),
            f"LLVM flags: {' '.join(FLAGS)}. gcc: {' '.join(COMPILER_FLAGS)}.",
        ),
    )
