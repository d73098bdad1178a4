r"""Means over the biases of a layer as finite sums, with their error.

Stage: a ``Population`` of neurons in, kinds of neurons with exact constants out. Means over a
normal bias are trapezoidal sums: everything in them is the normal density times a function that is
analytic in a strip, so the error falls like exp(-2 pi strip/step), squaring with every halving of
the step, which measures it: the rule of twice the step is contained in the rule. Gauss-Hermite
rules need about twice the nodes at ten digits (their outer nodes have next to no weight).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from flint import acb, arb, fmpq
from sympy import Expr, Integer, Rational, Symbol, exp, expand, sqrt

from derive.activation import Activation
from derive.balls import enclose
from derive.chains.neurons import Kind, Population
from derive.enclosing.ball_program import Evaluation, compile_ball
from derive.enclosing.certified import CertifiedNumber
from derive.enclosing.gaussian_integral import gaussian_mean
from derive.errors import NotConvergedError
from derive.expectation import Expectation
from derive.gaussian import expect
from derive.symbols import Quantity, z
from derive.tables import FEW, FewKinds, Kinds, Rows, Table

_B = Symbol("b", real=True)
_S2 = Symbol("s2", positive=True)
MOST_NODES = 400
_NOTHING = arb(10) ** -60
MOST_DIGITS = 28
"""More are cut to these: the error of a rule is measured in doubles, and squared."""


@dataclass(frozen=True)
class _Node:
    """One bias of a rule: its weight, its gain and noise, and whether the coarse rule has it."""

    weight: Expr
    a: Expr
    b: Expr
    even: bool

    def floats(self) -> tuple[float, float, float]:
        weight, a, b = (_float(e) for e in (self.weight, self.a, self.b))
        return weight, a, b


def _float(expr: Expr) -> float:
    return 0.0 if expr == 0 else float(enclose(expr, 15))


def _first_step(kind: Kind, digits: int) -> Fraction:
    """Return a step in units of the standard deviation of the bias."""
    if kind.spread == 0:
        return Fraction(1)
    reach = (digits + 1) * math.log(10)
    ratio = math.sqrt(_float(kind.spread) / _float(kind.variance))
    step = min(math.sqrt(2 / reach) * math.pi, 7.5 / (reach * ratio))
    return Fraction(max(1, round(step * 64)), 64)


class _Moments:
    """E s, E s' and E s^2 of the neurons of one kind as balls, at any bias."""

    def __init__(self, activation: Activation, kind: Kind) -> None:
        f = activation.expr
        self.kind = kind
        self.integrands = (f, expand((z - _B) * f), expand(f**2))
        found = [expect(g, _B, _S2).expr.xreplace({_S2: kind.variance}) for g in self.integrands]
        self.closed = None if any(e.has(Expectation) for e in found) else found
        self._known: dict[tuple[Expr, int], tuple[arb, arb, arb]] = {}
        numbers = (kind.norm, kind.mean, kind.spread, kind.variance)
        self.key = (str(f), *(enclose(x, 30).str(25) for x in numbers))

    def at(self, bias: Expr, evaluate: Evaluation) -> tuple[arb, arb, arb]:
        """Return the three moments at a bias; gain and noise of a node share them."""
        key = (bias, evaluate.prec)
        if key not in self._known:
            self._known[key] = self._compute(bias, evaluate)
        return self._known[key]

    def _compute(self, bias: Expr, evaluate: Evaluation) -> tuple[arb, arb, arb]:
        if self.closed is not None:
            point = acb(evaluate(bias))
            values = [compile_ball(e, _B, evaluate)(point, False).real for e in self.closed]
        else:
            law = self.kind.variance
            exprs = [g.xreplace({_B: bias}) for g in self.integrands]
            values = [gaussian_mean(e, z, bias, law, evaluate) for e in exprs]
        return values[0], values[1] / evaluate(self.kind.variance), values[2]

    def node(self, bias: Expr, weight: Expr, place: str, even: bool) -> _Node:
        """Return the node of a bias; its constants carry any number of digits."""

        def gain(evaluate: Evaluation, prec: int) -> arb:
            return _positive((evaluate(self.kind.norm) * self.at(bias, evaluate)[1]) ** 2)

        def noise(evaluate: Evaluation, prec: int) -> arb:
            first, slope, second = self.at(bias, evaluate)
            return _positive(second - first**2 - evaluate(self.kind.variance) * slope**2)

        key = (*self.key, place)
        return _Node(
            weight,
            CertifiedNumber("gain", gain, key=key),
            CertifiedNumber("noise", noise, key=key),
            even,
        )


def _positive(value: arb) -> arb:
    """Return a mean of squares; zero where it is below anything that a double could tell."""
    return arb(0) if value.is_finite() and value.abs_upper() < _NOTHING else value


def _nodes(moments: _Moments, step: Fraction, digits: int, folded: bool) -> list[_Node]:
    """Return the trapezoidal rule of one kind; ``folded`` adds mirror images together."""
    kind = moments.kind
    if kind.spread == 0:
        return [moments.node(kind.mean, Integer(1), "0", True)]
    far = math.sqrt(2 * (digits + 2) * math.log(10))
    count = math.ceil(far / step)
    h = Rational(step.numerator, step.denominator)

    def mass(evaluate: Evaluation, prec: int) -> arb:
        rule = fmpq(step.numerator, step.denominator)
        return sum(((-((arb(rule) * j) ** 2) / 2).exp() for j in range(-count, count + 1)), arb(0))

    scale = CertifiedNumber("mass", mass, positive=True, key=(str(step), count))
    return [
        moments.node(
            kind.mean + sqrt(kind.spread) * h * j,
            (2 if folded and j else 1) * exp(-((h * j) ** 2) / 2) / scale,
            f"{step} {j}",
            j % 2 == 0,
        )
        for j in range(0 if folded else -count, count + 1)
    ]


def _error(nodes: Sequence[_Node]) -> float:
    """Return the estimated relative error of the means that the equations need, down to 1e-30.

    The rule of twice the step is off by e; the rule itself then by about e^2.
    """
    if len(nodes) == 1:
        return 0.0
    fine = [node.floats() for node in nodes]
    coarse = [values for node, values in zip(nodes, fine, strict=True) if node.even]
    mass = sum(p for p, _, _ in coarse)
    worst = 0.0
    for tau, x in product((1e-2, 1e-1, 1.0, 10.0), (0.0, 1e-6, 1e-3, 1e-1, 1.0, 10.0)):
        for pick in (1, 2):
            whole = sum(v[0] * v[pick] / (x + v[2] + v[1] * tau) for v in fine)
            half = sum(v[0] * v[pick] / (x + v[2] + v[1] * tau) for v in coarse) / mass
            worst = max(worst, abs(half / whole - 1) if whole else 0.0)
    return max(worst, 1e-15) ** 2


@dataclass(frozen=True)
class Mixture:
    """Neurons of a layer as finitely many kinds.

    Attributes:
        kinds: what means are taken over.
        constants: values of the symbols of few kinds; a table holds its own.
        rows: exact shares, gains and noises.
        error: estimated relative error of means; exact zero for finitely many kinds.
        nodes: how many per normal bias.
    """

    kinds: Kinds
    constants: tuple[tuple[Symbol, Expr], ...]
    rows: Rows
    error: Expr
    nodes: int


def mixture(population: Population, digits: int = 11) -> Mixture:
    """Return the neurons of a layer as finitely many kinds.

    Args:
        population: the layer.
        digits: accuracy of means over normal biases, at most ``MOST_DIGITS``.

    Raises:
        NotConvergedError: if ``MOST_NODES`` nodes do not reach the digits: the bias is spread over
            far more than the argument.
    """
    digits = min(digits, MOST_DIGITS)
    rows: list[tuple[Expr, Expr, Expr]] = []
    error, most = 0.0, 1
    for kind in population.kinds:
        nodes, found = _rule(population, kind, digits)
        error, most = max(error, found), max(most, len(nodes))
        rows += [(kind.share * node.weight, node.a, node.b) for node in nodes]
    exact, name = Rational(error), population.name
    if len(rows) <= FEW and not error:
        symbols = [_symbols(f"{name}_{j}") for j in range(len(rows))]
        pairs = zip(symbols, rows, strict=True)
        constants = tuple(c for s, row in pairs for c in zip(s, row, strict=True))
        return Mixture(FewKinds(tuple(symbols)), constants, tuple(rows), exact, most)
    table = Table(f"neurons_{name}", tuple(rows), exact, f"{{{name}}}")
    return Mixture(table, (), tuple(rows), exact, most)


def _symbols(tag: str) -> tuple[Quantity, Quantity, Quantity]:
    place = tag.replace("_", ",")
    return (
        Quantity(f"p_{tag}", "share of neurons", latex=f"p_{{{place}}}", low=0, open_low=True),
        Quantity(f"a_{tag}", "gain of neurons", latex=rf"\kappa_{{1,{place}}}^2", low=0),
        Quantity(f"b_{tag}", "noise of neurons", latex=rf"\kappa_{{*,{place}}}^2", low=0),
    )


def _rule(population: Population, kind: Kind, digits: int) -> tuple[list[_Node], float]:
    """Return the nodes of one kind, and their estimated error."""
    moments = _Moments(population.activation, kind)
    folded = kind.mean == 0 and population.activation.parity is not None
    step = _first_step(kind, digits)
    found = math.inf
    while True:
        nodes = _nodes(moments, step, digits, folded)
        if len(nodes) > MOST_NODES:
            raise NotConvergedError(
                f"mean over the biases of layer {population.name} to {digits} digits",
                f"it takes {len(nodes)} nodes, and fewer leave an estimated error of {found:.1e}",
                "ask for fewer digits, or give biases with finitely many values",
            )
        found = _error(nodes)
        if found <= 10.0**-digits or len(nodes) == 1:
            return nodes, found
        step = step * Fraction(2, 3)
