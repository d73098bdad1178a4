"""Rows of numbers to a ``Solution``: what all targets do after the machine code has run.

Stage: below the evaluators. A target fills one row per name of
``derive.printing.lane_phases.row_names``; here the rows get names and shapes, failed points become
NaN, and limits their infinities.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.balls import enclose
from derive.coupled import AnyProgram
from derive.errors import NotConvergedError
from derive.printing.lane_phases import Asked, row_names
from numeric.controls import LIMIT
from numeric.solution import Solution, Status

_DIVERGES = 1e8
"""Outputs beyond this at the limit of a zero control grow without bound, and are infinite."""
_VANISHES = 1e-20


def assemble(
    program: AnyProgram,
    asked: Asked,
    arrays: Sequence[NDArray[np.float64]],
    out: NDArray[np.float64],
    at_limit: NDArray[np.bool_],
) -> Solution:
    """Return the Solution that holds the rows of a target.

    Args:
        program: what was solved.
        asked: what was asked for.
        arrays: one array of shape S per control; NaN gives a point the status BAD_INPUT.
        out: rows of shape (rows, size of S), the last two status and steps; changed in place.
        at_limit: which points stand for the limit of a zero slope control, shape (size of S,).

    Accuracy: values are passed on as they are.
    """
    shape = arrays[0].shape
    bad = np.zeros(shape, dtype=bool)
    for array in arrays:
        np.logical_or(bad, np.isnan(array), out=bad)
    status = out[-2].astype(np.int8)
    status[bad.reshape(-1)] = Status.BAD_INPUT
    rows = dict(zip(row_names(program, asked), out, strict=True))
    _mark_undefined([rows[o] for o in asked.outputs], status, at_limit)
    steps = np.where(status == Status.BAD_INPUT, 0, out[-1]).astype(np.int32)
    if status.any():
        out[:, status != 0] = np.nan
    _mark_divergent(program, asked, rows, at_limit)
    grid = {name: row.reshape(shape) for name, row in rows.items()}
    error = {n.removeprefix("error "): v for n, v in grid.items() if n.startswith("error ")}
    return Solution(
        name=program.name,
        key="",
        controls=dict(zip((q.name for q in program.inputs), arrays, strict=True)),
        outputs={o: grid[o] for o in asked.outputs},
        error=error,
        unknowns={u: grid[u] for u in program.unknowns},
        slopes={s: grid[s] for s in _slopes(program, asked)},
        residual=grid["residual"],
        status=status.reshape(shape),
        steps=steps.reshape(shape),
        program=program,
    )


def constant_values(program: AnyProgram) -> NDArray[np.float64]:
    """Return the constants of a program as doubles, each nearest to its exact value.

    Raises:
        NotConvergedError: for a constant that is not finite.

    Accuracy: correctly rounded from balls of 20 digits.
    """
    return np.array([_double(e) for _, e in program.constants], dtype=np.float64)


def _double(expr: Any) -> float:
    value = float(enclose(expr, 20))
    if not np.isfinite(value):
        raise NotConvergedError(
            f"constant {expr}", f"its value is {value}", "check the declaration"
        )
    return value


def _slopes(program: AnyProgram, asked: Asked) -> tuple[str, ...]:
    names = asked.outputs if asked.slopes else ()
    return tuple(f"d{o}_d{program.slope_control}" for o in names)


def _mark_undefined(
    outputs: Sequence[NDArray[np.float64]],
    status: NDArray[np.int8],
    at_limit: NDArray[np.bool_],
) -> None:
    """Fail points at which an output is not a number, as a sine of an argument beyond 2^20."""
    for row in outputs:
        if np.isnan(np.min(row, initial=0.0)):
            undefined = np.isnan(row) & ~at_limit & (status == Status.CONVERGED)
            status[undefined] = Status.NONFINITE


def _mark_divergent(
    program: AnyProgram,
    asked: Asked,
    rows: Mapping[str, NDArray[np.float64]],
    at_limit: NDArray[np.bool_],
) -> None:
    if not at_limit.any():
        return
    if asked.errors:
        _add_distance(program, asked, rows, at_limit)
    for name in (*asked.outputs, *_slopes(program, asked)):
        diverges = at_limit & ~(np.abs(rows[name]) < _DIVERGES)
        rows[name][diverges] = np.copysign(np.inf, rows[name][diverges])
        if asked.errors:
            rows[f"error {name}"][diverges] = np.inf
        rows[name][at_limit & (np.abs(rows[name]) < _VANISHES)] = 0.0


def _add_distance(
    program: AnyProgram,
    asked: Asked,
    rows: Mapping[str, NDArray[np.float64]],
    at_limit: NDArray[np.bool_],
) -> None:
    """Add to the errors how far a value at ``LIMIT`` may be from the limit itself.

    Towers of n unknowns approach it like a power not below 2^-n, so that the distance is at most
    2^n times the slope times ``LIMIT``. Where no slope was asked for, a value that may vanish
    in the limit has itself as error.
    """
    most = 2.0 ** len(program.unknowns)
    slopes = dict(zip(asked.outputs, _slopes(program, asked), strict=False))
    for name in asked.outputs:
        value, error = rows[name], rows[f"error {name}"]
        if name in slopes:
            distance = most * LIMIT * np.abs(rows[slopes[name]])
        else:
            small = np.abs(value) < LIMIT ** (1 / (len(program.unknowns) + 1))
            distance = np.where(small, np.abs(value), 0.0)
        error[at_limit] += distance[at_limit]
