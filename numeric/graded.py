r"""Kernels as tables of short polynomials that keep relative digits and fill vector units.

Stage: beneath compiled kernels; a function of the correlation in, tables and source text out. The
variable is w = sqrt(1 - |rho|), in which kernels are smooth up to rho = ±1 and which loses nothing
there; each sign of rho has its own panels. A panel is halved until

* its Chebyshev coefficients have fallen to rounding, and
* the function varies in it by no more than a factor, unless it changes sign there between values
  of one size.

So the error of each value is near rounding relative to the value itself, however far it lies below
the largest one, down to a floor. Where the function passes through zero near rho = 0, panels there
hold (K(rho) - K(0))/rho, which keeps digits on both sides of the zero.

A value costs three square roots and a few loads: panels are unions of cells of equal size in
w^(1/4), and a table says which panel a cell belongs to. There is no branch, so that a compiler may
treat many values at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

CELLS = 4096
DEGREE = 16
_CHECKED = 2
_VARIATION = 32.0
_SHORT = 120
_UNIT = 2.0**-53
_LEFT_OUT = 4 * _UNIT
_NOTHING = 1e-290
"""Doubles lose digits below."""
_EMPTY = 2.0**-27
"""Below this w there is no double rho but the end itself."""
_MIDDLE = 0.2
"""Panels above this w may hold (K(rho) - K(0))/rho."""

Exact = Callable[[Fraction], Fraction]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One polynomial.

    Attributes:
        side: 1 for rho >= 0, -1 for rho < 0.
        first, last: cells, first <= cell < last.
        powers: coefficients of x^k, x in [-1, 1]; shape (DEGREE + 1,).
        error: estimate of the absolute error.
        divided: whether the polynomial is that of (K(rho) - K(0))/rho.
    """

    side: int
    first: int
    last: int
    powers: Array
    error: float
    divided: bool

    @property
    def low(self) -> float:
        """Lower end in w.

        Accuracy: exact.
        """
        return _edge(self.first)

    @property
    def high(self) -> float:
        """Upper end in w.

        Accuracy: exact.
        """
        return _edge(self.last)


@dataclass(frozen=True)
class Graded:
    """A function of the correlation as panels.

    Attributes:
        panels: those of rho >= 0, then those of rho < 0.
        ends: values at rho = 1 and rho = -1.
        centre: value at rho = 0.
        resolved: whether all panels reached rounding before they were one cell.
    """

    panels: tuple[Panel, ...]
    ends: tuple[float, float]
    centre: float
    resolved: bool

    @property
    def error(self) -> float:
        """Estimate of the largest absolute error.

        Accuracy: from the last coefficients of each panel, not a proof.
        """
        return max(p.error for p in self.panels)

    def panel(self, rho: float) -> Panel:
        """Return the panel of a correlation."""
        side = 1 if rho >= 0 else -1
        cell = min(CELLS - 1, int((1 - abs(rho)) ** 0.125 * CELLS))
        return next(p for p in self.panels if p.side == side and cell < p.last)


def graded(
    function: Exact, floor: float = _NOTHING, most: int = 1200, noise: float = 0.0
) -> Graded:
    """Approximate a function of the correlation to rounding, relative to each value.

    Args:
        function: called at rational correlations; returns the value to 80 bits or more.
        floor: absolute values below it are not resolved relative to themselves.
        most: largest number of panels.
        noise: absolute error of the values of the function; they are not resolved below a
            thousand times that.

    Accuracy: an estimate from the last coefficients of each panel, not a proof; where the limit of
        panels is reached or one cell is too wide, ``resolved`` is False and ``Panel.error`` larger.

    Example:
        >>> found = graded(lambda rho: 1 / (51 - 50 * rho) ** 9)
        >>> found.resolved, len(found.panels) < 40
        (True, True)
    """
    centre = function(Fraction(0))
    crossing = centre == 0 or function(Fraction(1, 2)) * function(Fraction(-1, 2)) < 0
    crossing = crossing and not noise
    floor = max(floor, _NOTHING, 1e3 * noise)
    ends = (float(function(Fraction(1))), float(function(Fraction(-1))))
    builder = _Builder(function, centre, crossing, floor, noise)
    panels: list[Panel] = []
    resolved = True
    for side in (1, -1):
        waiting = [(0, CELLS)]
        while waiting:
            first, last = waiting.pop()
            full = len(panels) + len(waiting) >= most * (3 - side) / 4
            found = builder.panel(side, first, last, last - first == 1 or full)
            if found is None:
                cut = _cut(first, last)
                waiting += [(cut, last), (first, cut)]
            else:
                panels.append(found[0])
                resolved = resolved and found[1]
    return Graded(tuple(panels), ends, float(centre), resolved)


def _edge(cell: int) -> float:
    return (cell / CELLS) ** 4


def _cut(first: int, last: int) -> int:
    """Return the cell nearest to the middle in w; a quarter where the panel touches the end."""
    place = _edge(last) / 4 if first == 0 else (_edge(first) + _edge(last)) / 2
    return min(max(round(CELLS * place**0.25), first + 1), last - 1)


_NODES = [math.cos(math.pi * (j + 0.5) / (DEGREE + 1)) for j in range(DEGREE + 1)]
_EXACT_NODES = [Fraction(x) for x in _NODES]
_SOME = ((0, DEGREE), (DEGREE // 4, DEGREE // 2, 3 * DEGREE // 4))


@dataclass(frozen=True)
class _Builder:
    function: Exact
    centre: Fraction
    crossing: bool
    floor: float
    noise: float

    def panel(self, side: int, first: int, last: int, forced: bool) -> tuple[Panel, bool] | None:
        """Return a panel and whether it is resolved; None if it should be cut."""
        low, high = _edge(first), _edge(last)
        if high < _EMPTY:
            return Panel(side, first, last, np.zeros(DEGREE + 1), 0.0, False), True
        divided = self.crossing and low >= _MIDDLE
        if self.crossing and low < _MIDDLE < high and not forced:
            return None
        middle, half = Fraction((low + high) / 2), Fraction((high - low) / 2)
        rhos = [_short(side * (1 - (middle + half * x) ** 2)) for x in _EXACT_NODES]
        for some in _SOME:
            if not forced and self._varies([self._value(rhos[j], divided) for j in some]):
                return None
        values = np.array([self._value(rho, divided) for rho in rhos])
        found = _chebyshev(values)
        size = float(np.abs(values).max())
        left = float(np.abs(found[-_CHECKED:]).max())
        good = left <= max(_LEFT_OUT * size, self.noise) or size < self.floor
        if not forced and not (good and not self._varies(values.tolist())):
            return None
        powers = _powers(found)
        error = 4 * left + 2 * _UNIT * float(np.abs(powers).sum())
        error += _UNIT * abs(float(self.centre)) if divided else 0.0
        return Panel(side, first, last, powers, error, divided), bool(good)

    def _varies(self, values: list[float]) -> bool:
        """Return whether values differ by more than a factor, other than by a change of sign."""
        sizes = [abs(v) for v in values]
        if max(sizes) < self.floor:
            return False
        if min(values) < 0 < max(values):
            sizes = [sizes[0], sizes[-1], max(sizes)]
        return min(sizes) * _VARIATION < max(sizes)

    def _value(self, rho: Fraction, divided: bool) -> float:
        found = self.function(rho)
        return float((found - self.centre) / rho if divided else found)


def _short(rho: Fraction) -> Fraction:
    """Round to what a ball of 128 bits holds exactly, which saves it from taking two ends."""
    return Fraction(round(rho * 2**_SHORT), 2**_SHORT)


def _chebyshev(values: Array) -> Array:
    """Return Chebyshev coefficients from values at the zeros of the next polynomial."""
    found = np.asarray(dct(values, type=2)) / (DEGREE + 1)
    found[0] /= 2
    return found


def _powers(coefficients: Array) -> Array:
    """Return the coefficients of powers, computed exactly and rounded once."""
    total = [Fraction(0)] * (DEGREE + 1)
    before, now = [Fraction(1)], [Fraction(0), Fraction(1)]
    for c in coefficients:
        for k, factor in enumerate(before):
            total[k] += Fraction(float(c)) * factor
        after = [Fraction(0), *(2 * x for x in now)]
        for k, x in enumerate(before):
            after[k] -= x
        before, now = now, after
    return np.array([float(x) for x in total])


def tables(found: Graded) -> tuple[NDArray[np.int32], Array]:
    """Return where the panel of each cell begins, and the numbers of all panels."""
    divided = any(p.divided for p in found.panels)
    width = DEGREE + 3 + 2 * divided
    cells = np.empty(2 * CELLS, dtype=np.int32)
    rows = np.empty((len(found.panels), width))
    for i, p in enumerate(found.panels):
        start = 0 if p.side > 0 else CELLS
        cells[start + p.first : start + p.last] = i * width
        rows[i, :2] = (p.low + p.high) / 2, 2 / (p.high - p.low)
        rows[i, 2 : DEGREE + 3] = p.powers
        if divided:
            rows[i, DEGREE + 3 :] = (found.centre, 1.0) if p.divided else (0.0, 0.0)
    return cells, rows.ravel()


def tables_source(found: Graded) -> list[str]:
    """Return the tables as lines of source; ``CELLS`` is written as runs."""
    cells, table = tables(found)
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    counts = np.diff(starts, append=cells.size)
    runs = ", ".join(f"{int(v)}" for v in cells[starts])
    lengths = ", ".join(f"{int(n)}" for n in counts)
    numbers = ", ".join(repr(float(x)) for x in table)
    return [
        f"CELLS = np.repeat(np.array([{runs}], np.int32), [{lengths}])",
        f"TABLE = np.array([{numbers}])",
    ]


def panel_source(found: Graded) -> list[str]:
    """Return the lines of a scalar function of ``rho``, the last of which returns the value."""
    ends = tuple(map(float, found.ends))
    lines = [
        "    s = 1.0 - abs(rho)",
        "    w = math.sqrt(s)",
        f"    place = math.sqrt(math.sqrt(w)) * {float(CELLS)}",
        f"    place = place if place < {CELLS - 1}.0 else {CELLS - 1}.0",
        f"    cell = np.int64(place) if rho >= 0.0 else np.int64(place) + {CELLS}",
        "    p = np.uint64(CELLS[np.uint64(cell)])",
        "    x = (w - TABLE[p]) * TABLE[p + np.uint64(1)]",
        f"    value = TABLE[p + np.uint64({DEGREE + 2})]",
    ]
    lines += [
        f"    value = value * x + TABLE[p + np.uint64({k + 2})]" for k in range(DEGREE - 1, -1, -1)
    ]
    if any(p.divided for p in found.panels):
        lines += [
            f"    one = TABLE[p + np.uint64({DEGREE + 4})]",
            f"    value = value * (one * rho + (1.0 - one)) + TABLE[p + np.uint64({DEGREE + 3})]",
        ]
    lines.append(f"    end = {ends[0]!r} if rho > 0.0 else {ends[1]!r}")
    return [*lines, "    return value if s != 0.0 else end"]
