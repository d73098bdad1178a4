"""Limits of readouts against the full equations near the limit, and against forms by hand."""

import mpmath
import pytest

from derive.errors import NotSupportedError, UnknownNameError
from derive.readouts.ridge_limits import infinite_data, peak_law, ridgeless, wide
from derive.theory.deep_features import SharedLayer, deep_features
from numeric.reference import reference

ROWS = [None, [(1, "1/2"), (2, "1/2")]]
MODELS = {
    "two layers": deep_features(["erf", "erf"]),
    "target on the last layer": deep_features(["erf", "erf"], SharedLayer(2)),
    "structured": deep_features(["erf", "erf"], rows=ROWS),
}
AT = {"gamma": ("3", "2"), "noise": "0.1"}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_ridgeless_errors_are_the_limit_to_15_digits(name):
    model = MODELS[name]
    system = model.system()
    near = reference(system, 15, alpha="1.5", lam="1e-18", **AT)
    limit = reference(ridgeless(model, "fewer"), 15, alpha="1.5", **AT)
    assert abs(limit["E_test"] / near["E_test"] - 1) < 1e-15
    assert abs(limit["m"] / near["m"] - 1) < 1e-15
    near = reference(system, 15, alpha="2.5", lam="1e-18", **AT)
    limit = reference(ridgeless(model, "more"), 15, alpha="2.5", **AT)
    assert abs(limit["E_test"] / near["E_test"] - 1) < 1e-14
    assert abs(limit["E_train"] / near["E_train"] - 1) < 1e-15
    assert abs(limit["lam_m"] / (near["m"] * mpmath.mpf("1e-18")) - 1) < 1e-14


def test_layers_of_uneven_neurons_have_the_same_limits():
    model = deep_features(["relu", "relu"])
    system = model.system(digits=5)
    chain = model.chain(digits=5)
    near = reference(system, 12, alpha="1.5", lam="1e-18", **AT)
    limit = reference(ridgeless(chain, "fewer"), 12, alpha="1.5", **AT)
    assert abs(limit["E_test"] / near["E_test"] - 1) < 1e-14


def test_one_layer_below_its_width_is_the_form_by_hand():
    constants = {str(s): mpmath.mpf(float(e)) for s, e in deep_features(["tanh"]).constants()}
    below, al, ga, noise = constants["b_1"] / constants["a_1"], 1.5, 3, 0.1
    root = lambda v: mpmath.sqrt((v + 1 - al) ** 2 + 4 * al * v)  # noqa: E731
    t = lambda v: (-(v + 1 - al) + root(v)) / (2 * al * v)  # noqa: E731
    slope, t0 = mpmath.diff(t, below), t(below)
    kernel = (t0 + below * slope - noise * slope) / t0**2
    by_hand = kernel + al / (ga - al) * (1 / t0 - below + noise)
    found = reference(
        ridgeless(deep_features(["tanh"]), "fewer"), 15, alpha="1.5", gamma=("3",), noise="0.1"
    )
    assert abs(found["E_test"] / by_hand - 1) < 1e-12


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_peak_grows_like_the_inverse_root_of_the_ridge(name):
    model = MODELS[name]
    law = reference(peak_law(model), 15, **AT)
    near = reference(model.system(), 15, alpha="2", lam="1e-20", **AT)
    assert abs(law["peak"] / (near["E_test"] * mpmath.mpf("1e-10")) - 1) < 1e-7
    inverse = reference(model.system(), 15, alpha="2", lam="1e-20", **AT)["x_2"]
    assert abs(law["S_0"] * inverse**2 / mpmath.mpf("1e-20") - 1) < 1e-7


@pytest.mark.parametrize("name", sorted(MODELS))
def test_endless_data_leave_what_no_readout_explains(name):
    model = MODELS[name]
    found = reference(infinite_data(model), 15, **AT)["E_test"]
    near = reference(model.system(), 15, alpha="1e12", lam="0.01", **AT)["E_test"]
    assert abs(found / near - 1) < 1e-11


def test_infinite_widths_are_linear_regression_at_an_effective_ridge():
    model = MODELS["two layers"]
    at = {"alpha": "1.5", "lam": "0.1", "noise": "0.1"}
    limit = reference(wide(model), 15, **at)
    near = reference(model.system(), 15, gamma=("1e15", "1e15"), **at)
    assert all(abs(limit[n] / near[n] - 1) < 1e-13 for n in ("m", "E_test", "E_train"))


def test_limits_carry_their_log_and_print():
    system = ridgeless(MODELS["two layers"], "fewer")
    assert "peel the last layer" in str(system.log)
    assert r"\gamma_{2}" in system.latex()
    assert "expand at the interpolation threshold" in str(peak_law(MODELS["two layers"]).log)


def test_limits_that_do_not_exist_are_refused():
    with pytest.raises(UnknownNameError, match="the sides are fewer, more"):
        ridgeless(MODELS["two layers"], "equal")
    with pytest.raises(NotSupportedError, match="no layers above its base"):
        peak_law(deep_features([]))
    with pytest.raises(NotSupportedError, match="target or row covariances on a layer"):
        wide(MODELS["structured"])
