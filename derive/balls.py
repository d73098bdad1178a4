"""Numbers with a proved radius: ``Ball``, and ``enclose`` for every real constant.

Stage: between exact expressions and digits. Rooms beside it: ``ball_program`` (expressions on
balls, and how custom classes join in), ``gaussian_integral`` (rigorous Gaussian means).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from flint import acb, arb, fmpq, fmpz
from mpmath import mp, mpf
from sympy import Expr, Function, sympify

from derive.enclosing.ball_program import Evaluation, working_precision
from derive.errors import NotConvergedError, ParseError, RangeError

Text: TypeAlias = str
_LOG2_10 = math.log2(10)
_GUARD_BITS = 24
_LARGEST_EXPONENT = 2**22


@dataclass(frozen=True)
class Ball:
    """A real number known to lie within ``rad`` of ``mid``.

    Comparisons with another ball or a number are True only when they are certain, so both
    ``a < b`` and ``a >= b`` may be False; ``==`` compares the two fields and not the numbers.

    Attributes:
        mid: centre, an exact fraction.
        rad: radius, an exact fraction, never negative.
        rigorous: whether the radius is proved.
        reason: why the radius is not proved, one sentence; empty when it is.

    Example:
        >>> third = Ball(Fraction(1, 3), Fraction(1, 10**12))
        >>> third, third.digits, third.contains(Fraction(1, 3)), third < Fraction(1, 2)
        (0.33333333333, 11, True, True)
    """

    mid: Fraction
    rad: Fraction = Fraction(0)
    rigorous: bool = True
    reason: Text = ""

    @classmethod
    def from_arb(cls, value: arb, reason: Text = "") -> "Ball":
        """Return the ball of a python-flint number; not rigorous if a reason is given.

        A number below 2**-(2**22) in modulus becomes a ball around zero of that radius.

        Raises:
            RangeError: if the number is not finite, or too large to be written down.
        """
        if not value.is_finite():
            raise RangeError("a ball", "the value is not finite", "check the expression for poles")
        if abs(value) < arb(2) ** -_LARGEST_EXPONENT:
            tiny = Fraction(0 if value.is_zero() else 1, 2**_LARGEST_EXPONENT)
            return cls(Fraction(0), tiny, not reason, reason)
        return cls(_fraction(value.mid()), _fraction(value.rad()), not reason, reason)

    def arb(self) -> arb:
        """Return a python-flint ball that contains this one, at the current precision."""
        return _arb(self.mid) + arb(0, _arb(self.rad).upper())

    @property
    def digits(self) -> int:
        """Decimal digits that the radius leaves; 0 if zero is inside, 10**6 if exact."""
        if self.rad == 0:
            return 10**6
        if abs(self.mid) <= self.rad:
            return 0
        return max(0, _floor_log10(abs(self.mid) / self.rad))

    def str(self, n: int = 15) -> Text:
        """Return at most n significant digits, never more than the ball has.

        Accuracy: the number differs from what is printed by less than one unit of the last digit.
        A ball that holds zero prints its centre and radius.
        """
        shown = min(n, self.digits)
        if self.mid == 0 and self.rad == 0:
            return "0"
        if shown < 1:
            return f"0 +/- {_decimal(abs(self.mid) + self.rad, 2, up=True)}"
        return _decimal(self.mid, shown)

    def mpf(self, n: int = 15) -> mpf:
        """Return the centre rounded to n significant digits, as an mpmath number."""
        with mp.workdps(n + 2):
            return mpf(self.mid.numerator) / self.mid.denominator

    def contains(self, value: Any) -> bool:
        """Return whether an exact number, a float (as it stands) or a whole ball lies inside."""
        other = _ball(value)
        return abs(other.mid - self.mid) + other.rad <= self.rad

    def overlaps(self, value: Any) -> bool:
        """Return whether the two have a point in common."""
        other = _ball(value)
        return abs(other.mid - self.mid) <= other.rad + self.rad

    @property
    def lower(self) -> Fraction:
        """The smallest number inside."""
        return self.mid - self.rad

    @property
    def upper(self) -> Fraction:
        """The largest number inside."""
        return self.mid + self.rad

    def __lt__(self, other: Any) -> bool:
        return self.upper < _ball(other).lower

    def __le__(self, other: Any) -> bool:
        return self.upper <= _ball(other).lower

    def __gt__(self, other: Any) -> bool:
        return self.lower > _ball(other).upper

    def __ge__(self, other: Any) -> bool:
        return self.lower >= _ball(other).upper

    def __float__(self) -> float:
        try:
            return float(self.mid)
        except OverflowError:
            return math.inf if self.mid > 0 else -math.inf

    def __str__(self) -> Text:
        return self.str()

    def __repr__(self) -> Text:
        return self.str() if self.rigorous else f"{self.str()} (not proved)"


def _ball(value: Any) -> Ball:
    return value if isinstance(value, Ball) else Ball(_exact(value))


def _exact(value: Any) -> Fraction:
    if isinstance(value, mpf):
        negative, mantissa, exponent, _ = value._mpf_
        return Fraction((-1) ** negative * int(mantissa)) * Fraction(2) ** int(exponent)
    if hasattr(value, "p") and hasattr(value, "q"):
        return Fraction(int(value.p), int(value.q))
    return Fraction(value)


def _fraction(value: arb) -> Fraction:
    if value == 0:
        return Fraction(0)
    mantissa, exponent = (int(part) for part in value.man_exp())
    if exponent + mantissa.bit_length() > _LARGEST_EXPONENT:
        size = f"the value is near 2**{exponent + mantissa.bit_length()}"
        raise RangeError("a ball", size, "rescale the problem")
    return Fraction(mantissa) * Fraction(2) ** exponent


def _arb(value: Fraction) -> arb:
    return arb(fmpq(fmpz(value.numerator), fmpz(value.denominator)))


def _floor_log10(x: Fraction) -> int:
    """Return floor(log10 x) exactly, for x > 0."""
    guess = math.floor((x.numerator.bit_length() - x.denominator.bit_length()) / _LOG2_10)
    while not _reaches(x, guess):
        guess -= 1
    while _reaches(x, guess + 1):
        guess += 1
    return guess


def _reaches(x: Fraction, power: int) -> bool:
    """Return whether x >= 10**power, in integers: common divisors of long ones take minutes."""
    if power < 0:
        return x.numerator * 10**-power >= x.denominator
    return x.numerator >= x.denominator * 10**power


def _decimal(x: Fraction, n: int, up: bool = False) -> str:
    """Return x in n significant decimal digits, to nearest or away from zero."""
    sign, x = ("-" if x < 0 else ""), abs(x)
    exponent = _floor_log10(x)
    shift = n - 1 - exponent
    top, bottom = x.numerator * 10 ** max(shift, 0), x.denominator * 10 ** max(-shift, 0)
    number = -(-top // bottom) if up else (2 * top + bottom) // (2 * bottom)
    if number == 10**n:
        number, exponent = number // 10, exponent + 1
    digits = str(number)
    if -5 <= exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if 0 <= exponent < max(n, 16):
        whole, rest = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
        return f"{sign}{whole}.{rest}" if rest else sign + whole
    return f"{sign}{digits[0]}{'.' + digits[1:] if n > 1 else ''}e{exponent:+d}"


def refine(compute: Callable[[Evaluation], acb], digits: int, asked: str) -> Ball:
    """Return a ball of relative radius below ``10**-digits`` by raising the working precision.

    A value that two precisions in a row cannot separate from zero when its absolute radius is below
    ``10**(-4*digits)`` is returned as a ball around zero with that radius: ``Ball.digits`` is 0.

    Raises:
        NotConvergedError: if the radius does not shrink.
        RangeError: if the value is not a real number.
    """
    bits = math.ceil(digits * _LOG2_10) + 2
    precision, beside_zero = bits + _GUARD_BITS, False
    limit = 16 * bits + 1024
    while precision <= limit:
        with working_precision(precision):
            evaluation = Evaluation(precision)
            value = acb(compute(evaluation))
            reason = "; ".join(evaluation.doubts)
            if value.is_finite():
                if not value.imag.contains(0):
                    raise RangeError(asked, "the value is not real", "check roots and logarithms")
                sharp = _is_sharp(value.real, bits)
                if sharp and (beside_zero or not value.real.contains(0) or value.real.is_exact()):
                    return Ball.from_arb(value.real, reason)
                beside_zero = sharp
        precision = precision * 2 if precision > 2 * bits else precision + bits
    found = f"radius still too large at {precision // 2} bits"
    raise NotConvergedError(
        asked, f"{found}{' (' + reason + ')' if reason else ''}", "ask for fewer digits"
    )


def _is_sharp(value: arb, bits: int) -> bool:
    if value.is_exact():
        return True
    radius = value.rad()
    if value.contains(0):
        return bool(radius < arb(2) ** (-4 * bits))
    return bool(radius * arb(2) ** bits < abs(value).lower())


def enclose(expr: Any, digits: int = 15) -> Ball:
    """Return a ball that holds a real constant, of relative radius below ``10**-digits``.

    Args:
        expr: a SymPy expression without free symbols, a number, or an object that SymPy accepts;
            strings are read by ``derive.reader`` and refused here.
        digits: significant decimal digits, at least 1.

    Returns:
        The ball. If the value cannot be separated from zero the radius is absolute, below
        ``10**(-4*digits)``, and ``Ball.digits`` is 0; only ``Ball(0, 0)`` is a proved zero.

    Raises:
        NotClosedError: if a symbol is free.
        NotConvergedError: if the accuracy is not reached.
        NotSupportedError: if a function has no ball arithmetic.
        RangeError: if the value is not real or not finite.

    Accuracy: proved, unless ``Ball.rigorous`` is False, which happens only when the expression
        holds an ``Expectation`` whose tail could not be bounded; ``Ball.reason`` says why.

    Example:
        >>> from sympy import erf, pi, sqrt
        >>> enclose(pi + sqrt(2), 30).str(30)
        '4.55580621596288828726433210749'
        >>> enclose(erf(1) - erf(1)).str()
        '0'
    """
    if isinstance(expr, str):
        raise ParseError(f"enclose({expr!r})", "a string", "read it with derive.reader first")
    if digits < 1:
        raise RangeError(f"digits = {digits}", "out of range", "give digits >= 1")
    expression: Expr = sympify(expr, strict=True)
    if expression == 0 or (not expression.has(Function) and expression.is_zero):
        return Ball(Fraction(0))
    return refine(lambda evaluation: evaluation.complex(expression), digits, f"{expression}")
