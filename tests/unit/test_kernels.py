"""The kernel of an activation: closed where possible, certified otherwise, with its derivative."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from sympy import Abs, Max, Rational, Symbol, erf, exp, sign, tanh

from derive.activation import Activation
from derive.errors import NoRuleError, NotSupportedError, RangeError
from derive.kernels import kernel
from derive.pairs.kernel_series import KernelSeries
from derive.symbols import rho, z
from derive.value import Kind, Value


def planar(f, g, correlation):
    """Trapezoidal rule in the plane, for functions analytic in a strip."""
    x = np.arange(-9.5, 9.5, 1 / 16)
    u, w = np.meshgrid(x, x)
    v = correlation * u + np.sqrt(1 - correlation**2) * w
    return (f(u) * g(v) * np.exp(-(u**2 + w**2) / 2)).sum() / 256 / (2 * np.pi)


def test_relu_has_a_closed_kernel_with_the_arc_cosine_value():
    found = kernel(Max(z, 0))
    assert isinstance(found.value, Value)
    assert found.kind is Kind.CLOSED_FORM
    with mpmath.workdps(30):
        half = (mpmath.sqrt(3) / 2 + mpmath.pi / 3) / (2 * mpmath.pi)
        assert abs(found.at("1/2", 25).mpf(25) - half) < mpmath.mpf(10) ** -24


def test_tanh_has_a_series_that_says_why():
    found = kernel(tanh(z))
    assert isinstance(found.value, KernelSeries)
    assert found.kind is Kind.BALL
    assert "no closed form" in found.reason
    assert len(found.log) == 2


def test_digits_beyond_the_default_are_recomputed():
    ball = kernel(tanh(z)).at(1, 25)
    with mpmath.workdps(30):
        value = mpmath.quad(lambda x: mpmath.tanh(x) ** 2 * mpmath.npdf(x), [-16, -3, 0, 3, 16])
        assert ball.digits >= 25
        assert abs(ball.mpf(28) - value) < mpmath.mpf(10) ** -24


@pytest.mark.parametrize("correlation", [0.5, -0.25])
def test_derivative_kernel_of_tanh_is_the_kernel_of_its_derivative(correlation):
    slope = kernel(tanh(z)).derivative()

    def sech2(x):
        return np.cosh(x) ** -2.0

    assert abs(slope(correlation) - planar(sech2, sech2, correlation)) < 1e-12


def test_derivative_kernel_agrees_with_differences_of_the_kernel():
    found, step = kernel(tanh(z), variances=(2, 2)), Rational(1, 10**4)
    left, right = (found.at(Rational(3, 10) + s * step, 20).mid for s in (-1, 1))
    difference = float((right - left) / (2 * Fraction(1, 10**4)))
    assert abs(found.derivative()(0.3) - difference / 2) < 1e-8


def test_derivative_kernel_of_a_kinked_activation_jumps_and_is_certified():
    slope = kernel(Abs(tanh(z))).derivative()
    with mpmath.workdps(20):
        end = mpmath.quad(lambda x: 2 * mpmath.sech(x) ** 4 * mpmath.npdf(x), [0, 2, 6, 16])
    assert abs(slope.at(1, 12).mpf(15) - end) < 1e-12


def test_derivative_kernel_without_a_bound_is_refused():
    with pytest.raises(NotSupportedError, match="infinite at rho = 1"):
        kernel(sign(z) * exp(-(tanh(z) ** 2))).derivative().derivative()


def test_pairs_may_mix_a_kink_and_a_smooth_function():
    found = kernel(Max(z, 0), tanh(z))
    with mpmath.workdps(20):
        end = mpmath.quad(lambda x: x * mpmath.tanh(x) * mpmath.npdf(x), [0, 3, 14])
    assert abs(found.at(1, 12).mpf(15) - end) < 1e-12
    assert found.value.kinks == ((), ())


def test_a_zero_of_the_kernel_is_exact():
    assert kernel(tanh(z)).at(0).mid == 0
    assert kernel(tanh(z)).at(0).rad == 0


def test_a_parameter_without_value_and_without_rule_is_named():
    with pytest.raises(NoRuleError, match="tanh"):
        kernel(tanh(Symbol("a", real=True) * z)).value


def test_bad_correlations_and_variances_are_refused():
    with pytest.raises(RangeError, match="outside"):
        kernel(tanh(z)).at(2)
    with pytest.raises(RangeError, match="variance = -1"):
        kernel(tanh(z), variances=(-1, 1))


def test_activation_offers_its_dual():
    assert Activation("relu").dual(rho).expr.subs(rho, 1) == Rational(1, 2)
    assert Activation(erf(z)).dual(Rational(1, 2), variances=(2, 2)).expr.is_number
    assert isinstance(Activation("tanh").dual(), KernelSeries)
    with pytest.raises(RangeError, match="kernel"):
        Activation("tanh").dual(Rational(1, 2))


def test_correlations_of_the_dual_are_read_exactly_and_never_evaluated():
    relu = Activation("relu")
    assert relu.dual(0.5).expr == relu.dual("1/2").expr == relu.dual(Rational(1, 2)).expr
    with pytest.raises(RangeError, match="outside"):
        relu.dual(2)
    for text in ("rho", "__import__('os').getcwd()"):
        with pytest.raises(RangeError, match="not a decimal"):
            relu.dual(text)
