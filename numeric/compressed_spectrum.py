r"""Spectral functions compressed once to a table, so that a point no longer costs a sum over modes.

Stage: ``SpectralFunctions`` and a range of effective ridges in, ``SpectralFunctions`` of the same
population out. Sums over eigenvalues are analytic in log x in the strip |Im log x| < pi, so on
panels of log x of width 1.4 Chebyshev series of degree 20 reach rounding, for any spectrum: the
nearest singularities lie pi away, and the coefficients fall like 9^-k. That is faster than the
coefficients of the polynomials T_k grow, 2.5^k, so the series are stored as powers. All sums are
positive and change by a bounded factor within a panel, so the error is relative. Outside the range
the original functions are asked.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.polynomial.chebyshev import cheb2poly
from numpy.typing import ArrayLike, NDArray

from derive.errors import NotConvergedError, RangeError
from numeric.spectral_functions import SpectralFunctions, Sums
from numeric.table_ir import LANES, blocks_of, table_sums

Array = NDArray[np.float64]
_WIDTH = 1.4
_DEGREE = 20
_WORST = 1e-10
_NODES = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))


def _powers() -> Array:
    """Return the matrix from Chebyshev coefficients to those of powers, the highest first."""
    columns = [cheb2poly(np.eye(_DEGREE + 1)[k, : k + 1]) for k in range(_DEGREE + 1)]
    padded = [np.pad(c, (0, _DEGREE + 1 - c.size)) for c in columns]
    return np.array(padded, dtype=np.float64).T[::-1]


_POWERS = _powers()


@dataclass(frozen=True, eq=False)
class CompressedSpectrum:
    """A table of another's spectral functions; made by ``compress``.

    Attributes:
        original: whose functions they are.
        low: first log x of the table.
        table: coefficients of powers of a panel's coordinate in [-1, 1], the highest first; shape
            (panels, degree + 1, LANES), unused columns zero.
        names: which sums, in the order of the table.
        error: largest relative difference to the original at points between the nodes.
        rho, rank, least, mean: as of the original.
    """

    original: SpectralFunctions
    low: float
    table: Array
    names: tuple[str, ...]
    error: float
    rho: float
    rank: float
    least: float
    mean: float

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x > 0, of any shape."""
        ridge = np.asarray(x, dtype=np.float64)
        flat = ridge.reshape(-1)
        place = blocks_of(flat.size)
        here = place[: flat.size]
        with np.errstate(divide="ignore"):
            np.log(flat, out=here)
        here -= self.low
        here /= _WIDTH
        outside = not (here.size and here.min() >= 0 and here.max() <= len(self.table))
        beyond = ~((here >= 0) & (here <= len(self.table))) if outside else None
        if beyond is not None:
            here[beyond] = 0.0
        out = table_sums(place, self.table, len(self.names))[:, : flat.size]
        if beyond is not None and beyond.any():
            exact = self.original(flat[beyond])
            out[:, beyond] = [getattr(exact, name) for name in self.names]
        return Sums(**{n: r.reshape(ridge.shape) for n, r in zip(self.names, out, strict=True)})


def compress(functions: SpectralFunctions, low: float, high: float) -> CompressedSpectrum:
    """Tabulate spectral functions for effective ridges from low to high.

    Args:
        functions: of modes, an architecture or data.
        low: smallest x, > 0.
        high: largest x.

    Raises:
        RangeError: a range that is empty or not positive.
        NotConvergedError: if the table differs from the original by more than 1e-10 (functions that
            are not sums over a spectrum).

    Accuracy: ``CompressedSpectrum.error``, relative, at four points per panel; about 1e-14.

    Example:
        >>> from numeric.spectral_functions import Modes
        >>> modes = Modes(np.array([1.0, 4.0]), np.array([0.5, 0.5]), np.array([0.5, 8.0]))
        >>> quick = compress(modes, 1e-6, 1e3)
        >>> bool(abs(quick(0.3).df1 / modes(0.3).df1 - 1) < 1e-13)
        True
    """
    if not 0 < low < high < np.inf:
        raise RangeError(f"x from {low:g} to {high:g}", "not a range", "give 0 < low < high")
    start = float(np.log(low))
    panels = max(1, int(np.ceil((np.log(high) - start) / _WIDTH)))
    middle = start + _WIDTH * (np.arange(panels) + 0.5)
    sums = functions(np.exp(middle + _WIDTH / 2 * _NODES[:, None]))
    names = tuple(f.name for f in fields(Sums) if getattr(sums, f.name) is not None)
    values = np.stack([getattr(sums, name) for name in names], axis=-1)
    angles = np.outer(np.arange(_DEGREE + 1), np.arange(_DEGREE + 1) + 0.5) * np.pi / (_DEGREE + 1)
    series = np.tensordot(2 / (_DEGREE + 1) * np.cos(angles), values, axes=1)
    series[0] /= 2
    table = np.zeros((panels, _DEGREE + 1, LANES))
    table[:, :, : len(names)] = np.tensordot(_POWERS, series, axes=1).transpose(1, 0, 2)
    found = CompressedSpectrum(
        functions, start, table, names, 0.0, *_attributes(functions, float(functions.rho))
    )
    error = _difference(found, functions, np.asarray(middle, dtype=np.float64))
    if not error < _WORST:
        raise NotConvergedError(
            f"a table of spectral functions from {low:g} to {high:g}",
            f"it differs by {error:.1e} between its nodes",
            "use the functions themselves",
        )
    return CompressedSpectrum(
        functions, start, table, names, error, *_attributes(functions, float(functions.rho))
    )


def _attributes(functions: SpectralFunctions, rho: float) -> tuple[float, float, float, float]:
    """Return rho, rank, least and mean; the mean from df1 far out, if it is not known."""
    far = 1e14
    known: Callable[[str, float], float] = lambda name, other: float(  # noqa: E731
        getattr(functions, name, other)
    )
    mean = getattr(functions, "mean", None)
    value = far * float(functions([far]).df1[0]) if mean is None else float(mean)
    return rho, known("rank", 1.0), known("least", 0.0), value


def _difference(found: CompressedSpectrum, functions: SpectralFunctions, middle: Array) -> float:
    """Return the largest relative difference at four points per panel, the two ends included."""
    x = np.exp(middle + _WIDTH / 2 * np.array([-0.999, -0.34, 0.21, 0.999])[:, None])
    one, other = found(x), functions(x)
    gaps = []
    for name in found.names:
        mine, true = getattr(one, name), getattr(other, name)
        size = np.maximum(np.abs(true), 1e-300)
        gaps.append(float(np.max(np.where(true == mine, 0.0, np.abs(mine - true) / size))))
    return max(gaps)
