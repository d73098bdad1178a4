"""Ridge curves on four routes that share no code: sums over modes, matrices, data kernel, balls."""

import numpy as np
import pytest
from mpmath import mp

from numeric.population import population
from numeric.ridge_readout_theory import ridge_curve
from numeric.ridge_reference import exact_modes, ridge_balls
from numeric.spectral_functions import Modes

CASES = [(0.4, 0.03, 0.2), (1.0, 1e-4, 0.0), (1.0, 0.3, 0.1), (3.5, 0.01, 0.5), (0.9, 2.0, 0.0)]
NAMES = ("m", "delta", "E_test", "E_gen", "E_train")


def joint(rng, p, k):
    """Omega, Phi, Psi of one joint law, and a teacher."""
    root = rng.standard_normal((p + k, p + k + 3)) / np.sqrt(p + k)
    whole = root @ root.T
    return whole[:p, :p], whole[:p, p:], whole[p:, p:], rng.standard_normal(k)


def bisected(decreasing, low, high):
    """The root of a decreasing function, by halving to the working precision."""
    for _ in range(mp.prec + 20):
        mid = (low + high) / 2
        low, high = (mid, high) if decreasing(mid) > 0 else (low, mid)
    return (low + high) / 2


def by_matrices(matrices, theta, point):
    """The formulas of the paper, with resolvents, m from its own scalar equation; mpmath."""
    ratio, lam, noise = map(mp.mpf, point)
    omega, phi, psi = (mp.matrix(a.tolist()) for a in matrices)
    t = mp.matrix(theta.tolist())
    p, k = omega.rows, psi.rows
    unit = mp.eye(p)

    def trace(a):
        return sum(a[i, i] for i in range(p)) / p

    modes = mp.eigsy(omega, eigvals_only=True)

    def equation(m):
        return 1 / m - lam - sum(v / (1 + ratio * m * v) for v in modes) / p

    low = 1 / (lam + trace(omega))
    m = bisected(equation, low, 1 / lam)
    M = (lam * (unit + ratio * m * omega)) ** -1
    delta = ratio * (lam * m) ** 2 * trace(omega * M * omega * M)
    vector = phi * t / mp.sqrt(k)
    rho = (t.T * psi * t)[0] / k
    explained = ratio * lam * m * (vector.T * (M + lam * M * M) * vector)[0]
    test = (rho + noise - explained) / (1 - delta)
    train = (lam * m) ** 2 * test
    values = (m, delta, test, test - noise, train)
    return dict(zip(NAMES, map(float, values), strict=True))


@pytest.mark.parametrize("point", CASES)
def test_sums_equal_the_formulas_with_matrices(rng, point):
    omega, phi, psi, theta = joint(rng, 6, 4)
    ratio, lam, noise = point
    found = population(omega=omega, phi=phi, psi=psi, theta=theta)
    curve = ridge_curve(found.functions, ratio=ratio, lam=lam, noise=noise)
    with mp.workdps(50):
        other = by_matrices((omega, phi, psi), theta, point)
    for name in NAMES:
        assert curve[name] == pytest.approx(other[name], rel=1e-12)


@pytest.mark.parametrize("point", CASES)
def test_test_error_is_the_slope_of_the_data_kernel(point):
    """E_test = -F'/m^2 and E_train = -lam^2 F' with F = m (rho + noise - T), differentiated."""
    ratio, lam, noise = point
    values, weights, overlaps = ("0.3", "1", "2.5"), ("0.5", "0.3", "0.2"), ("0.2", "0.1", "0.7")
    floats = (np.array(list(map(float, row))) for row in (values, weights, overlaps))
    curve = ridge_curve(Modes(*floats), ratio=ratio, lam=lam, noise=noise)
    with mp.workdps(60):
        rows = [tuple(map(mp.mpf, row)) for row in zip(values, weights, overlaps, strict=True)]
        r, level = mp.mpf(str(ratio)), mp.mpf(str(noise))

        def F(ridge):
            def open_at(x):
                return ridge - x * (r - sum(w * v / (v + x) for v, w, _ in rows))

            x = bisected(open_at, ridge / r, ridge / r + 10)
            left = sum(o / v - o / (v + x) for v, _, o in rows)
            return (left + level) / (r * x)

        at, m = mp.mpf(str(lam)), mp.mpf(float(curve.m))
        slope = (F(at * (1 + mp.mpf("1e-15"))) - F(at * (1 - mp.mpf("1e-15")))) / at / 2 * 10**15
        test, train = float(-slope / m**2), float(-(at**2) * slope)
    assert curve.E_test == pytest.approx(test, rel=1e-12)
    assert curve.E_train == pytest.approx(train, rel=1e-12)


def test_balls_agree_with_bisection_of_the_same_modes():
    exact = exact_modes(["0.3", 1, "2.5"], ["0.5", "0.3", "0.2"], ["0.2", "0.1", "0.7"], "0.05")
    found = ridge_balls(exact, ratio="0.9", lam="0.02", noise="0.1", digits=30)
    with mp.workdps(50):
        rows = [
            (mp.mpf("0.3"), mp.mpf("0.5")),
            (mp.mpf(1), mp.mpf("0.3")),
            (mp.mpf("2.5"), mp.mpf("0.2")),
        ]
        x = bisected(
            lambda x: mp.mpf("0.02") - x * (mp.mpf("0.9") - sum(w * v / (v + x) for v, w in rows)),
            mp.mpf("0.02"),
            mp.mpf(10),
        )
        assert abs(x / mp.mpf(found["x"].str(32)) - 1) < mp.mpf("1e-30")


def test_gcv_identity_between_the_two_routes(rng):
    """E_train of the matrices over E_test of the sums is (lam m)^2, to 1e-12."""
    omega, phi, psi, theta = joint(rng, 5, 5)
    found = population(omega=omega, phi=phi, psi=psi, theta=theta)
    for ratio, lam, noise in CASES:
        curve = ridge_curve(found.functions, ratio=ratio, lam=lam, noise=noise)
        with mp.workdps(50):
            other = by_matrices((omega, phi, psi), theta, (ratio, lam, noise))
        assert other["E_train"] / curve.E_test == pytest.approx((lam * other["m"]) ** 2, rel=1e-12)


def test_ridge_with_isotropic_average_is_the_mean_over_teachers(rng):
    omega, phi, psi, _ = joint(rng, 5, 4)
    units = np.sqrt(4) * np.eye(4)
    average = population(omega=omega, phi=phi, psi=psi).ridge(n=7, lam=0.1, noise=0.2)
    each = [
        population(omega=omega, phi=phi, psi=psi, theta=u).ridge(n=7, lam=0.1, noise=0.2).E_test
        for u in units
    ]
    assert average.E_test == pytest.approx(np.mean(each), rel=1e-13)


def test_best_ridge_of_a_well_specified_problem_is_the_noise(rng):
    """With theta isotropic on the features themselves E_test is least at lam = noise."""
    root = rng.standard_normal((8, 20)) / np.sqrt(20)
    omega = root @ root.T
    found = population(omega=omega, phi=omega, psi=omega)
    lam = 0.17 * (1 + np.array([-1e-4, 0, 1e-4]))
    curve = found.ridge(n=11, lam=lam, noise=0.17)
    assert curve.E_test[1] < min(curve.E_test[0], curve.E_test[2])
    assert curve.E_test[1] == pytest.approx(1 / float(curve.m[1]), rel=1e-12)
