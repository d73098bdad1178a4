"""Error bounds known beforehand: exact values lie inside, and a missing rounding is seen."""

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Integer, Piecewise, Pow, Rational, Symbol, exp, sqrt

from derive.block import Block
from derive.errors import NotSupportedError
from derive.printing import magnitude_code
from derive.printing.magnitude_code import Magnitudes
from derive.printing.magnitude_kinds import Loose, Sized

x, y, w = (Symbol(n, positive=True) for n in "xyw")
E = 2.0**-30
CENTRES = st.floats(1e-3, 1e3)
PLACES = st.sampled_from([-1, 0, 1])
SCOPE = {"INF": math.inf, "math": math, "inverse": lambda v: 1 / v, "estimate": lambda v: 1 / v}


def written(expr, wide=(x, y)):
    """Write an expression of x and y with radii at run time, and of w, which is exact."""
    tape = Magnitudes({"e_x": E, "e_y": E})
    known = {}
    for s in (x, y, w):
        parts = ((f"e_{s}", 1.0, 1.0),) if s in wide else ()
        known[s] = Sized(f"p_{s}", parts=parts, low=-60, high=60)
    (value,) = tape.run(Block((x, y, w), (), (expr,)), known)
    return tape, value


def executed(tape, value, centres):
    """Return centre and radius, and whether all checks hold."""
    scope = SCOPE | {f"p_{s}": c for s, c in centres.items()} | {"e_x": E, "e_y": E}
    size, factor = tape.error(value)
    try:
        exec("\n".join(tape.lines), scope)
    except (ZeroDivisionError, OverflowError):  # plain Python raises where IEEE gives inf
        return 0.0, math.inf, False
    sign = value.sign if isinstance(value, Sized) else 1
    radius = magnitude_code.SLACK * factor * eval(size, scope)
    return sign * eval(value.mid, scope), radius, all(eval(c, scope) for c in tape.checks)


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
    ).filter(lambda e: e.is_finite is not False and e.free_symbols)


def exact(expr, at):
    value = expr.xreplace({s: Rational(v.numerator, v.denominator) for s, v in at.items()})
    return Fraction(int(value.p), int(value.q)) if value.is_Rational else None


@settings(max_examples=200, derandomize=True, deadline=None)
@given(expressions(), st.tuples(CENTRES, CENTRES, CENTRES), st.tuples(PLACES, PLACES))
def test_exact_values_lie_inside_for_every_point_of_the_radii(expr, centres, places):
    here = dict(zip((x, y, w), centres, strict=True))
    moved = [1 + place * Fraction(E) * Fraction(999, 1000) for place in (*places, 0)]
    at = {s: Fraction(c) * m for (s, c), m in zip(here.items(), moved, strict=True)}
    mid, rad, holds = executed(*written(expr), here)
    assume(holds and math.isfinite(mid) and math.isfinite(rad))
    value = exact(expr, at)
    assume(value is not None)
    assert abs(Fraction(mid) - value) <= Fraction(rad)


def test_most_expressions_are_decided():
    """The property above is not empty: these hold, with radii of the expected order."""
    here = {x: 2.0, y: 3.0, w: 5.0}
    for expr in (x * y + w, (x + 1) / y, (x - y) * w, 1 / (w - x), (x - y) / (w - x) - y):
        mid, rad, holds = executed(*written(expr), here)
        assert holds
        assert 0 < rad < 40 * E * (1 + abs(mid))


@pytest.mark.parametrize("expr", [w * w / 3 - w, (w + 1) / (w + 3), (w * w - w / 3) * (w - 1)])
def test_a_missing_rounding_is_seen(expr, monkeypatch):
    centres = {x: 1.0, y: 1.0, w: 0.7}
    value = exact(expr, {w: Fraction(0.7)})
    mid, rad, holds = executed(*written(expr), centres)
    assert holds
    assert 0 < abs(Fraction(mid) - value) <= Fraction(rad)
    monkeypatch.setattr(magnitude_code, "ROUND", 0.0)
    monkeypatch.setattr(magnitude_code, "INVERSE", 0.0)
    mid, rad, _ = executed(*written(expr), centres)
    assert abs(Fraction(mid) - value) > Fraction(rad)


def test_rates_cancel_where_logarithms_do():
    """d log/d log x of x/(1 + x)^2 lies in [-1, 1], and that of 1/(1 + x) in [-1, 0]."""
    _, value = written(x / (1 + x) ** 2)
    assert value.parts == (("e_x", -1.0, 1.0),)
    _, value = written(1 / (1 + x) + y)
    assert value.parts == (("e_x", -1.0, 0.0), ("e_y", 0.0, 1.0))


def test_a_wrong_rate_is_seen(monkeypatch):
    """Without the rates of reciprocals x/y seems to stay where it is when x grows and y falls."""
    at = {x: Fraction(2) * (1 + Fraction(E) / 2), y: Fraction(3) * (1 - Fraction(E) / 2)}
    mid, rad, _ = executed(*written(x / y), {x: 2.0, y: 3.0, w: 1.0})
    assert abs(Fraction(mid) - at[x] / at[y]) <= Fraction(rad)
    monkeypatch.setattr(magnitude_code, "added", lambda a, b: ())
    mid, rad, _ = executed(*written(x / y), {x: 2.0, y: 3.0, w: 1.0})
    assert abs(Fraction(mid) - at[x] / at[y]) > Fraction(rad)


def test_a_difference_near_zero_is_not_divided_by():
    tape, value = written(1 / (x - y))
    assert not executed(tape, value, {x: 1.0, y: 1.0 + 1e-9, w: 1.0})[2]
    assert not executed(tape, value, {x: 1.0, y: 1.0, w: 1.0})[2]
    assert executed(tape, value, {x: 1.0, y: 2.0, w: 1.0})[2]


def test_sizes_that_may_leave_the_range_are_checked():
    expr = (x**10) * y * w
    tape, value = written(expr)
    assert tape.checks
    assert not executed(tape, value, {x: 2.0**50, y: 2.0**50, w: 1.0})[2]
    mid, rad, holds = executed(tape, value, {x: 2.0, y: 3.0, w: 1.0})
    assert holds
    assert abs(mid - 3072) <= rad


def test_zero_stays_zero_and_is_not_divided_by():
    tape = Magnitudes()
    zero, one = Sized("p_x", low=-60, high=60, zero=True), Sized("p_w", low=-60, high=60)
    total = tape.add([tape.product([zero, one]), one])
    assert not total.zero
    assert tape.product([zero, one]).zero
    with pytest.raises(NotSupportedError, match="zero is not excluded"):
        tape.reciprocal(zero)


def test_choices_follow_exact_numbers_alone():
    tape, value = written(Piecewise((w - x, w >= Rational(1, 2)), (w, True)))
    assert executed(tape, value, {x: 0.25, y: 1.0, w: 0.75})[0] == 0.5
    assert executed(tape, value, {x: 0.25, y: 1.0, w: 0.375})[0] == 0.375
    flag, one = written(Piecewise((Integer(0), w >= 2 * y), (Integer(1), True)), wide=(x,))
    assert executed(flag, one, {x: 1.0, y: 1.0, w: 2.0})[0] == 0
    assert executed(flag, one, {x: 1.0, y: 1.0, w: 1.5})[0] == 1
    with pytest.raises(NotSupportedError, match="a choice"):
        written(Piecewise((w, x > w), (y, True)))


@pytest.mark.parametrize("expr", [exp(x), sqrt(x - y), x ** Rational(1, 3)])
def test_what_has_no_rule_is_refused(expr):
    with pytest.raises(NotSupportedError):
        written(expr)


def test_roots_halve_errors():
    tape, value = written(sqrt(x))
    assert value.parts == (("e_x", 0.5, 0.5),)
    mid, rad, _ = executed(tape, value, {x: 2.0, y: 1.0, w: 1.0})
    assert abs(Fraction(mid) ** 2 - 2) <= 4 * Fraction(rad)
    assert rad < E


def test_quantities_of_unknown_sign_have_a_size():
    tape = Magnitudes()
    value = Loose("v", "s", 2.0**-53, True, -60)
    total = tape.add([Sized("p_w", low=-60, high=60), value])
    assert total.covers
    assert tape.negative(value).size == "s"
