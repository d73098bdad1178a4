"""Timings on a graphics processor: nanoseconds per point, beside the processor of the same machine.

Stage: run as ``python -m numeric.bench_cuda`` on a machine with an NVIDIA GPU; prints a Markdown
table with the name of the device. Three things are timed, after a first call that compiles: the
kernel alone (numbers stay on the device), the whole solve with the rows copied back, and ``best``,
which returns one point per row of the grid. Agreement with the CPU on a part of the grid stands
beside the times: a fast wrong number is worth nothing.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.errors import DeriveError
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric.controls import broadcast_controls
from numeric.cuda import CudaEvaluator, launch_shape, require_device
from numeric.doctor import report
from numeric.precision import PRECISIONS

WIDTHS = (2.0, 1.2, 0.7)
RIDGES = 64
_SAMPLE = 16


@dataclass(frozen=True)
class Timing:
    """What was measured of one kernel.

    Attributes:
        depth: hidden layers.
        precision: of the device.
        points: number of points.
        compile_seconds: until the first answer.
        kernel, whole, best, processor: nanoseconds per point, medians: the kernel alone, with the
            rows copied back, the minimum over the ridge, and the CPU on all its threads.
        failed: share of points that did not converge.
        difference: largest relative difference of the test error from the CPU, on a part.
    """

    depth: int
    precision: str
    points: int
    compile_seconds: float
    kernel: float
    whole: float
    best: float
    processor: float
    failed: float
    difference: float

    def row(self) -> str:
        """Return the row of the table."""
        times = [self.compile_seconds, self.kernel, self.whole, self.best, self.processor]
        cells = [str(self.depth), self.precision, f"{self.points:.1e}"]
        cells += [f"{t:.3g}" for t in times]
        cells += [f"{self.failed:.1e}", f"{self.difference:.1e}"]
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| L | precision | points | compile (s) | kernel (ns) | with copy (ns) | best (ns) | CPU (ns) "
    "| not converged | difference |\n" + "|---" * 10 + "|"
)


def measure(depth: int, precision: str, points: int, rounds: int) -> Timing:
    """Time one depth in one precision.

    Args:
        depth: hidden layers, 1 to 3.
        precision: "float64" or "float32".
        points: about how many points the grid has.
        rounds: of which medians are taken.

    Raises:
        UnavailableError: without numba-cuda or a device.

    Accuracy: wall times; the clock of the host around work that has ended.
    """
    ready = program(deep_features(["tanh"] * depth))
    device = compile(ready, target="cuda", precision=precision, slopes=False)
    processor = compile(ready, slopes=False)
    axes = grid(depth, points)
    small = grid(depth, _SAMPLE * RIDGES)
    begin = time.perf_counter()
    found = device(**small)
    compile_seconds = time.perf_counter() - begin
    true = processor(**small)
    size = axes["alpha"].size * RIDGES
    once = _kernel_call(device, axes)
    return Timing(
        depth=depth,
        precision=precision,
        points=size,
        compile_seconds=compile_seconds,
        kernel=_median(once, rounds) / size,
        whole=_median(lambda: device(**axes), rounds) / size,
        best=_median(lambda: device.best("E_test", "lam", **axes), rounds) / size,
        processor=_median(lambda: processor(**axes), max(1, rounds // 3)) / size,
        failed=float(np.mean(found.status != 0)),
        difference=float(np.nanmax(np.abs(found.E_test / true.E_test - 1))),
    )


def grid(depth: int, points: int) -> dict[str, Any]:
    """Return a product grid of sample ratios and ridges with about so many points."""
    return {
        "alpha": np.geomspace(0.1, 10, max(1, points // RIDGES))[:, None],
        "gamma": WIDTHS[:depth],
        "lam": np.geomspace(1e-4, 10, RIDGES)[None, :],
        "noise": 0.1,
    }


def _kernel_call(evaluator: CudaEvaluator, axes: dict[str, Any]) -> Callable[[], None]:
    """Return a call of the kernel alone, ended when the device has ended; at most one piece."""
    cuda = importlib.import_module("numba.cuda")
    arrays = broadcast_controls(evaluator.program, axes)
    layout, _ = evaluator.layout(arrays)
    inputs = evaluator.to_device(layout)
    size = layout.size
    buffer = cuda.device_array(evaluator.rows * size, dtype=evaluator.precision.name)

    def call() -> None:
        evaluator.kernels.run[launch_shape(size)](*inputs, buffer, 0, size)
        cuda.synchronize()

    return call


def _median(call: Callable[[], object], rounds: int) -> float:
    """Return the median nanoseconds of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begin)
    return float(np.median(times))


def table(points: int, rounds: int) -> str:
    """Return the table, with the device and the versions that it depends on."""
    device = require_device()
    rows = [
        measure(depth, precision, points, rounds).row()
        for depth in range(1, len(WIDTHS) + 1)
        for precision in PRECISIONS
    ]
    return "\n".join([f"device: {device}", report(), "", HEAD, *rows])


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 2 with one line where there is no device."""
    parser = argparse.ArgumentParser(prog="python -m numeric.bench_cuda", description=__doc__)
    parser.add_argument("--points", type=int, default=10**6, help="points of the grid")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, of which medians are taken")
    given = parser.parse_args(arguments)
    try:
        print(table(given.points, given.rounds))
    except DeriveError as error:
        print(f"bench_cuda: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
