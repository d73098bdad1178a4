"""Factors of polynomials in symbols and roots, without the luck that SymPy's search needs.

Stage: beneath the tidying of closed forms. Multivariate factoring by random points sometimes takes
a hundred times longer than it should; python-flint takes milliseconds, always.
"""

from typing import Any

from flint import Ordering, fmpz_mpoly_ctx
from sympy import Expr, Integer, Mul, Poly, Pow, factor
from sympy.core.mul import _keep_coeff
from sympy.polys.polyerrors import BasePolynomialError

_LARGE = 400


def factored(expr: Expr) -> Expr:
    """Return the factors of a polynomial with rational coefficients; roots count as letters.

    Anything else, such as a quotient, is handed to SymPy if it is small, and returned if it is not.

    Example:
        >>> from sympy import Symbol, sqrt
        >>> a, b = Symbol("a", positive=True), Symbol("b", positive=True)
        >>> factored(a * sqrt(b) / 2 + sqrt(b) / 2 + a + 1)
        (a + 1)*(sqrt(b) + 2)/2
    """
    try:
        poly = Poly(expr)
    except BasePolynomialError:
        return _by_search(expr)
    letters: tuple[Any, ...] = poly.gens
    plain = all(not isinstance(g, Pow) or g.exp.is_positive for g in letters)
    if not plain or not (poly.domain.is_ZZ or poly.domain.is_QQ):
        return _by_search(expr)
    denominator, whole = poly.clear_denoms(convert=True)
    names = tuple(f"g{i}" for i in range(len(letters)))
    ring: Any = fmpz_mpoly_ctx.get(names, Ordering.lex)
    constant, parts = ring.from_dict({m: int(c) for m, c in whole.terms()}).factor()
    factors = Mul(*(_expression(part, letters) ** int(power) for part, power in parts))
    return _keep_coeff(Integer(int(constant)) / denominator, factors)


def _by_search(expr: Expr) -> Expr:
    return expr if is_larger(expr, _LARGE) else factor(expr)


def _expression(part: Any, letters: tuple[Any, ...]) -> Expr:
    terms = {tuple(int(k) for k in m): int(c) for m, c in part.to_dict().items()}
    return Poly.from_dict(terms, *letters).as_expr()


def is_larger(expr: Any, limit: int) -> bool:
    """Return whether an expression tree has more nodes than a limit; stops counting there."""
    waiting, count = [expr], 0
    while waiting:
        count += 1
        if count > limit:
            return True
        waiting.extend(waiting.pop().args)
    return False
