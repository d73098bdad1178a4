"""Learning curves on the digits images that ship with scikit-learn, random and trained features.

The labels are +1 for odd digits and -1 for even ones. The theory is for Gaussian features of the
same covariances; error bars are those that the prediction states for its 1797 samples (about 4 %).
"""

import numpy as np
import pytest

from derive.activation import Activation
from numeric.compare import compare
from numeric.experiments.data_readout import subsample
from numeric.experiments.training import rows, train
from numeric.population import predict_learning_curve

datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
pytestmark = pytest.mark.simulation
RIDGES = np.array([0.01, 0.1, 1.0, 10.0])


@pytest.fixture(scope="module")
def digits():
    found = datasets.load_digits()
    pixels = found.data / 16
    return pixels - pixels.mean(axis=0), np.where(found.target % 2, 1.0, -1.0)


def judged(features, labels, sizes):
    curve = predict_learning_curve(features, labels, RIDGES, sizes)
    found = subsample(features, labels, RIDGES, sizes, trials=16)
    return curve, compare(curve, found, ("E_test",), allowance=0.0), found


def test_random_features_of_digits(digits):
    pixels, labels = digits
    rng = np.random.default_rng(0)
    features = np.tanh(pixels @ (3 * rng.standard_normal((64, 300)) / 8))
    curve, verdict, found = judged(features, labels, np.array([50, 200, 800, 1200]))
    assert curve.converged
    assert verdict.agree, verdict.table()
    gap = np.abs(found.mean("E_test")[0] - curve.E_test)
    assert np.all(gap < 2 * (curve.error["E_test"] + found.stderr("E_test")[0]))
    assert np.all(curve.error["E_test"] < 0.05 * curve.E_test)
    assert not verdict.moved(1.12).agree


def test_trained_features_of_digits(digits):
    pixels, labels = digits
    parts = rows(pixels[:600], labels[:600], 128)
    trained = train(parts, (64, 100, 100, 100), Activation("tanh"), steps=150)
    assert trained.losses[-10:].mean() < 0.2 * trained.losses[:5].mean()
    features = trained.network.features(pixels[600:].T).T
    before = trained.initial.features(pixels[600:].T).T
    sizes = np.array([50, 200, 800])
    curve, verdict, found = judged(features, labels[600:], sizes)
    assert verdict.agree, verdict.table()
    gap = np.abs(found.mean("E_test")[0] - curve.E_test)
    assert np.all(gap < 2 * (curve.error["E_test"] + found.stderr("E_test")[0]))
    untrained = predict_learning_curve(before, labels[600:], RIDGES, sizes)
    assert np.all(curve.E_test[0] < 0.6 * untrained.E_test[0])


def test_pixels_with_the_ridge_of_scikit_learn(digits):
    linear_model = pytest.importorskip("sklearn.linear_model")
    pixels, labels = digits
    x = pixels[:, np.ptp(pixels, axis=0) > 0]
    sizes, rng = np.array([100, 400]), np.random.default_rng(0)
    curve = predict_learning_curve(x, labels, RIDGES, sizes)
    found = np.empty((2, 4, 12))
    for place in np.ndindex(found.shape):
        order = rng.permutation(len(labels))
        train, test = order[: sizes[place[0]]], order[sizes[place[0]] :]
        model = linear_model.Ridge(alpha=RIDGES[place[1]] * x.shape[1]).fit(x[train], labels[train])
        found[place] = np.mean((labels[test] - model.predict(x[test])) ** 2)
    assert found.mean(axis=-1) == pytest.approx(curve.E_test, rel=0.04)
