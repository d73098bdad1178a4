"""Printed formulas of arXiv:2302.00401 that the toolkit refutes, each with its measured gap.

Corollary 4.1, eq. 28: the error of a target on the learner's own last layer is
Delta + Delta w - lam (lam - Delta) dw/dlam with w = <Omega G>. The print replaces w by
<Omega_L> <G>, as if Omega_L and the features were independent; they share the last weights.
Eq. 18: the p x p trace from the n x n one is (1 - n/p)/lam + (n/p) <G_n>; the print divides the
first term by n instead of p.
"""

import mpmath
import numpy as np
import pytest

from derive.balls import enclose
from derive.theory.deep_features import SharedLayer, deep_features
from numeric.compare import compare
from numeric.experiments.deep_features import simulate
from numeric.reference import reference

MODEL = deep_features(["tanh", "tanh"], SharedLayer(2))
POINT = {"alpha": "1.5", "gamma": ("1.75", "1.25"), "noise": "0.2"}
LAM, NOISE = mpmath.mpf("0.05"), mpmath.mpf("0.2")


def trace(lam):
    """<G>, of the p x p resolvent, with the corrected eq. 18."""
    m = reference(MODEL.system(), 30, lam=str(lam), **POINT)["m"]
    ratio = mpmath.mpf("1.5") / mpmath.mpf("1.25")
    return ratio * m + (1 - ratio) / mpmath.mpf(lam)


@pytest.fixture(scope="module")
def printed():
    """E_test with <Omega_L> <G> in the place of <Omega G>."""
    mean = mpmath.mpf(enclose(MODEL.variances[-1], 25).mpf(25))
    low, middle, high = (trace(s) for s in ("0.0499", "0.05", "0.0501"))
    slope = (high - low) / mpmath.mpf("0.0002")
    return float(NOISE + mean * (NOISE * middle - LAM * (LAM - NOISE) * slope))


def test_the_corrected_form_is_the_equations_own():
    found = reference(MODEL.system(), 20, lam="0.05", **POINT)
    by_ridge = [
        1 / reference(MODEL.system(), 30, lam=s, **POINT)["m"] for s in ("0.0499", "0.05", "0.0501")
    ]
    slope = (by_ridge[2] - by_ridge[0]) / mpmath.mpf("0.0002")
    assert abs(by_ridge[1] + (NOISE - LAM) * slope - found["E_test"]) < 1e-5


@pytest.mark.simulation
def test_corollary_of_the_well_specified_error_is_refuted(printed):
    found = reference(MODEL.system(), 20, lam="0.05", **POINT)
    right = {"E_test": float(found["E_test"])}
    assert printed / right["E_test"] - 1 == pytest.approx(0.325, abs=0.01)
    run = simulate(
        MODEL, alpha=1.5, gamma=(1.75, 1.25), lam=0.05, noise=0.2, d=(80, 160), trials=12, seed=5
    )
    judged = compare(right, run, ("E_test",))
    assert judged.agree, judged.table()
    assert judged.resolves < 0.06
    assert not compare({"E_test": printed}, run, ("E_test",)).agree


def test_trace_of_the_larger_resolvent_is_refuted_as_printed(rng):
    n, p, lam = 40, 25, 0.3
    X = rng.standard_normal((p, n))
    large = np.mean(1 / (np.linalg.eigvalsh(X @ X.T / p) + lam))
    small = np.mean(1 / (np.linalg.eigvalsh(X.T @ X / p) + lam))
    right = (1 - n / p) / lam + n / p * small
    wrong = (p - n) / n / lam + n / p * small
    assert large == pytest.approx(right, rel=1e-12)
    assert abs(wrong / large - 1) > 0.3
