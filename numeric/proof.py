"""Roots in balls at one point: ball Newton, an interval Newton inclusion, branch conditions.

Stage: below ``certify`` and ``selftest``. An ``Engine`` holds the proof blocks of one Program and
returns a ``PointProof`` for exact controls and a float64 start; the argument is in ``certify``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from functools import partial
from typing import Any

from flint import arb, arb_mat, ctx, fmpq
from sympy import Expr

from derive.balls import Ball, enclose
from derive.coupled import AnyProgram, CoupledProgram
from derive.enclosing.ball_program import working_precision
from derive.errors import UnknownNameError
from derive.printing.ball_code import ball_source
from derive.program import Program
from derive.random_matrices.stability import Stability
from derive.tables import table_function
from numeric.kept import kept

_LOG2_10 = math.log2(10)
GUARD_BITS = 40
FIRST_BITS = 36
"""Relative accuracy that a float64 answer is taken to have; a worse one costs one more step."""
_TRIES = 4
_RAISES = 5
_SHOWN = 60
"""Digits that a repr shows at most."""


class Verdict(IntEnum):
    """What is proved at one point; ``statement`` says it in words."""

    PHYSICAL = 0
    UNIQUE = 1
    NOT_PHYSICAL = 2
    UNDECIDED = 3
    DISAGREES = 4
    NOT_PROVED = 5
    NO_ANSWER = 6

    @property
    def statement(self) -> str:
        """What is proved, in words."""
        return _STATEMENTS[self]


_STATEMENTS = {
    Verdict.PHYSICAL: "the physical root, and no other root, is in this ball",
    Verdict.UNIQUE: "a unique root is in this ball, and every stated branch condition holds there",
    Verdict.NOT_PHYSICAL: "a unique root is in this ball, but it is not the physical one",
    Verdict.UNDECIDED: "a unique root is in this ball; whether it is physical is not decided",
    Verdict.DISAGREES: "the root in this ball is not the answer that was to be certified",
    Verdict.NOT_PROVED: "nothing is proved",
    Verdict.NO_ANSWER: "there was no answer to certify",
}
PROVED = (Verdict.PHYSICAL, Verdict.UNIQUE)


@dataclass(frozen=True)
class PointProof:
    """What is proved at one point.

    Attributes:
        verdict: what is proved.
        reason: why nothing more is proved; empty for PHYSICAL.
        controls: the controls as exact numbers, by name.
        enclosures: unknowns, outputs and slopes as python-flint balls, by name; empty if no root
            was enclosed.
        digits: significant digits of the least accurate unknown or output; 0 without enclosures.
    """

    verdict: Verdict
    reason: str
    controls: Mapping[str, Fraction | Expr]
    enclosures: Mapping[str, arb] = field(default_factory=dict)
    digits: int = 0

    def __getitem__(self, name: str) -> Ball:
        if name not in self.enclosures:
            known = ", ".join(self.enclosures) or f"nothing ({self.verdict.statement})"
            raise UnknownNameError(f"ball of {name!r}", f"this proof holds {known}", "use a name")
        return Ball.from_arb(self.enclosures[name])

    def __repr__(self) -> str:
        at = ", ".join(f"{k}={v}" for k, v in self.controls.items())
        rows = [f"PointProof({self.verdict.statement}; {at})"]
        rows += [f"  because: {self.reason}"] if self.reason else []
        rows += [
            f"  {name:14s} {self[name].str(min(self.digits, _SHOWN))}" for name in self.enclosures
        ]
        return "\n".join(rows)


class Engine:
    """Ball arithmetic for one Program: prints its proof blocks once, keeps its constants.

    Args:
        program: what to prove roots of.
    """

    def __init__(self, program: AnyProgram) -> None:
        self.program = program
        self.inputs = tuple(q.name for q in program.inputs)
        control = program.slope_control
        slopes = [f"d{o}_d{control}" for o in program.outputs] if control else []
        self.names = (*program.unknowns, *program.outputs, *slopes)
        self.standing = standing(program)
        self._constants: dict[int, list[arb]] = {}
        self._means: int = 0
        self._run: dict[str, Any] = {"ball": arb, "ratio": _ratio, "choose": _choose}
        exec(ball_source(program), self._run)  # our own printed code
        self._coupled = isinstance(program, CoupledProgram)
        if self._coupled:
            self._run |= coupled_functions(self._run, len(program.unknowns), len(slopes))

    def prove(
        self,
        controls: Mapping[str, Fraction | Expr],
        start: Sequence[float],
        digits: int,
        outputs: bool = True,
    ) -> PointProof:
        """Prove the root near ``start`` at exact controls, to ``digits`` significant digits.

        Without ``outputs`` unknowns alone are enclosed.
        """
        wanted, best = bits_of(digits), None
        with working_precision(wanted + GUARD_BITS):
            for _ in range(_RAISES):
                bits = ctx.prec = wanted + GUARD_BITS
                values = self._values(controls, bits)
                found = self._root(values, start, bits, wanted)
                if found is not None:
                    best = self._proof(values, found, controls, outputs)
                    if best.digits >= digits:
                        return best
                wanted = 2 * wanted if found is None else wanted + self._lacking(best, digits)
        if best is not None:
            return best
        reason = "the interval Newton step does not map the box into itself"
        return PointProof(Verdict.NOT_PROVED, reason, controls)

    @staticmethod
    def _lacking(best: PointProof | None, digits: int) -> int:
        """Return how many more bits are needed, with a margin."""
        reached = best.digits if best is not None else 0
        return math.ceil(1.2 * (digits - reached) * _LOG2_10) + GUARD_BITS

    def _values(self, controls: Mapping[str, Fraction | Expr], bits: int) -> list[arb]:
        """Return the balls of controls and constants at the current precision."""
        if bits not in self._constants:
            digits = math.ceil((bits + 8) / _LOG2_10)
            balls = [enclose(e, digits).arb() for _, e in self.program.constants]
            self._constants[bits] = balls
        self._tabulate(bits)
        values = [_number(controls[n], bits) for n in self.inputs]
        return values + self._constants[bits]

    def _tabulate(self, bits: int) -> None:
        """Make the means over tables at the current precision."""
        if bits != self._means:
            self._means = bits
            for f in getattr(self.program, "means", ()):
                self._run[f.head] = table_function(f, partial(_number, bits=bits))

    def _root(
        self, values: list[arb], start: Sequence[float], bits: int, wanted: int
    ) -> list[arb] | None:
        """Refine a start by Newton and return balls that are proved to hold exactly one root.

        A Newton step is the inclusion step of a box that is a point.
        """
        if not all(math.isfinite(v) and (v != 0 or self._coupled) for v in start):
            return None
        m = [arb(v) for v in start]
        known = FIRST_BITS
        inclusion = self._run["inclusion"]
        while 2 * known < wanted + 12:
            ctx.prec = min(bits, 2 * known + GUARD_BITS)
            m = [(v + d).mid() for v, d in zip(m, inclusion(*values, *m, *m), strict=True)]
            known *= 2
        ctx.prec = bits
        size = arb(2) ** (6 - known)
        one = arb(1, size)
        for _ in range(_TRIES):
            box, limits = self._box(m, one, size)
            step = inclusion(*values, *box, *m)
            inside = all(abs(d) < r for d, r in zip(step, limits, strict=True))
            moved = [v + d for v, d in zip(m, step, strict=True)]
            if inside:
                return moved
            m = [v.mid() for v in moved]
            if not all(v.is_finite() for v in m):
                m = [(v + d).mid() for v, d in zip(m, inclusion(*values, *m, *m), strict=True)]
        return None

    def _box(self, m: list[arb], one: arb, size: arb) -> tuple[list[arb], list[arb]]:
        """Return balls about the points, and lower bounds of their radii.

        Unknowns of triangular systems are positive and differ in scale; those of coupled systems
        may vanish and share one scale.
        """
        if not self._coupled:
            return [v * one for v in m], [abs(v) * size for v in m]
        radius = max(abs(v) for v in m) * size
        return [v + arb(0, radius.upper()) for v in m], [radius] * len(m)

    def _proof(
        self,
        values: list[arb],
        x: list[arb],
        controls: Mapping[str, Fraction | Expr],
        outputs: bool,
    ) -> PointProof:
        results = list(x)
        for block in ("outputs", "slopes") if outputs else ():
            results += self._run[block](*values, *x)
        verdict, reason = self._verdict(self._run["conditions"](*values, *x))
        if isinstance(self.program, CoupledProgram) and self.program.stability is not None:
            verdict, reason = self._branch(self.program.stability, values, x)
        scale = max(abs(v.mid()) for v in x) if self._coupled else arb(0)
        sharp = min(_digits(v, scale) for v in results)
        return PointProof(
            verdict, reason, controls, dict(zip(self.names, results, strict=False)), sharp
        )

    def _branch(self, test: Stability, values: list[arb], x: list[arb]) -> tuple[Verdict, str]:
        """Decide whether the root of coupled equations is the limit of the matrices."""
        names = (*self.inputs, *self.program.unknowns)
        found = test.test_named(dict(zip(names, [*values, *x], strict=True)), estimate=False)
        if found.proved:
            return Verdict.PHYSICAL, ""
        return Verdict.UNIQUE, f"continuation chose the branch; {found.reason}"

    def _verdict(self, conditions: Sequence[arb]) -> tuple[Verdict, str]:
        proof = getattr(self.program, "proof", None)
        meanings = proof.meanings if proof else ()
        for value, meaning in zip(conditions, meanings, strict=True):
            if value <= 0:
                return Verdict.NOT_PHYSICAL, f"it fails that {meaning}"
        for value, meaning in zip(conditions, meanings, strict=True):
            if not value > 0:
                return Verdict.UNDECIDED, f"it is not separated from zero that {meaning}"
        return self.standing


_ENGINES: dict[int, Engine] = {}


def engine_of(program: AnyProgram) -> Engine:
    """Return the engine of a program, made once."""
    return kept(_ENGINES, id(program), lambda: Engine(program))


def standing(program: AnyProgram) -> tuple[Verdict, str]:
    """Return what is proved by a unique root in a ball at which all conditions hold, and why."""
    if isinstance(program, CoupledProgram):
        test = program.stability
        obstacle = "there is no test of it here" if test is None else test.obstacle
        reason = f"continuation chose the branch; {obstacle or 'it is tested at each point'}"
        return Verdict.UNIQUE, reason
    doubts = _doubts(program)
    if doubts:
        return Verdict.UNDECIDED, "; ".join(doubts)
    if not program.proof.uniqueness:
        return Verdict.UNIQUE, "no argument is known that such a root is the only one"
    return Verdict.PHYSICAL, ""


def _doubts(program: Program) -> tuple[str, ...]:
    """Say which constants are not proved, or not proved to lie in their declared range."""
    doubts = [
        f"the rule behind {table.name} is not proved: estimated error {float(table.error):.1e}"
        for table in dict.fromkeys(f.table for f in program.means)
        if table.error
    ]
    for symbol, expr in program.constants:
        ball = enclose(expr, 30)
        if not ball.rigorous:
            doubts.append(f"the constant {symbol} is not proved: {ball.reason}")
        if symbol.is_nonnegative and not (ball > 0 if symbol.is_positive else ball >= 0):
            doubts.append(f"{symbol} is not proved to be {'>' if symbol.is_positive else '>='} 0")
    return tuple(doubts)


def _number(value: Fraction | Expr, bits: int) -> arb:
    if isinstance(value, Fraction):
        return arb(value.numerator) / value.denominator
    return enclose(value, math.ceil((bits + 8) / _LOG2_10)).arb()


def _digits(value: arb, scale: arb) -> int:
    """Return proved significant digits, at most those of the working precision.

    Digits may also be counted from ``scale``; a value below 10^-300 in size counts by that size.
    """
    bits = min(value.rel_accuracy_bits(), ctx.prec)
    if bits < ctx.prec and scale > 0:
        bits = max(bits, min((value + arb(scale, value.rad())).rel_accuracy_bits(), ctx.prec))
    if bits < 0 and value.abs_upper() < arb(10) ** -300:
        return 300
    return max(0, math.floor(bits / _LOG2_10))


def bits_of(digits: int) -> int:
    """Return the relative bits that make a number of significant digits."""
    return math.ceil(digits * _LOG2_10) + 2


def coupled_functions(run: Mapping[str, Any], n: int, slopes: int) -> dict[str, Any]:
    """Return the functions of a proof for coupled equations, from their defects and Jacobian.

    Linear systems are solved in balls: the solution holds that of every matrix in the ball matrix,
    and a matrix that may be singular gives balls that are not finite.
    """
    defects, jacobian, direct = run["defects"], run["jacobian"], run["slopes"]

    def solve(entries: Sequence[arb], right: Sequence[arb]) -> list[arb]:
        try:
            found = arb_mat(n, n, list(entries)).solve(arb_mat(n, 1, [-v for v in right]))
        except ZeroDivisionError:
            return [arb.nan()] * n
        return list(found.entries())

    def inclusion(*args: arb) -> list[arb]:
        values, box, points = args[: -2 * n], args[-2 * n : -n], args[-n:]
        return solve(jacobian(*values, *box), defects(*values, *points))

    def slope(*args: arb) -> list[arb]:
        if not slopes:
            return []
        rows = direct(*args)
        moved = solve(rows[n : n + n * n], rows[:n])
        own, gradients = rows[n + n * n :][:slopes], rows[n + n * n + slopes :]
        return [
            d + sum((g * v for g, v in zip(gradients[k * n :], moved, strict=False)), arb(0))
            for k, d in enumerate(own)
        ]

    return {
        "inclusion": inclusion,
        "conditions": lambda *args: (),
        "slopes": slope,
    }


def _ratio(p: int, q: int) -> arb:
    return arb(fmpq(p, q))


def _choose(yes: bool, no: bool, a: arb, b: Any) -> arb:
    if yes:
        return a
    return arb(b) if no else a.union(arb(b))
