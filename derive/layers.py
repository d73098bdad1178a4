r"""Layer calculus: each layer of a random network maps one scalar state to the next.

Stage: declarations of layers in, Systems out. A layer with independent Gaussian weights enters only
through kappa_1^2 (``a``), kappa_*^2 (``b``) and its width gamma = k/d. Two derivations of the same
network are built here, from the two ends:

* **covariance route**: the effective ridge x_l of the population covariance Omega_l. With
  df_l = gamma_l <Omega_l (Omega_l + x_l)^-1> (degrees of freedom per input dimension),

  .. math:: x_l = \frac{a_l x_{l-1}}{\gamma_{l-1}} (\gamma_l - df_{l-1}) - b_l, \qquad
            df_l = df_{l-1} + \frac{b_l \gamma_{l-1}}{a_l x_{l-1}}, \qquad
            \lambda = \frac{x_L}{\gamma_L} (\alpha - df_L).

* **kernel route**: the effective ridge k_l = 1/g_l of the data kernel K_l = X_l^T X_l / k_l, with
  h_l = 1 - lambda_l g_l,

  .. math:: k_l = a_l k_{l-1} (1 - \alpha h_l / \gamma_l), \qquad
            h_l = h_{l-1} + \frac{b_l}{a_l k_{l-1}}, \qquad \lambda = k_L (1 - h_L).

**One physical root.** On both routes at most one root has all conditions positive. Write every
unknown and degree of freedom as a function of the first unknown (covariance route; the kernel route
reads the same with k, h, e = 1 - alpha h/gamma and 1 - h_L for x, df, gamma - df and alpha - df_L):

1. Let P_l be the set of x_0 > 0 at which x_0, ..., x_l and the gaps gamma_i - df_{i-1}, i <= l,
   are positive. Claim: P_l is an interval without upper end, x_l' > 0 and df_l' <= 0 on it.
2. l = 0: P_0 is the half line, x_0' = 1; df_0 = gamma_0 <Omega/(Omega + x_0)> does not increase.
3. l - 1 to l: on P_{l-1} the gap gamma_l - df_{l-1} does not decrease, so it is positive on an
   interval without upper end. There x_l = a_l x_{l-1} (gamma_l - df_{l-1})/gamma_{l-1} - b_l has
   x_l' = a_l (x_{l-1}' (gamma_l - df_{l-1}) - x_{l-1} df_{l-1}')/gamma_{l-1} > 0, a positive and a
   nonnegative term; so x_l > 0 again cuts out an interval without upper end, P_l. On it
   df_l' = df_{l-1}' - b_l gamma_{l-1} x_{l-1}'/(a_l x_{l-1}^2) <= 0.
4. alpha - df_L > 0 cuts out one more such interval, and on it the closing right side has
   lam' = (x_L' (alpha - df_L) - x_L df_L')/gamma_L > 0. A strictly increasing function takes the
   value lam at most once.

Only a_l > 0, b_l >= 0, positive widths and nonnegative atoms are used.

Conventions: estimator min sum_i (y_i - theta.phi_i/sqrt(p))^2 + lam |theta|^2, resolvents
normalised by p; m = <(X^T X/p + lam)^-1>; E_test includes the noise of a fresh label.
Sources: arXiv:2402.13999 and arXiv:2302.00401; the explicit forms and the signs of every term are
derived here (worked derivation: ``derivations/deep_features``).
"""

from dataclasses import dataclass

from sympy import Add, Expr, Integer, Piecewise, Symbol, sqrt

from derive.block import Line
from derive.provenance import SCHRODER_2023, SCHRODER_2024, THIS
from derive.rewrite import Log, Step
from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System

alpha = control("alpha", "samples per input dimension, n/d", latex=r"\alpha", positive=True)
lam = control("lam", "ridge, as in |y - X theta|^2 + lam |theta|^2", latex=r"\lambda", low=0)
noise = control("noise", "variance of the label noise", latex=r"\sigma^2", low=0)


def width(level: int) -> Quantity:
    """Return the control gamma_l = k_l/d."""
    return control(
        f"gamma_{level}",
        f"width of layer {level} per input dimension",
        latex=rf"\gamma_{{{level}}}",
        positive=True,
    )


@dataclass(frozen=True)
class Base:
    """Where the chain starts: a deterministic covariance of ``width`` (per input dimension).

    Attributes:
        width: 1 for the input itself.
        atoms: pairs (eigenvalue, weight), exact, weights summing to one.
    """

    width: Expr
    atoms: tuple[tuple[Expr, Expr], ...]

    @property
    def mean(self) -> Expr:
        """Mean eigenvalue."""
        return Add(*(value * weight for value, weight in self.atoms))

    def df(self, x: Expr) -> Expr:
        """``width * <Omega/(Omega + x)>``."""
        return self.width * Add(*(w * v / (v + x) for v, w in self.atoms))

    def minus_df_rate(self, x: Expr) -> Expr:
        """``-d df / d log x = width * <x Omega/(Omega + x)^2>``, all terms positive."""
        return self.width * Add(*(w * v * x / (v + x) ** 2 for v, w in self.atoms))


@dataclass(frozen=True)
class Layer:
    """One layer of independent weights: a = kappa_1^2 > 0, b = kappa_*^2 >= 0, and its width."""

    level: int
    a: Symbol
    b: Expr
    width: Expr


@dataclass(frozen=True)
class Teacher:
    """The part of the target that the features see.

    Attributes:
        level: the target is linear in the features of this level of the chain (0: its base).
        signal: variance of the entries of theta; exact zero if nothing of the target is seen.
        hidden: variance of the target that acts as label noise.
    """

    level: int
    signal: Expr
    hidden: Expr


@dataclass(frozen=True)
class Chain:
    """Base, layers and teacher: what both routes read."""

    base: Base
    layers: tuple[Layer, ...]
    teacher: Teacher
    constants: tuple[tuple[Symbol, Expr], ...] = ()
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    log: Log = Log()
    assumptions: tuple[str, ...] = ()

    @property
    def widths(self) -> tuple[Expr, ...]:
        """Widths from the base to the last layer."""
        return (self.base.width, *(layer.width for layer in self.layers))

    @property
    def controls(self) -> tuple[Quantity, ...]:
        """Controls in the order of the call."""
        named = {n for _, names in self.groups for n in names}
        gammas = tuple(width(int(n.removeprefix("gamma_"))) for n in sorted(named, key=_level))
        return (alpha, *gammas, lam, noise)


def _level(name: str) -> int:
    return int(name.removeprefix("gamma_"))


def _line(lines: list[Line], name: str, latex: str, expr: Expr) -> Symbol:
    """Append ``name = expr`` and return its symbol."""
    symbol = Quantity(name, "", latex=latex)
    lines.append((symbol, expr))
    return symbol


_UNIQUE = (
    "where all conditions hold the closing right side is strictly increasing in the first unknown, "
    "and that set is an interval (induction over the layers, derive.layers); so at most one root "
    "has all conditions positive"
)


# --- covariance route -----------------------------------------------------------------------------


def covariance_system(chain: Chain) -> System:
    """Return the covariance route of a chain as a System with unknowns x_0, ..., x_L.

    Outputs: m, E_test, E_train, written with positive terms only, so that they are as accurate as
    the unknowns.
    """
    count = len(chain.layers)
    first = chain.layers[0].level - 1 if count else _base_level(chain)
    x = tuple(
        Quantity(
            f"x_{first + i}",
            f"effective ridge of the covariance at level {first + i}",
            latex=f"x_{{{first + i}}}",
            low=0,
            open_low=True,
        )
        for i in range(count + 1)
    )
    lines: list[Line] = []
    equations, conditions, df = _covariance_equations(chain, x, lines)
    gammas = chain.widths
    equations.append(Equation(lam, x[-1] * (alpha - df[-1]) / gammas[-1]))
    below = "degrees of freedom stay below the sample size"
    conditions.append(Condition(alpha - df[-1], below, lam * x[-1]))
    outputs = _covariance_outputs(chain, x, df, lines)
    log = chain.log
    for step in (
        Step("compose the covariance maps", "x_{l-1} -> x_l", SCHRODER_2024.at("eqs. (14)-(16)")),
        Step("close with the readout", "lam = x_L (alpha - df_L)/gamma_L", SCHRODER_2024.at("(9)")),
        Step("differentiate in log x_0", "s_l = dlog x_l/dlog x_0 >= 1, increasing in l", THIS),
        Step("collect positive terms", "m, E_test, E_train", THIS),
    ):
        log = log.then(step)
    return System(
        name="deep_features_covariance",
        controls=chain.controls,
        unknowns=x,
        equations=tuple(equations),
        outputs=outputs,
        definitions=tuple(lines),
        constants=chain.constants,
        conditions=(*(Condition(v, f"{v} is a resolvent parameter") for v in x), *conditions),
        start=_majorant(chain),
        groups=dict(chain.groups),
        assumptions=chain.assumptions,
        uniqueness=_UNIQUE,
        log=log,
    )


def _base_level(chain: Chain) -> int:
    return 0 if chain.base.width == 1 else _level(str(chain.base.width))


def _covariance_equations(
    chain: Chain, x: tuple[Quantity, ...], lines: list[Line]
) -> tuple[list[Equation], list[Condition], list[Symbol]]:
    df = [
        _line(lines, f"df_{_tail(x[0])}", rf"\mathrm{{df}}_{{{_tail(x[0])}}}", chain.base.df(x[0]))
    ]
    equations, conditions = [], []
    gammas = chain.widths
    for i, layer in enumerate(chain.layers, 1):
        gap = layer.width - df[-1]
        equations.append(Equation(x[i], layer.a * x[i - 1] * gap / gammas[i - 1] - layer.b))
        wide = f"layer {layer.level} is wide enough to pass the signal"
        conditions.append(Condition(gap, wide, (x[i] + layer.b) * x[i - 1]))
        grown = df[-1] + layer.b * gammas[i - 1] / (layer.a * x[i - 1])
        df.append(_line(lines, f"df_{layer.level}", rf"\mathrm{{df}}_{{{layer.level}}}", grown))
    return equations, conditions, df


def _tail(symbol: Symbol) -> str:
    return symbol.name.rsplit("_", 1)[-1]


def _covariance_outputs(
    chain: Chain, x: tuple[Quantity, ...], df: list[Symbol], lines: list[Line]
) -> dict[str, Expr]:
    """Write m, E_test and E_train with positive terms only.

    With s_l = dlog x_l/dlog x_0 and q_l = -d df_l/dlog x_0: q_l = q_{l-1} + beta_l s_{l-1} and
    s_l = s_{l-1} + q_l/gap_l, where beta_l = b_l gamma_{l-1}/(a_l x_{l-1}) and
    gap_l = gamma_l - df_l = x_l gamma_{l-1}/(a_l x_{l-1}).
    """
    gammas, teacher = chain.widths, chain.teacher
    t0 = _tail(x[0])
    q = [_line(lines, f"q_{t0}", f"q_{{{t0}}}", chain.base.minus_df_rate(x[0]))]
    s: list[Expr] = [Integer(1)]
    beyond: Expr = Integer(0)
    for i, layer in enumerate(chain.layers, 1):
        ratio = gammas[i - 1] / (layer.a * x[i - 1])
        name = str(layer.level)
        q.append(_line(lines, f"q_{name}", f"q_{{{name}}}", q[-1] + layer.b * ratio * s[-1]))
        growth = _line(lines, f"w_{name}", f"w_{{{name}}}", q[-1] / (x[i] * ratio))
        s.append(_line(lines, f"s_{name}", f"s_{{{name}}}", s[-1] + growth))
        beyond = beyond + growth if i > teacher.level else beyond
    spare = _line(lines, "spare", r"(\alpha-\mathrm{df}_L)", lam * gammas[-1] / x[-1])
    gain = _line(lines, "gain", r"\frac{1}{1-\delta}", alpha * s[-1] / (s[-1] * spare + q[-1]))
    bias: Expr = Integer(0)
    if teacher.signal != 0:
        seen = teacher.level
        share = (df[seen] * beyond + q[seen]) / s[-1]
        bias = _line(lines, "bias", r"B", teacher.signal * x[seen] / gammas[seen] * share)
    e_test = gain * (noise + teacher.hidden + bias)
    return {
        "m": gammas[-1] / (alpha * x[-1]),
        "E_test": e_test,
        "E_train": (spare / alpha) ** 2 * e_test,
    }


def _majorant(chain: Chain) -> Start:
    """Return an upper bound of x_0 by Jensen's inequality, level by level from the readout.

    df_l(x) <= gamma_l w/(w + x) with w = <Omega_l>, so the root x of
    x (n - gamma_l w/(w + x)) = gamma_l * target lies above the true one.
    """
    lines: list[Line] = []
    means: list[Expr] = [chain.base.mean]
    for layer in chain.layers:
        means.append(layer.a * means[-1] + layer.b)
    samples: Expr = alpha
    target: Expr = lam
    gammas = chain.widths
    for i in range(len(chain.layers), -1, -1):
        w = _line(lines, f"mean_{i}", "", means[i])
        half = _line(lines, f"half_{i}", "", (gammas[i] * target + (gammas[i] - samples) * w) / 2)
        product = _line(lines, f"prod_{i}", "", samples * gammas[i] * target * w)
        root = _line(lines, f"disc_{i}", "", sqrt(half**2 + product))
        stable = Piecewise(
            ((half + root) / samples, half > 0), (product / (samples * (root - half)), True)
        )
        bound = _line(lines, f"top_{i}", "", stable)
        if i:
            layer = chain.layers[i - 1]
            samples, target = layer.width, (bound + layer.b) / layer.a
    return Start(tuple(lines), lines[-1][0], "an upper bound of x_0 (Jensen, level by level)")


# --- kernel route ---------------------------------------------------------------------------------


def kernel_system(chain: Chain) -> System:
    """Return the kernel route of a chain as a System with unknowns k_0, ..., k_L.

    E_test = -F'/g^2 and E_train = -lam^2 F' with F = E[y^T (K + lam)^-1 y]/n are obtained by
    differentiating along the solution; nothing else is put in by hand.
    """
    count = len(chain.layers)
    first = chain.layers[0].level - 1 if count else _base_level(chain)
    k = tuple(
        Quantity(
            f"k_{first + i}",
            f"effective ridge of the data kernel at level {first + i}",
            latex=f"k_{{{first + i}}}",
            low=0,
            open_low=True,
        )
        for i in range(count + 1)
    )
    lines: list[Line] = []
    scale = alpha / chain.base.width
    atoms = chain.base.atoms
    h = [
        _line(
            lines,
            f"h_{first}",
            f"h_{{{first}}}",
            Add(*(w * v / (k[0] + scale * v) for v, w in atoms)),
        )
    ]
    equations, conditions = [], []
    for i, layer in enumerate(chain.layers, 1):
        name = str(layer.level)
        h.append(_line(lines, f"h_{name}", f"h_{{{name}}}", h[-1] + layer.b / (layer.a * k[i - 1])))
        e = _line(lines, f"e_{name}", f"e_{{{name}}}", 1 - alpha * h[-1] / layer.width)
        equations.append(Equation(k[i], layer.a * k[i - 1] * e))
        wide = f"layer {name} is wide enough to pass the signal"
        conditions.append(Condition(e, wide, k[i] * k[i - 1]))
    left = _line(lines, "left", r"(1-h_L)", 1 - h[-1])
    equations.append(Equation(lam, k[-1] * left))
    conditions.append(Condition(left, "degrees of freedom stay below the sample size", lam / k[-1]))
    signal = chain.teacher.signal * k[chain.teacher.level] * h[chain.teacher.level]
    power = _line(lines, "power", r"\Phi", signal + noise + chain.teacher.hidden)
    F = _line(lines, "F", "F", power / k[-1])
    start = _majorant(chain)
    start = Start(start.lines, start.value * scale, "an upper bound of k_0 = alpha x_0/gamma_0")
    system = System(
        name="deep_features_kernel",
        controls=chain.controls,
        unknowns=k,
        equations=tuple(equations),
        outputs={"m": 1 / k[-1]},
        definitions=tuple(lines),
        constants=chain.constants,
        conditions=(*(Condition(v, f"{v} is an effective ridge") for v in k), *conditions),
        start=start,
        groups=dict(chain.groups),
        assumptions=chain.assumptions,
        uniqueness=_UNIQUE,
        log=_kernel_log(chain),
    )
    system, slope = system.differentiate(
        "F", "lam", F, SCHRODER_2024.at("eq. (9), data-kernel form")
    )
    return system.with_outputs(E_test=-slope * k[-1] ** 2, E_train=-slope * lam**2)


def _kernel_log(chain: Chain) -> Log:
    composed = Step(
        "compose the layer maps", "(lambda, g, C) -> (lambda, g, C)", SCHRODER_2023.at("Thm. 3.3")
    )
    rewritten = "rewrite with 1 - h_l = lambda_l g_l and C_l = k_0/k_l"
    return chain.log.then(composed).then(Step(rewritten, "k_l = 1/g_l", THIS))
