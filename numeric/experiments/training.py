r"""Training of small networks by gradient steps, in plain array code, seeded.

Stage: an experiment's source of trained weights. A network with a linear readout on top is fitted
to labels by Adam on minibatches of the squared error; the gradients are written out layer by layer.
Fresh inputs of a target network, or rows of a data set, are the two sources of batches.

Conventions: predictions a.x_L/sqrt(k_L); loss is the mean of (prediction - label)^2 over a batch;
weights start as N(0, 1/k_{l-1}). Source of the optimiser: Kingma and Ba, arXiv:1412.6980.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, diff

from derive.activation import Activation
from derive.errors import RangeError
from derive.symbols import z
from numeric.experiments.elementwise import apply
from numeric.experiments.sampling import generator
from numeric.populations.networks import Network

Array = NDArray[np.float64]
Batches = Callable[[np.random.Generator], tuple[Array, Array]]
_FIRST, _SECOND, _FLOOR = 0.9, 0.999, 1e-8


@dataclass(frozen=True, eq=False)
class Trained:
    """A network after training.

    Attributes:
        network: the layers below the readout.
        initial: the same layers before training.
        readout: a, shape (k_L,).
        losses: training loss of each step.
    """

    network: Network
    initial: Network
    readout: Array
    losses: Array

    @property
    def moved(self) -> tuple[float, ...]:
        """Per layer, |W - W_0| over |W_0| (Frobenius)."""
        pairs = zip(self.network.weights, self.initial.weights, strict=True)
        return tuple(float(np.linalg.norm(w - v) / np.linalg.norm(v)) for w, v in pairs)


def fresh(target: Network, theta: Array, noise: float, batch: int) -> Batches:
    """Return batches of fresh Gaussian inputs labelled by a target network."""
    d, scale = target.weights[0].shape[1], np.sqrt(target.weights[-1].shape[0])

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        x = rng.standard_normal((d, batch))
        y = theta @ target.features(x) / scale + np.sqrt(noise) * rng.standard_normal(batch)
        return x, y

    return draw


def rows(features: Array, labels: Array, batch: int) -> Batches:
    """Return batches of rows of a data set, drawn with replacement."""

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        chosen = rng.integers(0, labels.size, batch)
        return features[chosen].T, labels[chosen]

    return draw


def train(
    batches: Batches,
    sizes: Sequence[int],
    activation: Activation,
    *,
    steps: int = 300,
    rate: float = 3e-3,
    seed: int = 0,
) -> Trained:
    """Train a network of given sizes with one activation, all layers and the readout.

    Args:
        batches: draws (inputs (d, batch), labels (batch,)).
        sizes: input dimension and widths, (d, k_1, ..., k_L).
        activation: of every layer.
        steps: number of steps.
        rate: step size of Adam.
        seed: fixes start and batches.

    Raises:
        RangeError: fewer than one layer or step, or a rate that is not positive.

    Example:
        >>> target = Network((np.eye(4),), (Activation("tanh"),), (np.zeros(4),))
        >>> found = train(fresh(target, np.ones(4), 0.0, 64), (4, 8), Activation("tanh"), steps=50)
        >>> bool(found.losses[-10:].mean() < found.losses[:10].mean())
        True
    """
    if len(sizes) < 2 or steps < 1 or not rate > 0:
        raise RangeError(
            f"sizes {tuple(sizes)}, steps {steps}, rate {rate}",
            "nothing to train",
            "give at least one layer, one step and a rate > 0",
        )
    rng = generator(seed, *sizes)
    start = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    parameters = [*(w.copy() for w in start), rng.standard_normal(sizes[-1])]
    slope = diff(activation.expr, z)
    first = [np.zeros_like(w) for w in parameters]
    second = [np.zeros_like(w) for w in parameters]
    losses = np.empty(steps)
    for step in range(1, steps + 1):
        x, y = batches(rng)
        losses[step - 1], gradients = _gradients(parameters, x, y, (activation, slope))
        for i, gradient in enumerate(gradients):
            first[i] = _FIRST * first[i] + (1 - _FIRST) * gradient
            second[i] = _SECOND * second[i] + (1 - _SECOND) * gradient**2
            mean, square = first[i] / (1 - _FIRST**step), second[i] / (1 - _SECOND**step)
            parameters[i] = parameters[i] - rate * mean / (np.sqrt(square) + _FLOOR)
    named = (activation,) * len(start)
    zeros = tuple(np.zeros(w.shape[0]) for w in start)
    return Trained(
        Network(tuple(parameters[:-1]), named, zeros),
        Network(tuple(start), named, zeros),
        parameters[-1],
        losses,
    )


def _gradients(
    parameters: Sequence[Array], x: Array, y: Array, functions: tuple[Activation, Expr]
) -> tuple[float, list[Array]]:
    """Return the loss of a batch and its gradient in every parameter."""
    activation, slope = functions
    inputs, arguments = [x], []
    for weight in parameters[:-1]:
        arguments.append(weight @ inputs[-1])
        inputs.append(apply(activation.expr, arguments[-1]))
    readout, scale = parameters[-1], np.sqrt(parameters[-1].size)
    gap = readout @ inputs[-1] / scale - y
    back = 2 * gap / y.size
    gradients = [inputs[-1] @ back / scale]
    signal = np.outer(readout / scale, back)
    for weight, argument, below in zip(
        reversed(parameters[:-1]), reversed(arguments), reversed(inputs[:-1]), strict=True
    ):
        signal = signal * apply(slope, argument)
        gradients.append(signal @ below.T)
        signal = weight.T @ signal
    return float(np.mean(gap**2)), gradients[::-1]
