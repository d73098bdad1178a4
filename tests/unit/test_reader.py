"""Reading: exact numbers, the usual words, one clear line for everything else."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import (
    Abs,
    E,
    Heaviside,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    atan,
    cos,
    erf,
    erfc,
    exp,
    log,
    pi,
    sech,
    sign,
    sin,
    sqrt,
    tanh,
)

from derive.errors import DeriveError, ParseError, UnknownNameError
from derive.reader import read_expression
from derive.reading.vocabulary import FUNCTIONS
from derive.symbols import control, z

READ = [
    ("z*tanh(log(1+exp(z)))", z * tanh(log(1 + exp(z)))),
    ("z*exp(-z**2/8)", z * exp(-(z**2) / 8)),
    ("0.1*z", z / 10),
    ("1.5e-3*z + .5 - 2.", Rational(3, 2000) * z - Rational(3, 2)),
    ("-z^2", -(z**2)),
    ("2^3^2*z", 512 * z),
    ("2**-3*z", z / 8),
    ("1 - 2 - z", -1 - z),
    ("8/4/z", 2 / z),
    ("(1 + z)**0.5", sqrt(1 + z)),
    ("e**(-z) + E", exp(-z) + E),
    ("pi*z", pi * z),
    ("where(z > 0, z, 0.1*z)", Piecewise((z, z > 0), (z / 10, True))),
    ("where(-1 < z <= 1, z, 0)", Piecewise((z, (z > -1) & (z <= 1)), (0, True))),
    ("where(z < 0 or not z < 1, 1, 0)", Piecewise((1, (z < 0) | (z >= 1)), (0, True))),
    ("where((z > 0) & (z < 1), 1, 0)", Piecewise((1, (z > 0) & (z < 1)), (0, True))),
    ("Piecewise((z, z > 0), (exp(z) - 1, True))", Piecewise((z, z > 0), (exp(z) - 1, True))),
    ("max(0, z, z/2)", Max(0, z, z / 2)),
    ("abs(z) + step(z)", Abs(z) + Heaviside(z)),
    ("relu", Max(z, 0)),
    (" tanh ", tanh(z)),
    ("gelu", z * (1 + erf(z / sqrt(2))) / 2),
    ("swish(2*z)", 2 * z / (1 + exp(-2 * z))),
    ("softplus", log(1 + exp(z))),
    ("mish", z * tanh(log(1 + exp(z)))),
    ("elu", Piecewise((z, z > 0), (exp(z) - 1, True))),
    ("leaky_relu(z, 0.2)", Piecewise((z, z > 0), (z / 5, True))),
    ("clip(z, -2, 2)", Max(-2, Min(2, z))),
    ("hardtanh", Max(-1, Min(1, z))),
    ("z\n + 1", z + 1),
]


@pytest.mark.parametrize(("text", "expected"), READ, ids=[pair[0] for pair in READ])
def test_expressions_are_read_exactly(text, expected):
    assert read_expression(text) == expected


def test_every_one_argument_word_alone_is_the_function_of_the_variable():
    alone = [name for name, word in FUNCTIONS.items() if word.least == 1 and not word.pairs]
    assert len(alone) > 30
    for name in alone:
        assert read_expression(name) == read_expression(f"{name}(z)")


def test_parameters_and_other_variables_are_allowed_by_name_or_symbol():
    slope = control("slope", positive=True)
    assert read_expression("slope*z", parameters=(slope,)) == slope * z
    assert read_expression("a*x", ("x",), ("a",)).free_symbols == {
        Symbol("a", real=True),
        Symbol("x", real=True),
    }
    assert read_expression("x*y", ("x", "y")) == Symbol("x", real=True) * Symbol("y", real=True)
    assert read_expression("b*z", parameters={"b": slope}) == slope * z


REFUSED = [
    ("", ParseError, "empty"),
    ("z+", ParseError, "ends too early"),
    ("tanh(z", ParseError, "ends too early"),
    ("z)", ParseError, r"unexpected '\)' at position 2"),
    ("2z", ParseError, r"write products with \*"),
    ("(1+z)(2-z)", ParseError, r"write products with \*"),
    ("z(1+z)", ParseError, "z is not a function at position 1"),
    ("tanhh(z)", UnknownNameError, "did you mean tanh"),
    ("ReLU(z)", UnknownNameError, r"did you mean relu\?"),
    ("x", UnknownNameError, "unknown name x at position 1; the argument is z"),
    ("x*y + z", UnknownNameError, "2 further variables, unknown names x at position 1, y at"),
    ("z = 3", ParseError, "compare with <"),
    ("z; z", ParseError, "unexpected ';' at position 2"),
    ("z if z else 1", UnknownNameError, "unknown names if at position 3, else at"),
    ("z > 0", ParseError, "a condition where a number is expected"),
    ("abs(z > 0)", ParseError, "a condition where a number is expected"),
    ("where(z, 1, 2)", ParseError, "a number where a condition is expected"),
    ("where(1 > 0, z, 2)", ParseError, "a comparison of constants"),
    ("(z, 1)", ParseError, "a pair where a number is expected"),
    ("max(z)", ParseError, "max takes at least 2 argument"),
    ("tanh(z, 1)", ParseError, r"tanh takes 1 argument\(s\) and has 2"),
    ("tanh + 1", ParseError, "the function tanh without arguments"),
    ("1/0", ParseError, "division by zero at position 2"),
    ("z/(z - z)", ParseError, "division by zero"),
    ("0**z", ParseError, "a power of zero"),
    ("z**z", ParseError, "a variable exponent"),
    ("log(0)*z", ParseError, "not finite"),
    ("tan(pi/2)", ParseError, "not finite"),
    ("sqrt(-1)*z", ParseError, "not real"),
    ("asin(2)", ParseError, "not real"),
    ("erfinv(2)", ParseError, "not finite"),
    ("9**9**9**9", ParseError, "too large to write out"),
    ("2**(1/9**9)*9**9**9", ParseError, "too large to write out"),
    ("10**2000*10**2000*10**2000*z", ParseError, "too large to write out"),
    ("1e9999", ParseError, "use at most 400"),
    ("z**(10**9)", ParseError, "a large exponent"),
    ("exp(exp(exp(exp(9))))", ParseError, "not finite"),
    ("exp(1e9)*z", ParseError, "too large to use"),
    ("(" * 10**6, ParseError, "1000000 characters"),
    ("(" * 500 + "z" + ")" * 500, ParseError, "nested 500 deep"),
    ("tanh(" * 200 + "z" + ")" * 200, ParseError, "nested 200 deep"),
    ("z" + " " * 3000, ParseError, "characters"),
    ("z.real", ParseError, "unexpected '.'"),
    ("z[0]", ParseError, r"unexpected '\['"),
    ("lambda z: z", UnknownNameError, "unknown name lambda"),
    ("٣*z", ParseError, "unexpected"),
    ("nan", UnknownNameError, "unknown name nan"),
    ("oo*z", UnknownNameError, "unknown name oo"),
    ("I*z", UnknownNameError, "unknown name I"),
]


@pytest.mark.parametrize(("text", "error", "message"), REFUSED, ids=[r[0][:30] for r in REFUSED])
def test_everything_else_is_refused_in_one_line(text, error, message):
    with pytest.raises(error, match=message) as caught:
        read_expression(text)
    assert "\n" not in str(caught.value)


def test_long_chains_are_read_without_recursion():
    assert read_expression("-" * 1900 + "z") == z
    assert read_expression("+".join(["z"] * 900)) == 900 * z


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('echo caught')",
        "__import__",
        "().__class__.__bases__",
        "exec('1')",
        "open('/etc/passwd')",
        "z.__class__",
        "eval(z)",
        "'tanh(z)'",
        "z; import os",
        "f'{z}'",
        "\x00z",
        "z\u200b",
    ],
)
def test_code_is_never_run(text, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("code was run")

    monkeypatch.setattr("builtins.eval", forbidden)
    monkeypatch.setattr("builtins.exec", forbidden)
    monkeypatch.setattr("os.system", forbidden)
    monkeypatch.setattr(subprocess, "run", forbidden)
    with pytest.raises((ParseError, UnknownNameError)) as caught:
        read_expression(text)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_string_is_refused():
    with pytest.raises(ParseError, match="not a string"):
        read_expression(3)


NUMBERS = st.fractions(-20, 20, max_denominator=50).map(Rational)
TREES = st.recursive(
    st.one_of(st.just(z), NUMBERS, st.just(pi)),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(
            lambda a, n: (1 + a**2) ** n, inner, st.sampled_from([-2, -1, 2, Rational(1, 2)])
        ),
        st.builds(
            lambda f, a: f(a),
            st.sampled_from([tanh, sin, cos, erf, erfc, atan, Abs, sign, sech, Heaviside]),
            inner,
        ),
        st.builds(lambda a: exp(tanh(a)), inner),
        st.builds(lambda a, b: Max(a, b, z), inner, inner),
        st.builds(lambda a, b: Piecewise((a, z > 1), (b, z <= -1), (z, True)), inner, inner),
    ),
    max_leaves=8,
)


@given(TREES)
def test_what_is_printed_is_read_back_unchanged(expr):
    assert read_expression(str(expr)) == expr


@given(st.text(alphabet="z0123456789.eE+-*/^()<>=,& tanhxprelumiwPs_", max_size=40))
def test_random_text_gives_an_expression_or_an_error_of_ours(text):
    outcome = _outcome(text)
    assert "\n" not in outcome


def _outcome(text):
    try:
        return str(read_expression(text))
    except DeriveError as error:
        return str(error)


def test_numbers_stay_exact_to_the_last_digit():
    digits = "0." + "123456789" * 20
    assert read_expression(digits) == Rational(int(digits[2:]), 10**180)
    assert read_expression("7") == Integer(7)
