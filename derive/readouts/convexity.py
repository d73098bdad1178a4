"""Convexity of a function of one variable: proved by exact rules, or refuted at a point.

Stage: below the losses. A function is cut into smooth branches (``derive.normal.branches``). It is
convex if the branches meet, their slopes do not fall at the joints, and each second derivative is
not negative. The rules for the last: exact signs of numbers; polynomials and rational functions,
of the variable or of an exponential of it, by their roots; the sign calculus of SymPy.

What no rule decides is sampled with exact arguments. A negative sample is a counterexample and
refuses the function; otherwise the answer says that convexity was sampled and not proved.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from sympy import (
    Add,
    Dummy,
    Expr,
    Integer,
    Interval,
    Poly,
    Rational,
    S,
    Symbol,
    cancel,
    cosh,
    diff,
    exp,
    expand,
    factor,
    limit,
    nan,
    oo,
    sinh,
    tanh,
    together,
    zoo,
)
from sympy.polys.polyerrors import PolynomialError

from derive.errors import NotConvexError, NotSupportedError, RangeError
from derive.normal.branches import Branch, branches
from derive.normal.intervals import Interval as Part
from derive.normal.intervals import decided_sign

_OFFSETS = tuple(Rational(k, 16) for k in range(1, 16, 2)) + tuple(
    s * Rational(2) ** k for k in range(-4, 7) for s in (Rational(1), Rational(5, 4))
)
_DIGITS = 30
_GLANCES = 9


@dataclass(frozen=True)
class Convexity:
    """Whether a function is convex, and how that is known.

    Attributes:
        proved: True if every step is exact.
        reason: the rules that were used, or what was sampled.
    """

    proved: bool
    reason: str


def smooth_pieces(h: Expr, x: Symbol) -> tuple[Branch, ...]:
    """Return the smooth branches of a function, neighbours with equal formulas joined.

    Raises:
        RangeError: if joints cannot be ordered or located.

    Example:
        >>> from sympy import Abs
        >>> from derive.symbols import z
        >>> [(str(p.low), str(p.high), f) for p, f in smooth_pieces(Abs(z), z)]
        [('-oo', '0', -z), ('0', 'oo', z)]
    """
    joined: list[Branch] = []
    for part, formula in branches(h, x):
        if joined and expand(joined[-1][1] - formula) == 0:
            joined[-1] = (Part(joined[-1][0].low, part.high), joined[-1][1])
        else:
            joined.append((part, formula))
    return tuple(joined)


def convexity(h: Expr, x: Symbol, name: str) -> Convexity:
    """Prove that a function of one variable is convex, or refuse it with a counterexample.

    Args:
        h: a function that is finite on the whole line.
        x: its variable, real.
        name: how to call it in a message.

    Raises:
        NotConvexError: with the point, and what is negative there.
        RangeError: if the function is not real and finite, or jumps.

    Example:
        >>> from sympy import exp, log
        >>> from derive.symbols import z
        >>> convexity(log(1 + exp(-z)), z, "softplus").proved
        True
        >>> convexity(z**4 - z**2, z, "double well")
        Traceback (most recent call last):
        ...
        derive.errors.NotConvexError: double well: not convex: the second derivative is -2 at ...
    """
    pieces = smooth_pieces(h, x)
    for (left, before), (_, after) in pairwise(pieces):
        _check_joint(before, after, x, left.high, name)
    reasons, proved = [], True
    for part, formula in pieces:
        _check_finite(formula, x, part, name)
        curvature = diff(formula, x, 2)
        rule = nonnegative(curvature, x, part)
        if not rule:
            proved, rule = False, _sampled(formula, curvature, x, part, name)
        reasons.append(rule)
    return Convexity(proved, "; ".join(dict.fromkeys(reasons)))


def _check_finite(formula: Expr, x: Symbol, part: Part, name: str) -> None:
    """Require a real, finite value at a few points of a piece."""
    for point in islice(sample_points(part), _GLANCES):
        value = formula.subs(x, point)
        if not (value.is_finite and value.is_real):
            value = value.evalf(_DIGITS)
        if not (value.is_real and value.is_finite):
            raise RangeError(
                f"loss {name}", f"it is {value} at {x} = {point}", "give a finite real loss"
            )


def _check_joint(before: Expr, after: Expr, x: Symbol, at: Expr, name: str) -> None:
    """Require that two branches meet and that the slope does not fall."""
    step = expand(after.subs(x, at) - before.subs(x, at))
    if decided_sign(step) != 0 and abs(step.evalf(_DIGITS)) > 1e-25:
        raise RangeError(f"loss {name}", f"it jumps at {x} = {at}", "give a continuous loss")
    jump = expand(end_slope(after, x, at, "+") - end_slope(before, x, at, "-"))
    sign = decided_sign(jump)
    if sign is None:
        value = jump.evalf(_DIGITS)
        sign = -1 if value < -(10 ** (5 - _DIGITS)) else 1
    if sign < 0:
        raise NotConvexError(
            name,
            f"not convex: the slope falls by {-jump} at {x} = {at}",
            "give a convex loss",
            point=float(at),
        )


def end_slope(formula: Expr, x: Symbol, at: Expr, side: str) -> Expr:
    """Return the one-sided slope of a branch at its end.

    Raises:
        RangeError: if it is not finite.
    """
    slope = diff(formula, x)
    value = slope.subs(x, at)
    if value.has(nan, zoo, oo, -oo):
        value = limit(slope, x, at, side)
    if value.has(nan, zoo, oo, -oo):
        raise RangeError(
            f"loss {formula}", f"infinite slope at {x} = {at}", "give a loss of finite slope"
        )
    return value


def nonnegative(f: Expr, x: Symbol, part: Part) -> str:
    """Return the rule that proves f >= 0 on an interval; empty if none does."""
    if x not in f.free_symbols:
        return "constant curvature" if decided_sign(f) in (0, 1) else ""
    if _algebraic(f, x, part.low, part.high):
        return "sign of a rational function between its roots"
    if _exponential(f, x):
        return "sign of a rational function of an exponential"
    if _by_assumptions(f, x, part):
        return "signs of the factors"
    return ""


def _algebraic(f: Expr, x: Symbol, low: Expr, high: Expr) -> bool:
    """Decide f >= 0 on an interval for a rational function."""
    product = _sign_polynomial(f, x)
    if product is None:
        return False
    if not _is_rational(product):
        return _same_sign(product) and low == 0
    return all(product(point) >= 0 for point in _test_points(product, low, high))


def _sign_polynomial(f: Expr, x: Symbol) -> Poly | None:
    """Return a polynomial with the sign of a rational function, None if f is not one."""
    try:
        top, bottom = cancel(together(f)).as_numer_denom()
        product = Poly(top, x) * Poly(bottom, x)
    except PolynomialError:
        return None
    return None if product.free_symbols_in_domain else product


def _is_rational(product: Poly) -> bool:
    return bool(product.domain.is_QQ or product.domain.is_ZZ)


def _test_points(product: Poly, low: Expr, high: Expr) -> list[Expr]:
    """Return one point between each two neighbouring roots inside an interval."""
    roots = list(dict.fromkeys(product.real_roots())) if product.degree() > 0 else []
    inside = [r for r in roots if bool(low < r) and bool(r < high)]
    return [_between(a, b) for a, b in pairwise([low, *sorted(inside), high])]


def _between(a: Expr, b: Expr) -> Expr:
    """Return a rational strictly between two points."""
    if a == -oo and b == oo:
        return S.Zero
    if a == -oo:
        return Integer(int(b.evalf())) - 2
    if b == oo:
        return Integer(int(a.evalf())) + 2
    return Rational(str(((a + b) / 2).evalf(20)))


def _same_sign(p: Poly) -> bool:
    return all(c.is_nonnegative for c in p.coeffs())


def in_exponential(f: Expr, x: Symbol) -> tuple[Expr, Symbol, Expr] | None:
    """Write f as a function of T = exp(k x) alone: return (f in T, T, k), or None.

    Example:
        >>> from derive.symbols import z
        >>> from sympy import exp
        >>> in_exponential(1 / (1 + exp(-2 * z)), z)
        (1/(1 + 1/_T), _T, 2)
    """
    plain = f.rewrite([tanh, sinh, cosh], exp)
    exponents = []
    for term in plain.atoms(exp):
        if x in term.free_symbols:
            slope = diff(term.exp, x)
            if not (slope.is_Rational and x not in (term.exp - slope * x).expand().free_symbols):
                return None
            exponents.append((term, slope, expand(term.exp - slope * x)))
    if not exponents:
        return None
    step = abs(exponents[0][1])
    for _, slope, _ in exponents[1:]:
        step = Rational(step).gcd(Rational(slope))
    letter = Dummy("T", positive=True)
    table = {term: letter ** (slope / step) * exp(rest) for term, slope, rest in exponents}
    result = plain.xreplace(table)
    return None if x in result.free_symbols else (result, letter, step)


def _exponential(f: Expr, x: Symbol) -> bool:
    found = in_exponential(f, x)
    if found is None:
        return False
    expr, letter, _ = found
    try:
        top, bottom = cancel(together(expr)).as_numer_denom()
        parts = Poly(top, letter), Poly(bottom, letter)
    except PolynomialError:
        return False
    if all(_same_sign(p) for p in parts):
        return True
    return _algebraic(expr, letter, S.Zero, oo)


def _by_assumptions(f: Expr, x: Symbol, part: Part) -> bool:
    if part.low != -oo and part.high == oo:
        shifted = f.subs(x, part.low + Dummy("t", positive=True))
    elif part.high != oo and part.low == -oo:
        shifted = f.subs(x, part.high - Dummy("t", positive=True))
    else:
        shifted = f
    forms = (shifted, factor(together(shifted)), factor(together(shifted), deep=True))
    return any(_sum_is_nonnegative(form) for form in forms)


def _sum_is_nonnegative(form: Expr) -> bool:
    return bool(form.is_nonnegative) or all(t.is_nonnegative for t in Add.make_args(form))


def _sampled(formula: Expr, curvature: Expr, x: Symbol, part: Part, name: str) -> str:
    """Sample a curvature that no rule decides; refuse it where it is negative."""
    count = 0
    for point in (*_decisive_points(curvature, x, part), *sample_points(part)):
        value = curvature.subs(x, point).evalf(_DIGITS)
        height = formula.subs(x, point).evalf(_DIGITS)
        if not (value.is_real and value.is_finite and height.is_real and height.is_finite):
            raise NotSupportedError(
                f"loss {name}",
                f"at {x} = {point} its value is {height} and its curvature {value}",
                "give a loss that is real, finite and smooth between its kinks",
            )
        if value < -(10 ** (5 - _DIGITS)):
            raise NotConvexError(
                name,
                f"not convex: the second derivative is {float(value):.6g} at {x} = {point}",
                "give a convex loss",
                point=float(point),
            )
        count += 1
    return f"sampled at {count} points on {Interval(part.low, part.high)}, not proved"


def _decisive_points(curvature: Expr, x: Symbol, part: Part) -> list[Expr]:
    """Return points that show every sign of a rational function; none for other functions."""
    product = _sign_polynomial(curvature, x)
    if product is None or product.is_zero or not _is_rational(product):
        return []
    return _test_points(product, part.low, part.high)


def sample_points(part: Part) -> Iterator[Expr]:
    """Yield exact points of an interval, dense near its ends and near zero."""
    middle = part.inside()
    yield middle
    for step in _OFFSETS:
        for point in (middle + step, middle - step, part.low + step, part.high - step):
            if point.is_finite and part.low < point < part.high:
                yield point
