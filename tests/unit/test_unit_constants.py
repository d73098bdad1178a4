"""Constants of many units against closed forms and balls, each unit with its own law."""

import numpy as np
import pytest
from scipy import special

from derive.activation import Activation
from derive.errors import NotConvergedError
from numeric.populations.unit_constants import Side, kink_places, pair_means, unit_constants

MEAN = np.array([0.0, -1.3, 0.4, 2.0])
STD = np.array([1.0, 0.2, 3.0, 0.7])


def test_relu_units_are_the_closed_forms():
    found = unit_constants(Activation("Max(z, 0)"), MEAN, STD, 2)
    ratio = MEAN / STD
    density = np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi)
    below = special.ndtr(ratio)
    assert found.mean == pytest.approx(MEAN * below + STD * density, rel=1e-13)
    assert found.slope == pytest.approx(below, rel=1e-13)
    assert found.second == pytest.approx(
        (MEAN**2 + STD**2) * below + MEAN * STD * density, rel=1e-12
    )
    assert found.coefficients[2] == pytest.approx(STD * density, rel=1e-12)
    assert found.error < 1e-12


@pytest.mark.parametrize("text", ["tanh", "tanh(2*z)", "sign", "clip(z, -1, 1)", "erf"])
def test_centred_units_are_the_proved_constants(text):
    activation = Activation(text)
    found = unit_constants(activation, np.zeros(2), np.array([1.0, 0.5]))
    for i, variance in enumerate(["1", "1/4"]):
        assert found.slope[i] == pytest.approx(
            float(activation.kappa_1(variance).ball(20).mid), rel=1e-12
        )
        assert found.second[i] == pytest.approx(
            float(activation.second_moment(variance).ball(20).mid), rel=1e-12
        )


def test_a_unit_whose_argument_is_constant_has_no_slope():
    found = unit_constants(Activation("tanh"), np.array([0.5]), np.zeros(1))
    assert found.slope.tolist() == [0.0]
    assert found.mean == pytest.approx(np.tanh(0.5), rel=1e-14)
    assert found.variance == pytest.approx(0, abs=1e-15)


def test_kinks_are_found():
    assert kink_places(Activation("Max(z, 0)")) == (0.0,)
    assert kink_places(Activation("clip(z, -1, 2)")) == (-1.0, 2.0)
    assert kink_places(Activation("tanh")) == ()


CORRELATIONS = np.array([-1.0, -0.5, 0.0, 0.3, 0.99, 1 - 1e-9, 1.0])


def units(text):
    return Side(Activation(text), np.zeros(CORRELATIONS.size), np.ones(CORRELATIONS.size))


def test_pairs_of_relu_are_the_arc_cosine_kernel():
    found, error = pair_means(units("Max(z, 0)"), units("Max(z, 0)"), CORRELATIONS)
    angle = np.arccos(CORRELATIONS)
    closed = (np.sin(angle) + (np.pi - angle) * CORRELATIONS) / (2 * np.pi)
    assert np.abs(found - closed).max() < 1e-11
    assert error < 1e-9


def test_pairs_of_signs_are_the_arc_sine():
    found, _ = pair_means(units("sign"), units("sign"), CORRELATIONS)
    assert np.abs(found - 2 / np.pi * np.arcsin(CORRELATIONS)).max() < 1e-10


def test_pairs_of_different_activations_with_means():
    # E[max(u, 0) v] = E[u max] terms: for jointly normal, cov(max(u,0), v) = P(u > 0) cov(u, v)
    one = Side(Activation("Max(z, 0)"), np.array([0.3]), np.array([2.0]))
    other = Side(Activation("2*z"), np.array([-1.0]), np.array([0.5]))
    found, _ = pair_means(one, other, np.array([0.6]))
    slope = special.ndtr(0.15)
    mean = 0.3 * slope + 2 * np.exp(-(0.15**2) / 2) / np.sqrt(2 * np.pi)
    assert found[0] == pytest.approx(2 * (slope * 0.6 - mean), rel=1e-11)


def test_what_quadrature_cannot_resolve_is_refused():
    with pytest.raises(NotConvergedError, match="quadrature rules differ"):
        unit_constants(Activation("sign(sin(7*z))"), np.zeros(1), np.full(1, 3.3))
