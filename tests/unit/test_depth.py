"""Signals over depth, tangent kernels and scales against mpmath and NumPy."""

from fractions import Fraction
from functools import cache

import mpmath
import numpy as np
import pytest
from flint import arb
from sympy import Max, pi, sign, sqrt, tanh

from derive.activation import Activation
from derive.balls import enclose
from derive.depth import Propagation, Q, critical_point, normalized, ratio_scales
from derive.enclosing.isolation import Curve, isolate
from derive.errors import NoRuleError, NotSupportedError, RangeError
from derive.symbols import rho, z
from derive.tangent import tangent_kernels


def mean(f, q):
    """E f(N(0, q)) by the trapezoidal rule, for f analytic in a strip."""
    h = mpmath.mpf(1) / 16
    sd = mpmath.sqrt(q)
    return h * mpmath.fsum(f(sd * k * h) * mpmath.npdf(k * h) for k in range(-150, 151))


@cache
def tanh_net():
    return Propagation(Activation("tanh"), 2, "0.1")


@cache
def tanh_points():
    return tanh_net().fixed_points()


def test_fixed_point_of_tanh_is_the_limit_of_iteration():
    q = mpmath.mpf(1)
    for _ in range(60):
        q = 2 * mean(lambda x: mpmath.tanh(x) ** 2, q) + mpmath.mpf(1) / 10
    found = tanh_points()
    assert found.complete
    assert "1 fixed point between" in found.statement
    assert found.points[0].stable is True
    assert abs(found.points[0].ball(20).mpf(18) - q) < 1e-13


def test_slope_and_chi_agree_with_quadrature_at_the_fixed_point():
    point = tanh_points().points[0]
    q = point.ball(20).mpf(18)
    chi = 2 * mean(lambda x: mpmath.sech(x) ** 4, q)
    slope = 2 * mean(lambda x: mpmath.tanh(x) ** 2 * (x**2 / q - 1), q) / (2 * q)
    assert abs(enclose(tanh_net().chi_1(point.q).expr, 15).mpf(15) - chi) < 1e-13
    assert abs(enclose(point.slope, 15).mpf(15) - slope) < 1e-13


def test_depth_scales_are_those_of_the_slopes():
    point = tanh_points().points[0]
    xi_q, xi_c = tanh_net().depth_scales(point)
    assert abs(float(enclose(xi_q)) + 1 / np.log(float(enclose(point.slope)))) < 1e-9
    assert float(enclose(xi_c)) < 0  # above the critical line correlation one is unstable


def test_correlations_above_the_critical_line_go_to_the_other_fixed_point():
    q = tanh_points().points[0].q
    found = tanh_net().other_fixed_correlation(q, 8)
    x = np.arange(-9.5, 9.5, 1 / 16)
    u, w = np.meshgrid(x, x)
    weight = np.exp(-(u**2 + w**2) / 2) / 256 / (2 * np.pi)
    sd = np.sqrt(float(enclose(q)))

    def drift(c):
        v = c * u + np.sqrt(1 - c * c) * w
        return (2 * (np.tanh(sd * u) * np.tanh(sd * v) * weight).sum() + 0.1) / sd**2 - c

    assert drift(float(found) - 1e-7) > 0 > drift(float(found) + 1e-7)
    assert tanh_net().correlation_map(1, q).overlaps(1)


def test_an_activation_flat_at_zero_and_growing_has_a_stable_and_an_unstable_fixed_point():
    found = Propagation(Activation(z * tanh(z) ** 2), 3, "0.01").fixed_points(high=100)
    kinds = [point.stable for point in found.points]
    assert found.complete
    assert kinds == [True, False]


def test_zero_is_a_fixed_point_without_bias_and_gives_way_at_gain_one():
    below = Propagation(Activation("tanh"), "1/2", 0).fixed_points()
    above = Propagation(Activation("tanh"), 2, 0).fixed_points()
    assert [p.stable for p in below.points] == [True]
    assert [p.stable for p in above.points] == [False, True]
    assert below.points[0].q == 0


def test_relu_is_exact():
    assert Propagation(Activation("relu"), 2, 0).fixed_points().statement.startswith("every q")
    found = Propagation(Activation("relu"), 1, 3).fixed_points()
    assert found.points[0].q == 6
    assert found.points[0].stable is True
    assert "no fixed point" in Propagation(Activation("relu"), 2, 1).fixed_points().statement
    assert "no fixed point" in Propagation(Activation("relu"), 3, 1).fixed_points().statement


def test_a_kinked_activation_without_closed_form_has_its_fixed_point():
    found = Propagation(Activation(Max(tanh(z), 0)), 6, "0.01").fixed_points(high=50)
    q = mpmath.mpf(1)
    for _ in range(80):
        q = 3 * mean(lambda x: mpmath.tanh(x) ** 2, q) + mpmath.mpf(1) / 100
    assert [p.stable for p in found.points] == [True]
    assert abs(found.points[0].ball(12).mpf(12) - q) < 1e-10


def test_critical_line_of_erf_is_exact_and_of_tanh_certified():
    assert critical_point(Activation("erf"), Q).weight_variance.expr == pi * sqrt(4 * Q + 1) / 4
    point = critical_point(Activation("tanh"), "1/2")
    gain = mean(lambda x: mpmath.sech(x) ** 4, mpmath.mpf(1) / 2)
    second = mean(lambda x: mpmath.tanh(x) ** 2, mpmath.mpf(1) / 2)
    assert abs(point.weight_variance.ball(15).mpf(15) - 1 / gain) < 1e-13
    assert abs(point.bias_variance.ball(15).mpf(15) - (0.5 - second / gain)) < 1e-13
    assert point.admissible is True


def test_chi_is_one_on_the_critical_line():
    point = critical_point(Activation("silu"), 1)
    net = Propagation(Activation("silu"), point.weight_variance.expr, 0)
    assert net.chi_1(1).ball(12).overlaps(1)


def test_normalized_activations_have_unit_second_moment():
    assert normalized(Activation("relu")).second_moment().expr == 1
    assert normalized(Activation("tanh"), 2).second_moment(2).ball(12).overlaps(1)


def test_relu_tangent_kernel_is_the_arc_cosine_one():
    layers = tangent_kernels(Activation("relu"), 2, weight_variance=2)
    r = 0.3
    kappa = (np.sqrt(1 - r * r) + r * (np.pi - np.arccos(r))) / (2 * np.pi)
    process = 4 * kappa
    tangent = process + (np.pi - np.arccos(r)) / np.pi * 2 * r
    assert abs(float(layers[1].process.subs(rho, r)) - process) < 1e-14
    assert abs(float(layers[1].tangent.subs(rho, r)) - tangent) < 1e-14


def test_tanh_tangent_kernel_agrees_with_a_planar_recursion():
    layers = tangent_kernels(
        Activation("tanh"), 3, "2/5", weight_variance="3/2", bias_variance="1/5"
    )
    x = np.arange(-9.5, 9.5, 1 / 16)
    u, w = np.meshgrid(x, x)
    weight = np.exp(-(u**2 + w**2) / 2) / 256 / (2 * np.pi)
    q, k = 1.7, 1.5 * 0.4 + 0.2
    theta = k
    for _ in range(2):
        c, sd = k / q, np.sqrt(q)
        a, b = sd * u, sd * (c * u + np.sqrt(1 - c * c) * w)
        k = 1.5 * (np.tanh(a) * np.tanh(b) * weight).sum() + 0.2
        theta = k + 1.5 * (np.cosh(a) ** -2.0 * np.cosh(b) ** -2.0 * weight).sum() * theta
        q = 1.5 * (np.tanh(a) ** 2 * weight).sum() + 0.2
    assert layers[-1].tangent.rigorous
    assert layers[-1].tangent.digits >= 12
    assert abs(float(layers[-1].process) - k) < 1e-13
    assert abs(float(layers[-1].tangent) - theta) < 1e-13


def test_numbers_and_symbols_give_the_same_tangent_kernel():
    exact = tangent_kernels(Activation("erf"), 3, weight_variance=2)[-1].tangent
    ball = tangent_kernels(Activation("erf"), 3, "1/3", weight_variance=2)[-1].tangent
    assert abs(ball.mpf(20) - exact.subs(rho, Fraction(1, 3)).n(20)) < 1e-15


def test_scale_of_tanh_for_a_given_ratio_is_proved_the_only_one():
    found = ratio_scales(Activation("tanh"), "9/10", "1/2", 3)
    q = found.roots[0].ball(12).mpf(12)
    first = mean(lambda x: x * mpmath.tanh(x), q) ** 2 / q
    second = mean(lambda x: mpmath.tanh(x) ** 2, q)
    assert found.complete
    assert len(found.roots) == 1
    assert abs(first / second - 0.9) < 1e-10


def test_a_homogeneous_activation_has_no_scale_for_another_ratio():
    found = ratio_scales(Activation("relu"), "1/4", "1/2", 2)
    assert found.complete
    assert found.roots == ()


def test_isolation_lists_what_it_cannot_decide():
    double = Curve("x", lambda x: (x - 2) ** 2, lambda x: 2 * (x - 2), lambda a, b: arb(2))
    found = isolate(double, Fraction(1), Fraction(3))
    assert not found.complete
    assert found.undecided[0][0] <= 2 <= found.undecided[0][1]
    shifted = Curve("x", lambda x: (x - 2) ** 2 - 1e-4, lambda x: 2 * (x - 2), lambda a, b: arb(2))
    roots = isolate(shifted, Fraction(1), Fraction(5)).roots
    assert [round(float(root.ball(9)), 6) for root in roots] == [1.99, 2.01]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Propagation(Activation("tanh"), -1), RangeError, "weight_variance = -1"),
        (lambda: tanh_net().fixed_points(0, 1), RangeError, "give 0 < low"),
        (lambda: Propagation(Activation(sign(z)), 1).chi_1(1), NotSupportedError, "it jumps"),
        (lambda: ratio_scales(Activation("tanh"), 2), RangeError, "ratio = 2"),
        (lambda: tangent_kernels(Activation("tanh"), 2), NoRuleError, "give rho as a number"),
        (lambda: tangent_kernels(Activation("erf"), 0), RangeError, "depth = 0"),
        (lambda: tangent_kernels(Activation("erf"), 2, 2), RangeError, "outside"),
        (lambda: critical_point(Activation("tanh"), -1), RangeError, "not positive"),
    ],
)
def test_bad_requests_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_moved_fixed_point_is_seen():
    point = tanh_points().points[0]
    q = point.ball(20).mpf(18) * (1 + mpmath.mpf(10) ** -9)
    moved = 2 * mean(lambda x: mpmath.tanh(x) ** 2, q) + mpmath.mpf(1) / 10 - q
    assert abs(moved) > 1e-13
