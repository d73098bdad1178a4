r"""Limits of readouts on deep features, as Systems: no ridge, endless data, the peak, wide layers.

Stage: a ``Chain`` (or a declaration that has one) in, Systems with fewer controls out. With x_L the
effective ridge of the last layer's covariance, lam = x_L (alpha - df_L)/gamma_L vanishes in two
ways:

* **fewer samples than features**: df_L = alpha, x_L > 0. The last layer peels off: its noise is a
  ridge of the network below, x' (alpha - df')/gamma' = b/a, and with P the part of labels that this
  network leaves (target variance at its ridge, plus noise)

  .. math:: E_L(0) = E_{L-1}(b/a) + \frac{\alpha}{\gamma_L - \alpha} P, \qquad E_{train} = 0;

* **more samples than features**: x_L = 0. The equations are then those of the network below with as
  many samples as features, x' (gamma_L - df')/gamma' = b/a, whatever the samples are, and

  .. math:: E_L(0) = \frac{\alpha}{\alpha - \gamma_L} P, \quad
            E_{train} = \frac{\alpha - \gamma_L}{\alpha} P, \quad E_L(\alpha \to \infty) = P,

  where P = sigma_y^2 - T(0) is what no readout explains.

Between the two, at alpha = gamma_L, to leading order lam = x_L^2 S(0) and
1 - delta = 2 sqrt(lam S(0)), so that

.. math:: E_L \simeq \frac{P}{2 \sqrt{\lambda\, S(0)}}, \qquad S(0) = \langle \Omega_L^{-1} \rangle
          = \frac{\gamma'}{a\, x'\, \gamma_L}.

Wide layers: each only scales the covariance by a and adds b, so a network of infinite widths is
linear ridge regression at (lam + sum_l b_l prod_{s > l} a_s)/prod_l a_l.
Layers with kinds of neurons take means over their kinds. Sources: derived here from the positive
forms of ``derive.layers``; arXiv:2402.13999 for the equations.
"""

from dataclasses import replace
from typing import Protocol

from sympy import Expr, Integer, Mul, sqrt

from derive.chains.layer_chain import Chain, alpha, lam, noise
from derive.chains.random_gain import MixedLayer
from derive.errors import NotSupportedError, UnknownNameError
from derive.layers import CovarianceRoute, covariance_system
from derive.provenance import THIS
from derive.rewrite import Step
from derive.system import Condition, Equation, System

SIDES = ("fewer", "more")


class Declared(Protocol):
    """A declaration with a chain, such as ``DeepFeatures``."""

    def chain(self) -> Chain:
        """Return base, layers and teacher."""


def _chain(model: Chain | Declared) -> Chain:
    chain = model if isinstance(model, Chain) else model.chain()
    if not chain.layers:
        raise NotSupportedError(
            "a limit that peels the last layer",
            "the network has no layers above its base",
            "expand the system in lam (derive.expansions), or add a layer",
        )
    return chain


def ridgeless(model: Chain | Declared, side: str) -> System:
    """Return the limit lam -> 0 from above as a System without the control lam.

    Args:
        model: a chain with at least one layer, or a declaration.
        side: "fewer" samples than features, alpha < gamma_L, or "more".

    Raises:
        UnknownNameError: for another side.
        NotSupportedError: without layers.

    Outputs: E_test and E_train; on the side of fewer samples also m, which is infinite on the
    other: there ``lam_m`` is the limit of lam m.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> system = ridgeless(deep_features(["erf", "erf"]), "fewer")
        >>> [u.name for u in system.unknowns], [q.name for q in system.controls]
        (['x_0', 'x_1'], ['alpha', 'gamma_1', 'gamma_2', 'noise'])
    """
    chain = _chain(model)
    if side == "fewer":
        return _fewer(chain)
    if side == "more":
        return _more(chain)
    raise UnknownNameError(f"side {side!r}", f"the sides are {', '.join(SIDES)}", "use one of them")


def _fewer(chain: Chain) -> System:
    top = chain.layers[-1]
    if isinstance(top, MixedLayer) or top.rows or chain.teacher.level == len(chain.layers):
        return _closed_by_samples(chain)
    below = _without_top(chain)
    route = CovarianceRoute(below)
    ridge = top.b / top.a
    x, df, width = route.x[-1], route.df[-1], chain.widths[-2]
    spare = alpha - df
    meaning = "degrees of freedom stay below the sample size"
    route.take(Equation(ridge, x * spare / width), Condition(spare, meaning, ridge * x))
    outputs = route.outputs(ridge)
    left = noise + chain.teacher.hidden + route.unlearnt()
    gap = top.width - alpha
    outputs = {
        "m": outputs["m"] * top.width / (top.a * gap),
        "E_test": outputs["E_test"] + alpha / gap * left,
        "E_train": Integer(0),
    }
    route.conditions.append(Condition(gap, "fewer samples than features"))
    peel = Step(
        "peel the last layer", f"its noise is a ridge b/a = {ridge} of the layers below", THIS
    )
    return _finished(chain, route, outputs, "ridgeless_fewer", peel, drop=("lam",))


def _closed_by_samples(chain: Chain) -> System:
    """Close the whole chain by df_L = alpha, where the last layer does not peel off."""
    route = CovarianceRoute(chain)
    route.take(
        Equation(-alpha, -route.df[-1]),
        Condition(chain.widths[-1] - alpha, "fewer samples than features"),
    )
    outputs = route.outputs(Integer(0)) | {"E_train": Integer(0)}
    step = Step("close with as many degrees of freedom as samples", "df_L = alpha", THIS)
    return _finished(chain, route, outputs, "ridgeless_fewer", step, drop=("lam",))


def _more(chain: Chain) -> System:
    system, left, _ = _saturated(chain)
    ratio = (alpha - chain.widths[-1]) / alpha
    more = Condition(alpha - chain.widths[-1], "more samples than features")
    outputs = {"lam_m": ratio, "E_test": left / ratio, "E_train": left * ratio}
    return replace(
        system,
        name="ridgeless_more",
        controls=tuple(q for q in chain.controls if q.name != "lam"),
        outputs=outputs,
        conditions=(*system.conditions, more),
        log=system.log.then(Step("send the ridge to zero", "x_L -> 0 at alpha > gamma_L", THIS)),
    )


def infinite_data(model: Chain | Declared) -> System:
    """Return the limit alpha -> infinity at any ridge: what no readout of these features explains.

    Output: E_test.

    Raises:
        NotSupportedError: without layers.
    """
    system, left, _ = _saturated(_chain(model))
    step = Step("send the samples to infinity", "x_L -> 0: E -> sigma_y^2 - T(0)", THIS)
    return replace(
        system, name="infinite_data", outputs={"E_test": left}, log=system.log.then(step)
    )


def peak_law(model: Chain | Declared) -> System:
    """Return the law of the interpolation peak alpha = gamma_L: E_test ~ peak/sqrt(lam).

    Outputs: ``peak``, ``S_0`` = <Omega_L^-1>, and ``misfit`` = sigma_y^2 - T(0).

    Raises:
        NotSupportedError: without layers.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> [q.name for q in peak_law(deep_features(["erf"])).controls]
        ['gamma_1', 'noise']
    """
    system, left, inverse = _saturated(_chain(model))
    outputs = {"peak": left / (2 * sqrt(inverse)), "S_0": inverse, "misfit": left}
    step = Step(
        "expand at the interpolation threshold",
        "lam ~ x_L^2 S(0), 1 - delta ~ 2 sqrt(lam S(0)), so E ~ misfit/(2 sqrt(lam S(0)))",
        THIS,
    )
    return replace(system, name="peak_law", outputs=outputs, log=system.log.then(step))


def _saturated(chain: Chain) -> tuple[System, Expr, Expr]:
    """Return the chain at x_L = 0, what is left of the labels, and <Omega_L^-1>."""
    top = chain.layers[-1]
    below = _without_top(chain)
    route = CovarianceRoute(below)
    width = chain.widths[-2]
    ridge = route.beneath(top)
    df = route.df[-1]
    if isinstance(top, MixedLayer):
        tau = ridge * df / width
        zero = Integer(0)
        reach = top.width * ridge / width
        equation = Equation(Integer(1), reach * top.kinds.mean(1, 0, 1, zero, tau))
        inverse = top.kinds.mean(0, 0, 1, zero, tau)
    else:
        equation = Equation(top.b / top.a, ridge * (top.width - df) / width)
        inverse = width / (top.a * ridge * top.width)
    meaning = f"layer {top.level} is wide enough to pass the signal"
    route.take(equation, Condition(top.width - df, meaning))
    last = chain.teacher.level == len(chain.layers)
    left = noise + chain.teacher.hidden + (Integer(0) if last else route.unlearnt())
    step = Step("let the last effective ridge vanish", "as many samples as features below", THIS)
    system = _finished(chain, route, {"E_test": left}, "saturated", step, drop=("alpha", "lam"))
    return system, left, inverse


def _without_top(chain: Chain) -> Chain:
    level = min(chain.teacher.level, len(chain.layers) - 1)
    teacher = replace(chain.teacher, level=level)
    return replace(chain, layers=chain.layers[:-1], teacher=teacher)


def _finished(
    chain: Chain,
    route: CovarianceRoute,
    outputs: dict[str, Expr],
    name: str,
    step: Step,
    drop: tuple[str, ...],
) -> System:
    system = covariance_system(chain)
    return replace(
        system,
        name=name,
        controls=tuple(q for q in chain.controls if q.name not in drop),
        unknowns=tuple(route.unknowns),
        equations=tuple(route.equations),
        outputs=outputs,
        definitions=tuple(route.lines),
        conditions=route.all_conditions(),
        start=route.any_start(),
        log=system.log.then(step),
    )


def wide(model: Chain | Declared) -> System:
    """Return the limit of infinite widths: linear ridge regression at an effective ridge.

    Raises:
        NotSupportedError: if the target is on a layer: its variance then grows with the widths.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> wide(deep_features(["erf", "erf"])).equations[0].rhs
        a_1*a_2*x_0*(alpha - df_0) - a_2*b_1 - b_2
    """
    chain = model if isinstance(model, Chain) else model.chain()
    if chain.teacher.level or any(layer.rows for layer in chain.layers):
        raise NotSupportedError(
            "infinite widths",
            "target or row covariances on a layer",
            "take one width large instead",
        )
    base = replace(chain, layers=())
    route = CovarianceRoute(base)
    gain = Mul(*(layer.mean(1, 0) for layer in chain.layers))
    floor: Expr = Integer(0)
    for layer in chain.layers:
        floor = floor * layer.mean(1, 0) + layer.mean(0, 1)
    spare = alpha - route.df[-1]
    x, width = route.x[-1], base.base.width
    meaning = "degrees of freedom stay below the sample size"
    rhs = gain * x * spare / width - floor.expand()
    route.take(Equation(lam, rhs), Condition(spare, meaning))
    found = route.outputs((lam + floor) / gain)
    share = 1 - route.df[-1] / alpha
    outputs = {
        "m": found["m"] / gain,
        "E_test": found["E_test"],
        "E_train": (lam / (lam + floor) * share) ** 2 * found["E_test"],
    }
    step = Step("send all widths to infinity", "x -> a x - b at each layer, df unchanged", THIS)
    drop = tuple(q.name for q in chain.controls if q.name.startswith("gamma_"))
    kept = tuple(n for n in drop if str(base.base.width) != n)
    system = _finished(chain, route, outputs, "infinite_width", step, drop=kept)
    return replace(system, groups={})
