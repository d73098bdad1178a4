"""Kinks resolved: an expression of one variable as smooth branches on intervals.

Stage: below the Gaussian rules. ``branches`` removes Max, Min, Abs, sign, Heaviside and Piecewise
that depend on the variable: the line is cut where their arguments change sign, and on each part the
smooth branch is named. Values at single points (``sign(0)``, ``Heaviside(0)``) are left out: they
carry no probability.
"""

from collections.abc import Callable
from typing import Any

from sympy import (
    ITE,
    Abs,
    Add,
    And,
    Basic,
    Expr,
    Heaviside,
    Integer,
    Max,
    Min,
    Mul,
    Not,
    Or,
    Piecewise,
    Poly,
    Pow,
    S,
    Symbol,
    Xor,
    asinh,
    atan,
    atanh,
    cosh,
    erf,
    erfc,
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
from sympy.core.relational import Eq, Ge, Gt, Le, Lt, Ne, Relational
from sympy.polys.polyerrors import BasePolynomialError

from derive.errors import NoRuleError, RangeError
from derive.normal.intervals import LINE, Interval, decided_sign, ordered

KINKS = (Max, Min, Abs, sign, Heaviside, Piecewise)
ODD_MONOTONE = (erf, sinh, tanh, atan, asinh)
INVERSES: dict[Any, Any] = {tanh: atanh, erf: erfinv, sinh: asinh}
Branch = tuple[Interval, Expr]


def has_kinks(expr: Basic, x: Symbol) -> bool:
    """Return whether a kinked function of ``x`` occurs in the expression."""
    return any(x in kink.free_symbols for kink in expr.atoms(*KINKS))


def branches(expr: Expr, x: Symbol) -> tuple[Branch, ...]:
    """Return intervals that cover the line, with the smooth expression that holds on each.

    Raises:
        RangeError: if breakpoints cannot be ordered, or a sign or a condition is undecided.
        NoRuleError: if the zeros of an argument cannot be located.

    Example:
        >>> from derive.symbols import z
        >>> [(part.low, part.high, branch) for part, branch in branches(Abs(z) - 1, z)]
        [(-oo, 0, -z - 1), (0, oo, z - 1)]
    """
    if not has_kinks(expr, x):
        return ((LINE, expr),)
    if isinstance(expr, Piecewise):
        return _piecewise(expr, x)
    args_of: tuple[Any, ...] = expr.args
    parts = [branches(arg, x) for arg in args_of]
    result: list[Branch] = []
    for cell in _common_cells(parts):
        args = [_branch_on(part, cell) for part in parts]
        if isinstance(expr, KINKS):
            result.extend(_resolve(expr, args, cell, x))
        else:
            result.append((cell, expr.func(*args)))
    return tuple(result)


def _common_cells(parts: list[tuple[Branch, ...]]) -> tuple[Interval, ...]:
    """Return the cells of the common refinement of several coverings."""
    cuts = [cell.high for part in parts for cell, _ in part[:-1]]
    return LINE.split(ordered(cuts))


def _branch_on(part: tuple[Branch, ...], cell: Interval) -> Expr:
    for interval, branch in part:
        if interval.meet(cell) is not None:
            return branch
    raise AssertionError


def _resolve(expr: Expr, args: list[Expr], cell: Interval, x: Symbol) -> list[Branch]:
    """Return the branches of one kinked function on a cell where its arguments are smooth."""
    if isinstance(expr, Max | Min):
        return _extreme(args, cell, x, 1 if isinstance(expr, Max) else -1)
    values: Callable[[int], Expr]
    if isinstance(expr, Abs):
        values = lambda s: s * args[0]  # noqa: E731
    elif isinstance(expr, sign):
        values = Integer
    else:
        values = lambda s: Integer((s + 1) // 2)  # noqa: E731
    return [(part, values(s)) for part, s in sign_cells(args[0], cell, x)]


def _extreme(args: list[Expr], cell: Interval, x: Symbol, direction: int) -> list[Branch]:
    result: list[Branch] = [(cell, args[0])]
    for other in args[1:]:
        result = [
            (part, best if s * direction >= 0 else other)
            for interval, best in result
            for part, s in sign_cells(best - other, interval, x)
        ]
    return result


def _piecewise(expr: Piecewise, x: Symbol) -> tuple[Branch, ...]:
    left: list[Interval] = [LINE]
    result: list[Branch] = []
    for pair in expr.args:
        branch, condition = _pair(pair)
        inner = branches(branch, x)
        truths = [(part, t) for cell in left for part, t in _truth(condition, cell, x)]
        for part, holds in truths:
            if holds:
                met = [(interval.meet(part), smooth) for interval, smooth in inner]
                result.extend((m, smooth) for m, smooth in met if m is not None)
        left = [part for part, holds in truths if not holds]
    if left:
        raise RangeError(
            f"a branch of {expr} for every value of {x}",
            f"none is given between {left[0].low} and {left[0].high}",
            "end the Piecewise with (value, True)",
        )
    ends = ordered([cell.high for cell, _ in result])
    return tuple(sorted(result, key=lambda item: ends.index(item[0].high)))


def _pair(pair: Any) -> tuple[Expr, Basic]:
    return pair.expr, pair.cond


def _truth(condition: Basic, cell: Interval, x: Symbol) -> list[tuple[Interval, bool]]:
    """Return the parts of a cell on which a condition holds or fails, up to single points."""
    if condition in (true, false):
        return [(cell, condition is true)]
    if isinstance(condition, Not):
        return [(part, not t) for part, t in _truth(condition.args[0], cell, x)]
    if isinstance(condition, And | Or):
        return _joint_truth(condition, cell, x)
    if isinstance(condition, Relational):
        difference = condition.lhs - condition.rhs
        parts = [
            item
            for interval, smooth in branches(difference, x)
            for item in _meet_signs(interval, smooth, cell, x)
        ]
        return [(part, _holds(condition, s)) for part, s in parts]
    if isinstance(condition, Xor | ITE):
        plain: Any = condition
        return _truth(plain.to_nnf(), cell, x)
    raise RangeError(
        "the intervals of a Piecewise", f"the condition {condition} is not an inequality", "use <"
    )


def _meet_signs(
    interval: Interval, smooth: Expr, cell: Interval, x: Symbol
) -> list[tuple[Interval, int]]:
    part = interval.meet(cell)
    return [] if part is None else sign_cells(smooth, part, x)


def _joint_truth(condition: And | Or, cell: Interval, x: Symbol) -> list[tuple[Interval, bool]]:
    join = all if isinstance(condition, And) else any
    tables = [_truth(arg, cell, x) for arg in condition.args]
    cuts = [part.high for table in tables for part, _ in table]
    result = []
    for part in cell.split(ordered(cuts)):
        held = [next(t for p, t in table if p.meet(part) is not None) for table in tables]
        result.append((part, join(held)))
    return result


def _holds(condition: Relational, s: int) -> bool:
    if isinstance(condition, Gt | Ge):
        return s > 0 or (s == 0 and isinstance(condition, Ge))
    if isinstance(condition, Lt | Le):
        return s < 0 or (s == 0 and isinstance(condition, Le))
    return s == 0 if isinstance(condition, Eq) else isinstance(condition, Ne) and s != 0


def sign_cells(g: Expr, cell: Interval, x: Symbol) -> list[tuple[Interval, int]]:
    """Return the parts of a cell on which a smooth function keeps its sign, with the sign.

    Raises:
        RangeError: if a sign is undecided.
        NoRuleError: if the zeros cannot be located.
    """
    zeros = [] if x not in g.free_symbols else real_zeros(g, x)
    result = []
    for part in cell.split(zeros):
        value = g.subs(x, part.inside())
        found = decided_sign(value)
        if found is None:
            raise RangeError(
                f"the sign of {g} between {part.low} and {part.high}",
                f"the sign of {value} does not follow from what is known of its symbols",
                "declare symbols positive or negative, or give numbers",
            )
        result.append((part, found))
    return result


def real_zeros(g: Expr, x: Symbol, *, inverses: bool = False) -> list[Expr]:
    """Return points that include every real sign change of a smooth function of ``x``.

    Args:
        g: the function.
        x: its variable.
        inverses: whether points such as ``atanh(1/2)`` may be used, too.

    Raises:
        NoRuleError: if no rule locates the zeros.
        RangeError: if the sign of a parameter decides.

    Example:
        >>> from derive.symbols import z
        >>> real_zeros((z**2 - 2) * exp(z), z)
        [-sqrt(2), sqrt(2)]
        >>> real_zeros(tanh(z) - S.Half, z, inverses=True)
        [atanh(1/2)]
    """
    if x not in g.free_symbols or isinstance(g, exp | cosh | erfc):
        return []
    if g.is_polynomial(x):
        return _polynomial_zeros(g, x)
    if isinstance(g, Mul):
        return [point for part in g.args for point in real_zeros(part, x, inverses=inverses)]
    if isinstance(g, Pow) and g.exp.is_Rational:
        return real_zeros(g.base, x, inverses=inverses)
    if isinstance(g, ODD_MONOTONE):
        return real_zeros(g.args[0], x, inverses=inverses)
    if isinstance(g, log):
        return real_zeros(g.args[0] - 1, x, inverses=inverses)
    found = _zeros_of_sum(g, x, inverses) if isinstance(g, Add) else None
    if found is None and not (g.is_positive or g.is_negative):
        raise NoRuleError(
            f"where {g} changes sign",
            "no rule locates its zeros",
            "write it as a Piecewise with explicit breakpoints",
        )
    return found or []


def _zeros_of_sum(g: Add, x: Symbol, inverses: bool) -> list[Expr] | None:
    """Return the zeros of a rational function, or of constant + coefficient * f(u)."""
    if g.is_rational_function(x):
        halves = fraction(together(g))
        return [point for half in halves for point in real_zeros(half, x, inverses=inverses)]
    constant, moving = g.as_independent(x, as_Add=True)
    coefficient, f = moving.as_independent(x, as_Add=False)
    level = -constant / coefficient
    if isinstance(f, exp):
        found = decided_sign(level)
        if found is None:
            return None
        return real_zeros(f.args[0] - log(level), x, inverses=inverses) if found > 0 else []
    inverse = INVERSES.get(type(f))
    if inverse is None:
        return None
    inside = 1 if inverse is asinh else decided_sign(1 - level**2)
    if inside in (0, -1):
        return []
    if not inverses or inside is None or not level.is_number:
        return None
    return real_zeros(f.args[0] - inverse(level), x, inverses=True)


def _polynomial_zeros(g: Expr, x: Symbol) -> list[Expr]:
    poly = Poly(g, x)
    if poly.degree() == 1:
        slope, offset = poly.all_coeffs()
        return [-offset / slope]
    if poly.degree() == 2:
        return _quadratic_zeros(poly.all_coeffs(), g)
    try:
        factors = poly.factor_list()[1]
        if len(factors) > 1 or factors[0][1] > 1:
            return [p for f, _ in factors for p in _polynomial_zeros(f.as_expr(), x)]
        return list(dict.fromkeys(poly.real_roots()))
    except (BasePolynomialError, NotImplementedError) as error:
        raise NoRuleError(
            f"where {g} changes sign",
            f"a polynomial of degree {poly.degree()} with symbolic coefficients",
            "write it as a Piecewise with explicit breakpoints",
        ) from error


def _quadratic_zeros(coefficients: list[Expr], g: Expr) -> list[Expr]:
    a, b, c = coefficients
    discriminant = b**2 - 4 * a * c
    found = decided_sign(discriminant)
    if found is None:
        raise RangeError(
            f"where {g} changes sign",
            f"the sign of its discriminant {discriminant} is not known",
            "declare symbols positive or negative, or give numbers",
        )
    if found < 0:
        return []
    root = sqrt(discriminant) if found else S.Zero
    return ordered([(-b - root) / (2 * a), (-b + root) / (2 * a)])
