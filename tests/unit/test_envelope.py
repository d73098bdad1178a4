"""Tail bounds hold wherever they are sampled, and are refused where no rule applies."""

from itertools import product

import pytest
from flint import acb, arb, fmpq
from sympy import (
    Abs,
    Max,
    Piecewise,
    Rational,
    asinh,
    atan,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    gamma,
    log,
    sech,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

from derive.enclosing.ball_program import Evaluation, compile_ball, working_precision
from derive.enclosing.envelope import tail_envelope
from derive.symbols import z

BOUNDED = [
    z**3 - 2 * z + 1,
    tanh(z) ** 2 * z,
    exp(-(z**2) / 8) * z,
    exp(z / 3 - z**4 / 10),
    log(1 + exp(3 * z - 2)),
    log(1 + z**2) * sqrt(1 + z**2),
    z / (1 + exp(-z)),
    z * exp(z) / (1 + exp(z)),
    1 / (z**2 - 3 * z + 1),
    1 / (z**2 + sin(5 * z) + 3),
    1 / (2 + cos(z)),
    sech(2 * z - 1) * exp(z),
    1 / sinh(z - 2),
    1 / cosh(z) * sinh(z / 2),
    erfc(z - 1) * exp(z**2 / 3),
    exp(atan(z) * z),
    exp(-Abs(z)),
    Max(z, z**2, -z),
    Piecewise((z, z > 0), (exp(z) - 1, True)),
    asinh(z) * erf(z / 7),
    log(cosh(z)),
    (1 + z**2) ** Rational(1, 3),
    exp(sin(z)) * sqrt(2),
]


@pytest.mark.parametrize(("expr", "side"), list(product(BOUNDED, (-1, 1))), ids=str)
def test_the_bound_holds_at_sampled_points_of_the_tail(expr, side):
    with working_precision(200):
        evaluation = Evaluation(200)
        bound = tail_envelope(expr, z, side, evaluation)
        f = compile_ball(expr, z, evaluation)
        n, c, e = (arb(fmpq(x.numerator, x.denominator)) for x in (bound.n, bound.c, bound.e))
        for k in range(120):
            t = arb(fmpq(bound.T.numerator, bound.T.denominator)) + arb(fmpq(k * k, 37))
            top = bound.A * (1 + t) ** n * (c * t + e * t * t).exp()
            assert abs(f(acb(side * t), False)).lower() <= top


@pytest.mark.parametrize("expr", [exp(z**4), tan(z), gamma(z), exp(exp(z**2)), 1 / sin(z)])
def test_no_bound_is_claimed_where_none_holds(expr):
    with working_precision(100):
        assert tail_envelope(expr, z, 1, Evaluation(100)) is None


def test_a_cosine_of_an_imaginary_argument_is_not_taken_for_bounded():
    with working_precision(100):
        assert tail_envelope(cos(sqrt(5 - z)), z, 1, Evaluation(100)) is None


def test_rational_exponents_are_exact():
    with working_precision(100):
        bound = tail_envelope(exp(z**2 / 3 - z / 7), z, -1, Evaluation(100))
    assert (bound.e, bound.c) == (Rational(1, 3), Rational(1, 7))
