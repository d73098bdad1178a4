"""Straight-line code: closure, pruning, derivatives line by line, rounding bounds."""

import pytest
from sympy import Abs, Max, Min, Piecewise, Rational, Symbol, exp, sin, sqrt

from derive.block import (
    Block,
    chain,
    error_of,
    forward,
    magnitude,
    partial,
    renamed,
    running_error,
)
from derive.errors import NotClosedError

x, y, w, unit = (Symbol(n, real=True) for n in ("x", "y", "w", "unit"))


def substituted(lines, expr):
    for symbol, definition in reversed(lines):
        expr = expr.xreplace({symbol: definition})
    return expr


def test_a_block_refuses_symbols_that_nothing_defines():
    with pytest.raises(NotClosedError, match="line y: uses w; define it before"):
        Block((x,), ((y, w + x),), (y,))


def test_pruning_keeps_only_what_results_need():
    block = Block((x,), ((y, x**2), (w, y + 1), (unit, x + w)), (w,))
    assert [s for s, _ in block.pruned().lines] == [y, w]


def test_forward_derivative_equals_the_derivative_of_the_substituted_expression():
    lines = ((y, sin(x) * x), (w, y**2 / (1 + x)))
    new, rate = forward(lines, {x: Rational(1)}, "d")
    derivative = substituted((*lines, *new), rate[w])
    direct = substituted(lines, w).diff(x)
    assert (derivative - direct).simplify() == 0


@pytest.mark.parametrize(
    "expr",
    [
        x - 3 * y / 7 + 2,
        -x * y * (x + w) / 2,
        (2 * x + y) ** 2 * w,
        w / (x * (y - x) ** 3),
        sqrt(x**2 + y) * x / (1 + sqrt(x + w)),
        y**x + sin(x * y) ** 2,
        Abs(x - y) * exp(-x),
        Piecewise((x**2, x < y), (x * w, True)),
        w * y,
    ],
)
def test_partial_derivatives_are_the_expressions_that_sympy_gives(expr):
    for symbol in (x, y, w):
        assert partial(expr, symbol) == expr.diff(symbol)


def test_renaming_gives_the_expression_of_sympy():
    names = {x: w, w: Symbol("v", real=True)}
    for expr in (x + 2 * w, Max(x, w / y) - Min(x, 1), Piecewise((x, x < w), (y, True)), y):
        assert renamed(expr, names) == expr.xreplace(names)


def test_forward_skips_lines_that_do_not_depend_on_the_seed():
    new, rate = forward(((y, w**2),), {x: Rational(1)}, "d")
    assert new == ()
    assert rate[y] == 0


def test_chain_uses_the_derivative_of_each_symbol():
    assert chain(x * y, {x: Rational(2), y: x}) == x * x + 2 * y


def test_magnitude_adds_absolute_values_of_terms():
    assert magnitude(x - y).subs({x: 3, y: 5}) == 8


def test_running_error_covers_the_error_of_a_perturbed_input():
    lines = ((y, x**2), (w, y - x))
    new, known = running_error(lines, {x: Rational(1, 1000)}, unit, "e")
    bound = substituted((*lines, *new), known[w]).subs({x: 2, unit: 0})
    actual = abs((2.001**2 - 2.001) - 2)
    assert actual <= float(bound) * 1.001
    assert float(bound) <= 2 * actual


def test_error_of_a_constant_is_zero():
    assert error_of(Rational(1, 3), {}, unit) == 0
