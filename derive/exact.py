"""Numbers as they are written: text, floats and rationals become exact SymPy numbers.

A float is read as the shortest decimal that prints it, so 0.1 is one tenth, for theory, reference
and experiment alike.
"""

import math
from fractions import Fraction
from typing import Any

from sympy import Expr, Rational, nan, sympify

from derive.errors import RangeError

Number = Expr | Fraction | int | float | str


def exact_number(value: object) -> Expr:
    """Return a number as an exact SymPy expression.

    Args:
        value: a SymPy number or expression, an int, a Fraction, a float, or text such as "0.1",
            "1/3" or "1e-2". Objects with a ``_sympy_`` method are converted by it.

    Raises:
        RangeError: for NaN, infinity, and text that is not a number.

    Example:
        >>> exact_number(0.1), exact_number("1/3"), exact_number("2.5e-1")
        (1/10, 1/3, 1/4)
    """
    if isinstance(value, str | float):
        text = value.strip() if isinstance(value, str) else repr(float(value))
        if isinstance(value, float) and not math.isfinite(value):
            raise RangeError(f"number {value}", "not finite", "give a finite number")
        try:
            fraction = Fraction(text)
        except (ValueError, ZeroDivisionError) as error:
            raise RangeError(
                f"number {text!r}", "not a decimal or a fraction", "write it like 0.1, 1e-2 or 1/3"
            ) from error
        return Rational(fraction.numerator, fraction.denominator)
    if isinstance(value, Fraction):
        return Rational(value.numerator, value.denominator)
    expr: Any = sympify(value, strict=True)
    if expr.is_finite is False or expr.has(nan):
        raise RangeError(f"number {expr}", "not finite", "give a finite number")
    return expr
