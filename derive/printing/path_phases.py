r"""The continuation of a coupled Program as branch-free phases over independent points.

Stage: a ``CoupledProgram`` and what is asked of it in, a ``PathProgram`` out: straight-line phases
in which every decision is a selection, so that a target can run many points side by side in vector
units, or one point per thread of a graphics processor. The algorithm is a machine that makes one
Newton correction per ``tick``, whatever the point is about to do:

======  ============================================================================================
mode    what the correction is for
======  ============================================================================================
BEGIN   settle at tau = 0, where the unknowns are explicit
SEEK    settle a little further on, where tau = 0 itself is singular
NEAR    first correction of a predicted point: it must be small
CLOSE   the next ones: each must be smaller still; then the step is accepted
END     settle at tau = 1
JUDGE   no step is short enough: tell a singular matrix from a lost branch
======  ============================================================================================

A point follows its own path from start to end. What it returns does not depend on any other point,
nor on where it is computed. The linear systems are solved by elimination with partial pivoting; the
exchange of rows is a selection as well.

A tick holds all modes, so points in different modes share it at no cost; only a point that has come
to its end waits, and a target may put another point in its place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sympy import Abs, And, Expr, Integer, Symbol

from derive.block import Line, fresh
from derive.coupled import CoupledProgram
from derive.printing.elimination import Elimination, Names, largest, pick
from derive.printing.lane_phases import (
    HALF,
    Asked,
    Phase,
    first_phase,
    make_phase,
    row_names,
)
from derive.printing.lower import Lowering
from derive.printing.path_machine import (
    CONVERGED,
    DOUBLE,
    SINGULAR,
    STALLED,
    Correction,
    PathNumbers,
    State,
)
from derive.program import UNIT


@dataclass(frozen=True)
class PathProgram:
    """The phases of a coupled program.

    Attributes:
        program: what is solved.
        asked: what is returned.
        begin: start of a point, and what is fixed along its path.
        tick: one correction; repeated while any point is ``on``.
        report: residual, outputs and errors of a point that has ended, and its final status.
        slope: derivatives of the outputs at one point; None if none are asked for.
        unknowns: the lanes of the unknowns.
        on, code, count: lanes of the machine: 1 while a point is on its way, status, corrections.
        errors: lanes of the errors of the unknowns, which ``report`` stores first.
        numbers: thresholds.
    """

    program: CoupledProgram
    asked: Asked
    begin: Phase
    tick: Phase
    report: Phase
    slope: Phase | None
    unknowns: tuple[Symbol, ...]
    on: Symbol
    code: Symbol
    count: Symbol
    errors: tuple[Symbol, ...]
    numbers: PathNumbers

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases in order."""
        last = {"slope": self.slope} if self.slope else {}
        return {"begin": self.begin, "tick": self.tick, "report": self.report} | last

    @property
    def slots(self) -> dict[Symbol, int]:
        """Return the place of each lane: controls first, then what the machine stores."""
        lanes = (*self.program.inputs, *self.begin.stores, *self.tick.stores)
        return {symbol: k for k, symbol in enumerate(dict.fromkeys(lanes))}

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows of a result, in order."""
        return row_names(self.program, self.asked)


def path_program(
    program: CoupledProgram, asked: Asked, numbers: PathNumbers = DOUBLE
) -> PathProgram:
    """Return the phases of a coupled program with one unknown or more.

    Example:
        >>> from derive.dyson import equations
        >>> from derive.matrices import dims, eye, gaussian, ntrace
        >>> from derive.symbols import control
        >>> n, d = dims("n d")
        >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
        >>> found = equations({"m": ntrace((X*X.T + lam*eye(d)).inv())}).program()
        >>> list(path_program(found, Asked(found.outputs)).phases)
        ['begin', 'tick', 'report', 'slope']
    """
    return _Phases(program, asked, numbers).build()


class _Phases:
    """Builds the phases of one program."""

    def __init__(self, program: CoupledProgram, asked: Asked, numbers: PathNumbers) -> None:
        self.program, self.asked, self.numbers = program, asked, numbers
        by_name = {s.name: s for s in program.step.inputs}
        self.lanes = {by_name[u]: fresh(f"lane_{u}") for u in program.unknowns}
        self.x = tuple(self.lanes.values())
        self.n = len(self.x)
        self.state = State(self.x)
        self.lowering = Lowering((), program.inputs)

    def build(self) -> PathProgram:
        tick = self._tick()
        return PathProgram(
            program=self.program,
            asked=self.asked,
            begin=self._begin(tick),
            tick=tick,
            report=self._report(),
            slope=self._slope() if self.asked.slopes and self.asked.outputs else None,
            unknowns=self.x,
            on=self.state.on,
            code=self.state.code,
            count=self.state.count,
            errors=self._errors(),
            numbers=self.numbers,
        )

    def _errors(self) -> tuple[Symbol, ...]:
        return tuple(fresh(f"lane_error_{i}") for i in range(self.n))

    def _copy(self, exprs: Iterable[Expr]) -> list[Expr]:
        new = self.lanes | {UNIT: self.numbers.unit}
        return [e.xreplace(new) for e in exprs]

    def _lines(self, lines: Sequence[Line]) -> list[Line]:
        return list(zip((s for s, _ in lines), self._copy(e for _, e in lines), strict=True))

    def _begin(self, tick: Phase) -> Phase:
        known = [*self.lowering.call, *self.lowering.point]
        needed = set(tick.block.inputs)
        kept = [(s, s) for s, _ in known if s in needed]
        start = self._copy(self.program.start.results)
        values = self.state.start(start, self.numbers)
        lines = [*known, *self._lines(self.program.start.lines)]
        return first_phase(lines, [*values, *kept])

    # --- one correction --------------------------------------------------------------------------

    def _tick(self) -> Phase:
        lines = self._lines(self.program.step.lines)
        name = Names(lines)
        n, results = self.n, self._copy(self.program.step.results)
        rows = [results[n + i * n : n + (i + 1) * n] for i in range(n)]
        right = [[-results[i], -results[n + n * n + i]] for i in range(n)]
        solved = Elimination(rows, right, name)
        after = Correction(self.state, name, solved, self.numbers)
        return make_phase(self.lowering, lines, after.stores())

    # --- the end ---------------------------------------------------------------------------------

    def _report(self) -> Phase:
        program, n, k = self.program, self.n, len(self.program.outputs)
        lines = self._lines(program.report.lines)
        name = Names(lines)
        found = self._copy(program.report.results)
        rows = [found[2 * n + i * n : 2 * n + (i + 1) * n] for i in range(n)]
        solved = Elimination(rows, [[Integer(i == j) for j in range(n)] for i in range(n)], name)
        first, number = 2 * n + n * n, self.numbers
        weights = [name("weight", Abs(found[i]) + found[n + i]) for i in range(n)]
        floors = [name("floor", largest([found[n + i], number.tiny], name)) for i in range(n)]
        pairs = zip(found, floors, strict=False)
        ratios = [name("ratio", number.unit * Abs(f) / floor) for f, floor in pairs]
        residual = name("residual", largest(ratios, name))
        held: dict[str, Expr] = {"residual": residual}
        for i, unknown in enumerate(program.unknowns):
            terms = [Abs(b) * w for b, w in zip(solved.solutions[i], weights, strict=True)]
            held[f"error {unknown}"] = _sum(terms)
        for j, output in enumerate(program.outputs):
            slopes = found[first + 2 * k + j * n : first + 2 * k + (j + 1) * n]
            held[output] = found[first + j]
            moved = [
                Abs(_sum(g * row[s] for g, row in zip(slopes, solved.solutions, strict=True)))
                for s in range(n)
            ]
            spread = _sum(m * w for m, w in zip(moved, weights, strict=True))
            held[f"error {output}"] = found[first + k + j] + spread
        good = And(
            *(Abs(p) > 0 for p in solved.pivots), *(Abs(p) < number.huge for p in solved.pivots)
        )
        code = pick(
            (self.state.code > HALF, self.state.code),
            (good & (residual <= number.residual), Integer(CONVERGED)),
            (good, Integer(STALLED)),
            other=Integer(SINGULAR),
        )
        stores = list(
            zip(self._errors(), (held[f"error {u}"] for u in program.unknowns), strict=True)
        )
        stores += [(fresh(f"row {r}"), held[r]) for r in reported(program, self.asked)]
        stores += [(fresh("row status"), code)]
        return make_phase(Lowering((), ()), lines, stores)

    def _slope(self) -> Phase:
        program, n, k = self.program, self.n, len(self.program.outputs)
        lines = self._lines(program.slopes.lines)
        name = Names(lines)
        found = self._copy(program.slopes.results)
        rows = [found[n + i * n : n + (i + 1) * n] for i in range(n)]
        solved = Elimination(rows, [[-found[i]] for i in range(n)], name)
        first = n + n * n
        stores = []
        for output in self.asked.outputs:
            j = program.outputs.index(output)
            slopes = found[first + k + j * n : first + k + (j + 1) * n]
            moved = _sum(g * row[0] for g, row in zip(slopes, solved.solutions, strict=True))
            stores.append((fresh(f"lane_slope_{output}"), found[first + j] + moved))
        return make_phase(Lowering((), ()), lines, stores)


def reported(program: CoupledProgram, asked: Asked) -> list[str]:
    """Return the rows that ``report`` stores: all but unknowns, slopes, status and steps."""
    slopes = {f"d{o}_d{program.slope_control}" for o in asked.outputs}
    slopes |= {f"error {s}" for s in slopes}
    known = {*program.unknowns, *slopes, "status", "steps"}
    return [r for r in row_names(program, asked) if r not in known]


def _sum(terms: Iterable[Expr]) -> Expr:
    total: Expr = Integer(0)
    for term in terms:
        total += term
    return total
