"""Polynomials that interpolate at Chebyshev points, as Horner's rule in text.

Stage: beneath generated functions; run when code is generated, in the working precision of mpmath.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mpmath import mp


def horner(
    function: Callable[[Any], Any], interval: tuple[float, float], degree: int, variable: str
) -> str:
    """Return Horner's rule of the polynomial that interpolates a function.

    Args:
        function: takes and returns mpmath numbers; smooth on the interval.
        interval: ends of the interval.
        degree: of the polynomial; it interpolates at the zeros of the next Chebyshev polynomial.
        variable: the letter of the text.

    Accuracy: coefficients are rounded to the nearest double; the error of interpolation is near
        the least that a polynomial of this degree can have.

    Example:
        >>> horner(lambda x: 1 + 2 * x, (0.0, 4.0), 1, "x")
        '(2.0) * x + 1.0'
    """
    low, high = (mp.mpf(x) for x in interval)
    middle, half, count = (low + high) / 2, (high - low) / 2, degree + 1
    angles = [mp.pi * (2 * j + 1) / (2 * count) for j in range(count)]
    values = [function(middle + half * mp.cos(a)) for a in angles]
    chebyshev = [
        2 * sum(v * mp.cos(k * a) for v, a in zip(values, angles, strict=True)) / count
        for k in range(count)
    ]
    chebyshev[0] /= 2
    shifted = _shifted(_powers(chebyshev), middle, half)
    text = repr(float(shifted[-1]))
    for c in shifted[-2::-1]:
        text = f"({text}) * {variable} + {float(c)!r}"
    return text


def _powers(chebyshev: Sequence[Any]) -> list[Any]:
    """Return coefficients of powers of x from those of Chebyshev polynomials."""
    total = [mp.mpf(0)] * len(chebyshev)
    before, now = [1], [0, 1]
    for c in chebyshev:
        for k, factor in enumerate(before):
            total[k] += c * factor
        after = [0, *(2 * x for x in now)]
        for k, x in enumerate(before):
            after[k] -= x
        before, now = now, after
    return total


def _shifted(powers: Sequence[Any], middle: Any, half: Any) -> list[Any]:
    """Return coefficients of powers of y where x = (y - middle)/half."""
    found = [mp.mpf(0)]
    for c in reversed(powers):
        grown = [mp.mpf(0), *(x / half for x in found)]
        for k, x in enumerate(found):
            grown[k] -= x * middle / half
        grown[0] += c
        found = grown
    return found[: len(powers)]
