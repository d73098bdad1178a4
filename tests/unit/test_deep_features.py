"""The declaration of deep features: constants, special layers, targets, refusals."""

import mpmath
import numpy as np
import pytest
from sympy import Integer, Max, Rational, asin, exp, pi, sqrt

from derive.activation import Activation
from derive.balls import enclose
from derive.errors import NotSupportedError, RangeError, ShapeError, UnknownNameError
from derive.symbols import z
from derive.theory.deep_features import (
    DeepFeatures,
    Linear,
    RandomFeatures,
    SharedLayer,
    deep_features,
)
from numeric.compiled import compile

POINT = {"alpha": 1.3, "lam": 0.05, "noise": 0.2}


def solver(model):
    """The outputs alone: they compile faster without errors and slopes."""
    return compile(model.system(), errors=False, slopes=False)


def named(model, route="covariance"):
    return {s.name: e for s, e in model.system(route).constants}


def number(expr):
    return enclose(expr, 25).mpf(25)


def test_declaration_from_names_expressions_and_activations_is_one():
    from sympy import erf

    declared = [deep_features([layer]) for layer in ("erf", erf(z), Activation("erf(z)"))]
    assert declared[0] == declared[1] == declared[2]
    assert declared[0].depth == 1
    assert isinstance(declared[0].target, Linear)


def test_constants_of_one_layer_by_hand():
    found = named(deep_features(["erf"]))
    assert abs(number(found["a_1"]) - 4 / (3 * mpmath.pi)) < 1e-15
    star = 2 / mpmath.pi * mpmath.asin(mpmath.mpf(2) / 3) - 4 / (3 * mpmath.pi)
    assert abs(number(found["b_1"]) - star) < 1e-15
    assert found["signal"] == 1
    assert "hidden" not in found


def test_variances_follow_the_second_moments():
    model = deep_features(["erf", "sin"])
    r_2 = 2 / pi * asin(Rational(2, 3))
    r_3 = (1 - exp(-2 * r_2)) / 2
    assert model.variances[0] == 1
    assert abs(number(model.variances[1]) - number(r_2)) < 1e-20
    assert abs(number(model.variances[2]) - number(r_3)) < 1e-20


def test_removing_the_mean_lowers_the_variance_by_its_square():
    model = deep_features(["relu", "tanh"], centre=True)
    assert abs(number(model.variances[1]) - number(Rational(1, 2) - 1 / (2 * pi))) < 1e-20
    first, _ = model.layer_functions()
    assert (first - (Max(0, z) - 1 / sqrt(2 * pi))).equals(0)


def test_input_covariance_sets_the_first_variance():
    model = deep_features(["sign"], spectrum=[(0.5, 0.25), (2, 0.75)])
    assert model.variances == (Rational(13, 8), 1)
    assert abs(number(named(model)["a_1"]) - number(16 / (13 * pi))) < 1e-20


def test_ridge_regression_is_the_network_without_layers():
    system = deep_features([]).system()
    assert [u.name for u in system.unknowns] == ["x_0"]
    assert [q.name for q in system.controls] == ["alpha", "lam", "noise"]
    # alpha = 2, x_0 = 1 at lam = 3/2 gives m = 1/2 and E_test = 8/7 (noise + 1/4), by hand.
    solution = compile(system)(alpha=2, lam=1.5, noise=1)
    assert solution.m == pytest.approx(0.5, rel=1e-14)
    assert solution.E_test == pytest.approx(10 / 7, rel=1e-14)


# --- layers that kill the linear signal, and linear layers ----------------------------------------


@pytest.mark.parametrize("route", ["covariance", "kernel"])
def test_even_layer_starts_the_chain_anew(route):
    model = deep_features(["tanh", "abs", "erf"], centre=True)
    system = model.system(route)
    letter = {"covariance": "x", "kernel": "k"}[route]
    assert [u.name for u in system.unknowns] == [f"{letter}_2", f"{letter}_3"]
    used = {s.name for s, _ in system.constants}
    assert {"b_2", "a_3", "b_3"} <= used
    assert not {"a_1", "b_1", "a_2"} & used


def test_even_layer_hides_the_target():
    model = deep_features(["abs"], centre=True)
    found = named(model)
    assert "signal" not in found
    assert found["hidden"] == 1
    assert abs(number(found["b_1"]) - number(1 - 2 / pi)) < 1e-20
    # Features are then white noise of variance b: m solves 1/m = lam + b/(1 + (alpha/gamma) m b).
    solution = solver(model)(gamma=(2,), **POINT)
    b, r, m = 1 - 2 / np.pi, 1.3 / 2, float(solution.m)
    assert 1 / m == pytest.approx(0.05 + b / (1 + r * m * b), rel=1e-13)
    assert solution.E_test > 1.2  # nothing is learnt, and the noise of a label is 1 + 0.2


def test_an_even_layer_above_a_shared_target_hides_it_and_one_below_does_not():
    above = named(deep_features(["tanh", "abs"], SharedLayer(1), centre=True))
    assert "signal" not in above
    assert abs(number(above["hidden"]) - mpmath.mpf("0.3942944903978411744165")) < 1e-15
    below = named(deep_features(["abs", "tanh"], SharedLayer(2), centre=True))
    assert "hidden" not in below
    assert below["signal"] == 1


def test_linear_layers_have_no_nonlinear_part():
    model = deep_features(["z", "2*z"])
    found = named(model)
    assert set(found) == {"a_1", "a_2", "signal"}
    assert (found["a_1"], found["a_2"]) == (1, 4)
    assert [layer.b for layer in model.chain().layers] == [Integer(0), Integer(0)]
    assert solver(model)(gamma=(0.5, 2), **POINT).converged


def test_scaling_a_linear_last_layer_scales_the_ridge():
    plain = solver(deep_features(["tanh", "z"]))
    scaled = solver(deep_features(["tanh", "3*z"]))
    options = {"alpha": 1.3, "noise": 0.2, "gamma": (2, 1.5)}
    assert scaled(lam=0.9, **options).E_test == pytest.approx(
        float(plain(lam=0.1, **options).E_test), rel=1e-13
    )


# --- targets --------------------------------------------------------------------------------------


def test_sign_target_is_linear_with_the_rest_as_noise():
    found = named(deep_features(["tanh"], ["sign"]))
    assert abs(number(found["signal"]) - number(2 / pi)) < 1e-20
    assert abs(number(found["hidden"]) - number(1 - 2 / pi)) < 1e-20


def test_random_feature_target_equals_a_linear_target_with_more_noise():
    sign = solver(deep_features(["tanh"], ["sign"]))(gamma=(2,), **POINT)
    # Signal 1/2 in place of 2/pi: the same problem in other units, noise scaled alike.
    units = (2 / np.pi) / 0.5
    noise = (0.2 + 1 - 2 / np.pi) / units
    linear = solver(deep_features(["tanh"], signal=Rational(1, 2)))
    same = linear(gamma=(2,), **(POINT | {"noise": noise}))
    assert sign.E_test == pytest.approx(units * float(same.E_test), rel=1e-12)


def test_two_layers_of_a_target_multiply_their_slopes():
    found = named(deep_features(["tanh"], ["erf", "sign"]))
    r_2 = 2 / pi * asin(Rational(2, 3))
    assert abs(number(found["signal"]) - number(4 / (3 * pi) * 2 / (pi * r_2))) < 1e-18
    total = number(found["signal"]) + number(found["hidden"])
    assert abs(total - 1) < 1e-20


def test_even_target_is_all_noise():
    found = named(deep_features(["tanh"], ["abs"]))
    assert "signal" not in found
    assert found["hidden"] == 1


def test_shared_layer_zero_is_the_linear_target():
    shared = solver(deep_features(["erf"], SharedLayer(0)))(gamma=(2,), **POINT)
    linear = solver(deep_features(["erf"]))(gamma=(2,), **POINT)
    assert shared.E_test == pytest.approx(float(linear.E_test), rel=1e-14)


def test_well_specified_target_is_learnt_best_at_a_ridge_equal_to_the_noise():
    # E = 1/m + (noise - lam) d(1/m)/dlam, whose slope in lam vanishes at lam = noise.
    model = compile(deep_features(["tanh"], SharedLayer(1)).system())
    options = {"alpha": 1.3, "noise": 0.2, "gamma": (2,)}
    best = model(lam=0.2, **options)
    assert best.E_test == pytest.approx(1 / float(best.m), rel=1e-13)
    assert abs(float(best.dE_test_dlam)) < 1e-12
    assert float(model(lam=0.1, **options).dE_test_dlam) < -1e-3
    assert float(model(lam=0.4, **options).dE_test_dlam) > 1e-3


def test_target_given_as_text_list_or_object_is_the_same():
    declared = [
        deep_features(["tanh"], target).target
        for target in ("sign", ["sign"], RandomFeatures((Activation("sign"),)))
    ]
    assert declared[0] == declared[1] == declared[2]
    assert deep_features(["tanh"], ["sign"]).target_functions()[0].subs(z, 2) == 1
    assert deep_features(["tanh"]).target_functions() == ()


def test_error_is_linear_in_signal_and_noise():
    one = solver(deep_features(["tanh"]))(gamma=(2,), **POINT)
    three = solver(deep_features(["tanh"], signal=3))(gamma=(2,), **(POINT | {"noise": 0.6}))
    assert three.E_test == pytest.approx(3 * float(one.E_test), rel=1e-13)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spectrum", "message"),
    [
        ([(1, "1/2")], "weights sum to 1/2"),
        ([(0, 1)], "not positive"),
        ([(-1, 1)], "not positive"),
        ([(1, 2), (2, -1)], "not positive"),
        ([], "weights sum to 0"),
        ([(float("nan"), 1)], "not finite"),
    ],
)
def test_spectra_that_are_no_covariance_are_refused(spectrum, message):
    with pytest.raises(RangeError, match=message):
        deep_features(["tanh"], spectrum=spectrum)


def test_decimal_weights_sum_exactly():
    model = deep_features(["tanh"], spectrum=[(1, 0.1), (2, 0.2), (3, 0.7)])
    assert sum(w for _, w in model.spectrum) == 1


@pytest.mark.parametrize("level", [-1, 3])
def test_target_on_a_layer_that_does_not_exist_is_refused(level):
    with pytest.raises(RangeError, match="the network has layers 1 to 2"):
        deep_features(["tanh", "tanh"], SharedLayer(level))


def test_layers_as_one_text_and_spectra_without_pairs_are_refused():
    with pytest.raises(ShapeError, match=r"layers 'tanh': text; give one entry per layer"):
        deep_features("tanh")
    with pytest.raises(ShapeError, match=r"spectrum = 3: no pairs"):
        deep_features(["tanh"], spectrum=3)
    with pytest.raises(ShapeError, match=r"rows of layer 1 = \(1, 2\): no pairs"):
        deep_features(["tanh"], rows=[(1, 2)])


def test_negative_signal_is_refused():
    with pytest.raises(RangeError, match="signal = -1: not a variance"):
        deep_features(["tanh"], signal=-1)


def test_unknown_route_lists_the_routes():
    with pytest.raises(UnknownNameError, match="the routes are covariance, kernel"):
        deep_features(["tanh"]).system("replica")


def test_mean_below_the_last_layer_becomes_random_biases():
    system = deep_features(["tanh", "relu", "tanh"]).system()
    assert system.is_tower()
    assert not system.is_triangular()
    assert any("means over the biases of layer 3" in a for a in system.assumptions)
    with pytest.raises(NotSupportedError, match="1 of its equations are implicit"):
        system.polynomial()


def test_mean_inside_a_target_network_becomes_random_biases_too():
    found = named(deep_features(["tanh"], ["relu", "tanh"]))
    assert 0 < number(found["signal"]) < 1
    assert number(found["hidden"]) > 0


def test_mean_of_the_last_layer_is_no_obstacle():
    for model in (deep_features(["tanh", "relu"]), deep_features(["tanh"], ["tanh", "relu"])):
        assert model.system().is_triangular()


def test_declaration_is_frozen_and_hashable():
    model = deep_features(["tanh"])
    assert hash(model) == hash(deep_features(["tanh"]))
    with pytest.raises(AttributeError):
        model.centre = True
    assert isinstance(model, DeepFeatures)
