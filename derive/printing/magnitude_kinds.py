"""Quantities of known and of unknown sign, and the rates at which they change.

Stage: beneath ``magnitude_code``, where the rules are stated that combine them.
"""

import math
from dataclasses import dataclass

Parts = tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Sized:
    """A quantity of known sign.

    Attributes:
        mid: name of its computed size.
        sign: 1 or -1.
        rho: bound of the logarithmic error of mid.
        parts: names of radii at run time, each with the least and the largest rate.
        low, high: bounds of log2 of the size where it is not zero.
        zero: whether it may be zero.
    """

    mid: str
    sign: int = 1
    rho: float = 0.0
    parts: Parts = ()
    low: float = 0.0
    high: float = 0.0
    zero: bool = False


@dataclass(frozen=True)
class Loose:
    """A quantity of unknown sign.

    Attributes:
        mid: name of its computed value.
        size: name of a nonnegative number.
        factor: the value lies within factor * size of mid.
        covers: whether size is at least the size of mid, but for roundings.
        low: lower bound of log2 of size where it is not zero, -inf if none is known.
        zero: whether size may be zero.
    """

    mid: str
    size: str
    factor: float = 1.0
    covers: bool = False
    low: float = -math.inf
    zero: bool = True


Value = Sized | Loose


def least(a: Value, b: Value) -> tuple[float, bool]:
    """Return a lower bound of log2 of a sum that is not zero, and whether it may be zero."""
    if a.zero and b.zero:
        return min(a.low, b.low), True
    return max(v.low for v in (a, b) if not v.zero), False


def hull(a: Parts, b: Parts) -> Parts:
    """Return rates of a mean of two quantities."""
    first, second = ({n: (low, high) for n, low, high in parts} for parts in (a, b))
    found = []
    for name in sorted({*first, *second}):
        ends = *first.get(name, (0.0, 0.0)), *second.get(name, (0.0, 0.0))
        found.append((name, min(ends), max(ends)))
    return tuple(found)


def added(a: Parts, b: Parts) -> Parts:
    """Return rates of a product."""
    known = {n: (low, high) for n, low, high in a}
    for name, low, high in b:
        other = known.get(name, (0.0, 0.0))
        known[name] = low + other[0], high + other[1]
    return tuple((name, *known[name]) for name in sorted(known))


def is_exact(a: Sized) -> bool:
    """Whether mid is the size itself."""
    return not a.rho and not a.parts


def is_scale(a: Sized) -> bool:
    """Whether multiplication by a quantity is exact: a literal power of two."""
    return a.mid[0].isdigit() and a.mid != "0.0" and math.frexp(float(a.mid))[0] == 0.5


def order(a: Loose) -> bool:
    """Return what puts quantities first whose size covers them."""
    return not a.covers


def age(a: Value) -> tuple[int, str]:
    """Return the order of making: inputs first, by name."""
    made = a.mid.startswith("m") and a.mid[1:].isdigit()
    return (int(a.mid[1:]) if made else -1), a.mid
