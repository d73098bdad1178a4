r"""Convex readouts of finite size: min_theta sum_i l(y_i, a_i . theta) + (lam/2) |theta|^2.

Stage: what the experiments train with. Losses that are smooth on the whole line are minimised by
Newton's method with backtracking; losses with kinks by alternating directions with the proximal
map. Both end with a certificate: for a_i in the subdifferential of l at z_i the point
theta = -A^T a/lam has the duality gap

.. math:: \sum_i \ell(y_i, (A\theta)_i) - \ell(y_i, z_i) - a_i ((A\theta)_i - z_i) \ge 0,

and |theta - theta_min|^2 <= 2 gap/lam, because the objective is strongly convex.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sympy import Expr, diff

from derive.errors import NotConvergedError
from derive.losses import Loss
from derive.readouts.convexity import smooth_pieces
from derive.symbols import z
from numeric.experiments.elementwise import apply
from numeric.proximal_map import proximal_map

Array = NDArray[np.float64]
_STEPS = 200
_ROUNDS = 20000
_CHECK_EVERY = 25
_BALANCE = 5.0


@dataclass(frozen=True)
class Fit:
    """A trained readout.

    Attributes:
        theta: the minimiser, shape (p,).
        gap: duality gap of theta, >= 0 up to rounding.
        rounds: iterations.
    """

    theta: Array
    gap: float
    rounds: int


def fit(loss: Loss, A: Array, y: Array, lam: float, *, tol: float = 1e-9) -> Fit:
    """Train a readout.

    Args:
        loss: the loss.
        A: features over sqrt(p), one sample a row, shape (n, p).
        y: labels, shape (n,).
        lam: ridge > 0.
        tol: duality gap per sample to reach, relative to the loss per sample at theta = 0.

    Raises:
        RangeError: labels outside the range of the loss.
        NotConvergedError: if the gap is not reached.

    Accuracy: |theta - minimiser|^2 <= 2 gap/lam.

    Example:
        >>> A, y = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([1.0, -1.0])
        >>> fit(Loss("ridge"), A, y, 1.0).theta.round(6).tolist()
        [0.5, -0.4]
    """
    loss.check_labels(y)
    parts = _Parts(loss, y)
    goal = tol * float(np.sum(parts.value(np.zeros(len(y)))))
    smooth = all(len(smooth_pieces(h, z)) == 1 for h, _ in parts.forms)
    return _newton(parts, A, lam, goal) if smooth else _alternate(parts, A, lam, goal)


class _Parts:
    """The loss and its derivatives at given labels, evaluated by walking the expression."""

    def __init__(self, loss: Loss, y: Array) -> None:
        self.loss, self.y = loss, y
        self.residual = loss.form == "residual"
        labels = [0] if self.residual else [-1, 1]
        everyone = np.ones(len(y), dtype=bool)
        self.forms: list[tuple[Expr, NDArray[np.bool_]]] = [
            (loss.at(label), everyone if self.residual else y == label) for label in labels
        ]

    def value(self, prediction: Array) -> Array:
        """Return the losses."""
        return self._each(prediction, lambda h: h)

    def slopes(self, prediction: Array) -> tuple[Array, Array]:
        """Return first and second derivatives of a smooth loss."""
        return (
            self._each(prediction, lambda h: diff(h, z)),
            self._each(prediction, lambda h: diff(h, z, 2)),
        )

    def _each(self, prediction: Array, change: Callable[[Expr], Expr]) -> Array:
        out = np.empty_like(prediction)
        shifted = prediction - self.y if self.residual else prediction
        for h, where in self.forms:
            out[where] = apply(change(h), shifted[where])
        return out

    def prox(self, omega: Array, V: float) -> Array:
        """Return the proximal map at each label."""
        if self.residual:
            return proximal_map(self.loss, omega - self.y, V, 0) + self.y
        out = np.empty_like(omega)
        for label in (-1, 1):
            where = self.y == label
            out[where] = proximal_map(self.loss, omega[where], V, label)
        return out


def duality_gap(parts: _Parts, A: Array, lam: float, a: Array, place: Array) -> tuple[Array, float]:
    """Return theta = -A^T a/lam and its duality gap, for a in the subdifferential at ``place``.

    Accuracy: rounding of the sum of the losses.
    """
    theta = -(A.T @ a) / lam
    prediction = A @ theta
    terms = parts.value(prediction) - parts.value(place) - a * (prediction - place)
    return theta, float(np.sum(terms))


def _newton(parts: _Parts, A: Array, lam: float, goal: float) -> Fit:
    theta = np.zeros(A.shape[1])
    prediction = A @ theta
    objective = float(np.sum(parts.value(prediction)))
    for rounds in range(1, _STEPS):
        slope, bend = parts.slopes(prediction)
        exact, gap = duality_gap(parts, A, lam, slope, prediction)
        if gap <= goal:
            return Fit(exact, gap, rounds)
        hessian = (A.T * bend) @ A
        hessian.flat[:: len(theta) + 1] += lam
        gradient = A.T @ slope + lam * theta
        move = -np.linalg.solve(hessian, gradient)
        length = 1.0
        while length > 1e-8:
            trial = theta + length * move
            value = float(np.sum(parts.value(A @ trial))) + 0.5 * lam * float(trial @ trial)
            if value <= objective + 1e-4 * length * float(gradient @ move) or length < 1e-7:
                break
            length /= 2
        theta, objective, prediction = trial, value, A @ trial
    raise _not_reached(gap, goal, "Newton steps")


def _alternate(parts: _Parts, A: Array, lam: float, goal: float) -> Fit:
    """Alternate between a ridge problem in theta and the proximal map of the predictions."""
    s, Q = eigh(A.T @ A, check_finite=False)
    weight = lam / max(float(np.mean(s)), 1e-12) + 1.0
    place = np.zeros(len(parts.y))
    u = np.zeros(len(parts.y))
    gap = np.inf
    for rounds in range(1, _ROUNDS):
        theta = Q @ ((Q.T @ (A.T @ (place - u))) / (s + lam / weight))
        prediction = A @ theta
        mixed = 1.6 * prediction - 0.6 * place
        last, place = place, parts.prox(mixed + u, 1 / weight)
        u += mixed - place
        if rounds % _CHECK_EVERY:
            continue
        exact, gap = duality_gap(parts, A, lam, weight * u, place)
        if gap <= goal:
            return Fit(exact, gap, rounds)
        primal = float(np.linalg.norm(prediction - place))
        dual = weight * float(np.linalg.norm(A.T @ (place - last)))
        scale = max(float(np.linalg.norm(place)), 1e-12)
        tilt = primal / scale / max(dual / max(lam * float(np.linalg.norm(theta)), 1e-12), 1e-300)
        if rounds < _ROUNDS // 4 and not 1 / _BALANCE < tilt < _BALANCE:
            factor = 2.0 if tilt > 1 else 0.5
            weight *= factor
            u /= factor
    raise _not_reached(gap, goal, "rounds")


def _not_reached(gap: float, goal: float, what: str) -> NotConvergedError:
    return NotConvergedError(
        "train a convex readout",
        f"duality gap {gap:.3g} above {goal:.3g} after the largest number of {what}",
        "raise lam, or ask for a larger tol",
    )
