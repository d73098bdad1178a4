"""Compiled kernels against balls and against quadrature in the plane."""

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
from numeric.chebyshev import interpolate
from numeric.graded import graded
from numeric.kernels import _deviation, _loaded, compile_kernel

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
    assert compiled("relu").basis == "checked"
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
    with pytest.raises(NotConvergedError, match="certified is"):
        compile_kernel(tanh(60 * z))


def test_the_series_is_compiled_with_the_sign_of_odd_powers():
    found = compiled("softplus")
    moved = found(-0.5) - found(0.5)
    assert abs(float(moved)) > 0.1


def test_chebyshev_says_when_a_corner_stops_it():
    assert not interpolate(abs, 1e-12, 64).converged
    smooth = interpolate(lambda x: 1 / (1 + 4 * x * x), 1e-12)
    nodes = np.linspace(-1, 1, 101)
    values = np.polynomial.chebyshev.chebval(nodes, smooth.coefficients)
    assert np.abs(values - 1 / (1 + 4 * nodes**2)).max() <= smooth.error


def test_a_planted_error_in_a_coefficient_is_seen():
    source = compiled("tanh").source
    number = next(t for t in source.split() if t.startswith("0.36687"))
    space = {}
    exec(source.replace(number, repr(float(number) + 1e-11)).replace("cache=True, ", ""), space)
    moved = space["scalar"](0.5)
    assert abs(moved - float(kernel(tanh(z)).at("1/2"))) > compiled("tanh").error


def test_a_printed_form_that_overflows_gives_way_to_panels():
    found = compile_kernel(sin(z), variances=(10**6, 10**6))
    assert "panels" in found.reason
    assert np.isfinite(found(np.linspace(-1, 1, 1001))).all()
    near = 1 - 1e-6
    gap = float(10**6 * (1 - Rational(near)))
    assert abs(float(found(near)) * 2 * np.exp(gap) - 1) < 1e-13


def test_a_value_that_is_not_finite_is_an_infinite_deviation():
    chosen = kernel(sin(z), variances=(10**6, 10**6))
    body = ["    return math.inf * (rho - 0.5) if rho == 0.5 else 0.0"]
    wrong = _loaded("not finite at one point", body, 0.0, "checked")
    assert _deviation(wrong, chosen.value)[0] == np.inf


def test_a_kernel_that_underflows_everywhere_is_zero():
    found = compile_kernel(Heaviside(z - Rational(3, 10)), variances=("1/1000000", "1/1000000"))
    assert found(POINTS).tolist() == [0.0] * len(POINTS)


def test_panels_shrink_towards_the_end_and_say_when_a_corner_stops_them():
    peak = graded(lambda side, angle: side * np.exp(-((1e3 * angle) ** 2)), 1e-13)
    assert peak.converged
    assert peak.ends[0] < 2e-3
    assert not graded(lambda side, angle: abs(angle - 0.3), 1e-13).converged
