"""Normal probabilities on arrays: against balls, at the ends, with broadcasting."""

import math

import numpy as np
import pytest
from flint import arb, ctx

from derive.errors import ShapeError, UnknownNameError
from derive.pairs.bivariate_balls import conditional_ball, density_ball, orthant_ball, owens_ball
from numeric import special
from numeric.special_arrays import ARGUMENTS, special_function

BALLS = {
    "owens_t": owens_ball,
    "bivariate_normal": orthant_ball,
    "conditional_normal": conditional_ball,
    "scaled_density": density_ball,
}


def draws(count=150):
    rng = np.random.default_rng(13)
    h, k = 2 * rng.normal(size=(2, count))
    k = np.where(rng.uniform(size=count) < 0.3, h * (1 + 1e-10), k)
    near = 10.0 ** rng.uniform(-15, -1, count)
    rho = np.select(
        [rng.uniform(size=count) < 0.4, rng.uniform(size=count) < 0.5],
        [rng.uniform(-1, 1, count), 1 - near],
        near - 1,
    )
    return h, k, rho


@pytest.mark.parametrize("name", BALLS)
def test_values_on_arrays_agree_with_balls(name):
    arrays = draws()[: ARGUMENTS[name]]
    found = special_function(name)(*arrays)
    with ctx.workprec(100):
        exact = [
            float(BALLS[name](*map(arb, map(float, x))).mid()) for x in zip(*arrays, strict=True)
        ]
    assert np.abs(found - exact).max() < 4e-16


@pytest.mark.parametrize("name", ARGUMENTS)
def test_values_are_those_of_the_scalar_function_also_in_tails_and_at_the_ends(name):
    ends = [-math.inf, -30.0, -1.0, 0.0, 1.0, 8.0, math.inf]
    grid = np.meshgrid(ends, ends, [-1.0, -0.5, 0.0, 1 - 1e-12, 1.0], indexing="ij")
    arrays = [x.ravel() for x in grid][: ARGUMENTS[name]]
    scalar = [getattr(special, name)(*map(float, x)) for x in zip(*arrays, strict=True)]
    found = special_function(name)(*arrays)
    np.testing.assert_allclose(found, scalar, rtol=1e-12, atol=1e-300)


def test_arguments_broadcast_and_nan_stays_alone():
    found = special_function("bivariate_normal")(np.zeros((3, 1)), [0.0, np.nan], 0.5)
    assert found.shape == (3, 2)
    assert np.allclose(found[:, 0], 1 / 3)
    assert np.isnan(found[:, 1]).all()


def test_wrong_calls_are_named():
    with pytest.raises(UnknownNameError, match="zeta on arrays"):
        special_function("zeta")
    with pytest.raises(ShapeError, match="it takes 2"):
        special_function("owens_t")(1.0)
    with pytest.raises(ShapeError, match="shapes"):
        special_function("owens_t")(np.ones(2), np.ones(3))
