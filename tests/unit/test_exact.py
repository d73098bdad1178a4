"""Exact numbers from text, floats and rationals."""

from fractions import Fraction

import pytest
from sympy import Integer, Rational, oo, pi, sqrt
from sympy import nan as sympy_nan

from derive.activation import Activation
from derive.errors import RangeError
from derive.exact import exact_number


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.1, Rational(1, 10)),
        ("0.1", Rational(1, 10)),
        (" 1/3 ", Rational(1, 3)),
        ("1e-2", Rational(1, 100)),
        (1e-300, Rational(1, 10**300)),
        (3, Integer(3)),
        ("-2.50", Rational(-5, 2)),
        (Fraction(7, 9), Rational(7, 9)),
        (pi, pi),
        (sqrt(2) / 3, sqrt(2) / 3),
        (-0.0, Integer(0)),
    ],
)
def test_numbers_are_read_as_they_are_written(given, expected):
    assert exact_number(given) == expected


def test_values_convert_themselves():
    assert exact_number(Activation("relu").kappa_1()) == Rational(1, 2)


@pytest.mark.parametrize("given", [float("nan"), float("inf"), "nan", "inf", sympy_nan, oo])
def test_what_is_not_finite_is_refused(given):
    with pytest.raises(RangeError):
        exact_number(given)


@pytest.mark.parametrize("given", ["", "x", "1/0", "1,5", "__import__('os')", "0x10"])
def test_text_that_is_no_number_is_refused(given):
    with pytest.raises(RangeError, match="not a decimal or a fraction"):
        exact_number(given)
