"""The test that proves a root of Dyson equations to be the limit: radii, wrong roots, obstacles."""

import cmath
import math

import pytest
from flint import acb, arb

from derive.dyson import equations
from derive.errors import NotSupportedError
from derive.matrices import commuting, covariance, dims, eye, gaussian, ntrace, wigner
from derive.random_matrices.spectral_measure import atoms, marchenko_pastur
from derive.random_matrices.stability import ball_of
from derive.symbols import control

n, d = dims("n d")
lam, z = control("lam", positive=True), control("z")
X, G = gaussian("X", d, n, 1 / n), gaussian("G", d, d, 1 / d)
S = wigner("S", d, 1 / d)
C = covariance("C", d, atoms([1, 3]))
WIGNER = equations({"m": ntrace((z * eye(d) - S).inv())})
GINIBRE = equations({"m": ntrace((z * eye(d) - G).inv())})
WISHART = equations({"m": ntrace((X * X.T + lam * eye(d)).inv())})


def ball(value):
    """A complex ball of radius 1e-12."""
    error = arb(0, 1e-12)
    return acb(complex(value)) + acb(error, error)


def wigner_root(point, sign):
    """Roots of g^2 - z g + 1."""
    root = cmath.sqrt(point * point - 4)
    return {z: acb(point), WIGNER.unknowns[0]: ball((point + sign * root) / 2)}


def wishart_root(found, ridge, c, **point):
    """The positive root of lam c g^2 + (lam + 1 - c) g - 1."""
    half = (ridge + 1 - c) / (2 * ridge * c)
    g = -half + math.sqrt(half**2 + 1 / (ridge * c))
    values = {q: acb(point[q.name]) for q in found.controls if q != lam}
    return {**values, lam: acb(ridge), found.unknowns[0]: ball(g)}


def test_the_radius_of_a_wigner_matrix_is_the_square_of_its_transform():
    found = WIGNER.stability.test(wigner_root(2.5, -1))
    assert found.proved
    assert abs(found.radius - 0.25) < 1e-9


def test_the_other_root_of_a_quadratic_is_refused_with_its_radius():
    wrong = WIGNER.stability.test(wigner_root(2.5, 1))
    assert not wrong.proved
    assert abs(wrong.radius - 4) < 1e-9
    assert "not below 1" in wrong.reason


def test_both_roots_off_the_axis_are_told_apart():
    right = WIGNER.stability.test(wigner_root(1 + 0.25j, -1))
    wrong = WIGNER.stability.test(wigner_root(1 + 0.25j, 1))
    assert right.proved
    assert not wrong.proved


def test_the_resolvent_of_a_ginibre_matrix_is_regular_outside_its_disc_only():
    outside = GINIBRE.stability.test({z: arb(1.5)})
    inside = GINIBRE.stability.test({z: arb(0.5)})
    assert outside.proved
    assert abs(outside.radius - 1 / 1.5**2) < 1e-9
    assert not inside.proved
    assert abs(inside.radius - 4) < 1e-9


def test_small_ridges_at_the_hard_edge_are_still_decided():
    found = WISHART.stability.test(wishart_root(WISHART, 1e-6, 1.0, n=1, d=1))
    assert found.proved
    assert 0.99 < found.radius < 1


def test_ratios_in_place_of_dimensions_change_no_radius():
    ratio = control("ratio", positive=True)
    small = WISHART.in_terms_of({d: ratio, n: 1})
    values = wishart_root(small, 0.5, 2.0, ratio=2)
    again = wishart_root(WISHART, 0.5, 2.0, n=3, d=6)
    assert small.stability.test(values).proved
    radii = [small.stability.test(values).radius, WISHART.stability.test(again).radius]
    assert abs(radii[0] - radii[1]) < 1e-8


def test_commuting_atoms_are_averaged_and_leave_only_the_unknowns_as_symbols():
    sigma, theta = commuting("Sigma Theta", d, atoms([(1, 2), (4, 1)]))
    found = equations({"m": ntrace(theta * (sigma * S * sigma + 3 * eye(d)).inv())})
    assert found.stability.obstacle == ""
    assert len(found.stability.symbols) == len(found.unknowns)


def test_what_the_theorem_does_not_cover_is_said():
    other = covariance("D", d, atoms([1, 2]))
    free = equations({"m": ntrace((C + other + X * X.T).inv())})
    assert "two deterministic groups" in free.stability.obstacle
    smooth = covariance("E", d, marchenko_pastur(2))
    wide = equations({"m": ntrace((smooth + X * X.T + lam * eye(d)).inv())})
    assert "continuous spectral measure" in wide.stability.obstacle
    assert not wide.stability.test({}).proved


def test_missing_values_prove_nothing():
    assert "no value for" in WIGNER.stability.test({}).reason


def test_only_algebraic_scalars_are_put_into_balls():
    from sympy import exp

    with pytest.raises(NotSupportedError, match="is not algebraic"):
        ball_of(exp(lam), {lam: arb(1)})


@pytest.mark.parametrize("side", [-1, 1])
def test_without_an_estimate_the_verdict_is_the_same(side):
    root = wigner_root(2.5, side)
    quick, whole = (WIGNER.stability.test(root, estimate=e) for e in (False, True))
    assert quick.proved == whole.proved == (side == -1)
    assert quick.reason == whole.reason
