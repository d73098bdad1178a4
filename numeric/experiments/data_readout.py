r"""Ridge regression on parts of a data set: what a predicted learning curve is compared with.

Stage: features and labels in, a ``Simulation`` out. Each trial draws n rows for training without
replacement, fits ridge regression with or without an intercept at all ridges from one
decomposition, and tests on the rows left over.

Conventions: as ``numeric.population.predict_learning_curve``: minimise
sum (y - b - theta.x/sqrt(p))^2 + lam |theta|^2; controls are n and lam, of shape (sizes, ridges).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from derive.errors import RangeError
from numeric.experiments.sampling import Job, Simulation, generator, run
from numeric.populations.matrices import finite_array

Array = NDArray[np.float64]
OUTPUTS = ("E_test", "E_train")


@dataclass(frozen=True, eq=False)
class Plan:
    """What every trial needs to know."""

    features: Array
    labels: Array
    lam: Array
    intercept: bool
    seed: int


def subsample(  # noqa: PLR0913  (the data, and the controls of the run)
    features: ArrayLike,
    labels: ArrayLike,
    lam: ArrayLike,
    sizes: Sequence[int],
    *,
    intercept: bool = True,
    trials: int = 20,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = False,
) -> Simulation:
    """Measure test and training errors on random parts of a data set.

    Args:
        features: shape (N, p), one sample per row.
        labels: shape (N,).
        lam: ridges > 0, a number or a vector.
        sizes: numbers of training rows, each below N.
        intercept: whether an intercept is fitted.
        trials: random parts per size.
        seed: with the size and the trial it fixes each part.
        executor: any ``concurrent.futures`` executor; None runs here.
        progress: force or silence the progress bar.

    Returns:
        Simulation with ``values[output]`` of shape (1, trials, sizes, ridges).

    Raises:
        RangeError: a size that leaves no test rows, or a ridge that is not positive.

    Accuracy: mean over trials to ``Simulation.stderr``; parts overlap, so that at n near N it
        understates the error of the mean.
    """
    x, y = finite_array("features", features, 2), finite_array("labels", labels, 1)
    ridges, grid = np.atleast_1d(np.asarray(lam, dtype=float)), np.asarray(sizes, dtype=np.int64)
    if not (np.all(ridges > 0) and np.all(grid >= 2) and np.all(grid < y.size)):
        raise RangeError(
            f"sizes from {grid.min()} to {grid.max()}, ridges from {ridges.min():g}",
            f"there are {y.size} rows",
            "give ridges > 0 and sizes from 2 to one less than the rows",
        )
    plan = Plan(x, y, ridges, intercept, seed)
    points = (grid.size, ridges.size)
    controls = {"n": grid[:, None] + np.zeros(points), "lam": ridges + np.zeros(points)}
    tables = {name: np.full((1, trials, *points), np.nan) for name in OUTPUTS}
    text = f"{y.size} rows, {x.shape[1]} features, intercept {intercept}"
    empty = Simulation("parts of a data set", text, (x.shape[1],), controls, tables, seed)
    jobs = [
        Job((0, trial, i), (int(n), trial)) for trial in range(trials) for i, n in enumerate(grid)
    ]
    return run(partial(draw, plan), jobs, empty, executor=executor, show=progress)


def draw(plan: Plan, n: int, trial: int) -> Mapping[str, Array]:
    """Fit one random part; return ``E_test`` and ``E_train``, each of shape (ridges,)."""
    order = generator(plan.seed, n, trial).permutation(plan.labels.size)
    train, test = order[:n], order[n:]
    x, y = plan.features[train], plan.labels[train]
    centre, level = (x.mean(axis=0), float(y.mean())) if plan.intercept else (0.0, 0.0)
    theta = ridge_fits(x - centre, y - level, plan.lam)
    scale = np.sqrt(x.shape[1])
    out = {}
    for name, rows in (("E_test", test), ("E_train", train)):
        gap = plan.labels[rows] - level - (theta @ (plan.features[rows] - centre).T) / scale
        out[name] = np.mean(gap**2, axis=1)
    return out


def ridge_fits(x: Array, y: Array, lam: Array) -> Array:
    """Return theta at each ridge, shape (ridges, p), for features (n, p) and labels (n,).

    Accuracy: about 1e-15 times the condition of x^T x/p + lam.
    """
    n, p = x.shape
    if n > p:
        s, vectors = eigh(x.T @ x / p, check_finite=False)
        projected = vectors.T @ (x.T @ y)
    else:
        s, left = eigh(x @ x.T / p, check_finite=False)
        vectors, projected = x.T @ left, left.T @ y
    return (projected / (s + lam[:, None])) @ vectors.T / np.sqrt(p)
