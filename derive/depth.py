r"""Signals through a deep random network: variance and correlation maps, criticality and scales.

Stage: what users do with kernels. A layer is h' = W s(h) + b with independent weights of variance
sigma_w^2/width and biases of variance sigma_b^2; with width to infinity

.. math:: V(q) = \sigma_w^2\, \mathbb{E} s(N(0,q))^2 + \sigma_b^2, \qquad
          C(c) = (\sigma_w^2 K_q(c) + \sigma_b^2)/q^*, \qquad
          \chi_1 = \sigma_w^2\, \mathbb{E} s'(N(0,q^*))^2

with K_q the kernel at both variances q and q* a fixed point of V. Exact where closed forms exist;
otherwise constants of which ball arithmetic gives any number of digits. Sources: [poole2016],
[schoenholz2017].
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from flint import arb, ctx
from sympy import DiracDelta, Expr, Symbol, cancel, diff, expand, log

from derive.activation import Activation
from derive.balls import Ball, enclose
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.certified import CertifiedNumber
from derive.enclosing.heat import HeatMean
from derive.enclosing.isolation import Curve, Roots, isolate
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.gaussian import expect
from derive.kernels import Kernel, kernel
from derive.symbols import z
from derive.value import Kind, Value

Q = Symbol("q", positive=True)


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the variance map.

    Attributes:
        q: exact constant; ``enclose(q, digits)`` gives its digits.
        slope: V'(q), exact.
        stable: True if |V'(q)| < 1, False if > 1, both proved; None if neither is.
    """

    q: Expr
    slope: Expr
    stable: bool | None

    def ball(self, digits: int = 15) -> Ball:
        """Return the fixed point to so many digits."""
        return enclose(self.q, digits)


@dataclass(frozen=True)
class FixedPoints:
    """The fixed points of the variance map in a range.

    Attributes:
        points: from small to large; q = 0 is the first if V(0) = 0.
        statement: what was proved, and what was not, one sentence.
        complete: whether the list is proved to be complete in the range.
    """

    points: tuple[FixedPoint, ...]
    statement: str
    complete: bool


@dataclass(frozen=True)
class Propagation:
    """Signals through layers of one activation.

    Attributes:
        activation: s.
        weight_variance: sigma_w^2 > 0.
        bias_variance: sigma_b^2 >= 0.

    Example:
        >>> relu = Propagation(Activation("relu"), 2, 0)
        >>> relu.variance_map().expr, relu.chi_1(1).expr
        (q, 1)
        >>> relu.fixed_points().statement
        'every q is a fixed point'
    """

    activation: Activation
    weight_variance: Any
    bias_variance: Any = 0

    def __post_init__(self) -> None:
        """Read the variances as exact numbers and check them."""
        for name, smallest in (("weight_variance", True), ("bias_variance", False)):
            value = exact_number(getattr(self, name))
            if value.is_negative or (smallest and value.is_zero):
                raise RangeError(f"{name} = {value}", "out of range", "give a positive variance")
            object.__setattr__(self, name, value)

    def variance_map(self, q: Expr | Number = Q) -> Value:
        """Return V(q) = sigma_w^2 E s(N(0, q))^2 + sigma_b^2; q may be a positive symbol."""
        mean = self.activation.second_moment(q)
        expr = self.weight_variance * mean.expr + self.bias_variance
        return Value(expand(expr), mean.kind, mean.reason, mean.log)

    def chi_1(self, q: Expr | Number) -> Value:
        """Return sigma_w^2 E s'(N(0, q))^2, the slope of the correlation map at c = 1.

        Raises:
            NotSupportedError: if the activation jumps, so that the slope is infinite.
        """
        mean = expect(slope_of(self.activation) ** 2, 0, _law(q))
        return Value(expand(self.weight_variance * mean.expr), mean.kind, mean.reason, mean.log)

    def variance_slope(self, q: Expr | Number) -> Value:
        """Return V'(q) = sigma_w^2 E[s^2 (x^2/q - 1)]/(2 q), x ~ N(0, q)."""
        variance = _law(q)
        square = self.activation.expr**2
        mean = expect(expand(square * (z**2 - variance)), 0, variance)
        expr = self.weight_variance * mean.expr / (2 * variance**2)
        return Value(expand(expr), mean.kind, mean.reason, mean.log)

    def fixed_points(
        self, low: Number = Fraction(1, 1000), high: Number = 100, digits: int = 20
    ) -> FixedPoints:
        """Return all fixed points of V in [low, high], and q = 0 where V(0) = 0.

        Args:
            low: left end, positive.
            high: right end.
            digits: how close a slope may be to ±1 before its stability counts as undecided.

        Accuracy: proved; the statement says where nothing could be decided.
        """
        ends = [Fraction(str(exact_number(x))) for x in (low, high)]
        if not 0 < ends[0] < ends[1]:
            raise RangeError(f"range [{low}, {high}]", "not an interval", "give 0 < low < high")
        exact = self._affine(ends)
        if exact is not None:
            return exact
        found = isolate(self._curve, ends[0], ends[1])
        points = [self._point(root.number, digits) for root in found.roots]
        where = f"between {float(ends[0]):g} and {float(ends[1]):g}"
        count = f"{len(points)} fixed point{'s' * (len(points) != 1)}"
        statement = f"{count} {where}, by proof"
        if not found.complete:
            gaps = ", ".join(f"[{float(a):.6g}, {float(b):.6g}]" for a, b in found.undecided)
            statement = f"{count} {where}; undecided in {gaps}"
        return FixedPoints((*self._origin(), *points), statement, found.complete)

    @cached_property
    def _curve(self) -> Curve:
        mean = HeatMean(self.activation.expr**2, z)

        def scaled(x: arb) -> arb:
            return Evaluation(ctx.prec)(self.weight_variance) * x

        def value(q: arb) -> arb:
            bias = Evaluation(ctx.prec)(self.bias_variance)
            return scaled(mean.derivative(0, q)) + bias - q

        return Curve(
            "q*",
            value,
            lambda q: scaled(mean.derivative(1, q)) - 1,
            lambda a, b: scaled(mean.bound(2, a, b)).upper(),
        )

    def _affine(self, ends: list[Fraction]) -> FixedPoints | None:
        """Solve by hand where V is known to be affine in q."""
        value = self.variance_map()
        if value.kind is not Kind.CLOSED_FORM or not value.expr.is_polynomial(Q):
            return None
        slope, rest = diff(value.expr, Q), value.expr.subs(Q, 0)
        if slope.has(Q):
            return None
        if slope == 1:
            every = (
                "every q is a fixed point" if rest == 0 else "no fixed point: V(q) - q is constant"
            )
            return FixedPoints((), every, True)
        q = cancel(rest / (1 - slope))
        if q.is_negative:
            return FixedPoints((), "no fixed point q >= 0, by the closed form", True)
        point = FixedPoint(q, slope, bool(abs(slope) < 1))
        return FixedPoints((point,), "the only fixed point q >= 0, by the closed form", True)

    def _origin(self) -> tuple[FixedPoint, ...]:
        """Return q = 0 if it is a fixed point, with the slope sigma_w^2 s'(0)^2."""
        s = self.activation.expr
        if self.bias_variance != 0 or s.subs(z, 0) != 0:
            return ()
        slope = diff(s, z).subs(z, 0) ** 2 * self.weight_variance
        zero = exact_number(0)
        if not slope.is_number or not slope.is_finite:
            return (FixedPoint(zero, slope, None),)
        return (FixedPoint(zero, slope, _stable(slope, 20)),)

    def _point(self, q: Expr, digits: int) -> FixedPoint:
        slope = self.variance_slope(q).expr
        return FixedPoint(q, slope, _stable(slope, digits))

    def correlation_kernel(self, q: Expr | Number) -> Kernel:
        """Return the kernel K_q of the activation at both variances q."""
        return kernel(self.activation, variances=(_law(q), _law(q)))

    def correlation_map(self, c: Number | Fraction, q: Expr | Number, digits: int = 12) -> Ball:
        """Return C(c) = (sigma_w^2 K_q(c) + sigma_b^2)/q at a fixed point q of V.

        Accuracy: proved where ``Ball.rigorous``.
        """
        found = self.correlation_kernel(q).at(c, digits)
        k = CertifiedNumber("K", lambda evaluate, prec: found.arb())
        expr = (self.weight_variance * k + self.bias_variance) / _law(q)
        return _plain_ball(expr, digits)

    def depth_scales(self, point: FixedPoint) -> tuple[Expr, Expr]:
        """Return xi_q = -1/log V'(q*) and xi_c = -1/log chi_1, in layers.

        xi_c is that of the correlation 1: meaningful where chi_1 < 1. On the critical line it is
        infinite (``zoo``).
        """
        chi = self.chi_1(point.q).expr
        return -1 / log(point.slope), -1 / log(chi)

    def other_fixed_correlation(self, q: Expr | Number, digits: int = 12) -> Ball | None:
        """Return the fixed point c* in [0, 1) of C, or None if c = 1 is the only one in [0, 1].

        C has nonnegative coefficients in c, so that it is convex on [0, 1]: below the critical line
        there is no other fixed point, above it there is exactly one.

        Raises:
            NotConvergedError: if chi_1 cannot be told from 1.
        """
        chi = enclose(self.chi_1(q).expr, 15)
        if chi <= 1 and not chi > 1:
            return None
        if not chi > 1:
            raise NotConvergedError("the fixed correlation", f"chi_1 = {chi}", "move away from 1")
        low, high = Fraction(0), Fraction(1)
        for _ in range(math.ceil(digits * 3.4)):
            middle = (low + high) / 2
            gap = self.correlation_map(middle, q, digits + 3)
            if gap > middle:
                low = middle
            elif gap < middle:
                high = middle
            else:
                break
        return Ball((low + high) / 2, (high - low) / 2)


def slope_of(activation: Activation) -> Expr:
    """Return s', or refuse an activation that jumps."""
    slope = diff(activation.expr, z)
    if slope.has(DiracDelta):
        raise NotSupportedError(
            f"the slope of {activation.name}", "it jumps: E s'^2 is infinite", "smooth the jump"
        )
    return slope


@dataclass(frozen=True)
class CriticalPoint:
    """The point of the critical line with a given fixed point q*.

    Attributes:
        q: q*.
        weight_variance: sigma_w^2 = 1/E s'^2.
        bias_variance: sigma_b^2 = q - E s^2/E s'^2.
        admissible: whether sigma_b^2 >= 0 is proved (True), refuted (False), or open (None).
    """

    q: Expr
    weight_variance: Value
    bias_variance: Value
    admissible: bool | None


def critical_point(activation: Activation, q: Expr | Number) -> CriticalPoint:
    """Return the point (sigma_w^2, sigma_b^2) at which V(q) = q and chi_1 = 1.

    Args:
        activation: s.
        q: fixed point of the variance map, positive; a symbol gives the line where closed forms do.

    Example:
        >>> point = critical_point(Activation("relu"), 1)
        >>> point.weight_variance, point.bias_variance, point.admissible
        (2, 0, True)
        >>> critical_point(Activation("erf"), Q).weight_variance
        pi*sqrt(4*q + 1)/4
    """
    law = _law(q)
    gain = expect(slope_of(activation) ** 2, 0, law)
    second = activation.second_moment(law)
    weakest = max((gain, second), key=lambda v: list(Kind).index(v.kind))
    weight = Value(_short(1 / gain.expr), gain.kind, gain.reason, gain.log)
    bias_expr = _short(law - second.expr / gain.expr)
    log_ = second.log.extend(gain.log)
    bias = Value(bias_expr, weakest.kind, weakest.reason, log_)
    return CriticalPoint(law, weight, bias, _nonnegative(bias_expr))


def normalized(activation: Activation, variance: Number = 1) -> Activation:
    """Return s/sqrt(E s^2), whose second moment at this variance is one.

    Example:
        >>> normalized(Activation("relu")).expr
        sqrt(2)*Max(0, z)
    """
    second = activation.second_moment(variance)
    scaled = activation.expr / second.expr ** Fraction(1, 2)
    return Activation(scaled, parameters=activation.parameters, name=f"{activation.name}, unit")


def ratio_scales(
    activation: Activation, ratio: Number, low: Number = Fraction(1, 4), high: Number = 4
) -> Roots:
    """Return the scales c at which E[z s(c z)]^2 / E s(c z)^2 equals a ratio.

    With q = c^2 and x ~ N(0, q) the equation is (E[x s])^2 = v q E s^2; the roots are those in q,
    each with any number of digits: c = sqrt(root.number).

    Args:
        activation: s.
        ratio: v, 0 < v < 1.
        low: smallest c.
        high: largest c.

    Returns:
        Isolated roots in q in [low^2, high^2], the undecided intervals, and whether the curve was
        proved monotone.

    Accuracy: proved; see ``Roots.complete``.

    Example:
        >>> found = ratio_scales(Activation("tanh"), "9/10")
        >>> found.complete, len(found.roots), found.roots[0].ball(8).str(8)
        (True, 1, '1.6329999')
    """
    v = exact_number(ratio)
    if not (v.is_positive and (1 - v).is_positive):
        raise RangeError(f"ratio = {v}", "out of range", "give 0 < ratio < 1")
    ends = [Fraction(str(exact_number(x))) for x in (low, high)]
    if not 0 < ends[0] < ends[1]:
        raise RangeError(f"range [{low}, {high}]", "not an interval", "give 0 < low < high")
    u, w = HeatMean(z * activation.expr, z), HeatMean(activation.expr**2, z)

    def value(q: arb) -> arb:
        return u.derivative(0, q) ** 2 - _ball(v) * q * w.derivative(0, q)

    def slope(q: arb) -> arb:
        steep = 2 * u.derivative(0, q) * u.derivative(1, q)
        return steep - _ball(v) * (w.derivative(0, q) + q * w.derivative(1, q))

    def bend(a: arb, b: arb) -> arb:
        u0, u1, u2 = (u.bound(k, a, b) for k in range(3))
        w1, w2 = (w.bound(k, a, b) for k in (1, 2))
        return (2 * u1**2 + 2 * u0 * u2 + _ball(v) * (2 * w1 + b * w2)).upper()

    return isolate(Curve("q", value, slope, bend), ends[0] ** 2, ends[1] ** 2)


def _ball(x: Expr) -> arb:
    return Evaluation(ctx.prec)(x)


def _law(q: Any) -> Expr:
    value: Expr = q if isinstance(q, Expr) else exact_number(q)
    if value.is_nonpositive:
        raise RangeError(f"variance q = {q}", "not positive", "give q > 0")
    return value


def _short(expr: Expr) -> Expr:
    return cancel(expand(expr)) if expr.is_rational_function() else expr


def _stable(slope: Expr, digits: int) -> bool | None:
    try:
        size = enclose(slope, digits)
    except NotConvergedError:
        return None
    if size < 1 and size > -1:
        return True
    return False if size > 1 or size < -1 else None


def _nonnegative(expr: Expr) -> bool | None:
    if expr.free_symbols:
        return expr.is_nonnegative
    if expr.is_zero or expand(expr) == 0:
        return True
    ball = enclose(expr, 5)
    return True if ball >= 0 else False if ball < 0 else None


def _plain_ball(expr: Expr, digits: int) -> Ball:
    """Return the ball of a constant that holds numbers of limited accuracy."""
    bits = int(digits * 3.4) + 60
    with working_precision(bits):
        return Ball.from_arb(Evaluation(bits)(expr))
