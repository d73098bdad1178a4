"""Kinks are found and resolved, and what cannot be located is left in place."""

import pytest
from sympy import (
    Abs,
    And,
    Eq,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    cos,
    erf,
    exp,
    log,
    sign,
    sin,
    sinh,
    sqrt,
    tanh,
)

from derive.balls import enclose
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.kinks import is_smooth, pieces
from derive.normal.parity import parity
from derive.symbols import z

RESOLVED = [
    (Max(z, 0), [0]),
    (Abs(Abs(z) - 1), [-1, 0, 1]),
    (Max(-1, Min(1, z)), [-1, 1]),
    (sign(z**2 - 2) * z, [-sqrt(2), sqrt(2)]),
    (Piecewise((1, And(z > -1, z < 1)), (0, True)), [-1, 1]),
    (Heaviside(exp(z) - 3), [log(3)]),
    (Abs(tanh(z) - Rational(1, 2)), None),
    (Abs(sinh(z) * (z - 2)), [0, 2]),
    (Abs(erf(z - 1)), [1]),
    (Abs(z**5 - z + 3), None),
    (Piecewise((5, Eq(z, 0)), (z, True)), None),
    (Max(z, z / 10) + Min(z - 3, 0), [0, 3]),
]


def _pieces(expr):
    with working_precision(100):
        return pieces(expr, z, Evaluation(100))


@pytest.mark.parametrize(("expr", "breaks"), RESOLVED, ids=[str(r[0]) for r in RESOLVED])
def test_pieces_are_smooth_and_agree_with_the_function_inside_each(expr, breaks):
    parts = _pieces(expr)
    cuts = [part.high for part in parts[:-1]]
    assert all(is_smooth(part.expr, z) for part in parts)
    assert breaks is None or cuts == breaks
    assert [part.low for part in parts] == [None, *cuts]
    for part in parts:
        low = enclose(part.low).mid if part.low is not None else enclose(cuts[0]).mid - 2
        high = enclose(part.high).mid if part.high is not None else enclose(cuts[-1]).mid + 2
        for k in (1, 3, 7):
            x = Rational(low + (high - low) * k / 8)
            same = enclose(expr.subs(z, x) - part.expr.subs(z, x), 20)
            assert same.contains(0)


@pytest.mark.parametrize("expr", [Abs(sin(z)), Max(z, cos(z)), Abs(z + exp(z))])
def test_kinks_that_cannot_be_located_stay(expr):
    parts = _pieces(expr)
    assert len(parts) == 1
    assert parts[0].expr == expr


def test_smoothness_is_about_the_variable_only():
    a = Symbol("a", real=True)
    assert is_smooth(Abs(a) * z, z)
    assert not is_smooth(Abs(a * z), z)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (tanh(z) ** 3, "odd"),
        (z * sin(z), "even"),
        (exp(z), None),
        (Max(z, 0), None),
        (Max(z, 0) + Max(-z, 0), "even"),
        (Max(-1, Min(1, z)), "odd"),
        (sign(z) * z**2, "odd"),
        (Heaviside(z - 1) - Heaviside(-z - 1), "odd"),
        (Abs(z - 1) - Abs(z + 1), "odd"),
    ],
    ids=str,
)
def test_parity_is_proved_piece_by_piece(expr, expected):
    assert parity(expr, z) == expected
