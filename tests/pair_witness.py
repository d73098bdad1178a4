"""E[s(u) t(v)] of two normals as one ball integral: a witness that shares nothing with the rules.

A function is a list of pieces, polynomial times exp(alpha z + beta z^2) times perhaps one error
function, between two ends. Given u, the mean of t(v) is a truncated moment of one normal, written
here by the recurrence of textbooks on complex balls; the mean over u is integrated rigorously, over
as many standard deviations as the digits need (what lies beyond is not bounded, but is far below
them). Nothing of ``derive`` is imported.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import inf, log

from flint import acb, arb, ctx, fmpq

_DEEPEST = 24


@dataclass(frozen=True)
class Piece:
    """``sum poly[n] z^n exp(alpha z + beta z^2) erf(slope z + offset)`` for low < z < high.

    Numbers are fractions; those of ``poly`` and ``alpha`` may be pairs, real and imaginary part.
    ``bell`` is (slope, offset), or None without an error function; it may hold balls.
    """

    poly: tuple = (1,)
    low: Fraction | float = -inf
    high: Fraction | float = inf
    alpha: object = 0
    beta: object = 0
    bell: tuple | None = None
    size: object = field(default=1)


def ball(x):
    """Return a number as a complex ball at the working precision."""
    if callable(x):
        return ball(x())
    if isinstance(x, tuple):
        return ball(x[0]) + ball(x[1]) * acb(0, 1)
    if isinstance(x, acb | arb):
        return acb(x)
    fraction = Fraction(x)
    return acb(arb(fmpq(fraction.numerator, fraction.denominator)))


def mean(pieces, m, r):
    """Return E t(N(m, r)) for a complex ball m and a real ball r > 0."""
    return sum((_piece_mean(piece, m, r) for piece in pieces), acb(0))


def value(pieces, z):
    """Return the sum of the pieces at z, each continued beyond its ends."""
    total = acb(0)
    for p in pieces:
        term = sum((ball(c) * z**n for n, c in enumerate(p.poly)), acb(0)) * ball(p.size)
        term *= (ball(p.alpha) * z + ball(p.beta) * z * z).exp()
        if p.bell is not None:
            term *= (ball(p.bell[0]) * z + ball(p.bell[1])).erf()
        total += term
    return total


def _piece_mean(p, m, r):
    moments = _moments(p, m, r, len(p.poly) - 1)
    return ball(p.size) * sum((ball(c) * x for c, x in zip(p.poly, moments, strict=True)), acb(0))


def _moments(p, m, r, top):
    """Return E[z^n exp(alpha z + beta z^2) (erf); low < z < high], n = 0..top."""
    alpha, beta = ball(p.alpha), ball(p.beta)
    width = 1 - 2 * beta * r
    centre, spread = (m + alpha * r) / width, r / width
    exponent = (2 * alpha * m + alpha * alpha * r + 2 * beta * m * m) / (2 * width)
    scale = exponent.exp() / width.sqrt()
    rest = None
    if p.bell is None:
        rows = [_mass(p, centre, spread)]
        edges = [_edge(p, centre, spread, n) for n in range(top)]
        rises = [-spread * edge for edge in edges]
    else:
        slope, offset = ball(p.bell[0]), ball(p.bell[1])
        turned = (1 + 2 * slope * slope * spread).sqrt()
        rows = [((slope * centre + offset) / turned).erf()]
        rest = Piece((1,), alpha=-2 * slope * offset, beta=-slope * slope)
        inner = _moments(rest, centre, spread, max(top - 1, 0))
        factor = 2 * slope / acb.pi().sqrt() * (-offset * offset).exp() * spread
        rises = [factor * x for x in inner]
    for n in range(1, top + 1):
        before = (n - 1) * spread * rows[n - 2] if n > 1 else acb(0)
        rows.append(centre * rows[n - 1] + before + rises[n - 1])
    return [scale * row for row in rows]


def _mass(p, centre, spread):
    root = (2 * spread).sqrt()
    if p.low == -inf and p.high == inf:
        return acb(1)
    if p.high == inf:
        return ((ball(p.low) - centre) / root).erfc() / 2
    if p.low == -inf:
        return ((centre - ball(p.high)) / root).erfc() / 2
    low, high = ((ball(x) - centre) / root for x in (p.low, p.high))
    if high.real < 0:
        return ((-high).erfc() - (-low).erfc()) / 2
    return (low.erfc() - high.erfc()) / 2


def _edge(p, centre, spread, n):
    """Return [z^n density(z)] from low to high."""
    total = acb(0)
    for end, sense in ((p.high, 1), (p.low, -1)):
        if abs(end) != inf:
            place = ball(end)
            density = (-((place - centre) ** 2) / (2 * spread)).exp()
            total += sense * place**n * density / (2 * acb.pi() * spread).sqrt()
    return total


def pair_mean(s, t, rho, variances, means=(0, 0), digits=30):
    """Return E[s(u) t(v)] as a real ball of that many digits, or of E|s t| where it cancels."""
    bits = int(digits * 3.33) + 16
    for _ in range(6):
        before, ctx.prec = ctx.prec, 2 * bits + 64
        try:
            found, size = _integral(s, t, Fraction(rho), variances, means, bits)
        finally:
            ctx.prec = before
        goal = Fraction(1, 10**digits)
        if found.is_zero() and size == 0:
            return found, size
        if found.is_finite() and found.rad() < abs(size) * arb(fmpq(1, goal.denominator)):
            return found, size
        bits *= 2
    raise ArithmeticError(f"the witness keeps a radius of {found.rad()} at size {size}")


def _integral(s, t, rho, variances, means, bits):
    a, b = (ball(x).real for x in variances)
    m1, m2 = (ball(x) for x in means)
    slope = ball(rho) * (b / a).sqrt()
    left = b * ball((1 - rho) * (1 + rho)).real
    together = abs(rho) == 1

    def partner(u, cell):
        centre = m2 + slope * (u - m1)
        if not together:
            return mean(t, centre, left)
        return value([p for p in t if _holds(p, m2 + slope * (ball(cell) - m1))], centre)

    cuts = {x for p in s for x in (p.low, p.high) if abs(x) != inf}
    marks = [ball(x).real for x in cuts]
    if together:
        ends = {x for p in t for x in (p.low, p.high) if abs(x) != inf}
        marks += [(m1 + (ball(x) - m2) / slope).real for x in ends]
    marks = _distinct(marks)
    total, size = arb(0), arb(0)
    for low, high in zip([None, *marks], [*marks, None], strict=True):
        inside = _between(low, high)
        here = [p for p in s if _holds(p, ball(inside))]

        def weight(u, analytic=False, here=here, inside=inside):
            density = (-((u - m1) ** 2) / (2 * a)).exp()
            return value(here, u) * partner(u, inside) * density

        if here:
            part, scale = _panel(weight, low, high, a.sqrt(), bits)
            total, size = total + part, size + scale
    norm = (2 * arb.pi() * a).sqrt()
    return total / norm, size / norm


def _holds(p, z):
    x = z.real
    above = p.low == -inf or bool(x > ball(p.low).real)
    return above and (p.high == inf or bool(x < ball(p.high).real))


def _distinct(marks):
    found = []
    for x in sorted(marks, key=lambda m: float(m.mid())):
        if not found or not x.overlaps(found[-1]):
            found.append(x)
    return found


def _between(low, high):
    if low is None and high is None:
        return arb(0)
    if low is None:
        return high.mid() - 1
    return low.mid() + 1 if high is None else ((low + high) / 2).mid()


def _panel(weight, low, high, sd, bits):
    """Integrate from low to high, as far as the integrand matters; also return its size."""

    def height(x):
        size = abs(weight(acb(x)))
        return float(size.mid().log()) if size.is_finite() and size.mid() > 0 else -inf

    peak = _peak(height, low, high, sd)
    top = height(peak)
    if top == -inf:
        return arb(0), arb(0)
    ends = [_reach(height, peak, side, end, top, bits, sd) for side, end in ((-1, low), (1, high))]
    tolerance = arb(top).exp() * (ends[1] - ends[0]).mid() * arb(2) ** (-bits - 8)
    grid = [ends[0], *([peak] if ends[0] < peak < ends[1] else []), ends[1]]
    total = acb(0)
    for x, y in pairwise(grid):
        total += acb.integral(
            weight, acb(x), acb(y), rel_tol=arb(2) ** (-bits), abs_tol=tolerance,
            eval_limit=400_000, depth_limit=400,
        )  # fmt: skip
    steps = [ends[0] + (ends[1] - ends[0]) * (2 * k + 1) / 400 for k in range(200)]
    scale = sum((abs(weight(acb(x.mid()))) for x in steps), arb(0)) * (ends[1] - ends[0]) / 200
    return total.real, scale.mid().max(abs(total.real).mid())


def _peak(height, low, high, sd):
    """Return about the place of the largest value: geometric steps away from ends and from zero."""
    steps = [sd * arb(2) ** k for k in range(-40, 12)]
    origin = [x for x in (low, high) if x is not None] + [arb(0)]
    points = [x + side * step for x in origin for step in steps for side in (-1, 1)] + [arb(0)]
    inside = [p.mid() for p in points if (low is None or p > low) and (high is None or p < high)]
    best = max(inside, key=height)
    step = abs(best) / 2 + sd * arb(2) ** -8
    for _ in range(_DEEPEST):
        near = [best - step, best + step]
        near = [p.mid() for p in near if (low is None or p > low) and (high is None or p < high)]
        best = max([best, *near], key=height)
        step = step / 2
    return best


def _reach(height, peak, side, end, top, bits, sd):
    """Return where the integrand has fallen by ``2**-bits`` and more, or the end."""
    drop = bits * log(2) + 12
    step = sd * arb(2) ** -30
    while True:
        there = (peak + side * step).mid()
        if end is not None and not side * (end - there) > 0:
            return end
        if height(there) < top - drop and height((peak + side * step * 1.5).mid()) < top - drop:
            return there
        step = step * arb(1.5)
