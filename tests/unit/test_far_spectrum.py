"""Spectral functions at large effective ridges keep the digits that differences lose."""

import numpy as np
import pytest

from derive.channels import ConvexReadout, Sign
from derive.losses import Loss
from derive.theory import deep_features
from numeric.far_spectrum import FarSpectrum, with_far_field
from numeric.populations.architecture import chain_spectrum
from numeric.spectral_functions import Modes, Sums
from numeric.state_evolution import state_evolution

MODES = Modes(np.array([0.2, 1.0, 7.0]), np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.5, 2.0]), 0.1)


class Rough:
    """The same spectrum, with df2 and T2 as differences whose digits are lost like 1/x^2."""

    rho = MODES.rho

    def __call__(self, x):
        sums = MODES(x)
        noise = 1 + 1e-16 * np.asarray(x) ** 2
        return Sums(sums.df1, sums.df2 * noise, sums.T, sums.T2 * noise, sums.unexplained)


def test_derivatives_of_the_interpolants_keep_their_digits():
    far = with_far_field(Rough())
    assert isinstance(far, FarSpectrum)
    x = np.geomspace(1e-3, 1e15, 60)
    found, exact = far(x), MODES(x)
    for name in ("df1", "df2", "T", "T2", "unexplained"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=5e-12)


def test_modes_and_functions_that_are_rough_at_infinity_stay_as_they_are():
    assert with_far_field(MODES) is MODES

    class Noisy(Rough):
        def __call__(self, x):
            sums = MODES(x)
            wobble = 1 + 1e-8 * np.sin(1e3 * np.asarray(x))
            return Sums(sums.df1 * wobble, sums.df2, sums.T, sums.T2, sums.unexplained)

    noisy = Noisy()
    assert with_far_field(noisy) is noisy


def test_losses_that_rest_at_large_ridges_converge_on_architectures():
    """The hinge loss touches its kink with a probability that vanishes with the ridge."""
    spectrum = chain_spectrum(deep_features(["tanh", "tanh"]), (0.75, 1.25))
    model = ConvexReadout(Loss("hinge"), Sign())
    grid = {"ratio": np.array([[0.05], [0.7], [20.0]]), "lam": np.geomspace(1e-8, 1e6, 8)}
    curve = state_evolution(model, spectrum, **grid).check()
    assert float(curve.x.max()) > 1e15
    assert float(curve.loss_train[0, -1]) == pytest.approx(1, abs=1e-6)
