"""Kernels by quadrature in two variables: against closed kernels as balls, at all correlations."""

from fractions import Fraction

import pytest
from sympy import Max, Min, Rational, erf, exp, log, sqrt, tanh

from derive.errors import NotConvergedError
from derive.kernels import kernel
from derive.symbols import z
from numeric.kernel_quadrature import PairQuadrature

RHOS = [Fraction(x) for x in (1.0, -1.0, 1 - 1e-13, 1e-7 - 1, 0.6, -0.2, 0.0)]
GELU = z * (1 + erf(z / sqrt(2))) / 2
CASES = [
    (erf(z), None, (10**6, 10**6), (0, 0)),
    (GELU, None, (10**4, 3), (0, 0)),
    (Max(z, 0), erf(z), (9, Rational(1, 10**4)), (1, Rational(-1, 2))),
    (Min(Max(z, -1), 1), None, (100, 100), (0, 0)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_values_agree_with_closed_kernels_within_the_estimate(case):
    s, t, variances, means = case
    exact = kernel(s, t, variances=variances, means=means)
    found = PairQuadrature(exact)
    for rho in RHOS:
        truth = float(exact.at(Rational(rho.numerator, rho.denominator), 18))
        assert abs(found(rho) - truth) <= found.error
    assert found.error < 2e-14 * found.scale


def test_tanh_agrees_with_its_certified_series():
    exact = kernel(tanh(z), variances=(4, 4))
    found, series = PairQuadrature(exact), exact.to_accuracy(1e-15)
    for rho in RHOS:
        assert abs(found(rho) - float(series.ball(rho))) < 4e-15
    assert found(Fraction(0)) == 0.0
    assert found(Fraction(-1, 3)) == -found(Fraction(1, 3))


def test_softplus_does_not_overflow():
    found = PairQuadrature(kernel(log(1 + exp(z)), variances=(10**6, 10**6)))
    relu = kernel(Max(z, 0), variances=(10**6, 10**6))
    assert 0 < found(Fraction(1, 2)) - float(relu.at("1/2")) < 10


def test_a_function_steeper_than_the_rules_is_seen_in_the_error():
    found = PairQuadrature(kernel(tanh(400 * z)))
    assert found.error > 1e-8 * found.scale


def test_values_that_overflow_are_refused():
    with pytest.raises(NotConvergedError, match="not finite"):
        PairQuadrature(kernel(exp(z), variances=(10**6, 10**6)))
