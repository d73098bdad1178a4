"""Radius arithmetic in float64: exact values always lie inside, and a missing term is seen."""

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Abs, Integer, Max, Min, Pow, Rational, S, Symbol, erf, sqrt

from derive.block import Block
from derive.errors import NotSupportedError
from derive.printing.interval_code import GROW, TINY, UNIT, Node, Tape

x, y, w = (Symbol(n, real=True) for n in "xyw")
CENTRES = st.floats(-50, 50).filter(lambda v: abs(v) > 1e-6)
RELATIVE = st.sampled_from([0.0, 1e-15, 1e-9, 1e-3, 0.1])
PLACES = st.sampled_from([-1, 0, 1])  # lower end, centre, upper end


def run(expr, balls, unit=UNIT):
    """Execute the code of an expression; ``balls`` maps symbols to (centre, radius)."""
    tape = Tape()
    known = {s: Node(f"p_{s}", f"q_{s}") for s in balls}
    (node,) = tape.run(Block(tuple(balls), (), (expr,)), known)
    scope = {"UNIT": unit, "GROW": GROW, "TINY": TINY, "INF": math.inf, "math": math}
    for symbol, (mid, rad) in balls.items():
        scope |= {f"p_{symbol}": mid, f"q_{symbol}": rad}
    try:
        exec("\n".join(tape.lines), scope)
    except (ZeroDivisionError, ValueError):  # plain Python raises where IEEE gives inf or NaN
        return 0.0, math.inf
    return eval(node.mid, scope), eval(node.rad or "0.0", scope)


def expressions():
    leaves = st.sampled_from([x, y, w, Integer(1), Integer(3), Rational(1, 3), Rational(-7, 5)])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
            st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
            st.tuples(inner, inner).map(lambda p: p[0] - p[1]),
            st.tuples(inner, st.sampled_from([-2, -1, 2, 3])).map(lambda p: Pow(*p)),
        ),
        max_leaves=8,
    ).filter(lambda e: not e.has(S.ComplexInfinity, S.NaN) and e.free_symbols)


def exact(expr, at):
    value = expr.xreplace({s: Rational(v.numerator, v.denominator) for s, v in at.items()})
    assume(value.is_Rational)
    return Fraction(int(value.p), int(value.q))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    expressions(), st.tuples(CENTRES, CENTRES, CENTRES), RELATIVE, st.tuples(PLACES, PLACES, PLACES)
)
def test_exact_values_lie_inside_for_every_point_of_the_boxes(expr, centres, relative, places):
    balls = {s: (c, abs(c) * relative) for s, c in zip((x, y, w), centres, strict=True)}
    at = {
        s: Fraction(c) + place * Fraction(r)
        for (s, (c, r)), place in zip(balls.items(), places, strict=True)
    }
    mid, rad = run(expr, balls)
    value = exact(expr, at)
    assume(math.isfinite(mid) and math.isfinite(rad))
    assert abs(Fraction(mid) - value) <= Fraction(rad)


def test_a_missing_rounding_term_is_seen():
    third = Fraction(1, 3)
    expr = (x + y) * w - x * w - y * w + Rational(1, 3)
    balls = {x: (0.1, 0.0), y: (0.7, 0.0), w: (1.3, 0.0)}
    mid, rad = run(expr, balls)
    assert abs(Fraction(mid) - third) <= Fraction(rad)
    mid, rad = run(1 / (x + y), balls, unit=0.0)  # planted: no rounding
    value = 1 / (Fraction(0.1) + Fraction(0.7))
    assert abs(Fraction(mid) - value) > Fraction(rad)


def test_roots_absolute_values_and_extremes_hold_the_truth():
    balls = {x: (2.0, 0.25), y: (-3.0, 0.5)}
    for expr, low, high in (
        (sqrt(x), math.sqrt(1.75), math.sqrt(2.25)),
        (Abs(y), 2.5, 3.5),
        (Min(x, y), -3.5, -2.5),
        (Max(x, y), 1.75, 2.25),
        (x ** Rational(-1, 2), 1.5**-1, 1.75**-0.5),
    ):
        mid, rad = run(expr, balls)
        assert mid - rad <= low
        assert high <= mid + rad
        assert rad < 2


@pytest.mark.parametrize("expr", [1 / x, sqrt(x), 1 / (x - x / 3)])
def test_a_pole_inside_gives_no_finite_radius(expr):
    assert run(expr, {x: (1e-3, 2e-3)})[1] == math.inf


def test_overflow_never_gives_a_finite_radius():
    mid, rad = run(1 / (x * x * x), {x: (1e200, 0.0)})
    assert not (math.isfinite(mid) and math.isfinite(rad) and rad > 0 and mid != 0)
    assert not abs(Fraction(1, 10**600)) > rad + abs(mid)


def test_functions_without_a_proved_error_are_refused():
    with pytest.raises(NotSupportedError, match="a float64 enclosure of erf"):
        run(erf(x), {x: (1.0, 0.0)})
    with pytest.raises(NotSupportedError, match="a power 1/3"):
        run(x ** Rational(1, 3), {x: (1.0, 0.0)})


def test_one_centre_with_two_radii_is_two_quantities():
    tape = Tape()
    point, box = Node("c"), Node("c", "r")
    assert tape.add(point, point) != tape.add(box, box)
    assert tape.add(point, box) == tape.add(box, point)


def test_irrational_looking_literals_carry_their_rounding():
    node = Tape().literal(Fraction(1, 3))
    assert abs(Fraction(float(node.mid)) - Fraction(1, 3)) <= Fraction(float(node.rad))
    assert Tape().literal(Fraction(3, 8)).exact
    assert float(node.rad) < 1e-15
