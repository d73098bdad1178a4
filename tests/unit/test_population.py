"""The front door: four ways to a population; samples without the bias of their number."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

from derive.activation import Activation
from derive.channels import ConvexReadout, Linear, Sign
from derive.errors import NotSupportedError, RangeError, ShapeError
from derive.losses import Loss
from derive.theory.deep_features import SharedLayer, deep_features
from numeric.population import population, predict_learning_curve
from numeric.populations.architecture import chain_spectrum
from numeric.populations.samples import sampled_spectrum
from numeric.populations.unit_constants import unit_constants
from numeric.ridge_readout_theory import ridge_curve
from numeric.solution import Status
from numeric.spectral_functions import Modes

FILE = Path(__file__).parents[1] / "reference" / "deep_features.toml"
POINTS = tomllib.loads(FILE.read_text())["point"]


PLAIN = ("A1", "C1", "C2", "C3", "C4", "C4b", "C5", "C6", "C7", "C8", "C12")


@pytest.mark.parametrize("name", PLAIN)
def test_architectures_give_the_reference_values(name):
    case = POINTS[name]
    target = SharedLayer(case["shared"]) if "shared" in case else case.get("target", "linear")
    spectrum = [tuple(atom) for atom in case.get("spectrum", [["1", "1"]])]
    controls = case["controls"]
    gamma = tuple(map(float, controls.get("gamma", ())))
    seen = population(model=deep_features(case["layers"], target, spectrum=spectrum), gamma=gamma)
    alpha, lam, noise = (float(controls[k]) for k in ("alpha", "lam", "noise"))
    curve = seen.ridge(alpha=alpha, lam=lam, noise=noise)
    for key in set(case) & {"m", "E_test", "E_train"}:
        assert curve[key] == pytest.approx(float(case[key]), rel=5e-15)


def test_sums_of_an_architecture_obey_the_identities_between_them():
    sums = chain_spectrum(deep_features(["tanh", "erf"], SharedLayer(1)), (2, 0.7))
    x, h = np.geomspace(1e-6, 1e3, 9), 1e-5
    here, above, below = sums(x), sums(x * (1 + h)), sums(x * (1 - h))
    slope = (above.T - below.T) / (2 * h)
    assert pytest.approx(here.T + slope, abs=1e-9) == here.T2
    assert here.unexplained == pytest.approx(sums.rho - here.T + slope, abs=1e-9)
    assert here.df2 == pytest.approx(here.df1 + (above.df1 - below.df1) / (2 * h), abs=1e-8)
    assert here.rest1 + here.df1 == pytest.approx(1, abs=1e-14)
    assert here.rest2 + here.df2 == pytest.approx(1, abs=1e-14)


HALVES = [("1/2", "1/2"), ("3/2", "1/2")]


def test_rows_with_a_covariance_have_spectral_functions():
    model = deep_features(["tanh", "tanh"], rows=[HALVES, HALVES])
    seen = population(model=model, gamma=(1.2, 1.4))
    curve = seen.ridge(alpha=1.2, lam=0.01, noise=0.1)
    # Made with mpmath at 45 digits on the derived scalar equations.
    assert curve.m == pytest.approx(34.52375780984095508546, rel=1e-13)
    assert curve.E_test == pytest.approx(0.8780270781887236522704, rel=1e-13)
    assert curve.E_train == pytest.approx(0.1046511565426808513981, rel=1e-13)
    sums, x, h = seen.functions, np.geomspace(1e-6, 1e2, 7), 1e-5
    here, above, below = sums(x), sums(x * (1 + h)), sums(x * (1 - h))
    slope = (above.T - below.T) / (2 * h)
    assert pytest.approx(here.T + slope, abs=1e-9) == here.T2
    assert here.unexplained == pytest.approx(sums.rho - here.T + slope, abs=1e-9)
    assert here.df1 + here.rest1 == pytest.approx(1, abs=1e-14)
    peeled = seen.ridge(alpha=[0.3, 3.0], lam=0, noise=0.1)
    small = seen.ridge(alpha=[0.3, 3.0], lam=1e-11, noise=0.1)
    assert peeled.E_test == pytest.approx(small.E_test, rel=1e-8)


def test_neurons_with_biases_have_spectral_functions():
    alpha, gamma, t = 1.3, 0.8, 0.4
    biased = deep_features(["erf"], biases=[[(0, "1/2"), (1, "1/2")]])
    seen = population(model=biased, gamma=gamma)
    means = unit_constants(Activation("erf"), np.array([0.0, 1.0]), np.ones(2))
    a, b = means.slope**2, means.variance - means.slope**2
    below, trace = 1 / t - 1 / (1 + alpha * t), t  # the data kernel of the input, by its parameter
    s = alpha / gamma * (a * (1 - below * trace) + b * trace)
    A = brentq(lambda A: np.mean(a / (A + s)) - 1, 1e-9, 1.0, xtol=1e-15)
    lam, m = A * below - np.mean(b * A / (A + s)), trace / A
    assert seen.ridge(alpha=alpha, lam=lam).m == pytest.approx(m, rel=1e-11)


def test_a_narrow_linear_layer_limits_the_rank():
    sums = chain_spectrum(deep_features(["z", "z"]), (0.5, 2))
    assert sums.rank == pytest.approx(0.25, rel=1e-15)
    assert sums([1e-9]).df1[0] == pytest.approx(0.25, rel=1e-6)
    curve = ridge_curve(sums, ratio=[0.2, 0.3], lam=0, noise=0.1)
    assert curve.E_train[0] == 0
    assert curve.delta[1] == pytest.approx(0.25 / 0.3, rel=1e-6)


def test_sampled_weights_approach_the_architecture(rng):
    d = 400
    weights = [rng.standard_normal((k, j)) / np.sqrt(j) for k, j in ((800, d), (480, 800))]
    sampled = population(weights=weights, activations="tanh")
    exact = population(model=deep_features(["tanh", "tanh"]), gamma=(2, 1.2))
    one = sampled.ridge(n=500, lam=0.01, noise=0.1)
    other = exact.ridge(alpha=1.25, lam=0.01, noise=0.1)
    # one draw at d = 400 differs by its finite size, about 1/d of a few units
    assert one.m == pytest.approx(float(other.m), rel=0.02)
    assert one.E_test == pytest.approx(float(other.E_test), rel=0.02)


def test_any_loss_reads_the_same_population():
    logistic = ConvexReadout(Loss("logistic"), Sign())
    chain = population(model=deep_features(["tanh", "tanh"]), gamma=(0.75, 1.25))
    curve = chain.readout(logistic, alpha=1, lam=0.1)
    # Made with mpmath at 26 digits on the published scalar equations.
    assert pytest.approx(1.240525742966791571606, rel=1e-12) == curve.V
    assert curve.q == pytest.approx(0.7065732709433360048, rel=1e-12)
    assert curve.E_test == pytest.approx(0.3681154580205112432, rel=1e-12)
    assert curve.loss_train == pytest.approx(0.4465077383350587811, rel=1e-12)
    assert list(curve.controls) == ["alpha", "lam"]


def test_ridge_through_the_losses_equals_the_direct_curve(rng):
    root = rng.standard_normal((6, 9))
    joint = root @ root.T / 9
    seen = population(omega=joint[:4, :4], phi=joint[:4, 4:], psi=joint[4:, 4:], theta=[1, -1])
    square = ConvexReadout(Loss("ridge"), Linear("1/5"))
    n, lam = np.array([2, 4, 20])[:, None], np.array([1e-2, 0.5])
    one, other = seen.readout(square, n=n, lam=lam), seen.ridge(n=n, lam=lam, noise=0.2)
    assert one.E_test == pytest.approx(other.E_test, rel=1e-11)
    assert one.E_train == pytest.approx(other.E_train, rel=1e-11)


# --- samples --------------------------------------------------------------------------------------


def drawn(rng, N, p, noise=0.01, draws=1):
    values = 1 / np.arange(1, p + 1.0)
    true = Modes(values, np.full(p, 1 / p), values**2 / p)
    found = []
    for _ in range(draws):
        x = rng.standard_normal((N, p)) * np.sqrt(values)
        y = x @ rng.choice([-1.0, 1.0], p) / np.sqrt(p) + np.sqrt(noise) * rng.standard_normal(N)
        found.append(sampled_spectrum(x, y, intercept=False))
    return true, found


@pytest.mark.parametrize(("N", "p"), [(150, 250), (250, 150)])
def test_samples_give_the_functions_of_the_population_without_bias(rng, N, p):
    true, found = drawn(rng, N, p, draws=60)
    x = np.geomspace(2 * max(seen.least for seen in found) + 2e-3, 1.0, 5)
    exact = true(x)
    level = exact.unexplained + 0.01
    names = {"df1": exact.df1, "df2": exact.df2, "T": exact.T, "unexplained": level}
    for name, expected in names.items():
        ratios = np.array([getattr(seen(x), name) for seen in found]) / expected
        error = ratios.std(axis=0, ddof=1) / np.sqrt(len(found))
        # 5 standard errors, and a bias of order 1/N
        assert np.all(np.abs(ratios.mean(axis=0) - 1) < 5 * error + 3 / N), name
        assert np.all(error < 0.04)


def test_the_plain_sample_covariance_would_be_far_off(rng):
    true, found = drawn(rng, 250, 150)
    seen, x = found[0], np.array([2e-3])
    plain = np.sum(seen.s * seen.ratio**-1 / (seen.s * seen.ratio**-1 + x)) / 150
    assert abs(plain / true(x).df1[0] - 1) > 0.08


def test_a_curve_from_samples_is_within_its_error_bars_of_the_truth(rng):
    true, found = drawn(rng, 300, 200, draws=30)
    n, lam = np.array([50, 150, 300])[:, None], np.array([0.01, 0.1])
    exact = ridge_curve(true, ratio=n / 200, lam=lam, noise=0.01)
    curves = [ridge_curve(seen, ratio=n / 200, lam=lam) for seen in found]
    deviations = np.array([c.E_test / exact.E_test - 1 for c in curves])
    pairs = zip(found, curves, strict=True)
    stated = np.array([seen.relative_error(c.x.ravel()) for seen, c in pairs])
    spread = deviations.std(axis=0, ddof=1)
    assert np.abs(deviations.mean(axis=0)).max() < 0.06
    assert spread == pytest.approx(stated.mean(axis=0).reshape(3, 2), rel=0.5)


def test_what_the_samples_do_not_resolve_is_a_status(rng):
    _, found = drawn(rng, 100, 200)
    curve = ridge_curve(found[0], ratio=[0.4, 0.9, 2.0], lam=[1e-3, 0.0, 0.0])
    assert curve.status.tolist() == [Status.CONVERGED, Status.LEFT_RANGE, Status.LEFT_RANGE]
    with pytest.raises(RangeError, match="100 samples of 200 features"):
        found[0]([1e-9])


def test_learning_curve_from_arrays_counts_the_intercept(rng):
    p, N = 60, 2000
    x = rng.standard_normal((N, p)) + 3.0
    y = x @ rng.standard_normal(p) / np.sqrt(p) + 0.5 * rng.standard_normal(N) - 7.0
    sizes = np.array([20, 40, 200])
    curve = predict_learning_curve(x, y, lam=0.2, sizes=sizes)
    found = np.array([fitted(rng, x, y, n, 0.2) for n in sizes])
    mean, error = found.mean(axis=1), found.std(axis=1, ddof=1) / np.sqrt(found.shape[1])
    assert curve.E_test == pytest.approx(mean, rel=0.03)
    assert np.all(np.abs(curve.E_test - mean) < 4.5 * error + curve.error["E_test"])
    assert curve.error["E_test"].max() < 0.06 * curve.E_test.max()


def fitted(rng, x, y, n, lam, draws=60):
    """Test errors of ridge with an intercept, on random subsets of a data set."""
    out = []
    for _ in range(draws):
        order = rng.permutation(len(y))
        train, test = order[:n], order[n:]
        centre, level = x[train].mean(axis=0), y[train].mean()
        a = x[train] - centre
        beta = np.linalg.solve(a.T @ a + lam * x.shape[1] * np.eye(x.shape[1]), a.T @ y[train])
        out.append(np.mean((y[test] - level - (x[test] - centre) @ beta) ** 2))
    return out


def refused(error, words, call):
    with pytest.raises(error, match=words):
        call()


def test_data_that_cannot_be_used_are_named_and_measured(rng):
    x, y = rng.standard_normal((20, 5)), rng.standard_normal(20)
    constant = x.copy()
    constant[:, [1, 3]] = 2.0
    hole = x.copy()
    hole[4, 2] = np.nan
    refused(RangeError, r"features: 2 of 5 .*\[1, 3\]", lambda: sampled_spectrum(constant, y))
    refused(RangeError, r"features: 1 of 100 .*\[4, 2\]", lambda: sampled_spectrum(hole, y))
    refused(RangeError, "labels: all equal to 1", lambda: sampled_spectrum(x, np.ones(20)))
    refused(ShapeError, "labels of length 19", lambda: sampled_spectrum(x, y[1:]))
    refused(ShapeError, r"features.*\(0, 5\)", lambda: sampled_spectrum(x[:0], y[:0]))
    refused(ShapeError, r"features.*\(20, 0\)", lambda: sampled_spectrum(x[:, :0], y))
    refused(RangeError, "2 samples", lambda: sampled_spectrum(x[:2], y[:2]))
    refused(RangeError, "n = 1", lambda: predict_learning_curve(x, y, 0.1, 1))
    refused(RangeError, "n = 0: out of range", lambda: predict_learning_curve(x, y, 0.1, [5, 0]))
    refused(RangeError, "sizes = 'a': not a number", lambda: predict_learning_curve(x, y, 0.1, "a"))
    refused(RangeError, "features = .*not a number", lambda: population(features=x * 1j, labels=y))
    refused(RangeError, "labels = .*not a number", lambda: population(features=x, labels=y + 0j))
    refused(
        RangeError, "features = .*not a number", lambda: population(features=[[1], []], labels=y)
    )
    masked = np.ma.masked_array(x, mask=x > 1)
    refused(RangeError, "entries are not finite", lambda: population(features=masked, labels=y))
    seen = population(features=x, labels=y)
    refused(RangeError, "contain theirs", lambda: seen.ridge(n=10, lam=0.1, noise=0.1))
    refused(RangeError, "takes n=", lambda: seen.ridge(alpha=10, lam=0.1))


def test_exactly_one_way_in():
    refused(NotSupportedError, "from nothing", population)
    one = {"omega": np.eye(2), "model": deep_features(["tanh"])}
    refused(NotSupportedError, "omega and model", lambda: population(**one))
    refused(ShapeError, "without phi and psi", lambda: population(omega=np.eye(2)))
    refused(ShapeError, "without labels", lambda: population(features=np.eye(3)))
    refused(ShapeError, "2 widths, 1 layers", lambda: population(model=one["model"], gamma=(1, 2)))
    refused(ShapeError, "0 widths, 1 layers", lambda: population(model=one["model"]))
    refused(RangeError, "not positive", lambda: population(model=one["model"], gamma=-1))
    chain = population(model=one["model"], gamma=1)
    loss = Loss("logistic")
    refused(NotSupportedError, "no ConvexReadout", lambda: chain.readout(loss, alpha=1, lam=1))
    refused(RangeError, "takes alpha=", lambda: chain.ridge(n=3, lam=1))
    refused(RangeError, "lam = 'a': not a number", lambda: chain.ridge(alpha=3, lam="a"))
    refused(
        ShapeError, r"alpha \(3,\), lam \(2,\)", lambda: chain.ridge(alpha=[1, 2, 3], lam=[1, 2])
    )


def test_features_that_repeat_others_are_refused_unless_meant(rng):
    factor = rng.standard_normal((5, 3))
    omega = factor @ factor.T
    joint = {"omega": omega, "phi": omega, "psi": omega}
    refused(RangeError, "omega: rank 3 of 5", lambda: population(**joint))
    meant = population(**joint, deficient=True).ridge(n=7, lam=0.3, noise=0)
    within = np.diag(np.linalg.eigvalsh(omega)[2:])
    same = population(omega=within, phi=within, psi=within).ridge(n=7, lam=0.5, noise=0)
    assert 5 * meant.E_test == pytest.approx(3 * same.E_test, rel=1e-10)
    assert 3 * meant.m == pytest.approx(5 * same.m, rel=1e-10)
