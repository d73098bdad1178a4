"""Kinks of a function of one variable: where they are, and the smooth pieces between them.

Stage: below quadrature. ``pieces`` cuts the real line at the roots of the arguments of Abs, sign,
Heaviside, Max, Min and Piecewise that can be solved, and writes the branch that holds on each part.
A kink that cannot be located stays in the expression.
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
    fraction,
    log,
    sign,
    sinh,
    sqrt,
    tanh,
    together,
    true,
)
from sympy.core.relational import Relational
from sympy.polys.polyerrors import PolynomialError

from derive.enclosing.ball_program import Evaluation, working_precision

KINKED = (Abs, sign, Heaviside, Max, Min, Relational)
_PRECISION = 128
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


def parity(expr: Expr, variable: Symbol, evaluation: Evaluation | None = None) -> int:
    """Return +1 if f(-z) = f(z) is proved piece by piece, -1 if f(-z) = -f(z) is, otherwise 0.

    Example:
        >>> from sympy import Max, Min, tanh
        >>> from derive.symbols import z
        >>> parity(tanh(z)**2, z), parity(Max(-1, Min(1, z)), z), parity(Max(0, z), z)
        (1, -1, 0)
    """
    if is_smooth(expr, variable):
        return _mirrored([expr], [expr], variable)
    if expr.free_symbols != {variable}:
        return 0
    with working_precision(_PRECISION):
        parts = pieces(expr, variable, evaluation or Evaluation(_PRECISION))
    matched = all(
        _opposite(part.low, other.high) and _opposite(part.high, other.low)
        for part, other in zip(parts, reversed(parts), strict=True)
    )
    exprs = [part.expr for part in parts]
    return _mirrored(exprs, exprs[::-1], variable) if matched else 0


def _opposite(a: Expr | None, b: Expr | None) -> bool:
    return a is b if a is None or b is None else (a + b).expand() == 0


def _mirrored(exprs: list[Expr], images: list[Expr], z: Symbol) -> int:
    flipped = [image.xreplace({z: -z}) for image in images]
    pairs = list(zip(exprs, flipped, strict=True))
    if all((f - g).expand() == 0 for f, g in pairs):
        return 1
    return -1 if all((f + g).expand() == 0 for f, g in pairs) else 0


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
    if not g.has(z):
        return ()
    if g == z:
        return (S.Zero,)
    if g.is_Mul:
        parts = [real_roots(factor, z) for factor in g.args]
        return None if None in parts else tuple(r for part in parts if part for r in part)
    if g.is_Pow and isinstance(g.exp, Rational):
        return real_roots(g.base, z)
    if isinstance(g, exp) or g.is_positive or g.is_negative:
        return ()
    if isinstance(g, _MONOTONE_ODD):
        return real_roots(g.args[0], z)
    if isinstance(g, log):
        return real_roots(g.args[0] - 1, z)
    if g.is_Add and g.is_rational_function(z) and not g.is_polynomial(z):
        halves = [real_roots(part, z) for part in fraction(together(g))]
        return None if None in halves else tuple(r for half in halves if half for r in half)
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
