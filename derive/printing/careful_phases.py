"""The careful pass of a triangular Program: every step is guarded by a bracket.

Stage: beside ``lane_phases``, which holds the types. A point that has converged is frozen.

========  ==========================================================================================
phase     what it does
========  ==========================================================================================
setup     invariants of the point, the start (an upper bound), the bracket
tower     one Newton step on the tower inside the bracket; repeated while any lane is ``on``
between   what the polish starts from
polish    one Newton step on the full system; repeated while any lane is ``on``
finish    the residual; lanes with a residual above rounding are ``on`` for another round
========  ==========================================================================================

The tower stops as soon as its step is below ``NEAR``; its last step is not taken, because the first
step of the polish, which sees the same point, takes it without the rounding of the elimination.
"""

from collections.abc import Sequence

from sympy import Abs, Add, And, Expr, Integer, Max, Or, Rational, Symbol

from derive.block import Line, fresh
from derive.printing.lane_phases import (
    HALF,
    HUGE,
    NEAR,
    RESIDUAL,
    ROUNDED,
    TINY,
    Careful,
    Copy,
    Namer,
    Phase,
    choose,
    first_phase,
    hoisted,
    make_phase,
)
from derive.printing.lower import Lowering
from derive.program import UNIT


def careful_phases(copy: Copy, lowering: Lowering, tolerance: Symbol) -> Careful:
    """Return the phases of a program; ``tolerance`` is a constant of the lowering."""
    return _Phases(copy, lowering, tolerance).build()


class _Phases:
    """Builds the phases of one program."""

    def __init__(self, copy: Copy, lowering: Lowering, tolerance: Symbol) -> None:
        self.program, self.copy = copy.program, copy
        self.lowering, self.tolerance, self.x = lowering, tolerance, copy.x
        self.low, self.high, self.on, self.count, self.code = (
            fresh(f"lane_{n}") for n in ("low", "high", "on", "count", "code")
        )

    def build(self) -> Careful:
        tower, between, polish = self._tower(), self._between(), self._polish()
        finish = self._finish()
        start = self.lowering.block(self.program.start).results[0]
        kept = hoisted(self.lowering, (tower, between, polish, finish))
        return Careful(
            setup=self._setup(start, kept),
            tower=tower,
            between=between,
            polish=polish,
            finish=finish,
            tolerance=self.tolerance,
            on=self.on,
        )

    def _setup(self, start: Expr, kept: Sequence[Symbol]) -> Phase:
        known = fresh("lane_known")
        total = Add(*(Abs(c) for c in self.program.inputs)) + start
        lines = [
            *self.lowering.point,
            (known, choose(Abs(total) < HUGE, Integer(1), Integer(0))),
        ]
        stores = [
            (self.x[0], start * Rational(1000000001, 1000000000)),
            *((x, Integer(1)) for x in self.x[1:]),
            (self.low, Integer(0)),
            (self.high, HUGE),
            (self.on, known),
            (self.count, Integer(0)),
            (self.code, choose(known > HALF, Integer(1), Integer(4))),
            *((s, s) for s in kept),
        ]
        return first_phase(lines, stores)

    def _tower(self) -> Phase:
        x0 = self.x[0]
        lines, results = self.copy(self.program.tower, "new")
        name = Namer(lines)
        *tail, value, slope, guard = results
        value, guard = name("value", value), name("guard", guard)
        right = name("right", choose(And(guard > 0, value >= 0), Integer(1), Integer(0)))
        low = name("low_next", choose(right > HALF, self.low, x0))
        high = name("high_next", choose(right > HALF, x0, self.high))
        middle = name("middle", choose(high < HUGE / 10, (low + high) / 2, 2 * x0))
        newton = name("newton", x0 - value / slope)
        inside = name("inside", choose(newton > low, right, Integer(0)))
        step = name("step", choose(inside > HALF, newton, middle))
        near = name("near", choose(Abs(step - x0) <= NEAR * x0, right, Integer(0)))
        tight = Rational(4, 10**16) * high
        done = name("done", choose(high - low <= tight, Integer(1), near))
        finite = Or(Abs(value) < HUGE, guard <= 0)
        alive = name("alive", choose(finite, self.on, Integer(0)))
        go = name("go", choose(done > HALF, Integer(0), alive))
        seen = name("seen", choose(right > HALF, self.on, Integer(0)))
        stopped = name("stopped", choose(done > HALF, Integer(0), Integer(1)))
        ended = name("ended", choose(alive > HALF, stopped, Integer(4)))
        stores = [
            (x0, choose(go > HALF, step, x0)),
            *((x, choose(seen > HALF, t, x)) for x, t in zip(self.x[1:], tail, strict=True)),
            (self.low, low),
            (self.high, high),
            (self.count, self.count + self.on),
            (self.code, choose(self.on > HALF, ended, self.code)),
            (self.on, go),
        ]
        return make_phase(self.lowering, lines, stores)

    def _between(self) -> Phase:
        lines: list[Line] = []
        name = Namer(lines)
        tight = self.high - self.low <= Rational(1, 10**10) * self.high
        bracketed = name("bracketed", choose(tight, Integer(0), self.code))
        stalled = And(self.code > HALF, self.code < 1 + HALF)
        code = name("code_next", choose(stalled, bracketed, self.code))
        stores = [
            *((x, Max(Abs(x), TINY, evaluate=False)) for x in self.x),
            (self.code, code),
            (self.on, choose(code < HALF, Integer(1), Integer(0))),
        ]
        return make_phase(self.lowering, lines, stores)

    def _polish(self) -> Phase:
        lines, results = self.copy(self.program.newton)
        name = Namer(lines)
        moves = [name(f"move_{i}", d) for i, d in enumerate(results)]
        total = Add(*(Abs(d) for d in moves))
        alive = name("alive", choose(total < HUGE, self.on, Integer(0)))
        near = [Abs(d) <= self.tolerance * x for d, x in zip(moves, self.x, strict=True)]
        go = name("go", choose(And(*near), Integer(0), alive))
        died = name("died", choose(alive > HALF, self.code, Integer(4)))
        stores = []
        for x, d in zip(self.x, moves, strict=True):
            moved = name(f"moved_{x}", x + d)
            floor = name(f"floor_{x}", NEAR * x)
            kept = name(f"kept_{x}", choose(moved > floor, moved, floor))
            stores.append((x, choose(alive > HALF, kept, x)))
        stores += [
            (self.count, self.count + self.on),
            (self.code, choose(self.on > HALF, died, self.code)),
            (self.on, go),
        ]
        return make_phase(self.lowering, lines, stores)

    def _finish(self) -> Phase:
        lines, largest = self.copy.residual()
        name = Namer(lines)
        residual = name("residual", largest)
        ended = name("ended", choose(residual <= RESIDUAL, Integer(0), Integer(2)))
        status = choose(self.code > HALF, self.code, ended)
        rough = And(residual > ROUNDED * UNIT, self.code < HALF)
        rows = (*self.x, residual, status, self.count, choose(rough, Integer(1), Integer(0)))
        places = (*(fresh(f"row_{i}") for i in range(len(rows) - 1)), self.on)
        return make_phase(self.lowering, lines, list(zip(places, rows, strict=True)))
