r"""Convolutional targets with given kernels: which placements are the same function.

Stage: beside ``sizes``, for kernels that are not generic. A kernel with zeros at its ends, or a
symmetric one, may give the same function at several positions, up to sign; a local or full layer
then needs one neuron for all of them, and none where their output weights cancel.

Source: arXiv:2406.18035 for generic kernels; the count of distinct placements is derived here.
"""

from dataclasses import dataclass

from sympy import Expr, Integer

from derive.errors import NotSupportedError, ShapeError
from derive.exact import Number, exact_number
from derive.recovery.family import Point, zeros
from derive.recovery.networks import Convolutional

_ODD = frozenset({"tanh", "erf"})


@dataclass(frozen=True)
class Kernels:
    """A convolutional function without biases, kernel by kernel.

    Attributes:
        weights: the taps of each kernel, in the order of ``Convolutional.windows``.
        outputs: the output weight of each kernel at each position.
    """

    weights: tuple[tuple[Number, ...], ...]
    outputs: tuple[tuple[Number, ...], ...]


@dataclass(frozen=True)
class Placement:
    """One neuron of a local or full layer: output weight, position, and its place in the input."""

    output: Expr
    position: int
    weights: tuple[Expr, ...]


def placements(layer: Convolutional, kernels: Kernels) -> tuple[Placement, ...]:
    """Return the distinct neurons of a function, equal or opposite ones taken together.

    Raises:
        NotSupportedError: for layers with biases or an activation that is not odd.
        ShapeError: if the numbers of weights do not fit the layer.

    Example:
        >>> layer = Convolutional((4,), (2,), 1, "full")
        >>> len(placements(layer, Kernels(((1, 2),), ((1, 1, 1),))))
        3
        >>> len(placements(layer, Kernels(((1, 0), (0, -1)), ((1, 1, 1), (1, 1, 2)))))
        2
    """
    if layer.bias or layer.activation not in _ODD:
        raise NotSupportedError(
            "distinct placements", "counted for odd activations without biases", "use model_rank"
        )
    found: dict[tuple[Expr, ...], Placement] = {}
    for taps, outputs in zip(kernels.weights, kernels.outputs, strict=True):
        if len(taps) != layer.taps or len(outputs) != layer.positions:
            raise ShapeError(
                f"a kernel of {len(taps)} taps with {len(outputs)} outputs",
                f"the layer has {layer.taps} taps and {layer.positions} positions",
                "give as many",
            )
        for position, (window, output) in enumerate(zip(layer.windows(), outputs, strict=True), 1):
            _add(found, layer, window, taps, (position, exact_number(output)))
    return tuple(p for p in found.values() if p.output != 0)


def _add(
    found: dict[tuple[Expr, ...], Placement],
    layer: Convolutional,
    window: list[int],
    taps: tuple[Number, ...],
    place: tuple[int, Expr],
) -> None:
    """Add one placement to those with the same weights, up to sign."""
    position, output = place
    weights: list[Expr] = [Integer(0)] * layer.d
    for i, value in zip(window, taps, strict=True):
        weights[i] = exact_number(value)
    lead = next((w for w in weights if w != 0), None)
    if lead is None:
        return
    sign = 1 if lead.is_positive else -1
    key = tuple(sign * w for w in weights)
    before = found.get(key, Placement(Integer(0), position, key))
    found[key] = Placement(before.output + sign * output, before.position, key)


def placement_point(layer: Convolutional, kernels: Kernels) -> Point:
    """Return parameters of a local or full layer that represent the function with fewest neurons.

    Raises:
        NotSupportedError: for shared or pooled weights.
        ShapeError: if the layer has too few neurons at a position.
    """
    _check_sharing(layer)
    point = zeros(layer.family().parameters)
    used = dict.fromkeys(range(1, layer.positions + 1), 0)
    for placement in placements(layer, kernels):
        position = placement.position
        if layer.sharing == "full":
            position = min(used, key=lambda p: used[p])
        used[position] += 1
        if used[position] > layer.kernels:
            raise ShapeError(
                f"{layer.kernels} neurons at each position", "too few for this function", "add some"
            )
        a, w, _ = layer.neuron(used[position], position)
        window = layer.windows()[position - 1]
        places = range(layer.d) if layer.sharing == "full" else window
        point |= {s: placement.weights[i] for s, i in zip(w, places, strict=True)}
        point[a] = placement.output
    return point


def placement_count(layer: Convolutional, kernels: Kernels) -> int:
    """Return the optimistic sample size: neurons times parameters of a neuron.

    Raises:
        NotSupportedError: for shared or pooled weights.

    Example:
        >>> symmetric = Kernels(((1, 0, 0), (0, 0, 1)), ((1, 1, 1), (1, 1, 1)))
        >>> placement_count(Convolutional((5,), (3,), 2, "local"), symmetric)
        20
    """
    _check_sharing(layer)
    each = (layer.taps if layer.sharing == "local" else layer.d) + 1
    return len(placements(layer, kernels)) * each


def _check_sharing(layer: Convolutional) -> None:
    if layer.sharing not in {"local", "full"}:
        raise NotSupportedError(
            f"given kernels with {layer.sharing} weights",
            "kernels that coincide move together, and no closed form is known",
            "certify the rank at the point with model_rank",
        )
