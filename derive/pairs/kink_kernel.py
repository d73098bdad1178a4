r"""The kernel of a piecewise polynomial: what a kink contributes to a kernel, in closed form.

Stage: under the certified kernel series. Near a kink at c a function jumps in its value or its
derivatives; subtracting :math:`\sum_j J_j (z-c)_+^j / j!` removes the first jumps, and the
remainder has fast Hermite coefficients. The kernel of what was subtracted is a sum of

.. math:: M_{ij} = \mathbb{E}[(u-h)_+^i (v-k)_+^j],

which climb from :math:`M_{00} = P(u > h, v > k)` by Stein's identity. Everything is in terms of a
standard normal variable. Sources: [stein1981], [price1958].
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from flint import acb, arb, ctx, fmpq
from sympy import Expr, Rational, S, Symbol, expand

from derive.enclosing.ball_program import BallFunction, Evaluation, compile_ball, working_precision
from derive.enclosing.kinks import Piece
from derive.pairs.bivariate_balls import conditional_ball, orthant_ball

_CIRCLE = 256
_RADII = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01)
_BOXES = 8


@dataclass(frozen=True)
class Kink:
    """The function ``sum_j weights[j] (z - place)_+^j``.

    Attributes:
        place: c, an exact constant.
        weights: exact binary fractions.
    """

    place: Expr
    weights: tuple[Fraction, ...]

    def expr(self, variable: Symbol) -> Expr:
        """Return the polynomial that holds right of the kink."""
        terms = [Rational(w.numerator, w.denominator) for w in self.weights]
        total: Expr = S.Zero
        for term in reversed(terms):
            total = total * (variable - self.place) + term
        return total


def find_kinks(
    parts: tuple[Piece, ...], variable: Symbol, degree: int, bits: int
) -> tuple[Kink, ...] | None:
    """Return the kinks that remove the jumps of a function up to a derivative.

    The weights are jumps over factorials to about ``bits`` bits; what they miss is left in the
    remainder, so that nothing rests on their being exact.

    Args:
        parts: analytic pieces from left to right.
        variable: the argument.
        degree: order of the last derivative whose jump is removed.
        bits: digits of the weights.

    Returns:
        One kink for each end of a piece; None if a piece is not analytic there.
    """
    found = []
    with working_precision(bits + 10 * degree + 64):
        evaluation = Evaluation(bits + 10 * degree + 64)
        for left, right in pairwise(parts):
            place = S.Zero if left.high is None else left.high
            below, above = (
                _taylor(p.expr, variable, place, degree, evaluation) for p in (left, right)
            )
            if below is None or above is None:
                return None
            jumps = [b - a for a, b in zip(below, above, strict=True)]
            found.append(Kink(place, tuple(_rounded(x, bits) for x in jumps)))
    return tuple(found)


def _rounded(x: arb, bits: int) -> Fraction:
    mantissa, exponent = x.mid().man_exp()
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return Fraction(round(exact * 2**bits), 2**bits)


def _taylor(
    expr: Expr, variable: Symbol, place: Expr, degree: int, evaluation: Evaluation
) -> list[arb] | None:
    """Return Taylor coefficients by sums over a circle on which the function is analytic."""
    f = compile_ball(expr, variable, evaluation)
    centre = evaluation(place)
    radius = next((r for r in _RADII if _is_analytic(f, centre, r)), None)
    if radius is None:
        return None
    angles = [2 * arb.pi() * k / _CIRCLE for k in range(_CIRCLE)]
    points = [acb(a.cos(), a.sin()) for a in angles]
    values = [f(acb(centre.mid()) + arb(radius) * p, False) for p in points]
    return [
        sum(
            ((values[k] * points[(-j * k) % _CIRCLE]).real for k in range(_CIRCLE)),
            start=arb(0),
        )
        / (_CIRCLE * arb(radius) ** j)
        for j in range(degree + 1)
    ]


def _is_analytic(f: BallFunction, centre: arb, radius: float) -> bool:
    """Return whether f is holomorphic on a square that holds the circle of 4/3 this radius."""
    side = radius * 4 / 3
    step = 2 * side / _BOXES
    middles = [-side + step * (i + 0.5) for i in range(_BOXES)]
    boxes = (
        acb(centre + x + arb(0, step / 2), arb(y) + arb(0, step / 2))
        for x in middles
        for y in middles
    )
    return all(f(box, True).is_finite() for box in boxes)


def kink_kernel(left: tuple[Kink, ...], right: tuple[Kink, ...], rho: arb) -> arb:
    """Return E[p(u) q(v)] of two sums of kinks at a correlation ball.

    Accuracy: proved, at the current precision of balls; it loses digits near |rho| = 1 and where
    the degrees are high, so callers raise the precision until the radius is small.
    """
    evaluation = Evaluation(ctx.prec)
    total = arb(0)
    for a in left:
        for b in right:
            degrees = (len(a.weights), len(b.weights))
            places = (evaluation(a.place), evaluation(b.place))
            moments = _Moments(*places, rho, _aligned(a.place, b.place, rho)).table(*degrees)
            for i, v in enumerate(a.weights):
                for j, w in enumerate(b.weights):
                    if v and w:
                        total += _arb(v * w) * moments[i][j]
    return total


def _aligned(h: Expr, k: Expr, rho: arb) -> bool:
    """Return whether rho = ±1 exactly and k = rho h exactly."""
    return bool((rho == 1 and expand(h - k) == 0) or (rho == -1 and expand(h + k) == 0))


@dataclass(frozen=True)
class _Moments:
    """M_ij = E[(u-h)_+^i (v-k)_+^j] at correlation rho; ``aligned`` means u = h gives v = k."""

    h: arb
    k: arb
    rho: arb
    aligned: bool

    def table(self, rows: int, columns: int) -> list[list[arb]]:
        h, k, rho = self.h, self.k, self.rho
        above_h, above_k = _density(h), _density(k)
        given_h = [above_h * x for x in self._conditional(k, h, columns)]
        given_k = [above_k * x for x in self._conditional(h, k, rows)]
        table = [[arb(0)] * columns for _ in range(rows)]
        first = [orthant_ball(-h, -k, rho)]
        for j in range(columns - 1):
            below = given_k[0] if j == 0 else j * first[j - 1]
            first.append(below + rho * given_h[j] - k * first[j])
        table[0] = first
        for i in range(rows - 1):
            for j in range(columns):
                below = given_h[j] if i == 0 else i * table[i - 1][j]
                across = given_k[i] if j == 0 else j * table[i][j - 1]
                table[i + 1][j] = below + rho * across - h * table[i][j]
        return table

    def _conditional(self, k: arb, h: arb, count: int) -> list[arb]:
        """Return E[(v-k)_+^j given u = h] for j < count; a step counts half at its jump."""
        if self.aligned:
            return [arb(0.5), *([arb(0)] * (count - 1))]
        mean = self.rho * h - k
        square = ((1 - self.rho) * (1 + self.rho)).nonnegative_part()
        if not square > 0:
            low = mean.max(arb(0))
            high = low + square.sqrt()
            step = arb(1) if mean > 0 else arb(0) if mean < 0 else arb(0.5, 0.5)
            found = [step if square.is_zero() else arb(0.5, 0.5), low.union(high)]
        else:
            sd = square.sqrt()
            found = [1 - conditional_ball(k, h, self.rho)]
            found.append(mean * found[0] + sd * _density(mean / sd))
        for j in range(1, count - 1):
            found.append(mean * found[j] + j * square * found[j - 1])
        return found[:count]


def _density(x: arb) -> arb:
    return (-x * x / 2).exp() / (2 * arb.pi()).sqrt()


def _arb(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))
