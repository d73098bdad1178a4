r"""Spectral functions of a chain of random layers, as a System in the effective ridge.

Stage: a ``Chain`` in, a System out whose control is x = x_L and whose outputs are the sums that a
readout sees (``numeric.spectral_functions``): what every loss shares, free of the readout. The
equations are those of the covariance route (``derive.layers``), closed by x = x_L in place of
lam = x_L (alpha - df_L)/gamma_L, so any layer that has a covariance map is covered: equal neurons,
neurons with biases and norms of their own, rows with a covariance.

Outputs: df1; rest1 = 1 - df1; bent = df1 - df2; U, what is left unexplained; T; each a sum of
positive terms (T on a hidden layer is a difference). Source: arXiv:2402.13999, eq. 14-16.
"""

from sympy import Add, Expr, Integer, Symbol

from derive.chains.layer_chain import Chain
from derive.chains.structured_weights import mean as mean_of
from derive.layers import CovarianceRoute, majorant
from derive.provenance import SCHRODER_2024, THIS
from derive.rewrite import Step
from derive.symbols import control
from derive.system import Equation, System

x = control("x", "effective ridge of the features", positive=True)

_UNIQUE = (
    "x_L increases strictly in x_0 where all conditions hold (induction over the layers, "
    "derive.layers), so at most one root has all conditions positive"
)


def spectral_system(chain: Chain) -> System:
    """Return the spectral functions of a chain at a given effective ridge.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> spectral_system(deep_features(["erf"]).chain())
        System(deep_features_spectrum: 2 equations, 2 unknowns: x_0 x_1; controls x gamma_1)
    """
    route = CovarianceRoute(chain)
    route.equations.append(Equation(x, route.x[-1]))
    q, s, beyond = route.rates()
    last = chain.widths[-1]
    hidden, left, fitted = chain.teacher.hidden, Integer(0), Integer(0)
    if chain.teacher.signal != 0:
        left, fitted = _signal(route, (q, s[-1], beyond))
    log = chain.log.then(
        Step("compose the covariance maps", "x_{l-1} -> x_l", SCHRODER_2024.at("eqs. (14)-(16)"))
    ).then(Step("stop at the features", "x_L = x, given", THIS))
    return System(
        name="deep_features_spectrum",
        controls=(x, *chain.controls[1:-2]),
        unknowns=tuple(route.unknowns),
        equations=tuple(route.equations),
        outputs={
            "df1": route.df[-1] / last,
            "rest1": route.empty,
            "bent": q[-1] / (s[-1] * last),
            "U": hidden + left,
            "T": fitted,
        },
        definitions=tuple(route.lines),
        constants=chain.constants,
        conditions=route.all_conditions(),
        start=majorant(chain, x),
        groups=dict(chain.groups),
        assumptions=chain.assumptions,
        uniqueness=_UNIQUE,
        log=log,
    )


def _signal(route: CovarianceRoute, rates: tuple[list[Symbol], Expr, Expr]) -> tuple[Expr, Expr]:
    """Return what is left of the seen signal, and T."""
    chain, (q, s, beyond) = route.chain, rates
    teacher, seen = chain.teacher, chain.teacher.level
    base, at, df = chain.base, route.x[seen], route.df[seen]
    if seen == 0 and base.powers:
        left = (base.lost(at) * beyond + base.lost(at, order=2)) / s
        pairs = zip(base.atoms, base.powers, strict=True)
        return teacher.signal * left, teacher.signal * Add(
            *(w * P * v / (v + at) for (v, w), P in pairs)
        )
    width = chain.widths[seen]
    left = teacher.signal * at / width * (df * beyond + q[seen]) / s
    if seen == 0:
        return left, teacher.signal * Add(*(w * v**2 / (v + at) for v, w in base.atoms))
    return left, teacher.signal * (means(chain)[seen] - at * df / width)


def means(chain: Chain) -> list[Expr]:
    """Return the mean eigenvalue <Omega_l> of every level of a chain."""
    found: list[Expr] = [chain.base.mean]
    for layer in chain.layers:
        below = found[-1] * (mean_of(layer.rows) if layer.rows else 1)
        found.append(layer.mean(1, 0) * below + layer.mean(0, 1))
    return found
