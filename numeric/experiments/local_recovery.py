r"""Experiments on local linear recovery: the exponent law, and the rank of the Hessian.

Stage: a declared ``LocalRecovery`` in, measured slopes and ranks out. Nothing is trained: the law
is about the neighbourhood of one representation theta* of the target, where the experiment starts.

Exponent law: start at theta* + delta u, fit n samples of the target by Gauss-Newton steps truncated
at the rank min(n, r) of the tangent matrix, r the certified rank at theta*. The error on fresh
inputs is of order delta^1 if n < r, because a direction of the tangent space is not seen, and of
order delta^2 if n >= r. Sharp, and without training luck.

Sources: arXiv:2406.18035; the law itself is derived here (sheet rules R10 and R12).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derive.errors import RangeError
from derive.theory.local_recovery import LocalRecovery, local_recovery
from numeric.tangent import Tangent, compile_tangent

Array = NDArray[np.float64]
SEEDS = 9
DELTAS = (1e-4, 3e-4, 1e-3, 3e-3)
FRESH = 400
WIDE = 1.5
_CANDIDATES = 30
_STEPS = 40
_STOP = 1e-13
_ROUNDING = 1e-11
_BELOW = (0.95, 1.05)
_FROM = (1.9, 2.1)


@dataclass(frozen=True, eq=False)
class ExponentLaw:
    """Measured orders of the error at two numbers of samples.

    Attributes:
        claimed: the optimistic sample size that is tested.
        rank: certified rank at the starting point.
        deltas: sizes of the perturbation.
        below: slope of each seed at n = claimed - 1, shape (seeds,).
        at: slope of each seed at n = claimed.
        errors: errors on fresh inputs, shape (2, seeds, deltas).
    """

    claimed: int
    rank: int
    deltas: Array
    below: Array
    at: Array
    errors: Array

    @property
    def medians(self) -> tuple[float, float]:
        """Median slopes at n = claimed - 1 and n = claimed.

        Accuracy: of a fit in double precision over two decades.
        """
        return float(np.median(self.below)), float(np.median(self.at))

    @property
    def recovered(self) -> bool:
        """Whether n = claimed recovers the target to rounding, so that no slope can be read.

        That happens where the representation has no surplus that could move the function.
        """
        return bool(np.median(self.errors[1, :, -1]) < _ROUNDING)

    @property
    def separates(self) -> bool:
        """Whether the medians are 1.0 +- 0.05 and 2.0 +- 0.1, as the claim has it."""
        below, at = self.medians
        quadratic = self.recovered or _FROM[0] <= at <= _FROM[1]
        return _BELOW[0] <= below <= _BELOW[1] and quadratic

    def __repr__(self) -> str:
        below, at = self.medians
        verdict = "separates" if self.separates else "does not separate"
        order = "recovered to rounding" if self.recovered else f"slope {at:.3f}"
        return (
            f"ExponentLaw(n = {self.claimed - 1}: slope {below:.3f}; n = {self.claimed}: {order}; "
            f"{verdict})"
        )


def exponent_law(
    model: LocalRecovery,
    claimed: int | None = None,
    *,
    seeds: int = SEEDS,
    deltas: Sequence[float] = DELTAS,
) -> ExponentLaw:
    """Measure the exponent law on both sides of a claimed optimistic sample size.

    Args:
        model: family and target; its targets of seeds ``model.seed + 0, 1, ...`` are used.
        claimed: the size to test; the closed form by default.
        seeds: number of random targets, samples and perturbations.
        deltas: perturbations, each a multiple of a random direction of unit length.

    Raises:
        RangeError: if the claim is below 2 or the target has rank zero.

    Accuracy: a slope from four points between 1e-4 and 3e-3; bias from higher orders below 0.05
        for well-conditioned samples, which are chosen among 30 by their smallest singular value.

    Example:
        >>> from derive.recovery.linear import Diagonal
        >>> exponent_law(local_recovery(Diagonal(4), 3), seeds=3).separates
        True
    """
    size = model.sample_size().value if claimed is None else claimed
    if size < 2:
        raise RangeError(f"the exponent law at {size}", "no smaller sample", "use a larger target")
    errors, rank = errors_by_size(model, (size - 1, size), seeds=seeds, deltas=deltas)
    below, at = slopes_of(errors, deltas)
    return ExponentLaw(size, rank, np.asarray(deltas), below, at, errors)


def errors_by_size(
    model: LocalRecovery,
    n: Sequence[int],
    *,
    seeds: int = SEEDS,
    deltas: Sequence[float] = DELTAS,
) -> tuple[Array, int]:
    """Return errors on fresh inputs by numbers of samples, and the certified rank at the start.

    Args:
        model: family and target.
        n: numbers of samples, each at least 1.
        seeds: number of random targets, samples and perturbations.
        deltas: sizes of the perturbation.

    Returns:
        Errors of shape (sizes, seeds, deltas), and the rank.

    Raises:
        RangeError: if the target has rank zero, so that there is nothing to recover.
    """
    rank = model.certify().rank
    if rank == 0:
        raise RangeError("the exponent law of zero", "nothing to recover", "use a larger target")
    tangent = compile_tangent(model.family)
    errors = np.empty((len(n), seeds, len(deltas)))
    for seed in range(seeds):
        shifted = local_recovery(model.declaration, model.target, seed=model.seed + seed)
        theta = start_of(shifted)
        for side, count in enumerate(n):
            rng = np.random.default_rng([seed, count])
            errors[side, seed] = recovery_errors(tangent, theta, count, rank, deltas, rng)
    return errors, rank


def slopes_of(errors: Array, deltas: Sequence[float]) -> Array:
    """Return the order of errors in delta, the last axis, by a straight line in logarithms.

    Accuracy: of a least-squares fit; errors of zero count as 1e-300.
    """
    flat = np.log(np.maximum(errors, 1e-300)).reshape(-1, len(deltas))
    slopes = np.polyfit(np.log(deltas), flat.T, 1)[0]
    return np.asarray(slopes.reshape(errors.shape[:-1]))


def start_of(model: LocalRecovery) -> Array:
    """Return the target's parameters as floats, in the order of the family.

    Accuracy: each the nearest double of an exact rational number.
    """
    return np.array([float(model.point[s]) for s in model.family.parameters])


def recovery_errors(
    tangent: Tangent,
    theta: Array,
    n: int,
    rank: int,
    deltas: Sequence[float],
    rng: np.random.Generator,
) -> Array:
    """Return the error on fresh inputs after fitting n samples, for each perturbation.

    Args:
        tangent: the compiled family.
        theta: parameters of the target.
        n: number of samples.
        rank: rank of the tangent functions at ``theta``.
        deltas: sizes of the perturbation.
        rng: source of inputs and direction.

    Accuracy: errors below about 1e-13 are rounding.
    """
    inputs = len(tangent.family.inputs)
    samples = [WIDE * rng.normal(size=(n, inputs)) for _ in range(_CANDIDATES)]
    x = max(samples, key=lambda s: _smallest(tangent, theta, s, min(n, rank)))
    fresh = WIDE * rng.normal(size=(FRESH, inputs))
    direction = rng.normal(size=theta.size)
    direction /= np.linalg.norm(direction)
    truth, goal = tangent(theta, fresh)[0], tangent(theta, x)[0]
    out = []
    for delta in deltas:
        fitted = gauss_newton(tangent, theta + delta * direction, x, goal, min(n, rank))
        out.append(np.sqrt(np.mean((tangent(fitted, fresh)[0] - truth) ** 2)))
    return np.array(out)


def _smallest(tangent: Tangent, theta: Array, x: Array, rank: int) -> float:
    if not len(x):
        return 0.0
    return float(np.linalg.svd(tangent(theta, x)[1], compute_uv=False)[rank - 1])


def gauss_newton(tangent: Tangent, theta: Array, x: Array, goal: Array, rank: int) -> Array:
    """Return parameters that fit samples, by steps in the ``rank`` strongest directions.

    Accuracy: residual near rounding where the steps converge, which they do close to a solution.
    """
    best = np.inf
    for _ in range(_STEPS):
        value, rows = tangent(theta, x)
        residual = goal - value
        size = float(np.abs(residual).max(initial=0.0))
        if size < _STOP or size >= best:
            break
        best = size
        U, singular, V = np.linalg.svd(rows, full_matrices=False)
        theta = theta + V[:rank].T @ ((U[:, :rank].T @ residual) / singular[:rank])
    return theta


# --- the Hessian ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HessianRank:
    """Rank of the Hessian of the mean squared error at zero loss.

    Attributes:
        rank: number of singular values above the largest gap.
        expected: min(n, rank of the tangent functions).
        flat: number of flat directions.
        gap: ratio of the singular values at the gap.
    """

    rank: int
    expected: int
    flat: int
    gap: float


def hessian_rank(model: LocalRecovery, n: int, *, seed: int = 0) -> HessianRank:
    """Measure the rank of the Hessian at a zero of the loss on n generic samples.

    The Hessian is taken by central differences of the gradient, curvature of f included, so that
    nothing is assumed about the residual.

    Accuracy: singular values to about 1e-9 of the largest; the gap says how far the rank is from
        being misread.

    Example:
        >>> from derive.recovery.linear import MatrixFactorization
        >>> found = hessian_rank(local_recovery(MatrixFactorization(3, 3, 3), 1), 4)
        >>> found.rank, found.expected, found.flat
        (4, 4, 14)
    """
    tangent, theta = compile_tangent(model.family), start_of(model)
    rng = np.random.default_rng([seed, n])
    inputs = len(tangent.family.inputs)
    expected = min(n, model.certify().rank)
    samples = [WIDE * rng.normal(size=(n, inputs)) for _ in range(_CANDIDATES)]
    x = max(samples, key=lambda s: _smallest(tangent, theta, s, expected))
    goal = tangent(theta, x)[0]
    step = 1e-5
    ahead, behind = (
        np.array([_gradient(tangent, theta + h * e, x, goal) for e in np.eye(theta.size)])
        for h in (step, -step)
    )
    hessian = (ahead - behind) / (2 * step)
    singular = np.linalg.svd((hessian + hessian.T) / 2, compute_uv=False)
    rank, gap = largest_gap(singular)
    return HessianRank(rank, expected, theta.size - rank, gap)


def _gradient(tangent: Tangent, theta: Array, x: Array, goal: Array) -> Array:
    value, rows = tangent(theta, x)
    return np.asarray(2 / len(x) * rows.T @ (value - goal))


def largest_gap(singular: Array) -> tuple[int, float]:
    """Return the number of values above the largest ratio of neighbours, and that ratio.

    Values below 1e-12 of the largest count as that; the ratio after the last value is against it.

    Accuracy: of the values given.

    Example:
        >>> largest_gap(np.array([2.0, 1.0, 1e-9, 5e-10]))[0]
        2
    """
    floor = 1e-12 * singular[0] if singular.size else 0.0
    padded = np.maximum(np.append(singular, floor), floor)
    if floor == 0.0:
        return 0, np.inf
    ratios = padded[:-1] / padded[1:]
    best = int(np.argmax(ratios))
    return best + 1, float(ratios[best])
