"""Exact scalars: what a user may write as a coefficient, as one SymPy expression.

Stage: the door of the matrix language. Floats become the rational they print as; strings, matrices
and infinities are refused.
"""

from collections.abc import Sequence

from sympy import Add, Expr, Float, Rational, nan, oo, sympify, zoo
from sympy.core.sympify import SympifyError
from sympy.matrices.expressions.matexpr import MatrixExpr

from derive.errors import NotSupportedError, ParseError, RangeError, ShapeError


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


def masses(weights: Sequence[object] | None, count: int) -> list[Expr]:
    """Return the exact weights of so many atoms: a probability, equal masses if left out.

    Raises:
        ShapeError: if there is no atom, or not one weight for each.
        RangeError: if a weight is negative, or numbers do not sum to one.

    Example:
        >>> masses(None, 4)[0], masses([0.25, 0.75], 2)
        (1/4, [1/4, 3/4])
    """
    if not count:
        raise ShapeError("atoms", "no points", "give at least one")
    if weights is None:
        return [Rational(1, count)] * count
    if len(weights) != count:
        found = f"{count} points and {len(weights)} weights"
        raise ShapeError("atoms", found, "give one weight per point")
    exact = [scalar(w) for w in weights]
    for weight in exact:
        if weight.is_negative:
            raise RangeError("atoms", f"the weight {weight} is negative", "give weights >= 0")
    total = Add(*exact)
    if total.is_number and total != 1:
        raise RangeError("atoms", f"the weights sum to {total}", "give weights of sum one")
    return exact
