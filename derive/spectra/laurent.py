"""Truncated Laurent series over any field: exact fractions, expressions, real or complex balls.

Stage: a number type for ``derive.spectra.curve.evaluate`` and for expansions of Systems; knows
nothing of either. A series is e^v (c_0 + c_1 e + ...), known to a fixed number of terms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Expr, cancel

from derive.errors import RangeError


@dataclass(frozen=True)
class Laurent:
    """A truncated Laurent series ``e**order * (terms[0] + terms[1]*e + ...)``.

    Attributes:
        order: exponent of the first term.
        terms: coefficients; the number of them is what is known.

    Example:
        >>> from fractions import Fraction
        >>> e = Laurent(1, (Fraction(1), Fraction(0), Fraction(0)))
        >>> one = Laurent(0, (Fraction(1), Fraction(0), Fraction(0)))
        >>> [int(c) for c in (one / (one - e)).terms]
        [1, 1, 1]
    """

    order: int
    terms: tuple[Any, ...]

    def __add__(self, other: "Laurent") -> "Laurent":
        low = min(self.order, other.order)
        high = min(self.order + len(self.terms), other.order + len(other.terms))
        return Laurent(low, tuple(self[k] + other[k] for k in range(low, max(low, high))))

    def __neg__(self) -> "Laurent":
        return Laurent(self.order, tuple(-c for c in self.terms))

    def __sub__(self, other: "Laurent") -> "Laurent":
        return self + (-other)

    def __mul__(self, other: "Laurent") -> "Laurent":
        count = min(len(self.terms), len(other.terms))
        product = product_terms(self.terms, other.terms, count)
        return Laurent(self.order + other.order, tuple(product))

    def __truediv__(self, other: "Laurent") -> "Laurent":
        return self * other.inverse()

    def __pow__(self, exponent: int) -> "Laurent":
        base = self if exponent > 0 else self.inverse()
        out = base
        for _ in range(abs(exponent) - 1):
            out = out * base
        return out

    def __getitem__(self, exponent: int) -> Any:
        """Return the coefficient of an exponent; zero below the first term."""
        if exponent < self.order:
            return self.terms[0] * 0 if self.terms else 0
        return self.terms[exponent - self.order]

    def inverse(self) -> "Laurent":
        """Return the reciprocal.

        Raises:
            RangeError: if all known terms vanish.
        """
        lead = self.stripped()
        return Laurent(-lead.order, tuple(reciprocal_terms(lead.terms)))

    def stripped(self) -> "Laurent":
        """Return the series without leading exact zeros.

        Raises:
            RangeError: if all known terms vanish.
        """
        for i, c in enumerate(self.terms):
            if not is_zero(c):
                return Laurent(self.order + i, self.terms[i:])
        raise RangeError("a series", "all known terms vanish", "keep more terms")


def is_zero(c: Any) -> bool:
    """Return whether a coefficient is exactly zero (a ball that only holds zero is not)."""
    if isinstance(c, Expr):
        return bool(c.is_zero) if c.is_number else c == 0
    return bool(c == 0)


def tidy(c: Any) -> Any:
    """Return a coefficient in lowest terms (expressions only; numbers are returned as they are)."""
    return cancel(c) if isinstance(c, Expr) and not c.is_Rational else c


def product_terms(a: Sequence[Any], b: Sequence[Any], count: int) -> list[Any]:
    """Return the first ``count`` coefficients of a product of two power series."""
    out = []
    for k in range(count):
        total = a[0] * b[k]
        for i in range(1, k + 1):
            total = total + a[i] * b[k - i]
        out.append(tidy(total))
    return out


def reciprocal_terms(a: Sequence[Any]) -> list[Any]:
    """Return the coefficients of 1/a for a power series with a[0] != 0."""
    first = tidy(1 / a[0])
    out = [first]
    for k in range(1, len(a)):
        total = a[1] * out[k - 1]
        for i in range(2, k + 1):
            total = total + a[i] * out[k - i]
        out.append(tidy(-total * first))
    return out


def reverted_terms(a: Sequence[Any], number: Callable[[int], Any] = int) -> list[Any]:
    """Return b with b(a(s)) = s, for a(s) = a[0] s + a[1] s^2 + ..., a[0] != 0.

    Args:
        a: coefficients from the first power on.
        number: the field's image of an integer; needed where ints do not divide exactly.

    Derivation: Lagrange inversion, b_k = (1/k) [s^(k-1)] (s/a(s))^k.
    """
    step = reciprocal_terms(a)
    power, out = list(step), [step[0]]
    for k in range(2, len(a) + 1):
        power = product_terms(power, step, len(a))
        out.append(tidy(power[k - 1] / number(k)))
    return out


def composed_terms(outer: Sequence[Any], inner: Sequence[Any], count: int) -> list[Any]:
    """Return coefficients 0, 1, ... of outer(inner(s)); ``inner`` starts at the first power."""
    zero = outer[0] * 0
    total = [outer[0]] + [zero] * (count - 1)
    shifted = ([zero, *inner] + [zero] * count)[:count]
    power = [zero + 1] + [zero] * (count - 1)
    for c in outer[1:count]:
        power = product_terms(power, shifted, count)
        total = [tidy(t + c * p) for t, p in zip(total, power, strict=True)]
    return total
