"""Owen's T and the bivariate normal probability against quadrature, symmetry and known limits."""

import mpmath
import pytest
from flint import arb, ctx
from mpmath import mp
from sympy import (
    I,
    Max,
    Rational,
    Symbol,
    SympifyError,
    asin,
    atan,
    erf,
    erfc,
    exp,
    latex,
    limit,
    oo,
    pi,
    sqrt,
)

from derive.bivariate import Phi, bivariate_normal, owens_t, phi, phi2, phi2_by_owens_t, q
from derive.errors import RangeError

h, k, a = (Symbol(name, real=True) for name in "hka")
r = Symbol("r", real=True)
TRIPLES = [
    (Rational(3, 2), Rational(37, 10), Rational(24, 25)),
    (Rational(-23, 10), Rational(16, 5), Rational(24, 25)),
    (Rational(4, 5), Rational(-7, 5), Rational(-3, 4)),
    (Rational(-11, 10), Rational(-1, 2), Rational(-2, 5)),
    (Rational(0), Rational(1, 3), Rational(7, 9)),
]


def mpf(x):
    return mpmath.mpf(x.p) / x.q


def conditional(h, k, rho):
    """P(u < h, v < k) by quadrature of the conditional law of v, 30 digits."""
    with mp.workdps(35):
        h, k, rho = mpf(h), mpf(k), mpf(rho)
        q = mpmath.sqrt(1 - rho**2)
        return mpmath.quad(
            lambda x: mpmath.npdf(x) * mpmath.ncdf((k - rho * x) / q),
            [-mpmath.inf, -9, -5, -2.5, h] if h > -2 else [-mpmath.inf, -9, -5, h],
        )


@pytest.mark.parametrize("triple", TRIPLES)
def test_bivariate_normal_agrees_with_conditional_quadrature_to_25_digits(triple):
    value = bivariate_normal(*triple).n(30)
    with mp.workdps(30):
        assert abs(value._to_mpmath(110) / conditional(*triple) - 1) < mpmath.mpf(10) ** -25


@pytest.mark.parametrize("triple", TRIPLES[:4])
def test_owens_t_form_is_the_same_number(triple):
    assert abs(phi2_by_owens_t(*triple).n(30) - bivariate_normal(*triple).n(30)) < 1e-28


@pytest.mark.parametrize(
    ("x", "y"), [(1, 2), (Rational(1, 3), 40), (3, -2), (0, 5), (6, Rational(1, 7))]
)
def test_owens_t_agrees_with_its_integral(x, y):
    with mp.workdps(40):
        x0, y0 = mpf(Rational(x)), mpf(Rational(y))
        witness = mpmath.quad(
            lambda s: mpmath.exp(-(x0**2) * (1 + s * s) / 2) / (1 + s * s),
            mpmath.linspace(0, y0, 12),
        ) / (2 * mpmath.pi)
        assert abs(owens_t(x, y).n(30)._to_mpmath(110) / witness - 1) < mpmath.mpf(10) ** -25


def test_values_that_are_elementary_are_taken_by_themselves():
    assert owens_t(0, a) == atan(a) / (2 * pi)
    assert owens_t(h, 1) == (1 - erf(h / sqrt(2)) ** 2) / 8
    assert owens_t(h, 0) == 0
    assert owens_t(oo, a) == 0
    assert owens_t(h, oo) == erfc(abs(h) / sqrt(2)) / 4
    assert owens_t(h, -a) == -owens_t(h, a)
    assert owens_t(-h, a) == owens_t(h, a)
    assert bivariate_normal(h, k, 0) == Phi(h) * Phi(k)
    assert bivariate_normal(0, 0, r) == Rational(1, 4) + asin(r) / (2 * pi)
    assert bivariate_normal(h, oo, r) == Phi(h)
    assert bivariate_normal(h, -oo, r) == 0
    assert bivariate_normal(1, 2, 1) == Phi(1)
    assert bivariate_normal(-1, 2, -1) == (erf(sqrt(2)) - erf(sqrt(2) / 2)) / 2
    assert bivariate_normal(-1, Rational(1, 2), -1) == 0
    assert bivariate_normal(h, k, -1) == Max(0, (erf(h / sqrt(2)) + erf(k / sqrt(2))) / 2)


def test_arguments_of_the_probability_commute():
    assert bivariate_normal(k, h, r) == bivariate_normal(h, k, r)


@pytest.mark.parametrize("argument", [0, 1, 2])
def test_derivatives_of_the_probability_agree_with_differences(argument):
    at = [Rational(3, 10), Rational(-7, 10), Rational(2, 5)]
    step = Rational(1, 10**12)
    up, down = list(at), list(at)
    up[argument] += step
    down[argument] -= step
    slope = (bivariate_normal(*up).n(50) - bivariate_normal(*down).n(50)) / (2 * step)
    symbols = [h, k, r]
    exact = (
        bivariate_normal(h, k, r).diff(symbols[argument]).subs(dict(zip(symbols, at, strict=True)))
    )
    assert abs(exact.n(50) - slope) < 1e-22


@pytest.mark.parametrize("argument", [0, 1])
def test_derivatives_of_owens_t_agree_with_differences(argument):
    at, step = [Rational(3, 10), Rational(-7, 10)], Rational(1, 10**12)
    up, down = list(at), list(at)
    up[argument] += step
    down[argument] -= step
    slope = (owens_t(*up).n(50) - owens_t(*down).n(50)) / (2 * step)
    exact = owens_t(h, a).diff([h, a][argument]).subs({h: at[0], a: at[1]})
    assert abs(exact.n(50) - slope) < 1e-22


def test_limits_go_through():
    assert limit(bivariate_normal(1, 2, r), r, 1, "-") == Phi(1)
    assert limit(bivariate_normal(h, 2, r), h, oo) == Phi(2)
    assert limit(owens_t(1, a), a, oo) == erfc(sqrt(2) / 2) / 4
    assert limit(owens_t(1, a) / a, a, 0) == exp(-Rational(1, 2)) / (2 * pi)


def test_densities_vanish_at_infinity_and_multiply_at_zero_correlation():
    assert phi(oo) == 0
    assert phi2(oo, 1, r) == 0
    assert (phi2(h, k, 0) - phi(h) * phi(k)).expand(power_base=True).simplify() == 0


def test_far_tail_keeps_relative_digits():
    value = bivariate_normal(-10, -10, Rational(-1, 2)).n(25)
    again = bivariate_normal(-10, -10, Rational(-1, 2)).n(60)
    assert 0 < value < 1e-80
    assert abs(value / again - 1) < 1e-24


def test_two_halves_add_up_to_one_normal_far_in_the_tail():
    r = Rational(9, 10)
    parts = bivariate_normal(-1000, 900, -r).n(30) + bivariate_normal(-1000, -900, r).n(30)
    assert abs(parts / (erfc(1000 / sqrt(2)) / 2).n(30) - 1) < 1e-28


def test_balls_of_inexact_arguments_hold_the_values_at_their_ends():
    with ctx.workprec(120):
        wide = bivariate_normal(h, k, r)._ball(
            {h: arb(1, 0.01), k: arb(-1, 0.01), r: arb(0.9, 0.05)}.get, 120
        )
        high = bivariate_normal(h, k, r)._ball({h: arb(1), k: arb(-1), r: arb(0.95)}.get, 120)
        low = bivariate_normal(h, k, r)._ball({h: arb(1), k: arb(-1), r: arb(0.85)}.get, 120)
    assert wide.contains(high)
    assert wide.contains(low)
    assert wide.rad() < 0.02


def test_ball_of_a_correlation_that_touches_one_is_finite():
    with ctx.workprec(120):
        ball = bivariate_normal(h, k, r)._ball({h: arb(1), k: arb(2), r: arb(1, 1e-20)}.get, 120)
        assert ball.overlaps((-arb(1) / arb(2).sqrt()).erfc() / 2)
        assert ball.rad() < 1e-10


def test_latex_reads_like_a_formula():
    assert latex(owens_t(h, a) ** 2) == r"T^{2}\left(h, a\right)"
    assert latex(bivariate_normal(h, k, r)) == r"\Phi_{2}\left(h, k; r\right)"


def test_correlation_above_one_is_refused_with_its_value():
    with pytest.raises(RangeError, match=r"correlation 3/2: outside \[-1, 1\]"):
        bivariate_normal(1, 2, Rational(3, 2))


def test_complex_arguments_are_refused():
    with pytest.raises(RangeError, match="not real"):
        owens_t(I, 1)


def test_owens_t_form_asks_for_a_known_sign():
    with pytest.raises(RangeError, match="sign not known"):
        phi2_by_owens_t(h, k, r)


@pytest.mark.parametrize("function", [phi, Phi, q])
def test_text_is_not_evaluated(function):
    with pytest.raises(SympifyError):
        function("1 + 1")
    with pytest.raises(SympifyError):
        phi2(0, 0, "0")
    with pytest.raises(SympifyError):
        phi2_by_owens_t(1, "1", 0)
