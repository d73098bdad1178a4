r"""Owen's T and the probabilities of two correlated normals, in machine numbers.

Stage: what generated code calls. One responsibility: scalar functions in plain ``math`` code that
Numba compiles for the processor and for CUDA alike (fixed loops, constant tables, no allocation),
without NaN at rho = ±1 or at infinite arguments. They mirror ``derive.bivariate``, name by name.

Method: with h, k > 0 the probability of the corner u > h, v > k is the sum of two wedges

    wedge(h, a) = int_a^oo exp(-h^2 (1 + x^2)/2)/(1 + x^2) dx / (2 pi) = Q(h)/2 - T(h, a),

with a = (k - rho h)/(h sqrt(1 - rho^2)) and the same with h and k exchanged. All integrands are
positive, so tails keep relative digits; 32 Gauss-Legendre nodes on the range where the integrand
exceeds 1e-17 of its top leave less than 1e-17. Source: [owen1956].
"""

import math
from collections.abc import Callable
from typing import Any

# Positive nodes and weights of 32-point Gauss-Legendre quadrature on [-1, 1]: roots of P_32 to 35
# digits by Newton's method, weights 2/((1 - x^2) P_32'(x)^2), rounded to the nearest double.
_NODES = (
    0.04830766568773832,
    0.1444719615827965,
    0.23928736225213706,
    0.33186860228212767,
    0.42135127613063533,
    0.5068999089322294,
    0.5877157572407623,
    0.6630442669302152,
    0.7321821187402897,
    0.7944837959679424,
    0.84936761373257,
    0.8963211557660521,
    0.9349060759377397,
    0.9647622555875064,
    0.9856115115452684,
    0.9972638618494816,
)
_WEIGHTS = (
    0.0965400885147278,
    0.09563872007927486,
    0.09384439908080457,
    0.09117387869576389,
    0.08765209300440381,
    0.08331192422694675,
    0.07819389578707031,
    0.0723457941088485,
    0.06582222277636185,
    0.058684093478535544,
    0.050998059262376175,
    0.04283589802222668,
    0.03427386291302143,
    0.02539206530926206,
    0.01627439473090567,
    0.007018610009470096,
)
_TAU = 2.0 * math.pi
_ROOT_HALF = math.sqrt(0.5)
_DEPTH = 39.0  # exp(-39) is 1e-17


def normal_cdf(x: float) -> float:
    """Return P(u < x) for a unit normal.

    Accuracy: relative 1e-15 for x > -5, growing like x^2 times 2e-16 in the lower tail.

    Example:
        >>> normal_cdf(0.0)
        0.5
    """
    return 0.5 * math.erfc(-x * _ROOT_HALF)


def _narrow(h: float, a: float) -> float:
    """Return T(h, a) for h >= 0 and 0 <= a <= 1."""
    top = a
    if h * h * a * a > 2.0 * _DEPTH:
        top = math.sqrt(2.0 * _DEPTH) / h
    half = 0.5 * top
    total = 0.0
    for i in range(16):
        x = half * (1.0 - _NODES[i])
        y = half * (1.0 + _NODES[i])
        left = math.exp(-0.5 * h * h * x * x) / (1.0 + x * x)
        right = math.exp(-0.5 * h * h * y * y) / (1.0 + y * y)
        total += _WEIGHTS[i] * (left + right)
    return math.exp(-0.5 * h * h) * half * total / _TAU


def _wedge(h: float, b: float) -> float:
    """Return wedge(h, b/h) for h >= 0 and real b; for h = 0 the limit."""
    if h == 0.0:
        return 0.25 if b == 0.0 else (0.0 if b > 0.0 else 0.5)
    if b < 0.0:
        if -b <= h:
            return 0.25 * math.erfc(h * _ROOT_HALF) + _narrow(h, -b / h)
        return 0.5 * math.erfc(h * _ROOT_HALF) - _steep(h, -b)
    if b <= 1.0 and b <= h:
        return 0.25 * math.erfc(h * _ROOT_HALF) - _narrow(h, b / h)
    return _steep(h, b)


def _steep(h: float, b: float) -> float:
    """Return wedge(h, b/h) for b > h or b > 1, all terms of one size."""
    if b <= 1.0:
        return _narrow(b, h / b) - 0.25 * math.erfc(b * _ROOT_HALF) * math.erf(h * _ROOT_HALF)
    top = 2.0 * _DEPTH / (b + math.sqrt(b * b + 2.0 * _DEPTH))
    half = 0.5 * top
    total = 0.0
    for i in range(16):
        x = half * (1.0 - _NODES[i])
        y = half * (1.0 + _NODES[i])
        left = math.exp(-x * (b + 0.5 * x)) / (h * h + (b + x) * (b + x))
        right = math.exp(-y * (b + 0.5 * y)) / (h * h + (b + y) * (b + y))
        total += _WEIGHTS[i] * (left + right)
    return math.exp(-0.5 * (h * h + b * b)) * h * half * total / _TAU


def owens_t(h: float, a: float) -> float:
    """Return Owen's T(h, a) for real, possibly infinite, arguments.

    Accuracy: absolute 1e-16; relative 1e-15 for |h| < 5, growing like h^2 times 2e-16.

    Example:
        >>> round(owens_t(0.0, 1.0), 15)
        0.125
    """
    size, slope = abs(h), abs(a)
    if math.isinf(size):
        return 0.0
    if slope <= 1.0:
        value = _narrow(size, slope)
    elif math.isinf(slope):
        value = 0.25 * math.erfc(size * _ROOT_HALF)
    elif size == 0.0:
        value = math.atan(slope) / _TAU
    else:
        value = 0.25 * math.erfc(size * _ROOT_HALF) - _steep(size, size * slope)
    return -value if a < 0.0 else value


def _gap(k: float, h: float, rho: float) -> float:
    """Return k - rho h without losing digits near rho = ±1."""
    if rho > 0.5:
        return (k - h) + (1.0 - rho) * h
    if rho < -0.5:
        return (k + h) - (1.0 + rho) * h
    return k - rho * h


def _corner(h: float, k: float, rho: float) -> float:
    """Return P(u > h, v > k) for h, k >= 0 and |rho| < 1."""
    if h == 0.0 and k == 0.0:
        return 0.25 + math.asin(rho) / _TAU
    q = math.sqrt((1.0 - rho) * (1.0 + rho))
    return _wedge(h, _gap(k, h, rho) / q) + _wedge(k, _gap(h, k, rho) / q)


def bivariate_normal(h: float, k: float, rho: float) -> float:
    """Return P(u < h, v < k) for unit normals of correlation rho, -1 <= rho <= 1.

    Infinite h and k are allowed; NaN comes out exactly where it goes in.

    Accuracy: absolute 3e-16; for h, k < 0 all terms are positive, and the relative error is 1e-15
    times 1 + |log of the value|.

    Example:
        >>> bivariate_normal(0.0, 0.0, 1.0), round(bivariate_normal(0.0, 0.0, 0.5), 15)
        (0.5, 0.333333333333333)
    """
    if math.isnan(h) or math.isnan(k) or math.isnan(rho):
        return h + k + rho
    if math.isinf(h) or math.isinf(k):
        return min(normal_cdf(h), normal_cdf(k))
    if rho >= 1.0:
        return normal_cdf(min(h, k))
    if rho <= -1.0:
        return max(0.0, _between(h, k))
    if h <= 0.0 and k <= 0.0:
        return _corner(-h, -k, rho)
    if h > 0.0 and k > 0.0:
        return _between(h, k) + _corner(h, k, rho)
    low, high = min(h, k), max(h, k)
    return max(0.0, normal_cdf(low) - _corner(-low, high, -rho))


def _between(h: float, k: float) -> float:
    """Return P(u < h) - P(u < -k), from the tails that are small."""
    if h > 0.0 and k > 0.0:
        return 0.5 * (math.erf(h * _ROOT_HALF) + math.erf(k * _ROOT_HALF))
    return normal_cdf(min(h, k)) - normal_cdf(-max(h, k))


def conditional_normal(h: float, k: float, rho: float) -> float:
    """Return P(u < h given v = k) for unit normals of correlation rho, -1 <= rho <= 1.

    At rho = ±1 it is a step, one half where it jumps.

    Accuracy: absolute 2e-16 times 1 + |argument| of the normal distribution function.

    Example:
        >>> conditional_normal(2.0, 1.0, 1.0), conditional_normal(1.0, 1.0, 1.0)
        (1.0, 0.5)
    """
    if math.isnan(h) or math.isnan(k) or math.isnan(rho):
        return h + k + rho
    if math.isinf(h) or rho == 0.0:
        return normal_cdf(h)
    gap = -rho * k if math.isinf(k) else _gap(h, k, rho)
    square = (1.0 - rho) * (1.0 + rho)
    if square > 0.0:
        return normal_cdf(gap / math.sqrt(square))
    return 0.5 if gap == 0.0 else (1.0 if gap > 0.0 else 0.0)


def scaled_density(h: float, k: float, rho: float) -> float:
    """Return (1 - rho^2) times the bivariate normal density, zero at rho = ±1.

    Accuracy: relative 1e-15 times 1 + |exponent|.

    Example:
        >>> scaled_density(0.0, 0.0, 1.0)
        0.0
    """
    if math.isnan(h) or math.isnan(k) or math.isnan(rho):
        return h + k + rho
    square = (1.0 - rho) * (1.0 + rho)
    if square <= 0.0 or math.isinf(h) or math.isinf(k):
        return 0.0
    sign = 1.0 if rho > 0.0 else -1.0
    apart = h - sign * k
    exponent = 0.5 * apart * apart / square + sign * h * k / (1.0 + abs(rho))
    return math.sqrt(square) * math.exp(-exponent) / _TAU


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    normal_cdf,
    _narrow,
    _steep,
    _wedge,
    owens_t,
    _gap,
    _corner,
    _between,
    bivariate_normal,
    conditional_normal,
    scaled_density,
)
"""All functions, each after those it calls: the order in which a compiler has to take them."""
