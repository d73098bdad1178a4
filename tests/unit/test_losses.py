"""Losses: convexity is proved or refuted with a point, labels are checked, forms are found."""

import pytest
import sympy
from sympy import Abs, Rational, exp, log

from derive.errors import (
    DeriveError,
    NotConvexError,
    NotSupportedError,
    ParseError,
    RangeError,
    UnknownNameError,
)
from derive.losses import Loss, y
from derive.normal.intervals import Interval
from derive.readouts.convexity import convexity, nonnegative, smooth_pieces
from derive.symbols import z

NAMED = ("ridge", "lad", "logistic", "hinge", "squared hinge", "exponential", "huber")


@pytest.mark.parametrize("name", NAMED)
def test_named_losses_are_proved_convex(name):
    assert Loss(name).convexity.proved


@pytest.mark.parametrize(
    "text",
    [
        "log(cosh(y - z))",
        "sqrt(1 + (y - z)**2) - 1",
        "abs(y - z)**3",
        "(y - z)**4/4 + (y - z)**2/100",
        "where(y > z, 0.9*(y - z), 0.1*(z - y))",
        "log(1 + exp(y - z)) + log(1 + exp(z - y))",
        "max(abs(y - z) - 0.1, 0)",
    ],
)
def test_written_residual_losses_are_proved_convex(text):
    loss = Loss(text)
    assert loss.form == "residual"
    assert loss.convexity.proved


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("cos(z) + y*z", -1.6, 1.6),
        ("(z - 3.3)**4 - (z - 3.3)**2/1000 + y*z", 3.28, 3.32),  # concave on an interval of .03
        ("-abs(y - z)", -1e-9, 1e-9),
        ("min(abs(y - z), 1)", -1.0, 1.0),
        ("exp(-(y - z)**2)*(-1)", -100, 100),
        ("where(z > 2, 2 + (z - 2)/2, z) + 0*y", 2.0, 2.0),
    ],
)
def test_losses_that_are_not_convex_are_refused_at_a_point(text, low, high):
    with pytest.raises(NotConvexError, match="not convex") as caught:
        Loss(text)
    assert low <= caught.value.point <= high


def test_the_point_of_refusal_has_a_negative_second_derivative():
    with pytest.raises(NotConvexError) as caught:
        Loss("(z - 3.3)**4 - (z - 3.3)**2/1000 + y*z")
    curvature = sympy.diff((z - Rational(33, 10)) ** 4 - (z - Rational(33, 10)) ** 2 / 1000, z, 2)
    assert curvature.subs(z, Rational(caught.value.point)) < 0


def test_what_no_rule_decides_is_said_to_be_sampled():
    loss = Loss("z**2/2 + exp(-z**2)/4 + 0*y - y*z")
    assert not loss.convexity.proved
    assert "not proved" in loss.convexity.reason


def test_a_nearly_convex_sum_of_sines_is_refused():
    with pytest.raises(NotConvexError):
        Loss("z**2/2 + 1.001*cos(z) - y*z")


def test_forms_tell_residual_margin_and_free_losses_apart():
    found = [Loss(t).form for t in ("ridge", "hinge", "exp(z) - y*z", "(2 + y)*log(1+exp(-y*z))")]
    assert found == ["residual", "margin", "free", "free"]


def test_symbols_of_the_user_are_taken_by_name():
    own_y, own_z = sympy.symbols("y z")
    assert Loss((own_y - own_z) ** 2 / 2).expr == (y - z) ** 2 / 2


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: Loss("hing"), UnknownNameError, "hinge"),
        (lambda: Loss("(y - w)**2"), UnknownNameError, "unknown name w"),
        (lambda: Loss(sympy.Symbol("w") ** 2 + z), ParseError, "it holds w"),
        (lambda: Loss("y**2"), NotSupportedError, "does not depend on z"),
        (lambda: Loss("huber", width=-1), RangeError, "width = -1"),
        (lambda: Loss("ridge", labels="ternary"), UnknownNameError, "ternary"),
        (lambda: Loss("-log(z) + y*z"), RangeError, "finite real loss"),
        (lambda: Loss("where(z > 0, z + 1, -z) + 0*y"), RangeError, "jumps at z = 0"),
        (lambda: Loss("__import__('os')"), DeriveError, "__import__"),
    ],
)
def test_bad_declarations_are_refused_with_what_is_wrong(build, error, text):
    with pytest.raises(error, match=text):
        build()


def test_labels_outside_the_range_are_named_with_value_and_place():
    with pytest.raises(RangeError, match=r"label 0\.5 at place 1 is not -1 or 1"):
        Loss("logistic").check_labels([1, 0.5])
    with pytest.raises(RangeError, match="label nan at place 0 is not a finite number"):
        Loss("ridge").check_labels([float("nan")])
    Loss("ridge").check_labels([0.5, -3])


def test_smooth_pieces_join_equal_neighbours():
    pieces = smooth_pieces(Loss("huber").at(sympy.Integer(0)), z)
    assert [(p.low, p.high) for p, _ in pieces] == [(-sympy.oo, -1), (-1, 1), (1, sympy.oo)]


def test_proofs_use_exact_rules():
    line = Interval()
    assert "exponential" in nonnegative(sympy.diff(log(1 + exp(3 * z)), z, 2), z, line)
    assert "roots" in nonnegative(z**2 - z + 1, z, line)
    assert nonnegative(z**2 - 3 * z + 1, z, line) == ""
    assert nonnegative(z**2 - 3 * z + 2, z, Interval(sympy.Integer(2), sympy.oo))


def test_convexity_across_a_kink_compares_slopes():
    assert convexity(Abs(z) + z**2, z, "test").proved
    with pytest.raises(NotConvexError, match="slope falls by 1 at z = 1"):
        convexity(sympy.Piecewise((2 * z, z < 1), (z + 1, True)), z, "test")


def test_losses_print_as_latex_and_text():
    assert Loss("hinge").latex().startswith(r"\ell(y, z) = \max")
    assert "convex: proved" in repr(Loss("hinge"))
    assert "convex in z" in str(Loss("hinge").log)
