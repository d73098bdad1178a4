"""Activations: closed forms at any variance, certified digits, refusals."""

import mpmath
import pytest
from sympy import Integer, Rational, Symbol, asin, cos, erf, exp, pi, sqrt, tanh

from derive.activation import Activation, is_zero
from derive.errors import (
    NotConvergedError,
    NotIntegrableError,
    NotSupportedError,
    ParseError,
    RangeError,
    UnknownNameError,
)
from derive.symbols import z
from derive.value import Kind, Value

R = Rational(9, 4)
PDF_2, MASS_2 = exp(-2) / sqrt(2 * pi), erf(sqrt(2))  # of the clip at 2 and variance 1

# name: variance, kappa_0, kappa_1, E s^2, each by hand.
BY_HAND = {
    "z": (R, 0, 1, R),
    "z**2": (R, R, 0, 3 * R**2),
    "z**3 - z": (R, 0, 3 * R - 1, 15 * R**3 - 6 * R**2 + R),
    "erf": (R, 0, 2 / sqrt(pi * (1 + 2 * R)), 2 / pi * asin(2 * R / (1 + 2 * R))),
    "sign": (R, 0, sqrt(2 / (pi * R)), 1),
    "Heaviside(z)": (R, Rational(1, 2), 1 / sqrt(2 * pi * R), Rational(1, 2)),
    "relu": (R, sqrt(R / (2 * pi)), Rational(1, 2), R / 2),
    "abs": (R, sqrt(2 * R / pi), 0, R),
    "sin": (R, 0, exp(-R / 2), (1 - exp(-2 * R)) / 2),
    "cos": (R, exp(-R / 2), 0, (1 + exp(-2 * R)) / 2),
    "exp": (R, exp(R / 2), exp(R / 2), exp(2 * R)),
    "clip(z, -2, 2)": (Integer(1), 0, MASS_2, MASS_2 - 4 * PDF_2 + 4 * (1 - MASS_2)),
}


def close(value, expected, digits=25):
    with mpmath.workdps(digits + 10):
        difference = value.ball(digits).mpf(digits + 5) - mpmath.mpf(
            Value(Integer(0) + expected).ball(digits + 3).mpf(digits + 5)
        )
        return abs(difference) <= mpmath.mpf(10) ** (2 - digits)


@pytest.mark.parametrize("text", sorted(BY_HAND))
def test_constants_are_closed_forms_equal_to_those_by_hand(text):
    r, mean, slope, second = BY_HAND[text]
    activation = Activation(text)
    found = activation.mean(r), activation.kappa_1(r), activation.second_moment(r)
    assert all(value.kind is Kind.CLOSED_FORM for value in found)
    assert close(found[0], mean)
    assert close(found[1], slope)
    assert close(found[2], second)
    star = activation.kappa_star_squared(r)
    assert star.kind is Kind.CLOSED_FORM
    assert close(star, Integer(0) + second - mean**2 - r * slope**2)


def test_a_wrong_digit_of_a_closed_form_would_be_seen():
    assert not close(Activation("sin").kappa_1(R), exp(-R / 2) * (1 + Rational(1, 10**20)))


@pytest.mark.parametrize("text", ["tanh(z)", "z*exp(-z**2/8)", "log(1+exp(z))", "sin(z)*tanh(z)"])
def test_constants_agree_with_quadrature(text):
    activation = Activation(text)
    functions = {
        "tanh(z)": mpmath.tanh,
        "z*exp(-z**2/8)": lambda x: x * mpmath.exp(-(x**2) / 8),
        "log(1+exp(z))": lambda x: mpmath.log(1 + mpmath.exp(x)),
        "sin(z)*tanh(z)": lambda x: mpmath.sin(x) * mpmath.tanh(x),
    }
    with mpmath.workdps(25):

        def mean(g):
            return mpmath.quad(lambda x: g(x) * mpmath.npdf(x), mpmath.linspace(-14, 14, 15))

        f = functions[text]
        expected = mean(f), mean(lambda x: x * f(x)), mean(lambda x: f(x) ** 2)
    found = activation.mean(), activation.kappa_1(), activation.second_moment()
    for value, number in zip(found, expected, strict=True):
        assert abs(value.ball(20).mpf(22) - number) < 1e-18


def test_value_without_closed_form_says_what_its_digits_rest_on_and_why():
    value = Activation("tanh").kappa_1()
    assert value.kind is Kind.BALL
    assert "no rule" in value.reason
    assert abs(value.ball(22).mpf(22) - mpmath.mpf("0.6057055096021588255835")) < 1e-15


def test_exact_zeros_are_proved_by_form():
    assert Activation("tanh").mean().expr == 0
    assert Activation("cosh(z/2)").kappa_1().expr == 0
    assert Activation("3*z + 1/7").kappa_star_squared().expr == 0
    assert Activation("tanh").is_centred(Rational(1, 3))
    assert not Activation("mish").is_centred()


def test_parity_is_claimed_only_where_it_is_proved():
    found = {text: Activation(text).parity for text in ("tanh", "abs", "relu", "z*sin(z)", "z+1")}
    assert found == {"tanh": "odd", "abs": "even", "relu": None, "z*sin(z)": "even", "z+1": None}


@pytest.mark.parametrize(("k", "expected"), [(0, 0), (1, 3), (2, 0), (3, 6), (4, 0)])
def test_hermite_coefficients_of_the_cube(k, expected):
    # z^3 = He_3 + 3 He_1; at variance r the cube carries r^(3/2).
    assert Activation("z**3").hermite(k).expr == expected
    assert Activation("z**3").hermite(k, 4).expr == 8 * expected


def test_centring_subtracts_the_mean():
    relu = Activation("relu")
    centred = relu.centred(4)
    assert centred.mean(4).expr.equals(0)
    assert Activation("tanh").centred() == Activation("tanh")
    assert str(centred) == "relu - mean"


def test_expressions_in_another_letter_are_read_as_functions_of_z():
    x = Symbol("x")
    assert Activation(tanh(x)) == Activation("tanh")
    assert Activation(cos(x)).expr == cos(z)


def test_parameters_stay_symbols():
    a = Symbol("a", positive=True)
    activation = Activation(a * z**2 + z, parameters=(a,))
    assert activation.mean().expr == a
    assert (activation.second_moment().expr - 1 - 3 * a**2).expand() == 0


def test_names_do_not_make_activations_different():
    assert Activation("tanh", name="mine") == Activation("tanh(z)")
    assert repr(Activation("tanh", name="mine")) == "Activation(mine)"
    assert hash(Activation("tanh")) == hash(Activation("tanh(z)"))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("3", NotSupportedError, "it is constant"),
        ("z - z", NotSupportedError, "it is constant"),
        ("frob(z)", UnknownNameError, "unknown name frob"),
        ("tanh(z", ParseError, "tanh"),
        ("exp(z**2/4)", NotIntegrableError, "not square-integrable"),
        ("1/z", NotIntegrableError, "a pole at z = 0"),
        ("sqrt(1 + z)", RangeError, "not real"),
    ],
)
def test_what_is_no_activation_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        Activation(text)


def test_two_variables_are_named():
    with pytest.raises(ParseError, match=r"it has 2 variables \(x, y\)"):
        Activation(Symbol("x") * Symbol("y"))


def test_expressions_below_the_limit_of_growth_are_accepted():
    # E exp(2 a z^2) = 1/sqrt(1 - 4 a) at a = 6/25 is 5.
    assert Activation("exp(0.24*z**2)").second_moment().expr == 5


@pytest.mark.parametrize("variance", [-1, "-1/2", float("nan"), "x"])
def test_variances_that_are_none_are_refused(variance):
    with pytest.raises(RangeError):
        Activation("tanh").mean(variance)


def test_slope_at_variance_zero_is_refused():
    with pytest.raises(RangeError, match="kappa_1 at variance 0"):
        Activation("tanh").kappa_1(0)


def test_zero_that_cannot_be_proved_is_not_guessed():
    tiny = exp(-(Integer(10) ** 5))
    with pytest.raises(NotConvergedError, match="not separated from zero"):
        is_zero(Value(sqrt(2) * sqrt(3) - sqrt(6 + tiny)), "a difference")


def test_a_kernel_that_is_a_series_refuses_a_lone_number():
    with pytest.raises(RangeError, match="no closed form is known"):
        Activation("tanh").dual(Rational(1, 2))
    assert Activation("relu").dual(Integer(1)).expr.equals(Rational(1, 2))
