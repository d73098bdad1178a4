"""Gaussian means as balls, against mpmath quadrature and closed forms, at hard laws too."""

from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from sympy import (
    Abs,
    EulerGamma,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    atan,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    gamma,
    lambdify,
    log,
    pi,
    sech,
    sign,
    sin,
    sqrt,
    tan,
    tanh,
)

from derive.balls import enclose
from derive.enclosing.gaussian_integral import gaussian_integral
from derive.errors import NotClosedError, NotConvergedError, NotIntegrableError, RangeError
from derive.symbols import z


@cache
def _quadrature(f, mean, variance, kinks=()):
    """E f by mpmath alone: plain callables, split at kinks and at multiples of the spread."""
    with mp.workdps(40):
        m, r = mp.mpf(mean), mp.mpf(variance)
        sd = mp.sqrt(r)
        marks = {m + sd * k for k in range(-40, 41, 4)}
        marks |= {mp.mpf(k) + o for k in (*kinks, 0) for o in (0, -8, -3, -1, 1, 3, 8)}
        inside = sorted(x for x in marks if abs(x - m) <= 40 * sd)
        density = lambda x: f(x) * mp.exp(-((x - m) ** 2) / (2 * r))  # noqa: E731
        return mp.quad(density, inside) / mp.sqrt(2 * mp.pi * r)


def _softplus(x):
    return mp.log1p(mp.exp(x))


ACTIVATIONS = {
    "tanh squared": (tanh(z) ** 2, lambda x: mp.tanh(x) ** 2, ()),
    "mish": (z * tanh(log(1 + exp(z))), lambda x: x * mp.tanh(_softplus(x)), ()),
    "silu": (z / (1 + exp(-z)), lambda x: x / (1 + mp.exp(-x)), ()),
    "silu, other form": (z * exp(z) / (1 + exp(z)), lambda x: x / (1 + mp.exp(-x)), ()),
    "softplus": (log(1 + exp(z)), _softplus, ()),
    "gelu": (z * (1 + erf(z / sqrt(2))) / 2, lambda x: x * mp.ncdf(x), ()),
    "elu": (
        Piecewise((z, z > 0), (exp(z) - 1, True)),
        lambda x: x if x > 0 else mp.expm1(x),
        (0,),
    ),
    "tanh modulus": (Abs(tanh(z)), lambda x: abs(mp.tanh(x)), (0,)),
    "shifted relu": (Max(z + 4, 0), lambda x: max(x + 4, mp.mpf(0)), (-4,)),
    "clip squared": (Max(-1, Min(1, z)) ** 2, lambda x: max(-1, min(mp.mpf(1), x)) ** 2, (-1, 1)),
    "lorentzian": (1 / (1 + z**2), lambda x: 1 / (1 + x**2), ()),
    "log cosh": (log(cosh(z)), lambda x: abs(x) + mp.log1p(mp.exp(-2 * abs(x))) - mp.ln2, (0,)),
    "atan of shift": (atan(z - 1), lambda x: mp.atan(x - 1), (1,)),
    "sech": (sech(z), mp.sech, ()),
    "shifted sign": (sign(z - Rational(1, 4)), lambda x: mp.sign(x - 0.25), (0.25,)),
    "growing": (sqrt(1 + z**2) * log(1 + z**2), lambda x: mp.sqrt(1 + x**2) * mp.log1p(x**2), ()),
}
LAWS = [("0", "1"), ("0.5", "2"), ("30", "1"), ("-3", "1e-6"), ("0", "1e6")]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"N({law[0]}, {law[1]})")
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_common_activations_agree_with_quadrature_under_easy_and_hard_laws(name, law):
    expr, witness, kinks = ACTIVATIONS[name]
    ball = gaussian_integral(expr, z, Rational(law[0]), Rational(law[1]), digits=20)
    value = _quadrature(witness, *law, kinks)
    assert ball.rigorous
    assert ball.digits >= 20
    with mp.workdps(40):
        assert abs(ball.mpf(30) - value) <= mp.mpf(10) ** -18 * abs(value)


@pytest.mark.parametrize(
    ("expr", "closed"),
    [
        (Max(z, 0), 1 / sqrt(2 * pi)),
        (exp(30 * z), exp(450)),
        (exp(z**2 / 3), sqrt(3)),
        (Abs(z) ** Rational(3, 2), 2 ** Rational(3, 4) * gamma(Rational(5, 4)) / sqrt(pi)),
        (cos(3 * z), exp(-Rational(9, 2))),
        (z**12, 10395),
        (Abs(z**2 - 1), 2 * sqrt(2 / (pi * exp(1)))),
    ],
    ids=str,
)
def test_means_with_closed_forms_hold_them_to_fifty_digits(expr, closed):
    ball = gaussian_integral(expr, z, digits=50)
    assert ball.digits >= 50
    assert ball.overlaps(enclose(closed, 60))


@pytest.mark.parametrize(("mean", "variance"), [(0, 1), (30, 1), (0, 10**6), (-3, 10**-6)])
def test_a_narrow_bump_is_found_wherever_it_lies(mean, variance):
    m, r = Rational(mean), Rational(str(variance))
    shrunk = 1 / (1 + r / 2)
    centre, spread = m * shrunk, r * shrunk
    closed = sqrt(shrunk) * exp(-(m**2) * shrunk / 4) * (centre**2 + spread)
    ball = gaussian_integral(z**2 * exp(-(z**2) / 4), z, m, r, digits=30)
    assert ball.digits >= 30
    assert ball.overlaps(enclose(closed, 40))


def test_a_mean_beyond_all_exponents_is_a_ball_around_zero():
    ball = gaussian_integral(Max(z - Rational(1, 2), 0), z, -3, Rational(1, 10**6), digits=20)
    assert ball.rigorous
    assert 0 < ball.rad < Fraction(1, 10**1000000)


def test_the_tail_of_gelu_keeps_its_digits():
    ball = gaussian_integral(z * (1 + erf(z / sqrt(2))) / 2, z, -30, 1, digits=20)
    with mp.workdps(160):
        q = mp.sqrt(2)
        value = -30 * mp.ncdf(-30 / q) + mp.npdf(30 / q) / q
        assert abs(ball.mpf(30) - value) < abs(value) * mp.mpf(10) ** -20


@pytest.mark.parametrize("expr", [tanh(z), z * exp(-(z**2) / 8), Max(-1, Min(1, z)), sin(z) ** 3])
def test_odd_functions_have_a_proved_zero_mean(expr):
    ball = gaussian_integral(expr, z, 0, 3, digits=15)
    assert ball.mid == 0
    assert ball.rad == 0


@pytest.mark.parametrize("expr", [exp(z**2), z * exp(z**2), 1 / z, tan(z), 1 / z**3])
def test_parity_never_hides_a_mean_that_does_not_exist(expr):
    with pytest.raises(NotIntegrableError):
        gaussian_integral(expr, z)


@pytest.mark.parametrize(
    ("expr", "variance", "text"),
    [
        (exp(z**2 / 2), 1, "does not decay"),
        (exp(z**2 / 2 - z), 1, "does not decay as z -> -oo"),
        (exp(z**2 / 8) * (1 + z**2), 4, "does not decay"),
        (exp(-(z**3)), 1, "does not decay as z -> -oo"),
        (exp(exp(z)), 1, "does not decay as z -> .oo"),
        (exp(z**2 / 2) * erfc(z), 1, "does not decay as z -> -oo"),
        (1 / (z - 1) ** 2, 1, "a pole at z = 1"),
        (z / (z**2 - 2), 1, r"a pole at z = .*sqrt\(2\)"),
    ],
)
def test_divergent_means_are_refused_with_their_cause(expr, variance, text):
    with pytest.raises(NotIntegrableError, match=text):
        gaussian_integral(expr, z, 0, variance)


def test_growth_just_below_the_limit_is_integrated():
    ball = gaussian_integral(exp(z**2 * Rational(499, 1000)), z, digits=15)
    assert ball.overlaps(enclose(sqrt(500), 20))


@pytest.mark.parametrize("variance", [1, 10**6])
def test_a_removed_pole_is_integrated(variance):
    ball = gaussian_integral(sin(z) / z, z, 0, variance, digits=20)
    closed = sqrt(pi / (2 * variance)) * erf(sqrt(Rational(variance, 2)))
    assert ball.rigorous
    assert ball.overlaps(enclose(closed, 25))


@pytest.mark.parametrize(
    ("expr", "closed"),
    [
        (log(Abs(z)), -(EulerGamma + log(2)) / 2),
        (1 / sqrt(Abs(z)), gamma(Rational(1, 4)) / (2 ** Rational(1, 4) * sqrt(pi))),
    ],
    ids=str,
)
def test_integrable_singularities_give_digits_that_say_they_are_not_proved(expr, closed):
    ball = gaussian_integral(expr, z, digits=15)
    value = enclose(closed, 20)
    assert not ball.rigorous
    assert "two precisions" in ball.reason
    assert abs(float(ball) / float(value) - 1) < 1e-14


def test_an_unlocated_pole_gives_no_number():
    with pytest.raises(NotConvergedError, match="two precisions of quadrature disagree"):
        gaussian_integral(1 / (z - cos(z)), z)


@pytest.mark.parametrize("expr", [sqrt(z), log(z)])
def test_functions_that_are_not_real_are_refused(expr):
    with pytest.raises(RangeError, match="not real"):
        gaussian_integral(expr, z)


def test_negative_variance_and_free_symbols_are_refused():
    with pytest.raises(RangeError, match="variance = -1"):
        gaussian_integral(tanh(z) ** 2, z, 0, -1)
    with pytest.raises(NotClosedError, match="symbol a"):
        gaussian_integral(tanh(Symbol("a") * z) ** 2, z)


def test_a_mean_too_large_to_write_down_is_refused_at_once():
    with pytest.raises(RangeError, match="rescale"):
        gaussian_integral(exp(30 * z), z, 0, 10**6)


def test_zero_variance_is_evaluation_at_the_mean():
    assert gaussian_integral(tanh(z), z, Rational(1, 2), 0).overlaps(enclose(tanh(Rational(1, 2))))


SMOOTH = st.recursive(
    st.one_of(st.just(z), st.fractions(-2, 2, max_denominator=9).map(Rational)),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda f, a: f(a), st.sampled_from([tanh, sin, cos, erf, atan]), inner),
        st.builds(lambda a: log(1 + exp(a)), inner),
        st.builds(lambda a: 1 / (1 + exp(-a)), inner),
        st.builds(lambda a: sqrt(1 + a**2), inner),
        st.builds(lambda a: exp(-(a**2)), inner),
    ),
    max_leaves=5,
)


@given(SMOOTH, st.fractions(-2, 2, max_denominator=5), st.fractions(Rational(1, 4), 4))
def test_random_smooth_functions_agree_with_a_fine_trapezoid_rule(expr, mean, variance):
    m, r = Rational(mean), Rational(variance)
    ball = gaussian_integral(expr + z**2, z, m, r, digits=15)
    f = lambdify(z, expr + z**2, "mpmath")
    with mp.workdps(25):
        centre, sd = mp.mpf(m.p) / m.q, mp.sqrt(mp.mpf(r.p) / r.q)
        h = mp.mpf(1) / 24
        value = h * sum(mp.npdf(k * h) * f(centre + sd * k * h) for k in range(-240, 241))
        assert abs(ball.mpf(20) - value) < 1e-8 * (1 + abs(value))
