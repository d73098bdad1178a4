"""Balls: printing, comparison, enclosure of constants, and functions on complex balls."""

import pickle
from fractions import Fraction

import mpmath
import pytest
from flint import acb, arb
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from sympy import (
    Abs,
    Basic,
    E,
    Expr,
    Float,
    Heaviside,
    I,
    Integer,
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
    erfinv,
    exp,
    gamma,
    log,
    pi,
    re,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

from derive.balls import Ball, enclose
from derive.enclosing.ball_program import Evaluation, compile_ball, working_precision
from derive.errors import (
    NotClosedError,
    NotConvergedError,
    NotSupportedError,
    ParseError,
    RangeError,
)
from derive.symbols import z

CONSTANTS = [
    (exp(Rational(1, 2)), lambda: mp.exp(mp.mpf(1) / 2)),
    (erf(1) * gamma(Rational(1, 3)), lambda: mp.erf(1) * mp.gamma(mp.mpf(1) / 3)),
    (Max(pi, 3) + Min(E, 3), lambda: mp.pi + mp.e),
    (Abs(log(Rational(1, 7))) ** Rational(3, 2), lambda: mp.log(7) ** 1.5),
    (erfc(12), lambda: mp.erfc(12)),
    (erfinv(Rational(1, 3)), lambda: mp.erfinv(mp.mpf(1) / 3)),
    (
        sinh(1) * cosh(2) * tanh(Rational(1, 5)),
        lambda: mp.sinh(1) * mp.cosh(2) * mp.tanh(1 / mp.mpf(5)),
    ),
    (tan(1) + atan(sqrt(2)), lambda: mp.tan(1) + mp.atan(mp.sqrt(2))),
    (Piecewise((sin(1), pi > 3), (2, True)), lambda: mp.sin(1)),
    (re(erf(1 + I)), lambda: mp.erf(mp.mpc(1, 1)).real),
    (exp(-1000), lambda: mp.exp(-1000)),
    (sqrt(10**40 + 1) - 10**20, lambda: 1 / (mp.sqrt(mp.mpf(10) ** 40 + 1) + mp.mpf(10) ** 20)),
    (Heaviside(pi - 3) * sign(-pi) * cos(3), lambda: -mp.cos(3)),
    (2 ** sqrt(2), lambda: mp.mpf(2) ** mp.sqrt(2)),
]


@pytest.mark.parametrize(("expr", "witness"), CONSTANTS, ids=[str(c[0]) for c in CONSTANTS])
def test_enclosed_constants_agree_with_mpmath_to_forty_digits(expr, witness):
    ball = enclose(expr, 40)
    with mp.workdps(80):
        value = witness()
        assert abs(ball.mpf(60) - value) <= abs(value) * mp.mpf(10) ** -40
    assert ball.rigorous
    assert ball.digits >= 40


def test_printing_gives_digits_within_one_unit_of_the_last():
    ball = Ball(Fraction(2, 3), Fraction(1, 10**9))
    assert ball.str(5) == "0.66667"
    assert str(ball) == "0.66666667"
    assert ball.digits == 8


@pytest.mark.parametrize(
    ("mid", "n", "text"),
    [
        (Fraction(10) ** 20, 3, "1.00e+20"),
        (Fraction(-12345), 3, "-12300"),
        (Fraction(1, 10**9), 2, "1.0e-9"),
        (Fraction(999999, 1000000), 3, "1.00"),
        (Fraction(5, 1000), 1, "0.005"),
        (Fraction(0), 5, "0"),
    ],
)
def test_printing_handles_sizes_and_carries(mid, n, text):
    assert Ball(mid).str(n) == text


def test_a_ball_around_zero_prints_its_reach_and_has_no_digits():
    ball = Ball(Fraction(1, 10**6), Fraction(2, 10**6))
    assert ball.str() == "0 +/- 3.0e-6"
    assert ball.digits == 0


def test_comparisons_are_true_only_when_certain():
    low, high = Ball(Fraction(1), Fraction(1, 10)), Ball(Fraction(2), Fraction(1, 10))
    wide = Ball(Fraction(1), Fraction(3))
    assert low < high
    assert high > low
    assert low <= Fraction(11, 10)
    assert not low < Fraction(11, 10)
    assert not wide < high
    assert not wide >= high
    assert wide.overlaps(high)


def test_contains_takes_exact_numbers_floats_and_mpmath_with_their_signs():
    ball = Ball(Fraction(-1, 3), Fraction(1, 10**15))
    assert ball.contains(Rational(-1, 3))
    assert ball.contains(-1 / 3)
    assert ball.contains(-mp.mpf(1) / 3)
    assert not ball.contains(mp.mpf(1) / 3)


def test_float_is_the_nearest_and_overflows_to_infinity():
    assert float(enclose(pi, 17)) == float(mpmath.pi)
    assert float(enclose(exp(100000))) == float("inf")
    assert float(enclose(exp(-100000))) == 0.0


def test_balls_are_values():
    ball = enclose(pi, 20)
    assert pickle.loads(pickle.dumps(ball)) == ball
    assert hash(ball) == hash(enclose(pi, 20))


def test_a_value_inseparable_from_zero_returns_an_absolute_radius():
    ball = enclose(sin(1) ** 2 + cos(1) ** 2 - 1, 10)
    assert ball.contains(0)
    assert ball.digits == 0
    assert ball.rad < Fraction(1, 10**40)


def test_exact_zero_is_exact():
    assert enclose(Integer(0)) == Ball(Fraction(0))
    assert enclose(sqrt(2) - sqrt(2)) == Ball(Fraction(0))


def test_heavy_cancellation_is_resolved_by_precision():
    nearly = exp(pi * sqrt(163)) - 262537412640768744
    with mp.workdps(60):
        value = mp.exp(mp.pi * mp.sqrt(163)) - 262537412640768744
        assert abs(enclose(nearly, 20).mpf(30) - value) < abs(value) * mp.mpf(10) ** -20


@pytest.mark.parametrize(
    ("expr", "error", "text"),
    [
        ("pi", ParseError, "a string"),
        (Symbol("a") + 1, NotClosedError, "a has no value"),
        (sqrt(-2), RangeError, "not real"),
        (log(-pi), RangeError, "not real"),
        (Basic.__new__(type("odd", (Expr,), {}), Integer(1)), NotSupportedError, "odd"),
    ],
    ids=["string", "symbol", "root", "logarithm", "unknown"],
)
def test_what_cannot_be_enclosed_says_so_in_one_line(expr, error, text):
    with pytest.raises(error, match=text) as caught:
        enclose(expr)
    assert "\n" not in str(caught.value)


def test_a_pole_is_not_given_digits():
    with pytest.raises(NotConvergedError):
        enclose(1 / (sin(1) ** 2 + cos(1) ** 2 - 1), 5)


def test_digits_must_be_positive():
    with pytest.raises(RangeError, match="digits = 0"):
        enclose(pi, 0)


class Half(Expr):
    """A custom constant: half of its argument."""

    calls = 0

    def _ball(self, evaluate, prec):
        type(self).calls += 1
        if self.args[0] == 7:
            evaluate.doubt("sevens are doubtful")
        return evaluate(self.args[0]) / 2


def test_custom_classes_join_in_once_and_pass_their_doubts_on():
    Half.calls = 0
    three = Half(Integer(3))
    assert enclose(three + three**2).contains(Fraction(15, 4))
    assert Half.calls == 1
    doubtful = enclose(Half(Integer(7)) + pi)
    assert not doubtful.rigorous
    assert doubtful.reason == "sevens are doubtful"
    assert repr(doubtful).endswith("(not proved)")


class Twice(Expr):
    """A custom function of the variable."""

    def _acb(self, args, analytic):
        return 2 * args[0]


def test_custom_functions_of_the_variable_join_in_by_their_complex_method():
    assert compile_ball(Twice(z) + 1, z)(acb(3), True) == acb(7)


def test_floats_count_as_the_exact_binary_number():
    assert enclose(Float(0.1)).contains(0.1)


KINKED = [
    Abs(z),
    sign(z),
    Heaviside(z),
    Max(z, 0),
    Min(z, z**2),
    Piecewise((z, z > 0), (exp(z) - 1, True)),
    sqrt(z**2),
    log(z),
    atan(z * I),
]


@pytest.mark.parametrize("expr", KINKED, ids=str)
def test_no_ball_across_a_kink_or_cut_claims_to_be_holomorphic(expr):
    across = acb(arb(0, 2), arb(0, 2))
    assert not compile_ball(expr, z)(across, True).is_finite()


@pytest.mark.parametrize("expr", KINKED[:7], ids=str)
def test_kinked_functions_are_holomorphic_away_from_the_kink(expr):
    aside = acb(arb(3, 0.5), arb(0, 0.5))
    assert compile_ball(expr, z)(aside, True).is_finite()


def test_softplus_on_complex_constants_keeps_the_principal_branch():
    with working_precision(60):
        value = Evaluation(60).complex(log(1 + exp(2 + 4 * I)))
    with mp.workdps(30):
        expected = mp.log(1 + mp.exp(mp.mpc(2, 4)))
        assert abs(float(value.imag.mid()) - float(expected.imag)) < 1e-14


LEAVES = st.sampled_from([z, Integer(1), Rational(1, 3), pi])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda f, a: f(a), st.sampled_from([tanh, sin, erf, atan, Abs, cosh]), inner),
        st.builds(lambda a: log(1 + exp(a)), inner),
        st.builds(lambda a: 1 / (1 + exp(a)), inner),
        st.builds(lambda a: sqrt(1 + a**2), inner),
        st.builds(lambda a: (1 + erf(a)) / 2, inner),
        st.builds(Max, inner, inner),
    ),
    max_leaves=6,
)


@given(TREES, st.fractions(-3, 3), st.fractions(0, 1), st.fractions(-1, 1))
def test_the_image_of_a_ball_holds_the_images_of_its_points(expr, centre, radius, where):
    point = centre + radius * where
    f = compile_ball(expr, z)
    with working_precision(80):
        ball = acb(arb(float(centre), float(radius)) + arb(0, 1e-12))
        image = f(ball, False)
        inside = enclose(expr.subs(z, Rational(point.numerator, point.denominator)), 15)
        assert not image.is_finite() or image.real.overlaps(inside.arb())


def test_a_difference_of_tails_far_out_keeps_its_digits():
    far = Integer(500) / sqrt(2)
    value = (Rational(1, 2) - erf(far) / 2) * 2 + exp(-125000) - exp(-125000)
    with mpmath.workdps(60):
        truth = mpmath.erfc(500 / mpmath.sqrt(2))
        assert abs(enclose(value, 30).mpf(40) / truth - 1) < 1e-29


def test_numbers_of_a_million_digits_print_at_once():
    tiny = Ball(Fraction(0), Fraction(1, 2 ** (2**22)))
    assert tiny.str(20) == "0 +/- 4.9e-1262612"
    assert Ball(Fraction(3, 2 ** (2**22))).str(3) == "1.45e-1262611"
