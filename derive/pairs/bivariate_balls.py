r"""Rigorous digits of Owen's T and of the probabilities and densities of two correlated normals.

Stage: beneath ``bivariate``; real balls come in, balls that hold the true value go out. Monotony
turns inexact arguments into two exact ones; each exact value is an integral over a finite interval
of a function that is holomorphic around it. All integrands are positive, so that values far in the
tails keep their relative digits. Sources: [owen1956], [price1958].
"""

from collections.abc import Callable
from functools import partial
from math import cos, log, sin
from typing import Any

from flint import acb, arb, ctx
from mpmath import mp
from sympy import Expr, Float

from derive.errors import NotConvergedError
from derive.pairs.wedges import corner, owens_small, wedge

_GUARD = 24
_TRIES = 3
_HOPELESS = 400
_DEEPEST = 1e60
_SPARE_BITS = (128, 1024)


def digits(arguments: tuple[Any, ...], prec: int, ball: Callable[..., arb]) -> Expr | None:
    """Return ``prec`` correct bits of a function at real numbers; None if they are not numbers.

    Accuracy: relative ``2**-prec`` at the arguments rounded to ``prec + 128`` bits, to 1024 where
        that cannot tell a correlation from ±1.
    """
    for spare in _SPARE_BITS:
        points = [_point(x, prec + spare) for x in arguments]
        known = [x for x in points if x is not None]
        if len(known) < len(points):
            return None
        try:
            found = refine(partial(ball, *known), prec)
        except NotConvergedError:
            if spare == _SPARE_BITS[-1]:
                raise
            continue
        man, exponent = found.mid().man_exp()
        with mp.workprec(prec):
            return Float._new(mp.mpf((int(man), int(exponent)))._mpf_, prec)
    return None


def _point(x: Any, bits: int) -> arb | None:
    """Return a real number rounded to so many bits; None if it is not one."""
    number = x._to_mpmath(bits, allow_ints=False)
    if not isinstance(number, mp.mpf) or not mp.isfinite(number):
        return None
    sign, man, exponent, _ = number._mpf_
    return arb((-man if sign else man, exponent))


def refine(ball: Callable[[], arb], bits: int, limit: int = 1 << 16) -> arb:
    """Return ``ball()`` at the first working precision that gives ``bits`` relative bits.

    Raises:
        NotConvergedError: if ``limit`` bits of working precision do not suffice.

    Accuracy: relative ``2**-bits``, rigorous.
    """
    work = bits + 24
    while work <= limit:
        with ctx.workprec(work):
            found = ball()
        if found.is_exact() or found.rel_accuracy_bits() >= bits:
            return found
        work *= 2
    raise NotConvergedError(f"{bits} bits", f"working precision {limit} reached", "ask for less")


def owens_ball(h: arb, a: arb) -> arb:
    """Enclose T over balls: increasing in ``a``, and in ``|h|`` moving towards zero.

    Accuracy: rigorous; relative to the working precision at exact arguments.
    """
    if not (h.is_finite() and a.is_finite()):
        return arb.nan()
    near, far = arb(h.abs_lower()), arb(h.abs_upper())
    low, high = _ends(a)
    below = _owens_point(near if low < 0 else far, low)
    if h.is_exact() and a.is_exact():
        return below
    return below.union(_owens_point(far if high < 0 else near, high))


def orthant_ball(h: arb, k: arb, rho: arb) -> arb:
    """Enclose P(u < h, v < k) over balls; it increases in each argument.

    Accuracy: rigorous; relative to the working precision at exact arguments.
    """
    if not (h.is_finite() and k.is_finite() and rho.is_finite()):
        return arb.nan()
    (h0, h1), (k0, k1), (r0, r1) = _ends(h), _ends(k), _ends(rho)
    below = _orthant_point(h0, k0, r0)
    if h.is_exact() and k.is_exact() and rho.is_exact():
        return below
    return below.union(_orthant_point(h1, k1, r1))


def conditional_ball(h: arb, k: arb, rho: arb) -> arb:
    """Enclose P(u < h given v = k) over balls.

    Accuracy: rigorous; [0, 1] where the correlation ball touches ±1.
    """
    square = (1 - rho) * (1 + rho)
    if not square > 0:
        return arb(0.5, 0.5)
    return _cdf((h - rho * k) / square.sqrt())


def density_ball(h: arb, k: arb, rho: arb) -> arb:
    """Enclose (1 - rho^2) times the bivariate normal density over balls.

    Accuracy: rigorous; the exponent is dropped where the correlation ball touches ±1.
    """
    square = ((1 - rho) * (1 + rho)).nonnegative_part()
    if not square > 0:
        return square.sqrt() * arb(0.5, 0.5) / arb.pi()
    sign = 1 if rho > 0 else -1
    apart = h - sign * k
    exponent = apart * apart / (2 * square) + sign * h * k / (1 + sign * rho)
    return square.sqrt() * (-exponent).exp() / (2 * arb.pi())


def _ends(ball: arb) -> tuple[arb, arb]:
    """Return exact numbers below and above every number of a ball."""
    return (ball, ball) if ball.is_exact() else (ball.lower(), ball.upper())


def _cdf(x: arb) -> arb:
    """Enclose the normal distribution function, with relative digits however far the tail."""
    if x > -64:
        return (-x / arb(2).sqrt()).erfc() / 2
    square = x * x / 2
    return (-square).exp() * square.hypgeom_u(arb(0.5), arb(0.5)) / (2 * arb.pi().sqrt())


def _owens_point(h: arb, a: arb) -> arb:
    """Enclose T at exact ``h >= 0`` and ``a``; |a| > 1 is mapped to 1/|a| first."""
    if a < 0:
        return -_owens_point(h, -a)
    with ctx.extraprec(_GUARD):
        if a > 1:
            one, two = _cdf(-h), _cdf(-a * h)
            found = (one + two) / 2 - one * two - owens_small(a * h, 1 / a)
        else:
            found = owens_small(h, a)
    return found + 0


def _unit() -> arb:
    return arb((1, -ctx.prec))


def _orthant_point(h: arb, k: arb, rho: arb) -> arb:
    """Enclose the probability at exact arguments: by wedges, or where they cancel, by Price."""
    if rho >= 1:
        return _cdf(h).min(_cdf(k))
    if rho <= -1:
        return (_cdf(h) - _cdf(-k)).max(arb(0))
    most = _log_bound(h, k, rho)
    if most < -_DEEPEST:
        return arb(0).union(arb(most).exp())
    guard = _GUARD
    for _ in range(_TRIES):
        with ctx.extraprec(guard):
            found = _by_wedges(h, k, rho)
            lost = ctx.prec - guard - int(found.rel_accuracy_bits())
        if lost <= 0:
            return found + 0
        if lost >= _HOPELESS:
            break
        guard += lost + 8
    return _by_price(h, k, rho)


def _log_bound(h: arb, k: arb, rho: arb) -> float:
    """Return a bound of the logarithm of the probability: P(x < -t) is below exp(-t^2/2)."""
    parts = [-min(float(x), 0.0) for x in (h, k)]
    if rho < 0:
        parts.append(-min(float((h + k) / (2 * (1 + rho)).sqrt()), 0.0))
    return -(max(parts) ** 2) / 2 * (1 - 1e-9)


def _by_wedges(h: arb, k: arb, rho: arb) -> arb:
    if h <= 0 and k <= 0:
        return corner(-h, -k, rho)
    if h > 0 and k > 0:
        return (_cdf(max(h, k, key=float)) - _cdf(-min(h, k, key=float))) + corner(h, k, rho)
    low, high = (-h, k) if h < k else (-k, h)
    root = ((1 - rho) * (1 + rho)).sqrt()
    return wedge(low, (rho * low + high) / -root) - wedge(high, (low + rho * high) / root)


def _by_price(h: arb, k: arb, rho: arb) -> arb:
    """Enclose it by Price's integral in the angle acos |rho|, whose integrand is positive."""
    if rho >= 0:
        ends = (rho.acos(), arb.pi() / 2)
        return _cdf(h) * _cdf(k) + _price((h - k) * (h - k) / 2, h * k, *ends)
    if h + k > 0:
        lower, upper = sorted((h, k), key=float)
        return (_cdf(upper) - _cdf(-lower)) + _orthant_point(-h, -k, rho)
    return _price((h + k) * (h + k) / 2, -h * k, arb(0), (-rho).acos())


def _price(gap: arb, product: arb, low: arb, high: arb) -> arb:
    """Enclose int exp(-gap/sin^2 - product/(1 + cos)) / (2 pi) over angles in [0, pi/2]."""
    rest = arb(0)
    if low == 0 and gap > 0:
        steep = gap / (high.sin() * high.sin())
        there = -product / (1 + high.cos())
        top = there.max(-product / 2)
        fall = ctx.prec * log(2) + 20 + (1 + steep).log() + steep + (top - there)
        low = (gap / fall).sqrt().mid()
        rest = arb(0.5, 0.5) * low * (top - gap / (low.sin() * low.sin())).exp()
    wide, slant = acb(gap), acb(product)

    def integrand(angle: acb, analytic: bool) -> acb:
        fall = slant / (1 + angle.cos())
        if gap != 0:
            fall += wide / angle.sin() ** 2
        return (-fall).exp()

    tolerance = _top(float(gap), float(product), float(low), float(high)).exp() * _unit()
    scale = (high - low).mid()
    found = acb.integral(integrand, low, high, abs_tol=tolerance * scale, eval_limit=100000).real
    return (found + rest) / (2 * arb.pi())


def _top(gap: float, product: float, low: float, high: float) -> arb:
    """Return about the largest exponent of Price's integrand; it sets a tolerance, no more."""

    def exponent(angle: float) -> float:
        return -gap / max(sin(angle), 1e-150) ** 2 - product / (1 + cos(angle))

    for _ in range(60):
        third = (high - low) / 3
        if exponent(low + third) < exponent(high - third):
            low += third
        else:
            high -= third
    return arb(exponent((low + high) / 2))
