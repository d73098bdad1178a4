"""Certified kernel series against two-dimensional quadrature in double precision and mpmath."""

from dataclasses import replace
from fractions import Fraction
from functools import cache

import mpmath
import numpy as np
import pytest
from flint import arb
from numpy.polynomial.legendre import leggauss
from sympy import Abs, Max, Rational, Symbol, cos, exp, floor, lambdify, log, sin, sqrt, tanh

from derive.balls import Ball
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.kinks import pieces
from derive.errors import NotConvergedError, NotIntegrableError, NotSupportedError, RangeError
from derive.normal.hermite_balls import hermite_balls
from derive.pairs.kernel_series import kernel_series
from derive.pairs.kink_kernel import Kink, kink_kernel
from derive.symbols import z

SIGMOID = 1 / (1 + exp(-z))
SMOOTH = {
    "tanh": (tanh(z), np.tanh),
    "logistic": (SIGMOID, lambda x: 1 / (1 + np.exp(-x))),
    "silu": (z * SIGMOID, lambda x: x / (1 + np.exp(-x))),
    "softplus": (log(1 + exp(z)), lambda x: np.log1p(np.exp(x))),
    "mish": (z * tanh(log(1 + exp(z))), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
}
KINKED = {
    "|tanh|": (Abs(tanh(z)), lambda x: np.abs(np.tanh(x))),
    "relu of tanh": (Max(tanh(z), 0), lambda x: np.maximum(np.tanh(x), 0)),
    "relu times tanh": (Max(z, 0) * tanh(z), lambda x: np.maximum(x, 0) * np.tanh(x)),
}


@cache
def series(name):
    return kernel_series((SMOOTH | KINKED)[name][0])


def trapezoid(f, g, rho, variances=(1, 1), means=(0, 0), step=1 / 16):
    """Trapezoidal rule in the plane: error exp(-2 pi width/step) for f analytic in a strip."""
    x = np.arange(-9.5, 9.5 + step / 2, step)
    u, w = np.meshgrid(x, x)
    v = rho * u + np.sqrt(1 - rho**2) * w
    a, b = np.sqrt(variances)
    values = f(means[0] + a * u) * g(means[1] + b * v) * np.exp(-(u**2 + w**2) / 2)
    return values.sum() * step**2 / (2 * np.pi)


def quadrants(f, g, rho):
    """Gauss-Legendre on the four quadrants, in whose interiors the integrand is analytic."""
    nodes, weights = leggauss(24)
    ends = np.linspace(0, 10, 15)
    half = (ends[1] - ends[0]) / 2
    x = np.concatenate([half * (nodes + 1) + e for e in ends[:-1]])
    w = np.tile(half * weights, len(ends) - 1)
    x, w = np.concatenate([-x[::-1], x]), np.concatenate([w[::-1], w])
    u, v = np.meshgrid(x, x, indexing="ij")
    density = np.exp(-(u**2 - 2 * rho * u * v + v**2) / (2 * (1 - rho**2)))
    total = np.einsum("i,j,ij->", w * f(x), w * g(x), density)
    return total / (2 * np.pi * np.sqrt(1 - rho**2))


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("rho", [0.0, 0.5, -0.75, 0.9375])
def test_series_agrees_with_a_planar_trapezoidal_rule(name, rho):
    _, f = SMOOTH[name]
    assert abs(series(name).evaluate(rho) - trapezoid(f, f, rho)) < 3e-14 + series(name).error


@pytest.mark.parametrize("name", SMOOTH | KINKED)
def test_twelve_digits_are_certified_on_the_closed_interval(name):
    assert series(name).accuracy <= Fraction(1e-12)
    ends = [series(name).ball(1), series(name).ball(-1)]
    assert all(end.rigorous and end.rad <= Fraction(series(name).error) for end in ends)


@pytest.mark.parametrize("name", SMOOTH | KINKED)
@pytest.mark.parametrize("side", [1, -1])
def test_ends_of_the_interval_are_means_over_one_normal(name, side):
    expr = (SMOOTH | KINKED)[name][0]
    f = lambdify(z, expr, "mpmath")
    with mpmath.workdps(20):
        value = mpmath.quad(
            lambda x: f(x) * f(side * x) * mpmath.npdf(x), [-14, -3, 0, 3, 14], maxdegree=8
        )
    assert abs(series(name).ball(side).mpf(20) - value) < 2e-12


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("rho", [0.0, 0.5, -0.5])
def test_kinked_series_agree_with_quadrature_over_quadrants(name, rho):
    _, f = KINKED[name]
    assert abs(series(name).evaluate(rho) - quadrants(f, f, rho)) < 3e-14 + series(name).error


def test_a_kink_away_from_zero_agrees_with_a_conditional_mean():
    kernel = kernel_series(Max(tanh(z) - Rational(1, 2), 0))
    place = mpmath.atanh(0.5)
    nodes, weights = leggauss(40)
    ends = np.linspace(float(place), 10, 12)
    half = (ends[1] - ends[0]) / 2
    x = np.concatenate([half * (nodes + 1) + e for e in ends[:-1]])
    w = np.tile(half * weights, 11) * (np.tanh(x) - 0.5)
    u, v = np.meshgrid(x, x, indexing="ij")
    density = np.exp(-(u**2 - u * v + v**2) / 1.5) / (2 * np.pi * np.sqrt(0.75))
    assert abs(kernel.evaluate(0.5) - w @ density @ w) < 1e-14
    assert kernel.accuracy <= Fraction(1e-12)


def test_unequal_variances_and_means_of_a_pair():
    kernel = kernel_series(tanh(z), log(1 + exp(z)), variances=(2, "1/4"), means=("1/2", -1))
    witness = trapezoid(
        np.tanh, lambda x: np.log1p(np.exp(x)), -0.375, (2, 0.25), (0.5, -1), step=1 / 20
    )
    assert abs(kernel.evaluate(-0.375) - witness) < 1e-13


@pytest.mark.parametrize("variance", ["1e-6", "1/16", 4])
def test_variances_of_many_sizes_reach_the_accuracy(variance):
    kernel = kernel_series(tanh(z), variances=(variance, variance))
    small = float(Fraction(variance))
    witness = trapezoid(np.tanh, np.tanh, 0.5, (small, small), step=1 / 32)
    assert kernel.accuracy <= Fraction(1e-12)
    assert abs(kernel.evaluate(0.5) - witness) < 2e-12 * float(kernel.scale)


def test_zero_coefficients_of_an_odd_function_are_exact():
    assert all(c == Ball(Fraction(0)) for c in series("tanh").coefficients[::2])
    assert all(c > 0 for c in series("tanh").coefficients[1:60:2])


def test_the_bound_of_a_short_series_holds_and_is_not_idle():
    short = kernel_series(tanh(z), limit=12)
    gaps = [abs(short.ball(x).mid - series("tanh").ball(x).mid) for x in ("1", "1/2", "-9/10")]
    assert all(gap <= short.ball(x).rad for gap, x in zip(gaps, ("1", "1/2", "-9/10"), strict=True))
    assert gaps[0] > short.tail / 4


def test_a_limit_that_is_reached_is_said():
    steep = kernel_series(tanh(20 * z), limit=96)
    assert steep.accuracy > Fraction(1e-12)
    assert "powers beyond 96" in steep.reason
    truth = trapezoid(lambda x: np.tanh(20 * x), lambda x: np.tanh(20 * x), 0.5, step=1 / 80)
    assert abs(steep.evaluate(0.5) - truth) <= steep.error


def test_a_planted_error_of_one_coefficient_is_seen():
    right = series("silu")
    wrong = list(right.coefficients)
    wrong[3] = Ball(wrong[3].mid + Fraction(1, 10**10), wrong[3].rad)
    moved = replace(right, coefficients=tuple(wrong))
    f = SMOOTH["silu"][1]
    assert abs(moved.evaluate(0.5) - trapezoid(f, f, 0.5)) > 3e-14 + right.error


@pytest.mark.parametrize("k", [0, 1, 6, 41])
def test_normalised_coefficients_agree_with_mpmath(k):
    with working_precision(200):
        parts = pieces(log(1 + exp(z)), z, Evaluation(200))
    found = hermite_balls(parts, z, 48, 100)[k]
    with mpmath.workdps(35):
        value = mpmath.mpf(0)
        for x in mpmath.linspace(-20, 20, 241):
            before, he = mpmath.mpf(0), mpmath.mpf(1)
            for j in range(k):
                before, he = he, x * he - j * before
            value += mpmath.log1p(mpmath.exp(x)) * he * mpmath.npdf(x) / 6
        value /= mpmath.sqrt(mpmath.factorial(k))
        assert found.rad() < 1e-29
        assert abs(mpmath.mpf(found.mid().str(30, radius=False)) - value) < 1e-26


@pytest.mark.parametrize("rho", ["1/2", "-9/10", "999/1000"])
def test_moments_of_two_truncations_agree_with_a_conditional_quadrature(rho):
    h, k = Rational(3, 10), Rational(-1, 2)
    weights = (Fraction(1, 3), Fraction(-1), Fraction(0), Fraction(2))
    with working_precision(200):
        found = kink_kernel(
            (Kink(h, weights),),
            (Kink(k, weights),),
            arb(Fraction(rho).numerator) / Fraction(rho).denominator,
        )
    with mpmath.workdps(20):
        r = mpmath.mpf(Fraction(rho).numerator) / Fraction(rho).denominator
        sd = mpmath.sqrt(1 - r * r)
        p = [1 / mpmath.mpf(3), -1, 0, 2]

        def inner(m):
            e = [mpmath.ncdf(m / sd), m * mpmath.ncdf(m / sd) + sd * mpmath.npdf(m / sd)]
            e.append(m * e[1] + sd**2 * e[0])
            e.append(m * e[2] + 2 * sd**2 * e[1])
            return sum(a * b for a, b in zip(p, e, strict=True))

        def outer(u):
            return mpmath.polyval(p[::-1], u - 0.3) * inner(r * u + 0.5) * mpmath.npdf(u)

        value = mpmath.quad(outer, [0.3, 0.45, 0.6, 1, 2, 4, 8, 14])
    assert abs(mpmath.mpf(found.mid().str(30, radius=False)) - value) < 1e-15


def test_kernels_of_kinks_are_sharp_where_the_normals_coincide():
    kink = (Kink(Rational(1, 3), (Fraction(1), Fraction(1))),)
    mirror = (Kink(Rational(-1, 3), (Fraction(1), Fraction(1))),)
    with working_precision(150):
        same, opposite = kink_kernel(kink, kink, arb(1)), kink_kernel(kink, mirror, arb(-1))
    with mpmath.workdps(25):
        value = mpmath.quad(
            lambda x: (1 + x - 1 / mpmath.mpf(3)) ** 2 * mpmath.npdf(x), [1 / mpmath.mpf(3), 4, 15]
        )
        assert abs(mpmath.mpf(same.mid().str(30, radius=False)) - value) < 1e-20
    assert same.rad() < 1e-30
    assert opposite.contains(0)
    assert opposite.rad() < 1e-30


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: kernel_series(exp(z**2 / 4)), NotIntegrableError, "second moment"),
        (lambda: kernel_series(tanh(Symbol("a", real=True) * z)), RangeError, "a has no value"),
        (lambda: kernel_series(tanh(z), variances=(-1, 1)), RangeError, "variance = -1"),
        (lambda: kernel_series(tanh(z), accuracy=0), RangeError, "accuracy = 0"),
        (lambda: series("tanh").ball("1.01"), RangeError, "outside"),
        (lambda: kernel_series(1 / z), NotConvergedError, "not analytic near"),
        (lambda: kernel_series(Max(sin(3 * z), cos(z))), NotConvergedError, "not analytic near"),
        (lambda: kernel_series(floor(z) * sqrt(z**2)), NotSupportedError, "tail is known"),
    ],
)
def test_bad_requests_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_text_and_latex_show_terms_and_the_bound():
    assert "error <= 2.9e-13" in str(series("tanh"))
    assert series("tanh").latex().startswith(r"K(\rho) = 0.366879\,\rho + 0.0220336")
    assert r"K_{\mathrm{kinks}}" in series("|tanh|").latex()
