r"""Kernels by graded quadrature in two variables: what is left where no series converges in time.

Stage: beneath compiled kernels; two functions and their normal laws come in, kernel values in
doubles go out. With u ~ N(m1, a) and v given u normal of mean m(u) and variance b (1 - rho^2),

.. math:: K(\rho) = \int f(u)\, H(u)\, p(u)\, du, \qquad H(u) = \mathbb{E}[g(v) \mid u].

Both integrals are sums of Gauss-Legendre panels. The inner ones shrink by factors of two towards
every kink of g and towards 0, where activations bend on the scale of one unit however wide the law;
the outer ones also towards the points whose conditional mean is such a place, down to the width of
the conditional law. So the cost grows with the logarithm of the variance and of 1 - rho only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from sympy import Expr, Piecewise, log

from derive.enclosing.ball_operations import softplus_argument
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.kinks import pieces
from derive.kernels import Kernel
from derive.normal.parity import parity
from derive.symbols import z
from numeric.experiments.elementwise import apply

Array = NDArray[np.float64]
_NODES = 14
_MORE = 18
_REACH = 9
_SCALE = 0.5
_SHALLOWEST = 1e-9
_SAMPLE = (1.0, 1 - 1e-9, 0.999, 0.7, 0.1, -0.4, -0.97, -1.0)


@dataclass(frozen=True)
class _Side:
    """One function with its law.

    Attributes:
        function: of arrays.
        centres: its kinks, and 0.
        smooth: whether it has no kinks.
        mean: of the normal law.
        sd: its standard deviation.
    """

    function: Callable[[Array], Array]
    centres: Array
    smooth: bool
    mean: float
    sd: float


class PairQuadrature:
    """E[s(u) t(v)] of a ``Kernel`` as a function of the correlation, by quadrature.

    Attributes:
        scale: sqrt(E s^2 E t^2).
        parity: "odd" or "even" in rho where proved.
        error: estimate of the absolute error: differences to rules with more nodes, and rounding.

    Raises:
        NotConvergedError: if a function is not finite on the range of its law.

    Accuracy: an estimate; the rules resolve functions that are analytic between their kinks and
        bend on the scale of one unit around 0 or around a kink, or that are as smooth as the law.

    Example:
        >>> from sympy import erf
        >>> from derive.kernels import kernel
        >>> found = PairQuadrature(kernel(erf(z), variances=(10**6, 10**6)))
        >>> exact = 2 / math.pi * math.asin(10**6 / (2 * 10**6 + 1))
        >>> abs(found(Fraction(1, 2)) - exact) < 4e-15, found.error < 1e-14
        (True, True)
    """

    def __init__(self, kernel: Kernel) -> None:
        pairs = zip((kernel.s, kernel.t), kernel.means, kernel.variances, strict=True)
        self.left, self.right = (_side(f.xreplace({kernel.variable: z}), m, v) for f, m, v in pairs)
        centred = kernel.means[1] == 0
        self.parity = parity(kernel.t, kernel.variable) if centred else None
        self._known: dict[Fraction, float] = {}
        squares = [_square(side) for side in (self.left, self.right)]
        self.scale = math.sqrt(squares[0] * squares[1])
        gaps = [
            abs(self._value(Fraction(rho), _NODES) - self._value(Fraction(rho), _MORE))
            for rho in _SAMPLE
        ]
        self.error = 4 * max(gaps) + 2.0**-50 * self.scale

    def __call__(self, rho: Fraction) -> float:
        """Return the kernel at a correlation.

        Accuracy: ``error``.
        """
        sign = 1
        if rho < 0 and self.parity is not None:
            sign, rho = (-1 if self.parity == "odd" else 1), -rho
        if rho == 0 and self.parity == "odd":
            return 0.0
        if rho not in self._known:
            self._known[rho] = self._value(rho, _NODES)
        return sign * self._known[rho]

    def _value(self, rho: Fraction, nodes: int) -> float:
        left, right, r = self.left, self.right, float(rho)
        spread = right.sd * math.sqrt(float(1 - rho * rho))
        ratio = r * right.sd / left.sd
        cuts = [_around(left.centres, _SCALE, left.sd)]
        if abs(ratio) * left.sd > _SHALLOWEST * right.sd:
            images = left.mean + (right.centres - right.mean) / ratio
            finest = _SCALE if right.smooth else min(_SCALE, spread / 2)
            cuts.append(_around(images, max(finest / abs(ratio), _SHALLOWEST * left.sd), left.sd))
        u, weights = _panels(np.concatenate(cuts)[None, :], left.mean, left.sd, nodes)
        u, weights = u[0], weights[0]
        middle = right.mean + ratio * (u - left.mean)
        if spread == 0:
            return float((weights * left.function(u) * right.function(middle)).sum())
        inner = _around(right.centres, _SCALE, spread)
        v, inside = _panels((inner[None, :] - middle[:, None]) / spread, np.zeros(1), 1.0, nodes)
        values = right.function(middle[:, None] + spread * v)
        return float((weights * left.function(u) * (inside * values).sum(axis=1)).sum())


def _side(expr: Expr, mean: Expr, variance: Expr) -> _Side:
    with working_precision(64):
        evaluation = Evaluation(64)
        parts = pieces(expr, z, evaluation)
        kinks = [float(evaluation(p.high)) for p in parts if p.high is not None]
    safe = _safe(expr)
    return _Side(
        lambda x: apply(safe, x),
        np.array(sorted({0.0, *kinks})),
        not kinks,
        float(mean),
        math.sqrt(float(variance)),
    )


def _safe(expr: Expr) -> Expr:
    """Write log(1 + exp u) without overflow."""
    found = {}
    for node in expr.atoms(log):
        u: Any = softplus_argument(node.args[0])
        if u is not None:
            found[node] = Piecewise((u, u > 40), (node, True))
    return expr.xreplace(found)


def _square(side: _Side) -> float:
    cuts = _around(side.centres, _SCALE, side.sd)
    x, weights = _panels(cuts[None, :], side.mean, side.sd, _MORE)
    return float((weights * side.function(x) ** 2).sum())


def _around(centres: Array, finest: float, sd: float) -> Array:
    """Return the centres, and cuts around them at distances that double up to a law's reach."""
    levels = max(1, math.ceil(math.log2(2 * _REACH * sd / finest)))
    steps = finest * 2.0 ** np.arange(levels + 1)
    return np.concatenate([centres, *(c + s * steps for c in centres for s in (-1, 1))])


def _panels(cuts: Array, mean: float | Array, sd: float, nodes: int) -> tuple[Array, Array]:
    """Return nodes and weights of normal laws, one row of cuts each; shape (rows, nodes)."""
    steps = np.arange(-_REACH, _REACH + 1.0)
    inside = np.clip((cuts - mean) / sd, -_REACH, _REACH)
    edges = np.sort(
        np.concatenate([inside, np.broadcast_to(steps, (len(inside), steps.size))], axis=1), axis=1
    )
    half = np.diff(edges, axis=1)[:, :, None] / 2
    middle = (edges[:, 1:] + edges[:, :-1])[:, :, None] / 2
    points, weights = _legendre(nodes)
    y = (middle + half * points).reshape(len(cuts), -1)
    density = np.exp(-y * y / 2) / math.sqrt(2 * math.pi)
    return mean + sd * y, (half * weights).reshape(len(cuts), -1) * density


@lru_cache(maxsize=2)
def _legendre(nodes: int) -> tuple[Array, Array]:
    points, weights = legendre.leggauss(nodes)
    return points, weights
