r"""Layers whose neurons differ: random biases and row norms mix their gains.

Stage: one layer of ``derive.layers``. Neuron i has the argument t_i (w_i . phi + noise of mean
b_i); given its bias and norm it passes the signal with gain a_i = (t_i E s')^2 and adds noise
b_i = kappa_*^2. The population covariance is D_1 W Omega W^T D_1 + D_* with diagonal D_1, D_*, and
neither may be replaced by its mean. The averages below run over the neurons, as finite sums.

*Covariance route.* With tau = x' df'/gamma' (primes: the level below) and
P = 1/(x + b + a tau) per neuron,

.. math:: \frac{\gamma}{\gamma'} x'\, \mathbb{E}[a P] = 1, \qquad
          \mathrm{df} = \mathrm{df}' + \gamma\, \mathbb{E}[b P].

Derivation: a diagonal entry of (D_1 W Omega W^T D_1 + D_* + x)^-1 is P with tau the quadratic form
of a row of W with Omega (1 + Omega/x')^-1/k', and 1/x' = (gamma/gamma') E[a P] collects the rows.
Differentiating both lines in log x_0 and writing x E[a P^2] + E[a b P^2] + tau E[a^2 P^2] = E[a P]
leaves only positive terms in the growth s - s' and in q.

*Kernel route.* With u = k' h' and P = 1/(k + (alpha/gamma) (a u + b)),

.. math:: k'\, \mathbb{E}[a P] = 1, \qquad h = h' + \mathbb{E}[b P].

One kind of neuron gives back the explicit maps of ``derive.layers``. On the set where tau > 0 the
inner root x exists and is positive exactly where (gamma/gamma') x' E[a/(b + a tau)] > 1, and it
increases with x_0 (growth >= 0), so the induction of ``derive.layers`` holds as it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Add, Expr, Integer, Symbol

from derive.block import Line
from derive.inner_roots import harmonic_root, line, total
from derive.system import Condition, Equation

STEPS = 6
"""Newton steps of the inner root inside the tower; Newton on the full system does the rest."""


@dataclass(frozen=True)
class Gain:
    """One kind of neuron: its share, a = (t E s')^2 and b = kappa_*^2.

    All three are symbols or exact numbers, the shares with sum one.
    """

    share: Expr
    a: Expr
    b: Expr


@dataclass(frozen=True)
class MixedLayer:
    """A layer of independent weights whose neurons are of several kinds.

    Attributes:
        level: l.
        gains: kinds of neurons.
        width: gamma_l.
        rows: atoms (value, weight) of the covariance of its rows, empty for the identity.
    """

    level: int
    gains: tuple[Gain, ...]
    width: Expr
    rows: tuple[tuple[Expr, Expr], ...] = ()

    def mean(self, power: int, noise: int) -> Expr:
        """Return E[a^power b^noise]."""
        return Add(*(g.share * g.a**power * g.b**noise for g in self.gains))


@dataclass(frozen=True)
class Mixed:
    """What the first pass over a mixed layer leaves for the second.

    Attributes:
        equation: the inner equation.
        condition: that the layer is wide enough.
        df: degrees of freedom above the layer (on the kernel route: h).
        tau, P: symbols of the module.
        below: gamma/gamma' x'.
    """

    equation: Equation
    condition: Condition
    df: Symbol
    tau: Symbol
    P: tuple[Symbol, ...]
    below: Expr


def covariance_map(
    layer: MixedLayer, x: Symbol, below: tuple[Expr, Expr, Expr], lines: list[Line]
) -> Mixed:
    """Write the layer on the covariance route.

    Args:
        layer: the layer.
        x: the unknown ridge above it.
        below: ridge, degrees of freedom and width below it.
        lines: straight-line code to append to.
    """
    ridge, df, width = below
    name, tag = str(layer.level), f"{{{layer.level}}}"
    tau = line(lines, f"tau_{name}", rf"\tau_{tag}", ridge * df / width)
    shifts = [g.b + g.a * tau for g in layer.gains]
    reach = layer.width * ridge / width
    P, equation, condition = _inner(layer, x, shifts, reach, lines)
    noisy = total(lines, f"Eb_{name}", rf"\mathbb{{E}}_{tag}[bP]", _terms(layer.gains, P, 0, 1, 1))
    grown = line(lines, f"df_{name}", rf"\mathrm{{df}}_{tag}", df + layer.width * noisy)
    return Mixed(equation, condition, grown, tau, P, reach)


def kernel_map(
    layer: MixedLayer,
    k: Symbol,
    below: tuple[Expr, Expr],
    ratio: Expr,
    lines: list[Line],
) -> Mixed:
    """Write the layer on the kernel route.

    Args:
        layer: the layer.
        k: the unknown ridge above it.
        below: ridge k' and h' below it.
        ratio: alpha/gamma, samples over width.
        lines: straight-line code to append to.
    """
    ridge, h = below
    name, tag = str(layer.level), f"{{{layer.level}}}"
    u = line(lines, f"u_{name}", f"u_{tag}", ratio * ridge * h)
    shifts = [ratio * g.b + g.a * u for g in layer.gains]
    P, equation, condition = _inner(layer, k, shifts, ridge, lines)
    noisy = total(lines, f"Eb_{name}", rf"\mathbb{{E}}_{tag}[bP]", _terms(layer.gains, P, 0, 1, 1))
    grown = line(lines, f"h_{name}", f"h_{tag}", h + noisy)
    return Mixed(equation, condition, grown, u, P, ridge)


def _inner(
    layer: MixedLayer, x: Symbol, shifts: Sequence[Expr], target: Expr, lines: list[Line]
) -> tuple[tuple[Symbol, ...], Equation, Condition]:
    """Write the resolvents P of all kinds, and the equation target E[a P] = 1."""
    name = str(layer.level)
    places = [
        line(lines, f"shift_{name}_{j}", rf"w_{{{name},{j}}}", w) for j, w in enumerate(shifts)
    ]
    P = tuple(
        line(lines, f"P_{name}_{j}", rf"P_{{{name},{j}}}", 1 / (x + w))
        for j, w in enumerate(places)
    )
    passed = total(
        lines, f"Ea_{name}", rf"\mathbb{{E}}_{{{name}}}[aP]", _terms(layer.gains, P, 1, 0, 1)
    )
    weights = [g.share * g.a for g in layer.gains]
    root = harmonic_root(f"root_{name}", weights, places, target, STEPS)
    at_zero = [g.share * g.a / w for g, w in zip(layer.gains, places, strict=True)]
    largest = total(lines, f"Ea0_{name}", rf"\mathbb{{E}}_{{{name}}}[a/w]", at_zero)
    wide = f"layer {layer.level} is wide enough to pass the signal"
    return (
        P,
        Equation(Integer(1), target * passed, root),
        Condition(target * largest - 1, wide, x),
    )


def covariance_rates(
    layer: MixedLayer, done: Mixed, x: Symbol, below: tuple[Expr, Expr, Expr], lines: list[Line]
) -> tuple[Symbol, Symbol]:
    """Write q above the layer and the growth of s over it, in positive terms.

    Args:
        layer: the layer.
        done: what ``covariance_map`` returned.
        x: ridge above it.
        below: s', q' and x'/gamma' below it.
        lines: straight-line code to append to.
    """
    s, q, ratio = below
    name, tag = str(layer.level), f"{{{layer.level}}}"

    def mean(power: int, noise: int) -> Symbol:
        letters = "a" * power + "b" * noise
        latex = rf"\mathbb{{E}}_{tag}[{letters}P^2]"
        terms = _terms(layer.gains, done.P, power, noise, 2)
        return total(lines, f"E{letters}PP_{name}", latex, terms)

    aa, ab, a, b = mean(2, 0), mean(1, 1), mean(1, 0), mean(0, 1)
    carried = line(lines, f"v_{name}", f"v_{tag}", ratio * q)
    growth = line(lines, f"w_{name}", f"w_{tag}", (s * ab + carried * aa) / (x * a))
    above = layer.width * (
        b * x * (s + growth) + s * done.tau * ab + carried * (x * a + done.tau * aa)
    )
    return line(lines, f"q_{name}", f"q_{tag}", above), growth


def _terms(
    gains: Sequence[Gain], P: Sequence[Symbol], power: int, noise: int, order: int
) -> list[Expr]:
    return [g.share * g.a**power * g.b**noise * p**order for g, p in zip(gains, P, strict=True)]
