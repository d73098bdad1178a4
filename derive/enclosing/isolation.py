"""All roots of a function of one positive variable in an interval, by proof.

Stage: below questions that end in one equation. A function comes as balls of its value and slope at
points, and a bound of its second derivative on intervals; Taylor's formula with that bound excludes
roots, proves monotony, and refines a root by Newton's method in balls. What cannot be decided is
returned as an interval, never dropped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from flint import arb, fmpq

from derive.balls import Ball
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.certified import CertifiedNumber

_PRECISION = 60
_BOXES = 4000


@dataclass(frozen=True)
class Curve:
    """A twice differentiable function on positive numbers.

    Attributes:
        name: for messages and printing.
        value: ball of f at a ball, at the current precision.
        slope: ball of f'.
        bend: upper bound of |f''| on [low, high].
    """

    name: str
    value: Callable[[arb], arb]
    slope: Callable[[arb], arb]
    bend: Callable[[arb, arb], arb]


@dataclass(frozen=True)
class Root:
    """The only root of a curve in an interval on which the curve is monotone.

    Attributes:
        low: left end.
        high: right end.
        rising: whether the curve rises.
    """

    curve: Curve
    low: Fraction
    high: Fraction
    rising: bool

    @cached_property
    def number(self) -> CertifiedNumber:
        """The root as an exact constant with any number of digits."""
        return CertifiedNumber(self.curve.name, self._digits, positive=True, key=self)

    def ball(self, digits: int = 15) -> Ball:
        """Return the root to a relative radius of about ``10**-digits``."""
        bits = int(digits * 3.33) + 8
        with working_precision(bits + 32):
            return Ball.from_arb(self._digits(Evaluation(bits + 32), bits))

    def _digits(self, evaluate: Evaluation, prec: int) -> arb:
        with working_precision(prec + 24):
            enclosure = _interval(self.low, self.high)
            for _ in range(2 * prec.bit_length() + 60):
                finer = self._newton(enclosure)
                if not finer.rad() < enclosure.rad() * arb(0.75):
                    finer = self._halved(finer)
                if finer.rad() >= enclosure.rad() * arb(0.999):
                    return finer
                enclosure = finer
                if enclosure.rel_accuracy_bits() >= prec:
                    break
            return enclosure

    def _newton(self, x: arb) -> arb:
        middle, radius = arb(x.mid()), arb(x.rad())
        spread = self.curve.bend(arb(x.lower()), arb(x.upper())) * radius
        slope = self.curve.slope(middle) + arb(0, spread.upper())
        if slope.contains(0):
            return x
        found = middle - self.curve.value(middle) / slope
        return x.intersection(found) if found.overlaps(x) else x

    def _halved(self, x: arb) -> arb:
        middle = arb(x.mid())
        value = self.curve.value(middle)
        if value.contains(0):
            return x
        left = (value > 0) == self.rising
        return arb(x.lower()).union(middle) if left else middle.union(arb(x.upper()))


@dataclass(frozen=True)
class Roots:
    """What is known of the roots in an interval.

    Attributes:
        roots: isolated roots, from left to right.
        undecided: intervals in which roots could neither be found nor excluded.
        monotone: whether the curve was proved monotone on the whole interval.
    """

    low: Fraction
    high: Fraction
    roots: tuple[Root, ...]
    undecided: tuple[tuple[Fraction, Fraction], ...]
    monotone: bool

    @property
    def complete(self) -> bool:
        """Whether every root in the interval is listed, by proof."""
        return not self.undecided


def isolate(curve: Curve, low: Fraction, high: Fraction, finest: float = 1e-6) -> Roots:
    """Return all roots of a curve in [low, high], 0 < low < high.

    Args:
        curve: the function.
        low: left end.
        high: right end.
        finest: boxes of a smaller relative width are given up.

    Accuracy: proved; what is not decided is listed as such.
    """
    waiting, roots, undecided = [(low, high)], [], []
    directions: set[bool | None] = set()
    boxes = 0
    with working_precision(_PRECISION):
        while waiting:
            a, b = waiting.pop()
            boxes += 1
            verdict, rising = _judge(curve, a, b)
            if verdict == "split" and boxes < _BOXES and (b - a) > Fraction(finest) * b:
                middle = _middle(a, b)
                waiting += [(middle, b), (a, middle)]
                continue
            directions.add(rising)
            if verdict == "root":
                roots.append(Root(curve, a, b, bool(rising)))
            elif verdict in ("split", "end"):
                undecided.append((a, b))
    return Roots(low, high, tuple(roots), _merged(undecided), directions in ({True}, {False}))


def _judge(curve: Curve, a: Fraction, b: Fraction) -> tuple[str, bool | None]:
    """Return "none", "root", "end" (a root at an end?) or "split", and the proved direction."""
    x = _interval(a, b)
    middle, half = arb(x.mid()), arb(x.rad())
    value, slope = curve.value(middle), curve.slope(middle)
    bend = curve.bend(arb(x.lower()), arb(x.upper()))
    rising = None
    if not bend.is_finite():
        return "split", None
    if abs(slope) > bend * half:
        rising = bool(slope > 0)
    if abs(value) > abs(slope) * half + bend * half**2 / 2:
        return "none", rising
    if rising is None:
        return "split", None
    ends = [curve.value(_interval(end, end)) for end in (a, b)]
    if any(end.contains(0) for end in ends):
        return "end", rising
    return ("none" if (ends[0] > 0) == (ends[1] > 0) else "root"), rising


def _middle(a: Fraction, b: Fraction) -> Fraction:
    """Return a short fraction near the geometric mean."""
    mean = Fraction((float(a) * float(b)) ** 0.5).limit_denominator(10**9)
    return mean if a < mean < b else (a + b) / 2


def _interval(a: Fraction, b: Fraction) -> arb:
    ends = [arb(fmpq(x.numerator, x.denominator)) for x in (a, b)]
    return ends[0].union(ends[1])


def _merged(
    boxes: list[tuple[Fraction, Fraction]],
) -> tuple[tuple[Fraction, Fraction], ...]:
    found: list[tuple[Fraction, Fraction]] = []
    for a, b in sorted(boxes):
        if found and found[-1][1] == a:
            found[-1] = (found[-1][0], b)
        else:
            found.append((a, b))
    return tuple(found)
