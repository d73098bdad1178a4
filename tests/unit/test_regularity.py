"""Irregular expressions are found out and named, by inverse, where equations still have roots."""

import math

import pytest
from sympy import Rational as Q

from derive.dyson import equations
from derive.errors import NotSupportedError, RangeError
from derive.matrices import covariance, dims, eye, gaussian, ntrace, wigner
from derive.random_matrices.spectral_measure import atoms, power_law
from derive.symbols import control
from numeric.regularity import refuse_irregular, regularity

n, p, d = dims("n p d")
lam, z = control("lam", positive=True), control("z")
W, X, A = gaussian("W", p, d, 1 / d), gaussian("X", d, n, 1 / n), gaussian("A", d, d, 1 / d)
S = wigner("S", d, 1 / d)
C = covariance("C", d, atoms([1, Q(1, 2)]))
SIZES = {"d": 4, "n": 6, "p": 3}


@pytest.mark.parametrize(
    "expression",
    [
        (X * X.T + eye(d)).inv(),
        X * (X.T * X + eye(n)).inv() * X.T * C,
        (W.T * W + C * S * S * C + eye(d) / 2).inv() * (A + 3 * eye(d)).inv(),
        W * X * X.T * W.T,
        4 * eye(d),
    ],
)
def test_regular_expressions_are_proved_to_be(expression):
    found = regularity(equations({"value": ntrace(expression)}), **SIZES)
    assert found.proved
    assert found.radius < 1
    assert found.culprit == ""


@pytest.mark.parametrize(
    ("expression", "culprit"),
    [
        (C + (C - 2 * A).inv(), "(-2*A + C)**-1"),
        ((X * X.T - 2 * A).inv() * (X * X.T + eye(d)).inv(), "(-2*A + X*X.T)**-1"),
        (((S - eye(d)).inv() + 4 * eye(d)).inv(), "(-eye(d) + S)**-1"),
    ],
)
def test_the_inverse_that_is_not_regular_is_named(expression, culprit):
    found = regularity(equations({"value": ntrace(expression)}), **SIZES)
    assert not found.proved
    assert found.culprit == culprit
    with pytest.raises(RangeError, match="move the point off the spectrum, or add a ridge"):
        refuse_irregular(equations({"value": ntrace(expression)}), **SIZES)


def test_a_spectral_argument_inside_the_bulk_is_refused_and_one_outside_is_not():
    found = equations({"m": ntrace((z * eye(d) - S).inv())})
    refuse_irregular(found, z=2.01)
    with pytest.raises(RangeError, match=r"inverse .* at z=1\.99: not regular"):
        refuse_irregular(found, z=1.99)


def test_sums_over_continuous_spectra_are_tested_as_well():
    smooth = covariance("P", d, power_law(Q(1, 2)))
    found = equations({"m": ntrace((smooth * X * X.T * smooth + lam * eye(d)).inv())})
    assert regularity(found.discretised(4), n=2, d=1, lam=Q(1, 2)).proved


def test_what_the_theorem_does_not_cover_is_not_claimed():
    other = covariance("D", d, atoms([1, 3]))
    found = equations({"m": ntrace((C + other + lam * eye(d)).inv())})
    answer = regularity(found, lam=1, d=1)
    assert not answer.proved
    assert math.isnan(answer.radius)
    with pytest.raises(NotSupportedError, match="two deterministic groups"):
        refuse_irregular(found, lam=1, d=1)
