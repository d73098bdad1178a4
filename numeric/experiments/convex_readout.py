"""Convex readouts of finite size, sampled from a declared loss, teacher and features.

Stage: declaration -> ``Simulation``, the experimental witness of ``numeric.state_evolution``.

Conventions: n samples of p features, labels of the teacher, theta minimises the sum of losses at
theta . phi/sqrt(p) plus (lam/2) |theta|^2. The size of a simulation is p. Measured are ``E_test``
with the noise of fresh labels, ``E_train`` (share of wrong signs, or mean squared residual) and
``loss_train``. With Gaussian features the test error is the exact mean over fresh inputs, from the
overlaps of the trained readout; with a network it is measured on fresh inputs.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr

from derive.channels import ConvexReadout, Logistic
from derive.errors import RangeError
from derive.exact import exact_number
from numeric.experiments.convex_solver import fit
from numeric.experiments.elementwise import apply
from numeric.experiments.sampling import Job, Simulation, carry_over, generator, run
from numeric.spectral_functions import Modes

Array = NDArray[np.float64]
OUTPUTS = ("E_test", "E_train", "loss_train")
TEST_INPUTS_PER_FEATURE = 50
_CHUNK = 4096


class Sample(Protocol):
    """Features of one size, drawn once; inputs are drawn from it again and again."""

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return features (count, p) and the teacher field (count,)."""

    def overlaps(self, theta: Array) -> tuple[float, float, float] | None:
        """Return m, q, rho of a readout if they are known exactly, else None."""


class Features(Protocol):
    """A declaration of features of any size."""

    def sample(self, p: int, rng: np.random.Generator) -> Sample:
        """Return features of size p."""


@dataclass(frozen=True)
class GaussianFeatures:
    """Gaussian features with the spectrum and target of ``Modes``.

    Attributes:
        modes: eigenvalues, their weights, and the target's overlaps.
    """

    modes: Modes

    def sample(self, p: int, rng: np.random.Generator) -> Sample:
        """Return p directions, each mode having its share to within one direction."""
        levels = (np.arange(p) + rng.random()) / p
        mode = np.searchsorted(np.cumsum(self.modes.weights)[:-1], levels, side="right")
        share = np.maximum(np.bincount(mode, minlength=len(self.modes.values)), 1)
        values = self.modes.values[mode]
        psi = np.sqrt(self.modes.overlaps[mode] / share[mode])
        return _GaussianSample(values, psi, self.modes.misfit)

    def __str__(self) -> str:
        rows = zip(self.modes.values, self.modes.weights, self.modes.overlaps, strict=True)
        return f"Gaussian features {[tuple(map(float, r)) for r in rows]} {self.modes.misfit}"


@dataclass(frozen=True)
class _GaussianSample:
    values: Array
    psi: Array
    misfit: float

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        phi = rng.standard_normal((count, len(self.values))) * np.sqrt(self.values)
        weight = np.divide(self.psi, self.values, out=0 * self.psi, where=self.values > 0)
        return phi, phi @ weight + np.sqrt(self.misfit) * rng.standard_normal(count)

    def overlaps(self, theta: Array) -> tuple[float, float, float]:
        p = len(theta)
        seen = np.divide(self.psi**2, self.values, out=0 * self.psi, where=self.values > 0)
        rho = float(np.sum(seen)) + self.misfit
        return float(theta @ self.psi) / np.sqrt(p), float(self.values @ theta**2) / p, rho


@dataclass(frozen=True)
class NetworkFeatures:
    """Features of a deep random network on Gaussian inputs; the teacher is linear in the input.

    Attributes:
        layers: activation of each layer, expressions in z.
        gamma: width of each layer over the input dimension.
        rho: second moment of the teacher field.
    """

    layers: tuple[Expr, ...]
    gamma: tuple[float, ...]
    rho: float = 1.0

    def sample(self, p: int, rng: np.random.Generator) -> Sample:
        """Return a network whose last layer has p neurons."""
        d = max(1, round(p / self.gamma[-1]))
        widths = [d, *(max(1, round(g * d)) for g in self.gamma[:-1]), p]
        weights = tuple(rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(widths))
        direction = rng.standard_normal(d)
        return _NetworkSample(
            self.layers, weights, direction * np.sqrt(self.rho) / np.linalg.norm(direction)
        )


@dataclass(frozen=True)
class _NetworkSample:
    layers: tuple[Expr, ...]
    weights: tuple[Array, ...]
    direction: Array

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        x = rng.standard_normal((count, len(self.direction)))
        out = x
        for layer, weight in zip(self.layers, self.weights, strict=True):
            out = apply(layer, out @ weight.T)
        return out, x @ self.direction

    def overlaps(self, theta: Array) -> None:
        return None


@dataclass(frozen=True)
class Plan:
    """What every trial needs to know."""

    model: ConvexReadout
    features: Features
    seed: int

    @property
    def teacher(self) -> tuple[float, float]:
        """Variance of the noise, and probability of a flip."""
        teacher = self.model.teacher
        flips = float(exact_number(getattr(teacher, "flips", 0)))
        return float(exact_number(teacher.noise)), flips

    def label(self, field: Array, rng: np.random.Generator) -> Array:
        """Return labels of a teacher field.

        Accuracy: exact draws.
        """
        noise, flips = self.teacher
        noisy = field + np.sqrt(noise) * rng.standard_normal(field.shape)
        teacher = self.model.teacher
        if not teacher.signs:
            return noisy
        if isinstance(teacher, Logistic):
            noisy = noisy + rng.logistic(0.0, float(exact_number(teacher.scale)), field.shape)
        turned = rng.random(field.shape) < flips
        return np.where((noisy > 0) ^ turned, 1.0, -1.0)


def draw(plan: Plan, p: int, ratio: float, lam: float, trial: int) -> Mapping[str, float]:
    """Draw one training set, train the readout and measure it.

    Accuracy: one draw; the training is certified by its duality gap.
    """
    rng = generator(plan.seed, p, ratio, lam, trial)
    sample = plan.features.sample(p, rng)
    phi, field = sample.draw(max(1, round(ratio * p)), rng)
    y = plan.label(field, rng)
    A = phi / np.sqrt(p)
    theta = fit(plan.model.loss, A, y, lam).theta
    prediction = A @ theta
    losses = _losses(plan.model, y, prediction)
    return {
        "E_test": _test_error(plan, sample, theta, rng),
        "E_train": _errors(plan.model, y, prediction),
        "loss_train": losses,
    }


def _losses(model: ConvexReadout, y: Array, prediction: Array) -> float:
    loss = model.loss
    if loss.form == "residual":
        return float(np.mean(apply(loss.at(0), prediction - y)))
    parts = [(loss.at(s), prediction[y == s]) for s in (-1, 1)]
    return float(sum(np.sum(apply(h, at)) for h, at in parts if at.size)) / len(y)


def _errors(model: ConvexReadout, y: Array, prediction: Array) -> float:
    if model.teacher.signs:
        return float(np.mean(y * prediction < 0))
    return float(np.mean((y - prediction) ** 2))


def _test_error(plan: Plan, sample: Sample, theta: Array, rng: np.random.Generator) -> float:
    known = sample.overlaps(theta)
    if known is None or isinstance(plan.model.teacher, Logistic):
        return _measured(plan, sample, theta, rng)
    m, q, rho = known
    noise, flips = plan.teacher
    if not plan.model.teacher.signs:
        return rho + noise - 2 * m + q
    angle = float(np.arccos(np.clip(m / np.sqrt((rho + noise) * q), -1, 1))) / np.pi
    return flips + (1 - 2 * flips) * angle


def _measured(plan: Plan, sample: Sample, theta: Array, rng: np.random.Generator) -> float:
    left = TEST_INPUTS_PER_FEATURE * len(theta)
    total, count = 0.0, 0
    while left > 0:
        phi, field = sample.draw(min(left, _CHUNK), rng)
        y = plan.label(field, rng)
        total += len(y) * _errors(plan.model, y, phi @ theta / np.sqrt(len(theta)))
        count += len(y)
        left -= len(y)
    return total / count


def simulate_readout(  # noqa: PLR0913 - the point and the run, all keyword-only
    model: ConvexReadout,
    features: Features | Modes,
    *,
    ratio: ArrayLike,
    lam: ArrayLike,
    p: int | Sequence[int] = (100, 200),
    trials: int = 20,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
    resume: Simulation | None = None,
    checkpoint: Callable[[Simulation], None] | None = None,
) -> Simulation:
    """Train convex readouts of finite size and measure them.

    Args:
        model: loss and teacher.
        features: Gaussian features with the spectrum of ``Modes``, or ``NetworkFeatures``.
        ratio: samples per feature, > 0.
        lam: ridge > 0, broadcast with ``ratio``.
        p: numbers of features; two or more allow the extrapolation to infinite size.
        trials: independent draws per size and point.
        seed: with size, point and trial number it fixes each draw.
        executor: any ``concurrent.futures`` executor; None runs in this process.
        progress: force (True) or silence (False) the progress bar.
        resume: an earlier simulation whose trials are kept.
        checkpoint: called with the simulation so far every few seconds and at the end.

    Raises:
        RangeError: a ratio, ridge, size or number of trials out of range.

    Accuracy: mean over trials, standard error ``Simulation.stderr``, plus a finite-size bias of
    order 1/p that ``numeric.compare`` extrapolates away.
    """
    grid = np.broadcast_arrays(np.asarray(ratio, dtype=float), np.asarray(lam, dtype=float))
    sizes = tuple(sorted((p,) if isinstance(p, int) else tuple(p)))
    _check(grid, sizes, trials)
    declared = GaussianFeatures(features) if isinstance(features, Modes) else features
    plan = Plan(model, declared, seed)
    empty = _empty(plan, grid, sizes, trials)
    jobs = [
        Job(
            (i, trial, *point),
            (sizes[i], float(grid[0][point]), float(grid[1][point]), trial),
        )
        for trial in range(trials)
        for i in range(len(sizes))
        for point in np.ndindex(grid[0].shape)
    ]
    start = empty if resume is None else carry_over(resume, empty)
    task = partial(draw, plan)
    return run(task, jobs, start, executor=executor, show=progress, checkpoint=checkpoint)


def _check(grid: Sequence[Array], sizes: tuple[int, ...], trials: int) -> None:
    for name, values in zip(("ratio", "lam"), grid, strict=True):
        if not (values.size and np.all(np.isfinite(values) & (values > 0))):
            raise RangeError(f"{name} = {values}", "out of range", f"give finite {name} > 0")
    if not sizes or min(sizes) < 2 or len(set(sizes)) != len(sizes):
        raise RangeError(f"p = {sizes}", "sizes", "give distinct sizes of at least 2")
    if trials < 1:
        raise RangeError(f"trials = {trials}", "out of range", "give trials >= 1")


def _empty(plan: Plan, grid: Sequence[Array], sizes: tuple[int, ...], trials: int) -> Simulation:
    controls: dict[str, Any] = {"ratio": np.array(grid[0]), "lam": np.array(grid[1])}
    shape = (len(sizes), trials, *grid[0].shape)
    values = {output: np.full(shape, np.nan) for output in OUTPUTS}
    text = f"{plan.model!r} {plan.model.loss.expr}; {plan.features}"
    return Simulation("convex readout", text, sizes, controls, values, plan.seed)
