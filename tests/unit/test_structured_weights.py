"""Row covariances of the weights, against the free product of spectra in NumPy."""

import numpy as np
import pytest
from scipy import optimize

from derive.errors import NotSupportedError, RangeError, ShapeError
from derive.theory.deep_features import SharedLayer, deep_features
from numeric.reference import reference

TWO = [("1/2", "1/2"), ("3/2", "1/2")]
POINT = {"alpha": "1.2", "lam": "0.01", "noise": "0.1"}
OUTPUTS = ("m", "E_test", "E_train")


def solved(model, gamma, route="covariance", **controls):
    return reference(model.system(route), 15, gamma=gamma, **{**POINT, **controls})


def equal(a, b, names=OUTPUTS, digits=14):
    return all(abs(a[n] / b[n] - 1) < 10.0**-digits for n in names)


def test_identity_rows_change_nothing():
    one = [(1, 1)]
    plain, structured = (
        deep_features(["erf", "erf"]),
        deep_features(["erf", "erf"], rows=[one, one]),
    )
    for route in ("covariance", "kernel"):
        assert equal(
            solved(plain, ("1.2", "1.4"), route), solved(structured, ("1.2", "1.4"), route)
        )


def test_scaled_rows_are_a_scaled_input_of_the_layer():
    scaled = deep_features(["z", "z"], rows=[None, [(4, 1)]])
    doubled = deep_features(["z", "2*z"])
    assert equal(solved(scaled, ("1.2", "1.4")), solved(doubled, ("1.2", "1.4")))


def test_rows_of_the_first_layer_are_an_input_covariance_with_its_own_teacher():
    rows = deep_features(["z"], rows=[TWO])
    spectrum = deep_features(["z"], spectrum=TWO)
    assert equal(solved(rows, ("1.3",)), solved(spectrum, ("1.3",)), ("m",))
    gap = solved(rows, ("1.3",))["E_test"] / solved(spectrum, ("1.3",))["E_test"] - 1
    assert abs(gap) > 0.01  # theta is isotropic in the input, not in what the weights see


def test_a_split_eigenvalue_and_a_table_change_nothing():
    split = [("1/2", "1/4"), ("1/2", "1/4"), ("3/2", "1/4"), ("3/2", "1/4")]
    table = [(v, "1/20") for v in ("1/2",) * 10 + ("3/2",) * 10]
    found = [
        solved(deep_features(["z", "z"], rows=[None, rows]), ("1.2", "1.4"))
        for rows in (TWO, split, table)
    ]
    assert equal(found[0], found[1])
    assert equal(found[0], found[2])


def linear_network_by_matrices(size, seed):
    """<(X^T X/p + lam)^-1> of x -> Z_2 C^{1/2} Z_1 x at ratios 1.2, 1.5, 1.4, from one draw."""
    rng = np.random.default_rng(seed)
    n, k, p = (round(r * size) for r in (1.2, 1.5, 1.4))
    root = np.sqrt(np.repeat([0.5, 1.5], [k // 2, k - k // 2]))
    first = rng.standard_normal((k, size)) / np.sqrt(size)
    second = rng.standard_normal((p, k)) / np.sqrt(k) * root
    X = second @ (first @ rng.standard_normal((size, n)))
    return np.mean(1 / (np.linalg.eigvalsh(X.T @ X / p) + 0.1))


def test_a_deep_linear_structured_network_is_right_on_real_matrices():
    model = deep_features(["z", "z"], rows=[None, TWO])
    theory = float(solved(model, ("1.5", "1.4"), lam="0.1")["m"])
    draws = np.array([linear_network_by_matrices(240, seed) for seed in range(6)])
    error = draws.std(ddof=1) / np.sqrt(len(draws))
    assert error / theory < 2e-3
    assert abs(draws.mean() - theory) < 5 * error + 2e-3 * theory
    unstructured = float(solved(deep_features(["z", "z"]), ("1.5", "1.4"), lam="0.1")["m"])
    assert abs(draws.mean() - unstructured) > 20 * error


def free_product_ridge(alpha, lam, gammas, atoms, constants):
    """m of two layers, rows of the second structured, by nested root finding in S-transforms."""
    (a1, b1), (a2, b2) = constants

    def climb(x0):
        df = 1 / (1 + x0)
        x1 = a1 * x0 * (gammas[0] - df) - b1
        df = df + b1 / (a1 * x0)
        filled = df / gammas[0]
        c = optimize.brentq(
            lambda c: sum(w * v / (v + c) for v, w in atoms) - filled, 1e-14, 1e9, xtol=1e-16
        )
        y = x1 * c * filled / (1 - filled)
        x2 = a2 * y * (gammas[1] - df) / gammas[0] - b2
        df = df + b2 * gammas[0] / (a2 * y)
        return x2, x2 * (alpha - df) / gammas[1]

    x0 = optimize.brentq(lambda x: climb(x)[1] - lam, 0.4, 50, xtol=1e-15)
    return gammas[1] / (alpha * climb(x0)[0])


def test_the_inner_root_agrees_with_nested_root_finding():
    model = deep_features(["tanh", "erf"], rows=[None, TWO])
    named = {str(s): float(e) for s, e in model.system().constants}
    constants = [(named[f"a_{i}"], named[f"b_{i}"]) for i in (1, 2)]
    atoms = [(0.5, 0.5), (1.5, 0.5)]
    expected = free_product_ridge(1.2, 0.01, (1.2, 1.4), atoms, constants)
    assert float(solved(model, ("1.2", "1.4"))["m"]) == pytest.approx(expected, rel=1e-10)


def test_power_law_rows_of_many_atoms_are_solved():
    rows = [(float((i + 0.5) / 30) ** -0.8, "1/30") for i in range(30)]
    model = deep_features(["z", "z"], rows=[None, rows])
    first, second = (solved(model, ("1.2", "1.4"), route) for route in ("covariance", "kernel"))
    assert equal(first, second)


def test_target_on_a_layer_below_structured_rows_agrees_on_both_routes():
    model = deep_features(["erf", "erf"], SharedLayer(1), rows=[TWO, TWO])
    first, second = (solved(model, ("1.2", "1.4"), route) for route in ("covariance", "kernel"))
    assert equal(first, second)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rows": [[(0, 1)]]}, RangeError, r"row covariance of layer 1 atom \(0, 1\)"),
        ({"rows": [[(1, "1/2")]]}, RangeError, "row covariance of layer 1: weights sum to 1/2"),
        ({"rows": [[(2, 1)], None]}, ShapeError, "2 for 1 layers"),
        (
            {"rows": [TWO], "spectrum": TWO},
            NotSupportedError,
            "2 input eigenvalues: their joint law is not declared",
        ),
    ],
)
def test_row_covariances_that_cannot_be_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        deep_features(["tanh"], **options)
