"""Intervals of the real line with exact, possibly symbolic, endpoints.

Stage: below the Gaussian rules. Endpoints are ordered by proof only: by exact arithmetic, by the
assumptions of their symbols, or by the declared range of a quantity; never by a guess.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from sympy import Add, Expr, Rational, S, exp, expand, factor, log, oo

from derive.errors import RangeError
from derive.symbols import Quantity


@dataclass(frozen=True)
class Interval:
    """An open interval ``low < x < high``; an end may be infinite."""

    low: Expr = -oo
    high: Expr = oo

    def is_line(self) -> bool:
        """Return whether both ends are infinite."""
        return self.low == -oo and self.high == oo

    def is_bounded(self) -> bool:
        """Return whether both ends are finite."""
        return self.low != -oo and self.high != oo

    def inside(self) -> Expr:
        """Return a point of the interval."""
        if self.is_line():
            return S.Zero
        if self.low == -oo:
            return self.high - 1
        if self.high == oo:
            return self.low + 1
        return (self.low + self.high) / 2

    def meet(self, other: "Interval") -> "Interval | None":
        """Return the intersection, or None when it is empty.

        Raises:
            RangeError: if two ends cannot be ordered by their assumptions.
        """
        if other.is_line() or self == other:
            return self
        if self.is_line():
            return other
        if _touch(self, other):
            return None
        low = self.low if order(self.low, other.low) >= 0 else other.low
        high = self.high if order(self.high, other.high) <= 0 else other.high
        return Interval(low, high) if order(low, high) < 0 else None

    def split(self, points: Iterable[Expr]) -> "tuple[Interval, ...]":
        """Return the parts into which the points cut the interval, from left to right."""
        inner = [p for p in points if order(self.low, p) < 0 and order(p, self.high) < 0]
        ends = [self.low, *ordered(inner), self.high]
        return tuple(Interval(a, b) for a, b in pairwise(ends))


def _touch(one: Interval, two: Interval) -> bool:
    """Return whether the intervals merely share an end, which needs no ordering of symbols."""
    return one.high == two.low or two.high == one.low


LINE = Interval()


def order(a: Expr, b: Expr) -> int:
    """Return -1, 0 or 1 as ``a`` is below, equal to or above ``b``.

    Raises:
        RangeError: if the assumptions on the symbols do not decide it.

    Example:
        >>> from sympy import Symbol
        >>> t = Symbol("t", positive=True)
        >>> order(-t, t)
        -1
    """
    if a == b:
        return 0
    if a == -oo or b == oo:
        return -1
    if a == oo or b == -oo:
        return 1
    found = decided_sign(a - b)
    if found is None:
        first, second = sorted((a, b), key=str)
        raise RangeError(
            f"the order of the breakpoints {first} and {second}",
            f"the sign of {first - second} does not follow from what is known of its symbols",
            "declare them positive, write one as the other plus a positive symbol, or give numbers",
        )
    return found


def ordered(points: Iterable[Expr]) -> list[Expr]:
    """Return the points from left to right, equal ones once."""
    result: list[Expr] = []
    for point in points:
        place, new = len(result), True
        for i, known in enumerate(result):
            side = order(point, known)
            if side <= 0:
                place, new = i, side < 0
                break
        if new:
            result.insert(place, point)
    return result


@lru_cache(maxsize=4096)
def decided_sign(expr: Expr) -> int | None:
    """Return the sign of a real expression if it can be proved, else None.

    Example:
        >>> from sympy import Symbol, sqrt
        >>> decided_sign(sqrt(2) - 1), decided_sign(Symbol("b", real=True))
        (1, None)
    """
    for form in (lambda: expr, lambda: expand(expr), lambda: factor(expr)):
        found = _assumed_sign(form())
        if found is not None:
            return found
    return _ranged_sign(expand(expr))


def _assumed_sign(expr: Expr) -> int | None:
    if expr.is_positive:
        return 1
    if expr.is_negative:
        return -1
    return 0 if expr.is_zero else _exponential_sign(expr)


def _exponential_sign(expr: Expr) -> int | None:
    """Return the sign of ``a + b exp(u)`` through that of ``u - log(-a/b)``."""
    if not isinstance(expr, Add):
        return None
    moving = [term for term in expr.args if term.has(exp)]
    if len(moving) != 1:
        return None
    b, power = moving[0].as_independent(exp, as_Add=False)
    if not isinstance(power, exp):
        return None
    sign_a, sign_b = decided_sign(expr - moving[0]), decided_sign(b)
    if sign_a is None or not sign_b or sign_a == sign_b:
        return sign_b if sign_a == sign_b else None
    if sign_a == 0:
        return sign_b
    level = decided_sign(power.args[0] - log((moving[0] - expr) / b))
    return None if level is None else sign_b * level


def _ranged_sign(expr: Expr) -> int | None:
    """Return the sign from the ranges of quantities, each of which enters affinely."""
    low = high = expr
    for symbol in sorted(expr.free_symbols, key=str):
        if not isinstance(symbol, Quantity) or not expr.is_polynomial(symbol):
            return None
        slope = expand(expr.diff(symbol))
        if slope.free_symbols:
            return None
        ends = [_exact(symbol.low), _exact(symbol.high)]
        low = low.subs(symbol, ends[0] if slope.is_positive else ends[1])
        high = high.subs(symbol, ends[1] if slope.is_positive else ends[0])
    if low.is_extended_positive:
        return 1
    return -1 if high.is_extended_negative else None


def _exact(value: float) -> Expr:
    return oo if value == float("inf") else -oo if value == -float("inf") else Rational(str(value))
