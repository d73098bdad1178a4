"""Training, parts of data sets and recipes of networks: their arithmetic, and what they refuse."""

import numpy as np
import pytest

from derive.activation import Activation
from derive.errors import RangeError
from numeric.experiments.data_readout import ridge_fits, subsample
from numeric.experiments.given_networks import Independent, Pair, Rainbow, Same, simulate_networks
from numeric.experiments.training import fresh, rows, train
from numeric.populations.networks import network

TANH = Activation("tanh")


def test_one_step_of_training_goes_down_the_gradient(rng):
    # Adam's first step is rate times the sign of the gradient: compare with differences.
    x, y = rng.standard_normal((3, 40)), rng.standard_normal(40)
    found = train(lambda _: (x, y), (3, 4, 2), TANH, steps=1, rate=1e-9, seed=5)
    start = found.initial.weights
    readout = found.readout

    def loss(first, second):
        out = readout @ np.tanh(second @ np.tanh(first @ x)) / np.sqrt(2)
        return np.mean((out - y) ** 2)

    assert found.losses[0] == pytest.approx(loss(*start), rel=1e-6)
    for layer in (0, 1):
        moved = found.network.weights[layer] - start[layer]
        for place in np.ndindex(moved.shape):
            up = [w.copy() for w in start]
            down = [w.copy() for w in start]
            up[layer][place] += 1e-5
            down[layer][place] -= 1e-5
            slope = (loss(*up) - loss(*down)) / 2e-5
            assert moved[place] == pytest.approx(-1e-9 * np.sign(slope), rel=1e-3)


def test_training_is_repeatable_and_batches_come_from_the_rows(rng):
    x, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    one = train(rows(x, y, 8), (3, 5), TANH, steps=4, seed=1)
    other = train(rows(x, y, 8), (3, 5), TANH, steps=4, seed=1)
    assert np.array_equal(one.losses, other.losses)
    inputs, labels = rows(x, y, 8)(rng)
    places = [int(np.flatnonzero(y == label)[0]) for label in labels]
    assert np.array_equal(inputs.T, x[places])


def test_fresh_labels_have_the_noise_that_was_asked_for(rng):
    target = network([np.eye(4)], "tanh")
    x, y = fresh(target, np.ones(4), 0.25, 20_000)(rng)
    gap = y - np.tanh(x).sum(axis=0) / 2
    assert gap.var() == pytest.approx(0.25, rel=0.05)


def test_ridge_fits_solve_the_normal_equations(rng):
    for n, p in ((30, 12), (12, 30)):
        x, y, lam = rng.standard_normal((n, p)), rng.standard_normal(n), np.array([0.1, 2.0])
        found = ridge_fits(x, y, lam)
        for theta, ridge in zip(found, lam, strict=True):
            gradient = x.T @ (x @ theta / np.sqrt(p) - y) / np.sqrt(p) + ridge * theta
            assert np.abs(gradient).max() < 1e-12


def test_parts_of_a_data_set_have_the_stated_shape_and_are_repeatable(rng):
    x, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    one = subsample(x, y, [0.1, 1.0], [10, 20, 30], trials=3)
    assert one["E_test"].shape == (1, 3, 3, 2)
    assert np.array_equal(
        one["E_test"], subsample(x, y, [0.1, 1.0], [10, 20, 30], trials=3)["E_test"]
    )
    assert np.all(one.mean("E_train") < one.mean("E_test"))


def test_recipes_have_the_weights_that_they_declare(rng):
    d = 300
    pair = Rainbow(0.5)(d, rng)
    first, second, third = pair.learner.weights
    target = pair.target.weights[0]
    assert np.array_equal(first, second)
    # covariance with the target's rows is half of theirs; C_3 makes rows of W_3 of trace d <C_3>
    decay = np.arange(1, d + 1.0) ** -0.3
    assert np.trace(first @ target.T) == pytest.approx(decay.sum() / 2, rel=0.05)
    trace = np.trace(np.linalg.inv(first @ first.T + np.eye(d) / 2)) / d
    assert np.sum(third**2) / d == pytest.approx(trace, rel=0.03)
    other = Independent(("tanh", "erf"), (2.0, 0.5), target=("sign",))(40, rng)
    assert [w.shape for w in other.learner.weights] == [(80, 40), (20, 80)]
    assert [w.shape for w in other.target.weights] == [(40, 40)]


def refused(words, call):
    with pytest.raises(RangeError, match=words):
        call()


def test_controls_out_of_range_are_refused(rng):
    x, y = rng.standard_normal((10, 3)), rng.standard_normal(10)
    refused("sizes from 10 to 10", lambda: subsample(x, y, 0.1, [10]))
    refused("nothing to train", lambda: train(rows(x, y, 4), (3,), TANH))
    net = network([np.eye(3)], "tanh")
    same = Same(Pair(net, net))
    refused("take 3 inputs", lambda: simulate_networks(same, alpha=[1], lam=1, d=5, trials=1))
    refused("out of range", lambda: simulate_networks(same, alpha=[1], lam=0, d=3, trials=1))
