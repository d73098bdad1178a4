r"""Elementary functions as straight-line code that fills vector units.

Stage: beneath generated code; what its loops call instead of the library, whose functions no
compiler can put into vector lanes. One scalar function each, without branches: range reduction, a
polynomial, and the parts put together. The polynomials interpolate at Chebyshev points; their
coefficients are computed in 40 digits when the code is generated.

========  =======================================================================================
exp       exp x = 2^k exp r, |r| <= log(2)/2, 2^k made from the bits of the exponent
tanh      (e^y - 1)/(e^y + 1) at y = 2 |x|, with e^y - 1 as one number
log1p     1 + x = 2^k m, log m as a series in (m - 1)/(m + 1), what 1 + x rounds away put back
softplus  max(x, 0) + log1p(exp(-|x|))
asin      a series in x^2 up to 1/2, beyond by asin x = pi/2 - 2 asin sqrt((1 - x)/2)
acos      likewise, with relative digits up to x = 1
erfc      exp(-x^2) (1 + 2 x)^-1 times a polynomial in (x - 4)/(x + 4); x^2 in two parts
erf       x times a polynomial in x^2 up to 1, beyond by erfc
========  =======================================================================================

The two operations on bits need LLVM, so that this code is for the processor; devices have these
functions in hardware (``numeric.device_code``).
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from mpmath import mp
from numpy.typing import ArrayLike, NDArray

from derive.errors import UnknownNameError
from numeric.cache import load

NAMES = ("exp", "tanh", "log1p", "softplus", "asin", "acos", "erfc", "erf")
_DIGITS = 40
_CENTRE = 4

_HEAD = '''"""Generated elementary functions; do not edit."""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FLAGS = {"contract", "nsz", "arcp"}
SCALAR = dict(cache=True, error_model="numpy", fastmath=FLAGS, nogil=True, forceinline=True)
ARRAYS = dict(cache=True, error_model="numpy", fastmath=FLAGS, nogil=True)


@intrinsic
def to_bits(context, x):
    def cast(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), cast


@intrinsic
def from_bits(context, i):
    def cast(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), cast
'''

_SCALAR = """

@njit(**SCALAR)
def power_of_two(k):
    return from_bits((k + 1023) << 52)


@njit(**SCALAR)
def reduced(x):
    shifted = x * {log2e} + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r = (x - k * {ln2_high}) - k * {ln2_low}
    q = {exp}
    return np.int64(k), r + r * r * q


@njit(**SCALAR)
def vexp(x):
    x = -746.0 if x < -746.0 else x
    x = 710.0 if x > 710.0 else x
    k, p = reduced(x)
    half = k >> 1
    return (1.0 + p) * power_of_two(half) * power_of_two(k - half)


@njit(**SCALAR)
def vtanh(x):
    y = 2.0 * abs(x)
    y = 44.0 if y > 44.0 else y
    k, p = reduced(y)
    s = power_of_two(k)
    grown = s * p + (s - 1.0)
    return math.copysign(grown / (grown + 2.0), x)


@njit(**SCALAR)
def vlog1p(x):
    u = 1.0 + x
    bits = to_bits(u)
    k = (bits - {root_half_bits}) >> 52
    f = from_bits(bits - (k << 52)) - 1.0
    lost = (1.0 - (u - x)) if x >= 1.0 else (x - (u - 1.0))
    s = f / (2.0 + f)
    z = s * s
    q = {log}
    near = k * {ln2_low} + lost / u
    value = k * {ln2_high} + (2.0 * s + (s * z * q + near))
    value = value if x > -1.0 else (-math.inf if x == -1.0 else math.nan)
    return value if x < math.inf else x


@njit(**SCALAR)
def vsoftplus(x):
    return (0.0 if x < 0.0 else x) + vlog1p(vexp(-abs(x)))


@njit(**SCALAR)
def arc(y, z):
    q = {asin}
    return y + y * z * q


@njit(**SCALAR)
def vasin(x):
    a = abs(x)
    big = a > 0.5
    z = 0.5 * (1.0 - a) if big else a * a
    y = math.sqrt(z) if big else a
    found = arc(y, z)
    found = {half_pi} - (2.0 * found - {half_pi_low}) if big else found
    return math.copysign(found, x)


@njit(**SCALAR)
def vacos(x):
    a = abs(x)
    big = a > 0.5
    z = 0.5 * (1.0 - a) if big else a * a
    y = math.sqrt(z) if big else a
    found = arc(y, z)
    inner = {half_pi} - (math.copysign(found, x) - {half_pi_low})
    outer = 2.0 * found if x > 0.0 else {pi} - (2.0 * found - {pi_low})
    return outer if big else inner


@njit(**SCALAR)
def verfc_positive(x):
    x = 28.0 if x > 28.0 else x
    high = from_bits(to_bits(x) & -134217728)
    low = (x - high) * (x + high)
    t = (x - {centre}) / (x + {centre})
    q = {erfc}
    falling = vexp(-high * high)
    rest = 1.0 - low * (1.0 - low * (0.5 - low * {third}))
    return falling * rest * q / (1.0 + 2.0 * x)


@njit(**SCALAR)
def verfc(x):
    found = verfc_positive(abs(x))
    return 2.0 - found if x < 0.0 else found


@njit(**SCALAR)
def verf(x):
    a = abs(x)
    z = a * a if a < 1.0 else 1.0
    q = {erf}
    found = a * q if a < 1.0 else 1.0 - verfc_positive(a)
    return math.copysign(found, x) if x == x else x
"""

_GRID = """

@njit(**ARRAYS)
def {name}_grid(points, out):
    for i in range(points.size):
        out[i] = v{name}(points[i])
"""


@lru_cache(maxsize=1)
def elementary_source() -> str:
    """Return the text of all functions: ``vexp``, ``vtanh``, ... and the bits beneath them.

    A generated module that holds this text may call them on scalars in its loops.
    """
    with mp.workdps(_DIGITS):
        ln2, pi = mp.log(2), +mp.pi
        ln2_high = math.floor(float(ln2) * 2.0**32) / 2.0**32
        parts = {
            "log2e": repr(float(1 / ln2)),
            "ln2_high": repr(ln2_high),
            "ln2_low": repr(float(ln2 - ln2_high)),
            "root_half_bits": str(int(np.float64(math.sqrt(0.5)).view(np.int64))),
            "pi": repr(math.pi),
            "pi_low": repr(float(pi - math.pi)),
            "half_pi": repr(math.pi / 2),
            "half_pi_low": repr(float(pi / 2 - math.pi / 2)),
            "third": repr(1 / 6),
            "centre": repr(float(_CENTRE)),
            "exp": _fit(_exp_rest, -0.3467, 0.3467, 11, "r"),
            "log": _fit(_log_rest, 0.0, 0.02945, 8, "z"),
            "asin": _fit(_asin_rest, 0.0, 0.25, 12, "z"),
            "erf": _fit(_erf_ratio, 0.0, 1.0, 12, "z"),
            "erfc": _fit(_erfc_ratio, -1.0, 1.0, 23, "t"),
        }
    return _HEAD + _SCALAR.format(**parts)


def _exp_rest(r: Any) -> Any:
    """Return (exp r - 1 - r)/r^2."""
    return sum(r**k / mp.factorial(k + 2) for k in range(30))


def _log_rest(z: Any) -> Any:
    """Return (2 atanh s - 2 s)/s^3 at z = s^2."""
    return sum(2 * z**k / (2 * k + 3) for k in range(40))


def _asin_rest(z: Any) -> Any:
    """Return (asin y - y)/y^3 at z = y^2."""
    y = mp.sqrt(z)
    return mp.mpf(1) / 6 if z < mp.mpf(10) ** -12 else (mp.asin(y) - y) / y**3


def _erf_ratio(z: Any) -> Any:
    y = mp.sqrt(z)
    return 2 / mp.sqrt(mp.pi) if y == 0 else mp.erf(y) / y


def _erfc_ratio(t: Any) -> Any:
    """Return (1 + 2 x) exp(x^2) erfc(x) at x = 4 (1 + t)/(1 - t)."""
    x = _CENTRE * (1 + t) / (1 - t)
    if x > 1000:
        series = sum((-1) ** k * mp.fac2(2 * k - 1) / (2 * x * x) ** k for k in range(6))
        return (1 + 2 * x) / (x * mp.sqrt(mp.pi)) * series
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def _fit(
    function: Callable[[Any], Any], low: float, high: float, degree: int, variable: str
) -> str:
    """Return Horner's rule of the polynomial that interpolates at the Chebyshev points."""
    middle, half = (mp.mpf(low) + high) / 2, (mp.mpf(high) - low) / 2
    count = degree + 1
    angles = [mp.pi * (2 * j + 1) / (2 * count) for j in range(count)]
    values = [function(middle + half * mp.cos(a)) for a in angles]
    chebyshev = [
        2 * sum(v * mp.cos(k * a) for v, a in zip(values, angles, strict=True)) / count
        for k in range(count)
    ]
    chebyshev[0] /= 2
    powers = _powers(chebyshev)
    shifted = _shifted(powers, middle, half)
    text = repr(float(shifted[-1]))
    for c in shifted[-2::-1]:
        text = f"({text}) * {variable} + {float(c)!r}"
    return text


def _powers(chebyshev: list[Any]) -> list[Any]:
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


def _shifted(powers: list[Any], middle: Any, half: Any) -> list[Any]:
    """Return coefficients of powers of y where x = (y - middle)/half."""
    found = [mp.mpf(0)]
    for c in reversed(powers):
        grown = [mp.mpf(0), *(x / half for x in found)]
        for k, x in enumerate(found):
            grown[k] -= x * middle / half
        grown[0] += c
        found = grown
    return found[: len(powers)]


def _grids() -> str:
    return "".join(_GRID.format(name=name) for name in NAMES)


def elementary(name: str) -> Callable[[ArrayLike], NDArray[np.float64]]:
    """Return an elementary function of arrays, compiled for this processor.

    Args:
        name: one of ``NAMES``.

    Returns:
        A function of an array of any shape; NaN gives NaN, and nothing is raised.

    Raises:
        UnknownNameError: for any other name.

    Accuracy: relative, in units of 2.2e-16, against balls over the whole domain: exp, erf and acos
        1.5, the others 2.5; results below 1e-290 lose the digits that doubles lose there.

    Example:
        >>> tanh = elementary("tanh")
        >>> tanh([0.0, 1.0, -50.0]).tolist() == [0.0, math.tanh(1.0), -1.0]
        True
    """
    if name not in NAMES:
        raise UnknownNameError(f"{name} on arrays", f"there are {', '.join(NAMES)}", "use one")
    run = getattr(load(elementary_source() + _grids()), f"{name}_grid")

    def function(x: ArrayLike) -> NDArray[np.float64]:
        given = np.asarray(x, dtype=np.float64)
        points = np.ascontiguousarray(given).reshape(-1)
        out = np.empty_like(points)
        run(points, out)
        return out.reshape(given.shape)

    return function
