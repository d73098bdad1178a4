r"""Population covariances of networks with given weights, trained or random, layer by layer.

Stage: weights, biases, activations and the covariance of Gaussian inputs in; the joint covariances
of the last layers of a learner and of a target network out. Nothing is assumed of the weights: each
unit has the mean and variance that its own row gives it.

**Recursion.** With x ~ (mu, Omega) below, u = W x + b has means m and covariance K = W Omega W^T,
correlations R. Each unit's output has Hermite coefficients c_j at its own mean and variance, and

.. math:: \Omega'_{il} = \sum_{j=1}^{J} c_{ij} c_{lj} R_{il}^j/j! \quad (i \ne l), \qquad
          \Omega'_{ii} = \mathrm{Var}\, s(u_i).

J = 1 is the linearisation kappa_1^2 W Omega W^T + kappa_*^2 of the papers, right for rows that are
nearly orthogonal; J = 2, 3, ... keep the next terms, which matter for trained weights. The
covariance Phi of two networks obeys the same rule with the coefficients of both; where they have
the same width, paired units may share weights, and their covariance is E[s(u_i) t(v_i)] less the
product of the means, exactly: kappa_*^2 of the pair is what that leaves over the linear part, and
may be negative. A deeper network goes on alone, Phi' = D_kappa1 W Phi.

What is approximate: arguments of deeper layers are taken as Gaussian. ``neglected`` measures the
terms beyond J: the norm of the next two, relative to the norm of Omega.
Source: arXiv:2402.13999, eq. 26-27, with normalised traces; per-row constants derived here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr

from derive.activation import Activation
from derive.errors import RangeError, ShapeError
from numeric.experiments.elementwise import apply
from numeric.populations.matrices import Covariances, finite_array, spectrum, symmetric
from numeric.populations.unit_constants import Side, UnitConstants, pair_means, unit_constants

Array = NDArray[np.float64]
_BEYOND = 2


@dataclass(frozen=True, eq=False)
class Network:
    """A network x_l = s_l(W_l x_{l-1} + b_l), as it is applied: no further factors.

    Attributes:
        weights: one matrix per layer, (k_l, k_{l-1}).
        activations: one per layer.
        biases: one vector per layer, (k_l,).

    Use ``network(...)`` to build one.
    """

    weights: tuple[Array, ...]
    activations: tuple[Activation, ...]
    biases: tuple[Array, ...]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.weights)

    def features(self, x: Array) -> Array:
        """Return the features of the last layer, (k_L, count), of inputs (d, count).

        Accuracy: that of the arithmetic.
        """
        for weight, activation, bias in self.layers():
            x = apply(activation.expr, weight @ x + bias[:, None])
        return x

    def layers(self) -> list[tuple[Array, Activation, Array]]:
        """Return (weight, activation, bias) of each layer."""
        return list(zip(self.weights, self.activations, self.biases, strict=True))

    def __repr__(self) -> str:
        widths = " -> ".join(str(w.shape[0]) for w in self.weights)
        into = f"{self.weights[0].shape[1]} -> " if self.weights else "inputs"
        return f"Network({into}{widths}; {', '.join(map(str, self.activations))})"


def network(
    weights: Sequence[ArrayLike],
    activations: Sequence[Activation | Expr | str] | str,
    biases: Sequence[ArrayLike] | None = None,
) -> Network:
    """Declare a network by its weights; no layers at all is the input itself.

    Args:
        weights: one matrix (k_l, k_{l-1}) per layer, as applied to the layer below.
        activations: one per layer, or one for all.
        biases: one vector per layer; zero by default.

    Raises:
        ShapeError: shapes that do not chain, or as many activations or biases as there are not.
        RangeError: entries that are not finite.

    Example:
        >>> network([np.eye(3), np.ones((2, 3))], "tanh")
        Network(3 -> 3 -> 2; tanh, tanh)
    """
    named = [activations] * len(weights) if isinstance(activations, str) else list(activations)
    if len(named) != len(weights):
        raise ShapeError(
            "activations", f"{len(named)} for {len(weights)} layers", "give one per layer"
        )
    matrices = [finite_array(f"weights[{i}]", w, 2) for i, w in enumerate(weights)]
    for i in range(1, len(matrices)):
        if matrices[i].shape[1] != matrices[i - 1].shape[0]:
            raise ShapeError(
                f"weights[{i}] of shape {matrices[i].shape}",
                f"weights[{i - 1}] has shape {matrices[i - 1].shape}",
                f"it must have {matrices[i - 1].shape[0]} columns",
            )
    given = [np.zeros(m.shape[0]) for m in matrices] if biases is None else list(biases)
    vectors = [finite_array(f"biases[{i}]", b, 1) for i, b in enumerate(given)]
    if [v.size for v in vectors] != [m.shape[0] for m in matrices]:
        raise ShapeError(
            "biases",
            f"lengths {[v.size for v in vectors]}",
            f"give vectors of lengths {[m.shape[0] for m in matrices]}",
        )
    read = [a if isinstance(a, Activation) else Activation(a) for a in named]
    return Network(tuple(matrices), tuple(read), tuple(vectors))


@dataclass(frozen=True, eq=False)
class Linearised:
    """Joint covariances of two networks, and how good the expansion is.

    Attributes:
        covariances: of the (centred) features of the last layers.
        mean: mean of the learner's features, (p,).
        target_mean: mean of the target's features, (k,).
        neglected: norm of the next two orders over the norm of Omega, largest over the layers.
        error: error estimate of the constants, relative.
    """

    covariances: Covariances
    mean: Array
    target_mean: Array
    neglected: float
    error: float


@dataclass(frozen=True)
class _State:
    """Means and covariances of both networks at some level."""

    mean: Array
    omega: Array
    target_mean: Array
    psi: Array
    phi: Array
    neglected: float = 0.0
    error: float = 0.0


def linearise(
    learner: Network, target: Network, inputs: ArrayLike | int | None = None, *, order: int = 1
) -> Linearised:
    """Return the joint population covariances of two networks on the same Gaussian inputs.

    Args:
        learner: the network whose last layer is read out.
        target: the network whose last layer makes the labels; no layers is the input itself.
        inputs: covariance of the inputs: a matrix, its diagonal, or the dimension for the unit
            matrix; by default the unit matrix of the networks' dimension.
        order: Hermite orders kept between different units.

    Raises:
        ShapeError: networks of different input dimension.
        RangeError: order < 1, or a covariance that is none.

    Accuracy: constants to ``Linearised.error``; the expansion to about ``neglected``, and to the
        Gaussian approximation of deeper arguments (both vanish for random weights as d grows).

    Example:
        >>> one = network([np.eye(2)], "z**3 - 3*z")
        >>> linearise(one, network([], ())).covariances.phi.round(12).tolist()
        [[0.0, 0.0], [0.0, 0.0]]
    """
    if order < 1:
        raise RangeError(f"order = {order}", "less than one", "give a whole number >= 1")
    omega = input_covariance(learner, target, inputs)
    zero = np.zeros(omega.shape[0])
    state = _State(zero, omega, zero, omega, omega)
    common = min(learner.depth, target.depth)
    layers, others = learner.layers(), target.layers()
    for mine, theirs in zip(layers, others, strict=False):
        state = _both(state, mine, theirs, order)
    for layer in layers[common:]:
        state = _learner(state, layer, order)
    for layer in others[common:]:
        state = _swapped(_learner(_swapped(state), layer, order))
    joint = Covariances(state.omega, state.phi, state.psi)
    return Linearised(joint, state.mean, state.target_mean, state.neglected, state.error)


def input_covariance(
    learner: Network, target: Network, inputs: ArrayLike | int | None = None
) -> Array:
    """Return the covariance of the inputs as a matrix, checked against both networks.

    Raises:
        ShapeError: no dimension given, or dimensions that differ.
        RangeError: not symmetric, or not positive semidefinite.

    Accuracy: entries are not changed.
    """
    sizes = {net.weights[0].shape[1] for net in (learner, target) if net.depth}
    if inputs is None and len(sizes) == 1:
        return np.eye(sizes.pop())
    if inputs is None or isinstance(inputs, int):
        sizes |= set() if inputs is None else {inputs}
        if len(sizes) != 1 or min(sizes) < 1:
            raise ShapeError(
                "inputs", f"dimensions {sorted(sizes)}", "give networks on one input dimension"
            )
        return np.eye(sizes.pop())
    array = np.asarray(inputs, dtype=float)
    matrix = np.diag(finite_array("inputs", array, 1)) if array.ndim == 1 else array
    matrix = finite_array("inputs", matrix, 2)
    symmetric("inputs", matrix)
    spectrum("inputs", matrix)
    if sizes - {matrix.shape[0]}:
        raise ShapeError(
            f"inputs of dimension {matrix.shape[0]}",
            f"the networks take {sorted(sizes)}",
            "give one input dimension",
        )
    return matrix


Layer = tuple[Array, Activation, Array]


@dataclass(frozen=True)
class _Units:
    """One layer's units: the law of their arguments, and the constants of their outputs."""

    activation: Activation
    argument: Array
    correlation: Array
    constants: UnitConstants

    def covariance(self, order: int) -> tuple[Array, float]:
        """Return the covariance of the outputs, and the relative norm of what it neglects."""
        c = self.constants.coefficients
        within = expansion(c, c, self.correlation, (1, order))
        beyond = expansion(c, c, self.correlation, (order + 1, order + _BEYOND))
        np.fill_diagonal(within, self.constants.variance)
        np.fill_diagonal(beyond, 0.0)
        size = max(float(np.linalg.norm(within)), 1e-300)
        return within, float(np.linalg.norm(beyond)) / size

    def side(self) -> Side:
        """Return the units as one side of pairs."""
        return Side(self.activation, self.argument, self.constants.std)


def _units(layer: Layer, mean: Array, covariance: Array, order: int) -> _Units:
    weight, activation, bias = layer
    below = weight @ covariance @ weight.T
    std = np.sqrt(np.maximum(np.diag(below), 0.0))
    argument = weight @ mean + bias
    constants = unit_constants(activation, argument, std, order + _BEYOND)
    return _Units(activation, argument, _correlation(below, std, std), constants)


def _correlation(covariance: Array, one: Array, other: Array) -> Array:
    scale = np.outer(one, other)
    return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)


def expansion(one: Array, other: Array, correlation: Array, orders: tuple[int, int]) -> Array:
    """Return sum_j c_j d_j^T R^j/j! over orders first to last, entrywise powers.

    Args:
        one: coefficients of the rows, shape (at least last + 1, rows).
        other: coefficients of the columns, likewise.
        correlation: R, shape (rows, columns).
        orders: first and last.

    Accuracy: rounding only.
    """
    first, last = orders
    power = correlation**first / factorial(first)
    total = power * np.outer(one[first], other[first])
    for j in range(first + 1, last + 1):
        power = power * correlation / j
        total += power * np.outer(one[j], other[j])
    return total


def _learner(state: _State, layer: Layer, order: int) -> _State:
    """Carry the learner one layer up; the target stays."""
    units = _units(layer, state.mean, state.omega, order)
    omega, neglected = units.covariance(order)
    return _State(
        units.constants.mean,
        omega,
        state.target_mean,
        state.psi,
        units.constants.slope[:, None] * (layer[0] @ state.phi),
        max(state.neglected, neglected),
        max(state.error, units.constants.error),
    )


def _swapped(state: _State) -> _State:
    return _State(
        state.target_mean,
        state.psi,
        state.mean,
        state.omega,
        state.phi.T,
        state.neglected,
        state.error,
    )


def _both(state: _State, mine: Layer, theirs: Layer, order: int) -> _State:
    """Carry both networks one layer up."""
    one = _units(mine, state.mean, state.omega, order)
    other = _units(theirs, state.target_mean, state.psi, order)
    omega, neglected = one.covariance(order)
    psi, also_neglected = other.covariance(order)
    cross = mine[0] @ state.phi @ theirs[0].T
    correlation = _correlation(cross, one.constants.std, other.constants.std)
    phi = expansion(
        one.constants.coefficients, other.constants.coefficients, correlation, (1, order)
    )
    error = max(state.error, one.constants.error, other.constants.error)
    if phi.shape[0] == phi.shape[1]:
        paired, pair_error = pair_means(one.side(), other.side(), np.diag(correlation))
        np.fill_diagonal(phi, paired - one.constants.mean * other.constants.mean)
        error = max(error, pair_error)
    return _State(
        one.constants.mean,
        omega,
        other.constants.mean,
        psi,
        phi,
        max(state.neglected, neglected, also_neglected),
        error,
    )
