"""Functions of exponentials, written so that no exponential can overflow.

Stage: below code for losses. A function of ``x`` through exponentials exp(k x) is written twice,
for x > 0 and for x <= 0, each time in the small letter s = exp(-k |x|) <= 1. Quotients lose their
large factors, and logarithms give them back as multiples of x.
"""

from dataclasses import dataclass
from typing import Any

from sympy import (
    Expr,
    Poly,
    Rational,
    Symbol,
    cancel,
    cosh,
    diff,
    exp,
    expand,
    log,
    sech,
    sinh,
    together,
)
from sympy.polys.polyerrors import PolynomialError

SMALL = Symbol("s_small", positive=True)
"""The letter exp(-rate |x|)."""


@dataclass(frozen=True)
class TwoSided:
    """Expressions on both sides of zero.

    Attributes:
        rate: s = exp(-rate |x|); zero if no rewriting was needed or possible.
        right: for x > 0, in x and ``SMALL``.
        left: for x <= 0.
    """

    rate: Expr
    right: tuple[Expr, ...]
    left: tuple[Expr, ...]


def two_sided(exprs: tuple[Expr, ...], x: Symbol) -> TwoSided:
    """Write expressions without exponentials that could overflow.

    Example:
        >>> from derive.symbols import z
        >>> two_sided((log(1 + exp(-z)),), z)
        TwoSided(rate=1, right=(log(s_small + 1),), left=(-z + log(s_small + 1),))
    """
    plain = tuple(e.rewrite([sinh, cosh, sech], exp) for e in exprs)
    rate = _rate(plain, x)
    if rate is None:
        return TwoSided(Rational(0), exprs, exprs)
    sides = [tuple(_one_side(e, x, rate, sign) for e in plain) for sign in (-1, 1)]
    return TwoSided(rate, sides[0], sides[1])


def _rate(exprs: tuple[Expr, ...], x: Symbol) -> Rational | None:
    """Return the largest rate of which all exponents are multiples; None if there is none."""
    rate = Rational(0)
    for term in {t for e in exprs for t in e.atoms(exp) if x in t.free_symbols}:
        slope = diff(term.exp, x)
        if not slope.is_Rational:
            return None
        rate = rate.gcd(abs(slope)) if rate else abs(slope)
    return rate or None


def _one_side(expr: Expr, x: Symbol, rate: Expr, sign: int) -> Expr:
    """Write one expression with exp(rate x) = SMALL**sign."""

    def in_small(term: Any) -> Expr:
        slope = diff(term.exp, x)
        return SMALL ** (sign * slope / rate) * exp(expand(term.exp - slope * x))

    table = {t: in_small(t) for t in expr.atoms(exp) if x in t.free_symbols}
    return _tidy(expr.xreplace(table), sign * rate * x)


def _tidy(expr: Expr, log_small: Expr) -> Expr:
    """Cancel quotients bottom-up and take powers of the letter out of logarithms."""
    if not expr.has(SMALL):
        return expr
    args: Any = expr.args
    rebuilt = expr.func(*(_tidy(a, log_small) for a in args)) if args else expr
    if isinstance(rebuilt, log):
        return _tidy_log(rebuilt.args[0], log_small)
    try:
        return cancel(together(rebuilt)) if not rebuilt.has(log) else rebuilt
    except PolynomialError:
        return rebuilt


def _tidy_log(argument: Any, log_small: Expr) -> Expr:
    top, bottom = together(argument).as_numer_denom()
    try:
        powers = [min(m[0] for m in Poly(p, SMALL).monoms()) for p in (top, bottom)]
    except PolynomialError:
        return log(argument)
    rest = expand(top / SMALL ** powers[0]) / expand(bottom / SMALL ** powers[1])
    return log(rest) + (powers[0] - powers[1]) * log_small
