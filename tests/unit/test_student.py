"""Extrapolation, quantiles and power against computations that share no code."""

import math

import mpmath
import numpy as np
import pytest

from numeric.student import detectable, extrapolate, satterthwaite, two_sided_limit

D = np.array([100.0, 200.0, 400.0])


def test_intercept_equals_weighted_least_squares_by_lstsq():
    rng = np.random.default_rng(0)
    mean, count = rng.standard_normal(3), np.array([10.0, 20.0, 5.0])
    fit = extrapolate(D, mean, np.ones(3), count)
    root = np.sqrt(count) * D
    design = np.stack([np.ones(3), 1 / D], axis=1) * root[:, None]
    (intercept, slope), *_ = np.linalg.lstsq(design, mean * root)
    assert float(fit.value) == pytest.approx(intercept, rel=1e-10)
    assert float(fit.slope) == pytest.approx(slope, rel=1e-10)


def test_standard_error_of_two_sizes_is_that_of_twice_minus_once():
    # For d and 2d the intercept is 2 m(2d) - m(d).
    fit = extrapolate(D[:2], np.array([3.0, 2.5]), np.array([0.3, 0.1]), np.full(2, 9.0))
    assert float(fit.value) == pytest.approx(2.0)
    assert float(fit.stderr) == pytest.approx(math.hypot(0.3, 0.2))
    assert float(fit.curvature) == pytest.approx(-1 / (100 * 200))


def test_curvature_is_the_response_to_a_quadratic_term():
    fit = extrapolate(D, 7 + 5 / D**2, np.ones(3), np.full(3, 4.0))
    assert float(fit.value) - 7 == pytest.approx(5 * float(fit.curvature), rel=1e-9)


def test_fewer_than_two_sizes_give_no_intercept():
    count = np.array([[5.0, 5.0], [1.0, 5.0], [0.0, 5.0]])
    mean = np.where(count > 0, 1.0, np.nan)
    fit = extrapolate(D, mean, np.where(count > 1, 0.1, np.nan), count)
    assert np.isnan(fit.value).tolist() == [True, False]
    assert np.isnan(fit.stderr).tolist() == [True, False]


def test_degrees_of_freedom_are_those_of_the_dominating_term_or_the_sum():
    nine = np.array([9.0, 9.0])
    assert float(satterthwaite(np.array([1.0, 0.0]), nine)) == pytest.approx(9)
    assert float(satterthwaite(np.array([1.0, 1.0]), nine)) == pytest.approx(18)


def test_limit_is_a_student_quantile():
    # P(|t| > x) by integrating the density in mpmath.
    limit = float(two_sided_limit(1e-4, np.array(7.0)))
    norm = mpmath.gamma(4) / (mpmath.sqrt(7 * mpmath.pi) * mpmath.gamma("3.5"))
    tail = 2 * mpmath.quad(lambda t: norm * (1 + t * t / 7) ** -4, [limit, 100, mpmath.inf])
    assert float(tail) == pytest.approx(1e-4, rel=1e-8)


@pytest.mark.parametrize(("limit", "dof"), [(4.9, 19.0), (6.0, 8.0), (4.5, 60.0)])
def test_detectable_shift_is_detected_with_power_98(limit, dof):
    shift = float(detectable(np.array(limit), np.array(dof)))
    rng = np.random.default_rng(6)
    t = (shift + rng.standard_normal(200_000)) / np.sqrt(rng.chisquare(dof, 200_000) / dof)
    assert (t > limit).mean() == pytest.approx(0.98, abs=0.0015)  # 3.5 deviations are 0.0011
