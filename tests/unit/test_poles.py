"""Poles are refused where they are, and only there."""

import mpmath
import pytest
from sympy import Abs, Max, Piecewise, Symbol, exp, sin, tan

from derive.errors import NotIntegrableError
from derive.gaussian import expect
from derive.normal.poles import refuse_poles
from derive.symbols import z
from derive.value import Kind

b = Symbol("b", real=True)


@pytest.mark.parametrize(
    ("f", "place"),
    [
        (1 / z, "z = 0"),
        (b / z, "z = 0"),
        (1 / (z - b), "z = b"),
        (Max(z, 1 / z), "z = 0"),
        (Max(z, z**2 / (1 + z)), "z = -1"),
        (Piecewise((1 / (1 - z), z < 1), (0, True)), "z = 1"),
        (exp(z) / (z**2 - 2), r"z = .*sqrt\(2\)"),
        (z * tan(z), "z = pi/2"),
    ],
)
def test_a_pole_is_named(f, place):
    with pytest.raises(NotIntegrableError, match=f"a pole at {place}"):
        expect(f)


@pytest.mark.parametrize(
    ("f", "plain"),
    [
        (z**2 / (1 + Abs(z)), lambda x: x**2 / (1 + abs(x))),
        (sin(z) / z, mpmath.sinc),
        (Piecewise((1 / (1 - z), z < 0), (0, True)), lambda x: 1 / (1 - x) if x < 0 else 0),
        ((z**3 - 1) / (z - 1), lambda x: x**2 + x + 1),
        (z**4 / Abs(z) * exp(z), lambda x: abs(x) ** 3 * mpmath.exp(x)),
    ],
)
def test_a_pole_off_its_branch_or_removed_does_no_harm(f, plain):
    refuse_poles(f, z)
    with mpmath.workdps(30):
        points = [-20, -8, -3, 0, 3, 8, 20]
        truth = mpmath.quad(lambda x: plain(x) * mpmath.npdf(x), points)
        assert abs(expect(f).ball(20).mpf(25) - truth) < 1e-18


@pytest.mark.parametrize("f", [exp(2 * z) / (1 + exp(z)) ** 2, z / (1 + exp(z)) / (2 + sin(z))])
def test_a_denominator_that_is_no_polynomial_has_no_rule(f):
    value = expect(f)
    assert value.kind is Kind.BALL
    assert "no rule for" in value.reason


def test_a_quotient_that_cancels_has_a_closed_form():
    value = expect((z**3 - 1) / (z - 1) * Abs(z) / z)
    assert value.kind is Kind.CLOSED_FORM
