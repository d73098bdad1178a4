r"""The machine of the continuation: what a point does after each Newton correction.

Stage: below ``path_phases``. Moves, rates and pivots of one correction and the state of a point in,
the next state out. The rules are those of ``numeric.continuation``:

* predict along the tangent with the curvature of the last step; the first correction of a predicted
  point must be small (``near``), the second smaller still by the factor ``contracts``. Then Newton
  was inside its basin, and the root is the continuation of the last one; otherwise the step is cut.
* where no step is short enough, the point ends: on a singular matrix or on a lost branch. So no
  branch is ever jumped over silently.

All conditions are flags, lines that are 0 or 1; NaN meets none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Abs, And, Expr, Integer, Or, Rational, Symbol, sqrt
from sympy.logic.boolalg import Boolean

from derive.block import fresh
from derive.coupled import PATH
from derive.printing.elimination import Elimination, Names, largest, pick
from derive.printing.lane_phases import HALF, RESIDUAL

BEGIN, SEEK, END, NEAR, CLOSE, JUDGE = range(6)
CONVERGED, MAX_STEPS, STALLED, NONFINITE, BRANCH_LOST, SINGULAR = 0, 1, 2, 4, 6, 7
TICKS = 10000
"""Corrections after which a point is given up."""
TRIES = 59
AGAIN = 8
"""Corrections by which an accepted step must have settled down."""


@dataclass(frozen=True)
class PathNumbers:
    """The thresholds of the continuation in one precision; all are relative.

    Attributes:
        unit: rounding unit.
        huge, tiny: stand for infinity and the least positive number.
        still: a correction at rounding level.
        noise: a correction that may stop shrinking: rounding, which the errors carry.
        residual: largest residual of a converged point.
        shortest, least: steps below which no step is short enough, relative to tau and absolute.
        near, contracts, close: the first correction of a good step, how much smaller the second
            must be, and the one that ends it.
        pivot: smallest pivot of a matrix that is not singular.
    """

    unit: Rational = Rational(1, 2**53)
    huge: Expr = Integer(10) ** 300
    tiny: Expr = Rational(1, 10**300)
    still: Rational = Rational(2, 10**16)
    noise: Rational = Rational(1, 10**7)
    residual: Rational = RESIDUAL
    shortest: Rational = Rational(1, 10**14)
    least: Rational = Rational(1, 10**40)
    near: Rational = Rational(1, 20)
    contracts: Rational = Rational(1, 4)
    close: Rational = Rational(1, 10**4)
    pivot: Rational = Rational(1, 10**4)


DOUBLE = PathNumbers()
SINGLE = PathNumbers(
    unit=Rational(1, 2**24),
    huge=Integer(10) ** 30,
    tiny=Rational(1, 10**30),
    still=Rational(1, 10**7),
    noise=Rational(1, 10**3),
    residual=RESIDUAL * 2**29,
    shortest=Rational(1, 10**6),
    least=Rational(1, 10**30),
    close=Rational(1, 10**3),
)


class State:
    """The lanes of a point on its way.

    Attributes:
        x: unknowns, where the next correction is made.
        base, rate, bend: unknowns at ``tau``, their rates in it, and half their curvature there.
        seen: what the unknowns recently were.
        tau: where the path has been followed to; the correction is made at ``PATH``.
        step: length of the step from ``tau``.
        mode, begun: what the next correction is for, and whether there are rates yet.
        tries, prior, first: corrections in this mode, the last one, the first one of this step.
        on, code, count: 1 while the point is on its way, its status, all its corrections.
    """

    def __init__(self, x: Sequence[Symbol]) -> None:
        def group(name: str) -> tuple[Symbol, ...]:
            return tuple(fresh(f"lane_{name}_{i}") for i in range(len(x)))

        self.x = tuple(x)
        self.base, self.rate, self.bend, self.seen = map(group, ("base", "rate", "bend", "seen"))
        self.tau, self.step, self.mode, self.begun = _lanes("tau", "step", "mode", "begun")
        self.tries, self.prior, self.first = _lanes("tries", "prior", "first")
        self.on, self.code, self.count = _lanes("on", "code", "count")

    def start(self, values: Sequence[Expr], numbers: PathNumbers) -> list[tuple[Symbol, Expr]]:
        """Return the state of a point that starts at some values."""
        zeros = [*self.rate, *self.bend, *self.seen, PATH, self.tau, self.mode]
        zeros += [self.begun, self.tries, self.first, self.count, self.code]
        known = [*zip(self.x, values, strict=True), *zip(self.base, values, strict=True)]
        return [
            *known,
            *((s, Integer(0)) for s in zeros),
            (self.prior, numbers.huge),
            (self.step, Integer(1)),
            (self.on, Integer(1)),
        ]


class Correction:
    """A correction and what follows from it: the next state of a point.

    Args:
        state: the lanes of the point.
        name: appends lines.
        solved: moves and rates of the unknowns, the two columns of a linear system.
        numbers: thresholds.
    """

    def __init__(
        self,
        state: State,
        name: Names,
        solved: Elimination,
        numbers: PathNumbers,
    ) -> None:
        self.p, self.name, self.number = state, name, numbers
        moves, self.rates = ([row[k] for row in solved.solutions] for k in (0, 1))
        huge, p = numbers.huge, state
        self.scales = [
            name("scale", 1 / largest([Abs(x), s, self.number.tiny], name))
            for x, s in zip(p.x, p.seen, strict=True)
        ]
        ratios = [name("ratio", Abs(d) * s) for d, s in zip(moves, self.scales, strict=True)]
        self.change = largest(ratios, name)
        regular = [Abs(v) > 0 for v in solved.pivots] + [Abs(v) < huge for v in solved.pivots]
        self.regular = self.flag("regular", *regular)
        finite = [Abs(d) < huge for d in moves]
        self.sound = self.flag("sound", self.regular, self.change < huge, *finite)
        self.steady = self.flag("steady", *(Abs(r) < huge for r in self.rates))
        self.strong = self.flag("strong", *solved.strong(self.number.pivot))
        self._modes()
        self._verdicts()
        moved = self.flag("moved", Or((self.sound & self.settling), self.good))
        self.landed = [
            name("landed", pick((moved, x + d), other=x)) for x, d in zip(p.x, moves, strict=True)
        ]

    def flag(self, name: str, *conditions: Boolean) -> Boolean:
        """Name a condition; what is returned is a condition again."""
        met = And(*conditions)
        return self.name(name, pick((met, Integer(1)), other=Integer(0))) > HALF

    def _modes(self) -> None:
        mode, on = self.p.mode, self.p.on > HALF
        self.settling = self.flag("settling", on, mode < END + HALF)
        self.beginning = self.flag("beginning", on, mode < BEGIN + HALF)
        self.seeking = self.flag("seeking", on, mode > BEGIN + HALF, mode < SEEK + HALF)
        self.ending = self.flag("ending", on, mode > SEEK + HALF, mode < END + HALF)
        self.nearing = self.flag("nearing", on, mode > END + HALF, mode < NEAR + HALF)
        self.closing = self.flag("closing", on, mode > NEAR + HALF, mode < CLOSE + HALF)
        self.judging = self.flag("judging", on, mode > CLOSE + HALF)

    def _verdicts(self) -> None:
        p, number, change, flag = self.p, self.number, self.change, self.flag
        slow = (change >= p.prior * HALF) & (change < number.noise)
        self.settled = flag("settled", self.settling, self.sound, Or(change <= number.still, slow))
        lost = flag(
            "lost",
            self.settling,
            self._not(self.settled),
            Or(self._not(self.sound), p.tries > TRIES - HALF),
        )
        second = largest([number.contracts * p.prior, number.noise], self.name)
        bound = self.name(
            "bound",
            pick((self.nearing, number.near), (p.tries < HALF, second), other=p.prior * HALF),
        )
        small = flag("small", self.sound, change <= bound)
        basin = flag("basin", Or(self.nearing, self.closing))
        self.good = flag("good", basin, small)
        accepted = flag("accepted", self.closing, small, change <= number.close)
        found = flag("found", self.seeking, self.settled, Rational(1, 10**6) > PATH)
        self.accept = flag("accept", Or(accepted, found))
        tired = (self.closing) & (p.tries > AGAIN - HALF)
        missed = Or(self._not(small), tired)
        self.reject = flag(
            "reject",
            self._not(self.accept),
            Or(basin & missed, self.seeking & Or(self.settled, lost)),
        )
        self.lost = lost
        self.arrived = flag("arrived", self.accept, PATH >= 1)

    @staticmethod
    def _not(flag: Boolean) -> Boolean:
        """Return the opposite of a flag, which is never NaN."""
        flat: Any = flag
        return flat.lhs < HALF if flat.args else ~flat

    def stores(self) -> list[tuple[Symbol, Expr]]:
        """Return the next state."""
        p, name, flag = self.p, self.name, self.flag
        begun_here = flag("begun_here", self.beginning, self.settled, self.steady)
        left = flag("left", self.beginning, Or(self.settled, self.lost))
        step = self._length(begun_here, left)
        tau = name("tau", pick((self.accept, PATH), other=p.tau))
        short = Or(step <= self.number.shortest * tau, step < self.number.least)
        dead = flag("dead", self.reject, short)
        arrived = self.arrived
        predict = flag(
            "predict",
            Or(left, self.accept & self._not(arrived), self.reject & self._not(dead)),
        )
        rest = name("rest", 1 - tau)
        full = flag("full", step >= rest)
        length = name("length", pick((full, rest), other=step))
        ahead = pick((predict & full, Integer(1)), (predict, tau + length), (dead, tau), other=PATH)
        begun = name("begun", pick((Or(self.accept, begun_here), Integer(1)), other=p.begun))
        fresh_start = Or(predict, arrived)
        again = flag("again", Or(fresh_start, dead))
        mode = pick(
            (predict & (begun > HALF), Integer(NEAR)),
            (predict, Integer(SEEK)),
            (arrived, Integer(END)),
            (dead, Integer(JUDGE)),
            (self.nearing & self.good, Integer(CLOSE)),
            other=p.mode,
        )
        counting = Or(self.settling, self.closing)
        tries = pick((again, Integer(0)), (counting, p.tries + 1), other=p.tries)
        prior = pick((again, self.number.huge), other=self.change)
        first = pick((again, Integer(0)), (self.nearing, self.change), other=p.first)
        return [
            *self._vectors(begun_here, predict, dead, length),
            (PATH, ahead),
            (p.tau, tau),
            (p.step, pick((predict, length), other=step)),
            (p.begun, begun),
            (p.mode, mode),
            (p.tries, tries),
            (p.prior, prior),
            (p.first, first),
            *self._outcome(),
        ]

    def _length(self, begun_here: Boolean, left: Boolean) -> Expr:
        """Return the next step: from the rates at the start, grown or cut after a step."""
        p, name = self.p, self.name
        speeds = [
            pick((Abs(x) > 0, Abs(r) * s), other=Integer(0))
            for x, r, s in zip(p.x, self.rates, self.scales, strict=True)
        ]
        longest, quick = Rational(1, 1000), Rational(1, 50)
        fastest = largest([quick / longest, *(name("speed", s) for s in speeds)], name)
        start = pick((begun_here, quick / fastest), other=longest)
        small = largest([p.first, Rational(1, 10**12)], name)
        raw = name("raw", Rational(4, 5) * sqrt(self.number.near / small))
        grow = pick((raw > 4, Integer(4)), (raw < HALF, HALF), other=raw)
        halve = self.nearing & self.sound
        cut = pick((halve, HALF), other=Rational(1, 10))
        return name(
            "step",
            pick(
                (left, start),
                (self.accept, p.step * grow),
                (self.reject, p.step * cut),
                other=p.step,
            ),
        )

    def _vectors(
        self, begun_here: Boolean, predict: Boolean, dead: Boolean, length: Expr
    ) -> list[tuple[Symbol, Expr]]:
        """Return the next unknowns, with what the next prediction needs of each."""
        p, name, zero = self.p, self.name, Integer(0)
        new_base = self.flag("new_base", Or(self.accept, self.beginning & self.settled))
        new_rate = self.flag("new_rate", Or(self.accept, begun_here))
        curved = self.flag("curved", self.accept, p.begun > HALF)
        half = name("half", HALF / p.step)
        keep = self.number.huge * HALF
        stores = []
        for i, (x, landed) in enumerate(zip(p.x, self.landed, strict=True)):
            base = name("base", pick((new_base, landed), other=p.base[i]))
            rate = name("rate", pick((new_rate, self.rates[i]), other=p.rate[i]))
            turn = (self.rates[i] - p.rate[i]) * half
            bend = name("bend", pick((curved, turn), (self.accept, zero), other=p.bend[i]))
            ahead = base + length * (rate + length * bend)
            faded = pick((p.seen[i] < keep, p.seen[i] / 4), other=zero)
            seen = pick(
                (self.arrived, zero),
                (self.accept, largest([Abs(landed) / 10, name("faded", faded)], name)),
                (begun_here & (Abs(base) <= 0), self.number.huge),
                other=p.seen[i],
            )
            stores += [
                (x, pick((predict, ahead), (dead, base), other=landed)),
                (p.base[i], base),
                (p.rate[i], rate),
                (p.bend[i], bend),
                (p.seen[i], seen),
            ]
        return stores

    def _outcome(self) -> list[tuple[Symbol, Expr]]:
        p, flag = self.p, self.flag
        count = self.name("count", pick((p.on > HALF, p.count + 1), other=p.count))
        tired = count > TICKS - HALF
        done = flag("done", self.ending, Or(self.settled, self.lost))
        over = flag("over", p.on > HALF, Or(done, self.judging, tired))
        code = pick(
            (done & self.settled, Integer(CONVERGED)),
            (done & self._not(self.regular), Integer(SINGULAR)),
            (done & self._not(self.sound), Integer(NONFINITE)),
            (done, Integer(STALLED)),
            (self.judging & self.strong, Integer(BRANCH_LOST)),
            (self.judging, Integer(SINGULAR)),
            (over, Integer(MAX_STEPS)),
            other=p.code,
        )
        return [(p.count, count), (p.code, code), (p.on, pick((over, Integer(0)), other=p.on))]


def _lanes(*names: str) -> tuple[Symbol, ...]:
    return tuple(fresh(f"lane_{name}") for name in names)
