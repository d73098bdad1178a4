r"""Puiseux expansions of a polynomial relation P(y, x) = 0: at edges, poles, peaks and infinity.

Stage: a ``Relation`` with numbers for all but two quantities in, all branches at one point out.
With s = x - x_0 (or 1/x) the Newton polygon gives every leading term y ~ c s^gamma; where c is a
simple root of its edge polynomial the rest of the series follows uniquely, otherwise the polygon of
what is left is taken. Slopes, multiplicities and the place x_0 are exact (``number_tower``), so all
exponents are proved; coefficients carry the digits asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import mpmath
from flint import fmpq, fmpz_poly
from sympy import Poly as SymPyPoly
from sympy import Rational, discriminant, oo

from derive.eliminate import Relation
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.spectra.number_tower import DIGITS, Tower

_DEPTH = 12
Terms = dict[tuple[int, int], Any]


@dataclass(frozen=True)
class Place:
    """A real algebraic number, or infinity.

    Attributes:
        polynomial: integer coefficients, lowest first, irreducible; empty at infinity.
        value: to many digits.
    """

    polynomial: tuple[int, ...]
    value: Any

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"Place({mpmath.nstr(self.value, 17)}, degree {max(0, len(self.polynomial) - 1)})"


@dataclass(frozen=True)
class Series:
    """One branch: ``sum_i terms[i] * s**((start + i)/root)``.

    Attributes:
        at: where.
        start: numerator of the first exponent.
        root: common denominator of the exponents, proved.
        terms: coefficients to many digits, complex if the branch is.
    """

    at: Place
    start: int
    root: int
    terms: tuple[Any, ...]

    @property
    def exponent(self) -> Fraction:
        """Exponent of the first term."""
        return Fraction(self.start, self.root)

    @property
    def ramified(self) -> bool:
        """Whether fractional powers occur, as at a spectral edge."""
        return self.root > 1

    def __call__(self, x: Any) -> Any:
        """Return the truncated sum at x, on the principal branch of the root."""
        s = 1 / mpmath.mpmathify(x) if self.at.value == mpmath.inf else x - self.at.value
        t = mpmath.power(mpmath.mpmathify(s), mpmath.mpf(1) / self.root)
        return sum((c * t ** (self.start + i) for i, c in enumerate(self.terms)), mpmath.mpf(0))

    def __repr__(self) -> str:
        exponents = (Fraction(self.start + i, self.root) for i in range(len(self.terms)))
        pairs = zip(self.terms, exponents, strict=True)
        return " + ".join(f"({mpmath.nstr(c, 8)}) s^({q})" for c, q in pairs) + " + ..."


def critical_places(relation: Relation) -> tuple[Place, ...]:
    """Return all real values of the control at which branches meet, ramify or diverge.

    Args:
        relation: in two quantities with numbers for all others.

    Example:
        >>> from derive.spectra.laws import marchenko_pastur
        >>> [round(float(p), 6) for p in critical_places(marchenko_pastur(4).polynomial())]
        [0.0, 1.0, 9.0]
    """
    poly = two(relation)
    inner = SymPyPoly(discriminant(poly.as_expr(), relation.output), relation.control)
    lead = SymPyPoly(SymPyPoly(poly.as_expr(), relation.output).LC(), relation.control)
    found = [p for q in (inner, lead) if not q.is_ground for p in real_roots(q)]
    unique = {(*p.polynomial, float(p.value)): p for p in found}
    return tuple(sorted(unique.values(), key=lambda p: p.value))


def two(relation: Relation) -> SymPyPoly:
    """Return a relation as a polynomial in its output and its control, and nothing else.

    Raises:
        NotSupportedError: if it holds further symbols.
    """
    others = relation.expr.free_symbols - {relation.output, relation.control}
    if others:
        names = ", ".join(sorted(map(str, others)))
        raise NotSupportedError("Puiseux expansion", f"{names} are symbols", "put numbers in")
    return SymPyPoly(relation.expr, relation.output, relation.control)


def real_roots(poly: SymPyPoly) -> list[Place]:
    """Return the real roots of a polynomial in one symbol, each with its irreducible factor."""
    _, cleared = poly.clear_denoms(convert=True)
    coefficients = [int(c) for c in reversed(cleared.all_coeffs())]
    _, factors = fmpz_poly(coefficients).factor()
    out = []
    with mpmath.workdps(DIGITS + 10):
        for factor, _ in factors:
            c = [int(v) for v in factor.coeffs()]
            for root in mpmath.polyroots(c[::-1], maxsteps=1000, extraprec=400):
                if abs(mpmath.im(root)) < mpmath.mpf(10) ** (-DIGITS // 2) * (1 + abs(root)):
                    out.append(Place(tuple(c), mpmath.re(root)))
    return out


def place_of(at: Number | Place, relation: Relation) -> Place:
    """Return a rational, infinity or a critical value of a relation near a float as a place.

    Raises:
        RangeError: for a float next to which there is no critical value.
    """
    if isinstance(at, Place):
        return at
    if at is oo or at == float("inf"):
        return Place((), mpmath.inf)
    if isinstance(at, float):
        near = min(critical_places(relation), key=lambda p: abs(float(p) - at), default=None)
        if near is None or abs(float(near) - at) > 1e-9 * max(1.0, abs(at)):
            raise RangeError(f"expansion at {at}", f"the nearest is {near}", "give it exactly")
        return near
    exact = exact_number(at)
    if not isinstance(exact, Rational):
        raise RangeError(f"expansion at {at}", "not rational", "give a critical place or a float")
    with mpmath.workdps(DIGITS + 10):
        return Place((-int(exact.p), int(exact.q)), mpmath.mpf(int(exact.p)) / int(exact.q))


def branches(relation: Relation, at: Number | Place, terms: int = 4) -> tuple[Series, ...]:
    """Return all branches of a relation at one value of its control.

    Args:
        relation: in two quantities with numbers for all others.
        at: rational, infinity, a ``Place``, or a float next to a critical place.
        terms: how many coefficients.

    Raises:
        NotSupportedError: if the relation holds further symbols.
        RangeError: for a place that is neither rational nor critical.

    Accuracy: exponents are proved; coefficients to about 40 digits.

    Example:
        >>> from derive.spectra.laws import semicircle
        >>> for s in branches(semicircle().polynomial(), 2, 3):
        ...     print(s.exponent, s.root, [round(float(c), 12) for c in s.terms])
        0 2 [1.0, -1.0, 0.5]
        0 2 [1.0, 1.0, 0.5]
    """
    if terms < 1:
        raise RangeError("Puiseux expansion", f"{terms} terms", "ask for at least one")
    place = place_of(at, relation)
    tower = Tower()
    with mpmath.workdps(DIGITS):
        local = local_terms(two(relation), place, tower)
        found = _branches(local, tower, terms, first=True)
        out = [
            Series(place, order, root, tuple(_tidy(c) for c in found_terms[:terms]))
            for order, root, found_terms in found
        ]
    return tuple(sorted(out, key=lambda s: [(mpmath.re(c), mpmath.im(c)) for c in s.terms]))


def branch_through(
    relation: Relation, at: Number | Place, point: tuple[Any, Any], terms: int = 4
) -> Series:
    """Return the branch that passes a point (control, output) near the place.

    Raises:
        NotConvergedError: if no branch passes it clearly closer than all others.
    """
    x, y = point
    found = branches(relation, at, terms)
    distances = sorted((abs(s(x) - y), i) for i, s in enumerate(found))
    if len(distances) > 1 and not distances[0][0] < distances[1][0] / 4:
        said = f"two branches are {mpmath.nstr(distances[0][0], 3)} from it"
        raise NotConvergedError(f"branch through {point}", said, "give a point nearer to the place")
    return found[distances[0][1]]


def local_terms(poly: SymPyPoly, place: Place, tower: Tower) -> Terms:
    """Return the coefficients of y^j s^i at a place, keyed (i, j)."""
    if not place.polynomial:
        degree = poly.degree(poly.gens[1])
        return {
            (degree - int(i), int(j)): tower.constant(fmpq(int(c.p), int(c.q)))
            for (j, i), c in poly.terms()
        }
    if len(place.polynomial) == 2:
        x0 = tower.constant(fmpq(-place.polynomial[0], place.polynomial[1]))
    else:
        x0 = tower.adjoin([fmpq(c) for c in place.polynomial], place.value)
    out: Terms = {}
    for (j, i), c in poly.terms():
        term = tower.constant(fmpq(int(c.p), int(c.q)))
        for k in range(int(i), -1, -1):  # x^i = sum_k binom(i, k) x0^(i-k) s^k
            weight = tower.constant(int(mpmath.binomial(int(i), k)))
            value = tower.multiply(weight, term)
            out[k, int(j)] = tower.add(out[k, int(j)], value) if (k, int(j)) in out else value
            term = tower.multiply(term, x0)
    return out


def _clean(local: Terms, tower: Tower) -> Terms:
    return {key: e for key, e in local.items() if not tower.is_zero(e)}


Branch = tuple[int, int, list[Any]]


def _branches(local: Terms, tower: Tower, terms: int, first: bool, depth: int = 0) -> list[Branch]:
    """Return (order, root, coefficients) of all branches; of those with y(0) = 0 if not first."""
    local = _clean(local, tower)
    if depth > _DEPTH or not local:
        raise NotSupportedError("Puiseux expansion", "the branches do not separate", "ask less")
    lowest = min(j for _, j in local)
    found: list[Branch] = [(0, 1, [mpmath.mpf(0)] * terms)] * lowest
    for slope, edge in polygon(local):
        if not first and slope <= 0:
            continue
        polynomial = edge_polynomial(local, edge, tower)
        for multiplicity, part in tower.squarefree_parts(polynomial):
            for value in tower.roots(part):
                own = tower.copy()
                c = own.adjoin(part, value)
                inner = _substituted(local, own, slope, c, tower.height)
                for order, root, rest in _below(inner, own, terms, multiplicity, depth):
                    found.append(_joined(slope, value, order, root, rest, terms))
    return found


def _below(inner: Terms, tower: Tower, terms: int, multiplicity: int, depth: int) -> list[Branch]:
    if multiplicity > 1:
        return _branches(inner, tower, terms, first=False, depth=depth + 1)
    return [(0, 1, _lifted({k: tower.number(e) for k, e in inner.items()}, terms))]


def polygon(local: Terms) -> list[tuple[Fraction, list[tuple[int, int]]]]:
    """Return slopes gamma of y ~ s^gamma with the monomials (i, j) on each edge."""
    lowest: dict[int, int] = {}
    for i, j in local:
        lowest[j] = min(lowest.get(j, i), i)
    columns = sorted(lowest)
    out = []
    at = columns[0]
    while at != columns[-1]:
        slopes = {j: Fraction(lowest[at] - lowest[j], j - at) for j in columns if j > at}
        gamma = max(slopes.values())
        level = lowest[at] + gamma * at
        edge = [(lowest[j], j) for j in columns if lowest[j] + gamma * j == level]
        out.append((gamma, edge))
        at = max(j for _, j in edge)
    return out


def edge_polynomial(local: Terms, edge: Sequence[tuple[int, int]], tower: Tower) -> list[Any]:
    """Return the coefficients on an edge, lowest power of the leading coefficient first."""
    low = min(j for _, j in edge)
    high = max(j for _, j in edge)
    out = [tower.constant(0)] * (high - low + 1)
    for i, j in edge:
        out[j - low] = local[i, j]
    return out


def _substituted(local: Terms, tower: Tower, slope: Fraction, c: Any, height: int) -> Terms:
    """Put s = t^q, y = t^a (c + y_1) and divide by the lowest power of t."""
    a, q = slope.numerator, slope.denominator
    base = min(q * i + a * j for i, j in local)
    out: Terms = {}
    for (i, j), e in local.items():
        term = tower.lifted(e, height)
        for k in range(j, -1, -1):
            value = tower.multiply(tower.constant(int(mpmath.binomial(j, k))), term)
            key = (q * i + a * j - base, k)
            out[key] = tower.add(out[key], value) if key in out else value
            term = tower.multiply(term, c)
    return out


def _lifted(inner: Mapping[tuple[int, int], Any], terms: int) -> list[Any]:
    """Return y_1 = sum_n y_n t^n, n < terms, from G(t, y_1) = 0 with a simple root at zero."""
    slope = inner.get((0, 1), mpmath.mpf(0))
    y = [mpmath.mpf(0)] * terms
    highest = max(j for _, j in inner)
    for n in range(1, terms):
        powers = [[mpmath.mpf(1)] + [mpmath.mpf(0)] * n]
        for _ in range(highest):
            powers.append(_times(powers[-1], y[: n + 1]))
        total = sum((e * powers[j][n - i] for (i, j), e in inner.items() if i <= n), mpmath.mpf(0))
        y[n] = -total / slope
    return y


def _times(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    n = len(a)
    return [sum((a[k] * b[m - k] for k in range(m + 1)), mpmath.mpf(0)) for m in range(n)]


def _joined(
    slope: Fraction, c: Any, order: int, root: int, rest: Sequence[Any], terms: int
) -> Branch:
    """Return t^a (c + y_1) as a series in s^(1/(q root)), t = s^(1/q)."""
    q = slope.denominator
    whole = q * root
    scale = whole // q
    out = [mpmath.mpf(0)] * terms
    out[0] = c
    for i, v in enumerate(rest):
        if 0 < order + i < terms:
            out[order + i] += v
    start = slope.numerator * scale
    if whole > 1 and start % whole == 0 and all(v == 0 for k, v in enumerate(out) if k % whole):
        return start, whole, out
    return start, lcm(whole, 1), out


def _tidy(value: Any) -> Any:
    real, imaginary = mpmath.re(value), mpmath.im(value)
    small = mpmath.mpf(10) ** (-DIGITS // 2) * abs(value)
    with mpmath.workdps(DIGITS // 2):
        return +real if abs(imaginary) <= small else mpmath.mpc(+real, +imaginary)
