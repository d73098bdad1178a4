"""Atoms of a law from its polynomial: simple poles of G with their masses, exact.

Stage: a ``Relation`` of G and z in, pairs (place, mass) out. A pole sits where the leading
coefficient vanishes; its possible masses are the roots of the edge polynomial of slope -1, and the
physical one is told by a number from the physical branch.
"""

from collections.abc import Callable
from typing import Any

import mpmath
from flint import fmpq_poly
from sympy import Expr, Poly, Rational

from derive.eliminate import Relation
from derive.errors import NotSupportedError
from derive.spectra.number_tower import DIGITS, Tower
from derive.spectra.puiseux import edge_polynomial, local_terms, polygon, real_roots, two

_CLOSE = 1e-5


def poles(relation: Relation, mass: Callable[[Any], Any]) -> tuple[tuple[Expr, Expr], ...]:
    """Return places and masses of all atoms.

    Args:
        relation: of G (output) and z (control), without further symbols.
        mass: the mass at a place, as a number with an error below 1e-5.

    Raises:
        NotSupportedError: for an atom at an irrational place, or of irrational mass.

    Example:
        >>> from derive.spectra.laws import marchenko_pastur
        >>> poles(marchenko_pastur(4).polynomial(), lambda place: 0.75)
        ((0, 3/4),)
    """
    poly = two(relation)
    lead = Poly(Poly(poly.as_expr(), relation.output).LC(), relation.control)
    found: list[tuple[Expr, Expr]] = []
    for place in [] if lead.is_ground else real_roots(lead):
        tower = Tower()
        with mpmath.workdps(DIGITS):
            local = local_terms(poly, place, tower)
            kept = {k: e for k, e in local.items() if not tower.is_zero(e)}
            edges = [edge for slope, edge in polygon(kept) if slope == -1]
            measured = float(mass(place.value)) if edges else 0.0
        if measured < _CLOSE:
            continue
        if len(place.polynomial) != 2:
            said = f"an atom at the irrational place {float(place):.12g}"
            raise NotSupportedError("atoms", said, "give the atoms of the law")
        x0 = Rational(-place.polynomial[0], place.polynomial[1])
        roots = _rational_roots(edge_polynomial(kept, edges[0], tower))
        near = [r for r in roots if abs(float(r) - measured) < _CLOSE]
        if len(near) != 1:
            said = f"the mass {measured:.6g} at {x0} is not a rational root of its polynomial"
            raise NotSupportedError("atoms", said, "give the atoms of the law")
        found.append((x0, near[0]))
    return tuple(found)


def _rational_roots(coefficients: list[Any]) -> list[Rational]:
    numerator = fmpq_poly(coefficients).numer()
    _, factors = numerator.factor()
    linear = [f.coeffs() for f, _ in factors if f.degree() == 1]
    return [Rational(-int(c[0]), int(c[1])) for c in linear]
