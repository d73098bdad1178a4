r"""Gaussian means as rigorous numbers.

Stage: under ``Expectation``. The mean

.. math:: \mathbb{E} f(N(m, r)) = \int f(z)\, e^{-(z-m)^2/(2r)}\, \frac{dz}{\sqrt{2\pi r}}

is cut at the kinks of f, the middle is integrated by Petras' method (``acb.integral``, whose error
is proved from bounds on complex balls), and the two tails are bounded through an ``Envelope``.
Where no envelope is known, or a piece cannot be bounded, two precisions of tanh-sinh quadrature
must agree, and the result says that it is not proved.
"""

from fractions import Fraction
from functools import lru_cache
from typing import Any

from flint import acb, arb, fmpq
from sympy import Expr, Symbol, sympify

from derive.balls import Ball, refine
from derive.enclosing.ball_program import BallFunction, Evaluation, compile_ball, working_precision
from derive.enclosing.envelope import Envelope, tail_envelope
from derive.enclosing.growth import refuse_divergent, singular_points
from derive.enclosing.kinks import Piece, pieces
from derive.enclosing.normal_law import NormalLaw
from derive.enclosing.two_precisions import agreed_integral
from derive.errors import DeriveError, RangeError
from derive.normal.parity import is_odd

_GUARD = 12
_ROUGH = 40
_LARGEST_EXPONENT = 2**22
_EVALUATIONS = 150_000


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
    """Return E f(N(m, r)) as a ball, at about the relative precision of the evaluation.

    Raises:
        NotIntegrableError, NotConvergedError, RangeError: as ``gaussian_integral``.
    """
    if vanishes(expr, variable, mean, variance):
        return arb(0)
    return _mean(expr, variable, mean, variance, evaluation)


@lru_cache(maxsize=1024)
def vanishes(expr: Expr, variable: Symbol, mean: Expr, variance: Expr) -> bool:
    """Return whether the mean is proved zero: odd f, centred law, convergent integral."""
    if not mean.is_zero or variance.free_symbols or not is_odd(expr, variable):
        return False
    evaluation = Evaluation(_ROUGH)
    try:
        value = _mean(expr, variable, mean, variance, evaluation)
    except DeriveError:
        return False
    return bool(value.is_finite() and not evaluation.doubts)


def _mean(expr: Expr, z: Symbol, mean: Expr, variance: Expr, evaluation: Evaluation) -> arb:
    with working_precision(evaluation.prec + _GUARD):
        inner = Evaluation(evaluation.prec)
        law = NormalLaw(inner(mean), inner(variance), evaluation.prec + _GUARD)
        if law.variance < 0:
            raise RangeError(f"variance = {variance}", "negative", "give a variance >= 0")
        value = arb.nan()
        if law.variance.is_zero():
            value = inner(expr.subs(z, mean))
        elif law.variance > 0 and law.mean.is_finite():
            value = _integrate(expr, z, law, inner)
        for reason in inner.doubts:
            evaluation.doubt(reason)
        return value


def _integrate(expr: Expr, z: Symbol, law: NormalLaw, evaluation: Evaluation) -> arb:
    parts = pieces(expr, z, evaluation)
    refuse_divergent(parts, z, law, evaluation)
    left = tail_envelope(parts[0].expr, z, -1, evaluation)
    right = tail_envelope(parts[-1].expr, z, +1, evaluation)
    reason = f"{expr} could not be bounded on complex balls"
    if left is None or right is None:
        reason = f"no bound of the {'left' if left is None else 'right'} tail of {expr} is known"
    elif not any(_blows_up(part, z, evaluation) for part in parts):
        value = _proved(parts, z, law, evaluation, left, right)
        if value.is_finite():
            return value
    evaluation.doubt(f"{reason}; two precisions of quadrature agree")
    return agreed_integral(parts, z, law) / law.norm


def _proved(
    parts: tuple[Piece, ...],
    z: Symbol,
    law: NormalLaw,
    evaluation: Evaluation,
    left: Envelope,
    right: Envelope,
) -> arb:
    """Integrate the pieces and add the tails."""
    functions = [compile_ball(part.expr, z, evaluation) for part in parts]
    ends = [arb(0) if part.high is None else evaluation(part.high) for part in parts[:-1]]
    scale = _scale(functions, ends, law, (left, right))
    tolerance = scale * arb(2) ** (-law.prec)
    low, low_tail = _truncation(left, -1, ends[0] if ends else None, law, tolerance)
    high, high_tail = _truncation(right, +1, ends[-1] if ends else None, law, tolerance)
    total = acb(0)
    for f, a, b in zip(functions, [low, *ends], [*ends, high], strict=True):
        total += acb.integral(
            _weighted(f, law),
            acb(a),
            acb(b),
            rel_tol=arb(2) ** (-law.prec),
            abs_tol=tolerance,
            eval_limit=_EVALUATIONS,
        )
    total = total / law.norm
    if not total.imag.contains(0):
        raise RangeError(
            "a Gaussian mean", "the integrand is not real", "check roots and logarithms"
        )
    value = total.real + arb(0, (low_tail + high_tail).upper())
    size = scale + abs(value) * law.norm
    useful = value.is_finite() and value.rad() * law.norm < size * arb(2) ** (-law.prec // 2)
    return value if useful else arb.nan()


def _weighted(f: BallFunction, law: NormalLaw) -> BallFunction:
    return lambda x, analytic: f(x, analytic) * law.density(x)


def _blows_up(part: Piece, z: Symbol, evaluation: Evaluation) -> bool:
    """Return whether a known singular point inside a piece has no finite ball around it."""
    f = compile_ball(part.expr, z, evaluation)
    tiny = arb(0, arb(2) ** (-evaluation.prec))
    for point in singular_points(part.expr, z):
        ball = evaluation(point) + tiny
        outside = (part.low is not None and ball < evaluation(part.low)) or (
            part.high is not None and ball > evaluation(part.high)
        )
        if not outside and not f(acb(ball), False).is_finite():
            return True
    return False


def _scale(
    functions: list[BallFunction],
    ends: list[arb],
    law: NormalLaw,
    bounds: tuple[Envelope, Envelope],
) -> arb:
    """Return a rough size of the integral of |f| times density, for tolerances only."""
    best = arb(0)
    for f, low, high in zip(functions, [None, *ends], [*ends, None], strict=True):
        for x in _probes(low, high, law, bounds):
            value = f(acb(x), False)
            if value.is_finite() and not value.imag.contains(0):
                place = f"the integrand is not real at {float(x.mid()):.6g}"
                raise RangeError("a Gaussian mean", place, "check roots and logarithms")
            size = abs(value * law.density(acb(x)))
            if size.is_finite() and size.mid() > best:
                best = size.mid()
    if best > arb(2) ** _LARGEST_EXPONENT:
        raise RangeError("a Gaussian mean", "it is above 2**(2**22)", "rescale the problem")
    return best * law.sd if best > 0 else arb(2) ** (-law.prec)


def _probes(
    low: arb | None, high: arb | None, law: NormalLaw, bounds: tuple[Envelope, Envelope]
) -> list[arb]:
    """Return points of an interval where the integrand may be large."""
    middle, step = law.mean.mid(), law.sd / 2
    points = [middle + step * k for k in range(-40, 41)]
    for side, bound in ((-1, bounds[0]), (1, bounds[1])):
        a = 1 / law.variance - 2 * _arb(bound.e)
        if a > 0 and (bound.c > 0 or bound.e > 0):
            peak = (side * _arb(bound.c) + law.mean / law.variance) / a
            points += [(peak + k / a.sqrt()).mid() for k in range(-3, 4)]
    for end in (end for end in (low, high) if end is not None):
        decay = law.variance / (abs(end - middle) + law.sd)
        points += [(end + k * decay / 4).mid() for k in (-1, 1)]
    return [x for x in points if (low is None or x > low) and (high is None or x < high)]


def _truncation(
    bound: Envelope, side: int, end: arb | None, law: NormalLaw, tolerance: arb
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
                return side * R, tail / law.norm
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
