"""Random expressions, printed for each target, agree with SymPy's own evaluation."""

import math

import mpmath
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sympy import (
    Abs,
    Expr,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    atan,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    log,
    sin,
    sqrt,
    symbols,
    tanh,
)

from derive.codegen import LanePrinter, MpmathPrinter, ScalarPrinter

X, Y = symbols("x y", real=True)
NAMES = {X: "u_x", Y: "u_y"}
POINTS = [(Rational(1, 3), Rational(7, 4)), (Rational(-5, 8), Rational(2, 7)), (Integer(2), X * 0)]

UNARY = [
    lambda a: -a,
    lambda a: a**2,
    lambda a: a**5,
    lambda a: 1 / (1 + a**2),
    lambda a: (1 + a**2) ** -3,
    lambda a: sqrt(1 + a**2),
    lambda a: (2 + a**2) ** Rational(-1, 2),
    lambda a: (2 + a**2) ** Rational(3, 2),
    lambda a: exp(-(a**2)),
    lambda a: log(1 + a**2),
    Abs,
    sin,
    cos,
    tanh,
    lambda a: cosh(a / (1 + a**2)),
    atan,
    erf,
    erfc,
]
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (1 + b**2),
    Min,
    Max,
    lambda a, b: Piecewise((a, a > b), (b / 2, True)),
    lambda a, b: Piecewise((a, (a > 0) & (b < 1)), (b, (a < -1) | (b > 0)), (a - b, True)),
]
LEAVES = st.sampled_from([X, Y, Integer(2), Rational(-1, 3), Rational(7, 5), Integer(-1)])


def grow(children):
    one = st.builds(lambda f, a: f(a), st.sampled_from(UNARY), children)
    two = st.builds(lambda f, a, b: f(a, b), st.sampled_from(BINARY), children, children)
    return one | two


EXPRESSIONS = st.recursive(LEAVES, grow, max_leaves=6)


def run(printer, expr, names, **scope):
    """Evaluate our own printed text."""
    return eval(printer(NAMES).text(expr), dict(scope), names)


def exact(expr: Expr, point):
    value = expr.subs(dict(zip((X, Y), point, strict=True))).evalf(40)
    assume(value.is_real and abs(value) < 1e12)
    return mpmath.mpf(str(value))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(EXPRESSIONS, st.sampled_from(POINTS))
def test_printed_expressions_agree_with_symbolic_evaluation(expr, point):
    with mpmath.workdps(40):
        expected = exact(expr, point)
        at = {
            n: mpmath.mpf(int(v.p)) / int(v.q) for n, v in zip(NAMES.values(), point, strict=True)
        }
        found = run(MpmathPrinter, expr, at, mp=mpmath.mp)
        # SymPy's precision is lost where terms cancel, by at most the size of a term.
        assert abs(found - expected) <= mpmath.mpf(10) ** -30 * (1 + abs(expected))
    floats = {n: float(v) for n, v in zip(NAMES.values(), point, strict=True)}
    for printer in (ScalarPrinter, LanePrinter):
        value = run(printer, expr, floats, math=math)
        assert abs(value - float(expected)) <= 1e-9 * (1 + abs(float(expected)))
