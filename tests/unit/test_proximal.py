"""Proximal maps: closed forms, their derivatives, and the compiled maps at extreme strengths."""

import mpmath
import numpy as np
import pytest
from sympy import LambertW, Rational, diff, lambdify

from derive.errors import NoRuleError, RangeError
from derive.losses import Loss
from derive.readouts.proximal import V, omega
from derive.symbols import z
from numeric.proximal_map import proximal_map

CLOSED = (
    ("ridge", 0),
    ("lad", 0),
    ("huber", 0),
    ("hinge", 1),
    ("hinge", -1),
    ("squared hinge", 1),
    ("exponential", 1),
    ("abs(y - z)**3", 0),
    ("max(abs(y - z) - 0.1, 0)", 0),
    ("where(y > z, 0.9*(y - z), 0.1*(z - y))", 0),
)
STRENGTHS = (1e-6, 1e-3, 0.5, 10.0, 1e3, 1e6)
ARGUMENTS = (-1e4, -300.0, -12.3, -1.0, -1e-3, 0.0, 1e-8, 0.7, 5.0, 40.0, 2e3)


@pytest.mark.parametrize(("name", "label"), CLOSED)
def test_closed_maps_minimise_their_objective(name, label):
    loss = Loss(name)
    proximal = loss.proximal(label)
    assert proximal.closed
    for w in (-3, Rational(-1, 7), Rational(2, 5), 1, Rational(5, 2)):
        for strength in (Rational(1, 3), 2):
            point = {omega: w, V: strength}
            best = proximal.expr().subs(point).evalf(30)
            height = loss.at(label)
            values = [
                ((place - w) ** 2 / (2 * strength) + height.subs(z, place)).evalf(30)
                for place in (best - Rational(1, 10**6), best, best + Rational(1, 10**6))
            ]
            assert values[1] <= min(values[0], values[2])


@pytest.mark.parametrize(("name", "label"), CLOSED)
def test_derivatives_of_closed_maps_agree_with_differences(name, label):
    proximal = Loss(name).proximal(label)
    value, slope = (
        lambdify((omega, V), f(), "mpmath") for f in (proximal.expr, proximal.derivative)
    )
    with mpmath.workdps(30):
        h = mpmath.mpf("1e-12")
        for w in map(mpmath.mpf, (-2.71, -0.53, 0.04, 0.83, 3.3)):
            difference = (value(w + h, mpmath.mpf(0.37)) - value(w - h, mpmath.mpf(0.37))) / (2 * h)
            assert abs(difference - slope(w, mpmath.mpf(0.37))) < 1e-10


def test_the_exponential_loss_is_solved_by_lamberts_function():
    assert Loss("exponential").proximal(1).expr().has(LambertW)


def test_a_map_without_closed_form_says_why():
    proximal = Loss("logistic").proximal(1)
    with pytest.raises(NoRuleError, match="transcendental"):
        proximal.expr()
    assert "implicit" in str(proximal.log)


def test_maps_print_as_latex_with_their_cases():
    text = Loss("hinge").proximal(1).latex()
    assert r"\begin{cases}" in text
    assert r"1 - V \leq \omega < 1" in text
    assert ":" in Loss("logistic").proximal(1).latex()


def test_the_log_puts_solutions_back():
    assert "put back into z + V h'(z) = omega: 0 = 0" in str(Loss("ridge").proximal(0).log)


@pytest.mark.parametrize(
    ("name", "label"),
    [("logistic", 1), ("log(cosh(y - z))", 0), ("abs(y - z)**3", 0), ("abs(y - z)**(3/2)", 0)],
)
def test_compiled_maps_hold_their_digits_from_weak_to_strong(name, label):
    """The root of the exact condition lies within 1e-15 of max(|omega|, |z|) of the answer."""
    loss = Loss(name)
    slope = lambdify(z, diff(loss.at(label), z), "mpmath")
    for strength in STRENGTHS:
        for w, found in zip(ARGUMENTS, proximal_map(loss, ARGUMENTS, strength, label), strict=True):
            with mpmath.workdps(40):
                gap = mpmath.mpf(1e-15) * max(abs(found), abs(w), 1e-300)
                sides = [
                    place - mpmath.mpf(w) + mpmath.mpf(strength) * slope(place)
                    for place in (mpmath.mpf(found) - gap, mpmath.mpf(found) + gap)
                ]
                assert sides[0] <= 0 <= sides[1]


def test_compiled_kinks_agree_with_closed_forms():
    loss = Loss("hinge")
    closed = lambdify((omega, V), loss.proximal(1).expr())
    for strength in STRENGTHS:
        expected = [closed(w, strength) for w in ARGUMENTS]
        np.testing.assert_allclose(proximal_map(loss, ARGUMENTS, strength), expected, rtol=1e-15)


def test_labels_mirror_margin_losses_and_shift_residual_losses():
    w = np.array([-2.0, 0.3, 1.7])
    np.testing.assert_array_equal(
        proximal_map(Loss("hinge"), w, 0.4, -1), -proximal_map(Loss("hinge"), -w, 0.4, 1)
    )
    np.testing.assert_allclose(
        proximal_map(Loss("lad"), w, 0.4, 2.5), 2.5 + proximal_map(Loss("lad"), w - 2.5, 0.4, 0)
    )


@pytest.mark.parametrize(
    ("V_", "label", "text"), [(0.0, 1, "V = 0.0"), (np.nan, 1, "V = nan"), (1.0, 0.5, "label 0.5")]
)
def test_bad_arguments_are_refused(V_, label, text):
    with pytest.raises(RangeError, match=text):
        proximal_map(Loss("hinge"), 0.0, V_, label)
