r"""Proportional unknowns of Dyson equations, guessed from exact series, then checked as identities.

Stage: inside the Dyson equations. At rational values of all scalars the traces are power series in
tau (the common scale of the variances) with rational coefficients. Unknowns whose series are
proportional are candidates to be one unknown; scalars are given large primes, so that the factor is
read off by factoring a rational.
"""

import random
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from flint import fmpq, fmpq_mat
from sympy import Basic, Expr, Integer, Poly, Rational, fraction, prime, together

from derive.random_matrices.averaged_pencil import TAU, AveragedPencil
from derive.random_matrices.covariance_map import Index

ORDER = 5
IDENTITY_POINTS = 2
FIRST_PRIME = 200
POINTS = (Fraction(3, 7), Fraction(13, 5))
WEIGHTS = (Fraction(1, 3), Fraction(2, 3))
Series = tuple[Fraction, ...]


def candidates(model: AveragedPencil) -> dict[Index, tuple[Index, Expr] | None]:
    """Return, for unknowns that seem redundant, the unknown and the factor that give them.

    None marks an unknown that seems to vanish. The answer is empty where there is no expansion:
    free groups, a path with a ridge, or scalars that are irrational at rational points.
    """
    if model.free or any(TAU in e.coefficient.free_symbols for e in model.pencil.entries):
        return {}
    values = _values(model)
    series = _series(model, values)
    if series is None:
        return {}
    found: dict[Index, tuple[Index, Expr] | None] = {}
    leaders: dict[Series, tuple[Index, Fraction]] = {}
    for block in model.unknowns:
        terms = series[block]
        lead = next((t for t in terms if t), None)
        if lead is None:
            found[block] = None
            continue
        unit = tuple(t / lead for t in terms)
        leader = leaders.setdefault(unit, (block, lead))
        if leader[0] != block:
            found[block] = leader[0], _monomial(lead / leader[1], values)
    return found


def agrees(
    model: AveragedPencil,
    merged: Mapping[Index, Expr],
    suggested: Mapping[Index, tuple[Index, Expr] | None],
) -> list[Index]:
    """Return the suggestions that fail as identities of rational functions.

    Both sides are compared exactly at random rational points of 48 bits; an identity that holds
    there is false with probability of the order of degree / 2^48.
    """
    rng = random.Random(48)
    failed: set[Index] = set()
    for _ in range(IDENTITY_POINTS):
        point: dict[Basic, Any] = _Random(rng)
        size = model.pencil.size
        rows = [[fmpq(0)] * size for _ in range(size)]
        for (i, l), term in model.fixed_terms():
            rows[i][l] += _exact(model, term, point)
        for p in model.pairs:
            value = merged.get(p.block, model.unknowns[p.block])
            rows[p.row][p.col] -= _exact(model, p.coefficient, point) * _exact(model, value, point)
        matrix = fmpq_mat(rows)
        if matrix.det() == 0:
            return list(suggested)
        inverse = matrix.inv()
        for block, leader in suggested.items():
            other = fmpq(0)
            if leader is not None:
                other = _exact(model, leader[1], point) * inverse[leader[0][0], leader[0][1]]
            if inverse[block[0], block[1]] != other or _mixed(model, block, leader):
                failed.add(block)
    return sorted(failed)


def doubt(model: AveragedPencil, count: int) -> float:
    """Return a bound of the probability that ``agrees`` lets one of ``count`` false merges pass.

    An entry of the inverse is a quotient of minors, polynomials of degree at most N D once powers
    in denominators are cleared, where D bounds the degree of an entry of the N x N pencil; so the
    difference of two entries, one times a factor, has a numerator of degree at most 4 N D. It
    vanishes at a random point with probability at most degree / 2^48 (Schwartz and Zippel), and the
    points are independent.

    Accuracy: an upper bound.
    """
    terms = [e for _, e in model.fixed_terms()] + [p.coefficient for p in model.pairs]
    degree = 2 + max((_degree(model.field.rooted(e)) for e in terms), default=1)
    share = Fraction(4 * model.pencil.size * degree, 2**48)
    return float(count * share**IDENTITY_POINTS)


def _degree(expr: Expr) -> int:
    """Return a bound of the degree of a rational expression, powers in denominators counted."""
    top, bottom = fraction(together(expr))
    return sum(Poly(p, *p.free_symbols).total_degree() for p in (top, bottom) if p.free_symbols)


def _mixed(model: AveragedPencil, block: Index, leader: tuple[Index, Expr] | None) -> bool:
    """Whether two traces average over different spectra, so that equal integrands say nothing."""
    dims = model.pencil.dims
    if leader is None or dims[block[0]] == dims[leader[0][0]]:
        return False
    return dims[block[0]] in model.bases or dims[leader[0][0]] in model.bases


class _Random(dict[Basic, Any]):
    """A value for every symbol, drawn when first asked for."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng

    def __missing__(self, symbol: Basic) -> Rational:
        self[symbol] = Rational(self.rng.randrange(1, 2**48), self.rng.randrange(1, 2**16))
        return self[symbol]


def _exact(model: AveragedPencil, expr: Expr, point: dict[Basic, Any]) -> fmpq:
    rooted = model.field.rooted(expr)
    value = rooted.xreplace({s: point[s] for s in rooted.free_symbols})
    return fmpq(int(value.p), int(value.q))


def _values(model: AveragedPencil) -> dict[Basic, Integer]:
    """A large prime for each scalar symbol of the field."""
    field = model.field
    spectral = {s for bases in model.bases.values() for b in bases for s in model.variables(b)}
    scalars = [field.rooted(e.coefficient) for e in model.pencil.entries]
    scalars += [field.rooted(p.coefficient) for p in model.pairs]
    symbols = {s for e in scalars for s in e.free_symbols} - spectral - {TAU}
    ordered = sorted(symbols, key=str)
    return {s: Integer(prime(FIRST_PRIME + i)) for i, s in enumerate(ordered)}


def _number(model: AveragedPencil, expr: Expr, values: Mapping[Basic, Any]) -> fmpq | None:
    value = model.field.rooted(expr).xreplace(dict(values))
    return fmpq(int(value.p), int(value.q)) if isinstance(value, Rational) else None


def _series(model: AveragedPencil, values: Mapping[Basic, Any]) -> dict[Index, Series] | None:
    """Expand all unknowns in tau; spectral measures are replaced by two atoms."""
    numbers = [_number(model, p.coefficient, values) for p in model.pairs]
    weights = [c for c in numbers if c is not None]
    resolvents = []
    for shift, _ in enumerate(POINTS):
        resolvent = _resolvent(model, values, shift)
        if resolvent is None or len(weights) < len(numbers):
            return None
        resolvents.append(resolvent)
    size = model.pencil.size
    orders = [list(resolvents)]
    etas: list[fmpq_mat] = []
    for m in range(1, ORDER + 1):
        traces = _mean(orders[-1])
        eta = [[fmpq(0)] * size for _ in range(size)]
        for p, c in zip(model.pairs, weights, strict=True):
            eta[p.row][p.col] += c * traces[p.block[0], p.block[1]]
        etas.append(fmpq_mat(eta))
        new = []
        for a, r in enumerate(resolvents):
            total = fmpq_mat(size, size)
            for q in range(m):
                total += etas[q] * orders[m - 1 - q][a]
            new.append(r * total)
        orders.append(new)
    means = [_mean(order) for order in orders]
    return {
        (j, k): tuple(Fraction(int(x[j, k].p), int(x[j, k].q)) for x in means)
        for j, k in model.unknowns
    }


def _mean(matrices: Iterable[fmpq_mat]) -> fmpq_mat:
    weighted = [
        m * fmpq(w.numerator, w.denominator) for m, w in zip(matrices, WEIGHTS, strict=True)
    ]
    return weighted[0] + weighted[1]


def _resolvent(model: AveragedPencil, values: Mapping[Basic, Any], shift: int) -> fmpq_mat | None:
    """M^-1 at tau = 0, at one of the two sample points of each spectral measure."""
    point: dict[Basic, Any] = dict(values)
    for bases in model.bases.values():
        for i, s in enumerate(model.variables(bases[0])):
            value = POINTS[shift] + (1 + shift) * i
            point[s] = Rational(value.numerator, value.denominator)
    size = model.pencil.size
    rows = [[fmpq(0)] * size for _ in range(size)]
    for (i, l), term in model.fixed_terms():
        number = _number(model, term, point)
        if number is None:
            return None
        rows[i][l] += number
    matrix = fmpq_mat(rows)
    return None if matrix.det() == 0 else matrix.inv()


def _monomial(ratio: Fraction, values: Mapping[Basic, Integer]) -> Expr:
    """Write a rational as a number times a monomial in the symbols whose primes divide it."""
    rest, result = Rational(ratio.numerator, ratio.denominator), Integer(1)
    for symbol, value in values.items():
        while rest.p % int(value) == 0:
            rest, result = rest / value, result * symbol
        while rest.q % int(value) == 0:
            rest, result = rest * value, result / symbol
    return rest * result
