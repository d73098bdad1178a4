"""Best ridges, phase boundaries and peaks, against closed forms and the curves themselves."""

import numpy as np
import pytest
from sympy import Float, Symbol

from derive.chains.layer_chain import lam, noise
from derive.errors import NoRuleError, NotConvergedError, RangeError
from derive.readouts.best_ridge import known_best_ridge
from derive.readouts.descents import thresholds
from derive.readouts.phase_boundary import noise_boundary
from derive.theory.deep_features import SharedLayer, deep_features
from numeric.best_ridge import Where, best_ridge, noise_threshold
from numeric.compiled import compile
from numeric.reference import reference

OWN = deep_features(["erf", "erf"], SharedLayer(2), signal=2)
AT = {"alpha": 1.3, "gamma": (2.0, 1.5)}


@pytest.fixture(scope="module")
def own():
    return compile(OWN)


@pytest.fixture(scope="module")
def linear():
    return compile(deep_features(["erf"]))


def test_the_known_ridge_is_the_minimum_of_the_curve(own):
    known = known_best_ridge(OWN)
    found = best_ridge(own, noise=0.6, **AT)
    assert found.where is Where.INSIDE
    assert found.lam == pytest.approx(float(known.lam.subs(noise, 0.6)), rel=1e-5)
    solution = own(lam=0.3, noise=0.6, **AT)
    assert float(known.E_test.subs(Symbol("m", positive=True), float(solution.m))) == pytest.approx(
        float(solution.E_test)
    )


def test_brackets_hold_a_certain_change_of_sign(linear):
    found = best_ridge(linear, alpha=0.8, gamma=(2.0,), noise=0.3)
    assert found.bracket[0] < found.lam < found.bracket[1]
    assert found.slopes[0] < 0 < found.slopes[1]
    around = linear(lam=np.array([0.7, 1, 1.4]) * found.lam, alpha=0.8, gamma=(2.0,), noise=0.3)
    assert int(np.argmin(around.E_test)) == 1


def test_noiseless_represented_targets_want_no_ridge(own):
    assert best_ridge(own, noise=0.0, **AT).where is Where.ZERO


def test_targets_that_cannot_be_seen_want_an_infinite_ridge():
    model = deep_features(["abs"], centre=True)
    assert best_ridge(model, alpha=1.0, gamma=(2.0,), noise=0.1).where is Where.INFINITE


def test_the_phase_boundary_separates_interpolation_from_regularisation(linear):
    at = {"alpha": 0.8, "gamma": (4.0,)}
    edge = noise_threshold(linear, lam=1e-7, **at).noise
    assert edge == pytest.approx(noise_threshold(linear, lam=1e-6, **at).noise, rel=1e-3)
    assert edge > 0
    assert best_ridge(linear, noise=edge * 0.9, **at).where is Where.ZERO
    assert best_ridge(linear, noise=edge * 1.1, **at).where is Where.INSIDE


def boundary(model, **controls):
    """noise_c of the System, on the unknowns that the reference finds."""
    system = noise_boundary(model)
    full = reference(model.system("kernel"), 20, noise="0.1", **controls)
    known = {s: e.evalf(20) for s, e in system.constants}
    known |= {u: Float(str(full[u.name]), 20) for u in system.unknowns}
    known |= {q: full.controls[q.name] for q in system.controls}
    for symbol, expr in system.definitions:
        known[symbol] = expr.xreplace(known).evalf(20)
    return float(system.outputs["noise_c"].xreplace(known))


def test_the_boundary_as_a_system_agrees_with_the_compiled_slopes(linear):
    found = boundary(deep_features(["erf"]), alpha="0.8", gamma=("4",), lam="0.4")
    slopes = noise_threshold(linear, alpha=0.8, gamma=(4.0,), lam=0.4)
    assert found == pytest.approx(slopes.noise, rel=1e-7)
    assert abs(found - slopes.noise) <= slopes.error + 1e-12
    assert slopes.error < 1e-9
    assert "solve for the noise" in str(noise_boundary(deep_features(["erf"])).log)


def test_the_boundary_of_a_represented_target_is_the_ridge():
    model = deep_features(["erf"], SharedLayer(1), signal=2)
    found = boundary(model, alpha="1.3", gamma=("2",), lam="0.4")
    assert found == pytest.approx(0.8, rel=1e-10)


def test_on_the_boundary_of_a_represented_target_noise_is_the_ridge(own):
    found = noise_threshold(own, lam=0.4, **AT)
    assert found.noise == pytest.approx(0.8, rel=1e-6)
    assert abs(found.noise - 0.8) <= found.error


def test_other_targets_have_no_known_ridge():
    with pytest.raises(NoRuleError, match=r"numeric\.best_ridge"):
        known_best_ridge(deep_features(["erf"]))


def test_what_is_sought_must_not_be_given(linear):
    with pytest.raises(RangeError, match="the ridge is what is sought"):
        best_ridge(linear, alpha=1, gamma=(2.0,), noise=0.1, lam=1)
    with pytest.raises(RangeError, match="it is what is sought"):
        noise_threshold(linear, alpha=1, gamma=(2.0,), noise=0.1, lam=1)


def test_points_that_fail_and_slopes_without_noise_are_refused(linear):
    at = {"alpha": 0.8, "gamma": (4.0,)}
    with pytest.raises(NotConvergedError, match="a point did not converge"):
        noise_threshold(linear, lam=1e300, **at)
    with pytest.raises(NotConvergedError, match=r"changes the slope by .*within its error"):
        noise_threshold(linear, alpha=1e-14, gamma=(4.0,), lam=1.0)


def maxima(evaluate, **controls):
    """Sample ratios of the local maxima of the test error."""
    alpha = np.geomspace(0.3, 12, 2001)
    error = evaluate(alpha=alpha, **controls).E_test
    inside = (error[1:-1] > error[:-2]) & (error[1:-1] > error[2:])
    return alpha[1:-1][inside]


def test_weak_nonlinearity_descends_three_times_at_the_thresholds():
    model = deep_features(["erf(z/3)"])
    places = thresholds(model)
    assert [p.kind for p in places] == ["linear", "nonlinear"]
    evaluate = compile(model)
    found = maxima(evaluate, gamma=(5.0,), lam=1e-8, noise=0.5)
    assert np.allclose(found, [1, 5], rtol=0.05)
    values = {str(s): float(e) for s, e in model.constants()}
    named = {s: values[s.name] for s in places[0].ridge.free_symbols if s != lam}
    floor = float(places[0].ridge.subs(named | {lam: 1e-8}))
    assert floor == pytest.approx((values["b_1"] + 1e-8) / values["a_1"])
    assert len(maxima(evaluate, gamma=(5.0,), lam=0.3, noise=0.5)) < 2  # a ridge removes it


def test_thresholds_of_deep_networks_list_every_level():
    places = thresholds(deep_features(["erf", "erf", "erf"]))
    assert [str(p.alpha) for p in places] == ["1", "gamma_1", "gamma_2", "gamma_3"]
    assert [p.kind for p in places] == ["linear", "layer", "layer", "nonlinear"]
