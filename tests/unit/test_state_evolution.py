"""State evolution: ridge in closed form, identities, hard regimes, honest statuses, bad input."""

import numpy as np
import pytest
from scipy.optimize import brentq

from derive.channels import ConvexReadout, Linear, Sign
from derive.errors import NotSupportedError, RangeError, ShapeError
from derive.losses import Loss
from numeric.solution import Status
from numeric.spectral_functions import Modes
from numeric.state_evolution import state_evolution

ONE = Modes(np.ones(1), np.ones(1), np.ones(1))
K = np.arange(1, 101.0)
POWER = Modes(1 / K, np.full(100, 0.01), K**-1.2 / 200, misfit=0.1)
LOGISTIC = ConvexReadout(Loss("logistic"), Sign())


def direct_ridge(spectrum, ratio, lam, noise):
    """Effective ridge by bisection on lam = x (r - df1), then the errors in closed form."""

    def rest(log_x):
        return np.exp(log_x) * (ratio - float(spectrum(np.exp(log_x)).df1)) - lam

    x = np.exp(brentq(rest, -70, 30, xtol=1e-15, rtol=1e-15))
    sums = spectrum(x)
    test = float((noise + sums.unexplained) / (1 - sums.df2 / ratio))
    return test, (lam / (ratio * x)) ** 2 * test


@pytest.mark.parametrize("ratio", [0.3, 0.9, 1.0, 1.1, 5.0])
@pytest.mark.parametrize("lam", [1e4, 1.0, 1e-4, 1e-8])
def test_the_square_loss_reproduces_ridge(ratio, lam):
    model = ConvexReadout(Loss("ridge"), Linear(noise=0.3))
    curve = state_evolution(model, POWER, ratio=ratio, lam=lam).check()
    test, train = direct_ridge(POWER, ratio, lam, 0.3)
    assert float(curve.E_test) == pytest.approx(test, rel=1e-11)
    assert float(curve.E_train) == pytest.approx(train, rel=1e-11)
    assert float(curve.E_gen) == pytest.approx(test - 0.3, rel=1e-10)
    assert float(curve.loss_train) == pytest.approx(train / 2, rel=1e-11)


def test_reported_errors_cover_the_difference_to_ridge():
    model = ConvexReadout(Loss("ridge"), Linear(noise=0.3))
    curve = state_evolution(model, POWER, ratio=1.0, lam=1e-8)
    test, _ = direct_ridge(POWER, 1.0, 1e-8, 0.3)
    assert abs(float(curve.E_test) - test) < 20 * float(curve.error["E_test"])
    assert float(curve.error["E_test"]) < 1e-8 * test


def test_a_wide_huber_loss_is_the_square_loss():
    teacher = Linear(noise=0.3)
    wide = state_evolution(
        ConvexReadout(Loss("huber", width=100), teacher), POWER, ratio=2, lam=0.1
    )
    square = state_evolution(ConvexReadout(Loss("ridge"), teacher), POWER, ratio=2, lam=0.1)
    assert float(wide.E_test) == pytest.approx(float(square.E_test), rel=1e-12)


def test_scaling_the_loss_and_the_ridge_changes_nothing_but_scales():
    twice = ConvexReadout(Loss("2*log(1 + exp(-y*z))", labels="binary"), Sign())
    one = state_evolution(LOGISTIC, POWER, ratio=3, lam=0.2)
    two = state_evolution(twice, POWER, ratio=3, lam=0.4)
    for name, factor in (("E_test", 1), ("q", 1), ("V", 0.5), ("loss_train", 2)):
        assert float(two[name]) == pytest.approx(factor * float(one[name]), rel=1e-11)


def test_scaling_features_is_scaling_the_ridge():
    scaled = Modes(9 * POWER.values, POWER.weights, 9 * POWER.overlaps, POWER.misfit)
    one = state_evolution(LOGISTIC, POWER, ratio=3, lam=0.2)
    two = state_evolution(LOGISTIC, scaled, ratio=3, lam=1.8)
    for name in ("E_test", "m", "q", "loss_train"):
        assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-10)


def test_the_norm_is_the_slope_of_the_objective_in_the_ridge():
    """By the envelope theorem d/dlam [r loss_train + lam norm/2] = norm/2."""
    lam, step = 0.3, 1e-5

    def objective(ridge):
        curve = state_evolution(LOGISTIC, POWER, ratio=3, lam=ridge)
        return 3 * float(curve.loss_train) + ridge * float(curve.norm) / 2

    slope = (objective(lam + step) - objective(lam - step)) / (2 * step)
    norm = float(state_evolution(LOGISTIC, POWER, ratio=3, lam=lam).norm)
    assert slope == pytest.approx(norm / 2, rel=1e-8)


@pytest.mark.parametrize("name", ["logistic", "hinge"])
def test_separable_data_at_vanishing_ridge_keep_their_overlaps_in_range(name):
    model = ConvexReadout(Loss(name), Sign())
    lam = np.geomspace(1e4, 1e-9, 14)
    curve = state_evolution(model, POWER, ratio=np.array([[0.2], [1.0], [20.0]]), lam=lam).check()
    assert np.all(curve.V > 0)
    assert np.all(curve.m**2 <= POWER.rho * curve.q)
    assert np.all(curve.E_train[:2, -1] < 1e-3)  # at ratio 20 the misfit makes errors unavoidable
    assert float(curve.E_train[2, -1]) > 0.1
    assert float(curve.V.max()) > 1e6


def test_small_ridges_of_the_logistic_loss_find_the_largest_margin():
    """On separable data both losses tend to the direction of the largest margin."""
    loose = state_evolution(LOGISTIC, ONE, ratio=1.0, lam=np.array([1e-4, 1e-10, 1e-16]))
    margin = state_evolution(ConvexReadout(Loss("hinge"), Sign()), ONE, ratio=1.0, lam=1e-10)
    distance = np.abs(loose.E_test - float(margin.E_test))
    assert distance[0] > 2 * distance[1] > 2.5 * distance[2]
    assert distance[2] < 2e-3


def test_flips_and_noise_enter_the_test_error_and_not_the_clean_one():
    curve = state_evolution(
        ConvexReadout(Loss("logistic"), Sign(noise=0.5, flips=0.1)), POWER, ratio=3, lam=0.2
    )
    m, q, rho = float(curve.m), float(curve.q), POWER.rho
    clean = np.arccos(m / np.sqrt(rho * q)) / np.pi
    noisy = np.arccos(m / np.sqrt((rho + 0.5) * q)) / np.pi
    assert float(curve.E_gen) == pytest.approx(clean, rel=1e-12)
    assert float(curve.E_test) == pytest.approx(0.1 + 0.8 * noisy, rel=1e-12)


def test_coin_flips_teach_nothing():
    curve = state_evolution(
        ConvexReadout(Loss("logistic"), Sign(flips=0.5)), POWER, ratio=3, lam=0.2
    ).check()
    assert float(curve.m) == 0
    assert float(curve.E_test) == 0.5


def test_calibration_is_confidence_less_the_probability_of_the_label(rng):
    """Samples of (nu, omega) with the solved overlaps: 10^6 resolve 0.005 of a probability."""
    curve = state_evolution(
        ConvexReadout(Loss("logistic"), Sign(noise=0.3, flips=0.05)), POWER, ratio=1, lam=1e-2
    )
    m, q, rho = float(curve.m), float(curve.q), POWER.rho
    omega = np.sqrt(q) * rng.standard_normal(10**6)
    nu = m / q * omega + np.sqrt(rho - m**2 / q) * rng.standard_normal(omega.size)
    label = (nu + np.sqrt(0.3) * rng.standard_normal(omega.size) > 0) ^ (rng.random(nu.size) < 0.05)
    claimed = 1 / (1 + np.exp(-omega))
    near = np.abs(claimed - 0.8) < 0.01
    assert float(curve.calibration(0.8)) == pytest.approx(0.8 - label[near].mean(), abs=0.015)
    assert float(curve.calibration(0.8)) > 0.05  # a weak ridge makes it overconfident


def test_grids_keep_their_shape_and_points_that_do_not_matter_for_each_other():
    ratio, lam = np.array([[0.5], [2.0]]), np.array([1e-3, 0.1, 10.0])
    grid = state_evolution(LOGISTIC, POWER, ratio=ratio, lam=lam)
    alone = state_evolution(LOGISTIC, POWER, ratio=2.0, lam=0.1)
    assert grid.shape == (2, 3)
    assert grid.calibration([0.6, 0.9]).shape == (2, 3, 2)
    assert float(grid.E_test[1, 1]) == pytest.approx(float(alone.E_test), rel=1e-12)


def test_points_that_fail_are_kept_with_a_status():
    class Blind:
        rho = 1.0

        def __call__(self, x):
            sums = ONE(x)
            sums.T2[np.asarray(x) < 0.5] = np.nan  # the sums are not known below x = 1/2
            return sums

    curve = state_evolution(LOGISTIC, Blind(), ratio=2.0, lam=np.array([1.0, 1e-3]))
    assert curve.status[0] == Status.CONVERGED
    assert curve.status[1] != Status.CONVERGED
    assert np.isnan(curve.E_test[1])


def test_exact_recovery_is_a_status_and_not_a_number():
    """Absolute deviations of noiseless labels vanish below a critical ridge, and V with them."""
    clean = Modes(POWER.values, POWER.weights, POWER.overlaps)
    model = ConvexReadout(Loss("lad"), Linear())
    curve = state_evolution(model, clean, ratio=5.0, lam=np.array([1.0, 1e-6]))
    assert curve.status.tolist() == [Status.CONVERGED, Status.LEFT_RANGE]
    assert np.isnan(curve.E_test[1])


@pytest.mark.parametrize(
    ("name", "teacher"),
    [
        ("logistic", Sign(flips=0.1)),
        ("hinge", Sign()),
        ("ridge", Linear()),
        ("huber", Linear(noise=0.1)),
    ],
)
def test_random_spectra_and_points_converge(name, teacher, rng):
    for _ in range(6):
        count = int(rng.integers(1, 30))
        values = 10 ** rng.uniform(-5, 3, count)
        weights, overlaps = rng.dirichlet(np.ones(count)), values * rng.dirichlet(np.ones(count))
        spectrum = Modes(values, weights / weights.sum(), overlaps)
        curve = state_evolution(
            ConvexReadout(Loss(name), teacher),
            spectrum,
            ratio=10 ** rng.uniform(-2, 2, 8),
            lam=10 ** rng.uniform(-8, 6, 8),
        ).check()
        assert np.all(curve.m**2 <= (1 + 1e-12) * spectrum.rho * curve.q)
        assert np.nanmax(curve.error["E_test"] / curve.E_test) < 1e-6


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ratio": 1.0, "lam": 0.0}, RangeError, "lam = 0.0"),
        ({"ratio": 1.0, "lam": -1.0}, RangeError, "lam = -1.0"),
        ({"ratio": np.nan, "lam": 1.0}, RangeError, "ratio = nan"),
        ({"ratio": [], "lam": 1.0}, RangeError, "ratio = nothing"),
        ({"ratio": 1.0, "lam": 1j}, RangeError, "lam = 1j: not a number"),
        ({"ratio": [1, 2], "lam": [1, 2, 3]}, ShapeError, "ratio and lam"),
    ],
)
def test_bad_grids_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        state_evolution(LOGISTIC, ONE, **options)


def test_calibration_is_refused_where_it_means_nothing():
    curve = state_evolution(LOGISTIC, ONE, ratio=2, lam=1)
    with pytest.raises(RangeError, match="confidence"):
        curve.calibration(1.2)
    square = state_evolution(ConvexReadout(Loss("ridge"), Linear()), ONE, ratio=2, lam=1)
    with pytest.raises(NotSupportedError, match="labels are real"):
        square.calibration(0.7)


def test_a_target_that_does_not_vary_is_refused():
    flat = Modes(np.ones(1), np.ones(1), np.zeros(1))
    with pytest.raises(RangeError, match="labels do not vary"):
        state_evolution(LOGISTIC, flat, ratio=1, lam=1)
