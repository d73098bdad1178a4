r"""A Gaussian mean as a function of its variance: derivatives, and bounds on intervals.

Stage: beneath depth and scale questions. With q the variance and x ~ N(0, q) the density obeys the
heat equation, so that

.. math:: \frac{d^k}{dq^k} \mathbb{E} g(x) = 2^{-k}\, \mathbb{E} g^{(2k)}(x)
          = (2q)^{-k}\, \mathbb{E}[g(x) He_{2k}(x/\sqrt q)],

the first for smooth g, the second always (and where a derivative is long). For q in [a, b] the
density is at most sqrt(b/a) times that of variance b, and E He_2k^2 = (2k)!, which bounds the
derivatives on the interval.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from flint import arb, ctx
from sympy import Expr, Integer, Symbol, diff

from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.certified import CertifiedNumber
from derive.enclosing.gaussian_integral import gaussian_mean
from derive.enclosing.kinks import is_smooth
from derive.normal.factoring import is_larger

_BOUND_BITS = 24
_SMALL = 0.5
_LARGE = 80
"""Nodes of a derivative above which the weighted form is quicker."""


@dataclass(frozen=True)
class HeatMean:
    """E g(N(0, q)) as a function of q.

    Attributes:
        g: expression in ``variable``.
        variable: its argument.
    """

    g: Expr
    variable: Symbol

    def derivative(self, k: int, q: arb) -> arb:
        """Return the k-th derivative in q at a ball, k <= 2, at the current precision."""
        return _derivative(self, k, _constant(q), ctx.prec)

    def bound(self, k: int, low: arb, high: arb) -> arb:
        """Return an upper bound of the modulus of the k-th derivative on [low, high]."""
        if not low > 0:
            return arb.nan()
        b = _constant(high)
        with working_precision(_BOUND_BITS + 32):
            ratio = (high / low).sqrt()
            by_weight = self._size(self.g, b) * arb(math.factorial(2 * k)).sqrt() * ratio.sqrt()
            best = by_weight / (2 * low) ** k
            if k and high < _SMALL and is_smooth(self.g, self.variable):
                slope = self._size(_diff(self.g, self.variable, 2 * k), b) * ratio / 2**k
                best = best.min(slope) if slope.is_finite() else best
            return arb(best.upper())

    def _size(self, h: Expr, b: CertifiedNumber) -> arb:
        """Bound the root mean square of h over N(0, b)."""
        return _square(h**2, self.variable, b)

    def integrand(self, k: int, q: Expr) -> tuple[Expr, Expr]:
        """Return a function and a factor whose product has the k-th derivative as its mean."""
        x = self.variable
        if k == 0:
            return self.g, Integer(1)
        slope = _diff(self.g, x, 2 * k) if is_smooth(self.g, x) else None
        if slope is not None and not is_larger(slope, _LARGE):
            return slope, Integer(2) ** -k
        weights = [x**2 / q - 1, x**4 / q**2 - 6 * x**2 / q + 3]
        return self.g * weights[k - 1], (2 * q) ** -k


@lru_cache(maxsize=64)
def _diff(g: Expr, x: Symbol, order: int) -> Expr:
    return diff(g, x, order)


@lru_cache(maxsize=256)
def _derivative(mean: HeatMean, k: int, q: CertifiedNumber, precision: int) -> arb:
    with working_precision(precision):
        integrand, factor = mean.integrand(k, q)
        evaluation = Evaluation(precision)
        value = gaussian_mean(integrand, mean.variable, Integer(0), q, evaluation)
        return arb.nan() if evaluation.doubts else value * evaluation(factor)


@lru_cache(maxsize=256)
def _square(square: Expr, x: Symbol, b: CertifiedNumber) -> arb:
    evaluation = Evaluation(_BOUND_BITS + 32)
    mean = gaussian_mean(square, x, Integer(0), b, evaluation)
    return arb.nan() if evaluation.doubts else mean.upper().max(arb(0)).sqrt().upper()


def _constant(x: arb) -> CertifiedNumber:
    """Return a ball as a constant; its radius is what it is at every precision."""
    return CertifiedNumber("q", lambda evaluate, prec: x, positive=True, key=_bits(x))


def _bits(x: arb) -> tuple[int, ...]:
    return tuple(int(part) for end in (x.mid(), x.rad()) for part in end.man_exp())
