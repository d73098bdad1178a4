"""Digits at interpolation peaks, where sample size and widths coincide and the ridge is small.

The witness is the data-kernel map of the first sheet in its explicit parameter t, at 60 digits: it
shares neither equations nor code with the evaluator. Errors that are stated must hold and be small.
"""

from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.symbols import Quantity
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric.selftest import self_test

A = (0.4, 0.55)
VALUES = ("m", "E_test", "E_train")
SMALL = 4e-13
"""Stated errors of values, relative; a conditioning of order one times a few roundings."""
STEEP = 1e-10
"""Stated errors of dE_test/dlam and dm/dlam: carried by absolute values."""


def opened(depth):
    system = deep_features(["tanh"] * depth).system()
    free = tuple(s for s, _ in system.constants if isinstance(s, Quantity))
    return replace(system, controls=(*system.controls, *free), constants=())


@pytest.fixture(scope="module")
def evaluators():
    return {depth: compile(opened(depth)) for depth in (1, 2)}


def layer_map(t, alpha, gammas, noise, b):
    """lambda_L, g_L and F at the parameter t, or None outside of the physical interval."""
    lam, g, scale = 1 / t - 1 / (1 + alpha * t), t, mp.mpf(1)
    bias = 1 - lam * t
    for a, gamma in zip(A, gammas, strict=False):
        u = a * lam - b
        e = 1 - alpha / gamma * (1 - lam * g * u / (u + b))
        if u <= 0 or e <= 0:
            return None
        lam, g, scale = u * e, g / (e * a), scale / (e * a)
    return lam, g, scale * (bias + noise * t)


def witness(alpha, gammas, lam, noise, b):
    """m, E_test, E_train, dm/dlam and dE_test/dlam."""
    with mp.workdps(60):
        exact = [mp.mpf(v) for v in gammas]
        point = (mp.mpf(alpha), exact, mp.mpf(noise), mp.mpf(b))
        low, high = mp.mpf(-60), mp.mpf(60)
        for _ in range(220):
            middle = (low + high) / 2
            found = layer_map(mp.exp(middle), *point)
            inside = found is not None and found[0] > lam
            low, high = (middle, high) if inside else (low, middle)
        t = mp.exp(low)
        rows = [mp.taylor(lambda s, k=k: layer_map(s, *point)[k], t, 2) for k in range(3)]
    with mp.workdps(40):
        (_, l1, l2), (g0, g1, _), (_, f1, f2) = rows
        slope, bend = f1 / l1, (2 * f2 * l1 - 2 * l2 * f1) / l1**3
        e_test = -slope / g0**2
        rise = -bend / g0**2 + 2 * slope * (g1 / l1) / g0**3
        return g0, e_test, -slope * mp.mpf(lam) ** 2, g1 / l1, rise


def solved(evaluator, depth, alpha, gammas, lam, b):
    constants = {f"a_{i}": A[i - 1] for i in range(1, depth + 1)}
    constants |= {f"b_{i}": b for i in range(1, depth + 1)}
    return evaluator(alpha=alpha, gamma=gammas, lam=lam, noise=0.1, signal=1, **constants)


def compared(evaluator, depth, alpha, gammas, lam, b):
    """Return (relative error, stated relative error) by name."""
    found = solved(evaluator, depth, alpha, gammas, lam, b)
    assert found.converged
    names = (*VALUES, "dm_dlam", "dE_test_dlam")
    true = dict(zip(names, witness(alpha, gammas, lam, 0.1, b), strict=True))
    return {
        n: (float(abs(mp.mpf(float(found[n])) / v - 1)), float(found.error[n]) / float(abs(v)))
        for n, v in true.items()
    }


PEAKS = st.tuples(
    st.sampled_from([((0.6,), 0.6), ((1.0,), 1.0), ((1.7,), 1.7), ((0.6, 0.8), 0.8)])
    | st.sampled_from([((0.6, 0.8), 0.6), ((1.0, 1.0), 1.0), ((1.7, 1.4), 1.4), ((2.0, 2.0), 2.0)]),
    st.floats(-14, 0),
    st.sampled_from([0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.1]),
    st.sampled_from([-1, 1]),
    st.floats(-6, 0),
)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(drawn=PEAKS)
def test_stated_errors_hold_and_are_small_near_peaks(evaluators, drawn):
    (gammas, peak), lam, off, sign, b = drawn
    depth = len(gammas)
    point = (peak * (1 + sign * off), gammas, 10.0**lam, 10.0**b)
    found = compared(evaluators[depth], depth, *point)
    assert all(true <= stated for true, stated in found.values())
    assert all(found[n][1] < SMALL for n in VALUES)
    assert all(found[n][1] < STEEP for n in ("dm_dlam", "dE_test_dlam"))


WORST = [
    (1, 0.6 * (1 + 1e-12), (0.6,), 1e-14, 1.0),
    (1, 1.7, (1.7,), 1e-14, 1e-6),
    (2, 1.4 * (1 - 1e-9), (1.7, 1.4), 1e-14, 1.0),
    (2, 1.0, (1.0, 1.0), 1e-10, 1e-6),
    (2, 0.6, (0.6, 0.8), 1e-14, 1e-6),
    (2, 1.0, (1.0, 1.0), 1e-14, 0.0),
]


@pytest.mark.parametrize("case", WORST)
def test_the_worst_points_of_the_plain_form_keep_their_digits(evaluators, case):
    depth, *point = case
    found = compared(evaluators[depth], depth, *point)
    assert max(found[n][0] for n in VALUES) < 1e-13


@pytest.mark.parametrize("method", ["llvm", "lanes", "scalar"])
def test_every_method_keeps_the_digits(method):
    evaluator = compile(opened(1), method=method)
    found = compared(evaluator, 1, 0.6 * (1 + 1e-12), (0.6,), 1e-14, 1.0)
    assert max(found[n][0] for n in VALUES) < 1e-13
    assert all(true <= stated for true, stated in found.values())


def test_the_plain_form_would_lose_seven_digits():
    system = opened(1)
    bare = replace(system, equations=tuple(replace(e, gap=None) for e in system.equations))
    found = compared(compile(bare), 1, 0.6 * (1 + 1e-12), (0.6,), 1e-14, 1.0)
    assert found["m"][1] > 1e-9


def test_a_linear_bottleneck_below_the_last_layer_still_loses_digits_and_says_so(evaluators):
    # With b = 0 the peak at alpha = gamma_1 < gamma_2 is two levels away from the samples.
    found = compared(evaluators[2], 2, 0.6, (0.6, 0.8), 1e-14, 0.0)
    assert all(true <= stated for true, stated in found.values())
    assert found["m"][1] > 1e-12


def test_neurons_of_several_kinds_and_structured_rows_keep_their_digits_too():
    halves = [(1, "1/2"), (2, "1/2")]
    lam = np.array([1e-4, 1e-8, 1e-12])
    for declared in ({"norms": [halves]}, {"rows": [halves]}):
        found = compile(deep_features(["tanh"], **declared))(
            alpha=0.7, gamma=(0.7,), lam=lam, noise=0.1
        )
        assert found.converged
        assert all(np.all(found.error[n] < SMALL * np.abs(found[n])) for n in VALUES)


def test_a_self_test_warns_only_where_digits_are_still_lost(evaluators):
    ranges = {"lam": (1e-9, 1e-7), "a_1": (0.1, 1.0), "b_1": (0.01, 1.0)}
    tested = self_test(evaluators[1], 40, ranges=ranges, keep=None)
    assert tested.warnings
    assert all(line.startswith("dE_train_dlam loses digits") for line in tested.warnings)
