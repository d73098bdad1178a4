r"""The neurons of a layer: random biases and row norms, and the means over them.

Stage: an activation with the law of its biases in; kinds of neurons
(``derive.chains.random_gain.Gain``) and the moments of the next layer out. A neuron of norm t and
declared bias beta, above features of normalised second moment r and squared mean q, has the
argument N(b, s^2), s^2 = t^2 (r - q), with its own bias b ~ N(beta, t^2 q + bias variance): the
mean of the features below turns into a random bias, so that activations with a mean need this room
from the second layer on.

*Moments.* r and q of the next layer are means of one normal and of two correlated normals: closed
forms where rules give them, else certified series; they do not pass through the rule.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flint import arb
from sympy import Expr, Integer, diff, expand

from derive.activation import Activation
from derive.balls import enclose
from derive.enclosing.ball_program import Evaluation
from derive.enclosing.certified import CertifiedNumber
from derive.errors import RangeError
from derive.exact import Number, exact_number
from derive.gaussian import expect
from derive.kernels import kernel
from derive.symbols import rho as correlation
from derive.symbols import z

Atoms = tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True)
class Neurons:
    """How the neurons of one layer differ, as declared.

    Attributes:
        bias_variance: variance of a normal bias, >= 0.
        biases: pairs (value, weight) of a bias with finitely many values, added to the normal one.
        norms: pairs (row norm > 0, weight); the squares need not have mean one.
    """

    bias_variance: Expr = Integer(0)
    biases: Atoms = ((Integer(0), Integer(1)),)
    norms: Atoms = ((Integer(1), Integer(1)),)

    def __post_init__(self) -> None:
        if not self.bias_variance.is_nonnegative:
            found = f"variance {self.bias_variance}"
            raise RangeError("random biases", found, "give a variance >= 0")
        for what, atoms in (("biases", self.biases), ("row norms", self.norms)):
            _check_weights(what, atoms)
        for norm, _ in self.norms:
            if not norm.is_positive:
                raise RangeError("row norms", f"norm {norm}", "give positive norms")

    @property
    def plain(self) -> bool:
        """Whether all neurons are alike, without biases and of norm one."""
        return self == Neurons()


def _check_weights(what: str, atoms: Atoms) -> None:
    for value, weight in atoms:
        if not weight.is_positive:
            raise RangeError(f"{what}: value {value}", f"weight {weight}", "give positive weights")
    total = sum((w for _, w in atoms), Integer(0))
    if total != 1:
        raise RangeError(what, f"weights sum to {total}", "make them sum to 1")


def neurons(
    bias: Number | Sequence[tuple[Number, Number]] = 0,
    norm: Number | Sequence[tuple[Number, Number]] = 1,
) -> Neurons:
    """Declare the neurons of a layer.

    Args:
        bias: variance of a normal bias, or pairs (value, weight).
        norm: one norm, or pairs (norm, weight).

    Example:
        >>> neurons(bias="1/2", norm=[(1, "1/2"), (2, "1/2")]).norms
        ((1, 1/2), (2, 1/2))
    """
    variance: Expr = Integer(0)
    values: Atoms = ((Integer(0), Integer(1)),)
    if isinstance(bias, Sequence) and not isinstance(bias, str):
        values = _pairs(bias)
    else:
        variance = exact_number(bias)
    if isinstance(norm, Sequence) and not isinstance(norm, str):
        return Neurons(variance, values, _pairs(norm))
    return Neurons(variance, values, ((exact_number(norm), Integer(1)),))


def _pairs(given: Sequence[tuple[Number, Number]]) -> Atoms:
    return tuple((exact_number(v), exact_number(w)) for v, w in given)


@dataclass(frozen=True)
class Kind:
    """Neurons of one norm and one declared bias.

    Attributes:
        share: of all neurons.
        norm: t.
        mean: beta, mean of the bias.
        spread: variance of the bias.
        variance: s^2, of the argument given the bias.
    """

    share: Expr
    norm: Expr
    mean: Expr
    spread: Expr
    variance: Expr


@dataclass(frozen=True)
class Population:
    """The neurons of one layer at the moments of the features below.

    Attributes:
        activation: s.
        declared: the neurons.
        r: normalised second moment of the features below times that of the weights.
        q: the same of their means.
        name: layer, for the names of constants.
    """

    activation: Activation
    declared: Neurons
    r: Expr
    q: Expr
    name: str

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of neurons before the bias is drawn."""
        out = []
        for t, share_t in self.declared.norms:
            for beta, share_b in self.declared.biases:
                spread = t**2 * self.q + self.declared.bias_variance
                variance = t**2 * (self.r - self.q)
                out.append(Kind(share_t * share_b, t, beta, spread, variance))
        return tuple(out)

    @property
    def alike(self) -> bool:
        """Whether all neurons have the same gain: one kind without spread, or no curvature."""
        affine = self.activation.expr.is_polynomial(z) and diff(self.activation.expr, z, 2) == 0
        same_norm = len(self.declared.norms) == 1
        if affine:
            return same_norm
        kinds = self.kinds
        return len(kinds) == 1 and kinds[0].spread == 0

    def second_moment(self) -> Expr:
        """Return E s^2 over neurons and inputs, exact."""
        square = expand(self.activation.expr**2)
        return _sum(
            k.share * expect(square, k.mean, k.spread + k.variance).expr for k in self.kinds
        )

    def mean(self) -> Expr:
        """Return the mean of s over neurons and inputs, exact."""
        return self._average(self.activation.expr)

    def kind_means(self) -> tuple[Expr, ...]:
        """Return the mean of s over inputs for each kind of neurons, exact."""
        f = self.activation.expr
        laws = ((k.mean, k.spread + k.variance) for k in self.kinds)
        return tuple(expect(f, mean, law).expr for mean, law in laws)

    def _average(self, f: Expr) -> Expr:
        return _sum(k.share * expect(f, k.mean, k.spread + k.variance).expr for k in self.kinds)

    def squared_means(self) -> Expr:
        """Return the mean over neurons of the squared mean of s, exact.

        It is E s(u) s(v) of two normals of variance spread + s^2 and covariance spread.
        """
        return _sum(k.share * self._squared_mean(k) for k in self.kinds)

    def _squared_mean(self, kind: Kind) -> Expr:
        f, law = self.activation.expr, kind.spread + kind.variance
        if kind.spread == 0:
            return expect(f, kind.mean, law).expr ** 2
        pair = kernel(f, variances=(law, law), means=(kind.mean, kind.mean))
        at = kind.spread / law
        if pair.closed is not None:
            return pair.closed.expr.subs(correlation, at)

        def digits(evaluate: Evaluation, prec: int) -> arb:
            wanted = max(15, min(40, math.ceil(prec * 0.30103)))
            return pair.at(at, wanted).arb()

        key = (str(f), *(enclose(x, 30).str(25) for x in (law, kind.mean, at)))
        return CertifiedNumber(f"E[s(u)s(v)]_{self.name}", digits, positive=True, key=key)

    def gain(self) -> tuple[Expr, Expr]:
        """Return (t E s')^2 and kappa_*^2 of neurons that are all alike, exact."""
        kind = self.kinds[0]
        f = self.activation.expr
        law = kind.variance if kind.spread == 0 else kind.spread + kind.variance
        slope = expect(z * f - kind.mean * f, kind.mean, law).expr / law
        if diff(f, z, 2) == 0:
            return kind.norm**2 * slope**2, Integer(0)
        first = expect(f, kind.mean, law).expr
        second = expect(expand(f**2), kind.mean, law).expr
        return kind.norm**2 * slope**2, expand(second - first**2 - law * slope**2)


def _sum(terms: Any) -> Expr:
    return sum(terms, Integer(0))
