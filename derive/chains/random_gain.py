r"""Layers whose neurons differ: random biases and row norms mix their gains.

Stage: one layer of ``derive.layers``. Neuron i has the argument t_i (w_i . phi + noise of mean
b_i); given its bias and norm it passes the signal with gain a_i = (t_i E s')^2 and adds noise
b_i = kappa_*^2. The population covariance is D_1 W Omega W^T D_1 + D_* with diagonal D_1, D_*, and
neither may be replaced by its mean. The averages below run over the neurons, as finite sums
(``derive.tables``).

*Covariance route.* With tau = x' df'/gamma' (primes: the level below) and
P = 1/(x + b + a tau) per neuron,

.. math:: x' \frac{\gamma - \mathrm{df}'}{\gamma'}\, \mathbb{E}[a P] = \mathbb{E}[(x + b) P],
          \qquad \mathrm{df} = \mathrm{df}' + \gamma\, \mathbb{E}[b P],

which is (gamma/gamma') x' E[a P] = 1 without the part that cancels, as E[(x + b + a tau) P] = 1.
Also gamma - df = gamma x E[P].

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

from dataclasses import dataclass, replace

from sympy import Expr, Integer, Symbol

from derive.block import Line
from derive.chains.inner_roots import harmonic_root, line
from derive.gaps import Gap
from derive.system import Condition, Equation
from derive.tables import Kinds

STEPS = 8
"""Newton steps of the inner root inside the tower; Newton on the full system does the rest."""


@dataclass(frozen=True)
class MixedLayer:
    """A layer of independent weights whose neurons are of several kinds.

    Attributes:
        level: l.
        kinds: shares p, gains a = (t E s')^2 and noises b = kappa_*^2 of the neurons.
        width: gamma_l.
        rows: atoms (value, weight) of the covariance of its rows, empty for the identity.
    """

    level: int
    kinds: Kinds
    width: Expr
    rows: tuple[tuple[Expr, Expr], ...] = ()

    def mean(self, power: int, noise: int) -> Expr:
        """Return E[a^power b^noise]."""
        return self.kinds.moment(power, noise)


@dataclass(frozen=True)
class Mixed:
    """What the first pass over a mixed layer leaves for the second.

    Attributes:
        equation: the inner equation.
        condition: that the layer is wide enough.
        df: degrees of freedom above the layer (on the kernel route: h).
        tau: symbol of the module (on the kernel route: u).
        empty: 1 - D above the layer, without cancellation.
        slack: gamma - df - gamma empty per unit of the residual (covariance route).
    """

    equation: Equation
    condition: Condition
    df: Symbol
    tau: Symbol
    empty: Expr
    slack: Expr = Integer(0)


def covariance_map(
    layer: MixedLayer, x: Symbol, below: tuple[Expr, Expr, Expr], gap: Gap, lines: list[Line]
) -> Mixed:
    """Write the layer on the covariance route.

    Args:
        layer: the layer.
        x: the unknown ridge above it.
        below: ridge, degrees of freedom and width below it.
        gap: gamma - df'.
        lines: straight-line code to append to.
    """
    ridge, df, width = below
    name, tag = str(layer.level), f"{{{layer.level}}}"
    tau = line(lines, f"tau_{name}", rf"\tau_{tag}", ridge * df / width)
    equation, condition, passed = _inner(layer, x, tau, layer.width * ridge / width, lines)
    noisy = line(lines, f"Eb_{name}", rf"\mathbb{{E}}_{tag}[bP]", layer.kinds.mean(0, 1, 1, x, tau))
    grown = line(lines, f"df_{name}", rf"\mathrm{{df}}_{tag}", df + layer.width * noisy)
    every = layer.kinds.mean(0, 0, 1, x, tau)
    every = line(lines, f"E_{name}", rf"\mathbb{{E}}_{tag}[P]", every)
    balance = ridge * gap.plain / width * passed - x * every - noisy
    equation = replace(equation, lhs=Integer(0), rhs=balance, gap=gap)
    return Mixed(equation, condition, grown, tau, x * every, df)


def kernel_map(
    layer: MixedLayer, k: Symbol, below: tuple[Expr, Expr], ratio: Expr, lines: list[Line]
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
    u = line(lines, f"u_{name}", f"u_{tag}", ridge * h)
    scaled = line(lines, f"x_{name}", rf"x_{tag}", k / ratio)
    equation, condition, _ = _inner(layer, scaled, u, ridge / ratio, lines, k, ratio)
    noisy = layer.kinds.mean(0, 1, 1, scaled, u) / ratio
    named = line(lines, f"Eb_{name}", rf"\mathbb{{E}}_{tag}[bP]", noisy)
    grown = line(lines, f"h_{name}", f"h_{tag}", h + named)
    return Mixed(equation, condition, grown, u, scaled * layer.kinds.mean(0, 0, 1, scaled, u))


def _inner(
    layer: MixedLayer,
    x: Symbol,
    tau: Symbol,
    target: Expr,
    lines: list[Line],
    unknown: Symbol | None = None,
    ratio: Expr = Integer(1),
) -> tuple[Equation, Condition, Symbol]:
    """Write the equation target E[a P] = 1 in x, or in an unknown that is ratio times x; E[a P]."""
    name, kinds = str(layer.level), layer.kinds
    passed = line(lines, f"Ea_{name}", rf"\mathbb{{E}}_{{{name}}}[aP]", kinds.mean(1, 0, 1, x, tau))
    root = harmonic_root(
        f"root_{name}",
        lambda m, value: kinds.mean(1, 0, m, value, tau),
        (kinds.moment(1, 0), kinds.moment(1, 1) + tau * kinds.moment(2, 0)),
        target,
        STEPS,
    )
    root = replace(root, value=root.value * ratio)
    largest = kinds.mean(1, 0, 1, Integer(0), tau)
    wide = f"layer {layer.level} is wide enough to pass the signal"
    equation = Equation(Integer(1), target * passed, root)
    return equation, Condition(target * largest - 1, wide, unknown or x), passed


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
        value = layer.kinds.mean(power, noise, 2, x, done.tau)
        return line(lines, f"E{letters}PP_{name}", latex, value)

    aa, ab, a, b = mean(2, 0), mean(1, 1), mean(1, 0), mean(0, 1)
    carried = line(lines, f"v_{name}", f"v_{tag}", ratio * q)
    growth = line(lines, f"w_{name}", f"w_{tag}", (s * ab + carried * aa) / (x * a))
    above = layer.width * (
        b * x * (s + growth) + s * done.tau * ab + carried * (x * a + done.tau * aa)
    )
    return line(lines, f"q_{name}", f"q_{tag}", above), growth
