"""Constants and polynomials of the elementary functions, to the nearest double.

Stage: beneath ``elementary_text``. Everything is computed in 40 digits when it is asked for.
"""

import math
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from mpmath import mp

from numeric.chebyshev_fit import horner

_DIGITS = 40
_CENTRE = 4
ANGLE = 2.0**20
"""Largest argument of sin, cos and tan: the multiple of pi/2 must have at most 20 bits."""


def _constants() -> dict[str, str]:
    """Return the numbers of the text, exact ones in two or more parts."""
    ln2, pi = mp.log(2), +mp.pi
    ln2_high = _leading(ln2, 32)
    parts: list[Any] = []
    for bits in (32, 65, 98):
        parts.append(_leading(pi / 2 - sum(parts), bits))
    third, root = mp.mpf(2) / 3, mp.sqrt(mp.mpf(1) / 2)
    found = {
        "magic": 6755399441055744.0,  # 1.5 2^52: adding it rounds to an integer
        "log2e": 1 / ln2,
        "ln2_high": ln2_high,
        "ln2_low": ln2 - ln2_high,
        "two_over_pi": 2 / pi,
        "angle": ANGLE,
        "two_thirds_low": third - float(third),
        "two_thirds": third,
        "root_half": root,
        "root_half_low": root - float(root),
        "density": 1 / mp.sqrt(2 * pi),
        "sixth": mp.mpf(1) / 6,
        "centre": _CENTRE,
    }
    for name, value in {"pi": pi, "half_pi": pi / 2, "quarter_pi": pi / 4}.items():
        found |= {name: value, f"{name}_low": value - float(value)}
    found |= {f"half_pi_{i + 1}": p for i, p in enumerate([*parts, pi / 2 - sum(parts)])}
    raw = {"magic_bits": found["magic"], "root_half_bits": math.sqrt(0.5)}
    return {k: repr(float(v)) for k, v in found.items()} | {
        k: str(struct.unpack("<q", struct.pack("<d", v))[0]) for k, v in raw.items()
    }


def _leading(value: Any, bits: int) -> Any:
    """Return the multiple of 2^-bits below a positive number."""
    return mp.floor(mp.ldexp(value, bits)) / mp.mpf(2) ** bits


def _exp_rest(r: Any) -> Any:
    """Return (exp r - 1 - r)/r^2."""
    return sum(r**k / mp.factorial(k + 2) for k in range(30))


def _log_rest(z: Any) -> Any:
    """Return (2 atanh s - 2 s)/s^3 at z = s^2."""
    return sum(2 * z**k / (2 * k + 3) for k in range(40))


def _long_log_rest(z: Any) -> Any:
    """Return what follows the first term of ``_log_rest``, divided by z."""
    return sum(2 * z**k / (2 * k + 5) for k in range(40))


def _sin_rest(z: Any) -> Any:
    """Return (sin y - y)/y^3 at z = y^2."""
    return sum((-1) ** (k + 1) * z**k / mp.factorial(2 * k + 3) for k in range(20))


def _cos_rest(z: Any) -> Any:
    """Return (cos y - 1 + y^2/2)/y^4 at z = y^2."""
    return sum((-1) ** k * z**k / mp.factorial(2 * k + 4) for k in range(20))


def _atan_rest(z: Any) -> Any:
    """Return (atan y - y)/y^3 at z = y^2."""
    return sum((-1) ** (k + 1) * z**k / (2 * k + 3) for k in range(60))


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


_Fit = tuple[Callable[[Any], Any], tuple[float, float], int, str]
_FITS: Mapping[str, _Fit] = {
    "exp": (_exp_rest, (-0.3467, 0.3467), 11, "r"),
    "log": (_log_rest, (0.0, 0.02945), 8, "z"),
    "long_log": (_long_log_rest, (0.0, 0.02945), 8, "z"),
    "sin": (_sin_rest, (0.0, 0.6169), 6, "z"),
    "cos": (_cos_rest, (0.0, 0.6169), 6, "z"),
    "atan": (_atan_rest, (0.0, 0.1716), 10, "z"),
    "asin": (_asin_rest, (0.0, 0.25), 12, "z"),
    "erf": (_erf_ratio, (0.0, 1.0), 12, "z"),
    "erfc": (_erfc_ratio, (-1.0, 1.0), 23, "t"),
}


FITS = frozenset(_FITS)
"""Names of the polynomials."""


@lru_cache(maxsize=1)
def constants() -> dict[str, str]:
    """Return the numbers of the text by name, exact ones in two or more parts.

    Example:
        >>> constants()["half_pi"], constants()["half_pi_low"]
        ('1.5707963267948966', '6.123233995736766e-17')
    """
    with mp.workdps(_DIGITS):
        return _constants()


@lru_cache(maxsize=len(_FITS))
def polynomial(name: str) -> str:
    """Return Horner's rule of one of ``FITS``."""
    with mp.workdps(_DIGITS):
        return horner(*_FITS[name])
