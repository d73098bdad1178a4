"""Two costs beside the speed of a solve: a fresh process, and numbers that do not depend on order.

Stage: run as ``python -m numeric.bench_start``; prints Markdown. A fresh process imports, derives
the equations of deep random features, compiles and solves; cold means with an empty cache. The time
of the processor is shown beside wall time, because a busy machine slows only the latter much. The
second table compares the lanes with a variant made here alone, in which converged lanes move on.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Piecewise

from derive.errors import InternalError
from derive.printing.lane_phases import LaneProgram
from derive.printing.lane_program import lane_program
from numeric.bench import LEAN, workload
from numeric.vector_code import compile_vectors, has_estimates, lanes_that_fit
from numeric.vector_ir import vector_source

POINTS = 10_240
_SCRIPT = """
import numpy as np
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
evaluate = compile(deep_features(["tanh"] * {depth}).system(), method={method!r}{lean})
alpha = np.linspace(0.5, 2, {points})
solution = evaluate(alpha=alpha, gamma=(1.5,) * {depth}, lam=1e-2, noise=0.1)
assert solution.converged
"""


@dataclass(frozen=True)
class Start:
    """Seconds from a fresh process to ``POINTS`` answers, the least over the rounds.

    Attributes:
        depth: hidden layers.
        method: of ``numeric.compiled.METHODS``.
        lean: unknowns only, or all outputs with errors and slopes.
        cold, warm: pairs (processor time, wall time) with an empty and a filled cache.
    """

    depth: int
    method: str
    lean: bool
    cold: tuple[float, float]
    warm: tuple[float, float]


def start_time(depth: int, method: str = "llvm", lean: bool = True, rounds: int = 3) -> Start:
    """Measure a fresh process."""
    few = ", outputs=(), errors=False, slopes=False" if lean else ""
    script = _SCRIPT.format(depth=depth, method=method, lean=few, points=POINTS)
    cold, warm = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(_seconds(script, folder))
            warm.append(_seconds(script, folder))
    return Start(depth, method, lean, _least(cold), _least(warm))


def _seconds(script: str, cache: str) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"STIELTJES_CACHE": cache}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def _least(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    processor, wall = (min(values) for values in zip(*pairs, strict=True))
    return processor, wall


def unfrozen(lanes: LaneProgram) -> LaneProgram:
    """Return lanes in which a point moves on while others of its block have not converged."""
    descend = lanes.quick.descend
    kept, *rest = descend.block.results
    if not isinstance(kept, Piecewise):
        raise InternalError(f"the first result of a step is {kept}, not a selection")
    moved: Any = kept.args[0].args[0]
    block = replace(descend.block, results=(moved, *rest))
    quick = replace(lanes.quick, descend=replace(descend, block=block))
    return replace(lanes, quick=quick)


@dataclass(frozen=True)
class Freezing:
    """What freezing converged lanes costs, and what it buys.

    Attributes:
        cost: processor time over that of the variant, less one.
        same: share of values that stay bitwise equal when the points are permuted.
        variant: the same share of the variant.
    """

    cost: float
    same: float
    variant: float


def freezing(depth: int, points: int = 16_384, rounds: int = 60) -> Freezing:
    """Measure both variants interleaved on random points, one thread."""
    work = workload(depth, points)
    lanes, width = lane_program(work.program, LEAN), lanes_that_fit()
    runs = [
        compile_vectors(vector_source(p, width, has_estimates())) for p in (lanes, unfrozen(lanes))
    ]
    order = np.random.default_rng(0).permutation(points)
    straight, mixed = work.inputs.reshape(-1), work.inputs[:, order].reshape(-1)
    out = np.empty((len(lanes.rows), points))
    times: list[list[float]] = [[], []]

    def solve(which: int, given: NDArray[np.float64]) -> NDArray[np.float64]:
        runs[which](given, np.empty(0), out.reshape(-1), points, 0, points // width)
        return out[: depth + 1]

    for _ in range(rounds):
        for which, seconds in enumerate(times):
            began = time.process_time()
            solve(which, straight)
            seconds.append(time.process_time() - began)
    shares = []
    for which in (0, 1):
        once = solve(which, straight).copy()
        shares.append(float(np.mean(solve(which, mixed) == once[:, order])))
    return Freezing(min(times[0]) / min(times[1]) - 1, *shares)


def run(depths: Sequence[int], rounds: int) -> str:
    """Return both tables as Markdown."""
    lines = ["| L | method | asked | cold cpu s | cold wall s | warm cpu s | warm wall s |"]
    lines.append("| ---: | --- | --- " + "| ---: " * 4 + "|")
    for depth in depths:
        for method, lean in (("llvm", True), ("llvm", False), ("lanes", True)):
            s = start_time(depth, method, lean, rounds)
            asked = "unknowns" if lean else "everything"
            times = " | ".join(f"{v:.2f}" for v in (*s.cold, *s.warm))
            lines.append(f"| {depth} | {method} | {asked} | {times} |")
    lines += ["", "| L | cost of freezing | bitwise equal | without freezing |"]
    lines.append("| ---: " * 4 + "|")
    for depth in depths:
        f = freezing(depth)
        lines.append(f"| {depth} | {f.cost:.1%} | {f.same:.1%} | {f.variant:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print(run(chosen.depths, chosen.rounds))


if __name__ == "__main__":
    main()
