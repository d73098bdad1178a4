"""References: digits by hand, limits, text in, text out, refusals."""

import mpmath
import pytest
from sympy import Rational, sqrt

from derive.errors import RangeError, ShapeError, UnknownNameError
from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System
from derive.theory.deep_features import deep_features
from numeric.reference import reference

lam = control("lam", "ridge", low=0)
x = Quantity("x", "first", low=0, open_low=True)
y = Quantity("y", "second", low=0, open_low=True)
GOLDEN = System(
    name="golden",
    controls=(lam,),
    unknowns=(x, y),
    equations=(Equation(y, x + 1), Equation(lam, x * y)),
    outputs={"m": 1 / y},
    conditions=(Condition(x, "x is positive"),),
    start=Start((), sqrt(lam), "above"),
)
RIDGE = deep_features([]).system()


@pytest.mark.parametrize("digits", [5, 30, 100])
def test_digits_asked_for_are_right(digits):
    found = reference(GOLDEN, digits, lam=1)
    with mpmath.workdps(digits + 20):
        exact = (mpmath.sqrt(5) - 1) / 2  # x (x + 1) = 1, and m = 1/(1 + x) = x
        assert abs(found["x"] / exact - 1) < mpmath.mpf(10) ** (1 - digits)
        assert abs(found["m"] / exact - 1) < mpmath.mpf(10) ** (1 - digits)
        slope = -1 / ((2 * exact + 1) * (1 + exact) ** 2)
        assert abs(found["dm_dlam"] / slope - 1) < mpmath.mpf(10) ** (1 - digits)


def test_numbers_are_read_as_they_are_written():
    ways = [reference(GOLDEN, 30, lam=v)["x"] for v in (0.1, "0.1", "1/10", Rational(1, 10))]
    with mpmath.workdps(40):
        exact = (mpmath.sqrt(mpmath.mpf(7) / 5) - 1) / 2
        assert all(abs(value / exact - 1) < 1e-29 for value in ways)


def test_limits_at_a_vanishing_ridge_by_hand():
    below = reference(RIDGE, 25, alpha="1/2", lam=0, noise="0.3")
    with mpmath.workdps(30):
        assert abs(below["E_test"] - mpmath.mpf("1.1")) < mpmath.mpf(10) ** -24  # 1/2 + .3/(1/2)
    assert below["E_train"] == 0
    above = reference(RIDGE, 25, alpha=2, lam=0, noise="0.3")
    with mpmath.workdps(30):
        assert abs(above["E_test"] - mpmath.mpf("0.6")) < mpmath.mpf(10) ** -24
    assert above["m"] == mpmath.inf


@pytest.mark.parametrize("alpha", ["0.5", "2", "4"])
def test_limits_of_networks_at_a_vanishing_ridge_agree_with_their_expansions(alpha):
    model = deep_features(["erf"])
    found = reference(model, 30, alpha=alpha, gamma=(1,), lam=0, noise="0.1")
    given = {"alpha": alpha, "gamma": (1,), "noise": "0.1"}
    for output in ("E_test", "E_train"):
        limit = model.system().expand(output, values=given, terms=1)
        exponent, ball = limit.leading
        expected = mpmath.mpf(ball.str(18)) if exponent == 0 else mpmath.mpf(0)
        assert abs(found[output] - expected) <= mpmath.mpf(10) ** -15


PEAKS = [(["tanh"], {"gamma": (1,)}), (["z"], {"gamma": (2,)}), ([], {})]


@pytest.mark.parametrize(("layers", "widths"), PEAKS)
def test_the_interpolation_peak_without_ridge_is_infinite(layers, widths):
    found = reference(deep_features(layers), 20, alpha=1, lam=0, noise="0.1", **widths)
    assert found["E_test"] == mpmath.inf
    assert found["E_train"] == 0


def test_values_are_items_and_attributes():
    found = reference(GOLDEN, 20, lam=2)
    assert found.x == found["x"]
    assert abs(found.x - 1) < 1e-19
    assert found.controls["lam"] == 2
    with pytest.raises(AttributeError, match="this reference holds m"):
        found.nothing


def test_print_shows_the_digits():
    assert "Reference(12 digits)" in repr(reference(GOLDEN, 12, lam=2))


@pytest.mark.parametrize("digits", [0, 4, 1001])
def test_digits_outside_the_range_are_refused(digits):
    with pytest.raises(RangeError, match="outside 5 to 1000"):
        reference(GOLDEN, digits, lam=1)


@pytest.mark.parametrize("value", [-1, "nan", float("nan"), float("inf"), "x"])
def test_controls_that_are_no_ridge_are_refused(value):
    with pytest.raises(RangeError):
        reference(GOLDEN, 10, lam=value)


def test_names_and_lengths_are_checked():
    with pytest.raises(UnknownNameError, match="lam missing"):
        reference(GOLDEN, 10)
    with pytest.raises(UnknownNameError, match="control 'beta'"):
        reference(GOLDEN, 10, lam=1, beta=1)
    with pytest.raises(UnknownNameError, match="this reference holds m"):
        reference(GOLDEN, 10, lam=1).text("E_tset")
    with pytest.raises(ShapeError, match=r"lam = \[1, 2\]: a list, where one point is solved"):
        reference(GOLDEN, 10, lam=[1, 2])
    with pytest.raises(ShapeError, match="give 1 values"):
        reference(deep_features(["erf"]), 10, alpha=1, gamma=(1, 2), lam=1, noise=0)
