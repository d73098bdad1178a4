"""Covariances of given networks: closed forms, Monte Carlo, shared weights, refusals."""

import numpy as np
import pytest

from derive.errors import RangeError, ShapeError
from numeric.populations.matrices import Covariances
from numeric.populations.networks import linearise, network
from numeric.ridge_readout_theory import ridge_curve

MATRICES = {
    "omega": np.array([[2, 0.5, 0], [0.5, 1, 0.25], [0, 0.25, 0.5]]),
    "phi": np.array([[1, 0], [0.5, 0.25], [0, 1 / 3]]),
    "psi": np.array([[1, 0.2], [0.2, 1]]),
}


def weights(rng, *sizes):
    pairs = zip(sizes[1:], sizes[:-1], strict=True)
    return [rng.standard_normal((out, into)) / np.sqrt(into) for out, into in pairs]


def test_three_by_two_matrices_to_every_digit_of_a_double():
    # Made with mpmath at 45 digits on the matrix formulas, independently of this package.
    modes = Covariances(**MATRICES).modes([1, -1])
    curve = ridge_curve(modes, ratio=5 / 3, lam=0.2, noise=0.1)
    assert curve.m == pytest.approx(2.667635249487168548479, rel=1e-14)
    assert curve.delta == pytest.approx(0.3710607436652228911584, rel=1e-13)
    assert curve.E_gen == pytest.approx(0.7559427055075140364849, rel=1e-13)
    assert curve.E_train == pytest.approx(0.2436450437632001535944, rel=1e-13)


def test_a_linear_network_is_exact(rng):
    first, second = weights(rng, 6, 8, 5)
    spread = np.diag(rng.uniform(0.5, 2, 6))
    found = linearise(network([first, second], "z"), network([], ()), spread).covariances
    whole = second @ first
    assert found.omega == pytest.approx(whole @ spread @ whole.T, rel=1e-11)
    assert found.phi == pytest.approx(whole @ spread, rel=1e-11)
    assert found.psi == pytest.approx(spread)


def test_relu_with_biases_against_monte_carlo(rng):
    d, count = 40, 150_000
    learner = network(weights(rng, d, 40), ["Max(z, 0)"], [rng.standard_normal(40)])
    target = network(weights(rng, d, 40), ["tanh"])
    found = linearise(learner, target, order=3)
    x = rng.standard_normal((d, count))
    f, g = learner.features(x), target.features(x)
    assert found.mean == pytest.approx(f.mean(axis=1), abs=5 / np.sqrt(count))
    f, g = f - f.mean(axis=1)[:, None], g - g.mean(axis=1)[:, None]
    for mine, sampled in ((found.covariances.omega, f @ f.T), (found.covariances.phi, f @ g.T)):
        # entries have a standard error below 1.5/sqrt(count); 1600 of them, five of it
        assert np.abs(mine - sampled / count).max() < 7.5 / np.sqrt(count)
    plain = linearise(learner, target, order=1)
    # what the linearisation leaves out is of the size that is stated, and seen by the samples
    gap = np.linalg.norm(plain.covariances.omega - found.covariances.omega)
    assert gap / np.linalg.norm(found.covariances.omega) == pytest.approx(plain.neglected, rel=1e-2)


def test_a_target_that_shares_all_weights_is_explained_entirely(rng):
    learner = network(weights(rng, 30, 40, 20), "tanh")
    modes = linearise(learner, learner).covariances.modes()
    assert modes.misfit < 1e-9
    own = linearise(learner, network([], ())).covariances.omega
    assert modes.rho == pytest.approx(np.trace(own) / 20, rel=1e-9)


def test_opposite_units_have_a_negative_square(rng):
    # psi = -phi on the same weights: the covariance of a pair is minus the variance, so the part
    # beyond the linear one is -kappa_*^2: a number that has no real square root.
    matrices = weights(rng, 200, 100)
    matrices = [matrices[0] / np.linalg.norm(matrices[0], axis=1)[:, None]]
    one, other = network(matrices, "tanh"), network(matrices, ["-tanh(z)"])
    found = linearise(one, other).covariances
    assert np.diag(found.phi) == pytest.approx(-np.diag(found.omega), rel=1e-9)
    beyond = np.diag(found.phi) + 0.6057055096021588**2
    assert beyond == pytest.approx(-0.02741532603543026, rel=1e-9)


def test_the_deeper_side_goes_on_alone(rng):
    first, second = weights(rng, 40, 30, 20)
    deep = network([first, second], "erf")
    shallow = network([first], "erf")
    found = linearise(deep, shallow).covariances
    turned = linearise(shallow, deep).covariances
    assert found.phi == pytest.approx(turned.phi.T, rel=1e-12)
    assert found.psi == pytest.approx(turned.omega, rel=1e-12)
    below = linearise(shallow, shallow).covariances.omega
    spread = np.diag(second @ below @ second.T)
    slopes = 2 / np.sqrt(np.pi * (1 + 2 * spread))
    assert found.phi == pytest.approx(slopes[:, None] * (second @ below), rel=1e-9)


def test_unit_by_unit_constants_differ_from_averaged_ones(rng):
    matrix = weights(rng, 50, 40)[0] * rng.uniform(0.2, 3, 40)[:, None]
    found = linearise(network([matrix], "erf"), network([], ())).covariances
    spread = np.sum(matrix**2, axis=1)
    exact = 2 / np.pi * np.arcsin(2 * spread / (1 + 2 * spread))
    assert np.diag(found.omega) == pytest.approx(exact, rel=1e-10)


def refused(error, words, call):
    with pytest.raises(error, match=words):
        call()


def test_matrices_that_cannot_be_covariances_are_named_and_measured():
    def made(**changes):
        return Covariances(**(MATRICES | changes)).modes([1, -1])

    skew = MATRICES["omega"] + np.array([[0, 0.1, 0], [0, 0, 0], [0, 0, 0]])
    refused(RangeError, r"omega: not symmetric.*0\.1", lambda: made(omega=skew))
    refused(RangeError, "omega: not positive semidefinite", lambda: made(omega=-np.eye(3)))
    refused(RangeError, "phi: not compatible.*exceeds", lambda: made(phi=5 * MATRICES["phi"]))
    refused(RangeError, "null space", lambda: made(omega=np.diag([1.0, 1.0, 0.0])))
    refused(ShapeError, r"phi of shape \(2, 3\)", lambda: made(phi=MATRICES["phi"].T))
    refused(ShapeError, r"psi.*\(2, 3\)", lambda: made(psi=np.ones((2, 3))))
    refused(ShapeError, r"omega.*\(0, 0\)", lambda: made(omega=np.zeros((0, 0))))
    nan = MATRICES["psi"] * np.array([[1, np.nan], [1, 1]])
    refused(RangeError, r"psi: 1 of 4 .*\[0, 1\]", lambda: made(psi=nan))
    refused(ShapeError, "theta of length 3", lambda: Covariances(**MATRICES).modes([1, 2, 3]))


def test_networks_that_do_not_fit_are_refused():
    refused(ShapeError, r"weights\[1\].*3 columns", lambda: network([np.eye(3), np.eye(2)], "tanh"))
    refused(ShapeError, "2 for 1 layers", lambda: network([np.eye(3)], ["tanh", "tanh"]))
    refused(ShapeError, "biases", lambda: network([np.eye(3)], "tanh", [np.zeros(2)]))
    refused(RangeError, r"weights\[0\]", lambda: network([np.full((2, 2), np.inf)], "tanh"))
    two, three = network([np.eye(2)], "tanh"), network([np.eye(3)], "tanh")
    refused(ShapeError, r"dimensions \[2, 3\]", lambda: linearise(two, three))
    refused(ShapeError, "inputs of dimension 4", lambda: linearise(two, two, np.ones(4)))
    refused(RangeError, "order = 0", lambda: linearise(two, two, order=0))
    empty = network([], ())
    refused(ShapeError, "inputs", lambda: linearise(empty, empty))
