r"""Exact probabilities that n random entries, or points of a finite domain, suffice.

Stage: families on finite domains in, exact fractions out. On a continuum almost every sample of O
points has full rank; on a finite domain some have not, so the guarantee has a probability.

Rank one, p x q: the guarantee holds iff the bipartite graph of the observed entries is connected
and spans all rows and columns. Their number by edges is the coefficient of t^n in C_{p,q}(t), where
every graph is the component of one fixed row times anything on the rest:

.. math:: (1+t)^{pq} = \sum_{i,j} \binom{p-1}{i-1} \binom{q}{j} C_{i,j}(t) (1+t)^{(p-i)(q-j)}

Rank r: bases of the generic completion matroid, counted by ranks modulo a prime, one for each
multiset of rows (rows are exchangeable at a generic matrix).
Source: derived here; the rank-one counts are checked against enumeration.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb, factorial, prod
from typing import Any

from flint import fmpz_poly, nmod_mat
from sympy import Add, Expr, Symbol

from derive.errors import NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.recovery.family import Family, count
from derive.tangent_rank.exponentials import plan_of
from derive.tangent_rank.family import Place, family_at
from derive.tangent_rank.formal import FormalRing
from derive.tangent_rank.modular import ModularRing
from derive.tangent_rank.number_field import primes
from derive.tangent_rank.tape import columns, forward

_PRIMES = (2147483497, 2147483353)
_MOST = 400_000
PROVED = "exact"
AGREED = "exact unless two random evaluations modulo primes near 2^31 miss the same basis"


@dataclass(frozen=True)
class Probability:
    """An exact probability.

    Attributes:
        value: the probability.
        good: number of samples with the guarantee.
        total: number of samples.
        status: what the count rests on.
    """

    value: Fraction
    good: int
    total: int
    status: str

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"Probability({self.value}; {self.good} of {self.total}, {self.status})"


def completion_probability(p: int, q: int, n: int, rank: int = 1) -> Probability:
    """Return the probability that n uniform entries of a generic p x q matrix suffice.

    Args:
        p: rows.
        q: columns.
        n: observed entries, drawn without replacement, 0 <= n <= p q.
        rank: rank of the matrix, 1 <= rank <= min(p, q).

    Raises:
        RangeError: for sizes out of range.
        NotSupportedError: if too many patterns would have to be looked at; the count is said.

    Example:
        >>> completion_probability(4, 4, 7).value, completion_probability(3, 3, 6).value
        (Fraction(256, 715), Fraction(13, 14))
        >>> completion_probability(4, 4, 12, rank=2).value
        Fraction(321, 455)
    """
    count(p, "p")
    count(q, "q")
    count(rank, "rank")
    if rank > min(p, q):
        raise RangeError(f"rank {rank}", f"a {p} x {q} matrix", f"use 1 to {min(p, q)}")
    if not 0 <= n <= p * q:
        raise RangeError(f"n = {n}", f"the matrix has {p * q} entries", f"use 0 to {p * q}")
    total = comb(p * q, n)
    if rank == 1:
        counts = connected_graphs(p, q)
        good = counts[n] if n < len(counts) else 0
        return Probability(Fraction(good, total), good, total, PROVED)
    if n < rank * (p + q - rank):
        return Probability(Fraction(0), 0, total, PROVED)
    goods = {_count_bases(max(p, q), min(p, q), n, rank, prime) for prime in _PRIMES}
    good = max(goods)
    return Probability(Fraction(good, total), good, total, AGREED)


@lru_cache(maxsize=256)
def connected_graphs(p: int, q: int) -> tuple[int, ...]:
    """Return the numbers of connected spanning subgraphs of K_{p,q} with 0, 1, 2, ... edges.

    Example:
        >>> connected_graphs(2, 2)
        (0, 0, 0, 4, 1)
    """
    return tuple(int(c) for c in _connected(p, q).coeffs())


@lru_cache(maxsize=4096)
def _connected(p: int, q: int) -> Any:
    if q == 0:
        return fmpz_poly([1 if p == 1 else 0])
    total = fmpz_poly([1, 1]) ** (p * q)
    for i in range(1, p + 1):
        for j in range(q + 1):
            if (i, j) != (p, q):
                ways = comb(p - 1, i - 1) * comb(q, j)
                rest = fmpz_poly([1, 1]) ** ((p - i) * (q - j))
                total -= ways * _connected(i, j) * rest
    return total


def _count_bases(p: int, q: int, n: int, rank: int, prime: int) -> int:
    """Count sets of n entries whose tangent rows have full rank, by multisets of row patterns."""
    rng = random.Random(f"{p}/{q}/{rank}/{prime}")
    A = [[rng.randrange(prime) for _ in range(rank)] for _ in range(p)]
    B = [[rng.randrange(prime) for _ in range(q)] for _ in range(rank)]
    full = rank * (p + q - rank)
    masks = [m for m in range(1 << q) if m.bit_count() >= rank]
    _check_patterns(masks, p, q, n, rank)
    good = 0
    for rows in _patterns(masks, p, n):
        if any(sum(m >> j & 1 for m in rows) < rank for j in range(q)):
            continue
        entries = [(i, j) for i, m in enumerate(rows) for j in range(q) if m >> j & 1]
        table = [x for i, j in entries for x in _tangent(A, B, i, j)]
        if nmod_mat(n, rank * (p + q), table, prime).rank() == full:
            good += factorial(p) // prod(factorial(rows.count(m)) for m in set(rows))
    return good


def _check_patterns(masks: Sequence[int], p: int, q: int, n: int, rank: int) -> None:
    """Refuse what would take too long, with the number of patterns."""
    ways = {(0, 0): 1}
    for size, number in Counter(m.bit_count() for m in masks).items():
        new: dict[tuple[int, int], int] = {}
        for (rows, bits), count_ in ways.items():
            for k in range(p - rows + 1):
                place = rows + k, bits + k * size
                new[place] = new.get(place, 0) + count_ * comb(number + k - 1, k)
        ways = new
    found = ways.get((p, n), 0)
    if found > _MOST:
        raise NotSupportedError(
            f"the probability for {n} entries of a {p} x {q} matrix of rank {rank}",
            f"{found} patterns of entries up to exchange of rows, more than {_MOST}",
            "use a smaller matrix, or draw samples",
        )


def _patterns(masks: Sequence[int], p: int, n: int) -> Iterator[tuple[int, ...]]:
    """Yield sorted p-tuples of masks with n bits in all."""
    sizes = [m.bit_count() for m in masks]
    low, high = min(sizes), max(sizes)

    def extend(start: int, left: int, bits: int) -> Iterator[tuple[int, ...]]:
        if left == 0:
            if bits == 0:
                yield ()
            return
        if not left * low <= bits <= left * high:
            return
        for i in range(start, len(masks)):
            for rest in extend(i, left - 1, bits - sizes[i]):
                yield (masks[i], *rest)

    yield from extend(0, p, n)


def _tangent(A: Sequence[Sequence[int]], B: Sequence[Sequence[int]], i: int, j: int) -> list[int]:
    """Return the derivative of entry (i, j) of A B in all entries of A and B."""
    rank, p, q = len(B), len(A), len(B[0])
    row = [0] * (rank * (p + q))
    for t in range(rank):
        row[i * rank + t] = B[t][j]
        row[p * rank + t * q + j] = A[i][t]
    return row


# --- any family on a finite domain ----------------------------------------------------------------


def recovery_probability(
    family: Family,
    point: Place,
    domain: Sequence[Sequence[Number]],
    n: int,
) -> Probability:
    """Return the probability that n points drawn from a finite domain have the full rank.

    Args:
        family: an analytic family.
        point: exact values of all parameters.
        domain: points, each with one exact value for every input.
        n: points drawn, without replacement.

    Returns:
        The probability that the tangent matrix of the sample has the rank of the whole domain.

    Raises:
        RangeError: if n is out of range or the point has generic values.
        NotSupportedError: if there are too many samples.

    Example:
        >>> from derive.recovery.networks import TwoLayer
        >>> cube = [(x, y) for x in (0, 1) for y in (0, 1)]
        >>> family = TwoLayer(2, 1).family()
        >>> recovery_probability(family, {"a_1": 1, "w_1_1": 1, "w_1_2": 2}, cube, 3).value
        Fraction(1, 4)
    """
    if not 0 <= n <= len(domain):
        raise RangeError(f"n = {n}", f"{len(domain)} points", f"use 0 to {len(domain)}")
    total = comb(len(domain), n)
    if total > _MOST:
        raise NotSupportedError(
            f"samples of {n} among {len(domain)} points", f"{total} of them", "use a smaller domain"
        )
    rows, prime, assumptions = domain_matrix(family, point, domain)
    width = len(rows[0])
    full = _rank(rows, width, prime)
    samples = combinations(rows, n)
    good = sum(_rank(sample, width, prime) == full for sample in samples)
    return Probability(Fraction(good, total), good, total, "; ".join((AGREED, *assumptions)))


def _rank(rows: Sequence[Sequence[int]], width: int, prime: int) -> int:
    if not rows:
        return 0
    return int(nmod_mat(len(rows), width, [x for row in rows for x in row], prime).rank())


def domain_matrix(
    family: Family, point: Place, domain: Sequence[Sequence[Number]]
) -> tuple[list[list[int]], int, tuple[str, ...]]:
    """Return tangent rows on a finite domain modulo a prime, the prime, and what is assumed.

    All points enter one family sum_i v_i f(x_i; theta), so that they share their constants.
    """
    probes = [Symbol(f"probe_{i}", real=True) for i in range(len(domain))]
    terms: list[Expr] = []
    for probe, place in zip(probes, domain, strict=True):
        values = [exact_number(v) for v in place]
        if len(values) != len(family.inputs):
            raise RangeError(
                f"a point with {len(values)} values", f"{len(family.inputs)} inputs", "give as many"
            )
        terms.append(probe * family.expr.xreplace(dict(zip(family.inputs, values, strict=True))))
    expr = Add(*terms)
    kept = [s for s in family.parameters if s in expr.free_symbols]
    names = {s.name for s in kept}
    chosen = {str(k): v for k, v in point.items() if str(k) in names}
    present = [v for v in probes if v in expr.free_symbols]
    made = family_at(expr, kept, present, chosen)
    if made.symbols:
        raise RangeError(
            "a finite domain at a generic point", "values missing", "give all parameters"
        )
    formal = FormalRing(made.tape, made.field, made.values)
    forward(made.tape, formal)
    plan = plan_of(made.tape, formal)
    (prime,) = primes(made.field, 1)
    ring = _Units(formal, plan, prime, len(domain), random.Random(0), {})
    ring.units([probes.index(v) for v in made.tape.inputs])
    gradient = columns(made.tape, ring, forward(made.tape, ring))
    lists = [[g] * len(domain) if isinstance(g, int) else g for g in gradient if g is not None]
    rows = [list(row) for row in zip(*lists, strict=True)] or [[0] for _ in domain]
    return rows, prime.p, plan.assumptions


class _Units(ModularRing):
    """Evaluates at unit vectors of the probes instead of random ones."""

    def units(self, numbers: Sequence[int]) -> None:
        """Set input j to the unit vector of the point ``numbers[j]``."""
        self._inputs = [[int(i == number) for i in range(self.size)] for number in numbers]
