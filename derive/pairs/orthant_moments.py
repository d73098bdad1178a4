r"""Moments x^n y^m of two normals, cut by at most two events about correlated normals.

Stage: under the dual kernels; entries of covariances come in as elements of any commutative ring,
tables of moments go out as coefficients of four basis functions. For events W1 > c1, W2 > c2

    E[(x - E x) f 1 1] = Cov(x, x) E[f_x 1 1] + Cov(x, y) E[f_y 1 1] + boundary terms,

and each boundary term is a moment of the same kind under the law given W1 = c1 (or W2 = c2), with
one event less. So every moment is polynomial in the entries times

    P(W1, W2),  phi(h1) P(W2 | W1 = c1),  phi(h2) P(W1 | W2 = c2),  (1 - r^2) phi2(h1, h2; r),

with h the standardised levels. Source: [stein1981].
"""

from dataclasses import dataclass
from typing import Any

Entry = Any
"""An element of a commutative ring that contains the integers."""
Vector = tuple[Entry, ...]
Table = list[list[Vector]]


@dataclass(frozen=True)
class Law:
    """Means and covariances of the pair (x, y)."""

    mean: tuple[Entry, Entry]
    xx: Entry
    xy: Entry
    yy: Entry

    def given(self, slope: tuple[Entry, Entry], gap: Entry, cov: tuple[Entry, Entry]) -> "Law":
        """Return the law given W = c: regression ``slope`` on W, ``gap`` = c - E W."""
        return Law(
            (self.mean[0] + slope[0] * gap, self.mean[1] + slope[1] * gap),
            self.xx - slope[0] * cov[0],
            self.xy - slope[0] * cov[1],
            self.yy - slope[1] * cov[1],
        )


@dataclass(frozen=True)
class Event:
    """The event W > c about one normal.

    Attributes:
        cov: covariances of x and y with W.
        slope: ``cov`` over the variance of W.
        gap: c - E W.
        deviation: standard deviation of W.
    """

    cov: tuple[Entry, Entry]
    slope: tuple[Entry, Entry]
    gap: Entry
    deviation: Entry


@dataclass(frozen=True)
class Pair:
    """Two events, with what links them.

    Attributes:
        events: the events.
        slopes: partial regression of (x, y) on each W, the other one being held.
    """

    events: tuple[Event, Event]
    slopes: tuple[tuple[Entry, Entry], tuple[Entry, Entry]]


def free_moments(law: Law, top: tuple[int, int], one: Entry) -> Table:
    """Return E[x^n y^m] for n, m up to ``top``, as vectors of length one."""
    return _climb(law, top, (one,), ())


def one_event_moments(law: Law, event: Event, top: tuple[int, int], one: Entry) -> Table:
    """Return E[x^n y^m 1(W > c)] in the basis P(W > c), phi(h)."""
    zero = one - one
    inner = free_moments(law.given(event.slope, event.gap, event.cov), top, one)
    rates = tuple(event.deviation * slope for slope in event.slope)
    return _climb(law, top, (one, zero), ((rates, _place(inner, 1, 2, zero)),))


def two_event_moments(law: Law, pair: Pair, top: tuple[int, int], one: Entry) -> Table:
    """Return E[x^n y^m 1(W1 > c1) 1(W2 > c2)] in the basis of the module docstring."""
    zero = one - one
    first, second = pair.events
    (e1x, e1y), (e2x, e2y) = pair.slopes
    given1 = law.given(first.slope, first.gap, first.cov)
    given2 = law.given(second.slope, second.gap, second.cov)
    both = Law(
        (
            law.mean[0] + e1x * first.gap + e2x * second.gap,
            law.mean[1] + e1y * first.gap + e2y * second.gap,
        ),
        law.xx - e1x * first.cov[0] - e2x * second.cov[0],
        law.xy - e1x * first.cov[1] - e2x * second.cov[1],
        law.yy - e1y * first.cov[1] - e2y * second.cov[1],
    )
    edge = _place(free_moments(both, top, one), 3, 4, zero)
    d1, d2 = first.deviation, second.deviation
    side1 = _climb(given1, top, (zero, one, zero, zero), (((e2x * d2, e2y * d2), edge),))
    side2 = _climb(given2, top, (zero, zero, one, zero), (((e1x * d1, e1y * d1), edge),))
    rates1 = (first.slope[0] * d1, first.slope[1] * d1)
    rates2 = (second.slope[0] * d2, second.slope[1] * d2)
    start = (one, zero, zero, zero)
    return _climb(law, top, start, ((rates1, side1), (rates2, side2)))


def _place(table: Table, at: int, length: int, zero: Entry) -> Table:
    """Put scalar moments into component ``at`` of longer vectors."""
    before, after = (zero,) * at, (zero,) * (length - at - 1)
    return [[(*before, entry[0], *after) for entry in row] for row in table]


def _climb(law: Law, top: tuple[int, int], start: Vector, boundaries: Any) -> Table:
    """Fill a table by Stein's identity; ``boundaries`` holds (rates of x and y, inner table)."""
    n_top, m_top = top
    table: Table = [[start] * (m_top + 1) for _ in range(n_top + 1)]
    for m in range(m_top):
        terms = [(law.mean[1], table[0][m]), (m * law.yy, table[0][m - 1])]
        terms += [(rates[1], inner[0][m]) for rates, inner in boundaries]
        table[0][m + 1] = _sum(terms if m else [terms[0], *terms[2:]])
    for n in range(n_top):
        for m in range(m_top + 1):
            terms = [(law.mean[0], table[n][m])]
            terms += [(n * law.xx, table[n - 1][m])] if n else []
            terms += [(m * law.xy, table[n][m - 1])] if m else []
            terms += [(rates[0], inner[n][m]) for rates, inner in boundaries]
            table[n + 1][m] = _sum(terms)
    return table


def _sum(terms: list[tuple[Entry, Vector]]) -> Vector:
    """Return the sum of scalar times vector."""
    return tuple(sum(scale * vector[i] for scale, vector in terms) for i in range(len(terms[0][1])))
