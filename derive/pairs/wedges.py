r"""Probabilities of two correlated normals as sums of wedges, by quadrature with a proved error.

Stage: beneath ``bivariate_balls``; real balls come in, balls that hold the true value go out. For
h > 0 and real b the wedge is

.. math:: W(h, b) = \frac{1}{2\pi}\int_{b/h}^\infty \frac{e^{-h^2(1+x^2)/2}}{1+x^2}\,dx
                  = \tfrac12 P(u > h) - T(h, b/h),

and P(u > h, v > k) = W(h, (k - rho h)/q) + W(k, (h - rho k)/q) with q = sqrt(1 - rho^2). Each
integrand is bounded in closed form on ellipses around the interval; that bounds what a
Gauss-Legendre rule leaves out, so that its length is chosen before anything is evaluated. Bounds
are exponents in floats, with a slack far above their rounding. Source: [owen1956].
"""

import math
from collections.abc import Callable
from functools import lru_cache

from flint import arb, ctx

_ELLIPSES = (1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.4, 3.0, 4.0, 5.5, 8.0, 12.0, 20.0, 40.0, 100.0)
"""Sums of the semi-axes of the ellipses that are tried, in units of half the interval."""
_MOST = 2000
_SLACK = 1e-6
_STEP = 6

Exponent = Callable[[float, float], float]


def owens_small(h: arb, a: arb) -> arb:
    """Enclose Owen's T(h, a) for |a| <= 1.

    Accuracy: proved; near the working precision for arguments of small radius.
    """
    depth = _depth()
    reach = _above(abs(h * a))
    cut = 1.0 if reach * reach <= 2 * depth else math.sqrt(2 * depth) / reach
    top = arb(cut) * a
    square = top * top
    steep = h * h * square / 2
    fall, wide = _above(steep), _above(abs(top))

    def exponent(across: float, tall: float) -> float:
        if wide * tall >= 1:
            return math.inf
        return fall * tall * tall - 2 * math.log1p(-wide * tall)

    goal = -depth - 1 - math.log1p(fall) / 2
    total = _gauss(lambda t: (-steep * t * t).exp() / (1 + square * t * t), exponent, goal) * top
    if cut < 1:
        beyond = (-steep).exp() / (h * h * abs(top))
        total += arb(0, beyond.upper())
    return (-h * h / 2).exp() * total / (2 * arb.pi())


def wedge(h: arb, b: arb) -> arb:
    """Enclose W(h, b) for h > 0; the limit at h = 0 for b not 0.

    Accuracy: proved; near the working precision for arguments of small radius; not finite where the
    radius is too large.
    """
    if h.is_zero():
        return arb(0) if b > 0 else arb(0.5) if b < 0 else arb.nan()
    if not h > 0:
        return arb.nan()
    tail, middle = _upper(h), float(b.mid())
    if -float(h.mid()) <= middle <= min(1.0, float(h.mid())):
        return tail / 2 - owens_small(h, b / h)
    if b < 0:
        return tail - _steep(h, -b)
    return _steep(h, b)


def _steep(h: arb, b: arb) -> arb:
    """Enclose W for b > h or b > 1; all terms are of one size."""
    if not b > 0:
        return arb.nan()
    if b <= 1:
        return owens_small(b, h / b) - _upper(b) * (h / arb(2).sqrt()).erf() / 2
    depth = _depth()
    low = _below(b)
    top = 2 * depth / (low + math.sqrt(low * low + 2 * depth))
    square, start = h * h, _below(h * h)

    def exponent(across: float, tall: float) -> float:
        first = top * (0.5 - across)
        if low + first <= 0:
            return math.inf
        fall = -(low * first if first > 0 else _above(b) * first) - first * first / 2
        return fall + (top * tall) ** 2 / 2 - 2 * math.log(low + first)

    goal = -depth - 1 - math.log1p(top * low) - math.log(start + (low + min(top, 1 / low)) ** 2)
    width = arb(top)

    def value(t: arb) -> arb:
        x = width * t
        return (-x * (b + x / 2)).exp() / (square + (b + x) * (b + x))

    total = _gauss(value, exponent, goal) * width
    beyond = (-width * (b + width / 2)).exp() / (b * (square + b * b))
    total += arb(0, beyond.upper())
    return (-(square + b * b) / 2).exp() * h * total / (2 * arb.pi())


def corner(h: arb, k: arb, rho: arb) -> arb:
    """Enclose P(u > h, v > k) for h, k >= 0 and |rho| < 1.

    Accuracy: as ``wedge``.
    """
    if h.is_zero() and k.is_zero():
        return arb(0.25) + rho.asin() / (2 * arb.pi())
    root = ((1 - rho) * (1 + rho)).sqrt()
    first = wedge(h, (k - rho * h) / root)
    same = h.is_exact() and k.is_exact() and h == k
    return 2 * first if same else first + wedge(k, (h - rho * k) / root)


def _gauss(value: Callable[[arb], arb], exponent: Exponent, goal: float) -> arb:
    """Integrate over [0, 1] with a proved error of about exp(goal).

    ``exponent(across, tall)`` bounds log |value| on the ellipse around [0, 1] with these semi-axes.
    """
    best = (_MOST + 1.0, 0.0, 0.0)
    for ellipse in _ELLIPSES:
        size = exponent((ellipse + 1 / ellipse) / 4, (ellipse - 1 / ellipse) / 4)
        if size == math.inf:
            break
        size += _SLACK * (1 + abs(size)) + math.log(32 / 15 / (1 - ellipse**-2))
        best = min(best, ((size - goal) / (2 * math.log(ellipse)), ellipse, size))
    if best[0] > _MOST:
        return arb.nan()
    _, ellipse, size = best
    count = max(_STEP, -(-math.ceil(best[0]) // _STEP) * _STEP)
    left_out = (size - 2 * count * math.log(ellipse)) / math.log(2)
    total = arb(0)
    for t, weight in _legendre(count, ctx.prec):
        total += weight * value(t)
    return total + arb(0, arb((1, math.ceil(left_out + _SLACK))))


@lru_cache(maxsize=512)
def _legendre(count: int, precision: int) -> tuple[tuple[arb, arb], ...]:
    """Return nodes and weights on [0, 1]."""
    found = [arb.legendre_p_root(count, i, weight=True) for i in range(count)]
    return tuple(((1 + node) / 2, weight / 2) for node, weight in found)


def _upper(h: arb) -> arb:
    """Enclose P(u > h) for h >= 0."""
    if h < 64:
        return (h / arb(2).sqrt()).erfc() / 2
    square = h * h / 2
    return (-square).exp() * square.hypgeom_u(arb(0.5), arb(0.5)) / (2 * arb.pi().sqrt())


def _depth() -> float:
    return (ctx.prec + 4) * math.log(2)


def _above(x: arb) -> float:
    return float(x.upper()) * (1 + 1e-12)


def _below(x: arb) -> float:
    return float(x.lower()) * (1 - 1e-12)
