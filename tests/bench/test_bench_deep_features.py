"""Speed of the evaluators on random deep networks; skipped unless benchmarks are asked for.

Run with ``pytest tests/bench --benchmark-enable --benchmark-only``; the table with rivals comes
from ``python -m numeric.bench``.
"""

import numpy as np
import pytest

from numeric.bench import workload
from numeric.compiled import METHODS, compile

POINTS = 32_000


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_unknowns_with_residual_and_status(benchmark, method, depth):
    work = workload(depth, POINTS)
    evaluate = compile(work.program, outputs=(), errors=False, slopes=False, method=method)
    out = benchmark(evaluate.solve, work.inputs, 1)
    assert np.all(out[-2] == 0)
    benchmark.extra_info["points"] = POINTS
    benchmark.extra_info["steps"] = float(out[-1].mean())
    benchmark.extra_info["residual"] = float(out[depth + 1].max())


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_everything_with_errors_and_slopes(benchmark, depth):
    work = workload(depth, POINTS)
    evaluate = compile(work.program)
    out = benchmark(evaluate.solve, work.inputs, 1)
    assert np.all(out[-2] == 0)
    benchmark.extra_info["points"] = POINTS
