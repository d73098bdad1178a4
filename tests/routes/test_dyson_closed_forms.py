"""Dyson equations against closed forms and deterministic equivalents.

The reference solver runs at 30 digits and stops at 1e-25; 1e-18 leaves room for the conditioning of
the core.
"""

import mpmath as mp
import pytest
from sympy import I, Rational, sqrt

from derive.dyson import equations
from derive.matrices import (
    commuting,
    covariance,
    dims,
    eye,
    gaussian,
    ntrace,
    wigner,
)
from derive.random_matrices.spectral_measure import atoms
from derive.symbols import control

EXACT = mp.mpf(10) ** -18
n, p, d = dims("n p d")
lam = control("lam", positive=True)
Z = gaussian("Z", d, n, 1 / n)
S = wigner("S", d, 1 / d)


def ridge(K):
    return (K + lam * eye(K.shape[0])).inv()


def value(expression):
    return equations({"value": expression})


def close(a, b, tolerance=EXACT):
    return abs(a - b) < tolerance * (1 + abs(b))


@pytest.mark.parametrize("ratio", ["0.25", "1", "3"])
@pytest.mark.parametrize("ridge_value", ["2", "0.01"])
def test_marchenko_pastur_solves_its_quadratic(follow, ratio, ridge_value):
    found = follow(value(ntrace(ridge(Z * Z.T))), {"n": 1, "d": ratio, "lam": ridge_value})
    with mp.workdps(30):
        c, z = mp.mpf(ratio), mp.mpf(ridge_value)
        b = z + 1 - c
        exact = (-b + mp.sqrt(b * b + 4 * c * z)) / (2 * c * z)
        assert close(found["value"], exact)


def test_marchenko_pastur_has_one_unknown_and_a_pencil_of_two_blocks():
    found = value(ntrace(ridge(Z * Z.T)))
    assert (len(found.unknowns), found.pencil.size) == (1, 2)
    assert found.system("mp").controls == (d, lam, n)


def test_semicircle_outside_its_support(follow):
    z = control("z", positive=True)
    found = follow(value(ntrace((z * eye(d) - S).inv())), {"d": 1, "z": 3})
    with mp.workdps(30):
        assert close(found["value"], (3 - mp.sqrt(5)) / 2)


def test_irrational_and_complex_scalars_are_carried(follow):
    z = control("z", positive=True)
    root = value(ntrace((z * eye(d) - sqrt(2) * S).inv()))
    imaginary = value(ntrace((S - I * z * eye(d)).inv()))
    with mp.workdps(30):
        assert close(follow(root, {"d": 1, "z": 3})["value"], (3 - 1) / mp.mpf(4))
        exact = 1j * (mp.sqrt(13) - 3) / 2
        assert close(follow(imaginary, {"d": 1, "z": 3})["value"], exact)


def test_free_sum_of_two_signs_is_the_arcsine_law(follow):
    z = control("z", positive=True)
    signs = [covariance(name, d, atoms([-1, 1])) for name in "AB"]
    found = value(ntrace((z * eye(d) - signs[0] - signs[1]).inv()))
    with mp.workdps(30):
        assert close(follow(found, {"d": 1, "z": 3})["value"], 1 / mp.sqrt(5))
    assert "generic position" in found.assumptions[1]


def test_free_product_of_projections_has_the_known_transform(follow):
    z = control("z", positive=True)
    P, Q = (covariance(name, d, atoms([0, 1])) for name in "PQ")
    found = value(ntrace((z * eye(d) - P * Q * P).inv()))
    with mp.workdps(30):
        s = mp.mpf(2)
        nonzero = (1 / s) * (1 + (mp.sqrt(s / (s - 1)) - 1) / 2)
        assert close(follow(found, {"d": 1, "z": 2})["value"], nonzero)


def test_signs_that_commute_add_like_numbers(follow):
    z = control("z", positive=True)
    A, B = commuting("A B", d, atoms([(1, 1), (1, -1), (-1, 1), (-1, -1)]))
    found = follow(value(ntrace((z * eye(d) - A - B).inv())), {"d": 1, "z": 3})
    with mp.workdps(30):
        assert close(found["value"], mp.mpf(1) / 4 + mp.mpf(1) / 6 + mp.mpf(1) / 20)


def gram_trace(points, weights, r, ridge_value):
    """Root of 1/m = lam + <s/(1 + r m s)>."""

    def residual(m):
        return (
            1 / m
            - ridge_value
            - sum(w * s / (1 + r * m * s) for s, w in zip(points, weights, strict=True))
        )

    low, high = (
        1 / (ridge_value + sum(w * s for s, w in zip(points, weights, strict=True))),
        1 / ridge_value,
    )
    return mp.findroot(residual, (low, high), solver="anderson", tol=mp.mpf(10) ** -50)


@pytest.mark.parametrize("samples", ["1.5", "0.5"])
def test_anisotropic_marchenko_pastur_solves_its_scalar_equation(follow, samples):
    root, _ = commuting("root Omega", p, atoms([(1, 1), (2, 4)]))
    Y = gaussian("Y", p, n, 1 / p)
    found = follow(value(ntrace(ridge(Y.T * root**2 * Y))), {"n": samples, "p": 1, "lam": "0.2"})
    with mp.workdps(30):
        half = mp.mpf(1) / 2
        assert close(
            found["value"], gram_trace((1, 4), (half, half), mp.mpf(samples), mp.mpf("0.2"))
        )


def words_of_a_resolvent():
    """Words of the multi-resolvent formulas: features root Z0, target features B Z0 + K Z1."""
    joint = atoms([(1, 3, 1, 2, 1), (2, 1, 1, -1, 3), (3, Rational(1, 2), 2, 1, 0)])
    root, A, B, K, T = commuting("root A B K T", p, joint)
    Z0, Z1 = gaussian("Z0", p, n, 1), gaussian("Z1", p, n, 1)
    F, target = root * Z0, B * Z0 + K * Z1
    G = (F * F.T / p + lam * eye(p)).inv()
    return {
        "word6": ntrace(A * G * T * G),
        "word7": ntrace(F.T * G * root**2 * G * F) / p,
        "word8": ntrace(target * F.T * G * root**2 * G * F * target.T * A) / p**2 * p,
    }, joint


def test_words_of_two_resolvents_follow_the_multi_resolvent_formulas(follow):
    words, joint = words_of_a_resolvent()
    with mp.workdps(30):
        ridge_value, r = mp.mpf("0.4"), mp.mpf("1.7")
        found = follow(equations(words), {"n": r, "p": 1, "lam": ridge_value})
        points = [[mp.mpf(Rational(x).p) / Rational(x).q for x in pt] for pt in joint.points]
        omega = [pt[0] ** 2 for pt in points]
        m = gram_trace(omega, [mp.mpf(1) / 3] * 3, r, ridge_value)
        M = [1 / (ridge_value * (1 + r * m * o)) for o in omega]

        def mean(function):
            return sum(function(*pt, o, x) for pt, o, x in zip(points, omega, M, strict=True)) / 3

        two = mean(lambda c, a, b, k, t, o, x: (o * x) ** 2)
        delta = r * (ridge_value * m) ** 2 * two
        six = mean(lambda c, a, b, k, t, o, x: a * t * x * x) + (r * (ridge_value * m) ** 2) * mean(
            lambda c, a, b, k, t, o, x: a * o * x * x
        ) * mean(lambda c, a, b, k, t, o, x: t * o * x * x) / (1 - delta)
        seven = (ridge_value * m) ** 2 * two / (1 - delta)

        def inside(c, a, b, k, t, o, x):
            phi, psi = c * b, b * b + k * k
            return a * ((psi - 2 * r * ridge_value * m * phi**2 * x) * two + r * phi**2 * o * x * x)

        eight = (ridge_value * m) ** 2 * r * mean(inside) / (1 - delta)
        assert close(found["word6"], six)
        assert close(found["word7"], seven)
        assert close(found["word8"], eight)
