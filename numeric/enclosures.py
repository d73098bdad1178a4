r"""Proved intervals in float64 for whole grids.

Stage: a Solution in, ``Enclosures`` out: for every point a verdict, and for every unknown, output
and slope a centre and a proved radius. The step is that of ``certify`` (an interval Newton step on
the full system, see there for the argument) in the arithmetic of ``derive.printing.interval_code``:
no rounding modes, no branches, many points side by side. The controls are the doubles of the
Solution as they stand, and each constant is an interval that holds its exact value.

Where two terms of an equation cancel, elimination leaves a wide interval for the unknown that they
determine. Its step is therefore also taken from the next row of the linear equations, and its root
from the next equation; each holds on its own, so the narrower one counts.

A box about each answer has the radius of its claimed error and a little more. Points whose step
does not map the box into itself are tried again about the moved centre with a wider box; what still
fails is reported as not proved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol

from derive.balls import enclose
from derive.errors import NotConvergedError, NotSupportedError, UnknownNameError
from derive.printing.ball_code import proof_blocks
from derive.printing.interval_code import Node, Tape
from derive.program import Program
from numeric.interval_ir import interval_ir
from numeric.proof import PROVED, Verdict, standing
from numeric.solution import Solution, Status
from numeric.threads import run_blocks
from numeric.vector_code import compile_vectors

WIDTH = 8
"""Points per block; the arithmetic has enough independent operations for one register."""
_TRIES = 4
_WIDEN = 64.0
"""How much wider a box is when it is tried again."""
_LOOSE = 1e-6
_TIMES, _RELATIVE = 32.0, 2.0**-42
"""Boxes have this many times the claimed error as radius, and this much of the value."""
Array = NDArray[np.float64]


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
        return _is_proved(self.verdict)

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
    rows, retried = kernel.prove(*_given(program, solution), threads)
    verdict = _verdicts(kernel, solution, rows, retried)
    names, values = kernel.names, rows[1:]
    nothing = ~_is_proved(verdict)
    if nothing.any():
        values[:, nothing] = np.nan
    if not np.isfinite(values.sum()):
        _mark_unbounded(values, nothing)
    values = values.reshape(len(names), 2, *solution.shape)
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


def _is_proved(verdict: NDArray[np.int8]) -> NDArray[np.bool_]:
    table = np.zeros(len(Verdict), dtype=bool)
    table[list(PROVED)] = True
    return np.asarray(table[verdict])


def _given(program: Program, solution: Solution) -> tuple[list[Array], list[Array], list[Array]]:
    """Return controls, centres and claimed errors, flat."""
    inputs = [np.ravel(solution.controls[q.name]) for q in program.inputs]
    centres = [np.ravel(solution.unknowns[u]) for u in program.unknowns]
    return inputs, centres, [_error(solution, u) for u in program.unknowns]


def _mark_unbounded(values: Array, nothing: NDArray[np.bool_]) -> None:
    """Set intervals that are not finite to all numbers, unless nothing is proved there."""
    for mid, rad in zip(values[::2], values[1::2], strict=True):
        unbounded = ~(np.isfinite(mid) & np.isfinite(rad)) & ~nothing
        mid[unbounded], rad[unbounded] = 0.0, np.inf


def _verdicts(
    kernel: "_Kernel", solution: Solution, rows: Array, retried: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Turn the states of the kernel into verdicts.

    A root that was proved at once lies within the box about the answer; one that took several tries
    may be far from it.
    """
    program = kernel.program
    codes = (kernel.standing[0], Verdict.NOT_PHYSICAL, Verdict.UNDECIDED, Verdict.NOT_PROVED)
    verdict = np.array(codes, dtype=np.int8)[rows[0].astype(np.int8)]
    for k, name in enumerate(program.unknowns):
        answer = np.ravel(solution.unknowns[name])[retried]
        allowed = 8 * _error(solution, name)[retried] + _LOOSE * np.abs(answer)
        near = np.abs(rows[1 + 2 * k, retried] - answer) <= allowed
        verdict[retried[~near & (verdict[retried] != Verdict.NOT_PROVED)]] = Verdict.DISAGREES
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
        self.run = compile_vectors(interval_source(program, slopes))
        self.standing = standing(program)
        pairs = [_interval(expr) for _, expr in program.constants]
        self.constants = np.array(pairs, dtype=np.float64).reshape(-1)

    def prove(
        self,
        inputs: Sequence[Array],
        centres: Sequence[Array],
        errors: Sequence[Array],
        threads: int | None,
    ) -> tuple[Array, NDArray[np.int64]]:
        """Return states and intervals, rows (1 + 2 names, points), and points tried again."""
        rows = self._run((*inputs, *centres, *errors), threads)
        retried = left = np.flatnonzero(rows[0] == _NOT_PROVED)
        for attempt in range(1, _TRIES):
            if not left.size:
                break
            moved = rows[1 : 1 + 2 * len(centres), left]
            usable = np.isfinite(moved).all(axis=0)
            centre = np.where(usable, moved[::2], [v[left] for v in centres])
            wider = np.array([v[left] * _WIDEN**attempt for v in errors])
            wider = np.where(usable, np.maximum(wider, moved[1::2]), wider)
            rows[:, left] = self._run((*(v[left] for v in inputs), *centre, *wider), threads)
            left = left[rows[0, left] == _NOT_PROVED]
        return rows, retried

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
            self.run(flat, self.constants, result, size, first, last)

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
    """Return the generated module, as LLVM IR; the same for all values of the constants.

    ``run(inputs, constants, out, size, first, last)``: rows of ``inputs`` are controls, centres and
    errors, from which the boxes are made; ``constants`` holds pairs of centre and radius; rows of
    ``out`` are the state (0 all conditions hold, 1 one fails, 2 undecided, 3 not proved) and pairs.
    """
    tape, known = Tape(), dict[Symbol, Node]()
    known |= {q: Node(f"c{k}") for k, q in enumerate(program.inputs)}
    known |= {s: Node(f"k{k}", f"kr{k}") for k, (s, _) in enumerate(program.constants)}
    count = range(len(program.unknowns))
    tape.lines += [f"b{j} = {_TIMES!r} * err{j} + {_RELATIVE!r} * abs(x{j})" for j in count]
    stored, state = _write(tape, program, known, slopes)
    given = [known[q].mid for q in program.inputs]
    given += [f"{letter}{j}" for letter in ("x", "err") for j in count]
    pairs = [name for s, _ in program.constants for name in (known[s].mid, known[s].rad)]
    return interval_ir(program.name, pairs, given, tape.lines, [state, *stored], WIDTH)


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
    about = {**known, **dict(zip(places, [*boxes, *points], strict=True))}
    step = tape.run(inclusion, about)
    for j, block in program.proof.steps:
        moves = dict(zip(block.inputs[-n:], step, strict=True))
        (other,) = tape.run(block, about | moves)
        step[j] = tape.narrower(step[j], other)
    inside = [f"((abs({d.mid}) + {d.rad}) * GROW < b{j})" for j, d in enumerate(step)]
    roots = [tape.closed(tape.add(p, d)) for p, d in zip(points, step, strict=True)]
    at = {**known, **dict(zip(places[:n], roots, strict=True))}
    for j, block in program.proof.again:
        (other,) = tape.run(block, at)
        roots[j] = at[places[j]] = tape.narrower(roots[j], other)
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
