"""Lowering keeps values: the same numbers from hoisted, shared and selected code."""

from fractions import Fraction

import pytest
from sympy import Abs, Max, Min, Piecewise, Rational, Symbol, sqrt, symbols
from sympy.abc import a, c, x, y

from derive.block import Block
from derive.printing.lower import Lowering
from derive.printing.partials import Tangents, along
from derive.program import program
from derive.theory.deep_features import deep_features

VALUES = [
    {a: Rational(1, 3), c: Rational(7, 5), x: Rational(3, 2), y: Rational(-2, 7)},
    {a: Rational(5, 3), c: Rational(1, 5), x: Rational(1, 9), y: Rational(4, 7)},
]


def run(lines, results, values):
    known = dict(values)
    for symbol, expr in lines:
        known[symbol] = expr.xreplace(known)
    return [e.xreplace(known) for e in results]


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(
    "expr",
    [
        a * x / c + 1 / x - a * c,
        -a * y**2 / (x * (c + x)) + (a + c) * x,
        Min(x, y, a * c) - 3 * Max(x * y, c),
        Piecewise((x / c, y > 0), (c / x, True)) * a,
        (x - c) ** -3 * (a - 2 * c),
    ],
)
def test_a_lowered_expression_has_the_same_exact_value(expr, values):
    lowering = Lowering([a], [c])
    body = lowering.block(Block((a, c, x, y), (), (expr,)))
    lines = (*lowering.call, *lowering.point, *body.lines)
    assert run(lines, body.results, values) == [expr.xreplace(values)]


def test_divisions_by_the_same_number_are_shared():
    lowering = Lowering([], [])
    body = lowering.block(Block((x, y), (), (y / x, 3 / x**2, (x + 1) / x)))
    assert [e for _, e in body.lines] == [1 / x]


def test_what_depends_on_controls_only_leaves_the_block():
    lowering = Lowering([a], [c])
    body = lowering.block(Block((a, c, x), (), (a * x / c, x / c)))
    assert body.lines == ()
    assert {s for s, _ in lowering.point} <= set(body.inputs)


def test_a_lowered_tower_has_the_same_exact_value():
    ready = program(deep_features(["erf", "erf"]).system())
    block = ready.tower
    values = {s: Rational(Fraction(k + 3, 7)) for k, s in enumerate(block.inputs)}
    lowering = Lowering([s for s, _ in ready.constants], ready.inputs)
    body = lowering.block(block)
    lines = (*lowering.call, *lowering.point, *body.lines)
    assert run(lines, body.results, values) == run(block.lines, block.results, values)


def test_shared_partials_give_the_derivative_of_the_substituted_code():
    u, v = symbols("u v")
    code = [(u, x**2 / y), (v, u * x + y)]
    tangents = Tangents(code, [x, y])
    pairs = tangents.partials("out", v**2)
    moved, rate = tangents.push({x: Rational(2), y: Rational(-3)}, "d")
    point = {x: Rational(3), y: Rational(5)}
    got = run([*code, *tangents.lines, *moved], [along(pairs, rate)], point)[0]
    whole = (v**2).xreplace({v: u * x + y}).xreplace({u: x**2 / y})
    assert got == (2 * whole.diff(x) - 3 * whole.diff(y)).xreplace(point)


def test_a_constant_moves_nothing_but_its_rounding_counts():
    k, unit = Symbol("k", positive=True), Symbol("unit", positive=True)
    u = Symbol("u")
    tangents = Tangents([(u, k * x)], [x, k])
    _, rate = tangents.push({x: Rational(1)}, "d")
    assert rate[u] == k
    bounds, known = tangents.bounds({k: unit * k}, unit, "e")
    total = run([*tangents.lines, *bounds], [known[u]], {x: Rational(2), k: Rational(3)})[0]
    assert total == 2 * 6 * unit + 2 * 3 * unit  # (1 + operations) |k x| + |x| error of k


POSITIVE = symbols("p q", positive=True)
REAL = symbols("s t", real=True)


@pytest.mark.parametrize(
    "expr",
    [
        POSITIVE[0] * POSITIVE[1] ** 2 + 3,
        POSITIVE[0] / POSITIVE[1] ** 3,
        POSITIVE[0] - POSITIVE[1],
        REAL[0] + POSITIVE[0],
        REAL[0] ** 2 + POSITIVE[0],
        REAL[0] ** 3 * POSITIVE[0],
        Abs(REAL[0]) + POSITIVE[0],
        -2 * POSITIVE[0],
        REAL[0] / REAL[1] + 1,
        sqrt(POSITIVE[0]) + 1,
    ],
)
def test_hoisted_names_are_positive_where_sympy_knows_it(expr):
    lowering = Lowering([], [*POSITIVE, *REAL])
    lowering.block(Block((*POSITIVE, *REAL, x), (), (Max(expr, x), x / (x + expr))))
    assert lowering.point
    for symbol, hoisted in lowering.point:
        assert symbol.is_positive == (hoisted.is_positive or None)


def test_extremes_of_equal_arguments_are_that_argument():
    (s, t), u = REAL, Symbol("u", real=True)
    body = Lowering([], []).block(Block((s,), ((t, s), (u, s)), (Max(t, u),)))
    assert body.results == (s,)
