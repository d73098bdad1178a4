"""Exact scalars: what a user may write as a coefficient, as one SymPy expression.

Stage: the door of the matrix language. Floats become the rational they print as; strings, matrices
and infinities are refused.
"""

from sympy import Expr, Float, Rational, nan, oo, sympify, zoo
from sympy.core.sympify import SympifyError
from sympy.matrices.expressions.matexpr import MatrixExpr

from derive.errors import NotSupportedError, ParseError, RangeError


def dimension(value: object, asked: str) -> Expr:
    """Return a size: a positive symbol, a positive integer, or an expression of them.

    Raises:
        RangeError: for a number that is no positive integer.

    Example:
        >>> dimension(3, "rows of X")
        3
    """
    expr = scalar(value)
    if expr.is_number and not (expr.is_Integer and expr.is_positive):
        raise RangeError(f"{asked}: dimension {expr}", "not a positive integer", "use dims(...)")
    if expr.is_nonpositive:
        raise RangeError(f"{asked}: dimension {expr}", "not positive", "use dims(...)")
    return expr


def scalar(value: object) -> Expr:
    """Return a number or a scalar expression as an exact SymPy expression.

    Raises:
        ParseError: if it is a string or no expression at all.
        NotSupportedError: if a matrix sits inside a scalar function, such as ``exp(W)``.
        RangeError: if it is infinite or not a number.

    Example:
        >>> scalar(0.3)
        3/10
    """
    if isinstance(value, str):
        raise ParseError(f"scalar {value!r}", "a string", "give a number or a declared symbol")
    try:
        expr = sympify(value, strict=True)
    except (SympifyError, AttributeError, TypeError) as error:
        raise ParseError(f"scalar {value!r}", "not an expression", "give a number") from error
    if not isinstance(expr, Expr) or isinstance(expr, MatrixExpr):
        raise ParseError(f"scalar {value!r}", "not a scalar", "give a number or a declared symbol")
    if expr.has(MatrixExpr):
        raise NotSupportedError(
            f"scalar {expr}",
            "a matrix inside a scalar function: not a rational expression of matrices",
            "use sums, products, inverses and integer powers only",
        )
    if expr.has(oo, -oo, zoo, nan):
        raise RangeError(f"scalar {expr}", "not finite", "give a finite value")
    floats = {f: Rational(repr(float(f))) for f in expr.atoms(Float)}
    return expr.xreplace(floats) if floats else expr
