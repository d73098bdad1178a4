r"""Deep random features: the declaration, and its equations on two routes.

Stage: activations, target and input spectrum in; a frozen ``DeepFeatures`` that the theory and the
experiment both read. ``DeepFeatures.system(route)`` returns a System.

Setting: inputs x ~ N(0, Omega_0) in dimension d, features phi(x) = s_L(W_L s_{L-1}(... W_1 x))
with independent W_l of variance 1/k_{l-1}, labels y = theta.phi_*(x)/sqrt(k) + noise, ridge
regression on phi(x)/sqrt(p). All dimensions grow together: alpha = n/d, gamma_l = k_l/d.
Source: arXiv:2402.13999, arXiv:2302.00401; see ``derive.layers`` for the equations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr, Integer, Mul, Symbol

from derive.activation import Activation, is_zero
from derive.constant import Constant
from derive.errors import NotSupportedError, RangeError, UnknownNameError
from derive.exact import Number, exact_number
from derive.layers import Base, Chain, Layer, Teacher, covariance_system, kernel_system, width
from derive.provenance import SCHRODER_2023, SCHRODER_2024
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


@dataclass(frozen=True)
class DeepFeatures:
    """A deep random-features ridge regression, declared.

    Attributes:
        activations: one per layer, as declared.
        target: what generates the labels.
        spectrum: pairs (eigenvalue, weight) of the input covariance, exact.
        signal: variance of the entries of theta, exact.
        centre: whether the mean of each layer's activation is removed.

    Use ``deep_features(...)`` to build one from names and numbers.
    """

    activations: tuple[Activation, ...]
    target: Target = Linear()
    spectrum: tuple[tuple[Expr, Expr], ...] = ((Integer(1), Integer(1)),)
    signal: Expr = Integer(1)
    centre: bool = False

    def __post_init__(self) -> None:
        _check_spectrum(self.spectrum)
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
    def variances(self) -> tuple[Expr, ...]:
        """Exact variances r_1, ..., r_{L+1}: r_l of the arguments of layer l."""
        return _variances(self.activations, self._mean_eigenvalue, self.centre, "r")

    @property
    def _mean_eigenvalue(self) -> Expr:
        return sum((v * w for v, w in self.spectrum), Integer(0))

    def layer_functions(self) -> tuple[Expr, ...]:
        """Return each layer's function of z as it is applied, its mean removed if so declared."""
        return _applied(self.activations, self.variances, self.centre)

    def target_functions(self) -> tuple[Expr, ...]:
        """Return the target network's functions of z as applied (empty unless random features)."""
        if not isinstance(self.target, RandomFeatures):
            return ()
        chain = self.target.activations
        r = _variances(chain, self._mean_eigenvalue, self.centre, "r_target")
        return _applied(chain, r, self.centre)

    def constants(self) -> tuple[tuple[Symbol, Expr], ...]:
        """Return the symbols a_l = kappa_1^2 and b_l = kappa_*^2 with their exact values."""
        out = []
        for i, (activation, r) in enumerate(zip(self.activations, self.variances, strict=False), 1):
            out.append((_a(i), activation.kappa_1(r).expr ** 2))
            out.append((_b(i), activation.kappa_star_squared(r).expr))
        return tuple(out)

    def chain(self) -> Chain:
        """Return what both routes read: base, layers, teacher, constants and the log so far."""
        constants = dict(self.constants())
        first = self._first_passing_layer()
        base = Base(Integer(1), self.spectrum)
        layers = []
        for i in range(1, self.depth + 1):
            if i == first:
                base = Base(width(i), ((constants[_b(i)], Integer(1)),))
            elif i > first:
                layers.append(
                    Layer(i, _a(i), Integer(0) if constants[_b(i)] == 0 else _b(i), width(i))
                )
        used = {s for layer in layers for s in (layer.a, layer.b)}
        if first:
            base = Base(base.width, ((_b(first), Integer(1)),))
            used.add(_b(first))
        teacher, extra = self._teacher(first)
        known = tuple(
            (s, e) for s, e in (*constants.items(), *extra) if s in used or (s, e) in extra
        )
        gammas = tuple(f"gamma_{i}" for i in range(1, self.depth + 1))
        groups = (("gamma", gammas),) if gammas else ()
        return Chain(base, tuple(layers), teacher, known, groups, self._log(), _ASSUMED)

    def _first_passing_layer(self) -> int:
        """Return the last layer that kills the linear signal (kappa_1 = 0), 0 if none does."""
        first = 0
        for i, (activation, r) in enumerate(zip(self.activations, self.variances, strict=False), 1):
            if is_zero(activation.kappa_1(r), f"kappa_1 of layer {i}"):
                first = i
        return first

    def _teacher(self, first: int) -> tuple[Teacher, tuple[tuple[Symbol, Expr], ...]]:
        if isinstance(self.target, SharedLayer):
            return self._shared_teacher(first, self.target.level)
        power = self._mean_eigenvalue
        rho_seen, total = self.signal, self.signal * power
        if isinstance(self.target, RandomFeatures):
            r = _variances(self.target.activations, power, self.centre, "r_target")
            pairs = zip(self.target.activations, r, strict=False)
            rho_seen = self.signal * Mul(*(a.kappa_1(v).expr ** 2 for a, v in pairs))
            total = self.signal * r[-1]
        if first or rho_seen == 0:
            return _named_teacher(0, Integer(0), total)
        return _named_teacher(0, rho_seen, total - rho_seen * power)

    def _shared_teacher(
        self, first: int, level: int
    ) -> tuple[Teacher, tuple[tuple[Symbol, Expr], ...]]:
        if level < first:
            return _named_teacher(0, Integer(0), self.signal * self.variances[level])
        return _named_teacher(level - first, self.signal, Integer(0))

    def _log(self) -> Log:
        recursion = Step(
            "linearise each layer",
            "Omega_l = kappa_1^2 W Omega_{l-1} W^T + kappa_*^2",
            SCHRODER_2024.at("eqs. (26)-(27), normalised traces"),
        )
        log = Log((recursion,))
        if isinstance(self.target, RandomFeatures):
            step = Step(
                "replace the target by its linear part",
                "the rest is white label noise",
                SCHRODER_2023.at("Sec. 4"),
            )
            log = log.then(step)
        return log

    def system(self, route: str = "covariance") -> System:
        """Return the equations on one of two routes, "covariance" or "kernel".

        Raises:
            UnknownNameError: for another route.
            NotSupportedError: for non-centred activations at depth 2 or more.
        """
        self._refuse_uncentred()
        routes = {"covariance": covariance_system, "kernel": kernel_system}
        if route not in routes:
            raise UnknownNameError(
                f"route {route!r}", f"the routes are {', '.join(sorted(routes))}", "use one of them"
            )
        return routes[route](self.chain())

    def _refuse_uncentred(self) -> None:
        if self.centre:
            return
        _refuse_means("layer", self.activations, self.variances)
        if isinstance(self.target, RandomFeatures):
            chain = self.target.activations
            r = _variances(chain, self._mean_eigenvalue, False, "r_target")
            _refuse_means("target layer", chain, r)


def _refuse_means(
    what: str, activations: tuple[Activation, ...], variances: tuple[Expr, ...]
) -> None:
    """Refuse a mean below the last layer: neurons above it have random biases."""
    count = len(activations)
    for i, (activation, r) in enumerate(zip(activations[:-1], variances, strict=False), 1):
        if not activation.is_centred(r):
            raise NotSupportedError(
                f"{what} {i} of {count} with activation {activation}",
                f"its mean {float(activation.mean(r)):.6g} becomes a random bias of the next "
                "layer, which the layer map for centred features does not describe",
                "remove the mean at each layer (centre=True, --centre), or use depth 1",
            )


_ASSUMED = (
    "n, d and all widths grow together",
    "independent Gaussian weights",
    "features with their mean removed (or an intercept fitted)",
)


def deep_features(
    layers: Sequence[Activation | Expr | str],
    target: Target | str | Sequence[Activation | Expr | str] = "linear",
    *,
    spectrum: Sequence[tuple[Number, Number]] = ((1, 1),),
    signal: Number = 1,
    centre: bool = False,
) -> DeepFeatures:
    """Declare a deep random-features ridge regression.

    Args:
        layers: activation of each layer; text, SymPy expressions or Activations. No layers is
            plain ridge regression on the input.
        target: "linear", a list of activations of an independent random network, or a Target.
        spectrum: pairs (eigenvalue > 0, weight > 0) of the input covariance, weights summing to 1.
        signal: variance of the entries of theta.
        centre: remove the mean of each layer's activation.

    Example:
        >>> model = deep_features(["erf", "erf"])
        >>> model.depth, model.system().is_triangular()
        (2, True)
    """
    atoms = tuple((exact_number(v), exact_number(w)) for v, w in spectrum)
    return DeepFeatures(
        tuple(_activation(a) for a in layers),
        _target(target),
        atoms,
        exact_number(signal),
        centre,
    )


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


def _a(i: int) -> Quantity:
    meaning = f"kappa_1 squared of layer {i}"
    return Quantity(f"a_{i}", meaning, latex=rf"\kappa_{{1,{i}}}^2", low=0, open_low=True)


def _b(i: int) -> Quantity:
    return Quantity(f"b_{i}", f"kappa_* squared of layer {i}", latex=rf"\kappa_{{*,{i}}}^2", low=0)


def _variances(
    activations: tuple[Activation, ...], power: Expr, centre: bool, name: str
) -> tuple[Expr, ...]:
    """Return the chain of variances, each a named constant, so that nothing nests."""
    out = [power]
    for i, activation in enumerate(activations, 2):
        value = activation.second_moment(out[-1]).expr
        if centre:
            value -= activation.mean(out[-1]).expr ** 2
        out.append(Constant(f"{name}_{i}", value, f"r_{{{i}}}"))
    return tuple(out)


def _applied(
    activations: tuple[Activation, ...], variances: tuple[Expr, ...], centre: bool
) -> tuple[Expr, ...]:
    pairs = zip(activations, variances, strict=False)
    return tuple(a.expr - (a.mean(r).expr if centre else 0) for a, r in pairs)


def _check_spectrum(spectrum: tuple[tuple[Expr, Expr], ...]) -> None:
    for value, weight in spectrum:
        if not (value.is_positive and weight.is_positive):
            raise RangeError(
                f"input spectrum atom ({value}, {weight})", "not positive", "give positive pairs"
            )
    total = sum((w for _, w in spectrum), Integer(0))
    if total != 1:
        raise RangeError("input spectrum", f"weights sum to {total}", "make them sum to 1")
