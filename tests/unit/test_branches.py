"""Kinks resolved into smooth branches, and endpoints ordered by proof."""

import pytest
from mpmath import mpf
from sympy import (
    Abs,
    And,
    Expr,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    erf,
    exp,
    lambdify,
    log,
    oo,
    sign,
    sin,
    sqrt,
    symbols,
)

from derive.errors import NoRuleError, RangeError
from derive.normal.branches import branches, real_zeros
from derive.normal.intervals import LINE, Interval, decided_sign, order, ordered
from derive.symbols import control, z

s, t = symbols("s t", positive=True)
a, b = symbols("a b", real=True)
KINKED = [
    Abs(Abs(z) - 1),
    Max(z, 0, 1 - z),
    Min(z**2, 2 - z),
    Abs(z**3 - 2 * z + 1),
    sign(exp(z) - 2) * Heaviside(3 - z),
    Piecewise((Abs(z), z < -1), (z**2, And(z >= -1, z < Rational(1, 2))), (sin(z), True)),
    Abs(z * (1 + erf(z))),
]


@pytest.mark.parametrize("f", KINKED)
@pytest.mark.parametrize("point", [-3.3, -1.2, -0.41, 0.13, 0.47, 0.73, 1.57, 2.9])
def test_the_branch_at_a_point_has_the_value_of_the_function(f: Expr, point: float) -> None:
    found = [g for cell, g in branches(f, z) if cell.low < point < cell.high]
    assert len(found) == 1
    values = [lambdify(z, g, "mpmath")(mpf(point)) for g in (found[0], f)]
    assert abs(values[0] - values[1]) < 1e-12


def test_zeros_that_cannot_be_located_are_refused() -> None:
    with pytest.raises(NoRuleError, match="no rule locates its zeros"):
        branches(Max(erf(z), z / 3), z)


def test_branches_cover_the_line_with_symbolic_ends() -> None:
    parts = branches(sign(z) * Max(Abs(z) - t, 0), z)
    assert [(cell.low, cell.high) for cell, _ in parts] == [(-oo, -t), (-t, 0), (0, t), (t, oo)]
    assert [g for _, g in parts] == [z + t, 0, 0, z - t]


def test_zeros_of_products_powers_and_shifted_functions() -> None:
    assert real_zeros((z**2 - 2) * exp(z), z) == [-sqrt(2), sqrt(2)]
    assert real_zeros(exp(2 * z) - 3, z) == [log(3) / 2]
    assert real_zeros(exp(z) + 1, z) == []
    assert real_zeros(1 + erf(z), z) == []
    assert real_zeros(erf(2 * z - 1) ** 3, z) == [Rational(1, 2)]


def test_an_undecided_slope_or_discriminant_is_named() -> None:
    with pytest.raises(RangeError, match="sign of a"):
        branches(Max(a * z, 0), z)
    with pytest.raises(RangeError, match="discriminant"):
        branches(Abs(z**2 + a), z)


def test_intervals_meet_only_where_the_order_is_known() -> None:
    assert Interval(-oo, s).meet(Interval(-t, oo)) == Interval(-t, s)
    assert Interval(-oo, a).meet(Interval(a, oo)) is None
    assert LINE.meet(Interval(a, b)) == Interval(a, b)
    with pytest.raises(RangeError, match="breakpoints a and b"):
        Interval(-oo, a).meet(Interval(b, oo))


def test_order_is_proved_by_arithmetic_assumptions_and_ranges() -> None:
    c = control("c", "threshold", low=1, high=3)
    assert order(sqrt(2) * sqrt(3), sqrt(6)) == 0
    assert order(-t, s) == -1
    assert order(c, Rational(7, 2)) == -1
    assert ordered([t, -t, 0, t]) == [-t, 0, t]
    assert decided_sign(exp(-1 / t) - 1) == -1
    assert decided_sign(c - 2) is None
