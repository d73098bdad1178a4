"""The scalar driver as CUDA source: one thread, one point; grids and minima made on the device.

Stage: a Program in, the text of one module out; nothing is compiled here. The blocks and ``solve``
are the text that the CPU compiles, printed in the chosen precision, as device functions. Three
kernels use them (``cuda_paths`` puts the solver of coupled programs behind the same ones):

======  ============================================================================================
kernel  what it does
======  ============================================================================================
run     solves points first, ..., first + size - 1 of a grid
best    for each row of the grid, the place along its last axis where one output is least
pick    solves one point of each row: the places that ``best`` found
======  ============================================================================================

A grid is given by its axes, not by its points. All axes of all controls lie one after another in
``inputs``; ``shape`` holds the lengths of the axes of the grid; ``strides`` the place of the first
value of each control, then for each axis of the grid how far a step moves in each control (0 where
a control does not vary).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from derive.block import Block
from derive.codegen import function, module_source, rename
from derive.coupled import AnyProgram
from derive.printing.lane_phases import Asked
from derive.program import Program
from numeric.newton import (
    arguments,
    constant_loads,
    control_names,
    evaluate_source,
    positive_text,
    solve_source,
    tuple_text,
    unknown_names,
)
from numeric.precision import FLOAT64, Precision

TEAM = 64
"""Most threads that share one row of ``best``; a power of two."""

HEADER = '''"""Generated from the program {name} for CUDA, {precision}; do not edit.

Operations: {counts}.
"""

import math

import numpy as np
from numba import cuda, int64
from numba import {precision} as real

f4 = np.float32
UNIT = {unit}
'''

DEVICE = "@cuda.jit(device=True)"

_KERNELS = """

@cuda.jit(device=True)
def controls(inputs, shape, strides, i):
    {begins}
    for axis in range(shape.size - 1, -1, -1):
        rest = i // shape[axis]
        step = i - rest * shape[axis]
        i = rest
        row = (axis + 1) * {count}
        {moves}
    return {values}


@cuda.jit(device=True)
def evaluate(inputs, shape, strides, constants, out, size, i, o):
    {loads}
    {body}


@cuda.jit(device=True)
def objective(inputs, shape, strides, constants, which, i):
    {loads}
    code, count, {unknowns} = solve({arguments})
    if code != 0 or not ({positive}):
        return {infinity}
    {results} = values({arguments}, {unknowns})
    if not (v_0 <= {residual}):
        return {infinity}
    {choice}
    return v_{last}


@cuda.jit(cache=True)
def run(inputs, shape, strides, constants, out, first, size):
    for o in range(cuda.grid(1), size, cuda.gridsize(1)):
        evaluate(inputs, shape, strides, constants, out, size, first + o, o)


@cuda.jit(cache=True)
def pick(inputs, shape, strides, constants, picks, out, first, size):
    length = shape[shape.size - 1]
    for o in range(cuda.grid(1), size, cuda.gridsize(1)):
        i = (first + o) * length + picks[o]
        evaluate(inputs, shape, strides, constants, out, size, i, o)


@cuda.jit(cache=True)
def best(inputs, shape, strides, constants, which, picks, first, size):
    least = cuda.shared.array({team}, real)
    where = cuda.shared.array({team}, int64)
    me = cuda.threadIdx.x
    length = shape[shape.size - 1]
    for o in range(cuda.blockIdx.x, size, cuda.gridDim.x):
        found = {infinity}
        place = length
        for j in range(me, length, cuda.blockDim.x):
            value = objective(
                inputs, shape, strides, constants, which, (first + o) * length + j
            )
            if value < found:
                found = value
                place = j
        least[me] = found
        where[me] = place
        cuda.syncthreads()
        half = cuda.blockDim.x // 2
        while half > 0:
            if me < half:
                a = least[me]
                b = least[me + half]
                if b < a or (b == a and where[me + half] < where[me]):
                    least[me] = b
                    where[me] = where[me + half]
            cuda.syncthreads()
            half = half // 2
        if me == 0:
            picks[o] = where[0] if where[0] < length else 0
        cuda.syncthreads()
"""


def cuda_source(
    program: Program, asked: Asked | None = None, precision: Precision = FLOAT64
) -> str:
    """Return the generated module of a program, the same for all values of its constants.

    Example:
        >>> from derive.program import program
        >>> from derive.theory.deep_features import deep_features
        >>> text = cuda_source(program(deep_features(["erf"])))
        >>> [line for line in text.splitlines() if line.startswith("def ")][-1]
        'def best(inputs, shape, strides, constants, which, picks, first, size):'
    """
    wanted = asked or Asked(program.outputs)
    blocks = program.blocks()
    header = HEADER.format(
        name=program.name,
        counts=", ".join(f"{name} {block.operations}" for name, block in blocks.items()),
        precision=precision.name,
        unit=precision.number(precision.unit),
    )
    texts = list(module_source(program, precision.printer).values())
    texts.append(_values(program, wanted, precision))
    parts = [header, *(f"\n\n{DEVICE}\n{text}" for text in texts), ""]
    solver = Solver(
        loads=tuple(constant_loads(program)),
        body=evaluate_source(program, wanted, precision, "o"),
        arguments=arguments(program),
        unknowns=tuple(unknown_names(program)),
        condition=positive_text(program, precision),
        limit=precision.number(precision.residual),
    )
    text = "\n".join([*parts, solve_source(program, precision, DEVICE)])
    return text + kernels_source(program, wanted, precision, solver)


@dataclass(frozen=True)
class Solver:
    """What the kernels call: functions ``solve`` and ``values`` behind one interface.

    ``solve(arguments)`` returns status, steps and unknowns; ``values(arguments, unknowns)`` a
    measure and what ``best`` can minimise.

    Attributes:
        loads: lines that read the constants.
        body: lines that solve one point and store its rows at column ``o``.
        arguments: names of controls and constants.
        unknowns: their names.
        condition: that a solved point must meet, besides its status.
        limit: largest measure of a point that counts.
    """

    loads: tuple[str, ...]
    body: str
    arguments: str
    unknowns: tuple[str, ...]
    condition: str
    limit: str


def objectives(program: AnyProgram, asked: Asked) -> tuple[str, ...]:
    """Return what ``best`` can minimise: the outputs asked for, or the unknowns if there are none.

    The argument ``which`` of the kernel is the place in this list.
    """
    return asked.outputs or program.unknowns


def _values(program: Program, asked: Asked, precision: Precision) -> str:
    """Print the residual and what ``best`` can minimise, without their error bounds."""
    report, first = program.report, 1 + len(program.unknowns)
    held = dict(zip(program.outputs, report.results[first:], strict=False))
    held |= {s.name: s for s in report.inputs if s.name in program.unknowns}
    chosen = [held[name] for name in objectives(program, asked)]
    block = Block(report.inputs, report.lines, (report.results[0], *chosen)).pruned()
    return function("values", block, precision.printer(rename(program)))


def kernels_source(program: AnyProgram, asked: Asked, precision: Precision, solver: Solver) -> str:
    """Return the three kernels, to be put behind the functions of a solver."""
    c = control_names(program)
    count, goals = len(c), len(objectives(program, asked))
    given = f"{tuple_text(c)} = controls(inputs, shape, strides, i)"
    return _KERNELS.format(
        begins=_lines(4, [f"at{j} = strides[{j}]" for j in range(count)]),
        count=count,
        moves=_lines(8, [f"at{j} += step * strides[row + {j}]" for j in range(count)]),
        values=tuple_text([f"inputs[at{j}]" for j in range(count)]),
        loads=_lines(4, [given, *solver.loads]),
        body=solver.body,
        arguments=solver.arguments,
        unknowns=", ".join(solver.unknowns),
        positive=solver.condition,
        infinity=precision.infinity,
        residual=solver.limit,
        results=tuple_text([f"v_{j}" for j in range(1 + goals)]),
        choice=_lines(
            4, [f"if which == {j}:\n        return v_{1 + j}" for j in range(goals - 1)] or ["pass"]
        ),
        last=goals,
        team=TEAM,
    )


def _lines(indent: int, lines: Sequence[str]) -> str:
    return f"\n{' ' * indent}".join(lines)
