r"""Families of critical points: a critical network, split, stays critical along a whole family.

Stage: a narrow fully connected network is driven to a critical point of its loss on given data; one
neuron of every hidden layer is split, and the gradient of the wide network is measured along the
family of splittings. With K split neurons, K_l of them in layer l, the family has dimension at
least K + sum_l K_l K_{l+1}.

The family, for one split neuron a layer: outgoing weights v of the neuron become beta_l v and
(1 - beta_l) v. Where they go to a split neuron of the next layer, its two copies may take different
parts, beta_l + gamma_l (1 - beta_{l+1}) and beta_l - gamma_l beta_{l+1}: only their mean with the
weights beta_{l+1}, 1 - beta_{l+1} matters. That is one beta a layer and one gamma a pair of layers.

Source: arXiv:2105.14573, arXiv:2111.15527 (embedding principle); sheet rule R11.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from derive.errors import NotConvergedError, ShapeError
from derive.recovery.networks import FullyConnected
from numeric.experiments.local_recovery import largest_gap
from numeric.tangent import Tangent, compile_tangent

Array = NDArray[np.float64]
_NEWTON = 30
_DAMPED = 1500
_NEAR = 0.1
_STARTS = 20
_NOISE = 0.1
_GOAL = 1e-10
_LARGEST = 50.0  # larger weights mean that the minimum lies at infinity
Layers = list[Array]


@dataclass(frozen=True, eq=False)
class EmbeddingFamily:
    """A critical point of a narrow network, embedded in a wide one.

    Attributes:
        narrow_gradient: largest entry of the gradient at the narrow critical point.
        wide_gradients: the same at members of the family, in the wide network.
        off_gradient: the same beside the family, where one weight of a copy is moved by 0.1; large,
            or the test shows nothing.
        loss: mean squared error at the critical point, not zero.
        dimension: dimension of the family, measured.
        bound: K + sum_l K_l K_{l+1}.
        spread: largest distance of the functions of the members from the narrow one.
    """

    narrow_gradient: float
    wide_gradients: Array
    off_gradient: float
    loss: float
    dimension: int
    bound: int
    spread: float


def embedding_family(
    widths: tuple[int, ...], *, samples: int = 300, members: int = 5, seed: int = 0
) -> EmbeddingFamily:
    """Train a narrow network to a critical point, split it, and measure gradients and dimension.

    Args:
        widths: of the narrow network, one output; one neuron of each hidden layer is split.
        samples: noisy data of a network of the same widths, more than the network can fit, so that
            the loss stays positive.
        members: random members of the family.
        seed: of data and starts.

    Raises:
        ShapeError: without hidden layer or with several outputs.
        NotConvergedError: if no critical point is found.

    Accuracy: gradients to about 1e-14; the dimension is a rank with the largest gap.

    Example:
        >>> found = embedding_family((1, 2, 1))
        >>> found.dimension, found.bound, bool(found.wide_gradients.max() < 1e-9)
        (1, 1, True)
    """
    if len(widths) < 3 or widths[-1] != 1:
        raise ShapeError(f"widths {widths}", "no hidden layer or several outputs", "use (d, k, 1)")
    hidden = len(widths) - 2
    wide = (widths[0], *(w + 1 for w in widths[1:-1]), 1)
    small, large = (compile_tangent(FullyConnected(w).family()) for w in (widths, wide))
    rng = np.random.default_rng([seed, samples])
    x = rng.normal(size=(samples, widths[0]))
    theta, y = _critical_point(small, x, rng)
    layers = _unpacked(theta, widths)
    shapes = hidden, hidden - 1
    coordinates = [rng.uniform(0.2, 0.8, size=sum(shapes)) for _ in range(members)]
    wides = [_split(layers, c, hidden) for c in coordinates]
    fresh = rng.normal(size=(samples, widths[0]))
    spread = max(float(np.abs(large(t, fresh)[0] - small(theta, fresh)[0]).max()) for t in wides)
    step = 1e-6
    moved = [
        (_split(layers, coordinates[0] + step * e, hidden) - wides[0]) / step
        for e in np.eye(sum(shapes))
    ]
    dimension, _ = largest_gap(np.linalg.svd(np.array(moved), compute_uv=False))
    return EmbeddingFamily(
        narrow_gradient=float(np.abs(_gradient(small, theta, x, y)).max()),
        wide_gradients=np.array([np.abs(_gradient(large, t, x, y)).max() for t in wides]),
        off_gradient=_beside(large, wides[0], x, y),
        loss=float(np.mean((small(theta, x)[0] - y) ** 2)),
        dimension=dimension,
        bound=sum(shapes),
        spread=spread,
    )


def _gradient(tangent: Tangent, theta: Array, x: Array, y: Array) -> Array:
    value, rows = tangent(theta, x)
    return np.asarray(2 / len(x) * rows.T @ (value - y))


def _beside(tangent: Tangent, theta: Array, x: Array, y: Array) -> float:
    """Return the largest entry of the gradient after one weight has left the family."""
    moved = theta.copy()
    moved[0] += 0.1
    return float(np.abs(_gradient(tangent, moved, x, y)).max())


def _critical_point(tangent: Tangent, x: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a critical point of positive loss, to rounding, and the data.

    The data are a network of the same widths with noise: fitting starts at that network, and ends
    at a minimum where all neurons are used. (Where some are not, any splitting is critical.)
    """
    smallest = np.inf
    for _ in range(_STARTS):
        teacher = 1.5 * rng.normal(size=len(tangent.family.parameters))
        y = tangent(teacher, x)[0] + _NOISE * rng.normal(size=len(x))
        theta = _polished(tangent, _damped(tangent, teacher, x, y), x, y)
        size = float(np.abs(_gradient(tangent, theta, x, y)).max())
        smallest = min(smallest, size)
        if size < _GOAL and np.abs(theta).max() < _LARGEST:
            return theta, y
    raise NotConvergedError("a critical point", f"gradient {smallest:.1e}", "use another seed")


def _damped(tangent: Tangent, theta: Array, x: Array, y: Array) -> Array:
    """Return the parameters after damped Gauss-Newton steps (Levenberg and Marquardt)."""
    damping = 1e-2
    value, rows = tangent(theta, x)
    for _ in range(_DAMPED):
        normal = rows.T @ rows
        normal += damping * np.diag(np.maximum(np.diag(normal), 1e-9))
        moved = theta - np.linalg.solve(normal, rows.T @ (value - y))
        there, new_rows = tangent(moved, x)
        if np.sum((there - y) ** 2) < np.sum((value - y) ** 2):
            theta, value, rows, damping = moved, there, new_rows, max(damping / 3, 1e-12)
        else:
            damping *= 4
        if damping > 1e12:
            break
    return theta


def _polished(tangent: Tangent, theta: Array, x: Array, y: Array) -> Array:
    """Return the point after Newton steps on the gradient, as long as they help."""
    size = np.inf
    for _ in range(_NEWTON):
        gradient = _gradient(tangent, theta, x, y)
        if not np.abs(gradient).max() < size:
            break
        best, size = theta, float(np.abs(gradient).max())
        step = 1e-6
        columns = [
            _gradient(tangent, theta + step * e, x, y) - _gradient(tangent, theta - step * e, x, y)
            for e in np.eye(theta.size)
        ]
        newton = np.linalg.lstsq(np.array(columns).T / (2 * step), gradient, rcond=1e-10)[0]
        if np.linalg.norm(newton) > _NEAR * (1 + np.linalg.norm(theta)):
            break  # towards another critical point
        theta = theta - newton
    return best


def _unpacked(theta: Array, widths: tuple[int, ...]) -> Layers:
    """Return each layer as (neurons, weights and bias), in the order of ``FullyConnected``."""
    out, at = [], 0
    for before, after in pairwise(widths):
        size = after * (before + 1)
        out.append(theta[at : at + size].reshape(after, before + 1))
        at += size
    return out


def _split(layers: Layers, coordinates: Array, hidden: int) -> Array:
    """Return the wide parameters with the first neuron of each hidden layer split."""
    beta, gamma = coordinates[:hidden], coordinates[hidden:]
    out = []
    for l, layer in enumerate(layers):
        weights, bias = layer[:, :-1], layer[:, -1:]
        if l > 0:
            weights = np.hstack([weights, weights[:, :1]])
        wide = np.hstack([weights, bias])
        if l < hidden:
            wide = np.vstack([wide, wide[:1]])
        if l > 0:
            part = np.full(len(wide), beta[l - 1])
            if l < hidden:
                part[0] += gamma[l - 1] * (1 - beta[l])
                part[-1] -= gamma[l - 1] * beta[l]
            wide[:, 0] *= part
            wide[:, -2] *= 1 - part
        out.append(wide.reshape(-1))
    return np.concatenate(out)
