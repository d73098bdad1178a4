r"""Signals through the layers of a random network: second moments, means, and kinds of neurons.

Stage: activations and the declaration of the neurons in; per layer what the layer calculus reads.
With r the normalised second moment of the features below times that of the weights, and q the same
of their means (each exact, each a named constant, so that nothing nests):

.. math:: r_{l+1} = \langle C_{l+1} \rangle \mathbb{E} s^2, \qquad
          q_{l+1} = \langle C_{l+1} \rangle \mathbb{E} (\mathbb{E} s)^2,

the outer mean over neurons, the inner one over inputs. Where the mean of the layer is removed
(``centre``), the mean over both is taken off first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sympy import Expr, Integer, Symbol

from derive.activation import Activation, is_zero
from derive.chains.bias_rules import Mixture, mixture
from derive.chains.neurons import Neurons, Population
from derive.chains.structured_weights import Atoms
from derive.chains.structured_weights import mean as mean_of
from derive.constant import Constant
from derive.layers import Layer, MixedLayer
from derive.symbols import Quantity
from derive.value import Kind, Value


@dataclass(frozen=True)
class Signal:
    """One layer at the moments that reach it.

    Attributes:
        level: l.
        population: its neurons.
        centred: whether the mean over neurons and inputs is removed.
        rows: atoms of the covariance of its weights' rows, empty for the identity.
    """

    level: int
    population: Population
    centred: bool
    rows: Atoms = ()

    @property
    def plain(self) -> bool:
        """Whether neurons are alike without biases and the features below have no mean."""
        return self.population.declared.plain and self.population.q == 0

    @cached_property
    def kills(self) -> bool:
        """Whether no neuron passes any signal: kappa_1 = 0, as of an even activation."""
        if self.plain:
            activation, r = self.population.activation, self.population.r
            return is_zero(activation.kappa_1(r), f"kappa_1 of layer {self.level}")
        if any(k.spread != 0 or k.mean != 0 for k in self.population.kinds):
            return False
        return self.population.activation.parity == "even"

    @cached_property
    def offset(self) -> Expr:
        """What is subtracted from the activation."""
        if not self.centred:
            return Integer(0)
        if self.plain:
            return self.population.activation.mean(self.population.r).expr
        return self.population.mean()

    @property
    def has_means(self) -> bool:
        """Whether the features of this layer have a mean, neuron by neuron."""
        population = self.population
        if self.plain and self.centred:
            return False
        if self.plain:
            return not population.activation.is_centred(population.r)
        if any(k.spread != 0 for k in population.kinds):
            return True
        what = f"the mean of layer {self.level}"
        return not all(
            is_zero(Value(m - self.offset, Kind.BALL), what) for m in population.kind_means()
        )

    def moments(self) -> tuple[Expr, Expr]:
        """Return E s^2 and E (E s)^2 of this layer's features, exact."""
        population = self.population
        if self.plain:
            second = population.activation.second_moment(population.r).expr
        else:
            second = population.second_moment()
        second = second - self.offset**2
        if not self.has_means:
            return second, Integer(0)
        return second, population.squared_means() - self.offset**2

    def mixed(self, digits: int) -> Mixture | None:
        """Return the kinds of neurons, or None if they are all alike."""
        return None if self.plain or self.population.alike else mixture(self.population, digits)

    def layer(
        self, width: Expr, digits: int
    ) -> tuple[Layer | MixedLayer, tuple[tuple[Symbol, Expr], ...], Mixture | None]:
        """Return the layer of the calculus, its constants, and its mixture if it has one."""
        found = self.mixed(digits)
        if found is not None:
            return MixedLayer(self.level, found.kinds, width, self.rows), found.constants, found
        a, b = gain_symbol(self.level), noise_symbol(self.level)
        gain, noise = self.equal_gain()
        layer = Layer(self.level, a, Integer(0) if noise == 0 else b, width, self.rows)
        return layer, ((a, gain), (b, noise)), None

    def mean_gain(self, digits: int) -> Expr:
        """Return the mean of kappa_1^2 over the neurons; to so many digits where it is a sum."""
        found = self.mixed(digits)
        if found is None:
            return self.equal_gain()[0]
        total = sum((p * a for p, a, _ in found.rows), Integer(0))
        return Constant(f"{self.population.activation.name}_gain_{self.level}", total)

    def equal_gain(self) -> tuple[Expr, Expr]:
        """Return kappa_1^2 and kappa_*^2 of neurons that are all alike, exact."""
        if not self.plain:
            return self.population.gain()
        activation, r = self.population.activation, self.population.r
        return activation.kappa_1(r).expr ** 2, activation.kappa_star_squared(r).expr


def propagate(
    activations: Sequence[Activation],
    kinds: Sequence[Neurons],
    power: Expr,
    *,
    centre: bool,
    rows: Sequence[Atoms] = (),
    name: str = "r",
) -> tuple[tuple[Signal, ...], tuple[Expr, Expr]]:
    """Send the moments of the input through the layers.

    Args:
        activations: one per layer.
        kinds: neurons of each layer.
        power: mean eigenvalue of the input covariance.
        centre: whether each layer's mean is removed.
        rows: row covariance of each layer, none for the identity.
        name: beginning of the names of the constants.

    Returns:
        One ``Signal`` per layer, and the moments (r, q) of the last layer's features.
    """
    out: list[Signal] = []
    r, q = power, Integer(0)
    for i, (activation, declared) in enumerate(zip(activations, kinds, strict=True), 1):
        atoms = rows[i - 1] if rows else ()
        scale = mean_of(atoms) if atoms else Integer(1)
        population = Population(activation, declared, scale * r, scale * q, str(i))
        signal = Signal(i, population, centre, atoms)
        out.append(signal)
        second, squared = signal.moments()
        r = Constant(f"{name}_{i + 1}", second, f"r_{{{i + 1}}}")
        q = Constant(f"{name}_mean_{i + 1}", squared, f"q_{{{i + 1}}}") if squared != 0 else squared
    return tuple(out), (r, q)


def gain_symbol(i: int) -> Quantity:
    """Return a_i."""
    meaning = f"kappa_1 squared of layer {i}"
    return Quantity(f"a_{i}", meaning, latex=rf"\kappa_{{1,{i}}}^2", low=0, open_low=True)


def noise_symbol(i: int) -> Quantity:
    """Return b_i."""
    return Quantity(f"b_{i}", f"kappa_* squared of layer {i}", latex=rf"\kappa_{{*,{i}}}^2", low=0)
