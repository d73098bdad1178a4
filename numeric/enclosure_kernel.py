"""Compiled interval steps of one program: the quick form for all points, the careful one for some.

Stage: below ``enclosures``. Controls and answers of many points in, verdicts and intervals out.
Points that the quick form does not prove go through the careful one together; those which it does
not prove either are tried again about the moved centre with a wider box.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.balls import enclose
from derive.errors import NotSupportedError
from derive.printing.enclosure_steps import RANGE, Step, Wanted, careful_step, quick_step
from derive.program import Program
from numeric.interval_ir import interval_ir
from numeric.proof import PROVED, Verdict, standing
from numeric.threads import run_blocks
from numeric.vector_code import compile_vectors, has_estimates

WIDTH = 8
"""Points per block; the arithmetic has enough independent operations for one register."""
_TRIES = 5
_WIDEN = 256.0
"""How much wider a box is when it is tried again."""
_FAILED = 3
_LOOSE = 1e-6
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Intervals of many points.

    Attributes:
        verdict: ``Verdict`` codes, shape (points,).
        values: centre and radius of each name in turn, shape (2 names, points).
    """

    verdict: NDArray[np.int8]
    values: Array


class _Form:
    """Machine code of one form."""

    def __init__(self, name: str, step: Step) -> None:
        self.rows = len(step.inputs)
        self.run = compile_vectors(step_source(name, step))

    def __call__(
        self, constants: Array, given: Sequence[Array], rows: Rows, threads: int | None
    ) -> None:
        """Fill the rows; the last block is padded in a place of its own."""
        count = rows.verdict.size
        blocks = count // WIDTH
        if blocks:
            self._blocks(constants, given, rows, blocks, threads)
        left = count - blocks * WIDTH
        if not left:
            return
        padded = np.empty((self.rows, WIDTH))
        for row, values in zip(padded, given, strict=True):
            row[:left] = values[count - left :]
            row[left:] = values[-1]
        last = Rows(np.empty(WIDTH, dtype=np.int8), np.empty((len(rows.values), WIDTH)))
        self._blocks(constants, list(padded), last, 1, 1)
        rows.verdict[count - left :] = last.verdict[:left]
        rows.values[:, count - left :] = last.values[:, :left]

    def _blocks(
        self,
        constants: Array,
        given: Sequence[Array],
        rows: Rows,
        blocks: int,
        threads: int | None,
    ) -> None:
        inputs = np.array([_address(v) for v in given], dtype=np.int64)
        first, step = _address(rows.values), rows.values.strides[0]
        places = [_address(rows.verdict), *(first + k * step for k in range(len(rows.values)))]
        out = np.array(places, dtype=np.int64)

        def solve(begin: int, end: int) -> None:
            self.run(inputs, constants, out, 0, begin, end)

        run_blocks(solve, blocks, WIDTH, threads)


def _address(values: NDArray[Any]) -> int:
    return int(values.__array_interface__["data"][0])


def step_source(name: str, step: Step) -> str:
    """Return the generated module of a step, as LLVM IR; the same for all values of constants."""
    results = [step.state, *(text for pair in step.results for text in pair)]
    constants, estimates = step.constants, has_estimates()
    return interval_ir(name, constants, step.inputs, step.lines, results, WIDTH, estimates)


class EnclosureKernel:
    """Both forms of one program, compiled when they are first needed.

    Args:
        program: what was solved.
        wanted: which outputs and slopes to enclose.

    Raises:
        NotSupportedError: for functions whose float64 values have no proved error.
    """

    def __init__(self, program: Program, wanted: Wanted) -> None:
        self.program, self.wanted = program, wanted
        outputs = [program.outputs[k] for k in wanted.outputs]
        slopes = [f"d{o}_d{program.slope_control}" for o in outputs] if wanted.slopes else []
        self.names = (*program.unknowns, *outputs, *slopes)
        self.standing = standing(program)
        pairs = [_interval(expr) for _, expr in program.constants]
        self.constants = np.array(pairs, dtype=np.float64).reshape(-1)
        self._quick = self._quick_form()
        self._careful: _Form | None = None
        if self._quick is None:
            self._careful = self._careful_form()

    def _quick_form(self) -> _Form | None:
        mids, rads = self.constants[::2], self.constants[1::2]
        sizes = np.abs(mids)
        within = (sizes > 2.0**-RANGE) & (sizes < 2.0**RANGE) | (sizes == 0)
        if not np.all(within & (rads <= sizes * 2.0**-53 * 1.001)):
            return None
        try:
            step = quick_step(self.program, self.wanted, [int(v) for v in np.sign(mids)])
        except NotSupportedError:
            return None
        return _Form(self.program.name, step)

    def _careful_form(self) -> _Form:
        if self._careful is None:
            step = careful_step(self.program, self.wanted)
            self._careful = _Form(self.program.name, step)
        return self._careful

    def prove(
        self,
        inputs: Sequence[Array],
        centres: Sequence[Array],
        errors: Callable[[], Sequence[Array]],
        threads: int | None,
    ) -> Rows:
        """Return verdicts and intervals; a point without proof has the verdict NOT_PROVED.

        ``errors`` gives the claimed errors of the centres; they are needed for few points.
        """
        count = inputs[0].size
        rows = Rows(np.empty(count, dtype=np.int8), np.empty((2 * len(self.names), count)))
        if self._quick is None:
            left = np.arange(count)
        else:
            self._quick(self.constants, (*inputs, *centres), rows, threads)
            left = np.flatnonzero(rows.verdict != 0)
            if self.standing[0]:
                rows.verdict[rows.verdict == 0] = self.standing[0]
        if left.size:
            some = ([v[left] for v in group] for group in (inputs, centres, errors()))
            found = self._prove_carefully(next(some), next(some), next(some), threads)
            rows.verdict[left], rows.values[:, left] = found.verdict, found.values
        return rows

    def _prove_carefully(
        self, inputs: list[Array], centres: list[Array], errors: list[Array], threads: int | None
    ) -> Rows:
        rows = self._run(inputs, centres, errors, threads)
        retried = left = np.flatnonzero(rows.verdict == _FAILED)
        for attempt in range(1, _TRIES):
            if not left.size:
                break
            moved = rows.values[: 2 * len(centres), left]
            usable = np.isfinite(moved).all(axis=0)
            centre = np.where(usable, moved[::2], [v[left] for v in centres])
            wider = np.array([v[left] * _WIDEN**attempt for v in errors])
            wider = np.where(usable, np.maximum(wider, moved[1::2]), wider)
            again = self._run([v[left] for v in inputs], list(centre), list(wider), threads)
            rows.verdict[left], rows.values[:, left] = again.verdict, again.values
            left = left[again.verdict == _FAILED]
        codes = (self.standing[0], Verdict.NOT_PHYSICAL, Verdict.UNDECIDED, Verdict.NOT_PROVED)
        verdict = np.array(codes, dtype=np.int8)[rows.verdict]
        rows.verdict[:] = verdict
        self._compare(rows, retried, centres, errors)
        _mark(rows)
        return rows

    def _compare(
        self,
        rows: Rows,
        retried: NDArray[np.int64],
        centres: Sequence[Array],
        errors: Sequence[Array],
    ) -> None:
        """Refuse roots that are not the answer.

        A root that was proved at once lies within the box about the answer; one that took several
        tries may be far from it.
        """
        for k, (answers, error) in enumerate(zip(centres, errors, strict=True)):
            answer = answers[retried]
            allowed = 8 * error[retried] + _LOOSE * np.abs(answer)
            near = np.abs(rows.values[2 * k, retried] - answer) <= allowed
            other = ~near & (rows.verdict[retried] != Verdict.NOT_PROVED)
            rows.verdict[retried[other]] = Verdict.DISAGREES

    def _run(
        self,
        inputs: Sequence[Array],
        centres: Sequence[Array],
        errors: Sequence[Array],
        threads: int | None,
    ) -> Rows:
        count = inputs[0].size
        rows = Rows(np.empty(count, dtype=np.int8), np.empty((2 * len(self.names), count)))
        given = [np.ascontiguousarray(v) for v in (*inputs, *centres, *errors)]
        self._careful_form()(self.constants, given, rows, threads)
        return rows


def _mark(rows: Rows) -> None:
    """Set unproved intervals to NaN, and proved ones that are not finite to all numbers."""
    nothing = ~is_proved(rows.verdict)
    rows.values[:, nothing] = np.nan
    for mid, rad in zip(rows.values[::2], rows.values[1::2], strict=True):
        unbounded = ~(np.isfinite(mid) & np.isfinite(rad)) & ~nothing
        mid[unbounded], rad[unbounded] = 0.0, np.inf


def is_proved(verdict: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return where a unique root with all conditions is enclosed."""
    table = np.zeros(len(Verdict), dtype=bool)
    table[list(PROVED)] = True
    return np.asarray(table[verdict])


def _interval(expr: Any) -> Sequence[float]:
    """Return centre and radius of a constant as doubles; the radius is rounded up."""
    ball = enclose(expr, 25)
    mid = float(ball)
    rad = abs(ball.mid - Fraction(mid)) + ball.rad
    return mid, float(np.nextafter(float(rad), np.inf)) if rad else 0.0
