"""Certificates of coupled equations: a unique root, its branch, and what is not claimed."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from derive.coupled import coupled_program
from derive.dyson import equations
from derive.matrices import dims, eye, gaussian, ntrace
from derive.symbols import control
from numeric.certify import certify
from numeric.compiled import compile
from numeric.enclosures import enclosures
from numeric.proof import Verdict
from numeric.reference import reference
from numeric.selftest import self_test

AT = {"d": "0.7", "n": "0.5", "lam": "0.3"}


@pytest.fixture(scope="module")
def letters():
    n, d = dims("n d")
    return control("lam", positive=True), gaussian("X", d, n, 1 / n), d


@pytest.fixture(scope="module")
def wishart(letters):
    lam, X, d = letters
    return coupled_program(equations({"m": ntrace((X * X.T + lam * eye(d)).inv())}))


@pytest.fixture(scope="module")
def noisy_features():
    """Linear random features with noise: two coupled unknowns."""
    n, p, d = dims("n p d")
    lam = control("lam", positive=True)
    F = gaussian("W", p, d, 1 / d) * gaussian("X", d, n, 1 / n) + gaussian("V", p, n, 1 / n)
    return coupled_program(equations({"m": ntrace((F * F.T + lam * eye(p)).inv())}))


def holds(ball, value):
    with mp.workdps(60):
        mid = mpf(ball.mid.numerator) / ball.mid.denominator
        return abs(mid - value) <= mpf(ball.rad.numerator) / ball.rad.denominator + mpf(10) ** -45


def test_the_marchenko_pastur_root_is_enclosed(wishart):
    """lam c m^2 + (lam + 1 - c) m - 1 = 0 with c = d/n."""
    proof = certify(wishart, 30, **AT)
    with mp.workdps(60):
        c, lam = mpf(7) / 5, mpf(3) / 10
        half = (lam + 1 - c) / (2 * lam * c)
        m = -half + mp.sqrt(half**2 + 1 / (lam * c))
    assert holds(proof["m"], m)
    assert proof["m"].digits >= 30
    assert proof.points[0].verdict == Verdict.PHYSICAL
    assert proof.proved
    assert proof.physical
    assert proof.points[0].reason == ""


def test_without_a_test_of_the_branch_only_uniqueness_is_claimed(wishart):
    proof = certify(replace(wishart, stability=None), 20, **AT)
    assert proof.points[0].verdict == Verdict.UNIQUE
    assert not proof.physical
    assert "no test of it" in proof.points[0].reason


def test_several_unknowns_outputs_and_slopes_hold_the_reference(noisy_features):
    assert len(noisy_features.unknowns) > 1
    proof = certify(noisy_features, 30, p="0.9", **AT)
    truth = reference(noisy_features, digits=50, p="0.9", **AT)
    assert proof.proved
    assert set(truth.values) <= set(proof.points[0].enclosures)
    assert all(holds(proof[name], value) for name, value in truth.values.items())


def test_a_wrong_root_is_refused(wishart):
    """The other root of the quadratic is a root; the answer's outputs do not belong to it."""
    solution = compile(wishart)(**{k: float(v) for k, v in AT.items()})
    other = min(np.roots([0.3 * 1.4, 0.3 + 1 - 1.4, -1.0]).real)
    wrong = replace(solution, unknowns={u: np.array(other) for u in wishart.unknowns})
    assert certify(solution, 20).proved
    refused = certify(wrong, 20).points[0]
    assert refused.verdict == Verdict.DISAGREES


def test_self_tests_say_how_the_branch_was_chosen(wishart):
    test = self_test(compile(wishart), 20, keep=None)
    assert test.failures == {}
    assert max(w.relative for w in test.worst) < 1e-9
    assert "continuation chose the branch" in repr(test)


def test_enclosures_of_a_grid_hold_the_reference_at_the_doubles_of_its_controls(noisy_features):
    lam = np.array([[0.3], [0.01]])
    solution = compile(noisy_features)(d=0.7, n=[0.5, 2.0, 0.9], p=0.9, lam=lam)
    box = enclosures(solution)
    assert np.all(box.verdict == Verdict.PHYSICAL)
    assert "coupled" in repr(box)
    at = {k: Fraction(float(v[1, 2])) for k, v in solution.controls.items()}
    truth = reference(noisy_features, digits=30, **at)
    assert set(truth.values) == set(box.mid)
    for name, value in truth.values.items():
        assert mpf(box.lower(name)[1, 2]) <= value <= mpf(box.upper(name)[1, 2])
        assert np.max(box.width(name)) < 1e-10


def test_enclosures_refuse_another_root_and_claim_no_branch_without_a_test(wishart):
    solution = compile(wishart)(d=0.7, n=0.5, lam=[0.3, 0.4])
    other = solution.unknowns["g_0_0"].copy()
    other[0] = min(np.roots([0.3 * 1.4, 0.3 + 1 - 1.4, -1.0]).real)
    box = enclosures(replace(solution, unknowns={"g_0_0": other}))
    assert box.verdict[0] not in (Verdict.PHYSICAL, Verdict.UNIQUE)
    assert box.verdict[1] == Verdict.PHYSICAL
    assert np.isnan(box.mid["m"][0])
    untested = enclosures(replace(solution, program=replace(wishart, stability=None)))
    assert np.all(untested.verdict == Verdict.UNIQUE)
    assert "continuation chose the branch" in untested.reason
