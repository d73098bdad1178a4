"""Printers: every operator form in every target, names that cannot clash, refusals."""

import math

import mpmath
import pytest
from sympy import (
    Abs,
    E,
    Function,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    asin,
    cos,
    erf,
    exp,
    gamma,
    pi,
    sqrt,
    symbols,
    tanh,
)

from derive.block import Block
from derive.codegen import (
    CPrinter,
    LanePrinter,
    MpmathPrinter,
    ScalarPrinter,
    function,
    module_source,
    rename,
)
from derive.errors import NotSupportedError
from derive.program import UNIT, program
from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System

x, y = symbols("x y", real=True)
NAMES = {x: "x", y: "y", UNIT: "UNIT"}
FORMS = {
    "sum": x + y - 2,
    "product": -2 * x * y / 3,
    "negative quotient": -x / (y * (1 + x)),
    "powers": x**2 + x**3 + x**4 + x**5 + x**7,
    "negative powers": x**-1 + x**-2 + x**-4 + x**-6,
    "power of a sum": (x + y) ** 2 / (x - y) ** 3,
    "root": sqrt(x + y),
    "inverse root": 1 / sqrt(x),
    "fractional power": x ** Rational(3, 2) + x ** Rational(-5, 3),
    "power of a power": (x**2 + 1) ** y,
    "absolute value": Abs(y - x),
    "minimum": Min(x, y, x * y),
    "maximum": Max(x, y, Integer(1)),
    "functions": exp(x) * cos(y) + tanh(x) - erf(y) + asin(x / 2),
    "constants": pi * x + E * y + Rational(1, 3),
    "choice": Piecewise((x, x > y), (y**2, x < Rational(1, 4)), (x + y, True)),
    "choice of both": Piecewise((x, (x > 0) & (y > 0)), (y, True)),
    "choice of either": Piecewise((x, (x > 1) | (y > 1)), (y, True)),
}
POINTS = [(0.75, 1.25), (1.5, 0.5), (0.125, 2.0)]


def evaluate(printer, expr, at, **scope):
    """Run our own printed text."""
    return eval(printer(NAMES).text(expr), dict(scope), at)


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("printer", [ScalarPrinter, LanePrinter])
def test_every_form_in_machine_numbers(form, printer):
    for a, b in POINTS:
        exact = FORMS[form].subs({x: Rational(a), y: Rational(b)}).evalf(30)
        found = evaluate(printer, FORMS[form], {"x": a, "y": b}, math=math)
        assert found == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_in_many_digits(form):
    with mpmath.workdps(50):
        for a, b in POINTS:
            exact = FORMS[form].subs({x: Rational(a), y: Rational(b)}).evalf(45)
            at = {"x": mpmath.mpf(a), "y": mpmath.mpf(b)}
            found = evaluate(MpmathPrinter, FORMS[form], at, mp=mpmath.mp)
            assert abs(found - mpmath.mpf(str(exact))) < 1e-40


def test_rationals_stay_exact_in_many_digits_and_become_doubles_in_machine_numbers():
    assert MpmathPrinter(NAMES).text(x / 3) == "((mp.mpf(1)/3))*x"
    assert ScalarPrinter(NAMES).text(x / 3) == "(0.3333333333333333)*x"


def test_lanes_hold_no_short_circuits():
    text = LanePrinter(NAMES).text(FORMS["choice of both"])
    assert " and " not in text
    assert " & " in text


def test_c_text_uses_the_words_of_c():
    printer = CPrinter(NAMES)
    assert printer.text(Abs(x)) == "fabs(x)"
    assert printer.text(exp(x)) == "exp(x)"
    assert printer.text(1 / sqrt(x)) == "(1.0/sqrt(x))"
    assert printer.text(x**5) == "pow(x, 5)"
    assert printer.text(x ** Rational(3, 2)) == "pow(x, 1.5)"
    assert printer.text(pi * x) == "M_PI*x"
    assert "?" in printer.text(FORMS["choice"])


@pytest.mark.parametrize("expr", [gamma(x), Function("f")(x), Piecewise((x, x > 0))])
def test_what_no_target_knows_is_refused(expr):
    with pytest.raises(NotSupportedError, match="code for"):
        ScalarPrinter(NAMES).text(expr)


def test_functions_print_their_lines_in_order():
    block = Block((x, UNIT), ((y, x**2),), (y + UNIT, x))
    text = function("f", block, ScalarPrinter(NAMES))
    assert text == "def f(x):\n    y = (x*x)\n    return (UNIT + y, x,)"


def clashing_program():
    """A system whose control, unknown and definition have the same plain name."""
    lam = control("lam", "ridge", low=0)
    unknown = Quantity("x", "unknown", low=0, open_low=True)
    line = Symbol("x")
    system = System(
        name="clash",
        controls=(lam,),
        unknowns=(unknown,),
        equations=(Equation(lam, unknown + line),),
        outputs={"m": 1 / unknown},
        definitions=((line, unknown**2),),
        conditions=(Condition(unknown, "positive"),),
        start=Start((), lam, "above"),
    )
    return program(system)


def test_symbols_of_one_name_get_different_names():
    names = rename(clashing_program())
    assert len(set(names.values())) == len(names)


def test_clashing_names_compute_the_right_numbers():
    text = module_source(clashing_program(), ScalarPrinter)["tower"]
    scope = {"math": math, "UNIT": 2.0**-53}
    exec(text, scope)  # our own printed code
    value, slope, guard = scope["tower"](6.0, 2.0)
    assert (value, slope, guard) == (0.0, 5.0, 2.0)  # x + x^2 - 6, 1 + 2 x, x
