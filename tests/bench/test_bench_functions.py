"""Systems with elementary functions: many points side by side, and one at a time, in turns."""

from time import process_time

import numpy as np
import pytest

from numeric.compiled import compile
from numeric.controls import broadcast_controls, padded_inputs
from tests.function_systems import SYSTEMS, points

COUNT = 20_000


@pytest.mark.parametrize("name", SYSTEMS)
def test_lanes_beside_one_point_at_a_time(benchmark, name):
    """The extra information holds the ratio of the least times of one thread, in CPU time."""
    controls = points(name, np.random.default_rng(7), COUNT)
    runs = []
    for method in ("llvm", "scalar"):
        evaluate = compile(SYSTEMS[name](), errors=False, slopes=False, method=method)
        arrays = broadcast_controls(evaluate.program, controls)
        inputs, _ = padded_inputs(evaluate.program, arrays, evaluate.kernel.width)
        runs.append((evaluate, inputs))
    times: list[list[float]] = [[], []]

    def both():
        for (evaluate, inputs), taken in zip(runs, times, strict=True):
            start = process_time()
            evaluate.solve(inputs, threads=1)
            taken.append(process_time() - start)

    benchmark.pedantic(both, rounds=15)
    lanes, scalar = (min(taken) for taken in times)
    benchmark.extra_info |= {
        "scalar_over_lanes": scalar / lanes,
        "nanoseconds": 1e9 * lanes / COUNT,
    }
