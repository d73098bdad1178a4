r"""Hermite coefficients of a function of one normal.

Stage: beside the Gaussian means. Convention, with z standard normal and He_k the probabilists'
polynomials:

.. math:: \mu_k = \mathbb{E}[s(m + \sqrt r z) He_k(z)], \qquad
          s(m + \sqrt r z) = \sum_k \mu_k He_k(z) / k!

so that mu_k = r^(k/2) d^k/dm^k E s(N(m, r)). Zeros are proved by parity. Source: [stein1981].
"""

from typing import Any

from sympy import Expr, Integer, S, Symbol, sqrt, sympify

from derive.errors import RangeError
from derive.expectation import Expectation
from derive.gaussian import Number, expect
from derive.normal.hermite_polynomials import hermite_polynomial
from derive.normal.hermite_symbolic import symbolic_coefficient
from derive.normal.parity import parity
from derive.rewrite import Log, Step
from derive.symbols import z
from derive.value import Value


def hermite_coefficient(
    expr: Any,
    k: Any,
    mean: Number = 0,
    variance: Number = 1,
    *,
    variable: Symbol = z,
) -> Value:
    """Return mu_k = E[s(m + sqrt(r) z) He_k(z)].

    Args:
        expr: s, an expression in the variable and in real parameters.
        k: integer >= 0, or an integer symbol (then ``Value.reason`` says from which k it holds).
        mean: m, real, may be symbolic.
        variance: r >= 0, may be symbolic.
        variable: the argument of s.

    Raises:
        RangeError: if k is negative or not an integer, and as for ``expect``.
        NoRuleError: at symbolic k, if no generating form is known.

    Example:
        >>> from sympy import Max, Symbol, erf, exp, sign
        >>> [hermite_coefficient(Max(z, 0), k) for k in range(5)]
        [sqrt(2)/(2*sqrt(pi)), 1/2, sqrt(2)/(2*sqrt(pi)), 0, -sqrt(2)/(2*sqrt(pi))]
        >>> n = Symbol("n", integer=True, nonnegative=True)
        >>> hermite_coefficient(exp(2 * z), n)
        2**n*exp(2)
    """
    order = sympify(k, strict=True)
    if order.is_integer is not True or order.is_negative:
        raise RangeError(
            f"Hermite coefficient k = {k}", "not an integer >= 0", "declare k integer, nonnegative"
        )
    s = sympify(expr, strict=True)
    if not order.is_Integer:
        return symbolic_coefficient(s, order, mean, variance, variable)
    m, r = (sympify(value, strict=True) for value in (mean, variance))
    polynomial = hermite_polynomial(int(order), (variable - m) / sqrt(r)) if order else S.One
    value = expect(s * polynomial, mean, variance, variable)
    closed = value.expr.is_zero is not True and not value.expr.has(Expectation)
    if closed and _is_zero_by_parity(s, int(order), mean, variable):
        reason = f"zero by parity: the function is {parity(s, variable)} and He_{k} is not"
        return Value(Integer(0), reason=reason, log=Log((Step("parity", "0"),)))
    return value


def _is_zero_by_parity(s: Expr, k: int, mean: Any, variable: Symbol) -> bool:
    if mean != 0:
        return False
    return parity(s, variable) == ("odd" if k % 2 == 0 else "even")


__all__ = ["hermite_coefficient", "parity"]
