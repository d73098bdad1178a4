"""Puiseux expansions by Newton polygon: exponents, coefficients, edges, poles, infinity."""

from fractions import Fraction

import mpmath
import pytest
from flint import fmpq
from sympy import Poly, Rational, Symbol, oo

from derive.eliminate import Relation
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.rewrite import Log
from derive.spectra.laws import discrete, marchenko_pastur, semicircle
from derive.spectra.number_tower import Tower
from derive.spectra.poles import poles
from derive.spectra.puiseux import branch_through, branches, critical_places
from derive.transforms import free_product, free_sum

x, y = Symbol("x"), Symbol("y")


def relation(expr):
    return Relation(expr, y, x, Log())


def exact_error(rel, series, s):
    """Distance to the exact root, from the polynomial and its slope: a Newton step at 50 digits."""
    with mpmath.workdps(60):
        at = series.at.value
        place = 1 / s if at == mpmath.inf else at + s
        value = series(place)
        terms = [(int(j), int(i), int(c)) for (j, i), c in Poly(rel.expr, y, x).terms()]
        total = sum(c * value**j * place**i for j, i, c in terms)
        slope = sum(c * j * value ** (j - 1) * place**i for j, i, c in terms if j)
        return abs(total / slope / value)


def test_a_square_root_edge_has_the_series_of_its_closed_form():
    low, high = branches(semicircle().polynomial(), 2, 5)
    closed = mpmath.taylor(lambda t: (2 + t**2 - t * mpmath.sqrt(4 + t**2)) / 2, 0, 4)
    assert (low.exponent, low.root) == (0, 2)
    assert all(abs(a - b) < 1e-12 for a, b in zip(low.terms, closed, strict=True))
    assert all(
        abs(a - (-1) ** k * b) < 1e-12
        for k, (a, b) in enumerate(zip(high.terms, closed, strict=True))
    )


@pytest.mark.parametrize(
    ("law", "place", "exponent", "root"),
    [
        (marchenko_pastur(1), 0, Fraction(-1, 2), 2),
        (free_product(marchenko_pastur(1), marchenko_pastur(1)), 0, Fraction(-2, 3), 3),
        (free_sum(semicircle(), discrete([-1, 1])), 0, Fraction(1, 3), 3),
        (marchenko_pastur(4), 0, Fraction(-1), 1),
    ],
)
def test_hard_edges_cusps_and_atoms_have_their_exponents(law, place, exponent, root):
    found = branches(law.polynomial(), place, 3)
    assert exponent in {s.exponent for s in found}
    assert root in {s.root for s in found}
    assert sum(1 for s in found) == law.polynomial().degrees[0]


def test_every_branch_satisfies_its_polynomial_to_the_order_of_the_next_term():
    law = free_sum(semicircle(), discrete([-2, 2]))
    found = law.polynomial()
    rel = relation(found.expr.subs({found.output: y, found.control: x}))
    count = 0
    for place in critical_places(rel):
        for series in branches(rel, place, 6):
            assert exact_error(rel, series, mpmath.mpf("1e-8")) < 1e-22
            assert exact_error(rel, series, mpmath.mpf("1e-2")) > 1e-22
            count += 1
    assert count == 12


def test_edges_at_irrational_places_are_the_roots_of_their_minimal_polynomial():
    places = critical_places(free_sum(semicircle(), discrete([-1, 1])).polynomial())
    assert [round(float(p), 12) for p in places] == [-2.598076211353, 0, 2.598076211353]
    assert places[2].polynomial in {(-27, 0, 4), (27, 0, -4)}


def test_moments_are_the_coefficients_at_infinity():
    law = free_product(marchenko_pastur(1), marchenko_pastur(1))
    series = branch_through(law.polynomial(), oo, (1e4, 1e-4 * (1 + 1e-4)), 6)
    assert [round(float(c), 9) for c in series.terms] == [1, 1, 3, 12, 55, 273]


def test_a_nested_polygon_gives_the_textbook_quartic():
    """(y^2 - x^3)^2 - 4 x^5 y - x^7 = 0 has the branches x^(3/2) +- x^(7/4)."""
    found = branches(relation((y**2 - x**3) ** 2 - 4 * x**5 * y - x**7), 0, 4)
    assert {(s.exponent, s.root) for s in found} == {(Fraction(3, 2), 4)}
    assert sorted({abs(complex(c)) for s in found for c in s.terms}) == [0, 1]


def test_equal_branches_are_repeated_and_zero_ones_are_kept():
    double = branches(relation(y * (y - x) ** 2 - x**4), 0, 4)
    assert len(double) == 3
    zero = branches(relation(y * (y - 1)), 0, 2)
    assert {complex(s.terms[0]) for s in zero} == {0, 1}


def test_the_physical_branch_is_told_by_a_point_and_an_undecided_point_is_refused():
    found = marchenko_pastur(Rational(1, 2)).polynomial()
    edge = critical_places(found)[-1]
    place = 3.0
    g = (place - 0.5 - ((place - 1.5) ** 2 - 2) ** 0.5) / place  # the decaying root at z = 3
    series = branch_through(found, edge, (place, g), 4)
    assert series.terms[1] < 0
    with pytest.raises(NotConvergedError, match="two branches are"):
        branch_through(found, edge, (float(edge), float(series.terms[0])), 4)


def test_floats_name_the_critical_place_next_to_them_and_no_other():
    found = marchenko_pastur(4).polynomial()
    assert branches(found, 9.0, 2)[0].ramified
    with pytest.raises(RangeError, match=r"expansion at 8\.5: the nearest is"):
        branches(found, 8.5, 2)


def test_further_symbols_are_refused():
    with pytest.raises(NotSupportedError, match="c are symbols"):
        branches(relation(y**2 - Symbol("c") * x), 0)


def test_the_tower_proves_a_hidden_zero_by_splitting_its_modulus():
    """a^2 - 3a + 2 at a = 2: the residue a - 2 is not the zero polynomial, but zero."""
    tower = Tower()
    a = tower.adjoin([fmpq(2), fmpq(-3), fmpq(1)], mpmath.mpf(2))
    hidden = tower.add(a, tower.constant(-2))
    assert not tower.is_zero(tower.add(a, tower.constant(-1)))
    assert tower.is_zero(hidden)
    assert len(tower.moduli[0]) == 2
    with pytest.raises(ZeroDivisionError):
        tower.inverse(hidden)


def test_inverses_over_two_square_roots_are_exact():
    tower = Tower()
    with mpmath.workdps(80):
        r = tower.adjoin([fmpq(-2), fmpq(0), fmpq(1)], mpmath.sqrt(2))
        s = tower.adjoin([tower.constant(-3), tower.constant(0), tower.constant(1)], mpmath.sqrt(3))
        e = tower.add(tower.lifted(r, 1), s)
        product = tower.multiply(e, tower.inverse(e))
    assert tower.is_zero(tower.add(product, tower.constant(-1)))
    assert not tower.is_zero(e)


def test_atoms_are_poles_with_rational_masses():
    found = free_product(marchenko_pastur(4), marchenko_pastur(2)).polynomial()
    assert poles(found, lambda place: 0.75) == ((0, Rational(3, 4)),)
    assert poles(found, lambda place: 0.0) == ()
    with pytest.raises(NotSupportedError, match="is not a rational root"):
        poles(found, lambda place: 0.6)
