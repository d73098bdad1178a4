r"""Readouts of networks with given weights, at finite size: the twin of ``populations.networks``.

Stage: a recipe that draws a learner and a target network at size d (or always the same two) in, a
``Simulation`` out. Each trial draws the networks, a training set and test inputs, measures the
errors averaged in closed form over teacher and label noise, and computes the theory for the very
same weights; the tables hold the measured error over the predicted one, so that the theory to
compare with is one at every point and weights drawn anew do not blur it.

Conventions: labels y = theta.phi_*(x)/sqrt(k) + noise; ridge regression on the features less their
population mean, as in ``numeric.ridge_readout_theory``.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.activation import Activation
from derive.errors import RangeError
from numeric.experiments.ridge_readout import (
    Moments,
    expected_test_error,
    expected_train_error,
    few_samples,
    many_samples,
    resolvent_trace,
)
from numeric.experiments.sampling import Job, Simulation, generator, run
from numeric.populations.networks import Linearised, Network, linearise
from numeric.ridge_readout_theory import ridge_curve
from numeric.spectral_functions import Modes

Array = NDArray[np.float64]
OUTPUTS = ("m", "E_test", "E_train")
TEST_INPUTS_PER_FEATURE = 12
CHUNK_ENTRIES = 2**21


@dataclass(frozen=True, eq=False)
class Pair:
    """Two networks on the same inputs x ~ N(0, 1), and the teacher on the target's features.

    Attributes:
        learner: its last layer is read out.
        target: its last layer makes the labels.
        theta: the teacher, (k,); None for the average over entries of variance one.
    """

    learner: Network
    target: Network
    theta: Array | None = None

    @property
    def d(self) -> int:
        """Input dimension."""
        return int(next(n for n in (self.learner, self.target) if n.depth).weights[0].shape[1])

    @property
    def learner_width(self) -> int:
        """Number p of features."""
        return int(self.learner.weights[-1].shape[0]) if self.learner.depth else self.d


Recipe = Callable[[int, np.random.Generator], Pair]


@dataclass(frozen=True, eq=False)
class Same:
    """The recipe that always gives the same networks, trained ones for instance."""

    pair: Pair

    def __call__(self, d: int, rng: np.random.Generator) -> Pair:
        """Return the networks; d must be their input dimension."""
        if d != self.pair.d:
            raise RangeError(
                f"d = {d}", f"the networks take {self.pair.d} inputs", "give their dimension"
            )
        return self.pair


@dataclass(frozen=True)
class Rainbow:
    """Networks whose layers share weights, as in the first figure of arXiv:2402.13999.

    The target is theta.tanh(W_* x) with W_* = Z_* diag(k^-decay_target)^(1/2); the learner has
    three tanh layers with W_2 = W_1 = (Z diag(k^-decay)^(1/2) + W_*)/2 and rows of W_3 of
    covariance C_3 = (W_1 W_1^T + 1/2)^-1; every Z has entries of variance 1/d, all widths are d.

    Attributes:
        decay: exponent gamma of the learner's first two layers.
        decay_target: exponent of the target's.
        activation: of all layers.
    """

    decay: float
    decay_target: float = 0.3
    activation: str = "tanh"

    def __call__(self, d: int, rng: np.random.Generator) -> Pair:
        """Return one draw at input dimension d."""
        index = np.arange(1, d + 1.0)

        def gaussian() -> Array:
            return np.asarray(rng.standard_normal((d, d)) / np.sqrt(d))

        target = gaussian() * index ** (-self.decay_target / 2)
        first = (gaussian() * index ** (-self.decay / 2) + target) / 2
        values, vectors = np.linalg.eigh(first @ first.T + np.eye(d) / 2)
        third = gaussian() @ (vectors / np.sqrt(values)) @ vectors.T
        named = Activation(self.activation)
        zero = np.zeros(d)
        learner = Network((first, first, third), (named,) * 3, (zero,) * 3)
        return Pair(learner, Network((target,), (named,), (zero,)))


@dataclass(frozen=True)
class Tied:
    """Two layers with W_2 = W_1^T, which no closed form covers, and a target of its own.

    Attributes:
        activation: of all layers; all widths are d.
    """

    activation: str = "tanh"

    def __call__(self, d: int, rng: np.random.Generator) -> Pair:
        """Return one draw at input dimension d."""
        named = Activation(self.activation)
        first = rng.standard_normal((d, d)) / np.sqrt(d)
        learner = Network((first, first.T), (named,) * 2, (np.zeros(d),) * 2)
        return Pair(learner, _drawn([d, d], (self.activation,), rng))


@dataclass(frozen=True)
class Independent:
    """Networks with independent Gaussian weights: the case that the architecture route covers.

    Attributes:
        activations: of the learner's layers.
        widths: their widths over d.
        target: activations of the target's layers, all of width d.
    """

    activations: tuple[str, ...]
    widths: tuple[float, ...]
    target: tuple[str, ...] = ()

    def __call__(self, d: int, rng: np.random.Generator) -> Pair:
        """Return one draw at input dimension d."""
        sizes = [d, *(max(1, round(g * d)) for g in self.widths)]
        others = [d] * (len(self.target) + 1)
        return Pair(_drawn(sizes, self.activations, rng), _drawn(others, self.target, rng))


def _drawn(sizes: Sequence[int], names: Sequence[str], rng: np.random.Generator) -> Network:
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    activations = tuple(Activation(name) for name in names)
    return Network(tuple(weights), activations, tuple(np.zeros(w.shape[0]) for w in weights))


@dataclass(frozen=True, eq=False)
class Plan:
    """What every trial needs to know."""

    recipe: Recipe
    alpha: tuple[float, ...]
    lam: Array
    noise: float
    order: int
    seed: int

    def __str__(self) -> str:
        return f"{self.recipe}; alpha {self.alpha}; noise {self.noise}; order {self.order}"


def simulate_networks(  # noqa: PLR0913  (the controls of the experiment and of the run)
    recipe: Recipe,
    *,
    alpha: Sequence[float],
    lam: ArrayLike,
    noise: float = 0.0,
    d: int | Sequence[int] = (100, 200),
    trials: int = 10,
    order: int = 1,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = False,
) -> Simulation:
    """Measure errors of readouts over what the theory predicts for the same weights.

    Args:
        recipe: draws the networks at a size: ``Rainbow``, ``Tied``, ``Independent``, ``Same``, or
            any picklable function of (d, rng).
        alpha: samples over d.
        lam: ridges > 0, a number or a vector.
        noise: variance of the label noise.
        d: input dimensions.
        trials: independent draws per size.
        order: Hermite orders of the theory, see ``populations.networks``.
        seed: with d and the trial number it fixes each draw.
        executor: any ``concurrent.futures`` executor; None runs here.
        progress: force or silence the progress bar.

    Returns:
        Simulation with ``values[output]`` of shape (sizes, trials, alpha, lam), each the measured
        ``m``, ``E_test`` or ``E_train`` over its prediction.

    Raises:
        RangeError: a control out of range.

    Accuracy: mean over trials to ``Simulation.stderr``, with a bias of order 1/d.
    """
    sizes = (d,) if isinstance(d, int) else tuple(d)
    ridges, grid = np.atleast_1d(np.asarray(lam, dtype=float)), np.asarray(alpha, dtype=float)
    if not (np.all(ridges > 0) and np.all(grid > 0) and noise >= 0 and trials >= 1):
        raise RangeError(
            f"alpha = {grid}, lam = {ridges}, noise = {noise}, trials = {trials}",
            "out of range",
            "give alpha > 0, lam > 0, noise >= 0 and at least one trial",
        )
    plan = Plan(recipe, tuple(grid.tolist()), ridges, float(noise), order, seed)
    points = (grid.size, ridges.size)
    controls = {"alpha": np.broadcast_to(grid[:, None], points), "lam": ridges + np.zeros(points)}
    tables = {name: np.full((len(sizes), trials, *points), np.nan) for name in OUTPUTS}
    empty = Simulation("given networks, over theory", str(plan), sizes, controls, tables, seed)
    jobs = [Job((i, t), (size, t)) for t in range(trials) for i, size in enumerate(sizes)]
    return run(partial(draw, plan), jobs, empty, executor=executor, show=progress)


def draw(plan: Plan, d: int, trial: int) -> Mapping[str, Array]:
    """Draw networks and data once; return measured over predicted, each of shape (alpha, lam)."""
    rng = generator(plan.seed, d, trial)
    pair = plan.recipe(d, rng)
    found, modes = _theory(pair, plan.order)
    p = pair.learner_width
    count = TEST_INPUTS_PER_FEATURE * p
    test = _moments(pair, found, count, rng)
    out = {name: np.empty((len(plan.alpha), plan.lam.size)) for name in OUTPUTS}
    for i, alpha in enumerate(plan.alpha):
        n = max(1, round(alpha * d))
        theory = ridge_curve(modes, ratio=n / p, lam=plan.lam, noise=plan.noise)
        if n > p:
            fit = many_samples(_moments(pair, found, n, rng))
        else:
            fit = few_samples(*_features(pair, found, n, rng))
        measured = {
            "m": resolvent_trace(fit, plan.lam),
            "E_test": expected_test_error(fit, test, plan.lam, 1.0, plan.noise),
            "E_train": expected_train_error(fit, plan.lam, 1.0, plan.noise),
        }
        for name, value in measured.items():
            out[name][i] = value / theory[name]
    return out


@lru_cache(maxsize=1)
def _theory(pair: Pair, order: int) -> tuple[Linearised, Modes]:
    """Return covariances and modes; the last pair is kept, for networks that stay the same."""
    found = linearise(pair.learner, pair.target, pair.d, order=order)
    return found, found.covariances.modes(pair.theta)


def _features(
    pair: Pair, found: Linearised, count: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return centred features (p, count) and target features (k, count) of fresh inputs."""
    x = rng.standard_normal((pair.d, count))
    learner = pair.learner.features(x) - found.mean[:, None]
    target = pair.target.features(x) - found.target_mean[:, None]
    if pair.theta is None:
        return learner, target
    return learner, (pair.theta @ target / np.sqrt(target.shape[0]))[None, :]


def _moments(pair: Pair, found: Linearised, count: int, rng: np.random.Generator) -> Moments:
    width = max(pair.d, pair.learner_width)
    size = max(1, CHUNK_ENTRIES // width)
    total: tuple[Array, Array, float] | None = None
    for start in range(0, count, size):
        x, f = _features(pair, found, min(size, count - start), rng)
        new = (x @ x.T, x @ f.T, float(np.sum(f * f)))
        total = new if total is None else (total[0] + new[0], total[1] + new[1], total[2] + new[2])
    assert total is not None, "count is positive"
    return Moments(*total, count=count)
