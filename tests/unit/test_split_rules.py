"""Means cut at kinks: against balls, against the error that they state, and as compiled code."""

import math
from fractions import Fraction

import numpy as np
import pytest
from sympy import Abs, Max, Min, Rational, Symbol, besselj, exp, log, sign, tanh

from derive.errors import NotSupportedError, RangeError
from derive.expectation import Expectation
from derive.symbols import z
from numeric.split_rules import mean_function, mean_source, split_rule

CASES = [
    (Max(z, 0), [0], lambda x: np.maximum(x, 0)),
    (Min(Max(z, -1), Rational(1, 2)), [-1, 0.5], lambda x: np.clip(x, -1, 0.5)),
    (tanh(z) ** 2, [], lambda x: np.tanh(x) ** 2),
    (Abs(tanh(z)) * exp(z / 2), [0], lambda x: np.abs(np.tanh(x)) * np.exp(x / 2)),
    (log(1 + exp(z)), [], lambda x: np.logaddexp(0, x)),
    (sign(z - 1) * z**3, [1], lambda x: np.sign(x - 1) * x**3),
]
LAWS = [(0, 1), (Rational(3, 4), Rational(1, 4)), (-2, 3)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_means_agree_with_balls_within_the_stated_error(case, law):
    expr, kinks, function = case
    exact = float(Expectation(expr, *law))
    found = split_rule(kinks, *map(float, law)).mean(function)
    assert abs(float(found.value) - exact) <= float(found.error)
    assert float(found.error) < 1e-12 * (1 + abs(exact))


def test_a_kink_that_was_not_declared_is_seen_in_the_error():
    found = split_rule([], mean=0.3).mean(np.abs)
    exact = float(Expectation(Abs(z), Rational(3, 10), 1))
    miss = abs(float(found.value) - exact)
    assert 1e-6 < miss <= float(found.error) < 0.1


def test_a_function_steeper_than_the_panels_is_seen_in_the_error():
    found = split_rule([0.0]).mean(lambda x: np.tanh(40 * x) ** 2)
    exact = float(Expectation(tanh(40 * z) ** 2, 0, 1))
    assert abs(float(found.value) - exact) <= float(found.error)
    assert float(found.error) > 1e-6


def test_growth_beyond_the_reach_is_seen_in_the_error():
    found = split_rule().mean(lambda x: np.exp(0.45 * x * x))
    assert float(found.error) > abs(float(found.value) - 1 / math.sqrt(0.1))


def test_leading_axes_of_values_are_kept():
    powers = np.array([0.0, 2.0, 4.0])
    found = split_rule().mean(lambda x: np.asarray(x)[None] ** powers.reshape(-1, *[1] * x.ndim))
    np.testing.assert_allclose(found.value, [1, 1, 3], rtol=1e-14)
    assert found.error.shape == (3,)


def test_bad_laws_are_refused():
    with pytest.raises(RangeError, match="variance"):
        split_rule(variance=0.0)
    with pytest.raises(RangeError, match="not finite"):
        split_rule([math.nan])


def test_compiled_code_agrees_with_the_rule_at_any_kink_and_law():
    c = Symbol("c", real=True)
    excess = mean_function("excess", Max(z - c, 0) * tanh(z), z, parameters=[c], kinks=[c])
    for kink, mean, sd in [(0.3, 0.0, 1.0), (-5.0, 0.5, 0.1), (40.0, 0.0, 2.0), (1.0, 1.0, 3.0)]:
        rule = split_rule([kink], mean, sd * sd)
        true = rule.mean(lambda x, k=kink: np.maximum(x - k, 0) * np.tanh(x))
        value, error = excess(kink, mean, sd)
        assert value == pytest.approx(float(true.value), rel=1e-13, abs=1e-15)
        assert error == pytest.approx(float(true.error), rel=0.5, abs=1e-15)


def test_printed_code_is_scalar_code_over_math():
    text = mean_source("square", z**2, z)
    space = {"math": math}
    exec(text, space)
    value, error = space["square"](1.0, 2.0)
    assert abs(value - 5) <= error < 1e-13
    assert Fraction(value).limit_denominator(1000) == 5


def test_what_cannot_be_printed_is_refused():
    with pytest.raises(NotSupportedError):
        mean_source("bessel", besselj(0, z), z)
    with pytest.raises(RangeError, match="c has no value"):
        mean_source("excess", Max(z - Symbol("c"), 0), z)
