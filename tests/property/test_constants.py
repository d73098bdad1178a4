"""Constants of unusual activations to fifty digits: the rules against ball quadrature."""

import random

import pytest
from sympy import (
    Abs,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    sign,
    sin,
    sinh,
    sqrt,
)

from derive.balls import enclose
from derive.expectation import Expectation
from derive.gaussian import expect
from derive.symbols import z
from derive.value import Kind

third, half = Rational(1, 3), Rational(1, 2)
elu = Piecewise((z, z > 0), (exp(z) - 1, True))
gelu = z * (1 + erf(z / sqrt(2))) / 2
UNUSUAL = {
    "power, erf and step": z**2 * erf(2 * z + 1) * Heaviside(z - third),
    "relu times cosine": Max(0, z) * cos(3 * z),
    "two erf and a Gaussian": erf(z) * erf(2 * z + 1) * exp(-(z**2)),
    "five breakpoints": Piecewise(
        (0, z < -2), (z + 2, z < -1), (exp(z), z < 0), (1 - z**2, z < 1), (z - 1, z < 2), (1, True)
    ),
    "square of erf": erf(z + 1) ** 2 * z**3,
    "gelu squared": gelu**2,
    "high power on a half-line": z**20 * Heaviside(z - Rational(1, 7)),
    "power of a sine": sin(3 * z) ** 8,
    "sine on a half-line": z**3 * sin(2 * z + 1) * Heaviside(z + half),
    "elu to the fourth": elu**4,
    "celu to the sixth": (Max(z, 0) + Min(0, 2 * (exp(z / 2) - 1))) ** 6,
    "softshrink to the fourth": (Max(z - half, 0) + Min(z + half, 0)) ** 4,
    "erf times cosine": erf(z) * cos(z) * z,
    "erf times clip": erf(z) * Min(Max(z, -1), 1),
    "growth on an interval": exp(z**2 / 10) * Heaviside(1 - Abs(z)),
    "three waves": erf(z + 1) * cos(2 * z) * exp(-(z**2)),
    "cosh times a power of relu": cosh(z) * Max(z - 1, 0) ** 2,
    "sinh": sinh(z) ** 4,
    "erfc times erf": erfc(2 * z) * erf(z) * z**2,
    "nested extremes": Max(Abs(z) - 1, Min(z**2, 2) - z, 0) ** 2,
    "modulus of a cubic": Abs(z**3 - 2 * z + third),
    "signs of a cubic": sign(z**3 - z) * erf(z) + z,
    "modulus in an exponent": z**2 * exp(-Abs(z)) * sin(z) ** 2,
    "far threshold": Max(z - 8, 0) ** 2,
    "mixed branches": Piecewise(
        (sin(z), z < -1), (cos(z) * z, z < half), (exp(-(z**2)), z < 2), (erf(z), True)
    ),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_fifty_digits_of_a_closed_form_are_those_of_the_ball_integral(name):
    rng = random.Random(name)
    mean, variance = Rational(rng.randint(-9, 9), 7), Rational(rng.randint(1, 60), 20)
    closed = expect(UNUSUAL[name], mean, variance)
    assert closed.kind is Kind.CLOSED_FORM
    found = closed.ball(50)
    truth = enclose(Expectation(UNUSUAL[name], mean, variance), 50)
    assert truth.rigorous
    assert abs(found.mid - truth.mid) <= found.rad + truth.rad
    assert found.digits >= 50 <= truth.digits


@pytest.mark.parametrize("f", [erf(3 * z) * Heaviside(1 - Abs(z)), sin(z) ** 3 * cos(2 * z) ** 2])
def test_an_odd_function_has_mean_zero_exactly(f):
    assert expect(f).expr == 0
