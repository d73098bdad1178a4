"""Random integrands of the class: closed form against the rigorous ball of the same integral."""

import random

import pytest
from sympy import (
    Abs,
    Expr,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    cos,
    erf,
    erfc,
    exp,
    sign,
    sin,
    sinh,
)

from derive.balls import enclose
from derive.expectation import Expectation
from derive.gaussian import expect
from derive.symbols import z


def number(rng: random.Random) -> Expr:
    return Rational(rng.randint(-8, 8), rng.randint(1, 4))


def leaf(rng: random.Random) -> Expr:
    line = number(rng) * z + number(rng)
    bump = exp(-(z**2) * abs(number(rng)) / 2 + number(rng) * z / 2)
    smooth = [z, line, exp(line / 2), bump, erf(line), erfc(line), sin(line), cos(line)]
    kinked = [Max(line, number(rng)), Min(z, number(rng)), Abs(line), sign(line), Heaviside(line)]
    return rng.choice([*smooth, *kinked, sinh(line / 3), exp(-Abs(line)), Max(0, 1 - Abs(line))])


def integrand(rng: random.Random) -> Expr:
    first, second, third = leaf(rng), leaf(rng), leaf(rng)
    shapes = [
        first * second + third,
        (first + second) * third,
        Piecewise((first, z > number(rng)), (second * third, True)),
        Abs(z**2 - number(rng)) * first,
    ]
    return rng.choice(shapes)


@pytest.mark.parametrize("seed", range(25))
def test_random_integrands_agree_with_rigorous_integrals(seed: int) -> None:
    rng = random.Random(seed)
    f, mean, variance = integrand(rng), number(rng), Rational(rng.randint(1, 20), rng.randint(1, 9))
    value = expect(f, mean, variance)
    exact, ball = enclose(value.expr, 20), enclose(Expectation(f, mean, variance), 12)
    assert not value.expr.has(Expectation)
    assert ball.rigorous
    assert exact.overlaps(ball)
