"""Two costs beside the speed of a solve: a fresh process, and numbers that do not depend on order.

Stage: run as ``python -m numeric.bench_start``; prints Markdown. A fresh process imports, derives
the equations of deep random features, compiles and solves; cold means with an empty cache, but with
the bytecode of all modules, as after an installation. The time of the processor is shown beside
wall time, because a busy machine slows only the latter much. The second table is that of
``bench_freezing``.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from numeric.bench_freezing import freezing

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
    with tempfile.TemporaryDirectory() as bytecode:
        for k in range(rounds + 1):
            with tempfile.TemporaryDirectory() as folder:
                first, second = (_seconds(script, folder, bytecode) for _ in range(2))
            if k:  # the first round writes bytecode
                cold.append(first)
                warm.append(second)
    return Start(depth, method, lean, _least(cold), _least(warm))


def _seconds(script: str, cache: str, bytecode: str) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"STIELTJES_CACHE": cache, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def _least(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    processor, wall = (min(values) for values in zip(*pairs, strict=True))
    return processor, wall


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
    lines += ["", "| L | cpu ns | cost of freezing | against stopping by step | spread "]
    lines[-1] += "| bitwise equal | without freezing |"
    lines.append("| ---: " * 7 + "|")
    for depth in depths:
        f = freezing(depth)
        costs = f"{f.nanoseconds:.2f} | {f.cost:+.1%} | {f.cost_by_step:+.1%} | {f.spread:.1%}"
        lines.append(f"| {depth} | {costs} | {f.same:.1%} | {f.variant:.1%} |")
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
