"""Starts of effective ridges from a table in log x, near rounding for sums over a spectrum.

Stage: below ``ridge_readout_theory``. The nodes are x = 2^(k/22), the same for any range, so that a
start depends on its own point alone; tables are kept with the functions they were made of.
"""

import math
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.spectral_functions import SpectralFunctions
from numeric.spectral_loops import spectral_loops

Array = NDArray[np.float64]
_OCTAVE = 22
_CELL = math.log(2) / _OCTAVE  # width of a cell in log x
_LEAST, _MOST, _HUGE = 1e-290, 1e290, 1e300
_TABLES = 16


@dataclass(frozen=True)
class StartTable:
    """-df1(x) or rank - df1(x), whichever is smaller in size, over cells of equal width in log x.

    Attributes:
        first, last: k of the outermost nodes.
        x_at: effective ridges of the nodes, padded to a power of two by huge ones.
        nodes: values there, padded likewise.
        edge: nodes before this one hold rank - df1.
        cells: coefficients per cell, shape (nodes, 8).
    """

    first: int
    last: int
    x_at: Array
    nodes: Array
    edge: int
    cells: Array


_KEPT: dict[int, tuple[weakref.ref[Any], StartTable]] = {}


def starts(functions: SpectralFunctions, ratio: Array, lam: Array) -> Array:
    """Return starts at points that have a positive root of lam = x (r - df1(x)).

    Args:
        functions: what df1 is of.
        ratio: r, shape (points,).
        lam: ridge, same shape.

    Accuracy: about 1e-15 relative for sums over a spectrum, whose interpolants have degree 7.
    """
    rank, least = limits(functions)
    table = _table(functions, *_range(functions, ratio, lam))
    out = np.empty_like(lam)
    grid = (table.edge, table.x_at, table.nodes, table.cells)
    spectral_loops().starts(ratio, lam, rank, _CELL, *grid, out)
    return np.maximum(out, least) if least else out


def limits(functions: SpectralFunctions) -> tuple[float, float]:
    """Return df1(0), and the smallest x at which the functions are known."""
    return float(getattr(functions, "rank", 1.0)), float(getattr(functions, "least", 0.0))


def _table(functions: SpectralFunctions, low: float, high: float) -> StartTable:
    """Return a table from low to high at least, made anew only for a wider range."""
    least = max(limits(functions)[1], _LEAST)
    first = math.floor(_place(low)) - 2
    first = max(first, math.ceil(_place(least)))
    last = max(math.ceil(_place(high)) + 2, first + 3)
    reference, table = _KEPT.get(id(functions), (None, None))
    if reference is None or table is None or reference() is not functions:
        table = None
    elif table.first <= first and last <= table.last:
        return table
    if table is not None:
        first, last = min(first, table.first), max(last, table.last)
    table = _made(functions, first, last)
    if len(_KEPT) >= _TABLES:
        _KEPT.pop(next(iter(_KEPT)))
    with suppress(TypeError):  # what cannot be referred to weakly is tabulated each time
        _KEPT[id(functions)] = weakref.ref(functions), table
    return table


def _place(x: float) -> float:
    return math.log2(x) * _OCTAVE


def _made(functions: SpectralFunctions, first: int, last: int) -> StartTable:
    rank, _ = limits(functions)
    count = last - first + 1
    whole, part = np.divmod(np.arange(first, last + 1), _OCTAVE)
    x_at = np.ldexp(np.exp2(part / _OCTAVE), whole)
    sums = functions(x_at)
    rest = rank - sums.df1 if sums.rest1 is None else sums.rest1
    edge = int(np.argmin(np.append(rest < sums.df1, False)))
    by_rest = np.arange(count) < edge
    slope = np.maximum(sums.df1 - sums.df2, 0.0) * _CELL  # -d df1/d log x
    plain, other = _cells(-sums.df1, slope), _cells(rest, slope)
    padding = 2 ** (count - 1).bit_length() - count
    return StartTable(
        first,
        last,
        np.pad(x_at, (0, padding), constant_values=_HUGE),
        np.pad(np.where(by_rest, rest, -sums.df1), (0, padding), constant_values=_HUGE),
        edge,
        np.where(by_rest[:, None], other, plain),
    )


def _cells(values: Array, slopes: Array) -> Array:
    """Return Newton's coefficients, shape (nodes, 8), of the polynomials of degree 7 per cell.

    Cell c lies between nodes c and c + 1 and has the values and slopes (per cell) of the nodes at
    0, 1, -1 and 2, in this order; the outermost cells are not filled.
    """
    inner = values.size - 3
    places = np.repeat([0, 1, -1, 2], 2)
    columns = [values[1 + k : 1 + k + inner] for k in places]
    firsts = {int(k): slopes[1 + k : 1 + k + inner] for k in places}
    out = np.zeros((values.size, 8))
    for level in range(8):
        out[1 : 1 + inner, level] = columns[0]
        gaps = places[level + 1 :] - places[: 7 - level]
        columns = [
            (columns[i + 1] - columns[i]) / gap if gap else firsts[int(places[i])]
            for i, gap in enumerate(gaps)
        ]
    return out


def _range(functions: SpectralFunctions, ratio: Array, lam: Array) -> tuple[float, float]:
    """Return bounds of all roots: below by lam/r or by descent, above by Jensen's inequality."""
    rank, least = limits(functions)
    low, high = float(lam.min()), float(lam.max())
    few = float(ratio.min())
    mean = _mean_eigenvalue(functions) / rank
    # x (r - rank mean/(mean + x)) = lam, solved for its larger root; grows with lam and 1/r
    half = (high + (rank - few) * mean) / 2
    root = math.hypot(half, math.sqrt(few) * math.sqrt(high * mean))
    top = half + root if half > 0 else few * high * mean / max(root - half, _LEAST)
    top = min(max(top / few, _LEAST), _MOST)
    if low > 0:
        with np.errstate(over="ignore"):
            bottom = float(np.min(lam / ratio))
    else:
        positive = lam > 0
        bottom = float(np.min(lam[positive] / ratio[positive])) if positive.any() else top
        needed = float(np.max(ratio[~positive]))
        bottom = min(bottom, top)
        while bottom > max(least, _LEAST) and functions([bottom]).df1[0] <= needed:
            bottom *= 1e-3
    bottom = min(max(bottom, least, _LEAST), _MOST)
    return bottom, max(top, bottom)


def _mean_eigenvalue(functions: SpectralFunctions) -> float:
    """Return <Omega> = lim x df1(x), by the attribute ``mean`` or at a large x."""
    known = getattr(functions, "mean", None)
    if known is not None:
        return float(known)
    x = 1.0
    while functions([x]).df1[0] > 1e-8:
        x *= 16
    return float(x * functions([x]).df1[0]) * (1 + 1e-6)
