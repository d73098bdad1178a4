"""The solver of a triangular Program as branch-free phases over independent lanes.

Stage: a Program and what is asked of it in, a ``LaneProgram`` out: straight-line phases in which
every decision is a selection, so that a target can run many points side by side in vector units. A
point that has converged is frozen: its numbers do not depend on which other points it shares a
block with.

========  ==========================================================================================
phase     what it does
========  ==========================================================================================
setup     invariants of the point, the start (an upper bound), the bracket
tower     one Newton step on the tower inside the bracket; repeated while any lane is ``on``
between   what the polish starts from
polish    one Newton step on the full system; repeated while any lane is ``on``
finish    rows of the result; lanes with a residual above rounding are ``on`` for another round
========  ==========================================================================================

The tower stops as soon as its step is below ``NEAR``; its last step is not taken, because the first
step of the polish, which sees the same point, takes it without the rounding of the elimination.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Abs, Add, And, Expr, Function, Integer, Max, Or, Piecewise, Pow, Rational, Symbol
from sympy.logic.boolalg import Boolean

from derive.block import Block, Line, fresh, symbols_of
from derive.coupled import AnyProgram
from derive.errors import UnknownNameError
from derive.printing.lower import Lowering
from derive.program import UNIT, Program

MAX_STEPS = 200
POLISH_STEPS = 40
NEAR = Rational(1, 10**8)
"""Relative step below which the next Newton error is at rounding level (steps square)."""
LOOSER = ((6, NEAR), (12, Rational(1, 10**6)), (POLISH_STEPS, Rational(1, 10**4)))
"""Polish: tolerance up to each step; a noisy point settles for less, and its error says so."""
ROUNDS = 4
"""Rounds of polish and finish; the first suffices unless the equations are nearly degenerate."""
AGAIN = (3, Rational(1, 10**15))
"""Steps and tolerance of the polish in later rounds."""
_ROUNDED = 2
"""Residual in rounding units, relative to its rounding bound, that needs no other round."""
RESIDUAL = Rational(1, 10**12)
"""Relative residual above which a point has stalled; below it, the errors carry the residual."""
_HUGE = Integer(10) ** 300
_TINY = Rational(1, 10**100)
"""Floor of an unknown; its square and the inverse of its square are doubles."""
_HALF = Rational(1, 2)


@dataclass(frozen=True)
class Asked:
    """What an evaluator returns besides unknowns, residual and status.

    Attributes:
        outputs: names of the outputs.
        errors: error bounds of unknowns and outputs.
        slopes: derivatives of the outputs in the slope control.
    """

    outputs: tuple[str, ...]
    errors: bool = True
    slopes: bool = True


@dataclass(frozen=True)
class Phase:
    """A block whose results are stored in lanes: ``stores[i] = results[i]``, all at once."""

    block: Block
    stores: tuple[Symbol, ...]

    @property
    def operations(self) -> int:
        """Number of operations of one lane."""
        return self.block.operations

    @property
    def divisions(self) -> int:
        """Number of divisions and square roots of one lane."""
        exprs = [e for _, e in self.block.lines] + list(self.block.results)
        powers = (p for e in exprs for p in e.atoms(Pow))
        return sum(1 for p in powers if p.exp.is_negative or not p.exp.is_Integer)


@dataclass(frozen=True)
class LaneProgram:
    """Phases and the lines that come before all of them.

    Attributes:
        program: what is solved.
        asked: what is returned.
        call: lines computed once per call, from constants.
        setup, tower, between, polish, finish: phases, see the module.
        tolerance: the symbol that holds the tolerance of the polish.
        on: the lane that is 1 while a point is being solved.
        rows: names of what ``finish`` stores, in order, before ``on``; the last two are status and
            steps.
    """

    program: Program
    asked: Asked
    call: tuple[Line, ...]
    setup: Phase
    tower: Phase
    between: Phase
    polish: Phase
    finish: Phase
    tolerance: Symbol
    on: Symbol
    rows: tuple[str, ...]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order."""
        return (self.setup, self.tower, self.between, self.polish, self.finish)

    def special_functions(self) -> tuple[str, ...]:
        """Return names of the functions that are more than arithmetic, roots and selections."""
        exprs = [e for _, e in self.call]
        for phase in self.phases:
            exprs += [e for _, e in phase.block.lines] + list(phase.block.results)
        names = {type(f).__name__ for e in exprs for f in e.atoms(Function)}
        powers = {p for e in exprs for p in e.atoms(Pow)}
        odd = any(not (p.exp.is_Integer or abs(p.exp) == _HALF) for p in powers)
        return tuple(sorted(names - {"Abs", "Piecewise"} | ({"pow"} if odd else set())))

    def slots(self) -> tuple[Symbol, ...]:
        """Return the symbols that live in lanes: controls first, then what phases store."""
        order = dict.fromkeys((*self.program.inputs, *(s for p in self.phases for s in p.stores)))
        return tuple(order)


def all_of(program: Program) -> Asked:
    """Return the request for everything a program can give."""
    return Asked(program.outputs)


def lane_program(program: Program, asked: Asked | None = None) -> LaneProgram:
    """Return the phases of a program.

    Raises:
        UnknownNameError: for an output that the program does not have.
    """
    chosen = asked or all_of(program)
    for name in chosen.outputs:
        if name not in program.outputs:
            raise UnknownNameError(
                f"output {name!r}",
                f"{program.name} has {', '.join(program.outputs)}",
                "use one of them",
            )
    return _Phases(program, chosen).build()


def row_names(program: AnyProgram, asked: Asked) -> tuple[str, ...]:
    """Return the names of the rows of a result, in the order of ``finish``."""
    slopes = [f"d{o}_d{program.slope_control}" for o in asked.outputs] if asked.slopes else []
    errors = [f"error {n}" for n in (*program.unknowns, *asked.outputs)] if asked.errors else []
    spreads = [f"error {s}" for s in slopes] if asked.errors else []
    return (
        *program.unknowns,
        "residual",
        *asked.outputs,
        *slopes,
        *errors,
        *spreads,
        "status",
        "steps",
    )


class _Phases:
    """Builds the phases of one program; see ``lane_program``."""

    def __init__(self, program: Program, asked: Asked) -> None:
        self.program, self.asked = program, asked
        by_name = {s.name: s for s in program.newton.inputs}
        self.real = {by_name[u]: fresh(f"lane_{u}") for u in program.unknowns}
        self.x = tuple(self.real.values())
        self.low, self.high, self.on, self.count, self.code = (
            fresh(f"lane_{n}") for n in ("low", "high", "on", "count", "code")
        )
        self.tolerance = fresh("lane_tolerance")
        constants = [s for s, _ in program.constants]
        self.lowering = Lowering([UNIT, self.tolerance, *constants], program.inputs)

    def build(self) -> LaneProgram:
        tower, between, polish = self._tower(), self._between(), self._polish()
        finish = self._finish()
        start = self.lowering.block(self.program.start).results[0]
        needed = {s for p in (tower, between, polish, finish) for s in p.block.inputs}
        call_level = {s for s, _ in self.lowering.call}
        kept = tuple(s for s, _ in self.lowering.point if s in needed and s not in call_level)
        return LaneProgram(
            program=self.program,
            asked=self.asked,
            call=self.lowering.call,
            setup=self._setup(start, kept),
            tower=tower,
            between=between,
            polish=polish,
            finish=finish,
            tolerance=self.tolerance,
            on=self.on,
            rows=row_names(self.program, self.asked),
        )

    def _copy(self, block: Block, tag: str = "") -> tuple[list[Line], list[Expr]]:
        """Return lines and results with unknowns replaced by lanes, which have no sign.

        With a tag, unknowns that the block defines get names of their own.
        """
        new = dict(self.real)
        if tag:
            defined = {s for s, _ in block.lines}
            new |= {s: fresh(f"lane_{s.name}_{tag}") for s in self.real if s in defined}
        lines = [(new.get(s, s), e.xreplace(new)) for s, e in block.lines]
        return lines, [e.xreplace(new) for e in block.results]

    def _phase(self, lines: Sequence[Line], stores: Sequence[tuple[Symbol, Expr]]) -> Phase:
        results = tuple(e for _, e in stores)
        inputs = _read(lines, results)
        return Phase(
            self.lowering.block(Block(inputs, tuple(lines), results).pruned()),
            tuple(s for s, _ in stores),
        )

    def _setup(self, start: Expr, kept: Sequence[Symbol]) -> Phase:
        known = fresh("lane_known")
        total = Add(*(Abs(c) for c in self.program.inputs)) + start
        lines = [
            *self.lowering.point,
            (known, _choose(Abs(total) < _HUGE, Integer(1), Integer(0))),
        ]
        stores = [
            (self.x[0], start * Rational(1000000001, 1000000000)),
            *((x, Integer(1)) for x in self.x[1:]),
            (self.low, Integer(0)),
            (self.high, _HUGE),
            (self.on, known),
            (self.count, Integer(0)),
            (self.code, _choose(known > _HALF, Integer(1), Integer(4))),
            *((s, s) for s in kept),
        ]
        results = tuple(e for _, e in stores)
        block = Block(_read(lines, results), tuple(lines), results).pruned()
        return Phase(block, tuple(s for s, _ in stores))

    def _tower(self) -> Phase:
        x0 = self.x[0]
        lines, results = self._copy(self.program.tower, "new")
        name = _Namer(lines)
        *tail, value, slope, guard = results
        value, guard = name("value", value), name("guard", guard)
        right = name("right", _choose(And(guard > 0, value >= 0), Integer(1), Integer(0)))
        low = name("low_next", _choose(right > _HALF, self.low, x0))
        high = name("high_next", _choose(right > _HALF, x0, self.high))
        middle = name("middle", _choose(high < _HUGE / 10, (low + high) / 2, 2 * x0))
        newton = name("newton", x0 - value / slope)
        inside = name("inside", _choose(newton > low, right, Integer(0)))
        step = name("step", _choose(inside > _HALF, newton, middle))
        near = name("near", _choose(Abs(step - x0) <= NEAR * x0, right, Integer(0)))
        tight = Rational(4, 10**16) * high
        done = name("done", _choose(high - low <= tight, Integer(1), near))
        finite = Or(Abs(value) < _HUGE, guard <= 0)
        alive = name("alive", _choose(finite, self.on, Integer(0)))
        go = name("go", _choose(done > _HALF, Integer(0), alive))
        seen = name("seen", _choose(right > _HALF, self.on, Integer(0)))
        stopped = name("stopped", _choose(done > _HALF, Integer(0), Integer(1)))
        ended = name("ended", _choose(alive > _HALF, stopped, Integer(4)))
        stores = [
            (x0, _choose(go > _HALF, step, x0)),
            *((x, _choose(seen > _HALF, t, x)) for x, t in zip(self.x[1:], tail, strict=True)),
            (self.low, low),
            (self.high, high),
            (self.count, self.count + self.on),
            (self.code, _choose(self.on > _HALF, ended, self.code)),
            (self.on, go),
        ]
        return self._phase(lines, stores)

    def _between(self) -> Phase:
        lines: list[Line] = []
        name = _Namer(lines)
        tight = self.high - self.low <= Rational(1, 10**10) * self.high
        bracketed = name("bracketed", _choose(tight, Integer(0), self.code))
        stalled = And(self.code > _HALF, self.code < 1 + _HALF)
        code = name("code_next", _choose(stalled, bracketed, self.code))
        stores = [
            *((x, Max(Abs(x), _TINY)) for x in self.x),
            (self.code, code),
            (self.on, _choose(code < _HALF, Integer(1), Integer(0))),
        ]
        return self._phase(lines, stores)

    def _polish(self) -> Phase:
        lines, results = self._copy(self.program.newton)
        name = _Namer(lines)
        moves = [name(f"move_{i}", d) for i, d in enumerate(results)]
        total = Add(*(Abs(d) for d in moves))
        alive = name("alive", _choose(total < _HUGE, self.on, Integer(0)))
        near = [Abs(d) <= self.tolerance * x for d, x in zip(moves, self.x, strict=True)]
        go = name("go", _choose(And(*near), Integer(0), alive))
        died = name("died", _choose(alive > _HALF, self.code, Integer(4)))
        stores = []
        for x, d in zip(self.x, moves, strict=True):
            moved = name(f"moved_{x}", x + d)
            floor = name(f"floor_{x}", NEAR * x)
            kept = name(f"kept_{x}", _choose(moved > floor, moved, floor))
            stores.append((x, _choose(alive > _HALF, kept, x)))
        stores += [
            (self.count, self.count + self.on),
            (self.code, _choose(self.on > _HALF, died, self.code)),
            (self.on, go),
        ]
        return self._phase(lines, stores)

    def _finish(self) -> Phase:
        program, asked, n = self.program, self.asked, len(self.x)
        lines, report = self._copy(program.report)
        more, slopes = self._copy(program.slopes)
        name = _Namer(lines)
        count = len(program.outputs)
        chosen = [program.outputs.index(o) for o in asked.outputs]
        residual = name("residual", report[0])
        found: dict[str, Expr] = dict(zip(program.unknowns, self.x, strict=True))
        found["residual"] = residual
        found |= {f"error {u}": report[1 + i] for i, u in enumerate(program.unknowns)}
        for k in chosen:
            o = program.outputs[k]
            s = f"d{o}_d{program.slope_control}"
            found[o] = report[1 + n + k]
            found[f"error {o}"] = report[1 + n + count + k]
            found[s], found[f"error {s}"] = slopes[k], slopes[count + k]
        if asked.slopes and chosen:
            lines.extend(_merged(lines, more, found, chosen, program))
        ended = name("ended", _choose(residual <= RESIDUAL, Integer(0), Integer(2)))
        found["status"] = _choose(self.code > _HALF, self.code, ended)
        found["steps"] = self.count
        rows = row_names(program, asked)
        stores = [(fresh(f"row_{i}"), found[r]) for i, r in enumerate(rows)]
        rough = And(residual > _ROUNDED * UNIT, self.code < _HALF)
        return self._phase(lines, [*stores, (self.on, _choose(rough, Integer(1), Integer(0)))])


def _merged(
    lines: Sequence[Line],
    more: Sequence[Line],
    found: dict[str, Expr],
    chosen: Sequence[int],
    program: Program,
) -> list[Line]:
    """Return the lines of ``more`` under names that do not clash; rewrites ``found`` for slopes."""
    known = dict(lines)
    new: dict[Symbol, Symbol] = {}
    out: list[Line] = []
    for symbol, expr in more:
        renamed = expr.xreplace(new)
        if known.get(symbol) == renamed:
            continue
        if symbol in known:
            new[symbol] = fresh(f"{symbol.name}_of_slopes")
        out.append((new.get(symbol, symbol), renamed))
    for k in chosen:
        s = f"d{program.outputs[k]}_d{program.slope_control}"
        for key in (s, f"error {s}"):
            found[key] = found[key].xreplace(new)
    return out


class _Namer:
    """Appends named lines."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    def __call__(self, name: str, expr: Expr) -> Expr:
        """Append ``lane_name = expr`` and return its symbol, always a new one."""
        symbol = fresh(f"lane_{name}")
        self.lines.append((symbol, expr))
        return symbol


def _choose(condition: Boolean | bool, value: Expr, other: Expr) -> Expr:
    return Piecewise((value, condition), (other, True), evaluate=False)


def _read(lines: Sequence[Line], results: Sequence[Expr]) -> tuple[Symbol, ...]:
    defined: set[Symbol] = set()
    read: set[Symbol] = set()
    for symbol, expr in lines:
        read |= set(symbols_of(expr)) - defined
        defined.add(symbol)
    for expr in results:
        read |= set(symbols_of(expr)) - defined
    return tuple(sorted(read, key=str))
