"""Kinks of a function of one variable: where they are, and the smooth pieces between them.

Stage: below quadrature. ``pieces`` cuts the real line at the roots of the arguments of Abs, sign,
Heaviside, Max, Min and Piecewise that can be solved, and writes the branch that holds on each part.
A kink that cannot be located stays in the expression. Points are ordered by their balls; the rules
for symbols are those of ``derive.normal.branches``.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from flint import arb
from sympy import (
    Abs,
    Basic,
    Expr,
    Heaviside,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    S,
    Symbol,
    false,
    sign,
    true,
)
from sympy.core.relational import Relational

from derive.enclosing.ball_program import Evaluation
from derive.errors import DeriveError
from derive.normal.branches import real_zeros

KINKED = (Abs, sign, Heaviside, Max, Min, Relational)


@dataclass(frozen=True)
class Piece:
    """An expression that holds between two constants; None is infinity on that side."""

    low: Expr | None
    high: Expr | None
    expr: Expr


def is_smooth(expr: Expr, variable: Symbol) -> bool:
    """Return whether no kink of the expression depends on the variable."""
    return not any(variable in node.free_symbols for node in expr.atoms(*KINKED, Piecewise))


def pieces(expr: Expr, variable: Symbol, evaluation: Evaluation) -> tuple[Piece, ...]:
    """Return the pieces from left to right; kinks that cannot be solved stay inside."""
    return _cut(Piece(None, None, expr), variable, evaluation, frozenset())


def _cut(
    piece: Piece, z: Symbol, evaluation: Evaluation, skipped: frozenset[Basic]
) -> tuple[Piece, ...]:
    node = _innermost(piece.expr, z, skipped)
    if node is None:
        return (piece,)
    difference = _argument(node)
    roots = real_roots(difference, z)
    inside = None if roots is None else _sorted_inside(roots, piece, evaluation)
    if inside is None:
        return _cut(piece, z, evaluation, skipped | {node})
    result: tuple[Piece, ...] = ()
    ends = [piece.low, *inside, piece.high]
    for low, high in pairwise(ends):
        at = _sample(low, high, evaluation)
        side = _sign(difference.xreplace({z: at}), evaluation)
        if side == 0:
            return _cut(piece, z, evaluation, skipped | {node})
        chosen = piece.expr.xreplace({node: _branch(node, side)})
        result += _cut(Piece(low, high, chosen), z, evaluation, skipped)
    return result


def _innermost(expr: Expr, z: Symbol, skipped: frozenset[Basic]) -> Any:
    nodes = [n for n in expr.atoms(*KINKED) if z in n.free_symbols and n not in skipped]
    innermost = [n for n in nodes if not any(m is not n and n.has(m) for m in nodes)]
    return min(innermost, key=lambda n: n.sort_key()) if innermost else None


def _argument(node: Any) -> Any:
    """Return the function whose sign decides the node."""
    arguments: tuple[Any, ...] = node.args
    if isinstance(node, Max | Min):
        return arguments[0] - arguments[1]
    if isinstance(node, Relational):
        return node.lhs - node.rhs
    return node.args[0]


def _branch(node: Any, side: int) -> Any:
    if isinstance(node, Abs):
        return side * node.args[0]
    if isinstance(node, sign):
        return Integer(side)
    if isinstance(node, Heaviside):
        return Integer((1 + side) // 2)
    if isinstance(node, Max | Min):
        first, second, *rest = node.args
        larger = (side > 0) == isinstance(node, Max)
        return node.func(first if larger else second, *rest)
    holds = {"<": side < 0, "<=": side < 0, ">": side > 0, ">=": side > 0, "!=": True}
    return true if holds.get(node.rel_op, False) else false


def _sign(value: Expr, evaluation: Evaluation) -> int:
    ball = evaluation(value)
    return 1 if ball > 0 else -1 if ball < 0 else 0


def _sorted_inside(
    roots: tuple[Expr, ...], piece: Piece, evaluation: Evaluation
) -> list[Expr] | None:
    """Return the roots strictly inside a piece in order; None if the order is not certain."""
    found = []
    for root in dict.fromkeys(roots):
        if root in (piece.low, piece.high):
            continue
        value = evaluation(root)
        if not value.is_finite():
            return None
        above = piece.low is None or value > evaluation(piece.low)
        below = piece.high is None or value < evaluation(piece.high)
        outside = (piece.low is not None and value < evaluation(piece.low)) or (
            piece.high is not None and value > evaluation(piece.high)
        )
        if not outside and not (above and below):
            return None
        if not outside:
            found.append((float(value.mid()), value, root))
    found.sort(key=lambda item: item[0])
    certain = all(a[1] < b[1] for a, b in pairwise(found))
    return [root for _, _, root in found] if certain else None


def _sample(low: Expr | None, high: Expr | None, evaluation: Evaluation) -> Expr:
    """Return a rational number well inside an interval."""
    if low is not None and high is not None:
        return _rational((evaluation(low).upper() + evaluation(high).lower()) / 2)
    if low is not None:
        return _rational(evaluation(low).upper() + 1)
    return _rational(evaluation(high).lower() - 1) if high is not None else S.Zero


def _rational(value: arb) -> Rational:
    mantissa, exponent = value.mid().man_exp()
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return Rational(exact.numerator, exact.denominator)


def real_roots(g: Any, z: Symbol) -> tuple[Expr, ...] | None:
    """Return all points where a real function may change sign, or None if they are not known.

    Points beside the true roots are harmless and may be listed; none is left out.
    """
    try:
        return tuple(real_zeros(g, z, inverses=True))
    except DeriveError:
        return None
