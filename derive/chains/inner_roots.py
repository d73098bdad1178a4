r"""The root of one increasing concave function, as straight-line code.

Stage: below ``derive.layers``. A layer whose neurons differ (random biases, row norms) or whose
rows have a covariance holds one inner equation

.. math:: T \sum_j \frac{g_j}{x + w_j} = 1, \qquad g_j, w_j > 0,

with at most one root x > 0. The reciprocal phi(x) = 1/sum_j g_j/(x + w_j) is a weighted harmonic
mean of x + w_j: increasing and concave in x, and of slope between 1/sum g and its value at zero. So
Newton's method on phi(x) = T from any lower bound climbs to the root and never passes it, and
Jensen's inequality gives the lower bound G T - sum g w/G with G = sum g.
"""

from collections.abc import Callable

from sympy import Expr, Max, Rational, Symbol

from derive.block import Line, fresh
from derive.symbols import Quantity
from derive.tower import Solved

_FLOOR = Rational(1, 10**30)


def line(lines: list[Line], name: str, latex: str, expr: Expr) -> Symbol:
    """Append ``name = expr`` and return its symbol."""
    symbol = Quantity(name, "", latex=latex)
    lines.append((symbol, expr))
    return symbol


def harmonic_root(
    name: str,
    mean: Callable[[int, Expr], Expr],
    mass: tuple[Expr, Expr],
    target: Expr,
    steps: int,
) -> Solved:
    """Return code for the root x of ``target * sum_j g_j/(x + w_j) = 1``.

    Args:
        name: beginning of the names of the new lines.
        mean: sum_j g_j/(x + w_j)^m as a function of m and x.
        mass: sum_j g_j and sum_j g_j w_j.
        target: T > 0.
        steps: Newton steps after the lower bound; each squares the relative distance at the end.

    Where there is no positive root the value is a small positive number, so that what is computed
    from it stays finite; a branch condition of the equation refuses the point.
    """
    lines: list[Line] = []
    total, moment = mass
    bound = total * target - moment / total
    x = _plain(lines, f"{name}_0", Max(bound, _FLOOR * total * target))
    for i in range(1, steps + 1):
        value = _plain(lines, f"{name}_{i}_f", mean(1, x))
        slope = _plain(lines, f"{name}_{i}_s", mean(2, x))
        rise = Max(target * value - 1, 0) * value / slope
        x = _plain(lines, f"{name}_{i}", x + rise)
    meaning = "Newton from a lower bound on an increasing concave function, which it never passes"
    return Solved(tuple(lines), x, meaning)


def _plain(lines: list[Line], name: str, expr: Expr) -> Symbol:
    symbol = fresh(name)
    lines.append((symbol, expr))
    return symbol
