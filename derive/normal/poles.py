"""Poles on the real line, found by symbols, so that parameters need no values.

Stage: beside the Gaussian rules, for integrands that no rule matches. A pole is refused where a
denominator vanishes inside the interval on which its branch holds, and the numerator does not.
"""

from sympy import Expr, Mul, Pow, Symbol, cancel, fraction, together

from derive.errors import DeriveError, NotIntegrableError
from derive.normal.branches import branches, real_zeros
from derive.normal.factoring import is_larger
from derive.normal.intervals import Interval, decided_sign, order

_LARGE = 300


def refuse_poles(expr: Expr, x: Symbol) -> None:
    """Raise if a denominator is proved to vanish where its numerator does not.

    Raises:
        NotIntegrableError: naming the pole.

    Example:
        >>> from sympy import Abs, sin
        >>> from derive.symbols import z
        >>> refuse_poles(sin(z) / z, z)
        >>> refuse_poles(z / (1 + Abs(z)), z)
    """
    if not any(is_denominator(node, x) for node in expr.atoms(Pow)):
        return
    try:
        parts = branches(expr, x)
    except DeriveError:
        return
    for cell, smooth in parts:
        place = None if is_larger(smooth, _LARGE) else _pole(smooth, cell, x)
        if place is not None:
            raise NotIntegrableError(
                f"the Gaussian mean of {expr}", f"a pole at {x} = {place}", "remove the pole"
            )


def is_denominator(expr: Expr, x: Symbol) -> bool:
    """Return whether an expression is a negative integer power of a function of ``x``."""
    return (
        isinstance(expr, Pow)
        and bool(expr.exp.is_integer and expr.exp.is_negative)
        and x in expr.base.free_symbols
    )


def _pole(smooth: Expr, cell: Interval, x: Symbol) -> Expr | None:
    top, bottom = fraction(cancel(together(smooth)))
    for factor in Mul.make_args(bottom):
        try:
            for place in real_zeros(factor, x):
                inside = order(cell.low, place) <= 0 <= order(cell.high, place)
                if inside and _is_nonzero(top.subs(x, place)):
                    return place
        except DeriveError:
            continue
    return None


def _is_nonzero(value: Expr) -> bool:
    """Return whether a numerator is proved not to vanish; a free parameter is taken not to."""
    found = decided_sign(value)
    return bool(value.free_symbols) if found is None else found != 0
