r"""Gaussian constants of many units at once, each with a mean and a variance of its own.

Stage: an activation and the law N(mean_i, std_i^2) of each unit's argument in; per unit the mean,
the Hermite coefficients and the second moment of its output, with an error estimate. With
s_i(xi) = s(mean_i + std_i xi) and xi a unit normal,

.. math:: c_{i,j} = E[s_i(\xi) He_j(\xi)], \qquad
          E[s_i s_l] = \sum_j c_{i,j} c_{l,j} \rho_{il}^j / j!,

so c_0 is the mean kappa_0 and c_1 = std kappa_1. ``pair_means`` gives E[s(u) t(v)] of paired units
at any correlation by nested quadrature: the series above is slow at correlations near one.

Method: Gauss-Legendre rules on panels of xi in [-12, 12], cut where the activation has kinks; the
panels are halved until two rules agree.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from derive.activation import Activation
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.kinks import pieces
from derive.errors import NotConvergedError
from derive.symbols import z
from numeric.experiments.elementwise import apply

Array = NDArray[np.float64]
_REACH = 12.0  # the normal density is 2e-32 there; outputs may grow up to exp(z^2/8)
_PANELS = 24
_HALVINGS = 6
_ACCURACY = 1e-13
_PAIR_ACCURACY = 1e-10
_BLOCK = 2**20  # entries of one temporary
_ROOT_TWO_PI = float(np.sqrt(2 * np.pi))
_NODES, _WEIGHTS = leggauss(12)


@dataclass(frozen=True)
class UnitConstants:
    """Constants of units; ``coefficients`` has shape (order + 1, units), row 0 is the mean.

    Attributes:
        coefficients: c_j of each unit.
        second: E s^2 of each unit, shape (units,).
        std: standard deviation of each unit's argument, shape (units,).
        error: largest difference of two quadrature rules over all numbers, relative to
            sqrt(E s^2) for coefficients and to E s^2 for it.
    """

    coefficients: Array
    second: Array
    std: Array
    error: float

    @property
    def mean(self) -> Array:
        """kappa_0 of each unit.

        Accuracy: see ``error``.
        """
        return self.coefficients[0]

    @property
    def variance(self) -> Array:
        """Variance of each unit's output, shape (units,).

        Accuracy: see ``error``; never negative.
        """
        return np.maximum(self.second - self.mean**2, 0.0)

    @property
    def slope(self) -> Array:
        """kappa_1 of each unit (zero where the argument does not vary).

        Accuracy: see ``error``.
        """
        return np.divide(
            self.coefficients[1], self.std, out=np.zeros_like(self.std), where=self.std > 0
        )


def unit_constants(
    activation: Activation, mean: Array, std: Array, order: int = 1
) -> UnitConstants:
    """Return the constants of units with arguments N(mean_i, std_i^2).

    Args:
        activation: the activation, without parameters.
        mean: means of the arguments, shape (units,).
        std: their standard deviations, shape (units,), >= 0.
        order: highest Hermite coefficient, >= 1.

    Raises:
        NotConvergedError: if two rules still differ by more than 1e-9 after six halvings, or a
            value is not finite.

    Accuracy: ``UnitConstants.error``, about 1e-14 for smooth and kinked activations alike.

    Example:
        >>> relu = unit_constants(Activation("Max(z, 0)"), np.zeros(1), np.ones(1))
        >>> relu.slope.round(12), relu.second.round(12)
        (array([0.5]), array([0.5]))
    """
    kinks = kink_places(activation)
    count = order + 2
    out, error = np.empty((count, mean.size)), np.zeros(mean.size)
    todo = np.arange(mean.size)
    panels, before = _PANELS, _moments(activation, mean, std, kinks, (_PANELS, order))
    for _ in range(_HALVINGS):
        panels *= 2
        after = _moments(activation, mean[todo], std[todo], kinks, (panels, order))
        scale = np.sqrt(np.maximum(after[-1], 1e-300))
        gap = np.max(np.abs(after - before)[:-1] / scale, axis=0)
        error[todo] = np.maximum(gap, np.abs(after - before)[-1] / scale**2)
        out[:, todo] = after
        rough = error[todo] > _ACCURACY
        todo, before = todo[rough], after[:, rough]
        if not todo.size:
            break
    worst = float(error.max(initial=0.0))
    if not worst < 1e-9:
        raise NotConvergedError(
            f"constants of {activation.name} at variances up to {float(std.max()) ** 2:.3g}",
            f"two quadrature rules differ by {worst:.1e}",
            "rescale the activation, or write its kinks as Max, Min, Abs, sign or Piecewise",
        )
    return UnitConstants(out[:-1], out[-1], np.asarray(std, dtype=float), worst)


@lru_cache(maxsize=64)
def kink_places(activation: Activation) -> tuple[float, ...]:
    """Return where the activation has kinks or jumps, as far as they can be located."""
    with working_precision(128):
        parts = pieces(activation.expr, z, Evaluation(128))
    return tuple(sorted({float(part.high) for part in parts if part.high is not None}))


def _moments(
    activation: Activation, mean: Array, std: Array, kinks: tuple[float, ...], rule: tuple[int, int]
) -> Array:
    """Return c_0, ..., c_order and the second moment, shape (order + 2, units)."""
    panels, order = rule
    out = np.empty((order + 2, mean.size))
    width = (panels + len(kinks)) * _NODES.size
    step = max(1, _BLOCK // width)
    for start in range(0, mean.size, step):
        here = slice(start, start + step)
        xi, weight = normal_rule(breaks(kinks, mean[here], std[here]), panels)
        values = apply(activation.expr, mean[here, None] + std[here, None] * xi)
        for j, polynomial in enumerate(hermite(xi, order)):
            out[j, here] = np.sum(weight * values * polynomial, axis=1)
        out[-1, here] = np.sum(weight * values * values, axis=1)
    return out


def breaks(kinks: tuple[float, ...], mean: Array, std: Array) -> Array:
    """Return the places of kinks in xi, shape (units, kinks); outside the range where std = 0.

    Accuracy: rounding only.
    """
    gaps = np.array(kinks)[None, :] - mean[:, None]
    spread = np.where(std > 0, std, 1.0)[:, None]
    return np.where(std[:, None] > 0, gaps / spread, _REACH)


def normal_rule(cuts: Array, panels: int) -> tuple[Array, Array]:
    """Return nodes and weights for means over a unit normal, cut at given places per row.

    Args:
        cuts: shape (rows, cuts).
        panels: number of equal panels of [-12, 12].

    Returns:
        Nodes and weights, shape (rows, 12 (panels + cuts)).
    """
    if not cuts.shape[1] and cuts.shape[0] > 1:  # the same rule for every row
        one, shape = normal_rule(cuts[:1], panels), (cuts.shape[0], panels * _NODES.size)
        return np.broadcast_to(one[0], shape), np.broadcast_to(one[1], shape)
    edges = np.broadcast_to(np.linspace(-_REACH, _REACH, panels + 1), (cuts.shape[0], panels + 1))
    if cuts.shape[1]:
        edges = np.sort(np.hstack([edges, np.clip(cuts, -_REACH, _REACH)]), axis=1)
    half = np.diff(edges, axis=1)[..., None] / 2
    middle = (edges[:, 1:] + edges[:, :-1])[..., None] / 2
    xi = (middle + half * _NODES).reshape(cuts.shape[0], -1)
    weight = (half * _WEIGHTS).reshape(cuts.shape[0], -1)
    return xi, weight * np.exp(-(xi**2) / 2) / _ROOT_TWO_PI


def hermite(xi: Array, order: int) -> list[Array]:
    """Return He_0, ..., He_order at points."""
    found = [np.ones_like(xi), xi]
    for j in range(1, order):
        found.append(xi * found[-1] - j * found[-2])
    return found[: order + 1]


@dataclass(frozen=True)
class Side:
    """One side of pairs: its activation and the law of each unit's argument, shapes (units,)."""

    activation: Activation
    mean: Array
    std: Array

    def values(self, index: slice, xi: Array) -> Array:
        """Return outputs at xi of shape (rows, ...), for the units of a slice.

        Accuracy: that of the activation's arithmetic.
        """
        shape = (-1, *(1,) * (xi.ndim - 1))
        argument = self.mean[index].reshape(shape) + self.std[index].reshape(shape) * xi
        return apply(self.activation.expr, argument)


def pair_means(one: Side, other: Side, correlation: Array) -> tuple[Array, float]:
    """Return E[s(u_i) t(v_i)] of paired units, and an error estimate.

    Args:
        one: first side.
        other: second side, as many units.
        correlation: of u_i and v_i, shape (units,), |.| <= 1 (rounding beyond is cut).

    Raises:
        NotConvergedError: if two rules still differ by more than 1e-6 at 54 panels.

    Accuracy: the second result, the largest difference of two rules, at least 1e-12.

    Example:
        >>> side = Side(Activation("Max(z, 0)"), np.zeros(2), np.ones(2))
        >>> pair_means(side, side, np.array([0.0, 1.0]))[0].round(10)
        array([0.15915494, 0.5       ])
    """
    rho = np.clip(correlation, -1.0, 1.0)
    before, gap = _nested(one, other, rho, 10), np.inf
    for panels in (16, 24, 36, 54):
        after = _nested(one, other, rho, panels)
        gap, before = float(np.max(np.abs(after - before), initial=0.0)), after
        if gap < _PAIR_ACCURACY:
            break
    if not gap < 1e-6:
        raise NotConvergedError(
            f"means of pairs {one.activation.name}, {other.activation.name}",
            f"two quadrature rules differ by {gap:.1e}",
            "rescale the activations; their arguments vary too much",
        )
    return before, max(gap, 1e-12)


def _nested(one: Side, other: Side, rho: Array, panels: int) -> Array:
    inner_kinks = kink_places(other.activation)
    out = np.empty(rho.size)
    left = np.sqrt(np.maximum(1 - rho**2, 0.0))
    nodes = ((panels + 8 + 4 * len(inner_kinks)) * _NODES.size) ** 2
    step = max(1, 4 * _BLOCK // nodes)
    for start in range(0, rho.size, step):
        here = slice(start, start + step)
        outer = _outer_breaks(one, other, (rho[here], left[here]), here)
        xi, weight = normal_rule(outer, panels)
        mean = other.mean[here, None] + other.std[here, None] * rho[here, None] * xi
        std = np.broadcast_to((other.std[here] * left[here])[:, None], xi.shape)
        flat_mean, flat_std = mean.reshape(-1), np.ascontiguousarray(std).reshape(-1)
        eta, inner = normal_rule(breaks(inner_kinks, flat_mean, flat_std), panels)
        values = apply(other.activation.expr, flat_mean[:, None] + flat_std[:, None] * eta)
        conditional = np.sum(inner * values, axis=1).reshape(xi.shape)
        out[here] = np.sum(weight * one.values(here, xi) * conditional, axis=1)
    return out


def _outer_breaks(one: Side, other: Side, law: tuple[Array, Array], here: slice) -> Array:
    """Cut where the first side has kinks, and around where the second has nearly one."""
    rho, left = law
    cuts = [breaks(kink_places(one.activation), one.mean[here], one.std[here])]
    slope = np.where(np.abs(rho) > 0.3, rho, np.inf)
    places = breaks(kink_places(other.activation), other.mean[here], other.std[here])
    near = places / slope[:, None]
    for width in (-6.0, -1.5, 0.0, 1.5, 6.0):
        cuts.append(near + width * (left / np.abs(slope))[:, None])
    return np.hstack(cuts)
