"""Chebyshev polynomials on panels in the angle, finer where a kernel bends faster.

Stage: beneath compiled kernels. At extreme variances a kernel changes within an angle of about
1/standard deviation from rho = ±1; one polynomial would need thousands of degrees, panels that
shrink towards the ends need a dozen of low degree. The angle ``arccos |rho|`` is measured from the
nearer end, so that nothing is lost there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

DEGREE = 18
_CHECKED = 3
_NARROWEST = 1e-7
_MOST = 64


@dataclass(frozen=True)
class Graded:
    """Panels on the side rho > 0, then on the side rho < 0.

    Attributes:
        first: number of panels on the side rho > 0.
        ends: upper ends of the panels in ``arccos |rho|``, shape (panels,).
        middles: shape (panels,).
        widths: half widths, shape (panels,).
        coefficients: shape (panels, DEGREE + 1).
        error: estimate of the largest error: the last coefficients, and rounding.
        converged: whether all panels reached the accuracy asked for.
    """

    first: int
    ends: NDArray[np.float64]
    middles: NDArray[np.float64]
    widths: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    error: float
    converged: bool


def graded(function: Callable[[int, float], float], accuracy: float) -> Graded:
    """Approximate a function of (side, angle), angle in [0, pi/2], to an absolute accuracy.

    Args:
        function: called at doubles; side is 1 or -1.
        accuracy: absolute error asked for.

    Accuracy: an estimate from the last coefficients of each panel, not a proof.

    Example:
        >>> found = graded(lambda side, t: side * math.exp(-(1e3 * t) ** 2), 1e-13)
        >>> found.converged, found.first < 16
        (True, True)
    """
    panels: list[tuple[float, float]] = []
    columns: list[NDArray[np.float64]] = []
    tail, noise, first, converged = 0.0, 0.0, 0, True
    for side in (1, -1):
        waiting = [(0.0, math.pi / 2)]
        while waiting:
            low, high = waiting.pop()
            column, size = _panel(function, side, low, high)
            left = float(np.abs(column[-_CHECKED:]).max())
            floor = 4 * 2.0**-53 * size
            if left > max(accuracy / 8, floor):
                if len(panels) + len(waiting) < _MOST * (3 - side) / 2 and high - low > _NARROWEST:
                    cut = high / 8 if low == 0 else (low + high) / 2
                    waiting += [(cut, high), (low, cut)]
                    continue
                converged = False
            panels.append((low, high))
            columns.append(column)
            tail, noise = max(tail, left), max(noise, floor)
        first = first or len(panels)
    error = 4 * tail + noise
    bounds = np.array(panels)
    return Graded(
        first,
        bounds[:, 1],
        (bounds[:, 0] + bounds[:, 1]) / 2,
        (bounds[:, 1] - bounds[:, 0]) / 2,
        np.array(columns),
        error,
        converged and error <= max(accuracy, 8 * noise),
    )


def _panel(
    function: Callable[[int, float], float], side: int, low: float, high: float
) -> tuple[NDArray[np.float64], float]:
    """Return the Chebyshev coefficients on a panel, and the largest value met."""
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [math.cos(math.pi * j / DEGREE) for j in range(DEGREE + 1)]
    values = np.array([function(side, min(max(middle + half * x, low), high)) for x in nodes])
    column = np.asarray(dct(values, type=1)) / DEGREE
    column[0] /= 2
    column[-1] /= 2
    return column, float(np.abs(values).max())


def tables_source(found: Graded) -> list[str]:
    """Return the tables as lines of source."""
    lines = [f"FIRST = {found.first}"]
    for name, table in (
        ("ENDS", found.ends),
        ("MIDDLES", found.middles),
        ("INVERSES", 1 / found.widths),
        ("TABLE", found.coefficients.ravel()),
    ):
        numbers = ", ".join(repr(float(x)) for x in table)
        lines.append(f"{name} = np.array([{numbers}])")
    return lines


def panel_source() -> list[str]:
    """Return the lines of a scalar function of ``rho``, the last of which returns the value."""
    return [
        "    angle = math.acos(abs(rho))",
        "    panel = 0 if rho >= 0.0 else FIRST",
        "    last = FIRST - 1 if rho >= 0.0 else ENDS.size - 1",
        "    while panel < last and angle > ENDS[panel]:",
        "        panel += 1",
        "    x = (angle - MIDDLES[panel]) * INVERSES[panel]",
        "    two, now, before = 2.0 * x, 0.0, 0.0",
        f"    start = {DEGREE + 1} * panel",
        f"    for k in range({DEGREE}, 0, -1):",
        "        now, before = two * now + (TABLE[start + k] - before), now",
        "    return x * now + (TABLE[start] - before)",
    ]
