"""Laws of ridge curves on random spectra: bounds, order, limits, and shapes of the answers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numeric.ridge_readout_theory import ridge_curve
from numeric.spectral_functions import Modes

COUNTS = st.integers(1, 12)
LOGS = st.floats(-9, 4)


@st.composite
def populations(draw):
    count = draw(COUNTS)
    values = 10.0 ** np.array(draw(st.lists(st.floats(-6, 3), min_size=count, max_size=count)))
    weights = np.array(draw(st.lists(st.floats(0.01, 1), min_size=count, max_size=count)))
    shares = np.array(draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))
    empty = draw(st.booleans())
    values[0] = 0.0 if empty and count > 1 else values[0]
    misfit = draw(st.sampled_from([0.0, 0.3]))
    return Modes(values, weights / weights.sum(), values * shares, misfit)


@given(populations(), st.floats(-3, 3), LOGS, st.sampled_from([0.0, 0.2]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_every_answer_is_physical(modes, log_ratio, log_lam, noise):
    ratio, lam = 10.0**log_ratio, 10.0**log_lam
    curve = ridge_curve(modes, ratio=ratio, lam=lam, noise=noise)
    assert curve.converged
    assert curve.steps <= 8
    slack = 1 + 1e-12
    low = max(1 / (lam + modes.mean), (1 - modes.rank / ratio) / lam)
    assert low <= curve.m * slack
    assert curve.m <= slack / lam
    assert 0 <= curve.delta < 1
    assert 0 <= curve.E_train <= curve.E_test * slack
    assert curve.E_test * slack >= modes.misfit + noise
    assert curve.E_gen <= curve.E_test * slack
    assert abs(curve.E_gen + noise - curve.E_test) <= 1e-9 * curve.E_test + 1e-15


@given(populations(), st.floats(-2, 2), st.floats(-6, 2))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_the_root_solves_its_equation_and_the_trace_equation(modes, log_ratio, log_lam):
    ratio, lam = 10.0**log_ratio, 10.0**log_lam
    curve = ridge_curve(modes, ratio=ratio, lam=lam)
    m = float(curve.m)
    right = lam + np.sum(modes.weights * modes.values / (1 + ratio * m * modes.values))
    assert 1 / m == pytest.approx(right, rel=1e-11)


@given(populations(), st.floats(-6, 2), st.floats(0.1, 10))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_units_of_the_features_do_not_matter(modes, log_lam, factor):
    lam = 10.0**log_lam
    scaled = Modes(factor * modes.values, modes.weights, factor * modes.overlaps, modes.misfit)
    one = ridge_curve(modes, ratio=0.7, lam=lam, noise=0.1)
    other = ridge_curve(scaled, ratio=0.7, lam=factor * lam, noise=0.1)
    assert other.E_test == pytest.approx(float(one.E_test), rel=1e-10)
    assert other.m * factor == pytest.approx(float(one.m), rel=1e-10)


@given(populations(), st.sampled_from([0.05, 0.4, 2.0, 30.0]))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_the_ridgeless_limit_is_the_limit_of_small_ridges(modes, ratio):
    curve = ridge_curve(modes, ratio=ratio, lam=[0.0, 1e-18 * modes.mean], noise=0.1)
    assume(abs(ratio - modes.rank) > 0.02)
    assert curve.E_test[1] == pytest.approx(curve.E_test[0], rel=1e-3)
