r"""Proved intervals in float64 for whole grids.

Stage: a Solution in, ``Enclosures`` out: for every point a verdict, and for every unknown, output
and slope a centre and a proved radius. The step is that of ``certify`` (an interval Newton step on
the full system, see there for the argument) in the arithmetic of ``derive.printing.interval_code``:
no rounding modes, no branches, many points side by side. The controls are the doubles of the
Solution as they stand, and each constant is an interval that holds its exact value.

A box about each answer has the radius of its claimed error and a little more. Points whose step
does not map the box into itself are tried again about the moved centre with a wider box; what still
fails is reported as not proved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol

from derive.balls import enclose
from derive.errors import NotConvergedError, NotSupportedError, UnknownNameError
from derive.printing.ball_code import proof_blocks
from derive.printing.interval_code import GROW, TINY, UNIT, Node, Tape
from derive.program import Program
from numeric.cache import load
from numeric.proof import PROVED, Verdict, standing
from numeric.solution import Solution, Status
from numeric.threads import run_blocks

WIDTH = 32
_TRIES = 4
_LOOSE = 1e-6
_RELATIVE = 2.0**-46
"""Boxes have four times the claimed error as radius, and this much of the value."""
Array = NDArray[np.float64]

_TEMPLATE = '''"""Generated from the proof of {name}; do not edit.

Never compile it with fast-math flags: the radii rest on IEEE rounding.
"""

import math

import numpy as np
from numba import njit

UNIT = {unit!r}
GROW = {grow!r}
TINY = {tiny!r}
INF = math.inf


@njit("void(f8[::1],f8[::1],f8[::1],i8,i8,i8)", cache=True, nogil=True, error_model="numpy")
def run(inputs, constants, out, size, first, last):
    s = np.empty({scratch})
{call}
    for block in range(first, last):
        base = block * {width}
        for j in range({loaded}):
            for i in range({width}):
                s[j * {width} + i] = inputs[j * size + base + i]
        for i in range({width}):
{body}
        for j in range({rows}):
            for i in range({width}):
                out[j * size + base + i] = s[{offset} + j * {width} + i]
'''


@dataclass(frozen=True)
class Enclosures:
    """Proved intervals on a grid of shape S.

    Attributes:
        name: name of the program.
        key: content key of the program.
        verdict: ``numeric.proof.Verdict`` codes, shape S.
        mid: name of an unknown, output or slope -> centre, shape S; NaN where nothing is proved.
        rad: the same names -> proved absolute radius, shape S; infinite (about 0) where the
            arithmetic gives no bound.
        reason: why no point is proved to be physical, empty if some may be.

    Accuracy: the exact value at the doubles of the controls lies in [mid - rad, mid + rad].
    """

    name: str
    key: str
    verdict: NDArray[np.int8]
    mid: Mapping[str, Array]
    rad: Mapping[str, Array]
    reason: str = ""

    def _known(self, name: str) -> str:
        if name not in self.mid:
            raise UnknownNameError(
                f"enclosure of {name!r}", f"there are {', '.join(self.mid)}", "use one of them"
            )
        return name

    def lower(self, name: str) -> Array:
        """Return proved lower bounds, shape S.

        Accuracy: rounded down.
        """
        return np.nextafter(self.mid[self._known(name)] - self.rad[name], -np.inf)

    def upper(self, name: str) -> Array:
        """Return proved upper bounds, shape S.

        Accuracy: rounded up.
        """
        return np.nextafter(self.mid[self._known(name)] + self.rad[name], np.inf)

    def width(self, name: str) -> Array:
        """Return radius over size, shape S (infinite where the size is zero).

        Accuracy: a few roundings; for reports.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.rad[self._known(name)] / np.abs(self.mid[name]))

    @property
    def proved(self) -> NDArray[np.bool_]:
        """Where a unique root with all conditions is enclosed, shape S."""
        return np.isin(self.verdict, PROVED)

    def check(self) -> "Enclosures":
        """Return the enclosures themselves, or raise if a point is not proved.

        Raises:
            NotConvergedError: with the number of such points and the first one.
        """
        bad = np.argwhere(~self.proved)
        if not len(bad):
            return self
        index = tuple(int(i) for i in bad[0])
        found = Verdict(int(self.verdict[index])).statement
        raise NotConvergedError(
            f"float64 enclosures of {self.name} on {self.verdict.size} points",
            f"{len(bad)} not proved, the first at index {index}: {found} {self.reason}".strip(),
            "use numeric.certify at these points",
        )

    def __repr__(self) -> str:
        rows = [f"Enclosures({self.name}, shape {self.verdict.shape}; key {self.key})"]
        for verdict in Verdict:
            count = int(np.sum(self.verdict == verdict))
            rows += [f"  {count:8d}  {verdict.statement}"] if count else []
        if self.proved.any():
            rows.append("  relative radius     median       99 %        max")
            for name in self.mid:
                ordered = np.sort(self.width(name)[self.proved])
                shown = (ordered[int(q * (len(ordered) - 1))] for q in (0.5, 0.99, 1.0))
                rows.append(f"  {name:14s} " + " ".join(f"{v:10.1e}" for v in shown))
        return "\n".join(rows)


def enclosures(
    solution: Solution, *, slopes: bool | None = None, threads: int | None = None
) -> Enclosures:
    """Enclose the exact solution at every point of a grid, in float64.

    Args:
        solution: a Solution that carries its Program.
        slopes: whether to enclose the slopes as well; by default if the Solution has them.
        threads: at most this many threads; the numbers do not depend on it.

    Raises:
        NotSupportedError: a Solution without its Program, or a Program with functions whose float64
            values have no proved error.

    Accuracy: proved; see ``Enclosures``. A point for which nothing could be proved says so.

    Example:
        >>> from numeric.compiled import compile
        >>> from derive.theory.deep_features import deep_features
        >>> solution = compile(deep_features(["erf"]).system())(
        ...     alpha=2, gamma=(1.5,), lam=0.1, noise=0.25)
        >>> proved = enclosures(solution)
        >>> bool(proved.proved), bool(proved.lower("E_test") < 0.642158145525481)
        (True, True)
    """
    program = solution.program
    if program is None:
        raise NotSupportedError(
            f"enclosures of this {solution.name}", "the Solution has no Program", "compile it"
        )
    if not isinstance(program, Program):
        raise NotSupportedError(
            f"float64 enclosures of {solution.name}",
            "its equations are coupled",
            "use numeric.certify, in ball arithmetic",
        )
    kernel = _kernel(program, bool(solution.slopes) if slopes is None else slopes)
    inputs = [np.ravel(solution.controls[q.name]) for q in program.inputs]
    centres = [np.ravel(solution.unknowns[u]) for u in program.unknowns]
    errors = [_error(solution, u) for u in program.unknowns]
    rows = kernel.prove(inputs, centres, errors, threads)
    verdict = _verdicts(kernel, solution, rows)
    names, values = kernel.names, rows[1:]
    nothing = ~np.isin(verdict, PROVED)
    if nothing.any():
        values[:, nothing] = np.nan
    values = values.reshape(len(names), 2, *solution.shape)
    unbounded = ~np.isfinite(values).all(axis=1) & ~nothing.reshape(solution.shape)
    values[:, 0][unbounded], values[:, 1][unbounded] = 0.0, np.inf
    return Enclosures(
        name=program.name,
        key=solution.key,
        verdict=verdict.reshape(solution.shape),
        mid={n: values[k, 0] for k, n in enumerate(names)},
        rad={n: values[k, 1] for k, n in enumerate(names)},
        reason=kernel.standing[1],
    )


def _error(solution: Solution, name: str) -> Array:
    """Return the claimed error of an unknown, or a guess where none was asked for."""
    if name in solution.error:
        return np.ravel(solution.error[name])
    return np.abs(np.ravel(solution.unknowns[name])) * 2.0**-44


def _verdicts(kernel: "_Kernel", solution: Solution, rows: Array) -> NDArray[np.int8]:
    """Turn the states of the kernel into verdicts."""
    program = kernel.program
    codes = (kernel.standing[0], Verdict.NOT_PHYSICAL, Verdict.UNDECIDED, Verdict.NOT_PROVED)
    verdict = np.array(codes, dtype=np.int8)[rows[0].astype(np.int64)]
    for k, name in enumerate(program.unknowns):
        answer = np.ravel(solution.unknowns[name])
        allowed = 8 * _error(solution, name) + _LOOSE * np.abs(answer)
        near = np.abs(rows[1 + 2 * k] - answer) <= allowed
        verdict[~near & (verdict != Verdict.NOT_PROVED)] = Verdict.DISAGREES
    no_answer = np.ravel(solution.status) != Status.CONVERGED
    if program.slope_control in solution.controls:
        no_answer |= np.ravel(solution.controls[program.slope_control]) == 0
    verdict[no_answer] = Verdict.NO_ANSWER
    return verdict


class _Kernel:
    """The compiled interval step of one program, with its constants as intervals."""

    def __init__(self, program: Program, slopes: bool) -> None:
        self.program = program
        derivatives = [f"d{o}_d{program.slope_control}" for o in program.outputs]
        self.names = (*program.unknowns, *program.outputs, *(derivatives if slopes else ()))
        self.module: ModuleType = load(interval_source(program, slopes))
        self.standing = standing(program)
        pairs = [_interval(expr) for _, expr in program.constants]
        self.constants = np.array(pairs, dtype=np.float64).reshape(-1)

    def prove(
        self,
        inputs: Sequence[Array],
        centres: Sequence[Array],
        errors: Sequence[Array],
        threads: int | None,
    ) -> Array:
        """Return states and intervals, rows of shape (1 + 2 names, points)."""
        rows = self._run((*inputs, *centres, *errors), threads)
        for attempt in range(1, _TRIES):
            left = np.flatnonzero(rows[0] == _NOT_PROVED)
            if not left.size:
                break
            moved = rows[1 : 1 + 2 * len(centres), left]
            usable = np.isfinite(moved).all(axis=0)
            centre = np.where(usable, moved[::2], [v[left] for v in centres])
            wider = np.where(usable, moved[1::2], [v[left] * 8.0**attempt for v in errors])
            rows[:, left] = self._run((*(v[left] for v in inputs), *centre, *wider), threads)
        return rows

    def _run(self, given: Sequence[Array], threads: int | None) -> Array:
        count = given[0].size
        size = -(-count // WIDTH) * WIDTH
        loaded = np.empty((len(given), size))
        for row, values in zip(loaded, given, strict=True):
            row[:count] = values
        loaded[:, count:] = loaded[:, count - 1 : count]
        out = np.empty((1 + 2 * len(self.names), size))
        flat, result = loaded.reshape(-1), out.reshape(-1)

        def solve(first: int, last: int) -> None:
            self.module.run(flat, self.constants, result, size, first, last)

        run_blocks(solve, size // WIDTH, WIDTH, threads)
        return out[:, :count]


_NOT_PROVED = 3.0
_KERNELS: dict[tuple[int, bool], _Kernel] = {}
_MOST_KERNELS = 64


def _kernel(program: Program, slopes: bool) -> _Kernel:
    """Return the kernel of a program, kept by identity (a kernel keeps its program alive)."""
    key = (id(program), slopes)
    if key not in _KERNELS:
        if len(_KERNELS) >= _MOST_KERNELS:
            _KERNELS.pop(next(iter(_KERNELS)))
        _KERNELS[key] = _Kernel(program, slopes)
    return _KERNELS[key]


def interval_source(program: Program, slopes: bool = True) -> str:
    """Return the generated module; the same for all values of the constants.

    ``run(inputs, constants, out, size, first, last)``: rows of ``inputs`` are controls, centres and
    errors, from which the boxes are made; ``constants`` holds pairs of centre and radius; rows of
    ``out`` are the state (0 all conditions hold, 1 one fails, 2 undecided, 3 not proved) and pairs.
    """
    tape, known, load_lines = Tape(), dict[Symbol, Node](), []
    for k, quantity in enumerate(program.inputs):
        known[quantity] = Node(f"c{k}")
        load_lines.append(f"c{k} = s[{WIDTH * k} + i]")
    call = []
    for k, (symbol, _) in enumerate(program.constants):
        known[symbol] = Node(f"k{k}", f"kr{k}")
        call.append(f"    k{k}, kr{k} = constants[{2 * k}], constants[{2 * k + 1}]")
    n, first = len(program.unknowns), len(program.inputs)
    for j in range(n):
        load_lines.append(f"x{j} = s[{WIDTH * (first + j)} + i]")
        error = f"s[{WIDTH * (first + n + j)} + i]"
        load_lines.append(f"b{j} = 4.0 * {error} + {_RELATIVE!r} * abs(x{j})")
    stored, state = _write(tape, program, known, slopes)
    offset = WIDTH * (first + 2 * n)
    store = [f"s[{offset + WIDTH * r} + i] = {text}" for r, text in enumerate([state, *stored])]
    body = [*load_lines, *tape.lines, *store]
    rows = 1 + len(stored)
    return _TEMPLATE.format(
        name=program.name,
        unit=UNIT,
        grow=GROW,
        tiny=TINY,
        scratch=offset + WIDTH * rows,
        call="\n".join(call),
        width=WIDTH,
        loaded=first + 2 * n,
        body="\n".join(f"            {line}" for line in body),
        rows=rows,
        offset=offset,
    )


def _write(
    tape: Tape, program: Program, known: Mapping[Symbol, Node], slopes: bool
) -> tuple[list[str], str]:
    """Write the whole step; return what to store, and the name of the state."""
    blocks = proof_blocks(program)
    n = len(program.unknowns)
    points = [Node(f"x{j}") for j in range(n)]
    inclusion, conditions = blocks["inclusion"], blocks["conditions"]
    places = (*inclusion.inputs[-2 * n :],)
    boxes = [Node(f"x{j}", f"b{j}") for j in range(n)]
    step = tape.run(inclusion, {**known, **dict(zip(places, [*boxes, *points], strict=True))})
    inside = [f"((abs({d.mid}) + {d.rad}) * GROW < b{j})" for j, d in enumerate(step)]
    roots = [tape.add(p, d) for p, d in zip(points, step, strict=True)]
    at = {**known, **dict(zip(places[:n], roots, strict=True))}
    holds = tape.run(conditions, at)
    results = [*roots, *tape.run(blocks["outputs"], at)]
    results += tape.run(blocks["slopes"], at) if slopes else []
    positive = " & ".join(f"({v.mid} > {v.rad or '0.0'})" for v in holds)
    negative = " | ".join(f"(-{v.mid} > {v.rad or '0.0'})" for v in holds)
    tape.lines += [
        f"decided = 0.0 if {positive} else (1.0 if {negative} else 2.0)",
        f"state = decided if {' & '.join(inside)} else {_NOT_PROVED}",
    ]
    return [text for v in results for text in (v.mid, v.rad or "0.0")], "state"


def _interval(expr: Any) -> Sequence[float]:
    """Return centre and radius of a constant as doubles; the radius is rounded up."""
    ball = enclose(expr, 25)
    mid = float(ball)
    rad = abs(ball.mid - Fraction(mid)) + ball.rad
    return mid, float(np.nextafter(float(rad), np.inf)) if rad else 0.0
