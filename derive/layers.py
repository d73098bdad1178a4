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

Only a_l > 0, b_l >= 0, positive widths and nonnegative atoms are used. Layers whose neurons differ
(``derive.chains.random_gain``) and rows with a covariance (``derive.chains.structured_weights``)
hold one inner equation each; their growth is not negative either, so the same induction runs over
them.

Conventions: estimator min sum_i (y_i - theta.phi_i/sqrt(p))^2 + lam |theta|^2, resolvents
normalised by p; m = <(X^T X/p + lam)^-1>; E_test includes the noise of a fresh label.
Sources: arXiv:2402.13999 and arXiv:2302.00401; the explicit forms and the signs of every term are
derived here (worked derivation: ``derivations/deep_features``).
"""

from dataclasses import dataclass

from sympy import Expr, Integer, Piecewise, Symbol, sqrt

from derive.block import Line
from derive.chains import random_gain, structured_weights
from derive.chains.inner_roots import line as _line
from derive.chains.layer_chain import Base, Chain, Layer, Teacher, alpha, lam, noise, width
from derive.chains.random_gain import Mixed, MixedLayer
from derive.chains.structured_weights import Structured
from derive.gaps import Gap
from derive.provenance import SCHRODER_2023, SCHRODER_2024, THIS
from derive.rewrite import Log, Step
from derive.symbols import Quantity
from derive.system import Condition, Equation, Start, System

__all__ = [
    "Base",
    "Chain",
    "Layer",
    "MixedLayer",
    "Teacher",
    "alpha",
    "covariance_system",
    "kernel_system",
    "lam",
    "noise",
    "width",
]

_UNIQUE = (
    "where all conditions hold the closing right side is strictly increasing in the first unknown, "
    "and that set is an interval (induction over the layers, derive.layers); so at most one root "
    "has all conditions positive"
)


@dataclass(frozen=True)
class _Climbed:
    """One layer after the first pass: its inner equations, and the ridge just below its weights."""

    layer: Layer | MixedLayer
    ridge: Symbol
    rows: Structured | None
    mixed: Mixed | None


def _ridge(letter: str, level: int, what: str) -> Quantity:
    meaning = f"effective ridge of {what} at level {level}"
    name, latex = f"{letter}_{level}", f"{letter}_{{{level}}}"
    return Quantity(name, meaning, latex=latex, low=0, open_low=True)


class _Route:
    """What both routes collect while they climb the chain."""

    letter = ""
    what = ""
    meaning = ""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.lines: list[Line] = []
        self.x = [_ridge(self.letter, chain.first, self.what)]
        self.unknowns = [self.x[0]]
        self.equations: list[Equation] = []
        self.conditions: list[Condition] = []
        self.climbed: list[_Climbed] = []

    def take(self, equation: Equation, condition: Condition) -> None:
        """Add an equation with its condition."""
        self.equations.append(equation)
        self.conditions.append(condition)

    def rows(self, layer: Layer | MixedLayer, below: tuple[Expr, Expr]) -> Structured | None:
        """Write the row covariance of a layer, if it has one; ``below`` is D and 1 - D."""
        if not layer.rows:
            return None
        c = _ridge("c", layer.level, "the covariance of the rows")
        done = structured_weights.row_map(
            layer.level, layer.rows, c, (self.x[-1], *below), self.lines
        )
        self.unknowns.append(c)
        self.take(done.equation, done.condition)
        return done

    def raise_to(self, layer: Layer | MixedLayer) -> Quantity:
        """Return the ridge above a layer, a new unknown."""
        x = _ridge(self.letter, layer.level, self.what)
        self.x.append(x)
        self.unknowns.append(x)
        return x

    def all_conditions(self) -> tuple[Condition, ...]:
        """Return the conditions: first that unknowns are positive, then the others."""
        positive = [Condition(v, f"{v} is {self.meaning}") for v in self.unknowns]
        return (*positive, *self.conditions)


# --- covariance route -----------------------------------------------------------------------------


class CovarianceRoute(_Route):
    """The first pass of the covariance route, and the second."""

    letter = "x"
    what = "the covariance"
    meaning = "a resolvent parameter"

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        name = str(chain.first)
        start = chain.base.df(self.x[0])
        self.df = [_line(self.lines, f"df_{name}", rf"\mathrm{{df}}_{{{name}}}", start)]
        self.empty = chain.base.empty(self.x[0])
        self.slack: tuple[Expr, int] = (Integer(0), -1)
        for layer, below in zip(chain.layers, chain.widths, strict=False):
            self._climb(layer, below)

    def _climb(self, layer: Layer | MixedLayer, below: Expr) -> None:
        rows = self.rows(layer, (self.df[-1] / below, self.empty))
        ridge: Symbol = rows.ridge if rows else self.x[-1]
        x, mixed = self.raise_to(layer), None
        if isinstance(layer, MixedLayer):
            state = (ridge, self.df[-1], below)
            gap = self.gap(layer.width)
            mixed = random_gain.covariance_map(layer, x, state, gap, self.lines)
            self.take(mixed.equation, mixed.condition)
            self.df.append(mixed.df)
            self.empty = mixed.empty
            self.slack = (mixed.slack, len(self.equations) - 1)
        else:
            gap = layer.width - self.df[-1]
            wide = f"layer {layer.level} is wide enough to pass the signal"
            self.take(
                Equation(x, layer.a * ridge * gap / below - layer.b, gap=self.gap(layer.width)),
                Condition(gap, wide, (x + layer.b) * ridge),
            )
            grown = self.df[-1] + layer.b * below / (layer.a * ridge)
            tag = rf"\mathrm{{df}}_{{{layer.level}}}"
            self.df.append(_line(self.lines, f"df_{layer.level}", tag, grown))
            self.empty = x * below / (layer.a * ridge * layer.width)
            self.slack = (below / (layer.a * ridge), len(self.equations) - 1)
        self.climbed.append(_Climbed(layer, ridge, rows, mixed))

    def gap(self, room: Expr) -> Gap:
        """Return the difference of some room and the degrees of freedom so far."""
        width_here = self.chain.widths[len(self.df) - 1]
        rest = width_here * self.empty
        return Gap(room, self.df[-1], width_here, rest, *self.slack)

    def rates(self) -> tuple[list[Symbol], list[Expr], Expr]:
        """Write q_l and s_l of all levels; also return how much s grows beyond the teacher.

        With s_l = dlog x_l/dlog x_0 and q_l = -d df_l/dlog x_0, a layer of equal neurons has
        q_l = q_{l-1} + beta_l s_{l-1} and s_l = s_{l-1} + q_l/gap_l, where
        beta_l = b_l gamma_{l-1}/(a_l x_{l-1}) and gap_l = gamma_l - df_l =
        x_l gamma_{l-1}/(a_l x_{l-1}).
        """
        chain, lines, name = self.chain, self.lines, str(self.chain.first)
        q = [_line(lines, f"q_{name}", f"q_{{{name}}}", chain.base.minus_df_rate(self.x[0]))]
        s: list[Expr] = [Integer(1)]
        beyond: Expr = Integer(0)
        for i, (step, below) in enumerate(zip(self.climbed, chain.widths, strict=False), 1):
            layer, at = step.layer, s[-1]
            growth: Expr = Integer(0)
            if step.rows:
                share = q[-1] / below
                growth = structured_weights.row_growth(
                    layer.level, layer.rows, step.rows, share, lines
                )
                at = at + growth
            risen, grown = self._over(step, self.x[i], (at, q[-1], below))
            q.append(risen)
            tag = str(layer.level)
            s.append(_line(lines, f"s_{tag}", f"s_{{{tag}}}", at + grown))
            beyond = beyond + growth + grown if i > chain.teacher.level else beyond
        return q, s, beyond

    def _over(
        self, step: _Climbed, x: Symbol, below: tuple[Expr, Expr, Expr]
    ) -> tuple[Symbol, Symbol]:
        """Write q above one layer and the growth of s over its weights."""
        layer, (s, q, width_below) = step.layer, below
        if isinstance(layer, MixedLayer):
            assert step.mixed is not None, "set by the first pass"
            state = (s, q, step.ridge / width_below)
            return random_gain.covariance_rates(layer, step.mixed, x, state, self.lines)
        ratio, name = width_below / (layer.a * step.ridge), str(layer.level)
        risen = _line(self.lines, f"q_{name}", f"q_{{{name}}}", q + layer.b * ratio * s)
        return risen, _line(self.lines, f"w_{name}", f"w_{{{name}}}", risen / (x * ratio))

    def beneath(self, layer: Layer | MixedLayer) -> Symbol:
        """Return the ridge just below the weights of a layer, its row covariance written."""
        below = self.chain.widths[-1]
        rows = self.rows(layer, (self.df[-1] / below, self.empty))
        return rows.ridge if rows else self.x[-1]

    def unlearnt(self) -> Expr:
        """Return the variance of the visible target that the ridge leaves on noiseless data."""
        teacher, base = self.chain.teacher, self.chain.base
        if teacher.level == 0 and base.powers:
            return teacher.signal * base.lost(self.x[0])
        seen = teacher.level
        return teacher.signal * self.x[seen] * self.df[seen] / self.chain.widths[seen]

    def outputs(self, ridge: Expr) -> dict[str, Expr]:
        """Write m, E_test and E_train at a ridge, with positive terms only."""
        chain, x, df, lines = self.chain, self.x, self.df, self.lines
        gammas, teacher = chain.widths, chain.teacher
        q, s, beyond = self.rates()
        spare = _line(lines, "spare", r"(\alpha-\mathrm{df}_L)", ridge * gammas[-1] / x[-1])
        gain = _line(lines, "gain", r"\frac{1}{1-\delta}", alpha / (spare + q[-1] / s[-1]))
        bias: Expr = Integer(0)
        if teacher.signal != 0:
            seen, later = teacher.level, Integer(0)
            if beyond != 0:
                risen = _line(lines, "risen", r"(s_L-s)", beyond)
                later = _line(lines, "later", r"\beta", 1 / (1 + s[seen] / risen))
            if seen == 0 and chain.base.powers:
                left = chain.base.lost(x[0]) * later + chain.base.lost(x[0], order=2) / s[-1]
                share = teacher.signal * left
            else:
                share = df[seen] * later + q[seen] / s[-1]
                share = teacher.signal * x[seen] / gammas[seen] * share
            bias = _line(lines, "bias", r"B", share)
        e_test = gain * (noise + teacher.hidden + bias)
        return {
            "m": gammas[-1] / (alpha * x[-1]),
            "E_test": e_test,
            "E_train": (spare / alpha) ** 2 * e_test,
        }

    def any_start(self) -> Start:
        """Return a start for limits: Newton's method brackets the root from anywhere."""
        value = self.chain.base.mean
        return Start((), value, "a scale of the root; doubled until it is above")


def covariance_system(chain: Chain) -> System:
    """Return the covariance route of a chain as a System with unknowns x_0, ..., x_L.

    A layer whose rows have a covariance adds its unknown c_l. Outputs: m, E_test, E_train, written
    with positive terms only, so that they are as accurate as the unknowns.
    """
    route = CovarianceRoute(chain)
    x, last = route.x[-1], chain.widths[-1]
    spare = alpha - route.df[-1]
    below = "degrees of freedom stay below the sample size"
    route.take(
        Equation(lam, x * spare / last, gap=route.gap(alpha)), Condition(spare, below, lam * x)
    )
    outputs = route.outputs(lam)
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
        unknowns=tuple(route.unknowns),
        equations=tuple(route.equations),
        outputs=outputs,
        definitions=tuple(route.lines),
        constants=chain.constants,
        conditions=route.all_conditions(),
        start=majorant(chain),
        groups=dict(chain.groups),
        assumptions=chain.assumptions,
        uniqueness=_UNIQUE,
        log=log,
    )


def majorant(chain: Chain, ridge: Symbol | None = None) -> Start:
    """Return an upper bound of x_0 by Jensen's inequality, level by level from the readout.

    Args:
        chain: the chain.
        ridge: the effective ridge x_L where it is given, in place of alpha and lam.

    df_l(x) <= gamma_l w/(w + x) with w = <Omega_l>, so the root x of
    x (n - gamma_l w/(w + x)) = gamma_l * target lies above the true one. Over a layer,
    E[a/(x_l + b + a tau)] >= E[a]^2/E[a (x_l + b + a tau)] gives the same form one level below;
    over a row covariance, the ridge below is at most <1/C> times the one above.
    """
    lines: list[Line] = []
    means: list[Expr] = [chain.base.mean]
    for layer in chain.layers:
        below = means[-1] * (structured_weights.mean(layer.rows) if layer.rows else 1)
        means.append(layer.mean(1, 0) * below + layer.mean(0, 1))
    samples: Expr = alpha
    target: Expr = lam
    gammas, top = chain.widths, len(chain.layers)
    if ridge is not None:
        if not chain.layers:
            return Start((), ridge, "x_0 itself")
        samples, target = _one_layer_down(chain.layers[-1], ridge, lines)
        top -= 1
    for i in range(top, -1, -1):
        above = chain.layers[i] if i < len(chain.layers) else None
        rows = above.rows if above else ()
        mean = means[i] * (structured_weights.mean(rows) if rows else 1)
        w = _line(lines, f"mean_{i}", "", mean)
        half = _line(lines, f"half_{i}", "", (gammas[i] * target + (gammas[i] - samples) * w) / 2)
        product = _line(lines, f"prod_{i}", "", samples * gammas[i] * target * w)
        root = _line(lines, f"disc_{i}", "", sqrt(half**2 + product))
        stable = Piecewise(
            ((half + root) / samples, half > 0), (product / (samples * (root - half)), True)
        )
        spread = structured_weights.inverse_mean(rows) if rows else 1
        bound = _line(lines, f"top_{i}", "", stable * spread)
        if i:
            samples, target = _one_layer_down(chain.layers[i - 1], bound, lines)
    return Start(tuple(lines), lines[-1][0], "an upper bound of x_0 (Jensen, level by level)")


def _one_layer_down(
    layer: Layer | MixedLayer, bound: Symbol, lines: list[Line]
) -> tuple[Expr, Expr]:
    """Return samples and target of the inequality one level below a bound of the ridge above."""
    if isinstance(layer, Layer):
        return layer.width, (bound + layer.b) / layer.a
    name = str(layer.level)
    a = _line(lines, f"mean_a_{name}", "", layer.mean(1, 0))
    aa = _line(lines, f"mean_aa_{name}", "", layer.mean(2, 0))
    ab = _line(lines, f"mean_ab_{name}", "", layer.mean(1, 1))
    return layer.width * a**2 / aa, (bound * a + ab) / aa


# --- kernel route ---------------------------------------------------------------------------------


class _Kernel(_Route):
    """The pass of the kernel route; rates come from differentiating the system."""

    letter = "k"
    what = "the data kernel"
    meaning = "an effective ridge"

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.scale = alpha / chain.base.width
        name, k = str(chain.first), self.x[0]
        start = chain.base.filled(k, self.scale)
        self.h = [_line(self.lines, f"h_{name}", f"h_{{{name}}}", start)]
        self.empty = chain.base.empty(k, self.scale)
        for layer, below in zip(chain.layers, chain.widths, strict=False):
            self._climb(layer, below)

    def _climb(self, layer: Layer | MixedLayer, below: Expr) -> None:
        rows = self.rows(layer, (alpha * self.h[-1] / below, self.empty))
        ridge: Symbol = rows.ridge if rows else self.x[-1]
        name = str(layer.level)
        mixed = None
        if isinstance(layer, MixedLayer):
            k, ratio = self.raise_to(layer), alpha / layer.width
            mixed = random_gain.kernel_map(layer, k, (ridge, self.h[-1]), ratio, self.lines)
            self.take(mixed.equation, mixed.condition)
            self.h.append(mixed.df)
            self.empty = mixed.empty
        else:
            grown = self.h[-1] + layer.b / (layer.a * ridge)
            self.h.append(_line(self.lines, f"h_{name}", f"h_{{{name}}}", grown))
            k = self.raise_to(layer)
            e = _line(
                self.lines, f"e_{name}", f"e_{{{name}}}", 1 - alpha * self.h[-1] / layer.width
            )
            wide = f"layer {name} is wide enough to pass the signal"
            self.take(Equation(k, layer.a * ridge * e), Condition(e, wide, k * ridge))
            self.empty = k / (layer.a * ridge)
        self.climbed.append(_Climbed(layer, ridge, rows, mixed))

    def power(self) -> Expr:
        """Return k_L F: what of the labels the ridge leaves, per unit of the last ridge."""
        teacher, base = self.chain.teacher, self.chain.base
        if teacher.level == 0 and base.powers and teacher.signal != 0:
            signal = teacher.signal * base.lost(self.x[0], self.scale)
        else:
            signal = teacher.signal * self.x[teacher.level] * self.h[teacher.level]
        return signal + noise + teacher.hidden


def kernel_system(chain: Chain) -> System:
    """Return the kernel route of a chain as a System with unknowns k_0, ..., k_L.

    A layer whose rows have a covariance adds its unknown c_l. E_test = -F'/g^2 and
    E_train = -lam^2 F' with F = E[y^T (K + lam)^-1 y]/n are obtained by differentiating along the
    solution; nothing else is put in by hand.
    """
    route = _Kernel(chain)
    k, lines = route.x[-1], route.lines
    left = _line(lines, "left", r"(1-h_L)", 1 - route.h[-1])
    below = "degrees of freedom stay below the sample size"
    route.take(Equation(lam, k * left), Condition(left, below, lam / k))
    power = _line(lines, "power", r"\Phi", route.power())
    F = _line(lines, "F", "F", power / k)
    start = majorant(chain)
    start = Start(
        start.lines, start.value * route.scale, "an upper bound of k_0 = alpha x_0/gamma_0"
    )
    system = System(
        name="deep_features_kernel",
        controls=chain.controls,
        unknowns=tuple(route.unknowns),
        equations=tuple(route.equations),
        outputs={"m": 1 / k},
        definitions=tuple(lines),
        constants=chain.constants,
        conditions=route.all_conditions(),
        start=start,
        groups=dict(chain.groups),
        assumptions=chain.assumptions,
        uniqueness=_UNIQUE,
        log=_kernel_log(chain),
    )
    system, slope = system.differentiate(
        "F", "lam", F, SCHRODER_2024.at("eq. (9), data-kernel form")
    )
    return system.with_outputs(E_test=-slope * k**2, E_train=-slope * lam**2)


def _kernel_log(chain: Chain) -> Log:
    composed = Step(
        "compose the layer maps", "(lambda, g, C) -> (lambda, g, C)", SCHRODER_2023.at("Thm. 3.3")
    )
    rewritten = "rewrite with 1 - h_l = lambda_l g_l and C_l = k_0/k_l"
    return chain.log.then(composed).then(Step(rewritten, "k_l = 1/g_l", THIS))
