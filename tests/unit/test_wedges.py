"""Wedges of two normals: against adaptive integrals, at inexact arguments, far in the tail."""

import itertools
import random

import mpmath
import pytest
from flint import acb, arb, ctx

from derive.pairs.bivariate_balls import orthant_ball, owens_ball
from derive.pairs.wedges import corner, owens_small, wedge

SIZES = (1e-9, 1e-3, 0.4, 1.0, 3.0, 12.0, 70.0)


@pytest.fixture(autouse=True)
def precision():
    with ctx.workprec(128):
        yield


def owens_integral(h, a):
    half = acb(h * h / 2)
    found = acb.integral(lambda x, _: (-half * (1 + x * x)).exp() / (1 + x * x), 0, a)
    return found.real / (2 * arb.pi())


@pytest.mark.parametrize("h", SIZES[:5])
@pytest.mark.parametrize("a", [1e-8, 0.1, 0.7, 1.0])
def test_owens_function_agrees_with_an_adaptive_integral(h, a):
    found, witness = owens_small(arb(h), arb(a)), owens_integral(arb(h), arb(a))
    assert found.overlaps(witness)
    assert found.rad() < found * arb(2) ** -110


@pytest.mark.parametrize(("h", "b"), [*itertools.product(SIZES[1:6], (-3.0, -0.5, 1e-6, 0.9, 5.0))])
def test_wedges_agree_with_owens_function_of_mpmath(h, b):
    with mpmath.workdps(40):
        density = lambda x: mpmath.exp(-h * h * x * x / 2) / (1 + x * x)  # noqa: E731
        slope, steps = mpmath.mpf(b) / h, [mpmath.mpf(s) / h for s in (0.3, 1, 2, 4, 8, 16)]
        ends = [
            slope,
            *(slope + s for s in steps),
            *([0] if b < 0 else []),
            *([1] if b < h else []),
        ]
        top = max(slope, 0) + 40 / mpmath.mpf(h)
        ends = [*sorted(e for e in set(ends) if e < top), top]
        true = mpmath.exp(-(mpmath.mpf(h) ** 2) / 2) * mpmath.quad(density, ends) / (2 * mpmath.pi)
        found = wedge(arb(h), arb(b))
        middle = mpmath.mpf(found.mid().str(40, radius=False))
        assert abs(middle / true - 1) < 1e-13
    assert found.rad() < abs(found) * arb(2) ** -100


def test_a_ball_of_arguments_holds_the_values_inside():
    draw = random.Random(5)
    for _ in range(40):
        h, k, rho = abs(draw.gauss(0, 2)), abs(draw.gauss(0, 2)), draw.uniform(-0.9, 0.99)
        wide = corner(arb(h, 1e-9), arb(k, 1e-9), arb(rho, 1e-9))
        for shift in (-9e-10, 0.0, 9e-10):
            assert wide.contains(orthant_ball(arb(-h - shift), arb(-k + shift), arb(rho + shift)))
        assert wide.rad() < 1e-7


def test_tails_keep_relative_digits():
    found = corner(arb(40), arb(45), arb(0.3))
    assert found > 0
    assert found.rad() < found * arb(2) ** -90


def test_cancelling_wedges_give_way_to_an_integral_of_positive_terms():
    found = orthant_ball(arb(-3), arb(2.5), arb(-0.999))
    assert 0 < found < 1e-17
    assert found.rad() < found * arb(2) ** -100


def test_a_planted_error_is_outside():
    assert not owens_small(arb(1), arb(0.5)).contains(owens_ball(arb(1), arb(0.5) + arb(2) ** -100))
