"""Code over balls: exact rationals, certain branches, and the truth inside."""

import math

import pytest
from flint import arb, fmpq
from mpmath import mp, mpf
from sympy import (
    Abs,
    E,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    erf,
    exp,
    gamma,
    log,
    pi,
    sqrt,
    tanh,
)

from derive.block import Block
from derive.codegen import function
from derive.enclosing.ball_program import working_precision
from derive.errors import NotSupportedError
from derive.printing.ball_code import BallPrinter
from numeric.proof import _choose, _ratio

x, y = Symbol("x", real=True), Symbol("y", real=True)


def run(expr, values, bits=120):
    """Return the ball of an expression at balls or numbers."""
    block = Block((x, y), (), (expr,))
    source = function("f", block, BallPrinter({x: "x", y: "y"}))
    scope = {"ball": arb, "ratio": _ratio, "choose": _choose}
    exec(source, scope)
    with working_precision(bits):
        return scope["f"](*(arb(v) for v in values))[0]


EXPRESSIONS = [
    x / 3 + Rational(2, 7) * y**5,
    1 / sqrt(x) - y ** Rational(3, 2),
    (x + y) ** -3 + x**y,
    exp(-x) * tanh(y) + erf(x * y) - log(x + pi) + E,
    Abs(x - y) + Min(x, y, 2) * Max(x, y),
    Piecewise((x, x > y), (x * y, x > 1), (-x, True)),
    Integer(2),
    Rational(1, 3),
]


@pytest.mark.parametrize("expr", EXPRESSIONS, ids=str)
@pytest.mark.parametrize("at", [(0.5, 1.25), (2.5, 0.75)])
def test_the_ball_holds_the_value_to_30_digits(expr, at):
    ball = run(expr, at)
    assert isinstance(ball, arb)
    with mp.workdps(50):
        truth = expr.subs({x: Rational(at[0]), y: Rational(at[1])}).evalf(50)
        text = mp.nstr(mpf(str(truth)), 45)
    with working_precision(200):
        assert abs(ball - arb(text)) < arb(10) ** -30


def test_rationals_stay_exact():
    third = run(Rational(1, 3) + 0 * x, (1, 1), bits=300)
    with working_precision(400):
        assert third.contains(fmpq(1, 3))
        assert float(third.rad()) < 1e-85


def test_an_undecided_branch_gives_both_values():
    step = Piecewise((Integer(1), x > 0), (Integer(-1), True))
    both = run(step, (arb(0, 1e-9), 1))
    assert both.contains(1)
    assert both.contains(-1)
    assert run(step, (arb(1, 0.5), 1)) == 1


def test_unsupported_functions_are_named():
    with pytest.raises(NotSupportedError, match="ball code for gamma"):
        run(gamma(x), (1, 1))
    with pytest.raises(NotSupportedError, match="no default branch"):
        run(Piecewise((x, x > 0)), (1, 1))


def test_no_number_is_ever_a_python_float():
    source = function("f", Block((x,), ((y, Integer(1)),), (y / 2,)), BallPrinter({x: "x", y: "y"}))
    assert "ball(1)" in source
    assert not any(str(v) in source for v in (0.5, math.pi))
