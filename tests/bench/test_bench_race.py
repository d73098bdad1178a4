"""Eight processes race for one cold kernel, twenty rounds; skipped unless benchmarks are asked for.

Run with ``pytest tests/bench -o addopts="--import-mode=importlib" --benchmark-only``; the table
comes from ``python -m numeric.bench_race``.
"""

import pytest

from numeric.bench_race import race
from numeric.compiled import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_eight_processes_race_on_a_cold_kernel_without_failure(benchmark, method):
    found = benchmark.pedantic(race, args=(method,), rounds=1)
    assert found.failures == ()
    assert (found.processes, found.rounds) == (8, 20)
    benchmark.extra_info["seconds per round"] = found.seconds
