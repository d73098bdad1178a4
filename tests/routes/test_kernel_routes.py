"""One kernel by two derivations: the closed form of the rules, and the certified Hermite series."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Abs, Max, Min, Piecewise, Rational, erf, exp, sign, sin, sqrt

from derive.kernels import kernel
from derive.pairs.kernel_series import kernel_series
from derive.symbols import z

CLOSED = {
    "erf": erf(z),
    "gelu": z * (1 + erf(z / sqrt(2))) / 2,
    "sin": sin(2 * z) + z,
    "bump": z * exp(-(z**2) / 8),
    "relu": Max(z, 0),
    "leaky": Max(z, z / 10),
    "clip": Max(Min(z, 1), Rational(-1, 2)),
    "elu": Piecewise((z, z > 0), (exp(z) - 1, True)),
    "step": sign(z - Rational(1, 3)),
    "abs": Abs(z) * exp(-(z**2) / 8),
}
CORRELATIONS = st.fractions(-1, 1, max_denominator=64)
VARIANCES = st.fractions(Fraction(1, 16), 3, max_denominator=16)


@pytest.mark.parametrize("name", CLOSED)
@settings(max_examples=3, derandomize=True, deadline=None)
@given(rho=CORRELATIONS, variance=VARIANCES)
def test_series_and_closed_form_agree(name, rho, variance):
    law = {"variances": (variance, 1)}
    series = kernel_series(CLOSED[name], CLOSED[name], **law).ball(rho)
    closed = kernel(CLOSED[name], **law).at(rho, 18)
    assert abs(series.mid - closed.mid) <= series.rad + Fraction(1, 10**15)
    assert series.rad < Fraction(1, 10**11)


@pytest.mark.parametrize("name", ["erf", "relu", "gelu"])
@pytest.mark.parametrize("side", [1, -1])
def test_the_two_routes_meet_at_the_ends(name, side):
    series = kernel_series(CLOSED[name]).ball(side)
    closed = kernel(CLOSED[name]).at(side, 18)
    assert abs(series.mid - closed.mid) <= series.rad + Fraction(1, 10**15)


@pytest.mark.parametrize("name", ["gelu", "relu"])
def test_price_theorem_links_a_kernel_and_that_of_the_derivative(name):
    found, step = kernel(CLOSED[name], variances=(2, 2)), Fraction(1, 10**6)
    left, right = (found.at(Fraction(1, 5) + s * step, 25).mid for s in (-1, 1))
    difference = (right - left) / (2 * step) / 2
    assert abs(difference - found.derivative().at("1/5", 20).mid) < Fraction(1, 10**10)
