"""Gaussian means without a proof: tanh-sinh quadrature on which two precisions agree.

Stage: what ``gaussian_integral`` falls back to. Every interval between kinks and known singular
points is integrated twice, the second time with 40 bits more and further out into the tails; the
intervals must agree one by one, so that divergent parts cannot cancel.
"""

import math
from itertools import pairwise

from flint import acb, arb
from mpmath import mp, mpf
from sympy import Expr, Symbol

from derive.enclosing.ball_program import BallFunction, Evaluation, compile_ball, working_precision
from derive.enclosing.growth import singular_points
from derive.enclosing.kinks import Piece
from derive.enclosing.normal_law import NormalLaw
from derive.errors import NotConvergedError, RangeError

_MORE_BITS = 40
_LOST_BITS = 30
_INNER = (-4.0, -1.5, 1.5, 4.0)
_STRETCH = 4


def agreed_integral(parts: tuple[Piece, ...], z: Symbol, law: NormalLaw) -> arb:
    """Return the integral of f times ``law.density`` over the line; the radius is an estimate.

    Raises:
        NotConvergedError: if two precisions disagree on an interval; the message names it.
    """
    total = arb(0)
    for part in parts:
        total += _piece(part, z, law)
    if total.is_zero():
        raise NotConvergedError(
            f"the mean of {parts[0].expr}",
            "it could not be bounded, and quadrature met only zeros",
            "rescale the function or the law",
        )
    spread = law.variance.rad() / law.variance + law.mean.rad() / law.variance.sqrt()
    return total * (1 + arb(0, (spread * law.prec).upper()))


def _piece(part: Piece, z: Symbol, law: NormalLaw) -> arb:
    precisions = (law.prec, law.prec + _MORE_BITS)
    coarse, fine = (_nodes(part, z, law, prec) for prec in precisions)
    total = arb(0)
    for near, far in zip(pairwise(coarse), pairwise(fine), strict=True):
        unit = _unit(part.expr, z, law, near)
        first = _tanh_sinh(part.expr, z, law, near, unit, precisions[0])
        second = _tanh_sinh(part.expr, z, law, far, unit, precisions[1])
        difference = abs(first - second)
        if not difference <= mp.ldexp(unit + abs(second), _LOST_BITS - law.prec):
            raise NotConvergedError(
                f"the mean of {part.expr}",
                "it could not be bounded, and two precisions of quadrature disagree between "
                f"{mp.nstr(near[0], 5)} and {mp.nstr(near[1], 5)}",
                "check that the mean exists, or split the function at its singular points",
            )
        total += arb_from_mpf(second) + arb(0, arb_from_mpf(4 * difference).upper())
    return total


def _nodes(part: Piece, z: Symbol, law: NormalLaw, prec: int) -> list[mpf]:
    """Return the ends of a piece, its singular points and a few multiples of the spread."""
    reach = math.sqrt(2 * prec * math.log(2)) * 1.25 + 4
    with working_precision(law.prec + _MORE_BITS), mp.workprec(law.prec + _MORE_BITS):
        evaluation = Evaluation(law.prec + _MORE_BITS)
        low, high = (None if end is None else evaluation(end) for end in (part.low, part.high))
        marks = [law.mean.mid() + law.sd * k for k in (-reach, *_INNER, reach)]
        marks += [x for x in (low, high) if x is not None]
        marks += [evaluation(x) for x in singular_points(part.expr, z)]
        inside = [
            x
            for x in marks
            if not ((low is not None and x < low) or (high is not None and x > high))
        ]
        return sorted({mpf_from_arb(x) for x in inside})


def _unit(expr: Expr, z: Symbol, law: NormalLaw, ends: tuple[mpf, mpf]) -> mpf:
    """Return a rough size of the integral: mpmath's own tolerance is absolute."""
    with working_precision(law.prec), mp.workprec(law.prec):
        f = compile_ball(expr, z, Evaluation(law.prec))
        width = ends[1] - ends[0]
        sizes = [abs(_stretched(f, law, ends[0], width, mpf(k) / 16)) for k in range(1, 16)]
        return max([size for size in sizes if mp.isfinite(size) and size > 0], default=mpf(1))


def _tanh_sinh(
    expr: Expr, z: Symbol, law: NormalLaw, ends: tuple[mpf, mpf], unit: mpf, prec: int
) -> mpf:
    """Integrate from both ends to the middle, stretched so that algebraic ends become smooth.

    Points are evaluated with twice the bits: quotients such as z/(exp(z) - 1) cancel at their ends.
    """
    with working_precision(2 * prec), mp.workprec(prec):
        f = compile_ball(expr, z, Evaluation(2 * prec))
        half = (ends[1] - ends[0]) / 2
        total = mpf(0)
        for end, width in ((ends[0], half), (ends[1], -half)):
            total += mp.quad(lambda u, e=end, w=width: _stretched(f, law, e, w, u) / unit, [0, 1])
        return total * unit


def _stretched(f: BallFunction, law: NormalLaw, end: mpf, width: mpf, u: mpf) -> mpf:
    """Return the integrand in u, where x = end + width u^4."""
    x = acb(arb_from_mpf(end) + arb_from_mpf(width * u**_STRETCH))
    value = f(x, False) * law.density(x)
    if value.is_finite():
        if not value.imag.contains(0):
            place = f"the integrand is not real near {mp.nstr(mpf_from_arb(x.real), 5)}"
            raise RangeError("a Gaussian mean", place, "check roots and logarithms")
        return abs(width) * _STRETCH * u ** (_STRETCH - 1) * mpf_from_arb(value.real)
    return mpf(0) if u**_STRETCH < mp.eps else mp.nan


def mpf_from_arb(x: arb) -> mpf:
    """Return the midpoint, rounded to the working precision of mpmath."""
    mantissa, exponent = x.mid().man_exp()
    return mp.ldexp(mpf(int(mantissa)), int(exponent))


def arb_from_mpf(x: mpf) -> arb:
    """Return an mpmath number exactly."""
    if not mp.isfinite(x):
        return arb.nan()
    negative, mantissa, exponent, _ = x._mpf_
    return arb((-1) ** negative * int(mantissa)) * arb(2) ** int(exponent)
