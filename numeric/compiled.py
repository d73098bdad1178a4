"""Programs to machine code: compile, broadcast, solve.

Stage: a System or Program in, an ``Evaluator`` out; calling it returns a ``Solution``. The
generated file holds the blocks of the program and the driver of ``numeric.newton``; it is cached by
content.
"""

import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.balls import enclose
from derive.codegen import ScalarPrinter, module_source
from derive.errors import NotConvergedError, RangeError, ShapeError, UnknownNameError
from derive.program import Program
from derive.program import program as freeze
from derive.symbols import Quantity
from derive.system import System
from numeric.cache import load
from numeric.newton import driver_source, row_names
from numeric.solution import Solution, Status

LIMIT = 1e-20
"""A slope control that is exactly zero is taken here: the limit from above."""
_DIVERGES = 1e8
"""Outputs beyond this at ``LIMIT`` scale as a negative power of the control, and are infinite."""

_LOCK = threading.Lock()  # Numba's workqueue threading layer must not be entered twice

_HEADER = '''"""Generated from the program {name}; do not edit.

Operations: {counts}.
"""

import math

from numba import njit, prange

FLAGS = {{"contract", "nsz", "arcp"}}
SCALAR = dict(cache=True, error_model="numpy", fastmath=FLAGS)
PARALLEL = dict(cache=True, error_model="numpy", fastmath=FLAGS, parallel=True)
UNIT = {unit!r}
'''


@dataclass(frozen=True)
class Evaluator:
    """A compiled program; call it with controls by name.

    Attributes:
        program: what was compiled.
        source: the generated source text.
        constants: the constants of the program as doubles, each nearest to its exact value.
    """

    program: Program
    source: str
    module: ModuleType
    constants: NDArray[np.float64]

    def __call__(self, **controls: Any) -> Solution:
        """Solve on the broadcast grid of the controls.

        Args:
            **controls: numbers or arrays, one per control; grouped controls (``gamma``) as a tuple
                of numbers or arrays. All are broadcast against each other to one shape S.

        Returns:
            A Solution of shape S. NaN in an array gives that point the status BAD_INPUT.

        Raises:
            UnknownNameError: missing or unknown controls.
            ShapeError: a group of the wrong length, or shapes that do not broadcast.
            RangeError: a value out of its range, with its index.

        Accuracy: per point, see ``Solution.error``.
        """
        arrays = broadcast_controls(self.program, controls)
        shape = arrays[0].shape
        inputs = np.array([np.ravel(a) for a in arrays], dtype=np.float64)
        inputs, at_limit = _to_limit(self.program, inputs)
        count = inputs.shape[1]
        names = row_names(self.program)
        out = np.full((len(names), count), np.nan)
        status = np.where(np.isnan(inputs).any(axis=0), Status.BAD_INPUT, 0).astype(np.int8)
        steps = np.zeros(count, dtype=np.int32)
        with _LOCK:
            self.module.grid(inputs, self.constants, out, status, steps)
        out[:, status != 0] = np.nan
        rows = dict(zip(names, out, strict=True))
        _mark_divergent(self.program, rows, at_limit)
        return _solution(self.program, arrays, rows, status, steps, shape)

    def __repr__(self) -> str:
        return f"Evaluator({self.program!r})"


def compile(model: System | Program) -> Evaluator:
    """Compile a System or a Program for the CPU.

    The machine code is cached on disk under the content of the generated source.

    Raises:
        NotSupportedError: for systems that are not triangular.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> evaluate = compile(deep_features(["erf"]).system())
        >>> solution = evaluate(alpha=2, gamma=(1.5,), lam=0.1, noise=0.25)
        >>> solution.converged, round(float(solution.E_test), 6)
        (True, 0.540393)
    """
    ready = freeze(model) if isinstance(model, System) else model
    source = scalar_source(ready)
    constants = np.array([_double(e) for _, e in ready.constants], dtype=np.float64)
    return Evaluator(ready, source, load(source), constants)


def scalar_source(program: Program) -> str:
    """Return the generated file: blocks and driver, the same for all values of the constants."""
    blocks = program.blocks()
    counts = ", ".join(f"{name} {block.operations}" for name, block in blocks.items())
    parts = [
        _HEADER.format(name=program.name, counts=counts, unit=2.0**-53),
    ]
    for text in module_source(program, ScalarPrinter).values():
        parts.append(f"\n\n@njit(**SCALAR)\n{text}")
    return "\n".join(parts) + "\n\n" + driver_source(program)


def _double(expr: Any) -> float:
    """Return the double nearest to an exact constant, from a ball of 20 digits."""
    value = float(enclose(expr, 20))
    if not np.isfinite(value):
        raise NotConvergedError(
            f"constant {expr}", f"its value is {value}", "check the declaration"
        )
    return value


def broadcast_controls(program: Program, controls: dict[str, Any]) -> list[NDArray[np.float64]]:
    """Check controls against a program and broadcast them; one array per input, in order."""
    flat = ungroup(program, controls)
    arrays = []
    for quantity in program.inputs:
        array = _as_floats(quantity.name, flat[quantity.name])
        _check_range(quantity, array)
        arrays.append(array)
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError as error:
        shapes = ", ".join(
            f"{q.name} {a.shape}" for q, a in zip(program.inputs, arrays, strict=True) if a.shape
        )
        raise ShapeError(
            "controls", f"shapes do not broadcast: {shapes}", "add axes, as in alpha[:, None]"
        ) from error


def ungroup(program: Program, controls: dict[str, Any]) -> dict[str, Any]:
    """Return controls by their single names, groups split.

    Raises:
        UnknownNameError: missing or unknown names.
        ShapeError: a group of the wrong length.
    """
    grouped = {n for names in program.groups.values() for n in names}
    expected = [q.name for q in program.inputs if q.name not in grouped] + list(program.groups)
    flat: dict[str, Any] = {}
    singles = {q.name for q in program.inputs}
    for name, value in controls.items():
        if name in program.groups:
            names = program.groups[name]
            items = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
            if len(items) != len(names):
                raise ShapeError(
                    f"{name} = {value!r}",
                    f"{len(items)} values for {len(names)} ({', '.join(names)})",
                    f"give {len(names)} values",
                )
            flat |= dict(zip(names, items, strict=True))
        elif name in singles:
            flat[name] = value
        else:
            raise UnknownNameError(
                f"control {name!r}",
                f"this program takes {', '.join(sorted(expected))}",
                "use one of them",
            )
    missing = sorted(singles - set(flat))
    if missing:
        raise UnknownNameError(
            f"controls of {program.name}",
            f"{', '.join(missing)} missing",
            f"this program takes {', '.join(sorted(expected))}",
        )
    return flat


def _as_floats(name: str, value: Any) -> NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RangeError(f"{name} = {value!r}", "not a number or array", "give numbers") from error
    if array.ndim == 0 and np.isnan(array):
        raise RangeError(f"{name} = nan", "not a number", "give a number")
    return array


def _check_range(quantity: Quantity, array: NDArray[np.float64]) -> None:
    low_ok = array > quantity.low if quantity.open_low else array >= quantity.low
    bad = ~(low_ok & (array <= quantity.high) & np.isfinite(array)) & ~np.isnan(array)
    if not bad.any():
        return
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f"[{', '.join(map(str, index))}]" if index else ""
    raise RangeError(
        f"{quantity.name}{where} = {array[index]:g}",
        "out of range",
        f"give {quantity.range_text()}",
    )


def _to_limit(
    program: Program, inputs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Replace exact zeros of the slope control by ``LIMIT``; return which points were moved."""
    row = [q.name for q in program.inputs].index(program.slope_control)
    at_limit = inputs[row] == 0
    inputs[row, at_limit] = LIMIT
    return inputs, at_limit


def _mark_divergent(
    program: Program, rows: dict[str, NDArray[np.float64]], at_limit: NDArray[np.bool_]
) -> None:
    for name in (*program.outputs, *(f"d{o}_d{program.slope_control}" for o in program.outputs)):
        diverges = at_limit & ~(np.abs(rows[name]) < _DIVERGES)
        rows[name][diverges] = np.copysign(np.inf, rows[name][diverges])
        rows[f"error {name}"][diverges] = np.inf
        rows[name][at_limit & (np.abs(rows[name]) < LIMIT)] = 0.0


def _solution(
    program: Program,
    arrays: list[NDArray[np.float64]],
    rows: dict[str, NDArray[np.float64]],
    status: NDArray[np.int8],
    steps: NDArray[np.int32],
    shape: tuple[int, ...],
) -> Solution:
    grid = {name: row.reshape(shape) for name, row in rows.items()}
    slopes = [f"d{o}_d{program.slope_control}" for o in program.outputs]
    error = {n: grid[f"error {n}"] for n in (*program.outputs, *program.unknowns, *slopes)}
    for name in slopes:
        error[name] = _slope_error(program, grid, name)
    return Solution(
        name=program.name,
        key=program.key,
        controls=dict(zip((q.name for q in program.inputs), arrays, strict=True)),
        outputs={o: grid[o] for o in program.outputs},
        error=error,
        unknowns={u: grid[u] for u in program.unknowns},
        slopes={s: grid[s] for s in slopes},
        residual=grid["residual"],
        status=status.reshape(shape),
        steps=steps.reshape(shape),
    )


def _slope_error(
    program: Program, grid: dict[str, NDArray[np.float64]], name: str
) -> NDArray[np.float64]:
    """Scale the spread of the contributions by the conditioning of the unknowns (an estimate)."""
    relative = np.full(grid[name].shape, 64 * 2.0**-53)
    with np.errstate(all="ignore"):
        for u in program.unknowns:
            relative = np.maximum(relative, 16 * grid[f"error {u}"] / grid[u])
        return np.asarray(grid[f"error {name}"] * relative)
