r"""Gradient descent from a small start on matrix factorisation: what training really recovers.

Stage: an experiment beside ``local_recovery``, on the one family where the optimistic sample size
can be compared with training at little cost. Targets of rank r are observed through n Gaussian
measurements, or n entries; A B is trained by gradient descent with momentum from a small start; the
fraction of targets recovered is reported.

What it does not show: the optimistic sample size is the least n from which recovery is possible by
a linearised model at some representation; it promises nothing about training. The fraction
recovered must be zero below it (that can be tested), rises above it, and depends on start, step and
time. For entries it cannot exceed the exact probability of ``completion_probability``.

Source: sheet rule "recovery experiments"; arXiv:2211.11623 for the phenomenon.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derive.errors import RangeError, UnknownNameError
from derive.recovery.completion import completion_probability
from derive.recovery.linear import MatrixFactorization
from derive.recovery.sizes import optimistic_sample_size

Array = NDArray[np.float64]
OBSERVED = ("gaussian", "entries")
RECOVERED = 1e-3
_RATE = 0.05
_MOMENTUM = 0.9
STATEMENT = (
    "recovery by training is not promised: the optimistic sample size is necessary for a local "
    "linear guarantee, and training from small starts reaches it only in part"
)


@dataclass(frozen=True, eq=False)
class SmallStart:
    """Errors of trained factorisations.

    Attributes:
        n: numbers of samples, shape (sizes,).
        errors: relative errors of the matrix, shape (sizes, targets).
        optimistic: the optimistic sample size.
        caps: for entries, the largest probability of recovery at each n; else ones above the
            optimistic size and zeros below.
        statement: what this does not show.
    """

    n: NDArray[np.int64]
    errors: Array
    optimistic: int
    caps: Array
    statement: str = STATEMENT

    @property
    def fractions(self) -> Array:
        """Fraction of targets with a relative error below 1e-3, by n.

        Accuracy: a count of targets; its standard error is at most 1/(2 sqrt(targets)).
        """
        return np.asarray((self.errors < RECOVERED).mean(axis=1))


def small_start(  # noqa: PLR0913  (each a knob of the experiment)
    family: MatrixFactorization,
    rank: int,
    n: Sequence[int],
    *,
    observed: str = "gaussian",
    start: float = 1e-5,
    targets: int = 20,
    steps: int = 6000,
    seed: int = 0,
) -> SmallStart:
    """Train on n samples of random targets of a rank, for each n.

    Args:
        family: shape of the factors.
        rank: rank of the targets.
        n: numbers of samples.
        observed: "gaussian" measurements trace(G_i X)/sqrt(p q), or distinct "entries".
        start: standard deviation of the entries of A and B at the start.
        targets: number of targets, all trained side by side.
        steps: steps of gradient descent with momentum 0.9.
        seed: of targets, samples and starts.

    Raises:
        RangeError: for sizes out of range.
        UnknownNameError: for another kind of observation.

    Accuracy: errors after the given number of steps; longer training lowers those that converge.
    """
    if observed not in OBSERVED:
        raise UnknownNameError(f"observed {observed!r}", "not known", "use gaussian or entries")
    size = optimistic_sample_size(family, rank).value
    if min(n) < 1 or (observed == "entries" and max(n) > family.p * family.q):
        raise RangeError(f"n = {min(n)} to {max(n)}", "out of range", "use 1 to p q")
    errors = [_trained(family, rank, count, observed, (start, targets, steps, seed)) for count in n]
    if observed == "entries":
        caps = [float(completion_probability(family.p, family.q, count, rank)) for count in n]
    else:
        caps = [float(count >= size) for count in n]
    return SmallStart(np.asarray(n, dtype=np.int64), np.array(errors), size, np.array(caps))


def _trained(
    family: MatrixFactorization,
    rank: int,
    n: int,
    observed: str,
    knobs: tuple[float, int, int, int],
) -> Array:
    """Return the relative error of each target after training."""
    start, targets, steps, seed = knobs
    p, q, h = family.p, family.q, family.h
    rng = np.random.default_rng([seed, n, rank])
    X = rng.normal(size=(targets, p, rank)) @ rng.normal(size=(targets, rank, q))
    X /= np.linalg.norm(X, axis=(1, 2), keepdims=True) / np.sqrt(rank)
    G = _measurements(rng, targets, n, p * q, observed)
    goal = np.einsum("tni,ti->tn", G, X.reshape(targets, -1))
    A, B = start * rng.normal(size=(targets, p, h)), start * rng.normal(size=(targets, h, q))
    dA, dB = np.zeros_like(A), np.zeros_like(B)
    normal = np.einsum("tni,tnj->tij", G, G)
    pulled = np.einsum("tni,tn->ti", G, goal)
    scale = _RATE / np.linalg.norm(normal, ord=2, axis=(1, 2)).reshape(-1, 1, 1) * 4
    for _ in range(steps):
        flat = (A @ B).reshape(targets, -1)
        slope = (np.einsum("tij,tj->ti", normal, flat) - pulled).reshape(targets, p, q)
        dA = _MOMENTUM * dA - scale * slope @ B.swapaxes(1, 2)
        dB = _MOMENTUM * dB - scale * A.swapaxes(1, 2) @ slope
        A, B = A + dA, B + dB
    distance = np.linalg.norm(A @ B - X, axis=(1, 2))
    return np.asarray(distance / np.linalg.norm(X, axis=(1, 2)))


def _measurements(
    rng: np.random.Generator, targets: int, n: int, entries: int, observed: str
) -> Array:
    """Return measurement vectors, shape (targets, n, entries)."""
    if observed == "gaussian":
        return rng.normal(size=(targets, n, entries)) / np.sqrt(entries)
    out = np.zeros((targets, n, entries))
    for t in range(targets):
        out[t, np.arange(n), rng.permutation(entries)[:n]] = 1.0
    return out
