r"""Sums over many terms, and the root of one increasing concave function, as straight-line code.

Stage: below ``derive.layers``. A layer whose neurons differ (random biases, row norms) or whose
rows have a covariance holds one inner equation

.. math:: T \sum_j \frac{g_j}{x + w_j} = 1, \qquad g_j, w_j > 0,

with at most one root x > 0. The reciprocal phi(x) = 1/sum_j g_j/(x + w_j) is a weighted harmonic
mean of x + w_j: increasing and concave in x, and of slope between 1/sum g and its value at zero. So
Newton's method on phi(x) = T from any lower bound climbs to the root and never passes it, and
Jensen's inequality gives the lower bound G T - sum g w/G with G = sum g.
"""

from collections.abc import Sequence

from sympy import Add, Expr, Max, Rational, Symbol

from derive.block import Line, fresh
from derive.symbols import Quantity
from derive.tower import Solved

GROUP = 8
"""Terms per partial sum: keeps derivatives and rounding bounds of long sums short."""
_FLOOR = Rational(1, 10**30)


def line(lines: list[Line], name: str, latex: str, expr: Expr) -> Symbol:
    """Append ``name = expr`` and return its symbol."""
    symbol = Quantity(name, "", latex=latex)
    lines.append((symbol, expr))
    return symbol


def total(lines: list[Line], name: str, latex: str, terms: Sequence[Expr]) -> Symbol:
    """Append a sum under its name, in partial sums if it is long, and return its symbol.

    Example:
        >>> from sympy.abc import x
        >>> lines = []
        >>> total(lines, "S", "S", [x**i for i in range(9)]), [str(s) for s, _ in lines]
        (S, ['S_part_0', 'S_part_1', 'S'])
    """
    parts = list(terms)
    if len(parts) > GROUP:
        groups = [parts[i : i + GROUP] for i in range(0, len(parts), GROUP)]
        parts = [
            line(lines, f"{name}_part_{i}", rf"{latex}^{{({i})}}", Add(*group))
            for i, group in enumerate(groups)
        ]
    return line(lines, name, latex, Add(*parts))


def harmonic_root(
    name: str, weights: Sequence[Expr], shifts: Sequence[Expr], target: Expr, steps: int
) -> Solved:
    """Return code for the root x of ``target * sum_j weights[j]/(x + shifts[j]) = 1``.

    Args:
        name: beginning of the names of the new lines.
        weights: g_j > 0.
        shifts: w_j > 0.
        target: T > 0.
        steps: Newton steps after the lower bound; each squares the relative distance at the end.

    Where there is no positive root the value is a small positive number, so that what is computed
    from it stays finite; a branch condition of the equation refuses the point.
    """
    lines: list[Line] = []
    mass = _sum(lines, f"{name}_mass", list(weights))
    moment = _sum(lines, f"{name}_moment", [g * w for g, w in zip(weights, shifts, strict=True)])
    bound = mass * target - moment / mass
    x = _plain(lines, f"{name}_0", Max(bound, _FLOOR * mass * target))
    for i in range(1, steps + 1):
        inverse = [_plain(lines, f"{name}_{i}_r{j}", 1 / (x + w)) for j, w in enumerate(shifts)]
        first = [g * r for g, r in zip(weights, inverse, strict=True)]
        value = _sum(lines, f"{name}_{i}_f", first)
        squares = [f * r for f, r in zip(first, inverse, strict=True)]
        slope = _sum(lines, f"{name}_{i}_s", squares)
        rise = Max(target * value - 1, 0) * value / slope
        x = _plain(lines, f"{name}_{i}", x + rise)
    meaning = "Newton from a lower bound on an increasing concave function, which it never passes"
    return Solved(tuple(lines), x, meaning)


def _plain(lines: list[Line], name: str, expr: Expr) -> Symbol:
    symbol = fresh(name)
    lines.append((symbol, expr))
    return symbol


def _sum(lines: list[Line], name: str, terms: list[Expr]) -> Symbol:
    parts: list[Expr] = terms
    if len(terms) > GROUP:
        parts = [
            _plain(lines, f"{name}_p{i}", Add(*terms[i : i + GROUP]))
            for i in range(0, len(terms), GROUP)
        ]
    return _plain(lines, name, Add(*parts))
