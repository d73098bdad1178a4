"""The experiment: its averages against plain linear algebra, its seeds, its refusals."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sympy import Rational, tanh

from derive.errors import RangeError, ShapeError
from derive.symbols import z
from derive.theory.deep_features import RandomFeatures, SharedLayer, deep_features
from numeric.experiments import deep_features as experiment
from numeric.experiments.deep_features import simulate
from numeric.experiments.ridge_readout import (
    Moments,
    expected_test_error,
    expected_train_error,
    few_samples,
    many_samples,
    resolvent_trace,
)

CONTROLS = {"alpha": 1.5, "gamma": (2, 1), "lam": 0.1, "noise": 0.3, "d": (8, 12), "trials": 2}
RIDGES = np.array([1e-3, 0.2, 5.0])
SIGNAL, NOISE = 0.7, 0.3


def model(target="linear", **options):
    return deep_features([tanh(z), tanh(z)], target, **options)


def training_set(rng, p, n, k):
    """Features, target features, and the same of test inputs, correlated through the inputs."""
    train, test = rng.standard_normal((5, n)), rng.standard_normal((5, 40))
    weights, teacher = rng.standard_normal((p, 5)), rng.standard_normal((k, 5))
    return (np.tanh(weights @ train), np.cos(teacher @ train),
            np.tanh(weights @ test), np.cos(teacher @ test))  # fmt: skip


def in_modes(x, f):
    p, n = x.shape
    moments = Moments(x @ x.T, x @ f.T, float(np.sum(f * f)), n)
    return many_samples(moments) if n > p else few_samples(x, f)


SHAPES = [(6, 17), (17, 6), (9, 9)]


@pytest.mark.parametrize(("p", "n"), SHAPES)
@pytest.mark.parametrize("lam", RIDGES)
def test_averages_equal_their_definition_in_plain_linear_algebra(rng, p, n, lam):
    x, f, x_test, f_test = training_set(rng, p, n, 4)
    gram = np.linalg.inv(x.T @ x / p + lam * np.eye(n))
    predict = x_test.T @ x @ gram / p
    left = f_test.T - predict @ f.T
    test = SIGNAL * np.sum(left**2) / (4 * 40) + NOISE * (1 + np.sum(predict**2) / 40)
    train = SIGNAL * np.sum((gram @ f.T) ** 2) / 4 + NOISE * np.sum(gram**2)
    fit = in_modes(x, f)
    seen = Moments(x_test @ x_test.T, x_test @ f_test.T, float(np.sum(f_test**2)), 40)
    ridge = np.array(lam)
    assert resolvent_trace(fit, ridge) == pytest.approx(np.trace(gram) / n, rel=1e-10)
    assert expected_train_error(fit, ridge, SIGNAL, NOISE) == pytest.approx(
        lam**2 * train / n, rel=1e-9, abs=1e-14
    )
    assert expected_test_error(fit, seen, ridge, SIGNAL, NOISE) == pytest.approx(test, rel=1e-9)


@pytest.mark.parametrize(("p", "n"), SHAPES[:2])
def test_averages_equal_the_mean_over_sampled_theta_and_noise(rng, p, n):
    draws, lam, k = 40_000, 0.2, 4
    x, f, x_test, f_test = training_set(rng, p, n, k)
    theta = np.sqrt(SIGNAL) * rng.standard_normal((k, draws))
    labels = f.T @ theta / np.sqrt(k) + np.sqrt(NOISE) * rng.standard_normal((n, draws))
    fresh = f_test.T @ theta / np.sqrt(k) + np.sqrt(NOISE) * rng.standard_normal((40, draws))
    # The minimiser of |y - x^T w/sqrt(p)|^2 + lam |w|^2, by its normal equations.
    readout = np.linalg.solve(x @ x.T / p + lam * np.eye(p), x @ labels / np.sqrt(p))
    train = np.mean((labels - x.T @ readout / np.sqrt(p)) ** 2, axis=0)
    test = np.mean((fresh - x_test.T @ readout / np.sqrt(p)) ** 2, axis=0)
    fit = in_modes(x, f)
    seen = Moments(x_test @ x_test.T, x_test @ f_test.T, float(np.sum(f_test**2)), 40)
    exact = [
        float(expected_train_error(fit, np.array(lam), SIGNAL, NOISE)),
        float(expected_test_error(fit, seen, np.array(lam), SIGNAL, NOISE)),
    ]
    for value, sampled in zip(exact, (train, test), strict=True):
        assert abs(sampled.mean() - value) < 4 * sampled.std() / np.sqrt(draws)
        assert 4 * sampled.std() / np.sqrt(draws) < 0.03 * value  # an error of 5 % is seen


def test_results_have_one_entry_per_size_trial_alpha_and_ridge():
    found = simulate(model(), **CONTROLS | {"alpha": [0.5, 1.0, 2.0], "lam": [0.1, 1.0]})
    assert found.outputs == ("m", "E_test", "E_train")
    assert {found[output].shape for output in found.outputs} == {(2, 2, 3, 2)}
    assert found.controls["alpha"][:, 1].tolist() == [0.5, 1.0, 2.0]
    assert found.controls["lam"][2].tolist() == [0.1, 1.0]
    assert set(found.controls) == {"alpha", "gamma_1", "gamma_2", "lam", "noise"}
    assert simulate(model(), **CONTROLS).points == ()


def test_many_ridges_at_once_equal_one_at_a_time():
    together = simulate(model(), **CONTROLS | {"lam": RIDGES})
    for i, lam in enumerate(RIDGES):
        alone = simulate(model(), **CONTROLS | {"lam": lam})
        np.testing.assert_allclose(together["E_test"][..., i], alone["E_test"], rtol=1e-10)


def test_a_trial_does_not_depend_on_what_else_is_run():
    wide = simulate(model(), **CONTROLS | {"alpha": [0.5, 1.5], "d": (8, 10, 12), "trials": 3})
    alone = simulate(model(), **CONTROLS)
    assert (wide["m"][[0, 2], :2, 1] == alone["m"]).all()
    assert len(np.unique(wide["m"])) == wide["m"].size


def test_seed_decides_and_executor_does_not():
    first = simulate(model(), **CONTROLS, seed=4)
    with ThreadPoolExecutor(2) as executor:
        second = simulate(model(), **CONTROLS, seed=4, executor=executor)
    np.testing.assert_allclose(first["E_test"], second["E_test"], rtol=1e-12)
    assert (simulate(model(), **CONTROLS, seed=5)["m"] != first["m"]).all()


def test_resumed_simulation_runs_only_what_is_missing(monkeypatch):
    first = simulate(model(), **CONTROLS)
    calls = []
    draw = experiment.draw
    monkeypatch.setattr(
        experiment, "draw", lambda plan, *rest: calls.append(rest) or draw(plan, *rest)
    )
    simulate(model(), **CONTROLS | {"trials": 3}, resume=first)
    assert sorted(calls) == [(8, 1.5, 2), (12, 1.5, 2)]


def test_resuming_with_another_activation_is_refused():
    first = simulate(deep_features([tanh(z), z + tanh(z)]), **CONTROLS)
    with pytest.raises(RangeError, match="another declaration"):
        simulate(model(), **CONTROLS, resume=first)


def test_sizes_are_rounded_at_random_with_the_right_mean(rng):
    sizes = np.array([experiment._round(rng, 2.3) for _ in range(4000)])
    assert set(sizes.tolist()) == {2, 3}
    assert sizes.mean() == pytest.approx(2.3, abs=4 * 0.46 / np.sqrt(4000))


def test_eigenvalues_of_the_inputs_have_the_declared_shares(rng):
    spectrum = ((0.5, 0.25), (2.0, 0.75))
    counts = [np.sum(experiment._eigenvalues(spectrum, 10, rng) == 0.5) for _ in range(2000)]
    assert set(counts) == {2, 3}
    assert np.mean(counts) == pytest.approx(2.5, abs=4 * 0.5 / np.sqrt(2000))


def test_shared_target_on_level_zero_is_the_linear_target():
    one, other = (simulate(model(t), **CONTROLS) for t in (SharedLayer(0), "linear"))
    assert (one["E_test"] == other["E_test"]).all()


def test_a_target_on_the_learners_last_layer_is_learned_without_noise():
    options = CONTROLS | {"noise": 0.0, "alpha": 4.0, "lam": 1e-9}
    found = simulate(model(SharedLayer(2)), **options)
    assert found["E_test"].max() < 1e-9
    assert simulate(model("linear"), **options)["E_test"].min() > 1e-3


def test_independent_target_network_is_sampled_with_its_own_weights():
    found = simulate(model(RandomFeatures(model().activations)), **CONTROLS)
    assert found.finished
    assert (found["m"] != simulate(model(), **CONTROLS)["m"]).all()


def test_chunks_of_inputs_do_not_change_a_draw(monkeypatch):
    whole = simulate(model(), **CONTROLS)
    monkeypatch.setattr(experiment, "CHUNK_ENTRIES", 64)
    np.testing.assert_allclose(simulate(model(), **CONTROLS)["E_test"], whole["E_test"], rtol=1e-9)


def test_removed_mean_is_removed_in_the_sampled_network():
    raw, centred = (deep_features([tanh(z) ** 2], centre=c) for c in (False, True))
    options = CONTROLS | {"gamma": 2}
    raw_m, centred_m = (simulate(each, **options)["m"] for each in (raw, centred))
    assert (raw_m != centred_m).all()
    shifted = deep_features([tanh(z) ** 2 + Rational(7, 2)], centre=True)
    np.testing.assert_allclose(simulate(shifted, **options)["m"], centred_m, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"alpha": 0.0}, RangeError, "give finite alpha > 0"),
        ({"alpha": float("nan")}, RangeError, "give finite alpha > 0"),
        ({"alpha": 0.05}, RangeError, "less than one sample"),
        ({"lam": 0.0}, RangeError, "give finite lam > 0"),
        ({"noise": -0.1}, RangeError, "give a variance >= 0"),
        ({"gamma": 2}, ShapeError, "1 widths for 2 layers"),
        ({"gamma": (2, -1)}, RangeError, "give finite gamma > 0"),
        ({"d": ()}, RangeError, "give distinct sizes"),
        ({"d": (8, 8)}, RangeError, "give distinct sizes"),
        ({"d": 1}, RangeError, "give a whole number >= 2"),
        ({"d": "40,80"}, RangeError, "d = '40,80': text"),
        ({"trials": 0}, RangeError, "give a whole number >= 1"),
        ({"seed": -1}, RangeError, "give a whole number >= 0"),
    ],
)
def test_bad_controls_are_refused_before_anything_runs(change, error, message):
    with pytest.raises(error, match=message):
        simulate(model(), **CONTROLS | change)
