"""Compiled kernels against balls and against quadrature in the plane."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from sympy import (
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    erf,
    exp,
    log,
    sign,
    sin,
    sqrt,
    tanh,
)

from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.kernels import kernel
from derive.symbols import z
from numeric.graded import graded
from numeric.kernels import _by_quadrature, _check, _hopeless, _loaded, compile_kernel

CASES = {
    "tanh": tanh(z),
    "softplus": log(1 + exp(z)),
    "relu": Max(z, 0),
    "gelu": z * (1 + erf(z / sqrt(2))) / 2,
    "sign": sign(z),
    "clip": Max(Min(z, 1), -1),
    "elu": Piecewise((z, z > 0), (exp(z) - 1, True)),
    "relu of tanh": Max(tanh(z), 0),
}
POINTS = [1.0, -1.0, 0.0, 1 - 2.0**-52, 2.0**-52 - 1, 1 - 1e-9, 0.3, -0.7, 1e-5]


@cache
def compiled(name):
    return compile_kernel(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_compiled_values_agree_with_balls_up_to_the_ends(name):
    found, exact = compiled(name), kernel(CASES[name])
    values = found(POINTS)
    truth = np.array([float(exact.at(x, 12)) for x in map(Rational, POINTS)])
    scale = float(exact.at(1, 12))
    assert np.isfinite(values).all()
    assert np.abs(values - truth).max() <= found.error + 1e-12 * scale
    assert found.error <= 1e-13 * scale


def test_tanh_agrees_with_a_planar_trapezoidal_rule_to_thirteen_digits():
    x = np.arange(-9.5, 9.5, 1 / 16)
    u, w = np.meshgrid(x, x)
    weight = np.exp(-(u**2 + w**2) / 2) / 256 / (2 * np.pi)
    rhos = np.array([-0.9, -0.2, 0.1, 0.6, 0.99])
    truth = [(np.tanh(u) * np.tanh(r * u + np.sqrt(1 - r * r) * w) * weight).sum() for r in rhos]
    assert np.abs(compiled("tanh")(rhos) / truth - 1).max() < 1e-13


def test_each_kind_of_kernel_says_what_its_error_rests_on():
    assert compiled("tanh").basis == "proved"
    assert compiled("gelu").basis == "checked"
    assert compiled("relu").basis == "estimated"
    assert compiled("relu of tanh").basis == "estimated"


def test_the_shape_is_kept_and_nan_stays_alone():
    rho = np.array([[0.5, np.nan, -0.5], [0.0, 1.0, 1 + 1e-14]])
    values = compiled("tanh")(rho)
    assert values.shape == (2, 3)
    assert np.isnan(values[0, 1])
    assert np.isfinite(np.delete(values.ravel(), 1)).all()
    assert compiled("tanh")(0.5).shape == ()
    assert compiled("tanh")(np.empty((0, 3))).shape == (0, 3)


def test_a_correlation_out_of_range_is_named():
    with pytest.raises(RangeError, match="rho = 'near': not real numbers"):
        compiled("tanh")("near")
    with pytest.raises(RangeError, match=r"rho\[1, 0\] = 1.5"):
        compiled("tanh")([[0.0], [1.5]])


def test_non_contiguous_input_is_read_in_order():
    rho = np.linspace(-1, 1, 20)[::-3]
    assert np.array_equal(compiled("relu")(rho), compiled("relu")(rho.copy()))


def test_unequal_variances_and_means_compile():
    found = compile_kernel(tanh(z), variances=(2, "1/3"), means=("1/2", 0))
    exact = kernel(tanh(z), variances=(2, "1/3"), means=("1/2", 0))
    assert abs(float(found(0.25)) - float(exact.at("1/4"))) < 1e-13


def test_a_parameter_without_value_is_refused():
    with pytest.raises(NotSupportedError, match="a has no value"):
        compile_kernel(Symbol("a", real=True) * erf(z))


def test_an_accuracy_that_is_out_of_reach_is_said():
    with pytest.raises(NotConvergedError, match="leaves"):
        compile_kernel(tanh(z), 1e-17)
    with pytest.raises(NotConvergedError, match="1e-19"):
        compile_kernel(Max(z, 0), 1e-19)


def test_steep_functions_are_known_for_hopeless_by_a_short_series():
    assert _hopeless(kernel(tanh(z), variances=(10**4, 10**4)), 1e-13)
    assert not _hopeless(kernel(tanh(z), variances=(2, 2)), 1e-13)
    assert not _hopeless(kernel(Max(z, 0), variances=(10**4, 10**4)), 1e-13)


def test_kernels_by_quadrature_say_so_and_keep_their_estimate():
    exact = kernel(erf(z), variances=(4, 4))
    found = _by_quadrature(exact, 1e-12)
    assert found.basis == "estimated"
    assert "by quadrature" in found.reason
    truth = np.array([float(exact.at(Rational(x), 16)) for x in POINTS])
    assert np.abs(found(POINTS) - truth).max() <= found.error < 1e-13
    assert found.error_at(0.3) == found.error


def test_the_series_is_compiled_with_the_sign_of_odd_powers():
    found = compiled("softplus")
    moved = found(-0.5) - found(0.5)
    assert abs(float(moved)) > 0.1


def test_a_planted_error_in_a_coefficient_is_seen():
    source = compiled("tanh").source
    number = next(t for t in source.split() if t.startswith("0.36687"))
    space = {}
    exec(source.replace(number, repr(float(number) + 1e-11)).replace("cache=True, ", ""), space)
    moved = space["scalar"](0.5)
    assert abs(moved - float(kernel(tanh(z)).at("1/2"))) > compiled("tanh").error


@pytest.mark.parametrize("name", ["relu", "gelu", "sign", "clip", "elu"])
def test_values_far_below_the_largest_keep_relative_digits(name):
    found, exact = compiled(name), kernel(CASES[name])
    for rho in (1 - 1e-12, -1 + 1e-12, -1 + 1e-5, 1e-9, -1e-9):
        truth = float(exact.at(Rational(rho), 16))
        allowed = 1e-13 * abs(truth) + (found.error if found.basis == "proved" else 0.0)
        assert abs(float(found(rho)) - truth) <= allowed
    assert found.relative <= 1e-13


@pytest.mark.parametrize("name", ["relu", "elu", "gelu", "tanh"])
def test_each_value_comes_with_an_estimate_of_its_error(name):
    found, exact = compiled(name), kernel(CASES[name])
    rhos = np.array([-0.99999, -0.4, 1e-6, 0.77])
    truth = np.array([float(exact.at(Rational(float(r)), 12)) for r in rhos])
    estimates = found.error_at(rhos)
    assert (np.abs(found(rhos) - truth) <= estimates + 1e-12 * np.abs(truth)).all()
    assert (estimates <= found.error).all()
    assert found.error_at(0.3).shape == ()


def test_a_printed_form_that_loses_digits_gives_way_to_a_table():
    found = compile_kernel(sin(z), variances=(10**6, 10**6))
    assert "table" in found.reason
    assert np.isfinite(found(np.linspace(-1, 1, 1001))).all()
    near = 1 - 1e-6
    gap = float(10**6 * (1 - Rational(near)))
    assert abs(float(found(near)) * 2 * np.exp(gap) - 1) < 1e-13


def test_tails_keep_relative_digits_a_hundred_orders_down():
    exact = kernel(Heaviside(z - 1), variances=("1/8", "1/8"))
    found = compile_kernel(exact)
    for rho in (0.5, -0.7, -0.9):
        truth = float(exact.at(Rational(rho), 16))
        assert abs(float(found(rho)) / truth - 1) < 1e-13
    assert 0 < float(found(-0.9)) < 1e-35


def test_a_value_that_is_not_finite_is_an_infinite_deviation():
    chosen = kernel(sin(z), variances=(10**6, 10**6))
    body = ["    return math.inf * (rho - 0.5) if rho == 0.5 else 0.0"]
    wrong = _loaded("not finite at one point", body, 0.0, "checked")
    assert _check(wrong, chosen.value).absolute == np.inf


def test_a_small_relative_error_is_seen_where_the_value_is_small():
    chosen = kernel(Max(z, 0))
    source = compiled("relu").source.split("def scalar(rho):")[1].split("@njit")[0]
    tables = [x for x in compiled("relu").source.splitlines() if x[:5] in ("CELLS", "TABLE")]
    lines = [line for line in source.splitlines() if line.strip()]
    lines[-1] = lines[-1].replace("return ", "return 1e-25 + (") + ")"
    moved = _check(_loaded("moved", lines, 0.0, "estimated", data=tables), chosen.value)
    assert moved.absolute < 1e-15
    assert moved.relative > 1e-13


def test_a_kernel_that_underflows_everywhere_is_zero():
    found = compile_kernel(Heaviside(z - Rational(3, 10)), variances=("1/1000000", "1/1000000"))
    assert found(POINTS).tolist() == [0.0] * len(POINTS)


def test_panels_shrink_towards_the_end_and_say_when_a_corner_stops_them():
    peak = graded(lambda rho: 1 / (1001 - 1000 * rho) ** 9)
    assert peak.resolved
    assert peak.panel(0.999).high < 0.1
    corner = graded(lambda rho: abs(rho - Fraction(1, 3)), most=60)
    assert not corner.resolved
    assert corner.error > 1e-9


def test_a_function_with_a_zero_at_the_middle_keeps_digits_around_it():
    odd = graded(lambda rho: rho + rho**3 / 7 + Fraction(1, 10**9))
    assert odd.panel(1e-7).divided
    assert odd.centre == 1e-9
    assert odd.resolved
