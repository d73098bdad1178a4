"""Laws that every dual kernel obeys, on random piecewise polynomials, laws and correlations."""

from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Abs, Max, Min, Rational, Symbol, diff, erf, exp, expand, sign, sqrt

from derive.dual import dual, dual_derivative
from derive.gaussian import expect
from derive.hermite import hermite_coefficient
from derive.symbols import rho, z

a, b = Symbol("a", positive=True), Symbol("b", positive=True)
rationals = st.builds(Rational, st.integers(-12, 12), st.integers(4, 9))
positive = st.builds(
    lambda m, e: Rational(m) * Rational(10) ** e, st.integers(1, 9), st.integers(-6, 5)
)
inside = st.builds(Rational, st.integers(-99, 99), st.just(100))
activations = st.builds(
    lambda c, d, p, q: c * Max(z - d, 0) + p * z + q,
    rationals,
    rationals,
    rationals,
    rationals,
) | st.builds(lambda c, d: c * erf(z + d), rationals, rationals)
FIXED = st.sampled_from(
    [Max(z, 0), Abs(z), z * erf(z), Min(Max(z, -1), 1), sign(z), exp(-(z**2)), z * Max(z, 0)]
)
few = settings(derandomize=True, max_examples=7, deadline=None)


@few
@given(activations, FIXED, inside, rationals, rationals)
def test_kernel_is_symmetric_under_exchange_of_the_normals(s, t, r, m1, m2):
    one = dual(s, t, variances=(2, Rational(1, 3)), means=(m1, m2)).expr.subs(rho, r)
    two = dual(t, s, variances=(Rational(1, 3), 2), means=(m2, m1)).expr.subs(rho, r)
    assert abs((one - two).n(25)) < 1e-20


@few
@given(activations, inside, positive)
def test_kernel_is_bounded_by_the_second_moment(s, r, v):
    value = dual(s, variances=v).expr.subs(rho, r).n(25)
    assert abs(value) <= expect(s**2, 0, v).expr.n(25) * (1 + 1e-20) + 1e-25


@few
@given(activations, positive)
def test_kernel_at_one_is_the_second_moment(s, v):
    value = dual(s, variances=v).expr.subs(rho, 1).n(25)
    assert abs(value - expect(s**2, 0, v).expr.n(25)) < 1e-18 * (1 + abs(value))


@few
@given(FIXED | activations, inside)
def test_slope_in_the_correlation_is_the_kernel_of_the_derivatives(s, r):
    slope = diff(dual(s, variances=(a, b)).expr, rho) / sqrt(a * b)
    law = {a: Rational(3, 2), b: Rational(2, 5), rho: r}
    direct = dual_derivative(s, variances=(a, b)).expr
    assert abs((slope - direct).subs(law).n(25)) < 1e-20


@few
@given(activations)
def test_derivatives_at_zero_correlation_are_squared_hermite_coefficients(s):
    kernel = dual(s).expr
    for order in range(3):
        mu = hermite_coefficient(s, order).expr
        assert abs((diff(kernel, rho, order).subs(rho, 0) - mu**2).n(25)) < 1e-20


@few
@given(activations, activations, FIXED, rationals)
def test_kernel_is_linear_in_each_function(s, t, g, weight):
    law = {rho: Rational(2, 7)}
    joint = dual(expand(s + weight * t), g).expr.subs(law)
    parts = dual(s, g).expr.subs(law) + weight * dual(t, g).expr.subs(law)
    assert abs((joint - parts).n(25)) < 1e-20
