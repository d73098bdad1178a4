"""Even or odd, by proof: the exact zeros of Gaussian means and Hermite coefficients.

Stage: below the functionals. A parity is returned only when it follows from the structure of the
expression or from an identity on every branch; points of evaluation are used to refute quickly,
never to prove.
"""

from typing import Any, Literal

from flint import acb, arb
from sympy import (
    Abs,
    Add,
    DiracDelta,
    Expr,
    Heaviside,
    Max,
    Min,
    Mul,
    Piecewise,
    Pow,
    Rational,
    Symbol,
    asinh,
    atan,
    cancel,
    cos,
    cosh,
    erf,
    erfc,
    erfi,
    exp,
    expand,
    log,
    sech,
    sign,
    sin,
    sinh,
    tan,
    tanh,
)

from derive.enclosing.ball_program import Evaluation, compile_ball, working_precision
from derive.enclosing.kinks import pieces
from derive.errors import DeriveError
from derive.normal.branches import branches, has_kinks
from derive.normal.intervals import LINE, ordered
from derive.symbols import z

Parity = Literal["even", "odd"] | None
ODD = (sin, sinh, tan, tanh, atan, asinh, erf, erfi, sign)
EVEN = (cos, cosh, sech, Abs)
BOUNDED = (sin, cos, tanh, atan, asinh, erf, erfc, sech, sign, Heaviside)
_PRECISION = 128
_ROUGH = 64
POINTS = (Rational(7, 5), Rational(3, 11), Rational(29, 8))


def parity(expr: Expr, variable: Symbol = z) -> Parity:
    """Return "even" or "odd" where it is proved, else None (unknown or neither).

    Example:
        >>> from sympy import Max, erf, exp
        >>> parity(Max(z, 0) - Max(-z, 0)), parity(z * erf(z)), parity(exp(z))
        ('odd', 'even', None)
    """
    found = _structural(expr, variable)
    if found is not None:
        return found
    senses = _possible(expr, variable)
    if 1 in senses and _mirrors(expr, 1, variable):
        return "even"
    return "odd" if -1 in senses and _mirrors(expr, -1, variable) else None


def is_odd(expr: Expr, variable: Symbol = z) -> bool:
    """Return whether an expression is proved odd; quicker than its parity where it is even."""
    found = _structural(expr, variable)
    if found is not None:
        return found == "odd"
    return -1 in _possible(expr, variable) and _mirrors(expr, -1, variable)


def _mirrors(expr: Expr, sense: int, x: Symbol) -> bool:
    """Return whether f(-x) = sense f(x) is proved."""
    mirrored = sense * expr.xreplace({x: -x})
    return _identical(expr, mirrored, x) or _identical_pieces(expr, sense, x)


def _structural(expr: Expr, x: Symbol) -> Parity:
    """Return the parity that follows from those of the parts."""
    args: tuple[Any, ...] = expr.args
    if x not in expr.free_symbols:
        return "even"
    if expr == x:
        return "odd"
    if isinstance(expr, Add):
        kinds = {_structural(arg, x) for arg in args}
        return kinds.pop() if len(kinds) == 1 else None
    if isinstance(expr, Mul):
        return _of_product([_structural(arg, x) for arg in args])
    if isinstance(expr, Pow):
        return _of_power(expr, x)
    if isinstance(expr, DiracDelta) and len(args) > 1:
        return None
    if len(args) == 1:
        inner = _structural(args[0], x)
        if inner == "odd" and isinstance(expr, ODD):
            return "odd"
        if inner == "even" or (inner == "odd" and isinstance(expr, (*EVEN, DiracDelta))):
            return "even"
    return None


def _of_product(kinds: list[Parity]) -> Parity:
    if None in kinds:
        return None
    return "odd" if kinds.count("odd") % 2 else "even"


def _of_power(expr: Pow, x: Symbol) -> Parity:
    if x in expr.exp.free_symbols:
        return "even" if _structural(expr.exp, x) == "even" and _even(expr.base, x) else None
    base = _structural(expr.base, x)
    if base != "odd" or not expr.exp.is_Integer:
        return "even" if base == "even" else None
    return "odd" if expr.exp.is_odd else "even"


def _even(expr: Expr, x: Symbol) -> bool:
    return _structural(expr, x) == "even"


def polynomially_bounded(expr: Any, x: Symbol) -> bool:
    """Return whether |f| is proved to be below a polynomial everywhere, so that its mean exists."""
    args: tuple[Any, ...] = expr.args
    if x not in expr.free_symbols or expr == x:
        return True
    if isinstance(expr, Piecewise):
        return all(polynomially_bounded(branch, x) for branch, _ in args)
    if isinstance(expr, Pow):
        return _power_bounded(expr, x)
    if isinstance(expr, log):
        return _log_bounded(args[0], x)
    if isinstance(expr, (*BOUNDED, Add, Mul, Abs, Max, Min)):
        return all(polynomially_bounded(arg, x) for arg in args)
    return False


def _power_bounded(expr: Pow, x: Symbol) -> bool:
    base, power = expr.base, expr.exp
    if x in power.free_symbols or not power.is_real:
        return False
    if power.is_positive:
        return polynomially_bounded(base, x) and (bool(power.is_integer) or _has_floor(base, x))
    return _has_floor(base, x)


def _log_bounded(inside: Expr, x: Symbol) -> bool:
    """Return whether log of 1 + exp(u), of cosh(u) or of a floored polynomial is bounded so."""
    if isinstance(inside, cosh):
        return polynomially_bounded(inside.args[0], x)
    if not _has_floor(inside, x):
        return False
    parts: tuple[Any, ...] = Add.make_args(inside)
    return all(polynomially_bounded(p.args[0] if isinstance(p, exp) else p, x) for p in parts)


def _has_floor(base: Expr, x: Symbol) -> bool:
    """Return whether a positive constant plus nonnegative terms keeps the base above zero."""
    constant, moving = base.as_independent(x, as_Add=True)
    terms = Add.make_args(moving)
    return bool(constant.is_positive) and all(
        isinstance(term, exp) or term.is_nonnegative for term in terms
    )


def _possible(expr: Expr, x: Symbol) -> list[int]:
    """Return the signs s for which no point shows, in balls, that f(-x) differs from s f(x)."""
    senses = [1, -1]
    if expr.free_symbols != {x}:
        return senses
    try:
        with working_precision(_ROUGH):
            f = compile_ball(expr, x, Evaluation(_ROUGH))
            for point in POINTS:
                at = acb(arb(int(point.p)) / int(point.q))
                here, there = f(at, False), f(-at, False)
                if here.is_finite() and there.is_finite():
                    senses = [s for s in senses if (here - s * there).contains(0)]
    except DeriveError:
        return senses  # without a ball nothing is refuted
    return senses


def _identical(one: Expr, two: Expr, x: Symbol) -> bool:
    """Return whether two expressions are proved equal, branch by branch."""
    if vanishes(one - two):
        return True
    if not has_kinks(one, x):
        return False
    try:
        tables = [branches(one, x), branches(two, x)]
        cuts = [cell.high for table in tables for cell, _ in table[:-1]]
        cells = LINE.split(ordered(cuts))
        pairs = [[next(f for c, f in t if c.meet(cell)) for t in tables] for cell in cells]
    except DeriveError:
        return False
    return all(vanishes(first - second) for first, second in pairs)


def _identical_pieces(expr: Expr, sense: int, x: Symbol) -> bool:
    """Return whether pieces between located kinks prove f(-x) = sense f(x)."""
    if expr.free_symbols != {x} or not has_kinks(expr, x):
        return False
    with working_precision(_PRECISION):
        parts = pieces(expr, x, Evaluation(_PRECISION))
    pairs = list(zip(parts, reversed(parts), strict=True))
    matched = all(_opposite(a.low, b.high) and _opposite(a.high, b.low) for a, b in pairs)
    return matched and all(vanishes(a.expr - sense * b.expr.xreplace({x: -x})) for a, b in pairs)


def _opposite(a: Expr | None, b: Expr | None) -> bool:
    return a is b if a is None or b is None else bool((a + b).expand() == 0)


def vanishes(expr: Expr) -> bool:
    """Return whether an expression is identically zero by exact algebra; False means unproved."""
    if expr == 0 or expand(expr) == 0:
        return True
    plain = expr.rewrite(exp) if expr.has(tanh, sinh, cosh, sech) else expr
    return bool(plain.has(exp) and cancel(expand(plain)) == 0)
