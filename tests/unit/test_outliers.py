"""Outliers in numbers: places, gaps and overlaps against closed forms and sampled matrices."""

import numpy as np
import pytest

from derive.errors import NotConvergedError, NotSupportedError, RangeError, UnknownNameError
from derive.matrices import dims, gaussian, outer, vector, wigner
from derive.spikes import outliers
from derive.symbols import control
from numeric.experiments.outliers import sample_outliers
from numeric.outliers import find_outliers, outlier_evaluator, summary

n, d = dims("n d")
theta, eta, z = control("theta", positive=True), control("eta", positive=True), control("z")
X, S = gaussian("X", d, n, 1 / n), wigner("S", d, 1 / d)
M = X + theta * outer(vector("u", d), vector("v", n))
NOISY = outliers(M * M.T, z)
PAIR = outliers(S + theta * outer(vector("u", d)) - eta * outer(vector("t", d)), z)


@pytest.fixture(scope="module")
def noisy():
    return outlier_evaluator(NOISY)


@pytest.fixture(scope="module")
def pair():
    return outlier_evaluator(PAIR)


def test_one_outlier_on_each_side_of_a_wigner_bulk(pair):
    found = find_outliers(PAIR, evaluator=pair, theta=2, eta=4)
    assert np.allclose(found.places, [-4.25, 2.5], rtol=0, atol=1e-13)
    assert np.allclose([found.gaps[0][1], found.gaps[1][0]], [-2, 2], rtol=0, atol=1e-12)
    overlaps = [o.overlaps for o in found.outliers]
    assert abs(overlaps[0]["t"] - 15 / 16) < 1e-13
    assert abs(overlaps[1]["u"] - 3 / 4) < 1e-13
    assert all(o.proved for o in found.outliers)


def test_a_spike_below_its_threshold_makes_no_outlier_and_one_just_above_does(pair):
    below = find_outliers(PAIR, evaluator=pair, theta=0.99, eta=0.5)
    assert below.outliers == ()
    assert summary(below) == "no outlier"
    above = find_outliers(PAIR, evaluator=pair, theta=1.001, eta=0.5)
    assert np.allclose(above.places, [1.001 + 1 / 1.001], rtol=0, atol=1e-12)


def test_the_error_of_a_place_holds_the_exact_place(noisy):
    found = find_outliers(NOISY, evaluator=noisy, theta=1.5, n=2, d=1)
    exact = (1 + 1.5**2) * (0.5 + 1.5**2) / 1.5**2
    assert abs(found.places[0] - exact) <= found.outliers[0].error < 1e-12
    assert "group 1; u: 0.73737" in summary(found)


def test_what_cannot_be_searched_is_refused(noisy):
    with pytest.raises(UnknownNameError, match="control z: it is the unknown here"):
        find_outliers(NOISY, evaluator=noisy, theta=1, n=2, d=1, z=3)
    with pytest.raises(RangeError, match=r"search on \[3, 2\]: an empty interval"):
        find_outliers(NOISY, evaluator=noisy, theta=1, n=2, d=1, low=3, high=2)
    with pytest.raises(NotConvergedError, match="no point of the search is off the bulk"):
        find_outliers(NOISY, evaluator=noisy, theta=1, n=2, d=1, low=0.5, high=2)
    with pytest.raises(RangeError, match="sample of outliers: no places"):
        sample_outliers(NOISY, [], {"n": 2, "d": 1, "theta": 1})
    with pytest.raises(NotSupportedError, match="outliers of a int: no Outliers"):
        find_outliers(3)


@pytest.mark.simulation
def test_sampled_outliers_and_overlaps_agree_and_a_theory_off_by_four_percent_is_rejected(noisy):
    found = find_outliers(NOISY, evaluator=noisy, theta=1.5, n=2, d=1)
    sampled = sample_outliers(
        NOISY, found.places, {"n": 1000, "d": 500, "theta": 1.5}, seed=5, trials=16
    )
    theory = {"place_0": found.places[0], "overlap_u_0": found.outliers[0].overlaps["u"]}
    limit = 4.1  # Student t at 15 degrees of freedom, level 1e-3
    for name, value in theory.items():
        error = limit * sampled.stderr(name) + value / 500  # 1/N: the distance to the limit
        deviation = sampled.mean(name) - value
        assert abs(deviation) < error
        assert abs(deviation + 0.04 * value) > error
        assert abs(deviation - 0.04 * value) > error
