r"""Hermite coefficients of a function of one normal, all orders at once, as proved balls.

Stage: under the certified kernel series. A function comes in as analytic pieces between its kinks;
the normalised coefficients :math:`c_k = \mathbb{E}[f(z) He_k(z)]/\sqrt{k!}`, k = 0..K, go out, so
that :math:`\mathbb{E} f^2 = \sum_k c_k^2`.

Method. With :math:`g_k = He_k\,\varphi/\sqrt{k!}` the diagonal of Mehler's kernel at z and its
conjugate gives, for every 0 < t < 1 and z = x + iy,

.. math:: |g_k(z)|^2 \le \frac{t^{-k}}{2\pi\sqrt{1-t^2}}
          \exp\Big(-\frac{x^2}{1+t} + \frac{y^2}{1-t}\Big).

One bound of f on an ellipse around an interval therefore bounds the Gauss-Legendre error of all
orders up to K, and an ``Envelope`` of f bounds what lies beyond the last interval. At each node all
He_k/k! are the Taylor coefficients of exp(x t - t^2/2). Source: [mehler1866].
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from flint import acb, arb, arb_series, ctx, fmpq
from sympy import Symbol

from derive.enclosing.ball_program import BallFunction, Evaluation, compile_ball, working_precision
from derive.enclosing.envelope import Envelope, tail_envelope
from derive.enclosing.kinks import Piece
from derive.errors import NotConvergedError, NotIntegrableError, NotSupportedError

_RHO = 3
"""Sum of the semi-axes of the ellipses, in units of half the interval."""
_GROWTH = 0.8
"""Bits that the recurrence of He_k times the density loses per order (k + x √k at the worst x)."""
_NARROWEST = 2.0**-18
_BOXES = 6
_LARGEST_X = 4096


@dataclass(frozen=True)
class _Rule:
    """Gauss-Legendre on [low, high] with so many nodes."""

    low: arb
    high: arb
    nodes: int


@dataclass(frozen=True)
class _Task:
    """What all intervals of one computation share.

    Attributes:
        name: the function, for messages.
        order: K.
        bits: absolute accuracy asked for is ``2**-bits``.
    """

    name: str
    order: int
    bits: int


def hermite_balls(
    parts: tuple[Piece, ...], variable: Symbol, order: int, bits: int
) -> tuple[arb, ...]:
    """Return c_0..c_K of a function given by its analytic pieces.

    Args:
        parts: the pieces from left to right, as ``derive.enclosing.kinks.pieces`` makes them.
        variable: the argument, a standard normal variable.
        order: K >= 0.
        bits: the quadrature and tail errors are below ``2**-bits`` in total.

    Returns:
        K + 1 real balls.

    Raises:
        NotSupportedError: if no bound of a tail is known.
        NotConvergedError: if a piece is not analytic near a point; the message names it.
        NotIntegrableError: if the square has no mean, as far as its bound tells.

    Accuracy: proved.
    """
    name = str(parts[0].expr) if len(parts) == 1 else f"{parts[0].expr} (first piece)"
    task = _Task(name, order, bits + 8)
    precision = bits + math.ceil(_GROWTH * order) + 64
    with working_precision(precision):
        evaluation = Evaluation(precision)
        ends = [evaluation(part.high) for part in parts if part.high is not None]
        left = _cut(parts[0], variable, -1, task, evaluation)
        right = _cut(parts[-1], variable, +1, task, evaluation)
        total, error = [arb(0)] * (order + 1), left[1] + right[1]
        lows = [(-_beyond(left[0], ends[:1], -1)), *ends]
        highs = [*ends, _beyond(right[0], ends[-1:], 1)]
        for part, low, high in zip(parts, lows, highs, strict=True):
            f = compile_ball(part.expr, variable, evaluation)
            sums, bound = _integrate(f, low, high, task)
            total = [a + b for a, b in zip(total, sums, strict=True)]
            error += bound
        if evaluation.doubts:
            raise NotSupportedError(
                f"Hermite coefficients of {name}", evaluation.doubts[0], "use exact constants"
            )
        spread = arb(0, error.upper())
        return tuple(c * root + spread for c, root in zip(total, _roots(order), strict=True))


def _roots(order: int) -> list[arb]:
    """Return sqrt(k!) for k = 0..order."""
    roots = [arb(1)]
    for k in range(1, order + 1):
        roots.append(roots[-1] * arb(k).sqrt())
    return roots


def _beyond(x: arb, ends: list[arb], side: int) -> arb:
    """Return the cut, at least one unit beyond the outermost kink."""
    return max([x, *(arb((side * end).upper()) + 1 for end in ends)], key=float)


def _cut(
    part: Piece, variable: Symbol, side: int, task: _Task, evaluation: Evaluation
) -> tuple[arb, arb]:
    """Return X and a bound of all coefficients' shares beyond ``side * X``."""
    envelope = tail_envelope(part.expr, variable, side, evaluation)
    if envelope is None:
        raise NotSupportedError(
            f"Hermite coefficients of {part.expr}",
            f"no bound of its {'left' if side < 0 else 'right'} tail is known",
            "write it with functions whose growth is known",
        )
    growth = Fraction(1, 4) if task.order else Fraction(1, 2)
    if not envelope.e < growth:
        raise NotIntegrableError(
            f"Hermite coefficients of {part.expr}",
            f"it may grow like exp({float(envelope.e):.4g} z^2)",
            f"the growth must stay below exp({growth} z^2)",
        )
    goal = arb(2) ** -task.bits
    start = max(2 * math.sqrt(task.order) + math.sqrt(2 * task.bits * math.log(2)), 4.0)
    x = arb(math.ceil(start)).max(_arb(envelope.T)).upper().ceil()
    while x < _LARGEST_X:
        tail = min(
            (_tail(envelope, x, t, task.order) for t in _parameters(x, task.order)), key=_key
        )
        if tail < goal:
            return x, tail
        x = (x * arb(1.0625) + 1).ceil().mid()
    raise NotConvergedError(
        f"Hermite coefficients of {part.expr}", f"its tail is large at {x}", "rescale the function"
    )


def _key(bound: arb) -> float:
    return float(bound.log().mid()) if bound.is_finite() and bound > 0 else math.inf


def _parameters(x: arb, order: int) -> list[arb]:
    """Return values of t near the best one for real points at distance x, and three others."""
    if order == 0:
        return [arb(2) ** -40]
    ratio = float(x) ** 2 / order
    best = 0.9 if ratio <= 4 else (ratio / 2 - 1) - math.sqrt((ratio / 2 - 1) ** 2 - 1)
    return [arb(min(max(t, 1e-9), 0.98)) for t in (best, 0.01, 0.5, 0.9)]


def _tail(envelope: Envelope, x: arb, t: arb, order: int) -> arb:
    """Bound int_x^oo A (1+s)^n exp(c s + e s^2) |g_k(s)| ds; the exponent is concave in s."""
    n = _arb(max(envelope.n, Fraction(0)))
    c, a = _arb(envelope.c), 1 / (2 * (1 + t)) - _arb(envelope.e)
    slope = n / (1 + x) + c - 2 * a * x
    if not (slope < 0 and a > 0):
        return arb.nan()
    exponent = n * (1 + x).log() + c * x - a * x * x - t.log() * arb(order) / 2
    scale = envelope.A / ((2 * arb.pi()).sqrt() * (1 - t * t).root(4))
    return scale * exponent.exp() / -slope


def _integrate(f: BallFunction, low: arb, high: arb, task: _Task) -> tuple[list[arb], arb]:
    """Return the integrals of f g_k / sqrt(k!) over an interval, and one bound of their errors."""
    total, error = [arb(0)] * (task.order + 1), arb(0)
    cap, ctx.cap = ctx.cap, task.order + 1
    try:
        series = arb_series([arb(0)], prec=task.order + 1)
        for rule, bound in _rules(f, low, high, task):
            series += _apply(f, rule)
            error += bound
        found = series.coeffs()
    finally:
        ctx.cap = cap
    total[: len(found)] = found
    return total, error


def _rules(f: BallFunction, low: arb, high: arb, task: _Task) -> list[tuple[_Rule, arb]]:
    """Cut an interval until every part has a proved rule."""
    pieces = max(1, math.ceil(float(high - low) / 2))
    marks = [low, *(arb((low + (high - low) * i / pieces).mid()) for i in range(1, pieces)), high]
    waiting = list(pairwise(marks))[::-1]
    found = []
    while waiting:
        a, b = waiting.pop()
        rule = _rule(f, a, b, task, float(high - low))
        if rule is not None:
            found.append(rule)
            continue
        if float(b - a) < _NARROWEST:
            raise NotConvergedError(
                f"Hermite coefficients of {task.name}",
                f"not analytic near {float(a):.6g}",
                "split the function there, or use derive.expectation",
            )
        middle = arb(((a + b) / 2).mid())
        waiting += [(middle, b), (a, middle)]
    return found


def _rule(f: BallFunction, a: arb, b: arb, task: _Task, length: float) -> tuple[_Rule, arb] | None:
    """Return a rule with its error, or None if the interval should be halved."""
    half, centre = (b - a) / 2, (a + b) / 2
    wide, tall = half * (_RHO + arb(1) / _RHO) / 2, half * (_RHO - arb(1) / _RHO) / 2
    size = _largest(f, centre, wide, tall)
    if not size.is_finite():
        return None
    nearest = (abs(centre) - wide).max(arb(0)).lower()
    bound = size * half * _mehler(nearest, tall, task.order) * arb(64) / 15
    goal = arb(2) ** -task.bits * half / arb(length)
    count = 2.0 + max(0.0, float((bound / goal).log() / (2 * arb(_RHO).log()))) if bound > 0 else 2
    nodes = math.ceil(count)
    if nodes > 64 + task.bits // 2 and float(half) > 8 * _NARROWEST:
        return None
    return _Rule(a, b, nodes), bound * arb(_RHO) ** (-2 * nodes) / (1 - arb(_RHO) ** -2)


def _largest(f: BallFunction, centre: arb, wide: arb, tall: arb) -> arb:
    """Bound |f| on the upper half of a rectangle by boxes; f is real on the real line."""
    top = arb(0)
    step = wide / _BOXES
    for i in range(_BOXES):
        real = centre + step * (2 * i + 1 - _BOXES)
        box = acb(real + arb(0, step.upper()), tall / 2 + arb(0, (tall / 2).upper()))
        size = abs(f(box, True))
        if not size.is_finite():
            return arb.nan()
        top = top.max(size.upper())
    return top


def _mehler(x: arb, y: arb, order: int) -> arb:
    """Bound |g_k| for k <= order where |Re z| >= x and |Im z| <= y."""
    t = arb(min(max(1 - float(y) / math.sqrt(order + 1), 0.2), 0.95))
    exponent = y * y / (2 * (1 - t)) - x * x / (2 * (1 + t)) - t.log() * arb(order) / 2
    return exponent.exp() / ((2 * arb.pi()).sqrt() * (1 - t * t).root(4))


def _apply(f: BallFunction, rule: _Rule) -> arb_series:
    half, centre = (rule.high - rule.low) / 2, (rule.low + rule.high) / 2
    total = arb_series([arb(0)])
    for node, weight in _legendre(rule.nodes, ctx.prec):
        x = centre + half * node
        value = f(acb(x), False).real * (-x * x / 2).exp() * weight
        total += arb_series([arb(0), x, arb(-0.5)]).exp() * value
    return total * (half / (2 * arb.pi()).sqrt())


@lru_cache(maxsize=256)
def _legendre(count: int, precision: int) -> tuple[tuple[arb, arb], ...]:
    found = [arb.legendre_p_root(count, i, weight=True) for i in range(count)]
    return tuple((node, weight) for node, weight in found)


def _arb(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))
