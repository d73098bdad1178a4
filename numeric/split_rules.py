r"""Means over a normal law of functions with kinks: rules cut at the kinks, with an error estimate.

Stage: beneath equations that hold Gaussian averages (losses, links, readouts). A list of kinks and
a normal law come in; nodes and weights go out, or scalar code that computes the mean at run time
and compiles for the processor and for CUDA alike.

Method: in units of the standard deviation the line is cut at ±``REACH``, at the kinks, and further
into panels no wider than ``WIDTH``; each panel has a Gauss-Legendre rule of ``NODES`` nodes. The
last two Legendre coefficients of the integrand on a panel, times its width, estimate what the rule
misses there: the right size for a kink that was not declared, far too large for a smooth function,
whose error is that of twice the order. Where the coefficients fall fast from the middle of the
table to its end, the estimate falls with them. Rounding, and the size of the integrand at the outer
ends, are added.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from sympy import Expr, Symbol

from derive.codegen import ScalarPrinter
from derive.errors import RangeError
from derive.program import UNIT

NODES = 20
WIDTH = 1.0
REACH = 10.0
_TINY = 1e-300
_FALL = 30.0
_CHECKED = (NODES - 2, NODES - 1, NODES // 2, NODES // 2 + 1)
_ROUNDING = 8 * 2.0**-53
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean with the estimate of its error, both of the shape of the leading axes of the values.

    Attributes:
        value: the mean.
        error: estimate of its absolute error.
    """

    value: Array
    error: Array


@dataclass(frozen=True)
class SplitRule:
    """Nodes and weights of a mean over N(m, v), panel by panel.

    Attributes:
        nodes: arguments, shape (panels, NODES).
        weights: they include the density and sum to 1 up to what lies beyond REACH; same shape.
        checks: weights of the last two Legendre coefficients and of two in the middle of the table,
            times the width, shape (4, panels, NODES).
        ends: the two outer ends of the range, and the density there times its scale, shape (2, 2).
    """

    nodes: Array
    weights: Array
    checks: Array
    ends: Array

    def mean(self, function: Callable[[Array], Array]) -> Mean:
        """Return the mean of a function of arrays; further leading axes of its values are kept.

        Accuracy: ``Mean.error`` estimates it.

        Example:
            >>> rule = split_rule([0.3])
            >>> found = rule.mean(lambda x: np.maximum(x - 0.3, 0))
            >>> round(float(found.value), 13), bool(found.error < 1e-14)
            (0.2667612421172, True)
        """
        values = np.asarray(function(self.nodes), dtype=np.float64)
        terms = values * self.weights
        seen = np.abs((values[..., None, :, :] * self.checks).sum(axis=-1))
        last, middle = seen[..., :2, :].max(axis=-2), seen[..., 2:, :].max(axis=-2)
        left_out = last * np.minimum(1.0, _FALL * last / np.maximum(middle, _TINY))
        size = np.abs(terms).sum(axis=(-2, -1))
        tails = (np.abs(np.asarray(function(self.ends[0]))) * self.ends[1]).sum(axis=-1)
        error = left_out.sum(axis=-1) + _ROUNDING * size + tails
        return Mean(terms.sum(axis=(-2, -1)), error)


def split_rule(kinks: Sequence[float] = (), mean: float = 0.0, variance: float = 1.0) -> SplitRule:
    """Return a rule for E f(x), x ~ N(mean, variance), for f smooth between the kinks.

    Args:
        kinks: where f or a derivative jumps, in any order, in units of x.
        mean: any number.
        variance: positive.

    Raises:
        RangeError: if the variance is not positive, or an argument is not finite.

    Accuracy: for f smooth at the scale of a standard deviation, rounding; else see ``Mean.error``.

    Example:
        >>> rule = split_rule([0.0], variance=4.0)
        >>> abs(float(rule.mean(np.abs).value) - 2 * math.sqrt(2 / math.pi)) < 1e-15
        True
    """
    if not (0 < variance < math.inf and math.isfinite(mean) and np.isfinite(kinks).all()):
        raise RangeError(
            f"a mean over N({mean}, {variance}) with kinks at {list(kinks)}",
            "the variance is not positive, or a number is not finite",
            "give finite numbers and a variance > 0",
        )
    sd = math.sqrt(variance)
    inner = sorted({(k - mean) / sd for k in kinks if abs(k - mean) < REACH * sd})
    cuts = np.array([-REACH, *inner, REACH])
    parts = []
    for low, high in pairwise(cuts):
        edges = np.linspace(low, high, max(1, math.ceil((high - low) / WIDTH)) + 1)
        parts.append(np.stack([edges[:-1], edges[1:]], axis=1))
    panels = np.concatenate(parts)
    half = (panels[:, 1] - panels[:, 0])[:, None] / 2
    x = panels.mean(axis=1)[:, None] + half * _legendre()[0]
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    checks = 2 * half * density * _legendre()[2][:, None]
    ends = np.array([[-REACH, REACH], [math.exp(-(REACH**2) / 2)] * 2])
    ends[0] = mean + sd * ends[0]
    return SplitRule(mean + sd * x, half * density * _legendre()[1], checks, ends)


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array, Array]:
    """Return nodes, weights, and the weights of the coefficients checked, shape (4, NODES)."""
    nodes, weights = legendre.leggauss(NODES)
    order = np.array(_CHECKED)
    checks = legendre.legvander(nodes, NODES - 1).T[order] * weights * (order + 0.5)[:, None]
    return nodes, weights, checks


_SOURCE = '''
{decorator}
def {name}({arguments}, mean, sd):
    """Return the mean over x ~ N(mean, sd^2) and an estimate of its error."""
    total, error, size = 0.0, 0.0, 0.0
    low = -{reach}
    for part in range({parts}):
        high = {reach}
{cuts}
        high = min(max(high, low), {reach})
        pieces = int(math.ceil((high - low) / {width}))
        for piece in range(pieces):
            half = 0.5 * (high - low) / pieces
            middle = low + (2 * piece + 1) * half
            one, two, three, four = 0.0, 0.0, 0.0, 0.0
            for i in range({nodes}):
                step = middle + half * {prefix}X[i]
                x = mean + sd * step
                value = {integrand}
                value *= half * math.exp(-0.5 * step * step)
                total += value * {prefix}W[i]
                size += abs(value) * {prefix}W[i]
                one += value * {prefix}A[i]
                two += value * {prefix}B[i]
                three += value * {prefix}C[i]
                four += value * {prefix}D[i]
            last = max(abs(one), abs(two))
            fall = {fall} * last / max(abs(three), abs(four), {tiny})
            error += 2.0 * last * min(1.0, fall)
        low = high
    scale = {scale}
    return total * scale, (error + {rounding} * size) * scale
'''


def mean_source(
    name: str,
    integrand: Expr,
    variable: Symbol,
    *,
    parameters: Sequence[Symbol] = (),
    kinks: Sequence[Expr] = (),
    decorator: str = "",
) -> str:
    """Return scalar code of ``name(*parameters, mean, sd) -> (value, error)``.

    The text needs ``math`` in its module and brings its tables along, as tuples named after the
    function; it has no arrays and no calls but those of ``math``, so that Numba compiles it for the
    processor and for CUDA.

    Args:
        name: of the function.
        integrand: expression in the variable and the parameters.
        variable: the normal variable.
        parameters: symbols that become arguments, in this order.
        kinks: places in units of the variable, increasing, as expressions in the parameters.
        decorator: line before the function, such as ``@njit``.

    Raises:
        NotSupportedError: if the integrand cannot be printed.
        RangeError: if a symbol is not among the parameters.

    Accuracy: as ``split_rule``; what lies beyond ``REACH`` standard deviations is left out.

    Example:
        >>> from sympy import Max
        >>> x, c = Symbol("x", real=True), Symbol("c", real=True)
        >>> space = {"math": math}
        >>> exec(mean_source("excess", Max(x - c, 0), x, parameters=[c], kinks=[c]), space)
        >>> value, error = space["excess"](0.3, 0.0, 1.0)
        >>> round(value, 13), error < 1e-14
        (0.2667612421172, True)
    """
    foreign = integrand.free_symbols.union(*(k.free_symbols for k in kinks)) - {
        variable,
        *parameters,
    }
    if foreign:
        raise RangeError(
            f"code for the mean of {integrand}",
            f"{', '.join(sorted(map(str, foreign)))} has no value",
            "name it among the parameters",
        )
    names = {variable: "x", UNIT: "UNIT"} | {p: f"c_{p.name}" for p in parameters}
    printer = ScalarPrinter(names)
    cuts = [
        f"        if part == {j}:\n            high = ({printer.text(k)} - mean) / sd"
        for j, k in enumerate(kinks)
    ]
    prefix = f"_{name.upper()}_"
    tables = dict(zip("XWABCD", (*_legendre()[:2], *_legendre()[2]), strict=True))
    text = [f"{prefix}{key} = {tuple(map(float, table))}" for key, table in tables.items()]
    body = _SOURCE.format(
        decorator=decorator,
        name=name,
        arguments=", ".join(names[p] for p in parameters) or "*, ",
        reach=REACH,
        width=WIDTH,
        parts=len(kinks) + 1,
        cuts="\n".join(cuts),
        nodes=NODES,
        prefix=prefix,
        integrand=printer.text(integrand),
        scale=repr(1 / math.sqrt(2 * math.pi)),
        rounding=repr(_ROUNDING),
        fall=_FALL,
        tiny=_TINY,
    )
    return "\n".join([*text, body.replace("(*, , ", "(")])


def mean_function(name: str, *given: Any, **more: Any) -> Callable[..., tuple[float, float]]:
    """Return the compiled function of ``mean_source``, called in the same way.

    Accuracy: as ``mean_source``.

    Example:
        >>> from sympy import tanh
        >>> x = Symbol("x", real=True)
        >>> square = mean_function("square", tanh(x) ** 2, x)
        >>> round(square(0.0, 1.0)[0], 13)
        0.3942944903978
    """
    from numeric.cache import load  # noqa: PLC0415  (printing alone compiles nothing)

    head = "import math\n\nfrom numba import njit\n\n"
    line = '@njit(cache=True, error_model="numpy", nogil=True)'
    module = load(head + mean_source(name, *given, decorator=line, **more))
    found: Callable[..., tuple[float, float]] = getattr(module, name)
    return found
