"""Means over one normal: spelling, symbols, point masses, refusals."""

import pytest
from mpmath import mp, mpf
from sympy import (
    Abs,
    And,
    DiracDelta,
    Expr,
    Float,
    Heaviside,
    I,
    Max,
    Min,
    Or,
    Piecewise,
    Rational,
    Symbol,
    asin,
    atan,
    cos,
    cosh,
    count_ops,
    diff,
    erf,
    erfc,
    erfi,
    exp,
    expand,
    log,
    pi,
    sign,
    sin,
    sqrt,
    symbols,
    tanh,
)

from derive.errors import (
    DeriveError,
    NoRuleError,
    NotIntegrableError,
    NotSupportedError,
    ParseError,
    RangeError,
)
from derive.expectation import Expectation
from derive.gaussian import closed_form, expect
from derive.provenance import OWEN_1956, STEIN_1981
from derive.symbols import control, z
from derive.value import Kind

a, b, m = symbols("a b m", real=True)
r, t = symbols("r t", positive=True)
GELU = z * (1 + erf(z / sqrt(2))) / 2
ELU = Piecewise((z, z > 0), (exp(z) - 1, True))


def same(one: Expr, two: Expr) -> bool:
    return expand(one.rewrite(erf) - two.rewrite(erf)) == 0


@pytest.mark.parametrize(
    ("f", "mean", "variance", "expected"),
    [
        (Max(z, 0), 0, 1, 1 / sqrt(2 * pi)),
        (exp(z), 0, 1, exp(Rational(1, 2))),
        (Abs(z), 0, 1, sqrt(2 / pi)),
        (z * erf(z / sqrt(2)), 0, 1, 1 / sqrt(pi)),
        (GELU, 0, 1, 1 / (2 * sqrt(pi))),
        (GELU**2, 0, 1, Rational(1, 3) + sqrt(3) / (6 * pi)),
        (sin(z) ** 2, 0, r, (1 - exp(-2 * r)) / 2),
        (cos(a * z + b), m, r, exp(-(a**2) * r / 2) * cos(a * m + b)),
        (exp(-(z**2) / 2), 0, 3, Rational(1, 2)),
        (erf(z) ** 2, 0, r, 2 * asin(2 * r / (1 + 2 * r)) / pi),
        (erf(Abs(z)), 0, 1, 2 * atan(sqrt(2)) / pi),
        (sin(Abs(z)), 0, 1, exp(-Rational(1, 2)) * erfi(1 / sqrt(2))),
        (cosh(z) ** 2, 0, 1, (1 + exp(2)) / 2),
        (2**z, 0, 2, exp(log(2) ** 2)),
        ((z - a) ** 2, a, t, t),
        (Max(z, 0) ** 2, 0, r, r / 2),
    ],
)
def test_means_have_the_spelling_of_a_textbook(
    f: Expr, mean: Expr, variance: Expr, expected: Expr
) -> None:
    value = expect(f, mean, variance).expr
    assert same(value, expected)
    assert count_ops(value) <= count_ops(expected) + 2


@pytest.mark.parametrize(
    ("f", "mean", "variance", "expected"),
    [
        (
            Max(z, 0),
            b,
            r,
            b * (1 + erf(b / sqrt(2 * r))) / 2 + sqrt(r / (2 * pi)) * exp(-(b**2) / (2 * r)),
        ),
        (
            Max(-t, Min(t, z)) ** 2,
            0,
            1,
            erf(t / sqrt(2)) - t * sqrt(2 / pi) * exp(-(t**2) / 2) + t**2 * erfc(t / sqrt(2)),
        ),
        (
            (sign(z) * Max(Abs(z) - t, 0)) ** 2,
            0,
            1,
            (1 + t**2) * erfc(t / sqrt(2)) - t * sqrt(2 / pi) * exp(-(t**2) / 2),
        ),
        (
            ELU,
            0,
            r,
            sqrt(r / (2 * pi)) + exp(r / 2) * erfc(sqrt(r / 2)) / 2 - Rational(1, 2),
        ),
        (erf(a * z + b), m, r, erf((a * m + b) / sqrt(1 + 2 * a**2 * r))),
    ],
)
def test_means_with_symbols_equal_the_known_formulas(
    f: Expr, mean: Expr, variance: Expr, expected: Expr
) -> None:
    assert same(expect(f, mean, variance).expr, expected)


def test_a_tail_is_written_with_erfc_and_keeps_its_digits() -> None:
    value = expect(Heaviside(z - 100)).expr
    assert value == erfc(50 * sqrt(2)) / 2
    large = expect(ELU**2, 0, 4 * 10**5)
    assert large.ball(30).digits >= 30


def test_terms_without_kinks_are_not_split() -> None:
    _, log = closed_form(z**3 + cos(z) + Max(z, 0), m, r)
    assert "4 terms on 2 intervals" in str(log)


def test_touching_intervals_with_one_function_are_joined() -> None:
    _, log = closed_form(Abs(z - b) ** 2, m, r)
    assert "1 terms on 1 intervals" in str(log)


def test_expressions_stay_short() -> None:
    assert all(count_ops(expect(f, 0, r).expr) < 40 for f in (ELU, GELU**2, Max(z, 0), Abs(z)))


def test_the_log_names_the_sources_of_its_rules() -> None:
    value = expect(GELU**2, 0, r)
    assert {STEIN_1981, OWEN_1956} <= set(value.log.sources())
    assert value.kind is Kind.CLOSED_FORM


def test_second_derivative_of_a_mean_in_m_is_the_mean_of_the_second_derivative() -> None:
    f = Max(z, 0) ** 2 * exp(-z)
    left = diff(expect(f, m, 2).expr, m, 2)
    right = expect(diff(f, z, 2), m, 2).expr
    assert abs((left - right).subs(m, Rational(2, 3)).evalf(25)) < 1e-20


def test_heat_equation_holds_for_a_kinked_function() -> None:
    left = diff(expect(Abs(z), m, r).expr, r)
    right = expect(DiracDelta(z), m, r).expr
    assert same(expand(left), right)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (DiracDelta(z - t), exp(-(t**2) / 2) / sqrt(2 * pi)),
        (DiracDelta(2 * z), 1 / (2 * sqrt(2 * pi))),
        (z * DiracDelta(z, 1), -1 / sqrt(2 * pi)),
        (DiracDelta(z**2 - 1), exp(-Rational(1, 2)) / sqrt(2 * pi)),
        (diff(Abs(z), z, 2), sqrt(2 / pi)),
        (Heaviside(z) * DiracDelta(z), 1 / (2 * sqrt(2 * pi))),
    ],
)
def test_point_masses(f: Expr, expected: Expr) -> None:
    assert expect(f).expr == expected


def test_an_ambiguous_point_mass_is_refused() -> None:
    with pytest.raises(NotSupportedError, match="several factors jump"):
        expect(sign(z) ** 2 * DiracDelta(z))


def test_odd_products_of_three_erf_vanish_and_even_ones_climb_down() -> None:
    assert expect(erf(z) ** 3).expr == 0
    assert same(
        expect(z * erf(z) ** 3).expr, 4 * sqrt(3) * asin(Rational(2, 5)) / pi ** Rational(3, 2)
    )


def test_growth_on_a_bounded_interval_is_integrated() -> None:
    inside = Heaviside(1 - Abs(z))
    assert expect(inside * exp(z**2)).expr == erfi(1 / sqrt(2))
    assert expect(inside * exp(z**2 / 2)).expr == sqrt(2 / pi)


def test_critical_growth_with_a_falling_exponential_is_integrated() -> None:
    value = expect(Heaviside(z) * exp(z**2 / 2 - 2 * z))
    assert value.expr == 1 / (2 * sqrt(2 * pi))


def test_a_condition_on_symbols_is_stated() -> None:
    value = expect(exp(a * z**2))
    assert value.expr == 1 / sqrt(1 - 2 * a)
    assert "1 - 2*a > 0" in value.reason


def test_breakpoints_order_by_the_range_of_a_quantity() -> None:
    c = control("c", "threshold", low=1, high=3)
    value = expect(Max(z, c) * Max(z, 0)).expr.subs(c, 2)
    with mp.workdps(30):
        witness = mp.quad(
            lambda x: max(x, 2) * x * mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi), [0, 2, 12]
        )
        assert abs(mpf(value.evalf(25)) - witness) < 1e-20


def test_a_scale_with_unit_spread_evaluates_at_the_mean() -> None:
    assert expect(tanh(z) ** 2, a, 0).expr == tanh(a) ** 2


def test_decimals_are_read_as_written() -> None:
    assert expect(0.1 * z**2, 0, 0.3).expr == Rational(3, 100)
    assert not expect(z**2 * Float(0.25), 0, r).expr.has(Float)


def test_the_variable_can_be_any_real_symbol() -> None:
    x = Symbol("x")
    assert expect(Max(x, 0) * x, variable=x).expr == Rational(1, 2)
    assert expect(z * b**2, variable=b).expr == z


def test_what_has_no_rule_stays_an_expectation_with_the_reason() -> None:
    value = expect(tanh(z) ** 2, 0, 2)
    assert value.expr == Expectation(tanh(z) ** 2, 0, 2)
    assert value.kind is Kind.BALL
    assert value.reason == "no rule for tanh(z) (nearest is erf)"


def test_constants_with_unevaluated_means_pass_through() -> None:
    q = expect(tanh(z) ** 2).expr
    value = expect(Max(z, 0), 0, q)
    assert value.kind is Kind.BALL
    assert same(value.expr, sqrt(q / (2 * pi)))


def test_an_odd_function_outside_the_class_has_mean_zero_if_it_is_bounded() -> None:
    assert expect(tanh(z)).expr == 0
    with pytest.raises(NotIntegrableError, match="pole"):
        expect(1 / z)


def test_piecewise_conditions_may_be_combined() -> None:
    band = Piecewise((z, And(z > 0, z < 1)), (1, z >= 1), (0, True))
    assert same(expect(band).expr, expect(Max(0, Min(1, z))).expr)
    outside = Piecewise((z, Or(z > 1, z < -1)), (0, True))
    assert same(expect(outside**2).expr, expect(z**2 * Heaviside(Abs(z) - 1)).expr)


@pytest.mark.parametrize(
    ("f", "arguments", "error", "words"),
    [
        (exp(z**2), (), NotIntegrableError, r"exp\(z\*\*2\).*1/2"),
        (exp(z**2 / 2), (), NotIntegrableError, "not below"),
        (exp(z**2) * Heaviside(z), (), NotIntegrableError, "not below"),
        (1 / z**2, (), NotIntegrableError, "pole at z = 0"),
        (Symbol("x") ** 2, (), RangeError, "x is not declared real"),
        (z * Symbol("y"), (), RangeError, "y is not declared real"),
        (z, (0, -1), RangeError, "negative"),
        (z, (0, a), RangeError, "declare them positive"),
        (z, (z, 1), RangeError, "z occurs in the law"),
        (z, (I, 1), RangeError, "not real"),
        (I * z, (), RangeError, "not real"),
        (Max(z, a) * Max(z, b), (), RangeError, "breakpoints a and b"),
        (Max(z, a * z), (), RangeError, "a - 1"),
        (Piecewise((z, z > 0)), (), RangeError, "end the Piecewise"),
        (DiracDelta(z) * DiracDelta(z - 1), (), NoRuleError, "product of Dirac deltas"),
        (DiracDelta(z) ** 2, (), NoRuleError, "power of a Dirac delta"),
        ("z", (), ParseError, "read_expression"),
        (Symbol("p", positive=True) * z, (0, float("nan")), RangeError, "finite"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    f: Expr, arguments: tuple[Expr, ...], error: type[DeriveError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        expect(f, *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (tanh(z), r"tanh\(z\) \(nearest is erf\)"),
        (erf(z) * erf(z + 1) * erf(2 * z), "trivariate orthant"),
        (Heaviside(z - 1) * erf(z) ** 2, "trivariate orthant"),
        (sin(z**2), "affine"),
        (exp(z**3), "degree two"),
        (Abs(sin(z)), "zeros"),
        (1 / (1 + exp(z)), "positive integer power"),
    ],
)
def test_closed_form_names_the_term_without_a_rule(f: Expr, words: str) -> None:
    with pytest.raises(NoRuleError, match=words):
        closed_form(f)


def test_a_variable_with_a_sign_is_refused() -> None:
    with pytest.raises(RangeError, match="declared with a sign"):
        expect(t**2, variable=t)
