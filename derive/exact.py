"""Numbers as they are written: text, floats and rationals become exact SymPy numbers.

A float is read as the shortest decimal that prints it, so 0.1 is one tenth, for theory, reference
and experiment alike.
"""

import math
from fractions import Fraction
from typing import Any

from sympy import Derivative, Expr, Rational, SympifyError, nan, sympify
from sympy.concrete.expr_with_limits import ExprWithLimits

from derive.errors import NotSupportedError, ParseError, RangeError

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


def exact_correlation(rho: object) -> Expr:
    """Return a correlation as an exact expression; one known to lie outside [-1, 1] is refused.

    Raises:
        RangeError: if |rho| > 1, and as for ``exact_number``.

    Example:
        >>> exact_correlation(0.5)
        1/2
    """
    point = exact_number(rho)
    if (abs(point) - 1).is_positive:
        raise RangeError(f"correlation {rho}", "outside [-1, 1]", "give -1 <= rho <= 1")
    return point


def scalar_expression(value: object, asked: str) -> Expr:
    """Return a function or a number as a scalar SymPy expression.

    Args:
        value: an expression, a number, or an object with a ``_sympy_`` method; never text.
        asked: what it was given for; the error begins with it.

    Raises:
        ParseError: if it is no expression: text, None, a condition, a matrix, a tuple.
        NotSupportedError: if it holds an integral, a sum or a derivative that was not carried out.

    Example:
        >>> scalar_expression(2, "a mean")
        2
    """
    try:
        expr: Any = sympify(value, strict=True)
    except SympifyError as error:
        raise ParseError(
            asked, f"{value!r} is not an expression", "read text with derive.reader.read_expression"
        ) from error
    if not isinstance(expr, Expr) or getattr(expr, "is_Matrix", False):
        raise ParseError(
            asked, f"{expr} is a {type(expr).__name__}, not a scalar", "give a scalar expression"
        )
    for node in expr.atoms(Derivative, ExprWithLimits):
        raise NotSupportedError(
            asked, f"{node} was not carried out", "carry it out with .doit(), or write it out"
        )
    return expr
