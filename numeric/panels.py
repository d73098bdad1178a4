"""Adaptive quadrature on an interval with algebraic ends, and the running integral.

Stage: below ``spectrum``. A band [a, b] is mapped to s in [0, 1] by x = a + (b - a) phi(s) with
phi' proportional to s^(p-1) (1-s)^(q-1), so that ends of the type (x - a)^(1/p) become smooth; then
panels are halved until the Legendre coefficients of the integrand have decayed on each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from derive.errors import NotConvergedError

Array = NDArray[np.float64]
_NODES = 20
_POINTS, _WEIGHTS = legendre.leggauss(_NODES)
_TO_COEFFICIENTS = legendre.legvander(_POINTS, _NODES - 1).T * _WEIGHTS
_TO_COEFFICIENTS = _TO_COEFFICIENTS * (np.arange(_NODES) + 0.5)[:, None]


@dataclass(frozen=True)
class Ends:
    """The map of [0, 1] onto a band with ends of orders p and q."""

    low: float
    high: float
    p: int
    q: int
    poly: Array = field(init=False, repr=False)
    mirrored: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "poly", _ramp(self.p, self.q))
        object.__setattr__(self, "mirrored", _ramp(self.q, self.p))

    def x(self, s: Array) -> Array:
        """Return the point of the band at s, accurate relative to the nearer end.

        Accuracy: rounding, relative to the distance from the nearer end.
        """
        from_low, from_high = self.offsets(s)
        return np.where(s < 0.5, self.low + from_low, self.high - from_high)

    def offsets(self, s: Array) -> tuple[Array, Array]:
        """Return the distances from the lower and from the upper end, each to full accuracy."""
        width = self.high - self.low
        from_low = width * np.polynomial.polynomial.polyval(s, self.poly)
        from_high = width * np.polynomial.polynomial.polyval(1 - s, self.mirrored)
        return np.asarray(from_low, np.float64), np.asarray(from_high, np.float64)

    def slope(self, s: Array) -> Array:
        """Return dx/ds.

        Accuracy: rounding of one product of powers.
        """
        scale = self.p * self.poly[self.p]
        return (self.high - self.low) * scale * s ** (self.p - 1) * (1 - s) ** (self.q - 1)

    def s(self, x: Array) -> Array:
        """Return s at points x of the band (clipped to it), by bisection.

        Accuracy: 2**-58 in s, and the rounding of ``x``.
        """
        low, high = np.zeros_like(x), np.ones_like(x)
        for _ in range(58):
            mid = (low + high) / 2
            below = self.x(mid) < x
            low, high = np.where(below, mid, low), np.where(below, high, mid)
        return (low + high) / 2


def _ramp(p: int, q: int) -> Array:
    """Return the coefficients of the normalised integral of s^(p-1) (1-s)^(q-1)."""
    out = np.zeros(p + q)
    for k in range(q):
        out[p + k] = math.comb(q - 1, k) * (-1.0) ** k / (p + k)
    return out / out.sum()


@dataclass(frozen=True)
class Panels:
    """A function of s on panels, as Legendre series.

    Attributes:
        ends: the map to x.
        cuts: panel ends in s, increasing, from 0 to 1; shape (k + 1,).
        coefficients: Legendre coefficients per panel; shape (k, nodes).
        nodes: x at the nodes; shape (k, nodes). weights: integral weights times the function.
        tail: estimate of the integral's error.
    """

    ends: Ends
    cuts: Array
    coefficients: Array
    nodes: Array
    weights: Array
    tail: float

    @property
    def total(self) -> float:
        """The integral over the band.

        Accuracy: that of the quadrature weights, summed without rounding.
        """
        return math.fsum(self.weights.ravel())

    def mean(self, function: Callable[[Array], Array]) -> float:
        """Return the integral of the function times ``function(x)``.

        Accuracy: that of the quadrature, for functions smooth on each panel.
        """
        return math.fsum((function(self.nodes) * self.weights).ravel())

    def running(self, x: Array) -> Array:
        """Return the integral from the lower end to each x.

        Accuracy: that of the quadrature.
        """
        s = self.ends.s(np.clip(x, self.ends.low, self.ends.high))
        panel = np.clip(np.searchsorted(self.cuts, s, side="right") - 1, 0, len(self.cuts) - 2)
        low, high = self.cuts[panel], self.cuts[panel + 1]
        before = np.concatenate([[0.0], np.cumsum(self.weights.sum(axis=1))])[panel]
        antiderivative = legendre.legint(self.coefficients.T, lbnd=-1)
        place = 2 * (s - low) / (high - low) - 1
        inside = legendre.legval(place, antiderivative[:, panel], tensor=False)
        running: Array = before + inside * (high - low) / 2
        return np.where(x >= self.ends.high, self.total, np.where(x <= self.ends.low, 0, running))


Integrand = Callable[[Array, Array, Array], Array]


def adaptive(function: Integrand, ends: Ends, rtol: float = 1e-13, most: int = 60) -> Panels:
    """Resolve ``function(x, x - low, high - x) dx`` on a band; the distances are not rounded.

    Raises:
        NotConvergedError: if panels are not resolved after ``most`` halvings.

    Accuracy: panels are halved until their last Legendre coefficients are below rtol times the
    largest panel integral; ``tail`` sums what is left.
    """
    low, high = np.linspace(0, 1, 9)[:-1], np.linspace(0, 1, 9)[1:]
    done: list[tuple[Array, ...]] = []
    scale, tail = 0.0, 0.0
    for _ in range(most):
        half = (high - low)[:, None] / 2
        s = (low + high)[:, None] / 2 + half * _POINTS
        x = ends.x(s)
        from_low, from_high = ends.offsets(s)
        density = function(x.ravel(), from_low.ravel(), from_high.ravel())
        values = density.reshape(x.shape) * ends.slope(s)
        coefficients = values @ _TO_COEFFICIENTS.T
        rest = np.abs(coefficients[:, -4:]).max(axis=1) * half[:, 0]
        scale = max(scale, float(np.abs(values * _WEIGHTS * half).sum(axis=1).max()))
        good = rest <= rtol * scale
        tail += float(rest[good].sum())
        kept = (low, high, coefficients, x, values * _WEIGHTS * half)
        done.append(tuple(part[good] for part in kept))
        low, high = low[~good], high[~good]
        if not low.size:
            return _gathered(ends, done, tail)
        low, high = np.sort([*low, *((low + high) / 2)]), np.sort([*((low + high) / 2), *high])
    raise NotConvergedError(
        f"integral over [{ends.low}, {ends.high}]",
        f"not resolved after {most} halvings, near x = {float(ends.x(low[:1])[0]):.6g}",
        "check the density there",
    )


def _gathered(ends: Ends, done: list[tuple[Array, ...]], tail: float) -> Panels:
    low, high, coefficients, nodes, weights = (
        np.concatenate(parts) for parts in zip(*done, strict=True)
    )
    order = np.argsort(low)
    cuts = np.append(low[order], high[order][-1])
    return Panels(ends, cuts, coefficients[order], nodes[order], weights[order], tail)
