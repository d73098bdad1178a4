"""Activations on arrays: every node against mpmath, and refusals."""

import mpmath
import numpy as np
import pytest
import sympy
from sympy import (
    Abs,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    cos,
    erf,
    erfc,
    exp,
    log,
    pi,
    sech,
    sign,
    sin,
    sqrt,
    tanh,
)

from derive.errors import NotConvergedError, NotSupportedError
from derive.expectation import Expectation
from derive.symbols import z
from numeric.experiments.elementwise import apply


def three_pieces(x):
    return mpmath.expm1(x) if x < 0 else mpmath.log1p(x) if x < 2 else x**12


ACTIVATIONS = [
    (z * tanh(log(1 + exp(z))), lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x)))),
    (z * (1 + erf(z / sqrt(2))) / 2, lambda x: x * mpmath.ncdf(x)),
    (Max(z, 0), lambda x: max(x, 0)),
    (Min(Max(z, -1), Rational(1, 2)), lambda x: min(max(x, -1), mpmath.mpf(0.5))),
    (Abs(z) ** 3 / (1 + z**2), lambda x: abs(x) ** 3 / (1 + x * x)),
    (sign(z) * sqrt(Abs(z)), lambda x: mpmath.sign(x) * mpmath.sqrt(abs(x))),
    (Heaviside(z - 1, Rational(1, 2)), lambda x: mpmath.mpf(x > 1) + mpmath.mpf(x == 1) / 2),
    (sin(pi * z) + cos(z) * sech(z), lambda x: mpmath.sinpi(x) + mpmath.cos(x) * mpmath.sech(x)),
    (erfc(z) ** -2, lambda x: mpmath.erfc(x) ** -2),
    (Piecewise((exp(z) - 1, z < 0), (log(1 + z), z < 2), (z**12, True)), three_pieces),
]


@pytest.mark.parametrize(("expression", "truth"), ACTIVATIONS, ids=lambda v: str(v)[:24])
def test_each_kind_of_expression_agrees_with_mpmath(expression, truth):
    x = np.array([[-2.5, -1.0, -0.3, 0.0], [0.2, 1.0, 1.9, 2.5]])
    expected = np.array([[float(truth(mpmath.mpf(v))) for v in row] for row in x])
    np.testing.assert_allclose(apply(expression, x), expected, rtol=1e-13, atol=1e-15)


def test_constants_that_are_unevaluated_means_become_their_numbers():
    mean = Expectation(z**2 * tanh(z) ** 2, 0, 1)
    x = np.linspace(-1, 1, 5)
    np.testing.assert_allclose(apply(z - mean, x), x - float(mean), rtol=1e-15)


def test_constant_expression_has_the_shape_of_its_argument():
    assert apply(sympy.Integer(3), np.zeros((2, 3))).shape == (2, 3)


def test_overflow_is_an_error_not_an_infinity():
    with pytest.raises(NotConvergedError, match="not finite at arguments between 0 and 1e"):
        apply(exp(z), np.array([0.0, 1e4]))


def test_branches_of_a_piecewise_are_evaluated_only_where_they_apply():
    x = np.array([-4.0, 4.0])
    assert apply(Piecewise((sqrt(z), z > 0), (0, True)), x).tolist() == [0.0, 2.0]


def test_unknown_functions_are_refused_by_name():
    with pytest.raises(NotSupportedError, match=r"sample a network with besselj\(\.\.\.\)"):
        apply(sympy.besselj(0, z), np.zeros(2))
