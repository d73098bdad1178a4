"""Teachers with logistic labels: a mixture of probit teachers, checked on the plane."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstwobign

from derive.channels import ConvexReadout, Logistic, Sign
from derive.errors import NotSupportedError, RangeError
from derive.losses import Loss
from numeric.compare import compare
from numeric.experiments.convex_readout import simulate_readout
from numeric.logistic_mixture import kolmogorov_density, normal_mixture
from numeric.proximal_map import proximal_map
from numeric.spectral_functions import Modes
from numeric.state_evolution import state_evolution
from numeric.state_reference import ExactModes, state_reference

TWO = Modes(np.array([0.5, 2.0]), np.array([0.5, 0.5]), np.array([0.4, 1.0]), 0.2)
MODEL = ConvexReadout(Loss("logistic"), Logistic())


@pytest.mark.parametrize(("fine", "digits"), [(False, 2e-11), (True, 1e-13)])
def test_normal_noises_mix_to_logistic_noise(fine, digits):
    variance, weight = normal_mixture(0.7, fine=fine)
    x = np.array([-20.0, -3.0, -0.1, 0.0, 0.5, 2.0, 11.0])
    mixed = weight @ ndtr(x / np.sqrt(variance)[:, None])
    np.testing.assert_allclose(mixed, 1 / (1 + np.exp(-x / 0.7)), atol=digits)


def test_both_series_give_the_density_of_kolmogorov():
    k = np.array([0.3, 0.6, 0.79, 0.81, 1.2, 2.5])
    np.testing.assert_allclose(kolmogorov_density(k), kstwobign.pdf(k), rtol=1e-6)


def test_averages_agree_with_a_rule_on_the_plane_of_field_and_prediction():
    curve = state_evolution(MODEL, TWO, ratio=3.0, lam=0.1).check()
    V, m, q = (float(curve[name]) for name in ("V", "m", "q"))
    x, w = np.polynomial.hermite_e.hermegauss(120)
    weight = np.outer(w, w) / w.sum() ** 2
    omega = np.sqrt(q) * x
    nu = m / q * omega[:, None] + np.sqrt(TWO.rho - m**2 / q) * x
    positive = 1 / (1 + np.exp(-nu))
    found = np.zeros(3)
    for y, likelihood in ((1, positive), (-1, 1 - positive)):
        z = proximal_map(Loss("logistic"), omega, V, y)
        bend = V / (4 * np.cosh(z / 2) ** 2)
        g, h = (z - omega)[:, None], (bend / (1 + bend))[:, None]
        slope = y * positive * (1 - positive)
        found += [np.sum(weight * f) for f in (likelihood * h, likelihood * g**2, slope * g)]
    hats = 3 * found / [V, V**2, V]
    expected = [float(curve[name]) for name in ("V_hat", "q_hat", "m_hat")]
    np.testing.assert_allclose(hats, expected, rtol=1e-12)
    assert float(curve.error["E_test"]) < 1e-9


def test_small_scales_approach_the_sign():
    sign = state_evolution(ConvexReadout(Loss("hinge"), Sign()), TWO, ratio=3.0, lam=0.1)
    sharp = state_evolution(
        ConvexReadout(Loss("hinge"), Logistic(scale=1e-5)), TWO, ratio=3.0, lam=0.1
    )
    assert float(sharp.E_gen) == pytest.approx(float(sign.E_gen), rel=1e-8)


@pytest.mark.simulation
def test_logistic_labels_agree_with_trained_readouts():
    point = {"ratio": 6.0, "lam": 1.0}
    sim = simulate_readout(MODEL, TWO, **point, p=(40, 100), trials=30, progress=False)
    result = compare(state_evolution(MODEL, TWO, **point), sim, ["E_test", "loss_train"])
    assert result.agree
    assert result.resolves < 0.12
    assert not result.moved(1.12).agree


def test_scales_and_routes_that_do_not_fit_are_refused():
    with pytest.raises(RangeError, match="scale = 0"):
        Logistic(scale=0)
    with pytest.raises(RangeError, match=r"flips = 0\.7"):
        Logistic(flips=0.7)
    one = ExactModes([1], [1], [1])
    with pytest.raises(NotSupportedError, match="logistic teacher"):
        state_reference(MODEL, one, rho=1, ratio=1, lam=1, start=(1, 1, 1))
    assert "K" in MODEL.latex()
    assert "Kolmogorov" in str(MODEL.log)
