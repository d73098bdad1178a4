"""The quick pass of a triangular Program: what nearly every point needs, and no more.

Stage: beside ``lane_phases``, which holds the types. The start is an upper bound and the closing
equation convex, so plain Newton on the tower descends to the root; nearly no point needs a guard on
the way. The quick pass takes such steps and checks *afterwards* that all went well. A point for
which it did not is left to the careful pass, which starts anew.

========  ==========================================================================================
phase     what it does
========  ==========================================================================================
begin     invariants of the point, and the start
descend   one Newton step on the tower; repeated while any lane is ``far``. The step of a lane that
          is not far is not taken, so a lane that has converged repeats the same numbers
land      takes that step, the later unknowns along their tangents; the residual; a lane has
          ``failed`` unless its step was small, all branch conditions hold, the residual is at
          rounding level, and no two complements of a gap (``derive.gaps``) are small
========  ==========================================================================================

The tower loses the digits of the later unknowns, which are differences. The step along the tangents
restores them, as a Newton step on the full system does: it solves the closing equation in them.
"""

from collections.abc import Iterable
from dataclasses import replace

from sympy import Abs, Add, And, Expr, Integer, Min, Mul, Pow, Rational, Symbol
from sympy.logic.boolalg import Boolean

from derive.block import Block, fresh, renamed, symbols_of
from derive.printing.lane_phases import (
    CLOSE,
    HALF,
    NEAR,
    ROUNDED,
    Copy,
    Namer,
    Phase,
    Quick,
    choose,
    first_phase,
    hoisted,
    make_phase,
)
from derive.printing.lower import Lowering
from derive.program import UNIT

_ABOVE = 1 + Rational(1, 10**7)
"""Raises the start by more than the rounding of a rough one."""


def quick_phases(copy: Copy, lowering: Lowering) -> Quick:
    """Return the phases of a program."""
    return _Phases(copy, lowering).build()


class _Phases:
    """Builds the phases of one program."""

    def __init__(self, copy: Copy, lowering: Lowering) -> None:
        self.program, self.copy = copy.program, copy
        self.lowering, self.x = lowering, copy.x
        self.far, self.failed, self.count, self.move = (
            fresh(f"lane_{n}") for n in ("far", "failed", "count", "move")
        )

    def build(self) -> Quick:
        descend, land = self._descend(), self._land()
        start = self.lowering.block(self.program.start).results[0]
        kept = hoisted(self.lowering, (descend, land))
        return Quick(
            begin=self._begin(start, kept),
            descend=descend,
            land=land,
            far=self.far,
            failed=self.failed,
            count=self.count,
        )

    def _begin(self, start: Expr, kept: list[Symbol]) -> Phase:
        lines = list(self.lowering.point)
        stores = [(self.x[0], start * _ABOVE), (self.count, Integer(1)), *((s, s) for s in kept)]
        phase = first_phase(lines, stores)
        exact = _ancestors(phase.block, kept)
        return replace(phase, rough=frozenset(s for s, _ in phase.block.lines) - exact)

    def _descend(self) -> Phase:
        program, x0 = self.program, self.x[0]
        lines, results = self.copy(program.descent, "new")
        n = len(self.x)
        tail, value, slope, tangents = results[: n - 1], *results[n - 1 : n + 1], results[n + 1 :]
        name = Namer(lines)
        value, below = name("value", value), name("slope", slope)
        move = name("move", value / below)
        go = name("go", choose(self._is_far(value, move), Integer(1), Integer(0)))
        stores = [
            (x0, choose(go > HALF, x0 - move, x0)),
            *((x, t - r * move) for x, t, r in zip(self.x[1:], tail, tangents, strict=True)),
            (self.move, move),
            (self.count, self.count + go),
            (self.far, go),
        ]
        return _rough(make_phase(self.lowering, lines, stores), [below])

    def _is_far(self, value: Expr, move: Expr) -> Boolean:
        """Return whether another step is needed before the last one.

        The right side of ``control = rhs(x_0)`` is convex and no later unknown, nor ``rhs`` itself,
        changes relatively less than ``x_0``: so the relative defect bounds the relative steps of
        all unknowns, also of those that are small differences. It is known before the division.
        Where the control is so small that rounding alone exceeds the bound (a ridge below 1e-9 or
        so), the point takes all its steps, and the careful pass if those do not suffice.
        """
        terms = Add.make_args(self.program.descent.results[len(self.x) - 1])
        controls = [-t for t in terms if -t in self.program.inputs]
        if len(controls) == 1:
            return Abs(value) > CLOSE * Abs(controls[0])
        return Abs(move) > NEAR * self.x[0]

    def _land(self) -> Phase:
        x0 = self.x[0]
        landed = fresh("lane_landed")
        lines, residual, margins = self.copy.landing()
        more, holds = self.copy(_needed(self.program.proof.conditions))
        known = {s for s, _ in lines}
        lines += [line for line in more if line[0] not in known]
        largest = Namer(lines)("residual", residual)
        apart = [Min(*margins, evaluate=False)] if margins else []
        good = And(largest <= ROUNDED * UNIT, self.far < HALF, *(c > 0 for c in (*holds, *apart)))
        rows = (*self.x, largest, Integer(0), self.count, choose(good, Integer(0), Integer(1)))
        places = (*(fresh(f"row_{i}") for i in range(len(rows) - 1)), self.failed)
        here = {x0: landed}
        lines = [(landed, x0 - self.move), *((s, renamed(e, here)) for s, e in lines)]
        stores = [(p, renamed(e, here)) for p, e in zip(places, rows, strict=True)]
        phase = make_phase(self.lowering, lines, stores)
        ratios = self.program.landing.results[0].atoms(Pow)
        return _rough(phase, (r.base for r in ratios if r.exp == -1))


def _needed(conditions: Block) -> Block:
    """Leave out what is positive wherever the unknowns are: conditions, and factors of others."""
    open_ = (c for c in conditions.results if c.is_Symbol or not c.is_positive)
    kept = tuple(Mul(*(f for f in Mul.make_args(c) if c == f or not f.is_positive)) for c in open_)
    return Block(conditions.inputs, conditions.lines, kept).pruned()


def _rough(phase: Phase, bases: Iterable[Expr]) -> Phase:
    """Mark the reciprocals of some symbols as rough."""
    wanted = {1 / b for b in bases}
    return replace(phase, rough=frozenset(s for s, e in phase.block.lines if e in wanted))


def _ancestors(block: Block, results: Iterable[Symbol]) -> set[Symbol]:
    """Return the lines of a block on which some symbols depend, themselves included."""
    needed = set(results)
    for symbol, expr in reversed(block.lines):
        if symbol in needed:
            needed.update(symbols_of(expr))
    return needed
