"""Elementary functions in machine code: their names and their roundings.

Stage: beneath Programs and their printers. Three functions that SymPy has only as expressions get
names, since machines keep more digits of them than of the expressions.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from sympy import (
    Abs,
    Add,
    Expr,
    Function,
    Integer,
    Pow,
    acos,
    asin,
    cosh,
    count_ops,
    exp,
    log,
    sqrt,
    tanh,
)

UNITS: Mapping[str, int] = {
    **dict.fromkeys(("exp", "log", "pow", "sin", "cos", "cosh", "atan", "acos", "erf"), 4),
    **dict.fromkeys(("expm1", "log1p", "softplus", "tan", "tanh", "sinh", "asin"), 6),
    "erfc": 10,
}
"""Rounding of each function in units of 2^-53 of its value, on every target.

It covers our vector functions (``numeric.elementary.UNITS``, tested to be smaller) and what the C
and CUDA libraries state for theirs; roundings of any other function count as one operation.
"""
VECTOR = frozenset(UNITS)
"""Functions with vector code; "pow" stands for powers that are no products of roots."""

RATES: Mapping[type[Expr], Callable[[Expr], Expr]] = {
    tanh: lambda x: cosh(x) ** -2,
    asin: lambda x: 1 / sqrt((1 - x) * (1 + x)),
    acos: lambda x: -1 / sqrt((1 - x) * (1 + x)),
}
"""Derivatives of functions for which SymPy's own form cancels."""


class _OfOne(Function):
    """A function of one argument that SymPy has only as an expression."""

    nargs = 1

    @property
    def _x(self) -> Any:
        return self.args[0]

    def _eval_is_extended_real(self) -> bool | None:
        real: bool | None = self._x.is_extended_real
        return real


class log1p(_OfOne):  # noqa: N801  (printed under this name)
    """log(1 + x).

    Example:
        >>> from sympy.abc import x
        >>> log1p(x).diff(x), log1p(0)
        (1/(x + 1), 0)
    """

    @classmethod
    def eval(cls, x: Any) -> Expr | None:
        """Return log1p(0)."""
        return Integer(0) if x.is_zero else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative."""
        slope: Expr = 1 / (1 + self._x)
        return slope

    def _eval_evalf(self, prec: int) -> Any:
        return log(1 + self._x)._eval_evalf(prec)


class expm1(_OfOne):  # noqa: N801
    """exp(x) - 1.

    Example:
        >>> from sympy.abc import x
        >>> expm1(x).diff(x), expm1(0)
        (exp(x), 0)
    """

    @classmethod
    def eval(cls, x: Any) -> Expr | None:
        """Return expm1(0)."""
        return Integer(0) if x.is_zero else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative."""
        return exp(self._x)

    def _eval_evalf(self, prec: int) -> Any:
        return (exp(self._x) - 1)._eval_evalf(prec)


class softplus(_OfOne):  # noqa: N801
    """log(1 + exp(x)), which does not overflow.

    Example:
        >>> from sympy.abc import x
        >>> softplus(x).diff(x)
        1/(1 + exp(-x))
    """

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative, which does not overflow either."""
        return 1 / (1 + exp(-self._x))

    def _eval_evalf(self, prec: int) -> Any:
        return log(1 + exp(self._x))._eval_evalf(prec)


def function_name(expr: Any) -> str:
    """Return under what name an expression is in ``UNITS``; empty if it is none of those.

    Example:
        >>> from sympy import Rational
        >>> from sympy.abc import x
        >>> [function_name(e) for e in (exp(x), x**Rational(1, 3), x**Rational(3, 2), x + 1)]
        ['exp', 'pow', '', '']
    """
    if isinstance(expr, Pow):
        twice = 2 * expr.exp
        return "" if twice.is_Integer else "pow"
    name = type(expr).__name__
    return name if isinstance(expr, Function) and name in UNITS else ""


@lru_cache(maxsize=1 << 14)
def function_units(expr: Expr) -> Expr:
    """Return what the functions in an expression add to its count of roundings.

    The rounding of the argument u of an exponential is multiplied by u, and that of a base by its
    exponent.

    Example:
        >>> from sympy.abc import x
        >>> function_units(x + 1), function_units(exp(x) + log(x)), function_units(exp(-(x**2)))
        (0, 8, 2*Abs(x**2) + 4)
    """
    total: Expr = Integer(UNITS.get(function_name(expr), 0))
    if isinstance(expr, exp) and expr.args[0].args:
        total += count_ops(expr.args[0]) * Add(*(Abs(t) for t in Add.make_args(expr.args[0])))
    if isinstance(expr, Pow) and expr.base.is_Rational and not expr.base.is_Integer:
        total += Abs(expr.exp)
    return Add(total, *(function_units(a) for a in expr.args if isinstance(a, Expr) and a.args))


def functions_of(exprs: Iterable[Expr]) -> tuple[str, ...]:
    """Return the names of the functions in expressions, less roots, sizes and selections.

    Example:
        >>> from sympy import gamma
        >>> from sympy.abc import x
        >>> names = functions_of([exp(x) + abs(x), gamma(x)])
        >>> names, [name for name in names if name not in VECTOR]
        (('exp', 'gamma'), ['gamma'])
    """
    found = {f for e in exprs for f in e.atoms(Function, Pow)}
    names = {function_name(f) if isinstance(f, Pow) else type(f).__name__ for f in found}
    return tuple(sorted(names - {"", "Abs", "Piecewise"}))
