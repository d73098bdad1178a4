"""Tables of spectral functions against the sums they stand for, and curves made from them."""

import numpy as np
import pytest

from derive.errors import NotConvergedError, RangeError
from numeric.compressed_spectrum import compress
from numeric.population import population
from numeric.populations.samples import sampled_spectrum
from numeric.ridge_readout_theory import ridge_curve
from numeric.spectral_functions import Modes, Sums

NAMES = ("df1", "df2", "T", "T2", "unexplained", "rest1", "rest2")


def power_law(p):
    values = np.arange(1, p + 1.0) ** -1.5
    return Modes(values, np.full(p, 1 / p), values**1.7 / p, misfit=0.01)


def test_a_table_has_the_digits_of_its_sums(rng):
    modes = power_law(200)
    quick = compress(modes, 1e-9, 1e4)
    x = 10 ** rng.uniform(-11, 6, 500)  # beyond both ends as well
    one, other = quick(x), modes(x)
    for name in NAMES:
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=5e-14)
    assert quick.error < 5e-14
    assert (quick.rho, quick.rank, quick.mean) == (modes.rho, modes.rank, modes.mean)


def test_one_narrow_mode_is_resolved_too():
    # the sharpest function of log x that a spectrum can give
    one = Modes(np.ones(1), np.ones(1), np.ones(1))
    assert compress(one, 1e-6, 1e6).error < 5e-14


def test_curves_from_a_table_agree_within_their_errors(rng):
    modes = power_law(300)
    ratio, lam = 10 ** rng.uniform(-1.5, 1.5, 200), 10 ** rng.uniform(-10, 1, 200)
    ratio[:60] = 1.0
    exact = ridge_curve(modes, ratio=ratio, lam=lam, noise=0.1)
    quick = ridge_curve(compress(modes, 1e-12, 1e3), ratio=ratio, lam=lam, noise=0.1)
    assert quick.converged
    for name in ("m", "E_test", "E_train", "delta"):
        gap = np.abs(quick[name] - exact[name])
        assert np.all(gap <= quick.error[name] + exact.error[name]), name
        assert np.all(gap <= 1e-12 * exact[name]), name


def test_a_population_uses_a_table_for_many_points():
    modes = power_law(500)
    omega = np.diag(modes.values)
    seen = population(omega=omega, phi=omega, psi=omega)
    n, lam = np.linspace(50, 2000, 100)[:, None], np.geomspace(1e-6, 1, 50)
    whole = seen.ridge(n=n, lam=lam, noise=0.1)
    part = seen.ridge(n=n[::33], lam=lam[::7], noise=0.1)
    assert whole.E_test[::33, ::7] == pytest.approx(part.E_test, rel=1e-12)
    assert whole.error["E_test"].max() > part.error["E_test"].max()


def test_samples_can_be_tabulated(rng):
    x = rng.standard_normal((90, 60))
    seen = sampled_spectrum(x, x @ np.ones(60) + rng.standard_normal(90))
    quick = compress(seen, 1e-3, 1e2)
    points = np.array([2e-3, 0.1, 3.0])
    assert quick(points).df1 == pytest.approx(seen(points).df1, rel=1e-10)
    assert quick(points).rest1 is None


def test_what_is_no_sum_over_a_spectrum_is_refused():
    class Kinked:
        rho = 1.0
        mean = 1.0

        def __call__(self, x):
            value = np.minimum(1.0, 1 / np.asarray(x, dtype=float))
            return Sums(value, value, value, value, value)

    with pytest.raises(NotConvergedError, match="differs by"):
        compress(Kinked(), 1e-3, 1e3)
    with pytest.raises(RangeError, match="not a range"):
        compress(power_law(3), 1.0, 0.5)
