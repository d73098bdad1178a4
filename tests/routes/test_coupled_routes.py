"""Coupled equations, compiled and in mpmath, against other derivations and sampled matrices.

Tolerances: the compiled values carry an error bound of their own, which is asserted to hold;
1e-12 relative is what the routes are declared to agree to. References ask for 25 digits and are
compared to 20.
"""

from functools import cache

import mpmath as mp
import numpy as np
import pytest
from sympy import Rational

from derive.balls import enclose
from derive.dyson import equations
from derive.matrices import commuting, covariance, dims, eye, gaussian, ntrace
from derive.random_matrices.spectral_measure import atoms
from derive.symbols import control
from derive.theory.deep_features import deep_features
from numeric.compare import compare
from numeric.compiled import compile
from numeric.experiments.matrices import sample
from numeric.experiments.sampling import Simulation
from numeric.reference import reference

n, p, d = dims("n p d")
q, r = dims("q r")
lam = control("lam", positive=True)
noise = control("noise", low=0)
X = gaussian("X", d, n, 1)
Z = gaussian("Z", d, n, 1 / n)
GAMMAS = {1: ("2",), 2: ("2", "1.2"), 3: ("2", "0.8", "1.5")}


def ridge(K):
    return (K + lam * eye(K.shape[0])).inv()


@cache
def noisy_linear_features(depth):
    """Equations for g and F of ridge regression on the noisy linear equivalent of each layer."""
    F, below = X, d
    for i, width in enumerate((p, q, r)[:depth], 1):
        k, s = control(f"k{i}"), control(f"s{i}")
        weights = gaussian(f"W{i}", width, below, 1 / below)
        F, below = k * weights * F + s * gaussian(f"N{i}", width, n, 1), width
    gram = ridge(F.T * F / below)
    outputs = {"m": ntrace(gram), "F": ntrace((X.T * X / d + noise * eye(n)) * gram)}
    return equations(outputs)


def layer_point(model, depth, alpha, ridge_value, noise_value):
    """Controls of the noisy linear equations at the activation constants of a model."""
    point = {"n": alpha, "d": "1", "lam": ridge_value, "noise": noise_value}
    point |= dict(zip("pqr", GAMMAS[depth], strict=False))
    constants = {s.name: e for s, e in model.constants()}
    with mp.workdps(45):
        for i in range(1, depth + 1):
            for name, constant in ((f"k{i}", f"a_{i}"), (f"s{i}", f"b_{i}")):
                root = mp.sqrt(mp.mpf(enclose(constants[constant], 44).mpf(44)))
                point[name] = mp.nstr(root, 42)
    return point


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_deep_features_in_mpmath_equal_the_layer_calculus(depth):
    model = deep_features(["erf"] * depth)
    found = reference(
        noisy_linear_features(depth), 25, **layer_point(model, depth, "1.25", "0.01", "0.1")
    )
    layers = reference(model, 25, alpha="1.25", gamma=GAMMAS[depth], lam="0.01", noise="0.1")
    error = -found["dF_dlam"] / found["m"] ** 2
    assert abs(error - layers["E_test"]) < mp.mpf(10) ** -20 * layers["E_test"]


@pytest.mark.parametrize("depth", [1, 2])
def test_deep_features_compiled_equal_the_layer_calculus(depth):
    model = deep_features(["erf"] * depth)
    ridges = np.geomspace(1e-4, 10, 40)
    point = layer_point(model, depth, "1.25", "0.01", "0.1")
    numbers = {name: float(value) for name, value in point.items()} | {"lam": ridges}
    found = compile(noisy_linear_features(depth))(**numbers).check()
    gamma = tuple(float(g) for g in GAMMAS[depth])
    layers = compile(model)(alpha=1.25, gamma=gamma, lam=ridges, noise=0.1).check()
    error = -found.dF_dlam / found.m**2
    assert np.abs(error / layers.E_test - 1).max() < 1e-12
    assert np.abs(error * (1 + 1e-11) / layers.E_test - 1).max() > 1e-12


# ---- ridge regression with two covariances -------------------------------------------------------

SPECTRUM = ((1, 2), (4, 1), (Rational(1, 2), 5))


@cache
def bias_and_variance():
    """Bias for a teacher covariance that commutes, one that is free, and the variance."""
    root, teacher = commuting("root teacher", d, atoms(SPECTRUM))
    free = covariance("free", d, atoms([1, 3]))
    R = ridge(root * Z * Z.T * root)
    return equations(
        {
            "bias": lam**2 * ntrace(teacher * R * root**2 * R),
            "free_bias": lam**2 * ntrace(free * R * root**2 * R),
            "variance": ntrace(root**2 * R * root * Z * Z.T * root * R) * d / n,
        }
    )


def ridge_formulas(ratio, ridge_value):
    """Bias and variance from the effective ridge kappa, by bisection and finite sums."""
    points = [(mp.mpf(a) ** 2, mp.mpf(t)) for a, t in (("1", "2"), ("4", "1"), ("0.5", "5"))]

    def mean(f):
        return sum(f(s, t) for s, t in points) / 3

    def excess(k):
        return k * (1 - ratio * mean(lambda s, t: s / (s + k))) - ridge_value

    kappa = mp.findroot(excess, (ridge_value, ridge_value + 20), solver="anderson", tol=1e-60)
    df2 = ratio * mean(lambda s, t: (s / (s + kappa)) ** 2)
    signal = kappa**2 * mean(lambda s, t: t * s / (s + kappa) ** 2) / (1 - df2)
    plain = kappa**2 * mean(lambda s, t: 2 * s / (s + kappa) ** 2) / (1 - df2)
    return {"bias": signal, "free_bias": plain, "variance": df2 / (1 - df2)}


def test_ridge_bias_and_variance_with_two_covariances_in_mpmath():
    found = reference(bias_and_variance(), 25, n="3", d="2", lam="0.3")
    with mp.workdps(35):
        exact = ridge_formulas(mp.mpf(2) / 3, mp.mpf("0.3"))
        for name, value in exact.items():
            assert abs(found[name] - value) < mp.mpf(10) ** -20 * value


def test_ridge_bias_and_variance_with_two_covariances_compiled():
    ratios = np.array([0.25, 0.9, 1.0, 3.0])
    found = compile(bias_and_variance(), slopes=False)(n=1.0, d=ratios, lam=0.05).check()
    for i, ratio in enumerate(ratios):
        with mp.workdps(35):
            exact = ridge_formulas(mp.mpf(ratio), mp.mpf(0.05))
        for name, value in exact.items():
            assert abs(found[name][i] - float(value)) < 1e-12 * float(value)


def test_anisotropic_marchenko_pastur_compiled_in_ratios():
    root, _ = commuting("root square", d, atoms([(1, 1), (2, 4)]))
    ratio = control("ratio", positive=True)
    found = equations({"m": ntrace(ridge(root * Z * Z.T * root))}).in_terms_of({d: ratio, n: 1})
    ridges = np.geomspace(1e-6, 10, 20)
    solution = compile(found)(ratio=0.5, lam=ridges).check()
    with mp.workdps(30):
        for i, value in enumerate(ridges):
            m, slope = anisotropic(mp.mpf("0.5"), mp.mpf(value))
            assert abs(solution.m[i] - float(m)) <= 1e-12 * float(m)
            assert abs(solution.m[i] - float(m)) <= solution.error["m"][i]
            assert abs(solution.dm_dlam[i] - float(slope)) <= 1e-11 * abs(float(slope))


def anisotropic(ratio, ridge_value):
    """Trace of the resolvent of a sample covariance with eigenvalues 1 and 4, and its slope."""

    def effective(value):
        def excess(k):
            return k * (1 - ratio * (1 / (1 + k) + 4 / (4 + k)) / 2) - value

        return mp.findroot(excess, (value, value + 5), solver="anderson", tol=1e-55)

    def trace(value):
        k = effective(value)
        return k / value * (1 / (1 + k) + 1 / (4 + k)) / 2

    return trace(ridge_value), mp.diff(trace, ridge_value, h=ridge_value * mp.mpf(10) ** -10)


# ---- tied weights --------------------------------------------------------------------------------


def test_tied_weights_agree_with_sampled_matrices_and_an_error_would_be_seen():
    W = gaussian("W", p, d, 1 / d)
    found = equations({"m": ntrace(ridge(W.T * W * Z * Z.T * W.T * W))})
    theory = compile(found, slopes=False)(n=9.0, d=4.0, p=6.0, lam=0.3).check()
    tables = []
    for scale in (30, 60):
        sizes = {"n": 9 * scale, "d": 4 * scale, "p": 6 * scale, "lam": 0.3}
        tables.append(sample(found, sizes, seed=3 + scale, trials=12).values["m"])
    measured = Simulation("tied weights", "W2 = W1.T", (120, 240), {}, {"m": np.array(tables)}, 3)
    verdict = compare({"m": theory.m}, measured)
    assert verdict.agree
    assert verdict.resolves < 0.03
    assert not compare({"m": theory.m * (1 + verdict.resolves)}, measured).agree
