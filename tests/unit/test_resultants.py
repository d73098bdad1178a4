"""Elimination from coupled equations: polynomials against hand derivations and sampled digits."""

import mpmath
import pytest
from sympy import Rational, expand, simplify, symbols

from derive.dyson import equations
from derive.errors import NotSupportedError, RangeError, UnknownNameError
from derive.matrices import commuting, covariance, dims, eye, gaussian, ntrace, wigner
from derive.random_matrices.spectral_measure import atoms, marchenko_pastur
from derive.symbols import control

n, d, p = dims("n d p")
lam, z = control("lam", positive=True), control("z")
X, W, V = gaussian("X", d, n, 1 / n), gaussian("W", p, d, 1 / d), gaussian("V", p, n, 1 / n)


def test_marchenko_pastur_with_symbols():
    found = equations({"m": ntrace((X * X.T + lam * eye(d)).inv())}).polynomial("m")
    m = found.output
    hand = lam * d / n * m**2 + (lam + 1 - d / n) * m - 1
    assert simplify(found.expr / (n * hand)) in {1, -1}
    assert "eliminate the unknowns" in str(found.log)


def test_two_coupled_unknowns_leave_the_cubic_of_a_product_of_gaussians():
    """S-transforms: m solves lam m = 1 - t with t (1 + ...) three factors; checked by digits."""
    found = equations({"m": ntrace((W * X * X.T * W.T + lam * eye(p)).inv())})
    relation = found.polynomial("m", values={"n": 2, "d": 1, "p": 1})
    assert relation.degrees == (3, 2)
    m = symbols("m")
    t = 1 - lam * m  # psi-transform at -1/lam: lam t = (1 - t) * (1 - t) (1 - t/2) up to order
    hand = expand(lam * t - (1 - t) * (1 - t) * (1 - t / 2))
    ratio = simplify(hand / relation.expr)
    assert ratio.free_symbols <= {lam}


def test_the_physical_factor_is_kept_where_others_exist(follow):
    features = W * X + V
    found = equations({"m": ntrace((features * features.T + lam * eye(p)).inv())})
    relation = found.polynomial("m", values={"n": 1, "d": 2, "p": 3})
    value = follow(found, {"n": 1, "d": 2, "p": 3, "lam": Rational(1, 3)}, digits=30)["m"]
    with mpmath.workdps(30):
        poly = relation.expr.subs(lam, Rational(1, 3))
        residual = mpmath.mpmathify(poly.subs(relation.output, value).evalf(30))
        moved = mpmath.mpmathify(
            poly.subs(relation.output, value * (1 + Rational(1, 10**6))).evalf(30)
        )
    assert abs(residual) < 1e-24
    assert abs(moved) > 1e-9


def test_a_spectral_argument_off_the_axis_closes_as_well():
    S = wigner("S", d, 1 / d)
    found = equations({"g": ntrace((z * eye(d) - S).inv())})
    relation = found.polynomial("g", "z")
    assert relation.expr - (relation.output**2 - z * relation.output + 1) in {0}
    assert [float(place) for place in relation.critical()] == [-2, 2]
    assert {s.root for s in relation.branches(2, 3)} == {2}


def test_atoms_of_commuting_covariances_are_eliminated_exactly():
    sigma, theta = commuting("Sigma Theta", d, atoms([(1, 2), (4, 1)]))
    S = wigner("S", d, 1 / d)
    found = equations({"m": ntrace(theta * (lam * eye(d) + sigma * S * S * sigma).inv())})
    assert found.polynomial("m", values={}).degrees[0] >= 2


def test_what_cannot_be_eliminated_is_refused():
    found = equations({"m": ntrace((X * X.T + lam * eye(d)).inv())})
    with pytest.raises(UnknownNameError, match="output 'q'"):
        found.polynomial("q")
    with pytest.raises(RangeError, match="polynomial in mu: controls are d, lam, n"):
        found.polynomial("m", "mu")
    with pytest.raises(RangeError, match="value of mu"):
        found.polynomial("m", values={"mu": 1})
    smooth = covariance("C", d, marchenko_pastur(2))
    wide = equations({"m": ntrace((smooth + X * X.T + lam * eye(d)).inv())})
    with pytest.raises(NotSupportedError, match="continuous spectral measure"):
        wide.polynomial("m")
