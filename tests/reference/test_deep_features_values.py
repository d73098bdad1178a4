"""Published and recomputed values of deep random features, against evaluator and reference."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from mpmath import mpf, workdps
from sympy import Rational

from derive.activation import Activation
from derive.balls import enclose
from derive.exact import exact_number
from derive.theory.deep_features import SharedLayer, deep_features
from derive.theory.gram_weights import gram_features, h
from numeric.compiled import compile
from numeric.reference import reference

TABLE = tomllib.loads((Path(__file__).parent / "deep_features.toml").read_text())
POINTS = TABLE["point"]
CLIP = "1.1*clip(z, -2, 2)"


def declared(case):
    target = SharedLayer(case["shared"]) if "shared" in case else case.get("target", "linear")
    spectrum = [tuple(atom) for atom in case.get("spectrum", [["1", "1"]])]
    rows = [[tuple(atom) for atom in atoms] for atoms in case.get("rows", [])]
    return deep_features(case["layers"], target, spectrum=spectrum, rows=rows)


def agrees(value, text, printed=True):
    """Whether a high-precision value rounds to the printed digits (one unit in the last place)."""
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    places = len(text.split(".")[1]) if "." in text else 0
    with workdps(len(digits) + 20):
        return abs(mpf(value) - mpf(text)) <= mpf(10) ** (-places)


@pytest.mark.parametrize("name", sorted(POINTS))
def test_reference_reproduces_every_printed_digit(name):
    case = POINTS[name]
    result = reference(declared(case), digits=25, **case["controls"])
    expected = {k: v for k, v in case.items() if k in result.values}
    assert expected
    assert all(agrees(result[k], text) for k, text in expected.items())


@pytest.mark.parametrize("name", sorted(POINTS))
def test_evaluator_is_within_1e12_of_the_values(name):
    case = POINTS[name]
    controls = {
        k: tuple(map(float, v)) if isinstance(v, list) else float(v)
        for k, v in case["controls"].items()
    }
    solution = compile(declared(case).system())(**controls)
    assert solution.converged
    for key in set(case) & {"m", "E_test", "E_train"}:
        assert solution[key] == pytest.approx(float(case[key]), rel=1e-12)


def test_rows_that_depend_on_the_first_weights_to_18_digits():
    case = TABLE["gram"]["C11"]
    model = gram_features(case["layers"], 1 / (h + exact_number(case["c"])), case["gamma_1"])
    result = reference(model, digits=18, **case["controls"])
    assert abs(enclose(model.variances[1], 20).mpf(20) - mpf(case["r_2"])) < 1e-16
    with workdps(30):
        gaps = [abs(result[k] / mpf(case[k]) - 1) for k in ("m", "E_test", "E_train")]
        assert max(gaps) < mpf(10) ** -18


def test_moments_of_two_rectifier_layers_to_every_printed_digit():
    model = deep_features(["relu", "relu"])
    assert model.variances[-1] == Rational(1, 4)
    assert agrees(enclose(model.squared_means[-1], 25).mpf(25), ".1234327725500928871245")


@pytest.mark.parametrize("text", sorted(TABLE["constants"]))
def test_constants_of_the_variance_chain_to_every_printed_digit(text):
    rows = TABLE["constants"][text]
    model = deep_features([text] * len(rows["kappa_1"]))
    activation = Activation(text)
    for i, r in enumerate(model.variances[:-1]):
        assert agrees(activation.kappa_1(r).ball(30).mpf(30), rows["kappa_1"][i])
        star = activation.kappa_star_squared(r).ball(30).mpf(30)
        assert agrees(star, rows["kappa_star_squared"][i])


def test_variances_of_the_tanh_chain_to_every_printed_digit():
    model = deep_features(["tanh"] * 3)
    for r, text in zip(model.variances[1:], TABLE["constants"]["tanh"]["variance"], strict=True):
        assert agrees(enclose(r, 30).mpf(30), text)


@pytest.mark.parametrize(("name", "text"), [("tanh", "tanh"), ("clip", CLIP)])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6])
def test_third_figure_table(name, text, depth):
    table = TABLE["figure3"]
    model = deep_features([text] * depth, ["sign"])
    alpha = np.array([float(a) for a in table["alpha"]])
    solution = compile(model.system())(alpha=alpha, gamma=(4,) * depth, lam=1e-3, noise=0)
    printed = table[name][depth - 1]
    unit = np.array([10.0 ** -len(t.split(".")[1]) for t in printed])
    assert solution.converged
    assert np.all(np.abs(solution.E_test - np.array(list(map(float, printed)))) <= unit)


def test_a_wrong_digit_would_be_seen():
    assert not agrees("0.8006573419074004298057", ".8006573419074004298047")
