"""Speed of the evaluators on random deep networks; skipped unless benchmarks are asked for.

Run with ``pytest tests/bench -o addopts="--import-mode=importlib" --benchmark-only``; the table
with more rivals comes from ``python -m numeric.bench``.
"""

import time

import numpy as np
import pytest

from numeric.bench_features import workload
from numeric.bench_rivals import fixed_point, scipy_root
from numeric.bench_start import start_time
from numeric.compiled import METHODS, compile
from numeric.enclosures import enclosures

POINTS = 32_000
RIVAL_POINTS = 2_048


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


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("rival", [fixed_point, scipy_root], ids=lambda f: f.__name__)
def test_ratio_to_a_rival_on_the_same_points(benchmark, rival, depth):
    """Time ours with the benchmark and the rival beside it, on the same points in the same run."""
    work = workload(depth, RIVAL_POINTS)
    evaluate = compile(work.program, outputs=(), errors=False, slopes=False)
    other = rival(work)
    ours, theirs = [], []

    def one_round():
        start = time.perf_counter()
        out = evaluate.solve(work.inputs, 1)
        middle = time.perf_counter()
        found, _ = other(work.inputs)
        ours.append(middle - start)
        theirs.append(time.perf_counter() - middle)
        return out, found

    out, found = benchmark.pedantic(one_round, rounds=3, warmup_rounds=1)
    assert np.all(out[-2] == 0)
    seconds = float(np.median(ours))
    benchmark.extra_info["points per second"] = RIVAL_POINTS / seconds
    benchmark.extra_info["ratio"] = float(np.median(theirs)) / seconds
    benchmark.extra_info["residual"] = float(out[depth + 1].max())
    benchmark.extra_info["converged"] = int(np.sum(out[-2] == 0))
    off = np.max(np.abs(found / out[: depth + 1] - 1), axis=0)
    benchmark.extra_info["rival within 1e-6"] = int(np.sum(off < 1e-6))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(
    "asked",
    [{"outputs": (), "errors": False, "slopes": False}, {"slopes": False}, {}],
    ids=["unknowns", "outputs and errors", "slopes as well"],
)
def test_enclosures_of_every_point(benchmark, depth, asked):
    """Time them with the benchmark, and beside them a solve that asks for the same things."""
    work = workload(depth, POINTS)
    controls = dict(zip((q.name for q in work.program.inputs), work.inputs, strict=True))
    evaluate = compile(work.program, **asked)
    solution = evaluate(threads=1, **controls)
    proofs, solves = [], []

    def one_round():
        start = time.process_time()
        box = enclosures(solution, threads=1)
        middle = time.process_time()
        evaluate.solve(work.inputs, 1)
        proofs.append(middle - start)
        solves.append(time.process_time() - middle)
        return box

    box = benchmark.pedantic(one_round, rounds=25, warmup_rounds=2)
    benchmark.extra_info["ratio to the solve"] = min(proofs) / min(solves)
    benchmark.extra_info["proved"] = float(box.proved.mean())
    benchmark.extra_info["widest unknown"] = float(box.width(work.program.unknowns[-1]).max())


@pytest.mark.parametrize("depth", [1, 3])
def test_a_fresh_process(benchmark, depth):
    found = benchmark.pedantic(start_time, args=(depth,), kwargs={"rounds": 1}, rounds=1)
    benchmark.extra_info["cold processor seconds"] = found.cold[0]
    benchmark.extra_info["warm processor seconds"] = found.warm[0]
