"""Dyson equations against sampled matrices.

Sampled traces fluctuate like 1/N: 5/N is allowed, and a theory that is off by 10/N is rejected.
"""

import mpmath as mp
import pytest
from sympy import Rational

from derive.dyson import equations
from derive.matrices import (
    commuting,
    covariance,
    dims,
    eye,
    gaussian,
    ntrace,
    quadratic,
    vector,
    wigner,
)
from derive.random_matrices.matrix_blocks import block
from derive.random_matrices.spectral_measure import atoms, marchenko_pastur, power_law
from derive.symbols import control
from numeric.experiments.matrices import sample

n, p, d = dims("n p d")
lam = control("lam", positive=True)
k1, ks = control("k1"), control("ks")
W = gaussian("W", p, d, 1 / d)
N = gaussian("N", p, n, 1)
Z = gaussian("Z", d, n, 1 / n)
S = wigner("S", d, 1 / d)
C = covariance("C", d, atoms([1, 4]))
D = covariance("D", d, atoms([Rational(1, 2), 3], [Rational(1, 4), Rational(3, 4)]))
POINT = {"n": 9, "d": 4, "p": 6, "k1": "0.7", "ks": "0.5", "lam": "0.3"}
SIZES = {"n": 360, "d": 160, "p": 240, "k1": 0.7, "ks": 0.5, "lam": 0.3}


def ridge(K):
    return (K + lam * eye(K.shape[0])).inv()


def value(expression):
    return equations({"value": expression})


SAMPLED = {
    "tied weights": ntrace(ridge(W.T * W * Z * Z.T * W.T * W)),
    "tied noisy weights": ntrace(
        ridge(
            (k1 * W.T * (k1 * W * Z + ks * N / n * 2) + Z)
            * (k1 * W.T * (k1 * W * Z + ks * N / n * 2) + Z).T
        )
    ),
    "free with noise": ntrace(D * ridge(C * Z * Z.T * C + D)),
    "power law": ntrace(ridge(Z.T * covariance("P", d, power_law(Rational(1, 2))) * Z)),
    "free sum with Marchenko-Pastur": ntrace(
        ridge(covariance("M", d, marchenko_pastur(Rational(1, 2))) + S + 3 * eye(d))
    ),
    "block": ntrace(block([[lam * eye(d), Z], [Z.T, -eye(n)]]).inv()),
    "nested": ntrace(ridge(Z * ridge(Z.T * Z) * Z.T)),
    "no ridge": ntrace((Z * Z.T).inv()),
    "quartic": ntrace((S**2 + lam * eye(d)).inv() * C),
    "complex": ntrace(
        ridge(gaussian("Y", d, n, 1 / n, complex=True) * gaussian("Y", d, n, 1 / n, complex=True).H)
    ),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_equations_agree_with_sampled_matrices(follow, name):
    theory = float(mp.re(follow(value(SAMPLED[name]), POINT, digits=15)["value"]))
    sampled = sample(SAMPLED[name], SIZES, seed=5, trials=2).mean("value").real
    resolved = 5 / SIZES["d"] * abs(theory)
    assert abs(sampled - theory) < resolved
    assert abs(sampled - theory * (1 + 10 / SIZES["d"])) > resolved


def test_the_equations_and_the_experiment_read_one_declaration(follow):
    Xn = gaussian("X", d, n, 1 / n)
    found = equations({"m": ntrace(ridge(Xn * Xn.T))}).differentiate("m", lam)
    found = found.with_output("df", lambda o: o["m"] + lam * o["m_lam"])
    sampled = sample(found, SIZES, trials=2)
    values = follow(found, POINT)
    assert abs(sampled.mean("df") - float(values["df"])) < 5 / SIZES["d"] * float(values["df"])


def test_quadratic_forms_and_several_outputs_share_the_core(follow):
    T, root = commuting("T root", d, atoms([(1, 2), (5, 1)]))
    R = ridge(root * Z * Z.T * root)
    found = equations({"form": quadratic(vector("u", d, moment=T), R), "trace": ntrace(R)})
    sampled = sample(found, SIZES, trials=2)
    values = follow(found, POINT)
    assert len(found.unknowns) == 1
    assert abs(sampled.mean("form") - float(values["form"])) < 5 / SIZES["d"] * float(
        values["form"]
    )


def test_a_free_group_of_commuting_letters_agrees_with_sampled_matrices(follow):
    """Two pairs: C, T share eigenvectors; A, B share others, in generic position."""
    c, t = commuting("C T", d, atoms([(1, 3), (2, 1)]))
    a, b = commuting("A B", d, atoms([(1, 2), (3, 1)], [Rational(1, 3), Rational(2, 3)]))
    expression = ntrace(t * b * ridge(c + a + b * Z * Z.T * b))
    found = value(expression)
    assert "in generic position: free" in found.assumptions[1]
    theory = float(follow(found, POINT, digits=15)["value"])
    sampled = sample(expression, SIZES, seed=3, trials=2).mean("value")
    resolved = 5 / SIZES["d"] * theory
    assert abs(sampled - theory) < resolved
    assert abs(sampled - theory * (1 + 10 / SIZES["d"])) > resolved
