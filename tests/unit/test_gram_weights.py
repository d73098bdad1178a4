"""Second weights that depend on the first, against residues and real matrices."""

import mpmath
import numpy as np
import pytest
from sympy import Integer, Rational, Symbol

from derive.balls import enclose
from derive.chains.gram_law import GramRule
from derive.errors import NotSupportedError, RangeError
from derive.theory.deep_features import deep_features
from derive.theory.gram_weights import gram_features, h
from numeric.reference import reference

POINT = {"alpha": "1.1", "lam": "0.03", "noise": "0.2"}
OUTPUTS = ("m", "E_test", "E_train")


@pytest.mark.parametrize("gamma", ["1/2", "1", "3"])
def test_the_rule_has_the_moments_of_the_law(gamma):
    g = Rational(gamma)
    pairs = GramRule(g, 6).pairs
    moments = [1, 1, 1 + g, 1 + 3 * g + g**2]
    found = [enclose(sum(w * x**k for x, w in pairs), 20) for k in range(4)]
    assert all(f.contains(m) for f, m in zip(found, moments, strict=True))


def test_the_rule_holds_the_atom_at_zero():
    nodes = GramRule(Rational(4), 40).pairs
    lowest, weight = (float(x) for x in nodes[0])
    assert abs(lowest) < 1e-12
    assert weight == pytest.approx(0.75, rel=1e-12)


def resolvent(y, gamma):
    """<(W_1 W_1^T + y)^-1> in closed form."""
    u = y + 1 - gamma
    return (-u + mpmath.sqrt(u * u + 4 * gamma * y)) / (2 * gamma * y)


def by_residues(model, c, gammas, alpha, lam, noise):
    """m and E_test of two layers with C_2 = 1/(H + c), by residues and one more layer map."""
    g1, g2 = gammas
    a, b = (mpmath.mpf(enclose(x, 25).mpf(25)) for x in model.first)
    system = {str(s): e for s, e in model.system().constants}
    a2, b2 = (mpmath.mpf(enclose(system[n], 25).mpf(25)) for n in ("a_2", "b_2"))

    def spectral(y):
        s = (b + y * c) / (a + y)
        G = resolvent(s, g1)
        S, T = (1 + (c - s) * G) / (a + y), g1 * a * (1 - s * G) / (a + y)
        ratio = g1 / g2
        S2 = ratio / (a2 * y)
        x2 = ((1 - ratio) + ratio * y * S) / S2 - b2
        return x2, S2, T

    def ridge(y):
        x, S, _ = spectral(y)
        r = alpha / g2
        return x * (r - 1 + x * S)

    y = mpmath.findroot(lambda y: ridge(y) - lam, (0.1, 0.4), solver="anderson", tol=1e-40)
    x, _, T = spectral(y)
    rate = mpmath.diff(lambda y: spectral(y)[0], y)
    dS = mpmath.diff(lambda y: spectral(y)[1], y) / rate
    dT = mpmath.diff(lambda y: spectral(y)[2], y) / rate
    S, r = spectral(y)[1], alpha / g2
    df2 = 1 - 2 * x * S - x**2 * dS
    return 1 / (r * x), (1 + noise - T + x * dT) / (1 - df2 / r)


@pytest.mark.parametrize("gamma_1", ["0.8", "1.3"])
def test_gauss_sums_agree_with_residues(gamma_1):
    model = gram_features(["erf", "tanh"], 1 / (h + Rational(1, 3)), gamma_1)
    found = reference(model, 15, gamma=("1.5",), **POINT)
    with mpmath.workdps(25):
        numbers = [mpmath.mpf(POINT[n]) for n in ("alpha", "lam", "noise")]
        widths = (mpmath.mpf(gamma_1), mpmath.mpf("1.5"))
        m, error = by_residues(model, mpmath.mpf(1) / 3, widths, *numbers)
    assert abs(found["m"] / m - 1) < 1e-13
    assert abs(found["E_test"] / error - 1) < 1e-10  # the witness differentiates numerically


def test_both_routes_agree_and_a_constant_f_is_no_structure():
    plain = reference(deep_features(["erf", "erf"]).system(), 15, gamma=("1.2", "1.5"), **POINT)
    model = gram_features(["erf", "erf"], Integer(1), "1.2")
    for route in ("covariance", "kernel"):
        found = reference(model.system(route), 15, gamma=("1.5",), **POINT)
        assert all(abs(found[n] / plain[n] - 1) < 1e-12 for n in OUTPUTS)


def one_network(size, seed):
    """m of x -> Z_2 C_2^{1/2} erf(W_1 x) with C_2 = 1/(W_1 W_1^T + 1/2), linear second layer."""
    from scipy.special import erf

    rng = np.random.default_rng(seed)
    n, k, p = (round(ratio * size) for ratio in (1.1, 1.2, 1.5))
    W = rng.standard_normal((k, size)) / np.sqrt(size)
    values, basis = np.linalg.eigh(W @ W.T)
    second = rng.standard_normal((p, k)) / np.sqrt(k) @ (basis / np.sqrt(values + 0.5)) @ basis.T
    X = second @ erf(W @ rng.standard_normal((size, n)))
    return np.mean(1 / (np.linalg.eigvalsh(X.T @ X / p) + 0.1))


def test_real_matrices_agree_and_would_see_independent_rows():
    model = gram_features(["erf", "z"], 1 / (h + Rational(1, 2)), "1.2")
    at = {"alpha": "1.1", "lam": "0.1", "noise": "0.2"}
    theory = float(reference(model.system(), 12, gamma=("1.5",), **at)["m"])
    draws = np.array([one_network(240, seed) for seed in range(8)])
    error = draws.std(ddof=1) / np.sqrt(len(draws))
    assert error / theory < 3e-3
    assert abs(draws.mean() - theory) < 5 * error + 3e-3 * theory
    rule = GramRule(Rational("1.2"), 24).pairs
    rows = [(1 / (float(x) + 0.5), float(w)) for x, w in rule]
    scale = sum(w for _, w in rows)
    atoms = [(v, Rational(round(w / scale * 10**9), 10**9)) for v, w in rows]
    atoms[0] = (atoms[0][0], 1 - sum(w for _, w in atoms[1:]))
    free = deep_features(["erf", "z"], rows=[None, atoms])
    apart = float(reference(free.system(), 12, gamma=("1.2", "1.5"), **at)["m"])
    assert abs(draws.mean() - apart) > 10 * error


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: gram_features(["erf"], 1 / (h + 1), 1), NotSupportedError, "one layer"),
        (lambda: gram_features(["erf"] * 2, h - 1, 1), RangeError, "not positive on the spectrum"),
        (lambda: gram_features(["erf"] * 2, h + Symbol("y"), 1), RangeError, "other symbols"),
        (lambda: gram_features(["erf"] * 2, h + 1, -1), RangeError, "not a positive rational"),
        (lambda: gram_features(["relu", "erf"], h + 1, 1), NotSupportedError, "its mean makes"),
        (
            lambda: deep_features(["erf", "erf"], rows=[None, "W_1.T"]),
            NotSupportedError,
            "tied to other weights .* sampled weights",
        ),
    ],
)
def test_what_has_no_closed_form_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()
