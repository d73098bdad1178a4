"""What it costs that a point's numbers do not depend on its neighbours.

Stage: below ``bench_start``, which prints the table. Lanes that have converged are frozen until the
others of their block have, too. The opponents are variants made here alone, in which all lanes of a
block move on until the last one stops. They need no selection, land where they are, and do not even
count steps; one stops as we do, the other when its steps are small, which needs fewer of them where
points that move on polish themselves.

The variants run in random order on the same memory, one block of points at a time small enough for
the cache, and the least processor time counts. Machine code is sensitive to where its data lie, so
this is repeated at several places; the median over the places is shown, and how far they differ.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Abs, Expr, Integer, Piecewise, Symbol

from derive.errors import InternalError
from derive.printing.lane_phases import NEAR, LaneProgram, Phase, Quick, choose
from derive.printing.lane_program import lane_program
from numeric.bench_features import LEAN, workload
from numeric.vector_code import compile_vectors, has_estimates, lanes_that_fit
from numeric.vector_ir import vector_source

Array = NDArray[np.float64]
_LINE = 8
"""Doubles per line of the cache."""


@dataclass(frozen=True)
class Freezing:
    """What freezing converged lanes costs, and what it buys.

    Attributes:
        cost: processor time over that of the variant that stops as we do, less one; median over the
            places.
        cost_by_step: the same against the variant that looks at its steps.
        spread: largest less smallest cost over the places.
        nanoseconds: our processor time per point, the least.
        same: share of values that stay bitwise equal when the points are permuted.
        variant: the same share of the variant that stops as we do.
    """

    cost: float
    cost_by_step: float
    spread: float
    nanoseconds: float
    same: float
    variant: float


def unfrozen(lanes: LaneProgram, by_step: bool = False) -> LaneProgram:
    """Return lanes in which a point moves on while others of its block have not converged.

    Args:
        lanes: ours.
        by_step: stop when all steps are small, instead of what we look at.

    Raises:
        InternalError: if a step no longer looks as it did when this was written.
    """
    quick = lanes.quick
    x0, move = lanes.unknowns[0], _move(quick)
    descend = replace(quick.descend, block=_moving(quick.descend, x0, move, by_step))
    land = quick.land.block
    landed = [s for s, e in land.lines if e == x0 - move]
    if len(landed) != 1:
        raise InternalError(f"{len(landed)} lines of the landing take the last step")
    plain: dict[Expr, Expr] = {landed[0]: x0, quick.count: Integer(1)}
    lines = tuple((s, e.xreplace(plain)) for s, e in land.lines if s != landed[0])
    results = tuple(e.xreplace(plain) for e in land.results)
    there = replace(quick.land, block=replace(land, lines=lines, results=results))
    return replace(lanes, quick=replace(quick, descend=descend, land=there))


def _move(quick: Quick) -> Symbol:
    """Return the lane of the step."""
    kept = quick.descend.block.results[0]
    if not isinstance(kept, Piecewise):
        raise InternalError(f"the first result of a step is {kept}, not a selection")
    taken: Any = kept.args[0].args[0]
    stored = dict(zip(quick.descend.block.results, quick.descend.stores, strict=True))
    (move,) = (s for e, s in stored.items() if e.is_Symbol and e in taken.free_symbols)
    return move


def _moving(phase: Phase, x0: Symbol, move: Symbol, by_step: bool) -> Any:
    """Return the block of a step that every lane takes."""
    block = phase.block
    kept: Any = block.results[0]
    results = (kept.args[0].args[0], *block.results[1:])
    lines = block.lines
    if by_step:
        step = block.results[phase.stores.index(move)]
        test = choose(Abs(step) > NEAR * x0, Integer(1), Integer(0))
        go = block.results[-1]
        lines = tuple((s, test if s == go else e) for s, e in lines)
    return replace(block, lines=lines, results=results)


def freezing(depth: int, points: int = 8192, rounds: int = 100, places: int = 5) -> Freezing:
    """Measure ours and the variants on random points, one thread."""
    work = workload(depth, points)
    ours, width = lane_program(work.program, LEAN), lanes_that_fit()
    variants = (ours, unfrozen(ours), unfrozen(ours, by_step=True))
    runs = [compile_vectors(vector_source(v, width, has_estimates())) for v in variants]
    rng = np.random.default_rng(0)
    rows = (len(work.inputs), len(ours.rows))
    costs: list[list[float]] = []
    least = []
    for _ in range(places):
        given, out = (_placed((k, points), rng) for k in rows)
        given[:] = work.inputs
        solvers = [_solver(r, given, out, width) for r in runs]
        times = _least_times(solvers, rounds, rng)
        costs.append([times[0] / t - 1 for t in times[1:]])
        least.append(times[0])
    order = rng.permutation(points)
    same = [_same(s, given, out[: depth + 1], work.inputs, order) for s in solvers[:2]]
    cost, by_step = (float(c) for c in np.median(costs, axis=0))
    spread = float(np.max(np.ptp(costs, axis=0)))
    return Freezing(cost, by_step, spread, min(least) / points * 1e9, *same)


def _placed(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return an empty array that starts at a random line of the cache within a page."""
    size, page = shape[0] * shape[1], 64 * _LINE
    memory = np.empty(size + 2 * page)
    first = -(memory.ctypes.data // 8) % page + _LINE * int(rng.integers(64))
    return memory[first : first + size].reshape(shape)


def _solver(run: Callable[..., None], given: Array, out: Array, width: int) -> Callable[[], None]:
    flat, result, none = given.reshape(-1), out.reshape(-1), np.empty(0)
    size = given.shape[1]
    return lambda: run(flat, none, result, size, 0, size // width)


def _least_times(
    solvers: Sequence[Callable[[], None]], rounds: int, rng: np.random.Generator
) -> list[float]:
    """Return the least processor seconds of each, in random order within each round."""
    times = [np.inf] * len(solvers)
    for _ in range(rounds):
        for k in rng.permutation(len(solvers)):
            began = time.process_time_ns()
            solvers[k]()
            times[k] = min(times[k], (time.process_time_ns() - began) / 1e9)
    return times


def _same(
    solve: Callable[[], None], given: Array, found: Array, inputs: Array, order: NDArray[np.int64]
) -> float:
    """Return the share of values that stay equal when points are permuted."""
    given[:] = inputs
    solve()
    once = found.copy()
    given[:] = inputs[:, order]
    solve()
    return float(np.mean(found == once[:, order]))
