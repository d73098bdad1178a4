"""Chebyshev interpolation of a smooth function on [-1, 1] from exact values, degree by need.

Stage: beneath compiled kernels. Values are asked for at Chebyshev-Lobatto points, each once, and
the degree doubles until the last coefficients are below the accuracy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

_FIRST = 16
_HOPELESS = 64


@dataclass(frozen=True)
class Interpolant:
    """``sum_k coefficients[k] T_k(x)``.

    Attributes:
        coefficients: shape (degree + 1,).
        error: estimate of the largest error on [-1, 1]: the size of the last coefficients of the
            full table, what was cut off, and rounding.
        converged: whether the error reached the accuracy asked for.
    """

    coefficients: NDArray[np.float64]
    error: float
    converged: bool


def interpolate(
    function: Callable[[float], float], accuracy: float, largest: int = 256
) -> Interpolant:
    """Interpolate a function of x in [-1, 1] to an absolute accuracy.

    Args:
        function: called at doubles x = cos(pi j/n).
        accuracy: absolute error asked for.
        largest: largest degree.

    Accuracy: an estimate from the decay of the coefficients, not a proof.

    Example:
        >>> found = interpolate(math.exp, 1e-14)
        >>> found.converged, len(found.coefficients) < 20
        (True, True)
    """
    values: dict[tuple[int, int], float] = {}
    degree = _FIRST
    while True:
        column = np.array([_at(function, values, j, degree) for j in range(degree + 1)])
        coefficients = np.asarray(dct(column, type=1)) / degree
        coefficients[0] /= 2
        coefficients[-1] /= 2
        tail = float(np.abs(coefficients[-max(4, degree // 8) :]).max())
        noise = 4 * 2.0**-53 * float(np.abs(column).max())
        if tail <= max(accuracy / 8, noise) or degree >= largest:
            break
        if degree >= _HOPELESS and _slow(
            tail, float(np.abs(column).max()), degree, largest, accuracy
        ):
            break
        degree *= 2
    kept = _trim(coefficients, max(accuracy / 16, noise / 8))
    cut = float(np.abs(coefficients[len(kept) :]).sum())
    error = cut + 4 * tail + noise
    return Interpolant(kept, error, error <= max(accuracy, 4 * noise))


def _slow(tail: float, size: float, degree: int, largest: int, accuracy: float) -> bool:
    """Return whether geometric decay at the present rate stays above the accuracy."""
    return (tail / size) ** (largest / degree) * size > 10 * accuracy


def _at(
    function: Callable[[float], float], values: dict[tuple[int, int], float], j: int, degree: int
) -> float:
    common = math.gcd(j, degree)
    key = (j // common, degree // common)
    if key not in values:
        values[key] = function(math.cos(math.pi * j / degree))
    return values[key]


def _trim(coefficients: NDArray[np.float64], allowed: float) -> NDArray[np.float64]:
    """Drop the last coefficients while their sum stays below what is allowed."""
    sums = np.cumsum(np.abs(coefficients[::-1]))[::-1]
    count = max(2, int(np.count_nonzero(sums > allowed)))
    return coefficients[:count]


def clenshaw_source(coefficients: NDArray[np.float64], variable: str, indent: str) -> list[str]:
    """Return straight-line code whose last line sets ``value`` to the sum at ``variable``."""
    lines = [f"{indent}two = 2.0 * {variable}", f"{indent}b1 = {float(coefficients[-1])!r}"]
    lines.append(f"{indent}b2 = 0.0")
    now, before = "b1", "b2"
    for c in coefficients[-2:0:-1]:
        lines.append(f"{indent}{before} = two * {now} + ({float(c)!r} - {before})")
        now, before = before, now
    lines.append(f"{indent}value = {variable} * {now} + ({float(coefficients[0])!r} - {before})")
    return lines
