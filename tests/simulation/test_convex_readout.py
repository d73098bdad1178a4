"""Theory of convex readouts against readouts trained at finite size, with the power stated."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sympy import tanh

from derive.channels import ConvexReadout, Linear, Sign
from derive.errors import NotConvergedError, RangeError
from derive.losses import Loss
from derive.symbols import z
from numeric.compare import compare
from numeric.experiments.convex_readout import NetworkFeatures, simulate_readout
from numeric.experiments.convex_solver import fit
from numeric.spectral_functions import Modes
from numeric.state_evolution import state_evolution

TWO = Modes(np.array([0.5, 2.0]), np.array([0.5, 0.5]), np.array([0.4, 1.0]), 0.2)


@pytest.mark.simulation
def test_logistic_theory_agrees_and_an_error_of_five_percent_is_seen():
    model = ConvexReadout(Loss("logistic"), Sign(noise=0.1, flips=0.05))
    point = {"ratio": 6.0, "lam": 1.0}
    sim = simulate_readout(model, TWO, **point, p=(50, 150), trials=60, progress=False)
    result = compare(state_evolution(model, TWO, **point), sim, ["E_test", "loss_train"])
    assert result.agree
    assert result.resolves < 0.05
    assert not result.moved(1.05, ["E_test"]).agree
    assert not result.moved(0.95, ["loss_train"]).agree


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("name", "teacher", "power"),
    [("hinge", Sign(flips=0.1), 0.15), ("lad", Linear(0.3), 0.2), ("huber", Linear(0.3), 0.2)],
)
def test_losses_with_kinks_agree(name, teacher, power):
    model = ConvexReadout(Loss(name), teacher)
    point = {"ratio": 4.0, "lam": 1.0}
    sim = simulate_readout(model, TWO, **point, p=(40, 100), trials=30, progress=False)
    result = compare(state_evolution(model, TWO, **point), sim, ["E_test", "loss_train"])
    assert result.agree
    assert result.resolves < power
    assert not result.moved(1 + power).agree


@pytest.mark.simulation
def test_network_features_teach_what_their_architecture_says():
    """One tanh layer of width gamma = 2: the chain of spectral functions is one step long."""
    kappa_1, kappa_star = 0.6057055096021588, 0.02741532603543026
    w = (np.arange(2000) + 0.5) / 2000  # quantiles of the Marchenko-Pastur law at ratio 2
    edges = (1 - np.sqrt(0.5)) ** 2, (1 + np.sqrt(0.5)) ** 2
    place = edges[0] + (edges[1] - edges[0]) * (1 - np.cos(np.pi * w)) / 2
    density = np.sqrt((place - edges[0]) * (edges[1] - place)) / (2 * np.pi * 0.5 * place)
    mass = density * (edges[1] - edges[0]) * np.pi * np.sin(np.pi * w) / 2 / 2000
    # W W^T has p/d = 2: half of its eigenvalues vanish, the rest are 2 times the law at 1/2
    values = np.append(kappa_1**2 * 2 * place + kappa_star, kappa_star)
    weights = np.append(mass / 2, 1 - mass.sum() / 2)
    overlaps = np.append(kappa_1**2 * 2 * place * mass, 0.0)
    spectrum = Modes(values, weights / weights.sum(), overlaps, 1 - np.sum(overlaps / values))
    model = ConvexReadout(Loss("logistic"), Sign())
    point = {"ratio": 4.0, "lam": 0.5}
    features = NetworkFeatures((tanh(z),), (2.0,))
    sim = simulate_readout(model, features, **point, p=(60, 180), trials=60, progress=False)
    result = compare(state_evolution(model, spectrum, **point), sim, ["E_test", "loss_train"])
    assert result.agree
    assert result.resolves < 0.12
    assert not result.moved(1.12).agree


def test_the_solver_agrees_with_another_one_on_a_smooth_loss(rng):
    A, y = rng.standard_normal((40, 15)), np.sign(rng.standard_normal(40))

    def objective(theta):
        return np.sum(np.logaddexp(0, -y * (A @ theta))) + 0.15 * theta @ theta

    other = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(fit(Loss("logistic"), A, y, 0.3).theta, other, atol=2e-6)


@pytest.mark.parametrize("name", ["hinge", "lad", "huber", "squared hinge"])
def test_no_direction_lowers_the_objective_of_the_solver(name, rng):
    loss = Loss(name)
    A, y = rng.standard_normal((40, 15)), np.sign(rng.standard_normal(40))
    formulas = {
        "hinge": lambda t: np.maximum(0, 1 - y * t),
        "lad": lambda t: np.abs(y - t),
        "huber": lambda t: np.where(np.abs(y - t) < 1, (y - t) ** 2 / 2, np.abs(y - t) - 0.5),
        "squared hinge": lambda t: np.maximum(0, 1 - y * t) ** 2 / 2,
    }

    def objective(theta):
        return np.sum(formulas[name](A @ theta)) + 0.15 * theta @ theta

    found = fit(loss, A, y, 0.3, tol=1e-11)
    best = objective(found.theta)
    assert found.gap + 1e-12 >= 0
    for _ in range(50):
        assert objective(found.theta + 1e-3 * rng.standard_normal(15)) > best - 1e-9


def test_labels_and_points_out_of_range_are_refused(rng):
    with pytest.raises(RangeError, match="label 2 at place 1"):
        fit(Loss("hinge"), np.ones((2, 1)), np.array([1.0, 2.0]), 1.0)
    model = ConvexReadout(Loss("logistic"), Sign())
    for options, text in (
        ({"lam": 0}, "lam"),
        ({"p": (10, 10)}, "sizes"),
        ({"trials": 0}, "trials"),
    ):
        with pytest.raises(RangeError, match=text):
            simulate_readout(model, TWO, **({"ratio": 1, "lam": 1} | options))


def test_interrupted_simulations_resume():
    model = ConvexReadout(Loss("ridge"), Linear(0.1))
    point = {"ratio": 2.0, "lam": np.array([0.1, 1.0]), "p": (20, 40), "progress": False}
    whole = simulate_readout(model, TWO, **point, trials=4)
    part = simulate_readout(model, TWO, **point, trials=2)
    resumed = simulate_readout(model, TWO, **point, trials=4, resume=part)
    np.testing.assert_array_equal(whole["E_test"], resumed["E_test"])


def test_gaps_that_are_not_reached_are_said(monkeypatch, rng):
    monkeypatch.setattr("numeric.experiments.convex_solver._ROUNDS", 30)
    A, y = rng.standard_normal((40, 15)), np.sign(rng.standard_normal(40))
    with pytest.raises(NotConvergedError, match="duality gap"):
        fit(Loss("hinge"), A, y, 1e-6, tol=1e-14)
