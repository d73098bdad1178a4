"""Normal probabilities in machine numbers: against balls, at infinity, compiled."""

import math
from itertools import pairwise

import numba
import numpy as np
import pytest
from flint import arb, ctx

from derive.pairs.bivariate_balls import conditional_ball, density_ball, orthant_ball, owens_ball
from numeric import special

INFINITE = (-math.inf, -1.0, 0.0, 1.0, math.inf)


@pytest.fixture(scope="module")
def compiled():
    """The functions compiled by Numba, each seeing the compiled ones that it calls."""
    space = {"math": math, **{k: v for k, v in vars(special).items() if k[:1] == "_"}}
    for function in special.FUNCTIONS:
        code = type(function)(function.__code__, space, function.__name__)
        space[function.__name__] = numba.njit(code)
    return space


def exact(ball, arguments):
    with ctx.workprec(100):
        return float(ball(*(arb(x) for x in arguments)).mid())


def correlations(rng):
    near = 10 ** rng.uniform(-15, -1)
    return float(rng.choice([rng.uniform(-1, 1), 1 - near, near - 1, near]))


def draws(seed, spread, count=120):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        h = float(rng.normal() * spread)
        k = float(rng.choice([rng.normal() * spread, h * (1 + 1e-10), h, -h]))
        yield h, k, correlations(rng)


@pytest.mark.parametrize("spread", [2.0, 1e-3, 6.0])
def test_bivariate_normal_is_within_three_units_of_1e_16(spread):
    worst = max(
        abs(special.bivariate_normal(*x) - exact(orthant_ball, x)) for x in draws(1, spread)
    )
    assert worst < 3e-16


def test_bivariate_normal_keeps_relative_digits_in_the_tail():
    rng = np.random.default_rng(2)
    for _ in range(150):
        x = (-rng.uniform(0, 20), -rng.uniform(0, 20), rng.uniform(-0.5, 1))
        value, witness = special.bivariate_normal(*x), exact(orthant_ball, x)
        assert abs(value / witness - 1) < 2e-15 * (1 - math.log(witness))


def test_owens_t_is_within_1e_16():
    rng = np.random.default_rng(3)
    for _ in range(300):
        x = (float(rng.normal() * 3), float(rng.choice([rng.normal(), 10 ** rng.uniform(-6, 6)])))
        value, witness = special.owens_t(*x), exact(owens_ball, x)
        assert abs(value - witness) < 1e-16
        assert abs(value - witness) < 2e-15 * (1 + x[0] ** 2) * abs(witness)


def test_conditional_normal_and_density_agree_with_balls():
    for x in draws(4, 2.0):
        assert abs(special.conditional_normal(*x) - exact(conditional_ball, x)) < 3e-16
        assert abs(special.scaled_density(*x) - exact(density_ball, x)) < 1e-16


@pytest.mark.parametrize("h", INFINITE)
@pytest.mark.parametrize("k", INFINITE)
@pytest.mark.parametrize("rho", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_no_value_is_nan_at_the_ends_of_the_range(h, k, rho):
    assert 0 <= special.bivariate_normal(h, k, rho) <= 1
    assert 0 <= special.conditional_normal(h, k, rho) <= 1
    assert 0 <= special.scaled_density(h, k, rho) <= 1
    assert abs(special.owens_t(h, k)) <= 0.25


def test_the_exact_diagonal_is_the_law_of_one_normal():
    assert special.bivariate_normal(0.3, 0.7, 1.0) == special.normal_cdf(0.3)
    assert special.bivariate_normal(0.3, -0.3, -1.0) == 0.0
    assert special.bivariate_normal(0.0, 0.0, -1.0) == 0.0
    assert special.conditional_normal(0.3, 0.3, 1.0) == 0.5
    assert special.conditional_normal(0.3, 0.4, 1.0) == 0.0


def test_probability_increases_towards_the_diagonal():
    values = [special.bivariate_normal(0.2, 0.3, 1 - 10.0**-n) for n in range(1, 16)]
    assert all(x <= y + 1e-16 for x, y in pairwise(values))
    assert values[-1] == pytest.approx(special.normal_cdf(0.2), abs=1e-15)


@pytest.mark.parametrize("name", ["bivariate_normal", "conditional_normal", "scaled_density"])
def test_compiled_code_returns_the_same_numbers(compiled, name):
    for x in draws(5, 2.0, count=50):
        assert compiled[name](*x) == pytest.approx(getattr(special, name)(*x), rel=1e-13, abs=1e-16)


def test_compiled_owens_t_returns_the_same_number(compiled):
    assert compiled["owens_t"](0.3, 7.0) == pytest.approx(special.owens_t(0.3, 7.0), rel=1e-14)


@pytest.mark.parametrize("name", ["bivariate_normal", "conditional_normal", "scaled_density"])
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("rho", [-1.0, 0.0, 0.5, 1.0])
def test_nan_comes_out_where_it_goes_in(name, place, rho):
    arguments = [0.0, 0.0, rho]
    arguments[place] = math.nan
    assert math.isnan(getattr(special, name)(*arguments))
