"""Random features from expression to test error, equal to the layer calculus.

The reference solver runs at 30 digits and stops at 1e-25; 1e-18 leaves room for the conditioning of
the core.
"""

from functools import cache

import mpmath as mp
import pytest
from sympy import diff

from derive.dyson import equations
from derive.matrices import (
    dims,
    eye,
    gaussian,
    ntrace,
)
from derive.symbols import control

EXACT = mp.mpf(10) ** -18
n, p, d, q = dims("n p d q")
lam = control("lam", positive=True)
k1, ks, k2, kt = control("k1"), control("ks"), control("k2"), control("kt")
noise = control("noise")
W, V = gaussian("W", p, d, 1 / d), gaussian("V", q, p, 1 / p)
X, N, N2 = gaussian("X", d, n, 1), gaussian("N", p, n, 1), gaussian("N2", q, n, 1)
POINT = {"n": 9, "d": 4, "p": 6, "k1": "0.7", "ks": "0.5", "lam": "0.3"}


def ridge(K):
    return (K + lam * eye(K.shape[0])).inv()


def close(a, b, tolerance=EXACT):
    return abs(a - b) < tolerance * (1 + abs(b))


def features(depth):
    first = k1 * W * X + ks * N
    return (first, p) if depth == 1 else (k2 * V * first + kt * N2, q)


def ridge_error(depth):
    F, width = features(depth)
    gram = ridge(F.T * F / width)
    return ntrace(gram), ntrace((X.T * X / d + noise * eye(n)) * gram)


def layer_calculus(t, alpha, layers, noise_value):
    """Explicit layer recursion at its parameter t, for Omega_0 = 1 and rho = 1.

    Returns lam, g, F, and whether t is on the physical interval.
    """
    l0 = 1 / t - 1 / (1 + alpha * t)
    l, g, c, physical = l0, t, mp.mpf(1), True
    for gamma, kappa, kappa_star2 in layers:
        u = kappa**2 * l - kappa_star2
        h = 1 - l * g * u / (u + kappa_star2)
        e = 1 - alpha / gamma * h
        physical = physical and u > 0 and e > 0
        l, g, c = u * e, g / (e * kappa**2), c / (e * kappa**2)
    return l, g, c * ((1 - l0 * t) + noise_value * t), physical


def layer_errors(ridge_value, alpha, layers, noise_value):
    """Return g and E_test = -F'/g^2; lam falls from infinity on the physical interval."""

    def at(t):
        return layer_calculus(t, alpha, layers, noise_value)

    low, high = mp.mpf(0), mp.mpf(100)
    for _ in range(140):
        middle = (low + high) / 2
        l, _, _, physical = at(middle)
        low, high = (middle, high) if physical and l > ridge_value else (low, middle)
    slope = mp.diff(lambda t: at(t)[2], low) / mp.diff(lambda t: at(t)[0], low)
    g = at(low)[1]
    return g, -slope / g**2


@cache
def error_equations(depth):
    g, F = ridge_error(depth)
    found = equations({"m": g, "F": F}).differentiate("F", lam)
    return found.with_output("E_test", lambda o: -o["F_lam"] / o["m"] ** 2)


KAPPAS = (("0.6057", "0.0274"), ("0.7635", "0.0066"))
FEATURE_POINTS = [
    (1, "1.25", ("2",), "0.01", "0.1"),
    (1, "0.5", ("0.8",), "0.2", "0.0"),
    (1, "3", ("2",), "1", "0.5"),
    (2, "1.25", ("2", "1.2"), "0.01", "0.1"),
    (2, "0.6", ("0.5", "2"), "0.5", "0.2"),
]


@pytest.mark.parametrize(("depth", "alpha", "gammas", "ridge_value", "sigma2"), FEATURE_POINTS)
def test_random_feature_test_error_equals_the_layer_calculus(
    follow, depth, alpha, gammas, ridge_value, sigma2
):
    found = error_equations(depth)
    with mp.workdps(40):
        layers = [
            (mp.mpf(gamma), mp.mpf(k), mp.mpf(s))
            for gamma, (k, s) in zip(gammas, KAPPAS, strict=False)
        ]
        point = {"n": alpha, "d": 1, "p": gammas[0], "q": gammas[-1], "lam": ridge_value}
        point |= {"noise": sigma2, "k1": KAPPAS[0][0], "ks": mp.sqrt(mp.mpf(KAPPAS[0][1]))}
        point |= {"k2": KAPPAS[1][0], "kt": mp.sqrt(mp.mpf(KAPPAS[1][1]))}
        values = follow(found, point)
        m, error = layer_errors(mp.mpf(ridge_value), mp.mpf(alpha), layers, mp.mpf(sigma2))
        assert close(values["m"], m)
        assert close(values["E_test"], error, mp.mpf(10) ** -16)


def test_the_reference_value_of_the_random_feature_error(follow):
    g, F = ridge_error(1)
    found = equations({"m": g, "E_test": -diff(F, lam) / g**2})
    point = {"n": "1.25", "d": 1, "p": 2, "lam": "0.01", "noise": "0.1"}
    with mp.workdps(30):
        point |= {"k1": "0.6057055096021588255835"}
        point |= {"ks": mp.sqrt(mp.mpf("0.02741532603543025715602"))}
        values = follow(found, point)
        assert close(values["m"], mp.mpf("16.27660312933519190762"))
        assert close(values["E_test"], mp.mpf("0.5016916486643046421394"))


def test_implicit_derivatives_equal_words_of_two_resolvents(follow):
    _, F = ridge_error(1)
    implicit = error_equations(1)
    words = equations({"F_lam": diff(F, lam)})
    assert implicit.pencil.size < words.pencil.size
    point = {**POINT, "q": 5, "k2": "0.9", "kt": "0.2", "noise": "0.1"}
    assert close(follow(implicit, point)["F_lam"], follow(words, point)["F_lam"])


def test_random_features_need_two_unknowns_and_their_words_four():
    g, F = ridge_error(1)
    assert len(equations({"m": g, "F": F}).unknowns) == 2
    assert len(equations({"F_lam": diff(F, lam)}).unknowns) == 4


def test_sheet_figures_of_the_noisy_linear_model(follow):
    Xn, Nn = gaussian("X", d, n, 1 / n), gaussian("N", p, n, 1 / n)
    F = k1 * W * Xn + ks * Nn
    R = ridge(F * F.T)
    found = equations(
        {"a": ntrace(R), "b": ntrace(W.T * R * F * Xn.T), "c": ntrace(Xn * F.T * R * R * F * Xn.T)}
    )
    values = follow(found, {**POINT, "n": 12, "d": 8, "p": 10})
    assert abs(values["a"] - mp.mpf("1.610425")) < 5e-7
    assert abs(values["b"] - mp.mpf("0.513713")) < 5e-7
    assert abs(values["c"] - mp.mpf("0.476418")) < 5e-7
