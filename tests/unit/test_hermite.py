"""Hermite coefficients and parity against series, derivatives of means, and quadrature."""

import pytest
from mpmath import mp, mpf
from sympy import (
    Abs,
    Expr,
    Heaviside,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    cos,
    diff,
    erf,
    exp,
    log,
    pi,
    sign,
    sin,
    sqrt,
    symbols,
    tan,
    tanh,
)

from derive.errors import NoRuleError, NotIntegrableError, RangeError
from derive.expectation import Expectation
from derive.gaussian import expect
from derive.hermite import hermite_coefficient
from derive.normal.parity import parity, polynomially_bounded
from derive.symbols import z

a, b, m = symbols("a b m", real=True)
t = Symbol("t", positive=True)
n = Symbol("n", integer=True, nonnegative=True)
ELU = Piecewise((z, z > 0), (exp(z) - 1, True))
SYMBOLIC = {
    "relu": Max(z, 0),
    "relu cubed": Max(z, 0) ** 3,
    "erf": erf(Rational(3, 7) * z - Rational(1, 2)),
    "sign": sign(z),
    "step": Heaviside(z - 1),
    "exponential": exp(Rational(-2, 3) * z),
    "sine": sin(2 * z),
    "shifted cosine": cos(z + 1),
    "polynomial": z**3 - z,
    "Gaussian": exp(-(z**2) / 2 + z),
    "clip": Max(-1, Min(1, z)),
    "sum": exp(z) + sin(z) + Abs(z),
    "growing wave": exp(z) * sin(2 * z),
}


@pytest.mark.parametrize("name", SYMBOLIC)
@pytest.mark.parametrize(("mean", "variance"), [(0, 1), (Rational(1, 3), Rational(5, 2))])
def test_generating_forms_equal_the_integer_coefficients(
    name: str, mean: Expr, variance: Expr
) -> None:
    form = hermite_coefficient(SYMBOLIC[name], n, mean, variance)
    first = int(form.reason.split(">=")[1])
    for k in range(first, first + 5):
        value = hermite_coefficient(SYMBOLIC[name], k, mean, variance).expr
        assert abs((form.expr.subs(n, k) - value).evalf(25)) < 1e-18 * (1 + abs(value.evalf()))


@pytest.mark.parametrize("f", [ELU, z * erf(z), Max(-t, Min(t, z)), z * sin(z)])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_coefficients_are_derivatives_of_the_mean(f: Expr, k: int) -> None:
    r, values = Rational(7, 3), {m: Rational(2, 5), t: Rational(5, 4)}
    derivative = r ** Rational(k, 2) * diff(expect(f, m, r).expr, m, k)
    coefficient = hermite_coefficient(f, k, m, r).expr
    assert abs((derivative - coefficient).subs(values).evalf(30)) < 1e-20


def test_coefficients_sum_to_the_second_moment() -> None:
    f = cos(z) * z + sin(z) / 2
    total = sum(
        (hermite_coefficient(f, k).expr ** 2).evalf(20) / mp.factorial(k) for k in range(24)
    )
    assert abs(total - expect(f**2).expr.evalf(20)) < 1e-9


def test_gelu_coefficient_against_quadrature() -> None:
    gelu = z * (1 + erf(z / sqrt(2))) / 2
    with mp.workdps(30):
        witness = mp.quad(
            lambda x: x * mp.ncdf(x) * (x**4 - 6 * x**2 + 3) * mp.npdf(x), [-14, -4, 0, 4, 14]
        )
        value = hermite_coefficient(gelu, 4).expr
        assert abs(mpf(value.evalf(28)) - witness) < 1e-24
        assert abs(mpf((value * Rational(101, 100)).evalf(28)) - witness) > 1e-4


@pytest.mark.parametrize("k", range(0, 13, 2))
def test_even_coefficients_of_odd_functions_are_exact_zeros(k: int) -> None:
    odd = Max(z, 0) - Max(-z, 0) + sin(z) ** 3 + z * Abs(z)
    assert hermite_coefficient(odd, k).expr is Integer(0)


def test_outside_the_class_coefficients_stay_exact_objects() -> None:
    value = hermite_coefficient(tanh(z), 3)
    assert isinstance(value.expr, Expectation)
    assert value.ball(20).rigorous
    assert hermite_coefficient(tanh(z), 4).expr == 0


def test_parity_does_not_hide_divergence() -> None:
    with pytest.raises(NotIntegrableError):
        hermite_coefficient(tan(z), 0)


@pytest.mark.parametrize("k", [-1, Rational(1, 2), Symbol("x", real=True)])
def test_orders_that_are_not_counts_are_refused(k: Expr) -> None:
    with pytest.raises(RangeError, match="integer"):
        hermite_coefficient(z, k)


def test_symbolic_orders_without_a_generating_form_are_refused() -> None:
    with pytest.raises(NoRuleError, match="no generating form"):
        hermite_coefficient(ELU, n)


def test_coefficients_of_relu_at_symbolic_order() -> None:
    form = hermite_coefficient(Max(z, 0), n).expr
    assert form.subs(n, 4) == -1 / sqrt(2 * pi)
    assert form.subs(n, 7) == 0


LOGISTIC = 1 / (1 + exp(-z))


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (Max(z, 0) - Max(-z, 0), "odd"),
        (Max(z, 0) + Max(-z, 0), "even"),
        (z * tanh(z), "even"),
        (LOGISTIC - Rational(1, 2), "odd"),
        (Max(-t, Min(t, z)), "odd"),
        (sign(z) * Max(Abs(z) - t, 0), "odd"),
        (Piecewise((z, z > 0), (-z, True)), "even"),
        (z / sqrt(1 + z**2), "odd"),
        (Max(z, 0) * tanh(z) - Min(z, 0) * tanh(z), "odd"),
        (Heaviside(z) - Rational(1, 2), "odd"),
        (exp(z) - exp(-z), "odd"),
        (a * z**2 + b, "even"),
        (Max(z, 0), None),
        (LOGISTIC, None),
        (sin(z + b), None),
        (z + Rational(1, 10**12), None),
    ],
)
def test_parity_is_proved_or_absent(f: Expr, expected: str | None) -> None:
    assert parity(f) == expected


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (tanh(z) * z**3, True),
        (Max(z, 0) / (1 + z**2), True),
        (log(1 + exp(z)), True),
        (LOGISTIC, True),
        (tan(z), False),
        (1 / z, False),
        (exp(z), False),
        (log(Abs(z)), False),
    ],
)
def test_polynomial_bounds_are_proved_or_absent(f: Expr, expected: bool) -> None:
    assert polynomially_bounded(f, z) is expected
