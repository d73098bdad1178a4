r"""Kernels over depth: the process kernel and the tangent kernel of a wide network.

Stage: activations in; one pair of kernels per layer out. Parameterisation: weights are sigma_w
omega/sqrt(width) and biases sigma_b beta with omega, beta standard normal at the start, and the
gradient is taken in omega and beta ("NTK parameterisation"). With inputs of squared norm
``variance`` times the dimension and correlation rho,

.. math::
    K_1 = \sigma_w^2 \rho\, v + \sigma_b^2, \quad \Theta_1 = K_1, \qquad
    K_{l+1} = \sigma_w^2\, \mathbb{E}[s(u)s(v)] + \sigma_b^2, \quad
    \Theta_{l+1} = K_{l+1} + \sigma_w^2\, \mathbb{E}[s'(u)s'(v)]\, \Theta_l,

the means over normals of covariance K_l. Source: [jacot2018].
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import arb
from sympy import Expr, Symbol, cancel, sympify

from derive.activation import Activation
from derive.balls import Ball
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.certified import CertifiedNumber
from derive.errors import NoRuleError, RangeError
from derive.exact import Number, exact_correlation, exact_number
from derive.kernels import Kernel, kernel
from derive.pairs.kernel_series import KernelSeries
from derive.symbols import rho as correlation
from derive.value import Value

_Q = Symbol("q", positive=True)
_BITS = 160


@dataclass(frozen=True)
class LayerKernels:
    """Kernels of one layer, before its activation.

    Attributes:
        variance: K_l at rho = 1, exact.
        process: K_l; an expression in rho, or a ball where rho is a number.
        tangent: Theta_l, of the same kind.
    """

    variance: Expr
    process: Any
    tangent: Any


def tangent_kernels(
    activation: Activation,
    depth: int,
    rho: Expr | Number | Fraction = correlation,
    *,
    weight_variance: Number = 1,
    bias_variance: Number = 0,
    variance: Number = 1,
) -> tuple[LayerKernels, ...]:
    """Return K_l and Theta_l for l = 1..depth.

    Args:
        activation: s, the same in every layer.
        depth: number of linear layers, at least 1.
        rho: correlation of the inputs: the symbol ``rho`` (closed forms only) or a number.
        weight_variance: sigma_w^2 > 0.
        bias_variance: sigma_b^2 >= 0.
        variance: squared norm of an input over its dimension.

    Raises:
        NoRuleError: for symbolic rho, if no closed form is known; give a number.
        RangeError: depth < 1, or |rho| > 1.

    Accuracy: expressions are exact; balls are proved.

    Example:
        >>> layers = tangent_kernels(Activation("relu"), 2, weight_variance=2)
        >>> layers[0].tangent, layers[1].variance, layers[1].tangent.subs(correlation, 1)
        (2*rho, 2, 4)
        >>> tangent_kernels(Activation("tanh"), 3, "1/2")[-1].tangent.str(10)
        '0.3340314769'
    """
    if depth < 1:
        raise RangeError(f"depth = {depth}", "out of range", "give depth >= 1")
    sw, sb, v = (exact_number(x) for x in (weight_variance, bias_variance, variance))
    point = exact_correlation(rho)
    layers = _symbolic if point == correlation else _numeric
    return layers(activation, depth, point, (sw, sb, v))


def _symbolic(
    activation: Activation, depth: int, rho: Expr, law: tuple[Expr, Expr, Expr]
) -> tuple[LayerKernels, ...]:
    sw, sb, v = law
    general = kernel(activation, variances=(_Q, _Q))
    mean, slope = general.closed, general.derivative().closed
    if mean is None or slope is None:
        raise NoRuleError(
            f"the kernels of {activation.name} over depth at symbolic rho",
            "no closed form is known",
            "give rho as a number",
        )
    q, process = sw * v + sb, sw * rho * v + sb
    tangent = process
    layers = [LayerKernels(q, process, tangent)]
    for _ in range(depth - 1):
        c = cancel(process / q)
        process = sw * _closed(mean, q, c) + sb
        tangent = process + sw * _closed(slope, q, c) * tangent
        q = sw * activation.second_moment(q).expr + sb
        layers.append(LayerKernels(q, process, tangent))
    return tuple(layers)


def _closed(value: Value, q: Expr, c: Expr) -> Expr:
    return value.expr.subs(_Q, q).subs(correlation, c)


def _numeric(
    activation: Activation, depth: int, rho: Expr, law: tuple[Expr, Expr, Expr]
) -> tuple[LayerKernels, ...]:
    sw, sb, v = law
    with working_precision(_BITS):
        evaluation = Evaluation(_BITS)
        gain, bias = evaluation(sw), evaluation(sb)
        q = sw * v + sb
        process = evaluation(sw * rho * v + sb)
        tangent = process
        layers = [_layer(q, process, tangent, evaluation)]
        for _ in range(depth - 1):
            here = kernel(activation, variances=(q, q))
            c = arb(1) if rho == 1 else _inside(process / evaluation(q))
            process = gain * _at(here, c) + bias
            tangent = process + gain * _at(here.derivative(), c) * tangent
            q = sw * activation.second_moment(q).expr + sb
            layers.append(_layer(q, process, tangent, evaluation))
    return tuple(layers)


def _layer(q: Expr, process: arb, tangent: arb, evaluation: Evaluation) -> LayerKernels:
    reason = "; ".join(evaluation.doubts)
    return LayerKernels(q, Ball.from_arb(process, reason), Ball.from_arb(tangent, reason))


def _inside(c: arb) -> arb:
    """Return the part of a ball that can be a correlation."""
    return c.intersection(arb(0, 1))


def _at(chosen: Kernel, c: arb) -> arb:
    value = chosen.to_accuracy(1e-16)
    if isinstance(value, KernelSeries):
        return value.enclose(c)
    if c == 1:
        return Evaluation(_BITS)(value.expr.subs(correlation, 1))
    point = CertifiedNumber("c", lambda evaluate, prec: c)
    return Evaluation(_BITS)(sympify(value.expr, strict=True).subs(correlation, point))
