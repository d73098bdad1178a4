r"""Deep random networks of finite size, sampled from a declaration of deep features.

Stage: declaration -> ``Simulation`` of ``m``, ``E_test`` and ``E_train``, the experimental witness
of the learning curves of ``derive.theory.deep_features``.

Conventions: features X (p x n), labels y = F^T theta / sqrt(k) + noise with target features F
(k x n); the readout minimises sum (y - theta^T x / sqrt(p))^2 + lam |theta|^2, so that predictions
on test features X_t are P y with P = X_t^T X (X^T X/p + lam)^{-1} / p. ``m`` is the normalised
trace of (X^T X/p + lam)^{-1}; ``E_test`` includes the noise of fresh labels.

The mean over theta (variance rho per entry) and over the label noise is taken in closed form
(``numeric.experiments.ridge_readout``), which cuts the spread of a draw about fifty times.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr

from derive.chains.neurons import Neurons
from derive.chains.structured_weights import Atoms
from derive.errors import RangeError, ShapeError
from derive.theory.deep_features import DeepFeatures, SharedLayer
from numeric.experiments.elementwise import apply
from numeric.experiments.ridge_readout import (
    Moments,
    Spectral,
    expected_test_error,
    expected_train_error,
    few_samples,
    many_samples,
    resolvent_trace,
)
from numeric.experiments.sampling import Job, Simulation, carry_over, generator, run

Array = NDArray[np.float64]
OUTPUTS = ("m", "E_test", "E_train")
TEST_INPUTS_PER_DIMENSION = 4  # enough for the spread of a draw to come from the network
CHUNK_ENTRIES = 2**21  # 16 MB per layer and chunk of inputs


@dataclass(frozen=True)
class Plan:
    """What every trial needs to know, free of sizes.

    Attributes:
        layers: activation of each layer of the learner, in ``z``.
        gamma: width of each layer over d.
        target_layers: activations of an independent target network; empty otherwise.
        target_gamma: their widths over d.
        level: the target reads layer ``level`` of the learner (0: the input).
        spectrum: (eigenvalue, weight) atoms of the input covariance, weights adding to 1.
        signal: variance rho of the entries of theta.
        noise: variance of the label noise.
        lam: ridges, any shape.
        seed: seed of the experiment.
        neurons: biases and row norms of each layer; empty if there are none.
        rows: atoms of the row covariance of each layer's weights; empty for the identity.
    """

    layers: tuple[Expr, ...]
    gamma: tuple[float, ...]
    target_layers: tuple[Expr, ...]
    target_gamma: tuple[float, ...]
    level: int
    spectrum: tuple[tuple[float, float], ...]
    signal: float
    noise: float
    lam: Array
    seed: int
    neurons: tuple[Neurons, ...] = ()
    rows: tuple[Atoms, ...] = ()

    def __str__(self) -> str:
        layers, target = (", ".join(map(str, x)) for x in (self.layers, self.target_layers))
        return (
            f"layers {layers}; target {target or f'on level {self.level}'}; "
            f"target widths {self.target_gamma}; spectrum {self.spectrum}; signal {self.signal}"
            f"{f'; neurons {self.neurons}' if self.neurons else ''}"
            f"{f'; rows {self.rows}' if self.rows else ''}"
        )


@dataclass(frozen=True)
class Network:
    """One draw of the weights.

    Attributes:
        plan: what it was drawn from.
        roots: square roots of the eigenvalues of the input covariance, shape (d,).
        weights: one matrix per layer of the learner.
        target_weights: one matrix per layer of an independent target network.
        biases: one column per layer of the learner; empty if there are none.
    """

    plan: Plan
    roots: Array
    weights: tuple[Array, ...]
    target_weights: tuple[Array, ...]
    biases: tuple[Array, ...] = ()

    def features(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return features (p, count) and target features (k, count) of fresh inputs."""
        x = (rng.standard_normal((count, self.roots.size)) * self.roots).T
        learner = _forward(x, self.weights, self.plan.layers, self.biases)
        if self.target_weights:
            return learner[-1], _forward(x, self.target_weights, self.plan.target_layers)[-1]
        return learner[-1], learner[self.plan.level]

    def chunks(self, count: int) -> list[int]:
        """Return numbers of inputs to draw one after the other, for bounded memory."""
        widest = max(w.shape[0] for w in (*self.weights, *self.target_weights, self.roots[:, None]))
        size = max(1, CHUNK_ENTRIES // widest)
        return [min(size, count - start) for start in range(0, count, size)]


def _forward(
    x: Array, weights: Sequence[Array], layers: Sequence[Expr], biases: Sequence[Array] = ()
) -> list[Array]:
    outputs = [x]
    for i, (weight, layer) in enumerate(zip(weights, layers, strict=True)):
        argument = weight @ outputs[-1]
        outputs.append(apply(layer, argument + biases[i] if biases else argument))
    return outputs


def _moments(network: Network, count: int, rng: np.random.Generator) -> Moments:
    totals: tuple[Array, Array, float] | None = None
    for size in network.chunks(count):
        x, f = network.features(size, rng)
        new = (x @ x.T, x @ f.T, float(np.sum(f * f)))
        if totals is None:
            totals = new
        else:
            totals = (totals[0] + new[0], totals[1] + new[1], totals[2] + new[2])
    assert totals is not None
    return Moments(*totals, count=count)


def _train(network: Network, n: int, rng: np.random.Generator) -> Spectral:
    p = network.weights[-1].shape[0]
    if n > p:
        return many_samples(_moments(network, n, rng))
    parts = [network.features(size, rng) for size in network.chunks(n)]
    return few_samples(np.hstack([x for x, _ in parts]), np.hstack([f for _, f in parts]))


def draw(plan: Plan, d: int, alpha: float, trial: int) -> Mapping[str, Array]:
    """Draw one network with its training set and measure it.

    Sizes that are not whole numbers are rounded up or down at random, so that their means are
    exactly alpha d and gamma d: a fixed rounding would shift the curve by an amount of order 1/d
    that no extrapolation removes.

    Args:
        plan: the experiment.
        d: input dimension.
        alpha: samples over d.
        trial: number of the trial; the same arguments always give the same draw.

    Returns:
        ``m``, ``E_test`` and ``E_train``, each of the shape of ``plan.lam``.

    Accuracy: each is one draw; its rounding is far below its spread.
    """
    rng = generator(plan.seed, d, alpha, trial)
    n, *widths = (_round(rng, ratio * d) for ratio in (alpha, *plan.gamma, *plan.target_gamma))
    depth = len(plan.gamma)
    roots = np.sqrt(_eigenvalues(plan.spectrum, d, rng))
    weights, targets = _weights(d, widths[:depth], rng), _weights(d, widths[depth:], rng)
    weights = _structured(plan, weights, rng)
    weights, biases = _uneven(plan, weights, rng)
    network = Network(plan, roots, weights, targets, biases)
    fit = _train(network, n, rng)
    test = _moments(network, TEST_INPUTS_PER_DIMENSION * d, rng)
    scales = (plan.signal, plan.noise)
    return {
        "m": resolvent_trace(fit, plan.lam),
        "E_test": expected_test_error(fit, test, plan.lam, *scales),
        "E_train": expected_train_error(fit, plan.lam, *scales),
    }


def _round(rng: np.random.Generator, size: float) -> int:
    return max(1, int(np.floor(size + rng.random())))


def _eigenvalues(
    spectrum: Sequence[tuple[float, float]], d: int, rng: np.random.Generator
) -> Array:
    """Draw d eigenvalues; each atom's share is its weight, to within one eigenvalue."""
    values, weights = np.array(spectrum, dtype=float).T
    levels = (np.arange(d) + rng.random()) / d
    index = np.searchsorted(np.cumsum(weights)[:-1], levels, side="right")
    return np.asarray(values[index])


def _weights(d: int, widths: Sequence[int], rng: np.random.Generator) -> tuple[Array, ...]:
    sizes = (d, *widths)
    return tuple(rng.standard_normal((out, into)) / np.sqrt(into) for into, out in pairwise(sizes))


def _structured(
    plan: Plan, weights: tuple[Array, ...], rng: np.random.Generator
) -> tuple[Array, ...]:
    """Give rows their covariance, in a basis of its own wherever the layer below has one."""
    if not plan.rows:
        return weights
    out = []
    for i, (weight, atoms) in enumerate(zip(weights, plan.rows, strict=True)):
        if not atoms:
            out.append(weight)
            continue
        into = weight.shape[1]
        pairs = [(float(value), float(share)) for value, share in atoms]
        scaled = weight * np.sqrt(_eigenvalues(pairs, into, rng))
        if i and plan.neurons:
            basis, _ = np.linalg.qr(rng.standard_normal((into, into)))
            scaled = scaled @ basis
        out.append(scaled)
    return tuple(out)


def _uneven(
    plan: Plan, weights: tuple[Array, ...], rng: np.random.Generator
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Give rows their norms, and draw the biases, shape (width, 1) each."""
    if not plan.neurons:
        return weights, ()
    scaled, biases = [], []
    for weight, declared in zip(weights, plan.neurons, strict=True):
        count = weight.shape[0]
        norms, values = (
            rng.permutation(_eigenvalues([(float(v), float(w)) for v, w in atoms], count, rng))
            for atoms in (declared.norms, declared.biases)
        )
        spread = np.sqrt(float(declared.bias_variance)) * rng.standard_normal(count)
        scaled.append(weight * norms[:, None])
        biases.append((values + spread)[:, None])
    return tuple(scaled), tuple(biases)


def simulate(  # noqa: PLR0913 - the controls of the model and of the run, all keyword-only
    model: DeepFeatures,
    *,
    alpha: ArrayLike,
    gamma: float | Sequence[float],
    lam: ArrayLike,
    noise: float,
    d: int | Sequence[int] = (200, 400),
    trials: int = 20,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
    resume: Simulation | None = None,
    checkpoint: Callable[[Simulation], None] | None = None,
) -> Simulation:
    """Sample deep random networks from a declaration and measure m, E_test and E_train.

    Args:
        model: the declaration.
        alpha: samples over d, a number or an array; each value has networks of its own.
        gamma: width of each layer over d.
        lam: ridge > 0, a number or an array; all ridges of one network share one decomposition.
        noise: variance of the label noise, >= 0.
        d: input dimensions; two or more allow the extrapolation to infinite size.
        trials: independent networks per d and alpha.
        seed: with d, alpha and the trial number it fixes each draw.
        executor: any ``concurrent.futures`` executor; None runs in this process.
        progress: force (True) or silence (False) the progress bar.
        resume: an earlier, perhaps interrupted, simulation whose trials are kept.
        checkpoint: called with the simulation so far every few seconds and at the end.

    Returns:
        Simulation with ``values[output]`` of shape ``(len(d), trials, *alpha.shape, *lam.shape)``.
        Ctrl-C ends the run and returns the finished trials.

    Raises:
        RangeError: if a control lies outside its range.
        ShapeError: if ``gamma`` has not one entry per layer.

    Accuracy: mean over trials, standard error ``Simulation.stderr``, plus a finite-size bias of
    order 1/d that ``numeric.compare`` extrapolates away.
    """
    grid, ridges = _positive("alpha", alpha), _positive("lam", lam)
    sizes = _sizes(d, float(grid.min(initial=np.inf)))
    _whole("trials", trials, 1)
    _whole("seed", seed, 0)
    plan = _plan(model, _widths(model, gamma), ridges, noise, seed)
    empty = _empty(plan, grid, sizes, trials)
    jobs = [
        Job((i, trial, *point), (sizes[i], float(grid[point]), trial))
        for trial in range(trials)
        for i in range(len(sizes))
        for point in np.ndindex(grid.shape)
    ]
    start = empty if resume is None else carry_over(resume, empty)
    task = partial(draw, plan)
    return run(task, jobs, start, executor=executor, show=progress, checkpoint=checkpoint)


def _plan(
    model: DeepFeatures, gamma: tuple[float, ...], lam: Array, noise: float, seed: int
) -> Plan:
    if not (np.isfinite(noise) and noise >= 0):
        raise RangeError(f"noise = {noise}", "out of range", "give a variance >= 0")
    target = model.target
    target_layers = model.target_functions()
    return Plan(
        layers=model.layer_functions(),
        gamma=gamma,
        target_layers=target_layers,
        target_gamma=(1.0,) * len(target_layers),
        level=target.level if isinstance(target, SharedLayer) else 0,
        spectrum=tuple((float(value), float(weight)) for value, weight in model.spectrum),
        signal=float(model.signal),
        noise=float(noise),
        lam=lam,
        seed=seed,
        neurons=model.neurons,
        rows=model.rows,
    )


def _empty(plan: Plan, grid: Array, sizes: tuple[int, ...], trials: int) -> Simulation:
    points = grid.shape + plan.lam.shape
    ones = np.ones(points)
    controls = {"alpha": grid.reshape(grid.shape + (1,) * plan.lam.ndim) * ones}
    controls |= {f"gamma_{l}": value * ones for l, value in enumerate(plan.gamma, 1)}
    controls |= {"lam": plan.lam * ones, "noise": plan.noise * ones}
    values = {output: np.full((len(sizes), trials, *points), np.nan) for output in OUTPUTS}
    return Simulation("deep features", str(plan), sizes, controls, values, plan.seed)


def _positive(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value, dtype=float)
    if not array.size or not (np.isfinite(array).all() and (array > 0).all()):
        raise RangeError(f"{name} = {value!r}", "out of range", f"give finite {name} > 0")
    return array


def _widths(model: DeepFeatures, gamma: float | Sequence[float]) -> tuple[float, ...]:
    widths = tuple(np.atleast_1d(_positive("gamma", gamma)).tolist())
    if len(widths) != model.depth:
        raise ShapeError(
            f"gamma = {gamma}",
            f"{len(widths)} widths for {model.depth} layers",
            "give one per layer",
        )
    return widths


def _sizes(d: int | Sequence[int], alpha: float) -> tuple[int, ...]:
    sizes = (d,) if isinstance(d, int) else tuple(d)
    if isinstance(d, str):
        raise RangeError(f"d = {d!r}", "text", "give a whole number, or a list of them")
    if not sizes or len(set(sizes)) != len(sizes):
        raise RangeError(f"d = {d}", "empty or with repeats", "give distinct sizes")
    for size in sizes:
        _whole("d", size, 2)
        if size * alpha < 1:
            raise RangeError(
                f"d = {size} with alpha = {alpha:g}", "less than one sample", "raise d or alpha"
            )
    return tuple(sorted(int(size) for size in sizes))


def _whole(name: str, value: int, least: int) -> None:
    if int(value) != value or value < least:
        raise RangeError(f"{name} = {value}", "out of range", f"give a whole number >= {least}")
