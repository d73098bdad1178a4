r"""Networks with neurons: two layers, any depth, one convolutional layer, monomials.

Stage: declarations. Each gives its ``family()``, the number of its parameters, and ``target(k)``: a
point of the network that represents a random function of intrinsic size k and lies where the rank
of the tangent functions is least: surplus neurons have no weights at all or, where the activation
does not start linearly at zero, share the first neuron: its weights, and parts of what goes out.
Source: arXiv:2406.18035, arXiv:2105.14573 (embedding of narrow networks in wide ones).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from sympy import Add, Expr, Symbol

from derive.errors import RangeError, ShapeError, UnknownNameError
from derive.recovery.family import (
    Family,
    Point,
    applied,
    count,
    dot,
    draw,
    starts_linearly,
    symbols,
    zeros,
)

SHARING = ("shared", "local", "full", "pooled")


@dataclass(frozen=True)
class TwoLayer:
    """f = sum_i a_i s(w_i.x + b_i) + c.

    Attributes:
        d: dimension of the inputs.
        width: number of neurons m.
        activation: in the grammar of the reader.
        bias: whether neurons have a bias b_i.
        output_bias: whether there is a trainable constant c.

    Example:
        >>> TwoLayer(2, 1).family().expr
        a_1*tanh(w_1_1*x_1 + w_1_2*x_2)
    """

    d: int
    width: int
    activation: str = "tanh"
    bias: bool = False
    output_bias: bool = False

    def __post_init__(self) -> None:
        count(self.d, "d")
        count(self.width, "width")

    @property
    def parameters(self) -> int:
        """Number of parameters M."""
        return self.width * (self.d + 1 + self.bias) + self.output_bias

    def neuron(self, i: int) -> tuple[Symbol, list[Symbol], list[Symbol]]:
        """Return (a_i, [w_i1, ...], [b_i] or []) of neuron i = 1, 2, ..."""
        biases = symbols(f"b_{i}") if self.bias else []
        return Symbol(f"a_{i}", real=True), symbols(f"w_{i}", self.d), biases

    def family(self) -> Family:
        """Return the network as an expression."""
        x = symbols("x", self.d)
        terms: list[Expr] = []
        theta: list[Symbol] = []
        for i in range(1, self.width + 1):
            a, w, b = self.neuron(i)
            terms.append(a * applied(self.activation, Add(dot(w, x), *b)))
            theta += [a, *w, *b]
        if self.output_bias:
            constant = Symbol("c", real=True)
            terms.append(constant)
            theta.append(constant)
        return Family(Add(*terms), tuple(theta), tuple(x))

    def target(self, k: int, seed: int = 0) -> Point:
        """Return a point of least rank for a random function of k neurons."""
        _check_width(k, self.width, "neurons")
        rng = random.Random(seed)
        point = zeros(self.family().parameters)
        for i in range(1, k + 1):
            a, w, b = self.neuron(i)
            point |= {s: draw(rng) for s in (a, *w, *b)}
        if k and not starts_linearly(self.activation):
            split(point, [self.neuron(i) for i in (1, *range(k + 1, self.width + 1))])
        if self.output_bias:
            point[Symbol("c", real=True)] = draw(rng)
        return point


@dataclass(frozen=True)
class Monomial:
    """f = sum_i a_i (w_i.x)^p.

    Attributes:
        p: exponent.
        d: dimension of the inputs.
        width: number of neurons.
    """

    p: int
    d: int
    width: int

    def __post_init__(self) -> None:
        count(self.p, "p")

    @property
    def network(self) -> TwoLayer:
        """The network with activation z^p."""
        return TwoLayer(self.d, self.width, f"z**{self.p}")

    @property
    def parameters(self) -> int:
        """Number of parameters M."""
        return self.network.parameters

    def family(self) -> Family:
        """Return the network as an expression."""
        return self.network.family()

    def target(self, k: int, seed: int = 0) -> Point:
        """Return a point for a random function of k neurons."""
        return self.network.target(k, seed)


@dataclass(frozen=True)
class FullyConnected:
    """A network of any depth: widths (d, m_1, ..., m_L), the last layer linear.

    Attributes:
        widths: of the input, the hidden layers and the output. Several outputs are multiplied by
            probes v_1, v_2, ..., inputs that carry one output each.
        activation: in the grammar of the reader, the same in all hidden layers.
        bias: whether all layers have biases.

    Example:
        >>> FullyConnected((3, 4, 3, 1)).parameters
        35
    """

    widths: tuple[int, ...]
    activation: str = "tanh"
    bias: bool = True

    def __post_init__(self) -> None:
        if len(self.widths) < 2:
            raise ShapeError(f"widths {self.widths}", "too few", "give input and output widths")
        for l, width in enumerate(self.widths):
            count(width, f"widths[{l}]")

    @property
    def parameters(self) -> int:
        """Number of parameters M."""
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        return sum(after * (before + self.bias) for before, after in pairs)

    @property
    def hidden(self) -> int:
        """Number of hidden neurons."""
        return sum(self.widths[1:-1])

    def neuron(self, l: int, i: int) -> list[Symbol]:
        """Return weights and bias of neuron i of layer l, both counted from 1."""
        theta = symbols(f"w_{l}_{i}", self.widths[l - 1])
        return theta + (symbols(f"b_{l}_{i}") if self.bias else [])

    def family(self) -> Family:
        """Return the network as an expression."""
        x = symbols("x", self.widths[0])
        values: list[Expr] = list(x)
        theta: list[Symbol] = []
        last = len(self.widths) - 1
        for l in range(1, last + 1):
            sums = []
            for i in range(1, self.widths[l] + 1):
                own = self.neuron(l, i)
                theta += own
                sums.append(Add(dot(own[: len(values)], values), *own[len(values) :]))
            values = sums if l == last else [applied(self.activation, s) for s in sums]
        probes = symbols("v", len(values)) if len(values) > 1 else []
        expr = dot(probes, values) if probes else values[0]
        return Family(expr, tuple(theta), (*x, *probes))

    def target(self, narrow: Sequence[int], seed: int = 0) -> Point:
        """Return the narrow network of these widths, embedded by neurons without weights."""
        check_narrow(self.widths, narrow)
        rng = random.Random(seed)
        point = zeros(self.family().parameters)
        for l in range(1, len(narrow)):
            for i in range(1, narrow[l] + 1):
                own = self.neuron(l, i)
                point |= {s: draw(rng) for s in own[: narrow[l - 1]] + own[self.widths[l - 1] :]}
        if not starts_linearly(self.activation):
            for l in range(1, len(narrow) - 1):
                self._split(point, l, narrow)
        return point

    def _split(self, point: Point, l: int, narrow: Sequence[int]) -> None:
        """Let the surplus neurons of a layer share its first one."""
        surplus = range(narrow[l] + 1, self.widths[l] + 1)
        for i in surplus:
            pairs = zip(self.neuron(l, i), self.neuron(l, 1), strict=True)
            point |= {s: point[one] for s, one in pairs}
        for i in range(1, narrow[l + 1] + 1):
            after = self.neuron(l + 1, i)
            shares = [after[0], *(after[j - 1] for j in surplus)]
            point |= dict.fromkeys(shares, point[after[0]] / len(shares))


@dataclass(frozen=True)
class Convolutional:
    """One convolutional layer without padding, stride one, and a linear head.

    Attributes:
        shape: of the input: (d,) or (height, width), or more axes.
        kernel: shape of a kernel, as many axes.
        kernels: number of kernels m; for "full" sharing, neurons per position.
        sharing: "shared" weights, "local" kernels of their own at each position, "full" layers that
            see the whole input, or "pooled": shared, with one output weight a kernel.
        activation: in the grammar of the reader.
        bias: whether there is a bias beside each kernel.

    Example:
        >>> layer = Convolutional((4, 4), (2, 2), 1)
        >>> layer.taps, layer.positions, layer.parameters
        (4, 9, 13)
    """

    shape: tuple[int, ...]
    kernel: tuple[int, ...]
    kernels: int
    sharing: str = "shared"
    activation: str = "tanh"
    bias: bool = False

    def __post_init__(self) -> None:
        if self.sharing not in SHARING:
            raise UnknownNameError(
                f"sharing {self.sharing!r}", "not known", f"use {', '.join(SHARING)}"
            )
        if len(self.shape) != len(self.kernel):
            raise ShapeError(
                f"kernel of shape {self.kernel}",
                f"the input has shape {self.shape}",
                "give as many axes",
            )
        for size, taps in zip(self.shape, self.kernel, strict=True):
            count(taps, "kernel")
            if taps > size:
                raise ShapeError(
                    f"kernel of shape {self.kernel}", f"larger than {self.shape}", "make it smaller"
                )
        count(self.kernels, "kernels")

    @property
    def d(self) -> int:
        """Number of inputs."""
        return _product(self.shape)

    @property
    def taps(self) -> int:
        """Number of weights s of a kernel."""
        return _product(self.kernel)

    @property
    def positions(self) -> int:
        """Number of positions P of a kernel."""
        return _product([n - s + 1 for n, s in zip(self.shape, self.kernel, strict=True)])

    @property
    def parameters(self) -> int:
        """Number of parameters M."""
        k, s, P, b = self.kernels, self.taps, self.positions, int(self.bias)
        sizes = {
            "shared": k * (s + P + b),
            "local": k * P * (s + 1 + b),
            "full": k * P * (self.d + 1 + b),
            "pooled": k * (s + 1 + b),
        }
        return sizes[self.sharing]

    def windows(self) -> list[list[int]]:
        """Return the numbers of the inputs that a kernel sees at each position."""
        starts = product(*(range(n - s + 1) for n, s in zip(self.shape, self.kernel, strict=True)))
        offsets = list(product(*(range(s) for s in self.kernel)))
        return [[self._number(start, offset) for offset in offsets] for start in starts]

    def _number(self, start: Sequence[int], offset: Sequence[int]) -> int:
        number = 0
        for size, a, b in zip(self.shape, start, offset, strict=True):
            number = number * size + a + b
        return number

    def neuron(self, c: int, position: int) -> tuple[Symbol, list[Symbol], list[Symbol]]:
        """Return output weight, weights and bias of kernel c at a position, counted from 1."""
        own = "" if self.sharing in {"shared", "pooled"} else f"_{position}"
        size = self.d if self.sharing == "full" else self.taps
        name = f"a_{c}" if self.sharing == "pooled" else f"a_{c}_{position}"
        biases = symbols(f"b_{c}{own}") if self.bias else []
        return Symbol(name, real=True), symbols(f"w_{c}{own}", size), biases

    def family(self) -> Family:
        """Return the layer as an expression."""
        x = symbols("x", self.d)
        terms: list[Expr] = []
        theta: dict[Symbol, None] = {}
        for c in range(1, self.kernels + 1):
            for position, window in enumerate(self.windows(), 1):
                a, w, b = self.neuron(c, position)
                seen = x if self.sharing == "full" else [x[i] for i in window]
                terms.append(a * applied(self.activation, Add(dot(w, seen), *b)))
                theta |= dict.fromkeys([a, *w, *b])
        return Family(Add(*terms), tuple(theta), tuple(x))

    def target(self, k: int, seed: int = 0) -> Point:
        """Return the point of a random function of k shared kernels in this family."""
        _check_width(k, self.kernels, "kernels")
        rng = random.Random(seed)
        point = zeros(self.family().parameters)
        for c in range(1, k + 1):
            kernel = [draw(rng) for _ in range(self.taps)]
            bias, pooled = draw(rng), draw(rng)
            for position, window in enumerate(self.windows(), 1):
                a, w, b = self.neuron(c, position)
                point[a] = pooled if self.sharing == "pooled" else draw(rng)
                places = window if self.sharing == "full" else range(self.taps)
                point |= {w[i]: value for i, value in zip(places, kernel, strict=True)}
                point |= dict.fromkeys(b, bias)
        if k and not starts_linearly(self.activation):
            for position in range(1, self.positions + 1):
                surplus = (1, *range(k + 1, self.kernels + 1))
                split(point, [self.neuron(c, position) for c in surplus])
        return point


Neuron = tuple[Symbol, list[Symbol], list[Symbol]]


def split(point: Point, neurons: Sequence[Neuron]) -> None:
    """Let neurons share the first of them: its weights, and equal parts of its output weight."""
    first, *others = neurons
    value = point[first[0]]
    if any(point[a] != value for a, _, _ in others):  # pooled kernels share one output weight
        point |= dict.fromkeys([a for a, _, _ in neurons], value / len(neurons))
    for _, w, b in others:
        pairs = zip((*w, *b), (*first[1], *first[2]), strict=True)
        point |= {s: point[one] for s, one in pairs}


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _check_width(k: int, width: int, what: str) -> None:
    if not 0 <= k <= width:
        raise RangeError(f"a target of {k} {what}", f"the family has {width}", f"use 0 to {width}")


def check_narrow(widths: Sequence[int], narrow: Sequence[int]) -> None:
    """Refuse widths of a narrow network that does not fit into a wide one."""
    ends = (narrow[0], narrow[-1]) != (widths[0], widths[-1]) if narrow else True
    if (
        ends
        or len(narrow) != len(widths)
        or any(k > m for k, m in zip(narrow, widths, strict=True))
    ):
        raise ShapeError(
            f"a target of widths {tuple(narrow)}",
            f"it does not fit into {tuple(widths)}",
            "keep depth, input and output, and make no layer wider",
        )
