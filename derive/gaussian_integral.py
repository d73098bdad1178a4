r"""Gaussian means as rigorous numbers.

Stage: under ``Expectation``. The mean

.. math:: \mathbb{E} f(N(m, r)) = \int f(z)\, e^{-(z-m)^2/(2r)}\, \frac{dz}{\sqrt{2\pi r}}

is cut at the kinks of f, the middle is integrated by Petras' method (``acb.integral``, whose error
is proved from bounds on complex balls), and the two tails are bounded through an ``Envelope``. Where
no envelope is known, or a piece cannot be bounded, two precisions of tanh-sinh quadrature must agree,
and the result says that it is not proved.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import acb, arb, fmpq
from mpmath import mp, mpf
from sympy import Expr, Symbol, sympify

from derive.ball_program import BallFunction, Evaluation, compile_ball, working_precision
from derive.balls import Ball, refine
from derive.envelope import Envelope, tail_envelope
from derive.errors import NotConvergedError, RangeError
from derive.growth import refuse_divergent, singular_points
from derive.kinks import Piece, pieces

_GUARD = 12
_EVALUATIONS = 400_000


@dataclass(frozen=True)
class _Law:
    """The normal law with its symbols' balls, and the working precision."""

    mean: arb
    variance: arb
    prec: int

    def density(self, z: acb) -> acb:
        """Return the density times sqrt(2 pi r)."""
        return (-((z - self.mean) ** 2) / (2 * self.variance)).exp()

    @property
    def sd(self) -> float:
        return math.sqrt(float(self.variance.mid()))


def gaussian_integral(
    expr: Expr, variable: Symbol, mean: Any = 0, variance: Any = 1, digits: int = 15
) -> Ball:
    """Return a ball that holds E f(N(mean, variance)) to relative radius ``10**-digits``.

    Args:
        expr: f, whose only free symbol is ``variable``.
        variable: the argument of f.
        mean: real constant.
        variance: nonnegative real constant.
        digits: significant decimal digits.

    Raises:
        NotIntegrableError: if the mean is proved not to exist.
        NotConvergedError: if no quadrature reaches the accuracy.
        RangeError: if the variance is negative.

    Accuracy: as ``enclose``: proved unless ``Ball.rigorous`` is False.

    Example:
        >>> from sympy import tanh
        >>> from derive.symbols import z
        >>> gaussian_integral(tanh(z)**2, z, digits=20).str(20)
        '0.39429449039784117442'
    """
    m, r = sympify(mean, strict=True), sympify(variance, strict=True)
    return refine(
        lambda evaluation: acb(gaussian_mean(expr, variable, m, r, evaluation)),
        digits,
        f"E[{expr}; N({m}, {r})]",
    )


def gaussian_mean(
    expr: Expr, variable: Symbol, mean: Expr, variance: Expr, evaluation: Evaluation
) -> arb:
    """Return E f(N(m, r)) as a ball, at about the relative precision of the evaluation."""
    with working_precision(evaluation.prec + _GUARD):
        inner = Evaluation(evaluation.prec + _GUARD)
        law = _Law(inner(mean), inner(variance), inner.prec)
        if law.variance < 0:
            raise RangeError(f"variance = {variance}", "negative", "give a variance >= 0")
        if law.variance.is_zero():
            value = inner(expr.subs(variable, mean))
        elif law.variance > 0 and law.mean.is_finite():
            value = _integrate(expr, variable, law, inner)
        else:
            value = arb.nan()
        for reason in inner.doubts:
            evaluation.doubt(reason)
        return value


def _integrate(expr: Expr, z: Symbol, law: _Law, evaluation: Evaluation) -> arb:
    parts = pieces(expr, z, evaluation)
    refuse_divergent(parts, z, law.mean, law.variance, evaluation)
    left = tail_envelope(parts[0].expr, z, -1, evaluation)
    right = tail_envelope(parts[-1].expr, z, +1, evaluation)
    if left is None or right is None:
        side = "left" if left is None else "right"
        return _by_two_precisions(
            parts, z, law, evaluation, f"no bound of the {side} tail of {expr} is known"
        )
    value = _proved(parts, z, law, evaluation, left, right)
    if value.is_finite():
        return value
    return _by_two_precisions(
        parts, z, law, evaluation, f"{expr} could not be bounded on complex balls"
    )


def _proved(
    parts: tuple[Piece, ...],
    z: Symbol,
    law: _Law,
    evaluation: Evaluation,
    left: Envelope,
    right: Envelope,
) -> arb:
    """Integrate the pieces and add the tails."""
    functions = [compile_ball(part.expr, z, evaluation) for part in parts]
    ends = [arb(0) if part.high is None else evaluation(part.high) for part in parts[:-1]]
    scale = _scale(functions, ends, law)
    tolerance = scale * arb(2) ** (-law.prec)
    low, low_tail = _truncation(left, -1, ends[0] if ends else None, law, tolerance)
    high, high_tail = _truncation(right, +1, ends[-1] if ends else None, law, tolerance)
    total = acb(0)
    for f, a, b in zip(functions, [low, *ends], [*ends, high], strict=True):
        total += acb.integral(
            lambda x, analytic, f=f: f(x, analytic) * law.density(x),
            acb(a),
            acb(b),
            rel_tol=arb(2) ** (-law.prec),
            abs_tol=tolerance,
            eval_limit=_EVALUATIONS,
        )
    total = total / (2 * arb.pi() * law.variance).sqrt()
    if not total.imag.contains(0):
        raise RangeError(
            "a Gaussian mean", "the integrand is not real", "check roots and logarithms"
        )
    return total.real + arb(0, (low_tail + high_tail).upper())


def _scale(functions: list[BallFunction], ends: list[arb], law: _Law) -> arb:
    """Return a rough size of the integral of |f| times density, for tolerances only."""
    best = arb(0)
    sd = arb(law.sd)
    points = [law.mean.mid() + sd * (k / 2) for k in range(-40, 41)]
    for f, low, high in zip(functions, [None, *ends], [*ends, None], strict=True):
        near = [arb((x - sd / 64).mid()) for x in (low, high) if x is not None]
        near += [arb((x + sd / 64).mid()) for x in (low, high) if x is not None]
        for x in points + near:
            inside = (low is None or x > low) and (high is None or x < high)
            if inside:
                size = abs(f(acb(x), False) * law.density(acb(x)))
                if size.is_finite() and size.mid() > best:
                    best = size.mid()
    return best * sd if best > 0 else arb(2) ** (-law.prec)


def _truncation(
    bound: Envelope, side: int, end: arb | None, law: _Law, tolerance: arb
) -> tuple[arb, arb]:
    """Return the cut of a tail and a bound of what lies beyond it.

    With a = 1/(2r) - e > 0 and b = c + side m/r the integrand at ``side * t`` is below
    ``A exp(h(t))``, h(t) = n log(1+t) - a t^2 + b t - m^2/(2r). As h is concave for n >= 0, the
    tail from R on is at most ``A exp(h(R)) / -h'(R)`` once h'(R) < 0.
    """
    n = max(bound.n, Fraction(0))
    a = 1 / (2 * law.variance) - _arb(bound.e)
    b = _arb(bound.c) + side * law.mean / law.variance
    start = _arb(bound.T)
    if end is not None:
        start = start.max((side * end).upper())
    if not a > 0:
        return arb(side) * start, arb.nan()
    constant = bound.A.log() - law.mean**2 / (2 * law.variance)
    R = start.max(_first_guess(a, b, n, constant, tolerance)).upper()
    for _ in range(60):
        slope = _arb(n) / (1 + R) - 2 * a * R + b
        if slope < 0:
            exponent = constant + _arb(n) * (1 + R).log() - a * R**2 + b * R
            tail = exponent.exp() / -slope
            if tail < tolerance:
                return side * R, tail / (2 * arb.pi() * law.variance).sqrt()
        R = (R * arb(1.125) + 1 / a.sqrt()).mid()
    return side * R, arb.nan()


def _first_guess(a: arb, b: arb, n: Fraction, constant: arb, tolerance: arb) -> arb:
    """Solve a R^2 - b R = log(A/tolerance) + n log(1+R) roughly."""
    R = arb(1)
    for _ in range(4):
        drop = constant - tolerance.log() + _arb(n) * (1 + R).log()
        discriminant = (b * b + 4 * a * drop).mid()
        R = ((b.mid() + discriminant.max(arb(0)).sqrt()) / (2 * a)).mid().max(arb(0))
    return R


def _arb(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


def _by_two_precisions(
    parts: tuple[Piece, ...], z: Symbol, law: _Law, evaluation: Evaluation, reason: str
) -> arb:
    """Integrate every piece by tanh-sinh quadrature twice; the two must agree on each."""
    total = arb(0)
    for part in parts:
        total += _piece_by_two_precisions(part, z, law, evaluation)
    evaluation.doubt(reason)
    return total / (2 * arb.pi() * law.variance).sqrt()


def _piece_by_two_precisions(part: Piece, z: Symbol, law: _Law, evaluation: Evaluation) -> arb:
    with mp.workprec(law.prec + 40):
        nodes = _nodes(part, z, law, evaluation)
    total = arb(0)
    for ends in zip(nodes[:-1], nodes[1:], strict=True):
        first, second = (
            _tanh_sinh(part.expr, z, law, ends, prec) for prec in (law.prec, law.prec + 40)
        )
        difference = abs(first - second)
        if not difference <= mp.ldexp(1 + abs(second), 30 - law.prec):
            raise NotConvergedError(
                f"the mean of {part.expr}",
                f"no bound is known, and two precisions of quadrature disagree between "
                f"{mp.nstr(ends[0], 5)} and {mp.nstr(ends[1], 5)}",
                "check that the mean exists, or split the function at its singular points",
            )
        total += _from_mpf(second) + arb(0, _from_mpf(4 * difference).upper())
    return total


def _tanh_sinh(expr: Expr, z: Symbol, law: _Law, ends: tuple[mpf, mpf], prec: int) -> mpf:
    with working_precision(prec), mp.workprec(prec):
        f = compile_ball(expr, z, Evaluation(prec))
        return mp.quad(lambda x: _at(f, law, x, ends), list(ends))


def _nodes(part: Piece, z: Symbol, law: _Law, evaluation: Evaluation) -> list[mpf]:
    """Return the ends of a piece, its singular points and a few multiples of the spread."""
    reach = math.sqrt(2 * law.prec * math.log(2)) * 1.5 + 8
    low = None if part.low is None else evaluation(part.low)
    high = None if part.high is None else evaluation(part.high)
    middle, sd = law.mean.mid(), arb(law.sd)
    marks = [middle + sd * k for k in (-reach, -4, -1.5, 1.5, 4, reach)]
    marks += [x for x in (low, high) if x is not None]
    marks += [evaluation(x) for x in singular_points(part.expr, z)]
    inside = [
        x
        for x in marks
        if not (low is not None and x < low) and not (high is not None and x > high)
    ]
    numbers = sorted({_to_mpf(x) for x in inside})
    return numbers if len(numbers) > 1 else []


def _at(f: BallFunction, law: _Law, x: mpf, ends: tuple[mpf, mpf]) -> mpf:
    point = acb(_from_mpf(x))
    value = (f(point, False) * law.density(point)).real
    if value.is_finite():
        return _to_mpf(value)
    return mpf(0) if x in ends else mp.nan


def _to_mpf(x: arb) -> mpf:
    mantissa, exponent = x.mid().man_exp()
    return mp.ldexp(mpf(int(mantissa)), int(exponent))


def _from_mpf(x: mpf) -> arb:
    mantissa, exponent = x.man_exp
    return arb(int(mantissa)) * arb(2) ** int(exponent)
