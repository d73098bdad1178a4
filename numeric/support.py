"""Support of a law: the bands of its continuous part, from critical points of its curve.

Stage: compiled curve in, bands out. For towers (one unknown, steps whose slope is concave on every
gap) the search is complete: from the gaps of the leaf upwards, each gap is cut at atoms and poles,
and on each piece the set where the next slope is positive is one interval, found by bisection over
the floating-point numbers themselves. Other curves are scanned: a band is where a solution strictly
inside the upper half-plane exists at Im z = 0, and its ends are bisected; bands narrower than the
grid can be missed there, which the total mass reveals.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.spectra.curve import Curve

_HUGE = 1e30
_TINY = 1e-100
_SCAN = 600

Rungs = Callable[[float], tuple[float, ...]]


@dataclass(frozen=True)
class End:
    """An end of a gap: its place in the unknown and in x, and whether the support begins there."""

    u: float
    x: float
    edge: bool


@dataclass(frozen=True)
class Band:
    """One interval of the continuous spectrum.

    Attributes:
        low: lower edge. high: upper edge.
        u_low: the unknown at the lower edge; NaN if the curve was scanned.
        u_high: the unknown at the upper edge.
        orders: x moves from the edge like (u - u_edge)**order: 2 at a soft edge.
    """

    low: float
    high: float
    u_low: float = math.nan
    u_high: float = math.nan
    orders: tuple[int, int] = (2, 2)


def tower_bands(curve: Curve, rungs: Rungs, values: dict[Any, float]) -> list[Band]:
    """Return the bands of a tower, in order.

    Accuracy: edges are stationary values of z(u), so they are as accurate as z itself, a few ulps.
    """
    pieces = []
    for low, high in curve.gaps:
        a = -_HUGE if low is None else _number(low, values)
        b = _HUGE if high is None else _number(high, values)
        pieces.append((End(a, math.nan, low is not None), End(b, math.nan, high is not None)))
    cursor = 3 * len(curve.ladder)
    for level, rung in enumerate(curve.ladder):
        for _ in rung.splits:
            pieces = [p for piece in pieces for p in _cut(piece, rungs, cursor)]
            cursor += 1
        if level:
            pieces = [p for piece in pieces if (p := _rising(piece, rungs, level)) is not None]
    gaps = sorted((_placed(piece, rungs, len(curve.ladder) - 1) for piece in pieces), key=_middle)
    return _between(gaps, rungs, len(curve.ladder) - 1)


def _number(expr: Any, values: dict[Any, float]) -> float:
    return float(expr.xreplace(values)) if expr.free_symbols else float(expr)


def _cut(piece: tuple[End, End], rungs: Rungs, index: int) -> list[tuple[End, End]]:
    """Cut a piece where a function that is monotone on it vanishes."""
    low, high = piece
    a, b = _after(low.u), _before(high.u)
    if not a < b:
        return []
    a = _finite(lambda u: _value(rungs, u, index), low.u, high.u)
    b = _finite(lambda u: _value(rungs, u, index), high.u, low.u)
    first = _value(rungs, a, index) > 0
    if (_value(rungs, b, index) > 0) == first:
        return [piece]
    u = _last(lambda v: (_value(rungs, v, index) > 0) == first, a, b)
    return [(low, End(u, math.nan, False)), (End(_after(u), math.nan, False), high)]


def _rising(piece: tuple[End, End], rungs: Rungs, level: int) -> tuple[End, End] | None:
    """Return the part of a piece on which the rung of this level rises with the one below."""
    low, high = piece
    inner = [rungs(u)[3 * level - 2] for u in _samples(low.u, high.u)]
    sign = math.copysign(1.0, sum(math.copysign(1.0, v) for v in inner if math.isfinite(v)))

    def slope(u: float) -> float:  # at an edge of the rung below, rounding may flip its sign
        r = rungs(u)
        below, above = r[3 * level - 2], r[3 * level + 1]
        safe = _TINY < sign * below < 1 / _TINY and abs(above) < 1 / _TINY
        return above / below if safe else math.nan

    def climbs(u: float) -> bool:
        r = rungs(u)
        d, e, dd, ee = r[3 * level - 2], r[3 * level + 1], r[3 * level - 1], r[3 * level + 2]
        return ee * d - e * dd > 0

    a = _finite(slope, low.u, high.u)
    b = _finite(slope, high.u, low.u)
    if not a < b:
        return None
    top = max((_last(climbs, a, b), *_samples(a, b)), key=lambda u: _or_least(slope(u)))
    if not slope(top) > 0:
        return None
    left, right = low, high
    if not slope(a) > 0:
        left = End(_after(_last(lambda v: not slope(v) > 0, a, top)), math.nan, True)
    if not slope(b) > 0:
        right = End(_last(lambda v: slope(v) > 0, top, b), math.nan, True)
    return left, right


def _finite(function: Callable[[float], float], start: float, towards: float) -> float:
    """Return a float next to ``start`` at which a function is finite, ``towards`` if none is."""
    origin, goal = _ordinal(start), _ordinal(towards)
    sign = 1 if goal > origin else -1
    outer = origin
    for k in range(64):
        place = origin + sign * min(2**k, abs(goal - origin) - 1)
        if sign * (goal - outer) <= 1:
            break
        if math.isfinite(function(_float(place))):
            while abs(place - outer) > 1:
                middle = (place + outer) // 2
                finite = math.isfinite(function(_float(middle)))
                place, outer = (middle, outer) if finite else (place, middle)
            return _float(place)
        outer = place
    return towards


def _samples(a: float, b: float) -> list[float]:
    """Return points of an interval, even over the floats and even over the interval."""
    low, high = _ordinal(a), _ordinal(b)
    shares = range(1, 16)
    return [_float(low + (high - low) * k // 16) for k in shares] + [
        a + (b - a) * k / 16 for k in shares
    ]


def _or_least(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _placed(piece: tuple[End, End], rungs: Rungs, level: int) -> tuple[End, End]:
    """Return a gap with its ends in x, in increasing order of x."""
    low, high = _seen(piece[0], rungs, level, _after), _seen(piece[1], rungs, level, _before)
    return (low, high) if low.x <= high.x else (high, low)


def _seen(end: End, rungs: Rungs, level: int, inwards: Callable[[float], float]) -> End:
    """Return an end with its place in x; a pole is seen from inside the gap."""
    x = _value(rungs, end.u, 3 * level)
    return End(end.u, x if math.isfinite(x) else _value(rungs, inwards(end.u), 3 * level), end.edge)


def _middle(gap: tuple[End, End]) -> float:
    return max(gap[0].x, -_HUGE) + min(gap[1].x, _HUGE)


def _between(gaps: list[tuple[End, End]], rungs: Rungs, level: int) -> list[Band]:
    """Return what lies between consecutive gaps and is not a mere cut."""
    bands = []
    scale = max((abs(e.x) for gap in gaps for e in gap if abs(e.x) < 1e20), default=1.0)
    for (_, left), (right, _) in pairwise(gaps):
        narrow = not right.x - left.x > 1e-14 * scale
        if narrow or not (left.edge or right.edge):
            continue
        orders = (_order(left, rungs, level), _order(right, rungs, level))
        low, high = (0.0 if abs(e.x) < 1e-26 * scale else e.x for e in (left, right))
        bands.append(Band(low, high, left.u, right.u, orders))
    return bands


def _order(end: End, rungs: Rungs, level: int) -> int:
    """Return the order of contact of z(u) at an edge: 2 unless a hard edge is sharper."""
    if abs(end.x) > 1e-20:
        return 2
    h = 1e-5
    near, far = (abs(_value(rungs, end.u + k * h, 3 * level) - end.x) for k in (1, 2))
    ratio = far / near if near > 0 else 4.0
    return min(12, max(2, round(math.log2(ratio)))) if math.isfinite(ratio) and ratio > 0 else 2


def _value(rungs: Rungs, u: float, index: int) -> float:
    return rungs(u)[index]


def _after(u: float) -> float:
    return math.nextafter(u, math.inf)


def _before(u: float) -> float:
    return math.nextafter(u, -math.inf)


def _last(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return the last float in [low, high] up to which ``holds`` is true (low if it never is)."""
    a, b = _ordinal(low), _ordinal(high)
    if not holds(low):
        return low
    if holds(high):
        return high
    while b - a > 1:
        mid = (a + b) // 2
        if holds(_float(mid)):
            a = mid
        else:
            b = mid
    return _float(a)


def _ordinal(value: float) -> int:
    """Return the place of a float in the order of all floats."""
    bits = int(np.float64(value).view(np.int64))
    return bits if bits >= 0 else -(bits + 2**63)


def _float(ordinal: int) -> float:
    bits = ordinal if ordinal >= 0 else -ordinal - 2**63
    return float(np.int64(bits).view(np.float64))


Inside = Callable[[NDArray[np.float64]], NDArray[np.bool_]]


def scanned_bands(inside: Inside, bound: float) -> list[Band]:
    """Return the bands of any curve by scanning for points strictly inside the support.

    Accuracy: edges to about 1e-15 * bound; bands or gaps below 1e-2 of the bound, at distances from
    zero where the grid is coarse, can be missed.
    """
    half = np.concatenate([np.geomspace(1e-9, 1, _SCAN // 2), np.linspace(0.005, 1.02, _SCAN)])
    grid = np.unique(np.concatenate([-half, [0.0], half])) * bound
    found = inside(grid)
    flips = np.flatnonzero(found[1:] != found[:-1])
    if not flips.size:
        return []
    low, high, first = grid[flips], grid[flips + 1], found[flips]
    for _ in range(60):
        mid = (low + high) / 2
        same = inside(mid) == first
        low, high = np.where(same, mid, low), np.where(same, high, mid)
    ends = np.where(first, low, high)
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return [Band(float(a), float(b)) for a, b in pairs if b - a > 1e-13 * bound]
