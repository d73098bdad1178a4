"""Learning curves under power laws: the derived exponents and amplitudes against sums over modes.

Tolerances: slopes are fitted between n = 3200 and n = 12800 on 4e5 modes; corrections of relative
order 1/n and the truncation of the spectrum leave less than the stated figures.
"""

import numpy as np
import pytest
from scipy import optimize

from derive.errors import NotSupportedError, RangeError
from derive.readouts.power_laws import Capacity
from derive.symbols import Quantity

MODES = np.arange(1, 400_001, dtype=float)
SIZES = np.array([3200.0, 12800.0])


def spectral_sums(a, r, x):
    """df_1, df_2 and U at effective ridge x."""
    lost = x / (MODES**-a + x)
    kept = 1 - lost
    return kept.sum(), (kept**2).sum(), (MODES ** (-1 - 2 * a * r) * lost**2).sum()


def error(a, r, x, n, noise):
    _, df2, left = spectral_sums(a, r, x)
    return (left + noise) / (1 - df2 / n)


def ridgeless(a, r, n, noise=0.0):
    gap = lambda u: spectral_sums(a, r, np.exp(u))[0] - n  # noqa: E731
    return error(a, r, np.exp(optimize.brentq(gap, -40, 5, xtol=1e-10)), n, noise)


def best(a, r, n, noise):
    value = lambda u: error(a, r, np.exp(u), n, noise)  # noqa: E731
    options = {"xatol": 1e-7}
    low = -a * np.log(n)  # df_2 < n from here on
    found = optimize.minimize_scalar(value, bounds=(low, 2), method="bounded", options=options)
    return found.fun - noise


def slope(values):
    return np.log(values[1] / values[0]) / np.log(SIZES[1] / SIZES[0])


@pytest.mark.parametrize(("a", "r"), [("2", "1/2"), ("2", "3/10"), ("2", "3/2")])
def test_noiseless_curves_follow_the_law(a, r):
    declared = Capacity.of(a, r)
    law, numbers = declared.noiseless(), (float(declared.a), float(declared.r))
    values = np.array([ridgeless(*numbers, n) for n in SIZES])
    assert slope(values) == pytest.approx(float(law.exponent), rel=0.02)
    assert law(SIZES[-1]) == pytest.approx(values[-1], rel=0.05)


@pytest.mark.parametrize(("a", "r"), [("2", "1/2"), ("3/2", "3/10"), ("2", "3/2")])
def test_the_best_ridge_on_noisy_data_follows_the_law(a, r):
    declared = Capacity.of(a, r)
    law = declared.best_ridge(1)
    values = np.array([best(float(declared.a), float(declared.r), n, 1.0) for n in SIZES])
    assert slope(values) == pytest.approx(float(law.exponent), rel=0.05)
    assert law(SIZES[-1]) == pytest.approx(values[-1], rel=0.15)


def test_without_ridge_noise_leaves_its_floor():
    found = ridgeless(2.0, 0.5, 3200, noise=1.0) - ridgeless(2.0, 0.5, 3200) - 1
    assert found == pytest.approx(float(Capacity.of(2, "1/2").noise_floor()), rel=0.01)


def test_a_wrong_exponent_would_be_seen():
    values = np.array([ridgeless(2.0, 0.5, n) for n in SIZES])
    unsaturated = Capacity.of(2, "1/2").noiseless().exponent * 1.05
    assert slope(values) != pytest.approx(float(unsaturated), rel=0.02)


def test_laws_print_with_their_log():
    law = Capacity.of(2, "1/2").noiseless()
    assert law.latex().endswith("n^{-2}")
    assert "close without ridge" in str(law.log)
    assert "minimise in x" in str(Capacity.of(2, "1/2").best_ridge(1).log)
    sigma = Quantity("noise", low=0, open_low=True)
    assert sigma in Capacity.of(2, "1/2").best_ridge(sigma).amplitude.free_symbols


@pytest.mark.parametrize(
    ("a", "r", "error_type", "message"),
    [
        (1, 1, RangeError, "capacity a = 1: the spectrum has no trace"),
        (2, 0, RangeError, "source r = 0"),
        (2, 1, NotSupportedError, "a logarithm multiplies the power"),
    ],
)
def test_exponents_that_cannot_be_are_refused(a, r, error_type, message):
    with pytest.raises(error_type, match=message):
        Capacity(a, r)


def test_the_best_ridge_needs_noise():
    with pytest.raises(RangeError, match="use noiseless"):
        Capacity.of(2, "1/2").best_ridge(0)
