"""Equations that average over continuous spectra: rules, sums, letters, errors, certificates."""

import mpmath
import numpy as np
import pytest
from sympy import Rational as Q
from sympy import Symbol

from derive.dyson import equations
from derive.errors import RangeError
from derive.matrices import covariance, dims, eye, gaussian, ntrace
from derive.random_matrices.algebraic_spectra import with_letters
from derive.random_matrices.spectral_measure import (
    atoms,
    level_nodes,
    marchenko_pastur,
    power_law,
    summed_over,
    wishart_nodes,
)
from derive.symbols import control
from numeric.averaged import averaging_error
from numeric.certify import certify
from numeric.compiled import compile
from numeric.experiments.matrices import sample
from numeric.reference import reference

n, d = dims("n d")
lam = control("lam", positive=True)
X = gaussian("X", d, n, 1 / n)
s = Symbol("s", positive=True)
AT = {"n": 2, "d": 1, "lam": "0.5"}


def resolvent(measure):
    c = covariance("C", d, measure)
    return ntrace((c * X * X.T * c + lam * eye(d)).inv())


@pytest.mark.parametrize(
    "measure", [power_law(Q(1, 3)), marchenko_pastur(Q(1, 2)), marchenko_pastur(3, Q(1, 2))]
)
def test_rules_agree_with_adaptive_quadrature_and_their_sums_with_the_rules(measure):
    integral = measure.mean(1 / (1 + s), [s])
    direct = sum(w * (1 / (1 + x)) for (x,), w in measure.rule(16))
    with mpmath.workdps(20):
        assert abs(direct.evalf(20) - integral.evalf(20)) < 1e-10
        assert abs(summed_over(integral, 16, [measure]).evalf(20) - direct.evalf(20)) < 1e-18
    assert abs(sum(w for _, w in measure.rule(8)).evalf(20) - 1) < 1e-18


def test_rules_are_exact_for_polynomials_of_twice_their_size():
    narayana = [1, 1, Q(3, 2), Q(11, 4), Q(45, 8)]
    for k, moment in enumerate(narayana):
        total = sum(w * x**k for x, w in wishart_nodes(3, Q(1, 2))).evalf(20)
        assert abs(total - moment) < 1e-18
    for k in range(6):
        total = sum(w * u ** (Q(k) / 2) for u, w in level_nodes(3, Q(1, 2))).evalf(20)
        assert abs(total - 1 / (1 + Q(k) / 2)) < 1e-18


def test_sums_agree_with_the_integral_equations_solved_by_quadrature():
    found = equations({"m": resolvent(power_law(Q(1, 2)))})
    summed = reference(found.discretised(10).program(), digits=15, **AT)
    with mpmath.workdps(20):
        # m = E 1/(lam + s^2 h), h = 1/(1 + (d/n) E s^2/(lam + s^2 h)), s = u^(-1/2)
        def mean(f):
            return mpmath.quad(lambda v: f(1 / v), [0, 0.01, 0.1, 1])

        h = mpmath.findroot(
            lambda h: h - 1 / (1 + mean(lambda s2: s2 / (mpmath.mpf("0.5") + s2 * h)) / 2), 0.6
        )
        value = mean(lambda s2: 1 / (mpmath.mpf("0.5") + s2 * h))
    assert abs(summed["m"] - value) < 1e-12


def test_the_error_of_a_sum_is_estimated_and_bounds_the_distance_to_the_exact_letters():
    found = equations({"m": resolvent(marchenko_pastur(Q(1, 2)))})
    exact = reference(equations({"m": with_letters(resolvent(marchenko_pastur(Q(1, 2))))}), **AT)
    coarse = reference(found.discretised(4).program(), digits=15, **AT)
    error = averaging_error(found, 4, **AT)["m"]
    distance = abs(coarse["m"] - exact["m"])
    assert 0.5 * error < distance < 2 * error
    assert 1e-12 < error < 1e-3
    atomic = equations({"m": resolvent(atoms([1, 2]))})
    assert averaging_error(atomic, **AT) == {"m": 0.0}


def test_a_power_law_compiles_and_its_branch_is_proved():
    found = equations({"m": resolvent(power_law(Q(1, 2)))}).discretised(3)
    solution = compile(found)(n=2, d=1, lam=np.array([0.5, 0.1]))
    truth = [reference(found, n=2, d=1, lam=x)["m"] for x in ("0.5", "0.1")]
    assert np.allclose(solution.m, [float(v) for v in truth], rtol=1e-13)
    assert certify(solution, 12).physical
    assert "sums over 3 nodes" in str(found.log)


@pytest.mark.simulation
def test_sampled_power_law_covariances_agree_and_a_theory_off_by_two_percent_is_rejected():
    found = equations({"m": resolvent(power_law(Q(1, 2)))})
    theory = float(reference(found.discretised(6).program(), digits=10, **AT)["m"])
    sampled = sample(found, {"n": 1000, "d": 500, "lam": 0.5}, seed=2, trials=4)
    error = 7 * sampled.stderr("m") + 2 / 500  # Student t at 3 degrees of freedom, and 2/N
    deviation = sampled.mean("m") - theory
    assert abs(deviation) < error
    assert abs(deviation + 0.02 * theory) > error


def test_spectra_without_numbers_and_two_power_laws_are_refused():
    ratio = control("ratio", positive=True)
    with pytest.raises(RangeError, match="rule of a law of ratio ratio: not a number"):
        equations({"m": resolvent(marchenko_pastur(ratio))}).discretised()
    with pytest.raises(RangeError, match="rule of a power law of exponent"):
        level_nodes(4, ratio)
    two = [power_law(Q(1, 2)), power_law(Q(1, 3))]
    with pytest.raises(RangeError, match="sum over a PowerLaw spectrum: 1/2, 1/3"):
        summed_over(two[0].mean(s, [s]), 4, two)
    assert level_nodes(5, Q(0)) == ((Q(1, 2), 1),)
