r"""Deep random features: the declaration, and its equations on two routes.

Stage: activations, target and input spectrum in; a frozen ``DeepFeatures`` that the theory and the
experiment both read. ``DeepFeatures.system(route)`` returns a System.

Setting: inputs x ~ N(0, Omega_0) in dimension d, features phi(x) = s_L(W_L s_{L-1}(... W_1 x))
with independent W_l of variance 1/k_{l-1}, labels y = theta.phi_*(x)/sqrt(k) + noise, ridge
regression on phi(x)/sqrt(p). All dimensions grow together: alpha = n/d, gamma_l = k_l/d.
Source: arXiv:2402.13999, arXiv:2302.00401; see ``derive.layers`` for the equations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sympy import Expr, Integer, Mul, Symbol

from derive.activation import Activation
from derive.block import symbols_of
from derive.chains.neurons import Neurons, neurons
from derive.chains.propagation import Signal, gain_symbol, noise_symbol, propagate
from derive.chains.structured_weights import Atoms
from derive.chains.structured_weights import mean as mean_of
from derive.errors import NotSupportedError, RangeError, ShapeError, UnknownNameError
from derive.exact import Number, exact_number
from derive.layers import (
    Base,
    Chain,
    Layer,
    MixedLayer,
    Teacher,
    covariance_system,
    kernel_system,
    width,
)
from derive.provenance import SCHRODER_2023, SCHRODER_2024, THIS
from derive.rewrite import Log, Step
from derive.symbols import Quantity
from derive.system import System


@dataclass(frozen=True)
class Linear:
    """Target linear in the input: y = theta.x/sqrt(d)."""


@dataclass(frozen=True)
class RandomFeatures:
    """Target on random features with weights of its own: y = theta.phi_*(x)/sqrt(k)."""

    activations: tuple[Activation, ...]


@dataclass(frozen=True)
class SharedLayer:
    """Target linear in the learner's own features of one layer: y = theta.phi_l(x)/sqrt(k_l)."""

    level: int


Target = Linear | RandomFeatures | SharedLayer
PerLayer = Number | Sequence[Number | Sequence[tuple[Number, Number]]]
"""One number for every layer, or one entry per layer."""
DIGITS = 11
"""Accuracy of means over normal biases, unless asked otherwise."""


@dataclass(frozen=True)
class DeepFeatures:
    """A deep random-features ridge regression, declared.

    Attributes:
        activations: one per layer, as declared.
        target: what generates the labels.
        spectrum: pairs (eigenvalue, weight) of the input covariance, exact.
        signal: variance of the entries of theta, exact.
        centre: whether the mean of each layer's activation is removed.
        neurons: biases and row norms of each layer; empty if there are none.
        rows: atoms of the covariance of the rows of each layer's weights; empty for the identity.

    Use ``deep_features(...)`` to build one from names and numbers.
    """

    activations: tuple[Activation, ...]
    target: Target = Linear()
    spectrum: tuple[tuple[Expr, Expr], ...] = ((Integer(1), Integer(1)),)
    signal: Expr = Integer(1)
    centre: bool = False
    neurons: tuple[Neurons, ...] = ()
    rows: tuple[Atoms, ...] = ()

    def __post_init__(self) -> None:
        _check_atoms("input spectrum", self.spectrum)
        for i, atoms in enumerate(self.rows, 1):
            if atoms:
                _check_atoms(f"row covariance of layer {i}", atoms)
        for what, given in (("neurons", self.neurons), ("row covariances", self.rows)):
            if given and len(given) != self.depth:
                raise ShapeError(
                    what, f"{len(given)} for {self.depth} layers", "give one per layer"
                )
        if self.rows and self.rows[0] and len(self.spectrum) > 1:
            raise NotSupportedError(
                "row covariance of layer 1 over an input covariance",
                f"{len(self.spectrum)} input eigenvalues: their joint law is not declared",
                "give the eigenvalues of the product as spectrum, or use sampled weights",
            )
        if isinstance(self.target, SharedLayer) and not 0 <= self.target.level <= self.depth:
            raise RangeError(
                f"target on layer {self.target.level}",
                f"the network has layers 1 to {self.depth}",
                "choose one of them (0 is the input)",
            )
        if not self.signal.is_nonnegative:
            raise RangeError(f"signal = {self.signal}", "not a variance", "give signal >= 0")

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.activations)

    @cached_property
    def _propagated(self) -> tuple[tuple[Signal, ...], tuple[Expr, Expr]]:
        declared = self.neurons or (Neurons(),) * self.depth
        return propagate(
            self.activations,
            declared,
            self._mean_eigenvalue,
            centre=self.centre,
            rows=self.rows,
        )

    @cached_property
    def _target_propagated(self) -> tuple[tuple[Signal, ...], tuple[Expr, Expr]]:
        layers = self.target.activations if isinstance(self.target, RandomFeatures) else ()
        plain = (Neurons(),) * len(layers)
        power = self._mean_eigenvalue
        return propagate(layers, plain, power, centre=self.centre, name="r_target")

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The layers at the moments that reach them."""
        return self._propagated[0]

    @property
    def variances(self) -> tuple[Expr, ...]:
        """Exact second moments r_1, ..., r_{L+1}; r_l is that of the arguments of layer l."""
        signals, (last, _) = self._propagated
        return (*(s.population.r for s in signals), last)

    @property
    def squared_means(self) -> tuple[Expr, ...]:
        """Exact squared means q_1, ..., q_{L+1} that go with the variances; zero where centred."""
        signals, (_, last) = self._propagated
        return (*(s.population.q for s in signals), last)

    @property
    def _mean_eigenvalue(self) -> Expr:
        return sum((v * w for v, w in self.spectrum), Integer(0))

    def layer_functions(self) -> tuple[Expr, ...]:
        """Return each layer's function of z as it is applied, its mean removed if so declared."""
        return tuple(s.population.activation.expr - s.offset for s in self.signals)

    def target_functions(self) -> tuple[Expr, ...]:
        """Return the target network's functions of z as applied (empty unless random features)."""
        return tuple(s.population.activation.expr - s.offset for s in self._target_propagated[0])

    def constants(self) -> tuple[tuple[Symbol, Expr], ...]:
        """Return a_l = kappa_1^2 and b_l = kappa_*^2 of layers of equal neurons, exact."""
        out: list[tuple[Symbol, Expr]] = []
        for signal in self.signals:
            if signal.plain or signal.population.alike:
                gain, noise = signal.equal_gain()
                out += [(gain_symbol(signal.level), gain), (noise_symbol(signal.level), noise)]
        return tuple(out)

    def chain(self, digits: int = DIGITS) -> Chain:
        """Return what both routes read: base, layers, teacher, constants and the log so far.

        Args:
            digits: accuracy of means over normal biases.
        """
        first = max((s.level for s in self.signals if s.kills), default=0)
        built = _Built()
        for signal in self.signals[max(first - 1, 0) :]:
            built.add(signal, digits)
        base = built.base_from(first) if first else self._input_base()
        layers = tuple(layer for layer in built.layers if layer.level > first)
        if layers and not first:  # the input's covariance holds the rows of layer 1
            layers = (replace(layers[0], rows=()), *layers[1:])
        used = {s for layer in layers for s in symbols_of_layer(layer)}
        used |= {s for atom in base.atoms for e in atom for s in symbols_of(e)}
        teacher, extra = self._teacher(first, digits)
        known = tuple(pair for pair in built.constants if pair[0] in used)
        gammas = tuple(f"gamma_{i}" for i in range(1, self.depth + 1))
        groups = (("gamma", gammas),) if gammas else ()
        return Chain(
            base,
            layers,
            teacher,
            (*known, *extra),
            groups,
            self._log(),
            (*_ASSUMED, *built.notes),
        )

    def _input_base(self) -> Base:
        """Return the input's covariance, with the row covariance of layer 1 in it."""
        rows = self.rows[0] if self.rows else ()
        if not rows:
            return Base(Integer(1), self.spectrum)
        ((power, _),) = self.spectrum
        atoms = tuple((power * value, weight) for value, weight in rows)
        return Base(Integer(1), atoms, (power,) * len(atoms))

    def _teacher(self, first: int, digits: int) -> tuple[Teacher, tuple[tuple[Symbol, Expr], ...]]:
        if isinstance(self.target, SharedLayer):
            return self._shared_teacher(first, self.target.level)
        power = self._mean_eigenvalue
        rho_seen, total = self.signal, self.signal * power
        if isinstance(self.target, RandomFeatures):
            signals, (r, q) = self._target_propagated
            rho_seen = self.signal * Mul(*(s.mean_gain(digits) for s in signals))
            total = self.signal * self._seen_second_moment(r, q)
        if first or rho_seen == 0:
            return _named_teacher(0, Integer(0), total)
        return _named_teacher(0, rho_seen, total - rho_seen * power)

    def _seen_second_moment(self, r: Expr, q: Expr) -> Expr:
        """Return the second moment of a target that is not fitted by a constant.

        Features with a mean fit the mean of the target at no cost; features without one leave it
        as noise.
        """
        return r - q if self.squared_means[-1] != 0 else r

    def _shared_teacher(
        self, first: int, level: int
    ) -> tuple[Teacher, tuple[tuple[Symbol, Expr], ...]]:
        if level < first:
            scale = mean_of(self.rows[level]) if self.rows and self.rows[level] else 1
            r, q = self.variances[level] / scale, self.squared_means[level] / scale
            hidden = self._seen_second_moment(r, q)
            return _named_teacher(0, Integer(0), self.signal * hidden)
        return _named_teacher(level - first, self.signal, Integer(0))

    def _log(self) -> Log:
        recursion = Step(
            "linearise each layer",
            "Omega_l = kappa_1^2 W Omega_{l-1} W^T + kappa_*^2",
            SCHRODER_2024.at("eqs. (26)-(27), normalised traces"),
        )
        log = Log((recursion,))
        if any(not s.plain for s in self.signals):
            step = Step(
                "give each neuron its own gain",
                "Omega_l = D_1 W Omega_{l-1} W^T D_1 + D_*; means below become random biases",
                THIS,
            )
            log = log.then(step)
        if isinstance(self.target, RandomFeatures):
            step = Step(
                "replace the target by its linear part",
                "the rest is white label noise",
                SCHRODER_2023.at("Sec. 4"),
            )
            log = log.then(step)
        return log

    def system(self, route: str = "covariance", digits: int = DIGITS) -> System:
        """Return the equations on one of two routes, "covariance" or "kernel".

        Args:
            route: which derivation.
            digits: accuracy of means over normal biases, where there are any; the equations then
                hold a sum with as many terms as these digits take.

        Raises:
            UnknownNameError: for another route.
            NotConvergedError: if no sum of affordable length reaches the digits.
        """
        routes = {"covariance": covariance_system, "kernel": kernel_system}
        if route not in routes:
            raise UnknownNameError(
                f"route {route!r}", f"the routes are {', '.join(sorted(routes))}", "use one of them"
            )
        return routes[route](self.chain(digits))

    def refined(self, digits: int) -> System:
        """Return the equations with means over biases to so many digits, for references."""
        return self.system(digits=max(digits, DIGITS))


class _Built:
    """What layers leave behind as they are added to a chain."""

    def __init__(self) -> None:
        self.layers: list[Layer | MixedLayer] = []
        self.constants: list[tuple[Symbol, Expr]] = []
        self.notes: list[str] = []

    def add(self, signal: Signal, digits: int) -> None:
        """Add a layer with its constants and what is known about its means."""
        layer, constants, mixed = signal.layer(width(signal.level), digits)
        self.layers.append(layer)
        self.constants += constants
        if mixed is not None and mixed.error:
            self.notes.append(
                f"means over the biases of layer {signal.level} by {mixed.nodes} nodes, "
                f"estimated relative error {float(mixed.error):.1e}"
            )

    def base_from(self, level: int) -> Base:
        """Return the base that a layer without gain leaves: its noise alone."""
        layer = self.layers[0]
        if isinstance(layer, MixedLayer):
            return Base(width(level), tuple((b, p) for p, _, b in layer.kinds.rows))
        return Base(width(level), ((noise_symbol(level), Integer(1)),))


def symbols_of_layer(layer: Layer | MixedLayer) -> set[Symbol]:
    """Return the constants of a layer."""
    if isinstance(layer, MixedLayer):
        return {s for row in layer.kinds.rows for s in row if isinstance(s, Symbol)}
    return {s for s in (layer.a, layer.b) if isinstance(s, Symbol)}


_ASSUMED = (
    "n, d and all widths grow together",
    "independent Gaussian weights",
    "features with their mean removed (or an intercept fitted)",
)


def deep_features(  # noqa: PLR0913 - the parts of a declaration, keyword-only but two
    layers: Sequence[Activation | Expr | str],
    target: Target | str | Sequence[Activation | Expr | str] = "linear",
    *,
    spectrum: Sequence[tuple[Number, Number]] = ((1, 1),),
    signal: Number = 1,
    centre: bool = False,
    biases: PerLayer = 0,
    norms: PerLayer = 1,
    rows: Sequence[Sequence[tuple[Number, Number]] | None] = (),
) -> DeepFeatures:
    """Declare a deep random-features ridge regression.

    Args:
        layers: activation of each layer; text, SymPy expressions or Activations. No layers is
            plain ridge regression on the input.
        target: "linear", a list of activations of an independent random network, or a Target.
        spectrum: pairs (eigenvalue > 0, weight > 0) of the input covariance, weights summing to 1.
        signal: variance of the entries of theta.
        centre: remove the mean of each layer's activation.
        biases: biases of the neurons: the variance of a normal bias, for every layer, or a list
            with one entry per layer, each a variance or pairs (value, weight).
        norms: norms of the rows of the weights, in the same form: one norm, or pairs.
        rows: covariance of the rows of each layer's weights, one entry per layer: None for the
            identity, or pairs (eigenvalue > 0, weight).

    Raises:
        ShapeError: layers that are one text, entries that do not match the layers, no pairs.
        RangeError: pairs out of range, or weights that do not sum to 1.
        NotSupportedError: weights of rows given as a formula.

    Example:
        >>> biased = deep_features(["relu", "relu"], biases=["1/10", [(0, "1/2"), (1, "1/2")]])
        >>> biased.neurons[1].biases
        ((0, 1/2), (1, 1/2))
        >>> model = deep_features(["erf", "erf"])
        >>> model.depth, model.system().is_triangular()
        (2, True)
    """
    if isinstance(layers, str):
        raise ShapeError(f"layers {layers!r}", "text", f"give one entry per layer: [{layers!r}]")
    return DeepFeatures(
        tuple(_activation(a) for a in layers),
        _target(target),
        _atoms(spectrum, "spectrum"),
        exact_number(signal),
        centre,
        _neurons(biases, norms, len(layers)),
        _rows(rows),
    )


def _neurons(biases: PerLayer, norms: PerLayer, depth: int) -> tuple[Neurons, ...]:
    """Return one declaration per layer; none if all neurons are alike."""
    pairs = zip(_each(biases, depth, "biases"), _each(norms, depth, "norms"), strict=True)
    out = tuple(neurons(b, n) for b, n in pairs)
    return () if all(n.plain for n in out) else out


def _each(given: PerLayer, depth: int, what: str) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        return [given] * depth
    if len(given) != depth:
        found = f"{len(given)} entries for {depth} layers"
        raise ShapeError(what, found, "give one per layer, or one number for all")
    return list(given)


def _rows(given: Sequence[Sequence[tuple[Number, Number]] | None]) -> tuple[Atoms, ...]:
    """Return the row covariances; none if all are the identity."""
    for i, atoms in enumerate(given, 1):
        if isinstance(atoms, str | Expr):
            raise NotSupportedError(
                f"rows of layer {i} given as {atoms}",
                "weights tied to other weights have no closed form here",
                "for C_2 = f(W_1 W_1^T) use derive.theory.gram_weights; else take the population "
                "from sampled weights (numeric.population)",
            )
    out = tuple(
        _atoms(atoms, f"rows of layer {i}") if atoms else () for i, atoms in enumerate(given, 1)
    )
    return out if any(out) else ()


def _atoms(given: Sequence[tuple[Number, Number]], what: str) -> Atoms:
    try:
        return tuple((exact_number(v), exact_number(w)) for v, w in given)
    except TypeError as error:
        remedy = "give a list of pairs (value, weight)"
        raise ShapeError(f"{what} = {given!r}", "no pairs", remedy) from error


def _activation(value: Activation | Expr | str) -> Activation:
    return value if isinstance(value, Activation) else Activation(value)


def _target(value: Target | str | Sequence[Activation | Expr | str]) -> Target:
    if isinstance(value, Linear | RandomFeatures | SharedLayer):
        return value
    if value == "linear":
        return Linear()
    if isinstance(value, str):
        return RandomFeatures((Activation(value),))
    return RandomFeatures(tuple(_activation(a) for a in value))


def _named_teacher(
    level: int, signal: Expr, hidden: Expr
) -> tuple[Teacher, tuple[tuple[Symbol, Expr], ...]]:
    """Give names to the teacher's constants; an exact zero stays in place."""
    extra: list[tuple[Symbol, Expr]] = []

    def name(text: str, latex: str, meaning: str, value: Expr) -> Expr:
        if value == 0:
            return value
        symbol = Quantity(text, meaning, latex=latex, low=0)
        extra.append((symbol, value))
        return symbol

    rho = name("signal", r"\rho", "variance of theta that the features see", signal)
    rest = name("hidden", r"\sigma_*^2", "variance of the target that acts as noise", hidden)
    return Teacher(level, rho, rest), tuple(extra)


def _check_atoms(what: str, atoms: Atoms) -> None:
    for value, weight in atoms:
        if not (value.is_positive and weight.is_positive):
            raise RangeError(
                f"{what} atom ({value}, {weight})", "not positive", "give positive pairs"
            )
    total = sum((w for _, w in atoms), Integer(0))
    if total != 1:
        raise RangeError(what, f"weights sum to {total}", "make them sum to 1")
