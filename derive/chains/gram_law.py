r"""Means over the eigenvalues of W W^T as finite sums: Gauss's rule of the Marchenko-Pastur law.

Stage: a width in, exact nodes and weights out. For W of size k x d with independent entries of
variance 1/d and gamma = k/d, the eigenvalues h of W W^T have the Jacobi matrix

.. math:: \begin{pmatrix} 1 & \sqrt\gamma \\ \sqrt\gamma & 1 + \gamma & \sqrt\gamma \\
          & \sqrt\gamma & 1 + \gamma & \ddots \end{pmatrix},

whose upper left block of size N gives the rule of N nodes: exact up to degree 2N - 1, the atom at
zero of gamma > 1 included, and exponentially good for functions that are analytic on [0, h_max].
Derivation: free Poisson law of rate 1/gamma and jump gamma; its moments are 1, 1 + gamma, ...
"""

import math
from dataclasses import dataclass
from functools import cached_property

from flint import arb, fmpq
from sympy import Expr, Rational

from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.certified import CertifiedNumber
from derive.errors import RangeError


@dataclass(frozen=True)
class GramRule:
    """The rule of ``count`` nodes at width ``gamma``, a positive rational.

    Example:
        >>> from derive.balls import enclose
        >>> rule = GramRule(Rational(1, 2), 8)
        >>> second = sum(w * h**2 for h, w in rule.pairs)
        >>> enclose(second, 12).str(10)  # 1 + gamma
        '1.500000000'
    """

    gamma: Rational
    count: int

    def __post_init__(self) -> None:
        if not (self.gamma.is_Rational and self.gamma.is_positive):
            raise RangeError(f"width {self.gamma}", "not a positive rational", "give k/d exactly")

    @cached_property
    def starts(self) -> tuple[float, ...]:
        """The nodes as doubles, by bisection on Sturm's sequence."""
        top = (1 + math.sqrt(float(self.gamma))) ** 2
        return tuple(self._bisected(j, -1e-12 * top, top * (1 + 1e-12)) for j in range(self.count))

    def _below(self, h: float) -> int:
        """Return how many nodes lie below h."""
        g, count, pivot = float(self.gamma), 0, 1.0 - h
        for k in range(self.count):
            if k:
                pivot = 1 + g - h - g / (pivot if pivot else 1e-300)
            count += pivot < 0
        return count

    def _bisected(self, j: int, low: float, high: float) -> float:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self._below(middle) > j else (middle, high)
        return (low + high) / 2

    @cached_property
    def pairs(self) -> tuple[tuple[Expr, Expr], ...]:
        """Nodes and weights as exact constants."""
        return tuple(self._pair(j) for j in range(self.count))

    def _pair(self, j: int) -> tuple[Expr, Expr]:
        found: dict[int, tuple[arb, arb]] = {}

        def at(evaluate: Evaluation) -> tuple[arb, arb]:
            if evaluate.prec not in found:
                found[evaluate.prec] = self._refined(self.starts[j], evaluate.prec)
            return found[evaluate.prec]

        key = (str(self.gamma), self.count, j)
        node = CertifiedNumber("h", lambda e, prec: at(e)[0], key=("h", *key))
        weight = CertifiedNumber("w", lambda e, prec: at(e)[1], positive=True, key=("w", *key))
        return node, weight

    def _refined(self, start: float, prec: int) -> tuple[arb, arb]:
        """Return a node by Newton's method and its weight 1/sum p_k^2.

        The recurrence widens balls by about a bit per step, so it runs with that many more.
        """
        with working_precision(prec + 2 * self.count + 30):
            return self._at_precision(start, prec)

    def _at_precision(self, start: float, prec: int) -> tuple[arb, arb]:
        h = arb(start)
        for _ in range(4 + math.ceil(math.log2(prec / 40 + 1))):
            value, slope, _ = self._polynomial(h)
            h = (h - value / slope).mid()
        value, slope, squares = self._polynomial(h)
        error = (2 * value / slope).abs_upper()
        return h + arb(0, error), 1 / squares

    def _polynomial(self, h: arb) -> tuple[arb, arb, arb]:
        """Return p_N, its derivative, and the sum of the squares of p_0, ..., p_{N-1}."""
        g = arb(fmpq(int(self.gamma.p), int(self.gamma.q)))
        root = g.sqrt()
        before, now, d_before, d_now = arb(0), arb(1), arb(0), arb(0)
        squares = arb(0)
        for k in range(self.count):
            squares += now**2
            shift = h - 1 - (g if k else 0)
            new = (shift * now - (root * before if k else 0)) / root
            d_new = (now + shift * d_now - (root * d_before if k else 0)) / root
            before, now, d_before, d_now = now, new, d_now, d_new
        return now, d_now, squares
