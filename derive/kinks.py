"""Kinks of a function of one variable: where they are, and the smooth pieces between them.

Stage: below quadrature. ``pieces`` cuts the real line at the roots of the arguments of Abs, sign,
Heaviside, Max, Min and Piecewise that can be solved, and writes the branch that holds on each part.
A kink that cannot be located stays in the expression.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import arb
from sympy import (
    Abs,
    Basic,
    Expr,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Poly,
    Rational,
    S,
    Symbol,
    asinh,
    atan,
    atanh,
    erf,
    erfinv,
    exp,
    false,
    log,
    sign,
    sinh,
    sqrt,
    tanh,
    true,
)
from sympy.core.relational import Relational
from sympy.polys.polyerrors import PolynomialError

from derive.ball_program import Evaluation

KINKED = (Abs, sign, Heaviside, Max, Min, Relational)
_MONOTONE_ODD = (tanh, sinh, erf, atan, asinh)
_INVERSES = {tanh: atanh, erf: erfinv, sinh: asinh}


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
    for low, high in zip(ends[:-1], ends[1:], strict=True):
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


def _argument(node: Any) -> Expr:
    """Return the function whose sign decides the node."""
    if isinstance(node, Max | Min):
        return node.args[0] - node.args[1]
    if isinstance(node, Relational):
        return node.lhs - node.rhs
    return node.args[0]


def _branch(node: Any, side: int) -> Any:
    if isinstance(node, Abs):
        return side * node.args[0]
    if isinstance(node, sign):
        return S(side)
    if isinstance(node, Heaviside):
        return S((1 + side) // 2)
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
    certain = all(a[1] < b[1] for a, b in zip(found[:-1], found[1:], strict=True))
    return [root for _, _, root in found] if certain else None


def _sample(low: Expr | None, high: Expr | None, evaluation: Evaluation) -> Expr:
    """Return a rational number well inside an interval."""
    if low is None and high is None:
        return S.Zero
    if low is None or high is None:
        end = evaluation(high if low is None else low)
        return _rational(end.lower() - 1 if low is None else end.upper() + 1)
    return _rational((evaluation(low).upper() + evaluation(high).lower()) / 2)


def _rational(value: arb) -> Rational:
    mantissa, exponent = value.mid().man_exp()
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return Rational(exact.numerator, exact.denominator)


def real_roots(g: Expr, z: Symbol) -> tuple[Expr, ...] | None:
    """Return all points where a real function may change sign, or None if they are not known.

    Points beside the true roots are harmless and may be listed; none is left out.
    """
    if not g.has(z):
        return ()
    if g == z:
        return (S.Zero,)
    if g.is_Mul:
        found = [real_roots(factor, z) for factor in g.args]
        return None if None in found else tuple(r for part in found if part for r in part)
    if g.is_Pow and isinstance(g.exp, Rational):
        return real_roots(g.base, z)
    if isinstance(g, exp) or g.is_positive or g.is_negative:
        return ()
    if isinstance(g, _MONOTONE_ODD):
        return real_roots(g.args[0], z)
    if isinstance(g, log):
        return real_roots(g.args[0] - 1, z)
    found = _polynomial_roots(g, z)
    return _shifted_roots(g, z) if found is None else found


def _polynomial_roots(g: Expr, z: Symbol) -> tuple[Expr, ...] | None:
    try:
        polynomial = Poly(g, z)
    except PolynomialError:
        return None
    coefficients = polynomial.all_coeffs()
    if any(c.has(z) for c in coefficients):
        return None
    if len(coefficients) == 2:
        return (-coefficients[1] / coefficients[0],)
    if len(coefficients) == 3:
        a, b, c = coefficients
        discriminant = b**2 - 4 * a * c
        if discriminant.is_negative:
            return ()
        if discriminant.is_nonnegative:
            return ((-b - sqrt(discriminant)) / (2 * a), (-b + sqrt(discriminant)) / (2 * a))
    return None


def _shifted_roots(g: Expr, z: Symbol) -> tuple[Expr, ...] | None:
    """Solve ``k f(u) + c = 0`` for monotone f."""
    if not g.is_Add:
        return None
    constant, rest = g.as_independent(z, as_Add=True)
    factor, function = rest.as_independent(z, as_Add=False)
    level = -constant / factor
    if isinstance(function, exp):
        if level.is_nonpositive:
            return ()
        return real_roots(function.args[0] - log(level), z) if level.is_positive else None
    inverse = _INVERSES.get(type(function))
    if inverse is None or not level.is_number:
        return None
    if inverse is not asinh and not bool(abs(level) < 1):
        return () if bool(abs(level) >= 1) else None
    return real_roots(function.args[0] - inverse(level), z)
