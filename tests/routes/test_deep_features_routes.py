"""Deep random features by independent routes: covariance, data kernel, published layer map."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.theory.deep_features import SharedLayer, deep_features
from numeric.compiled import compile
from numeric.reference import reference

ACTIVATIONS = ["tanh", "erf", "sin", "sign", "z", "z*exp(-z**2/8)", "clip(z, -1, 1)", "abs"]
SPECTRA = [((1, 1),), (("1/2", "1/4"), (2, "3/4")), (("1/10", "1/2"), (1, "1/4"), (3, "1/4"))]
TARGETS = ["linear", "sign", ["tanh", "erf"], SharedLayer(1)]


@st.composite
def declarations(draw, max_depth=5):
    depth = draw(st.integers(1, max_depth))
    layers = [draw(st.sampled_from(ACTIVATIONS)) for _ in range(depth)]
    model = deep_features(
        layers,
        draw(st.sampled_from(TARGETS)),
        spectrum=draw(st.sampled_from(SPECTRA)),
        signal=draw(st.sampled_from(["1", "7/10"])),
        centre=True,
    )
    ratio = st.decimals("0.2", "5", places=2)
    controls = {
        "alpha": str(draw(ratio)),
        "gamma": tuple(str(draw(ratio)) for _ in range(depth)),
        "lam": str(draw(st.sampled_from(["1e-4", "0.01", "0.3", "2"]))),
        "noise": str(draw(st.sampled_from(["0.05", "0.5"]))),
    }
    return model, controls


@settings(max_examples=8)
@given(declarations())
def test_covariance_and_kernel_routes_agree_to_thirty_digits(case):
    model, controls = case
    first = reference(model.system("covariance"), 32, **controls)
    second = reference(model.system("kernel"), 32, **controls)
    for output in ("m", "E_test", "E_train", "dE_test_dlam"):
        scale = max(abs(first[output]), mpmath.mpf("1e-3"))
        assert abs(first[output] - second[output]) <= 1e-30 * scale


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_compiled_routes_agree_to_twelve_digits(depth, rng):
    model = deep_features((["tanh", "erf", "sin"] * 2)[:depth])
    count = 500
    controls = {
        "alpha": 10 ** rng.uniform(-1, 1, count),
        "gamma": [10 ** rng.uniform(-0.7, 0.7, count) for _ in range(depth)],
        "lam": 10 ** rng.uniform(-4, 1, count),
        "noise": rng.uniform(0.05, 1, count),
    }
    first = compile(model.system("covariance"))(**controls).check()
    second = compile(model.system("kernel"))(**controls).check()
    for output in ("m", "E_test", "E_train"):
        assert np.max(np.abs(second[output] / first[output] - 1)) <= 1e-12


def published_layer_map(t, alpha, gammas, a, b):
    """(lambda, g, C) of arXiv:2302.00401 as printed (with C_0 = 1): lambda_l(t), g_l, C_l."""
    lam, g, c = 1 / t - 1 / (1 + alpha * t), t, mpmath.mpf(1)
    for gamma, a_l, b_l in zip(gammas, a, b, strict=True):
        u = a_l * lam - b_l
        h = 1 - lam * g * u / (u + b_l)
        e = 1 - alpha / gamma * h
        lam, g, c = u * e, g / (e * a_l), c / (e * a_l)
    return lam, g, c


def test_both_routes_satisfy_the_published_layer_map():
    model = deep_features(["tanh", "erf", "sin"])
    controls = {"alpha": "1.25", "gamma": ("2", "0.8", "1.5"), "lam": "0.01", "noise": "0.1"}
    kernel = reference(model.system("kernel"), 30, **controls)
    with mpmath.workdps(40):
        from derive.balls import enclose

        values = {str(s): enclose(e, 40).mpf(40) for s, e in model.system("kernel").constants}
        a = [values[f"a_{i}"] for i in (1, 2, 3)]
        b = [values[f"b_{i}"] for i in (1, 2, 3)]
        alpha, gammas = mpmath.mpf("1.25"), [mpmath.mpf(g) for g in ("2", "0.8", "1.5")]
        t = 1 / kernel["k_0"]

        def curve(s):
            lam, g, c = published_layer_map(s, alpha, gammas, a, b)
            signal = (1 - (1 / s - 1 / (1 + alpha * s)) * s) + mpmath.mpf("0.1") * s
            return lam, g, c * signal

        lam, g, _ = curve(t)
        dlam, dF = (mpmath.diff(lambda s, i=i: curve(s)[i], t) for i in (0, 2))
        assert abs(lam - mpmath.mpf("0.01")) < 1e-25
        assert abs(g / kernel["m"] - 1) < 1e-25
        assert abs(-dF / dlam / g**2 / kernel["E_test"] - 1) < 1e-12


def test_generalised_cross_validation_identity_holds_on_the_kernel_route():
    model = deep_features(["sign", "tanh"], ["erf"])
    controls = {"alpha": "0.9", "gamma": ("1.5", "1.1"), "lam": "0.05", "noise": "0.2"}
    kernel = reference(model.system("kernel"), 30, **controls)
    lam = mpmath.mpf("0.05")
    assert abs(kernel["E_train"] / ((lam * kernel["m"]) ** 2 * kernel["E_test"]) - 1) < 1e-15


def test_a_route_with_a_wrong_constant_would_disagree():
    controls = {"alpha": "0.9", "gamma": ("1.5",), "lam": "0.05", "noise": "0.2"}
    first = reference(deep_features(["tanh"]).system("covariance"), 30, **controls)
    wrong = reference(deep_features(["tanh(1.0000000001*z)"]).system("kernel"), 30, **controls)
    assert abs(first["E_test"] - wrong["E_test"]) > 1e-14
