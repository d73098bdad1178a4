r"""The elementary functions, each described once: straight-line text that two printers read.

Stage: beneath ``elementary`` (Numba compiles the text as it stands) and ``elementary_ir`` (which
writes the same operations as vector LLVM IR). Functions ``v...`` take and return doubles; the
others are pieces. The text keeps to: assignments, arithmetic, comparisons, selections ``a if c else
b``, calls of each other, ``abs``, ``math.sqrt``, ``math.copysign``, ``fma``, the bits of a double
and integers made from them. Coefficients are computed in 40 digits when the text is asked for.

========  =======================================================================================
exp       exp x = 2^k exp r, |r| <= log(2)/2, 2^k made from the bits of the exponent
expm1     2^k (exp r - 1) + (2^k - 1), with exp r - 1 as one number
tanh      (e^y - 1)/(e^y + 1) at y = 2 |x|, likewise
sinh      (t + t/(t + 1))/2 with t = e^y - 1; beyond 40 half of e^y, like cosh
log       x = 2^k m, log m from f = m - 1, which is exact, as f - f^2/2 + s (f^2/2 + ...), s =
          f/(2 + f)
log1p     likewise from 1 + x, what that sum rounds away put back
softplus  max(x, 0) + log1p(exp(-|x|))
pow       exp(y log x), log x and the product as sums of two doubles
sin, cos  x less a multiple of pi/2 in four parts, of which three are exact; then a series
atan      a series up to tan(pi/8), beyond by the addition theorem at pi/4 and pi/2
asin      a series in x^2 up to 1/2, beyond by asin x = pi/2 - 2 asin sqrt((1 - x)/2)
acos      likewise, with relative digits up to x = 1
erfc      exp(-x^2) (1 + 2 x)^-1 times a polynomial in (x - 4)/(x + 4); x^2 in two parts
erf       x times a polynomial in x^2 up to 1, beyond by erfc
normal    erfc(-x/sqrt 2)/2 with x/sqrt 2 in two parts (cdf), exp(-x^2/2)/sqrt(2 pi) likewise (pdf)
========  =======================================================================================
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from numeric.elementary_numbers import FITS, constants, polynomial

HEAD = '''"""Generated elementary functions; do not edit."""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FLAGS = {"contract", "nsz", "arcp"}
SCALAR = dict(cache=True, error_model="numpy", fastmath=FLAGS, nogil=True, forceinline=True)
EXACT = dict(cache=True, error_model="numpy", nogil=True, forceinline=True)
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


@intrinsic
def fma(context, a, b, c):
    def fused(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), fused
'''

_PIECES = {
    "power_of_two": """
@njit(**SCALAR)
def power_of_two(k):
    return from_bits((k + 1023) << 52)
""",
    "as_double": """
@njit(**SCALAR)
def as_double(k):
    return from_bits(k + {magic_bits}) - {magic}
""",
    "reduced": """
@njit(**SCALAR)
def reduced(x):
    shifted = x * {log2e} + {magic}
    k = shifted - {magic}
    r = (x - k * {ln2_high}) - k * {ln2_low}
    q = {exp}
    return to_bits(shifted) - {magic_bits}, r + r * r * q
""",
    "scaled": """
@njit(**SCALAR)
def scaled(x, k):
    half = k >> 1
    return x * power_of_two(half) * power_of_two(k - half)
""",
    "vexp": """
@njit(**SCALAR)
def vexp(x):
    x = -746.0 if x < -746.0 else x
    x = 710.0 if x > 710.0 else x
    k, p = reduced(x)
    return scaled(1.0 + p, k)
""",
    "vexpm1": """
@njit(**SCALAR)
def vexpm1(x):
    y = -40.0 if x < -40.0 else x
    y = 710.0 if y > 710.0 else y
    k, p = reduced(y)
    s = power_of_two(k - 1)
    grown = 2.0 * (s * p + (s - 0.5))
    return math.copysign(p if k == 0 else grown, x)
""",
    "vtanh": """
@njit(**SCALAR)
def vtanh(x):
    y = 2.0 * abs(x)
    y = 44.0 if y > 44.0 else y
    k, p = reduced(y)
    s = power_of_two(k)
    grown = s * p + (s - 1.0)
    return math.copysign(grown / (grown + 2.0), x)
""",
    "vsinh": """
@njit(**SCALAR)
def vsinh(x):
    y = abs(x)
    y = 711.0 if y > 711.0 else y
    k, p = reduced(y)
    s = power_of_two(k)
    t = p if k == 0 else s * p + (s - 1.0)
    near = 0.5 * (t + t / (t + 1.0))
    far = scaled(0.5 + 0.5 * p, k)
    return math.copysign(near if y < 40.0 else far, x)
""",
    "vcosh": """
@njit(**SCALAR)
def vcosh(x):
    y = abs(x)
    y = 711.0 if y > 711.0 else y
    k, p = reduced(y)
    half = scaled(0.5 + 0.5 * p, k)
    return half + 0.25 / half
""",
    "log_parts": """
@njit(**SCALAR)
def log_parts(k, f, low):
    s = f / (2.0 + f)
    z = s * s
    q = {log}
    h = 0.5 * f * f
    n = as_double(k)
    return n * {ln2_high} - ((h - (s * (h + z * q) + (n * {ln2_low} + low))) - f)
""",
    "vlog": """
@njit(**SCALAR)
def vlog(x):
    tiny = x < 2.2250738585072014e-308
    u = x * 18014398509481984.0 if tiny else x
    bits = to_bits(u)
    k = (bits - {root_half_bits}) >> 52
    f = from_bits(bits - (k << 52)) - 1.0
    value = log_parts(k - 54 if tiny else k, f, 0.0)
    value = value if x > 0.0 else (-math.inf if x == 0.0 else math.nan)
    return value if x < math.inf else x
""",
    "vlog1p": """
@njit(**SCALAR)
def vlog1p(x):
    u = 1.0 + x
    bits = to_bits(u)
    k = (bits - {root_half_bits}) >> 52
    f = from_bits(bits - (k << 52)) - 1.0
    lost = (1.0 - (u - x)) if x >= 1.0 else (x - (u - 1.0))
    value = log_parts(k, f, lost / u)
    value = value if x > -1.0 else (-math.inf if x == -1.0 else math.nan)
    value = value if x < math.inf else x
    return x if abs(x) < 1e-17 else value
""",
    "vsoftplus": """
@njit(**SCALAR)
def vsoftplus(x):
    return (0.0 if x < 0.0 else x) + vlog1p(vexp(-abs(x)))
""",
    "two_product": """
@njit(**EXACT)
def two_product(a, b):
    high = a * b
    return high, fma(a, b, -high)
""",
    "two_difference": """
@njit(**EXACT)
def two_difference(a, b):
    high = a - b
    part = high - a
    return high, (a - (high - part)) - (b + part)
""",
    "long_log": """
@njit(**EXACT)
def long_log(x):
    tiny = x < 2.2250738585072014e-308
    u = x * 18014398509481984.0 if tiny else x
    bits = to_bits(u)
    k = (bits - {root_half_bits}) >> 52
    f = from_bits(bits - (k << 52)) - 1.0
    n = as_double(k - 54 if tiny else k)
    d = 2.0 + f
    s = f / d
    sl = (fma(-s, d, f) - s * (f - (d - 2.0))) / d
    z, zl = two_product(s, s)
    zl = zl + 2.0 * s * sl
    g = z * ({long_log})
    w = {two_thirds} + g
    wl = (({two_thirds} - w) + g) + {two_thirds_low}
    v, vl = two_product(z, w)
    vl = vl + (z * wl + zl * w)
    t, tl = two_product(s, v)
    tl = tl + (s * vl + sl * v)
    h = 2.0 * s + t
    l = ((2.0 * s - h) + t) + (2.0 * sl + tl)
    a = n * {ln2_high}
    high = a + h
    low = ((a - high) + h) + (l + n * {ln2_low})
    total = high + low
    return total, (high - total) + low
""",
    "whole": """
@njit(**EXACT)
def whole(x):
    shifted = (x + 4503599627370496.0) - 4503599627370496.0
    return (shifted == x) | (x >= 4503599627370496.0)
""",
    "vpow": """
@njit(**EXACT)
def vpow(x, y):
    a = abs(x)
    high, low = long_log(a)
    p = y * high
    rest = fma(y, high, -p) + y * low
    rest = rest if abs(p) < 800.0 else 0.0
    p = -746.0 if p < -746.0 else p
    p = 711.0 if p > 711.0 else p
    k, e = reduced(p)
    value = scaled(1.0 + (e + (rest + e * rest)), k)
    value = value if a > 0.0 else (0.0 if y > 0.0 else (math.inf if y < 0.0 else 1.0))
    value = value if a < math.inf else (math.inf if y > 0.0 else (0.0 if y < 0.0 else 1.0))
    size = abs(y)
    signed = value if whole(0.5 * size) else -value
    negative = signed if whole(size) else math.nan
    value = negative if x < 0.0 else value
    return value if (x == x) & (y == y) else math.nan
""",
    "quarter": """
@njit(**EXACT)
def quarter(x):
    y = x if abs(x) <= {angle} else math.nan
    shifted = y * {two_over_pi} + {magic}
    n = shifted - {magic}
    r, first = two_difference(y - n * {half_pi_1}, n * {half_pi_2})
    r, second = two_difference(r, n * {half_pi_3})
    low = (first + second) - n * {half_pi_4}
    high = r + low
    return to_bits(shifted), high, (r - high) + low
""",
    "sine": """
@njit(**SCALAR)
def sine(r, low):
    z = r * r
    q = {sin}
    return r + (r * z * q + low * (1.0 - 0.5 * z))
""",
    "cosine": """
@njit(**EXACT)
def cosine(r, low):
    z = r * r
    q = {cos}
    h = 0.5 * z
    w = 1.0 - h
    return w + (((1.0 - w) - h) + (z * z * q - r * low))
""",
    "turned": """
@njit(**SCALAR)
def turned(n, r, low):
    value = sine(r, low) if (n & 1) == 0 else cosine(r, low)
    return from_bits(to_bits(value) ^ ((n & 2) << 62))
""",
    "vsin": """
@njit(**SCALAR)
def vsin(x):
    n, r, low = quarter(x)
    value = turned(n, r, low)
    return x if x == 0.0 else value
""",
    "vcos": """
@njit(**SCALAR)
def vcos(x):
    n, r, low = quarter(x)
    return turned(n + 1, r, low)
""",
    "vtan": """
@njit(**SCALAR)
def vtan(x):
    n, r, low = quarter(x)
    s = sine(r, low)
    c = cosine(r, low)
    even = (n & 1) == 0
    value = (s if even else c) / (c if even else -s)
    return x if x == 0.0 else value
""",
    "vatan": """
@njit(**SCALAR)
def vatan(x):
    a = abs(x)
    big = a > 2.414213562373095
    mid = a > 0.41421356237309503
    top = -1.0 if big else (a - 1.0 if mid else a)
    low = a if big else (a + 1.0 if mid else 1.0)
    y = top / low
    z = y * y
    q = {atan}
    base = {half_pi} if big else ({quarter_pi} if mid else 0.0)
    rest = {half_pi_low} if big else ({quarter_pi_low} if mid else 0.0)
    return math.copysign(base + (y + (y * z * q + rest)), x)
""",
    "arc": """
@njit(**SCALAR)
def arc(y, z):
    q = {asin}
    return y + y * z * q
""",
    "vasin": """
@njit(**SCALAR)
def vasin(x):
    a = abs(x)
    big = a > 0.5
    z = 0.5 * (1.0 - a) if big else a * a
    y = math.sqrt(z) if big else a
    found = arc(y, z)
    found = {half_pi} - (2.0 * found - {half_pi_low}) if big else found
    return math.copysign(found, x)
""",
    "vacos": """
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
""",
    "inner_erf": """
@njit(**SCALAR)
def inner_erf(a):
    z = a * a if a < 1.0 else 1.0
    q = {erf}
    return a * q
""",
    "upper_tail": """
@njit(**SCALAR)
def upper_tail(x, more):
    x = 28.0 if x > 28.0 else x
    high = from_bits(to_bits(x) & -134217728)
    low = (x - high) * (x + high) + 2.0 * x * more
    t = (x - {centre}) / (x + {centre})
    q = {erfc}
    q = q - q * (low * (1.0 - low * (0.5 - low * {sixth})))
    return vexp(-high * high) * q / (1.0 + 2.0 * x)
""",
    "verfc": """
@njit(**SCALAR)
def verfc(x):
    a = abs(x)
    far = upper_tail(a, 0.0)
    far = 2.0 - far if x < 0.0 else far
    return 1.0 - math.copysign(inner_erf(a), x) if a < 0.5 else far
""",
    "verf": """
@njit(**SCALAR)
def verf(x):
    a = abs(x)
    found = inner_erf(a) if a < 1.0 else 1.0 - upper_tail(a, 0.0)
    return math.copysign(found, x) if x == x else x
""",
    "vnormal_cdf": """
@njit(**EXACT)
def vnormal_cdf(x):
    a = abs(x)
    a = 40.0 if a > 40.0 else a
    y, rest = two_product(a, {root_half})
    far = 0.5 * upper_tail(y, rest + a * {root_half_low})
    far = 1.0 - far if x > 0.0 else far
    return 0.5 + 0.5 * math.copysign(inner_erf(y), x) if y < 0.5 else far
""",
    "vnormal_pdf": """
@njit(**SCALAR)
def vnormal_pdf(x):
    a = abs(x)
    a = 40.0 if a > 40.0 else a
    high = from_bits(to_bits(a) & -134217728)
    low = 0.5 * (a - high) * (a + high)
    less = {density} * (low * (1.0 - low * (0.5 - low * {sixth})))
    return ({density} - less) * vexp(-0.5 * high * high)
""",
}


@lru_cache(maxsize=len(_PIECES))
def function_text(name: str) -> str:
    """Return the text of one function, decorator included, coefficients filled in.

    Example:
        >>> print(function_text("power_of_two").strip())
        @njit(**SCALAR)
        def power_of_two(k):
            return from_bits((k + 1023) << 52)
    """
    text = _PIECES[name]
    wanted = set(re.findall(r"\{(\w+)\}", text))
    return text.format(**constants(), **{key: polynomial(key) for key in wanted & FITS})


def called_by(name: str) -> tuple[str, ...]:
    """Return the functions that a function calls, itself last; each after those it calls.

    Example:
        >>> called_by("vexp")
        ('reduced', 'power_of_two', 'scaled', 'vexp')
    """
    found: dict[str, None] = {}
    for other in re.findall(r"\b(\w+)\(", _PIECES[name].partition("):")[2]):
        if other in _PIECES:
            found |= dict.fromkeys(called_by(other))
    return (*found, name)


def functions_text(names: Iterable[str]) -> str:
    """Return the text of functions and of all that they call, in the order of definition."""
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys(called_by(name))
    return "\n".join(function_text(name) for name in found)
