r"""Divergent Gaussian means, proved: leading growth in the tails, and poles on the real line.

Stage: beside ``gaussian_integral``, before any quadrature. In a tail f(±t) is asymptotic to
``C t^n exp(c t + e t^2)`` with exact exponents, where the rules can tell; the mean diverges if the
exponents left after multiplying with the density are not negative. A pole of order one or more
makes the mean diverge as well. What the rules cannot tell is left to the caller.
"""

from typing import Any

from flint import arb
from sympy import (
    Expr,
    Integer,
    Mul,
    Poly,
    Rational,
    S,
    Symbol,
    cos,
    cosh,
    cot,
    coth,
    csc,
    csch,
    exp,
    log,
    oo,
    pi,
    sec,
    sin,
    sinh,
    tan,
    together,
)
from sympy.polys.polyerrors import PolynomialError

from derive.enclosing.ball_program import Evaluation
from derive.enclosing.kinks import Piece, real_roots
from derive.enclosing.normal_law import NormalLaw
from derive.errors import NotIntegrableError

Rate = tuple[Expr, Expr, Expr]
"""Exact exponents (e, c, n)."""
_FLAT: Rate = (S.Zero, S.Zero, S.Zero)
_SATURATING = {"tanh", "erf", "atan", "coth"}
_LARGEST_ORDER = 8


def refuse_divergent(
    parts: tuple[Piece, ...], z: Symbol, law: NormalLaw, evaluation: Evaluation
) -> None:
    """Raise if the mean is proved not to exist.

    Raises:
        NotIntegrableError: naming the tail or the pole.
    """
    for part, side in ((parts[0], -1), (parts[-1], 1)):
        _refuse_tail(part.expr, z, side, law, evaluation)
    for part in parts:
        _refuse_pole(part, z, evaluation)


def _refuse_tail(f: Expr, z: Symbol, side: int, law: NormalLaw, evaluation: Evaluation) -> None:
    t = Symbol("t", positive=True)
    rate = _Leading(t, evaluation).rate(f.subs(z, side * t))
    if rate is None:
        return
    e, c, n = rate
    if e == -oo:
        return
    if e != oo:
        excess = evaluation(e) - 1 / (2 * law.variance)
        drift = evaluation(c) + side * law.mean / law.variance
        power = evaluation(n) + 1
        balanced = excess.is_zero()
        critical = balanced and drift.is_zero() and not f.has(log) and power >= 0
        if not (excess > 0 or (balanced and drift > 0) or critical):
            return
    raise NotIntegrableError(
        f"E[{f}] for {z} ~ N({_short(law.mean)}, {_short(law.variance)})",
        f"the integrand does not decay as {z} -> {'+' if side > 0 else '-'}oo",
        "reduce its growth, or the variance",
    )


def _short(x: arb) -> str:
    return f"{float(x.mid()):.6g}"


class _Leading:
    """Exact leading growth by rules; None where the rules cannot tell."""

    def __init__(self, t: Symbol, evaluation: Evaluation) -> None:
        self.t = t
        self.evaluation = evaluation

    def rate(self, f: Any) -> Rate | None:
        if not f.has(self.t):
            value = self.evaluation.complex(f)
            return None if value.contains(0) or not value.is_finite() else _FLAT
        if f == self.t:
            return (S.Zero, S.Zero, S.One)
        if f.is_Add:
            return self._largest([self.rate(term) for term in f.args])
        if f.is_Mul:
            return self._sum([self.rate(factor) for factor in f.args])
        if f.is_Pow and isinstance(f.exp, Rational):
            rate = self.rate(f.base)
            return None if rate is None else self._scaled(rate, f.exp)
        return self._function(f)

    def _function(self, f: Any) -> Rate | None:
        name = type(f).__name__
        if name == "exp":
            return self._exponential(f.args[0])
        if name in ("sinh", "cosh"):
            rates = [self._exponential(f.args[0]), self._exponential(-f.args[0])]
            return self._largest(rates)
        if name == "Abs":
            return self.rate(f.args[0])
        if name in _SATURATING and self._grows(f.args[0]):
            return _FLAT
        if name == "erfc" and self._grows(f.args[0]):
            return self._erfc(f.args[0])
        if name == "erfi" and f.args[0].is_polynomial(self.t) and self._grows(f.args[0]):
            rate, inner = self._exponential(f.args[0] ** 2), self.rate(f.args[0])
            return rate and inner and (rate[0], rate[1], rate[2] - inner[2])
        if name == "log":
            inner = self.rate(f.args[0])
            if inner is None or inner == _FLAT:
                return None
            degree = 2 if inner[0] != 0 else 1 if inner[1] != 0 else 0
            return (S.Zero, S.Zero, Integer(degree))
        return None

    def _erfc(self, u: Expr) -> Rate | None:
        """Erfc tends to 2 on the left and to exp(-u^2)/(sqrt(pi) u) on the right; u linear."""
        if not u.is_polynomial(self.t):
            return None
        polynomial = Poly(u, self.t)
        sign = self._sign(polynomial.LC()) if polynomial.degree() == 1 else None
        if sign == -1:
            return _FLAT
        rate = self._exponential(-(u**2)) if sign == 1 else None
        return rate and (rate[0], rate[1], -S.One)

    def _grows(self, u: Expr) -> bool:
        rate = self.rate(u)
        return rate is not None and self._compare(rate, _FLAT) == 1

    def _exponential(self, g: Any) -> Rate | None:
        try:
            coefficients = Poly(g, self.t).all_coeffs()
        except PolynomialError:
            return self._beyond_quadratic(g)
        if any(c.has(self.t) for c in coefficients):
            return self._beyond_quadratic(g)
        if len(coefficients) > 3:
            sign = self._sign(coefficients[0])
            return (oo * sign, S.Zero, S.Zero) if sign else None
        _, c, e = [*reversed(coefficients), S.Zero, S.Zero][:3]
        return (e, c, S.Zero)

    def _beyond_quadratic(self, g: Any) -> Rate | None:
        """Rate of exp(g) for a positive g that grows faster than any quadratic."""
        rate = self.rate(g) if g.is_positive else None
        if rate is None or self._compare(rate, (S.Zero, S.Zero, Integer(2))) != 1:
            return None
        return (oo, S.Zero, S.Zero)

    def _sign(self, x: Expr) -> int | None:
        """Return the sign of a constant, None if it is not certain."""
        if x in (oo, -oo):
            return 1 if x == oo else -1
        if x.is_zero:
            return 0
        value = self.evaluation(x)
        return 1 if value > 0 else -1 if value < 0 else None

    def _compare(self, a: Rate, b: Rate) -> int | None:
        for x, y in zip(a, b, strict=True):
            sign = 0 if x == y else self._sign(x - y)
            if sign is None or sign:
                return sign
        return 0

    def _largest(self, rates: list[Rate | None]) -> Rate | None:
        """Return the rate that dominates; None if two tie, since they may cancel."""
        top: Rate | None = None
        tied = False
        for rate in rates:
            if rate is None:
                return None
            order = 1 if top is None else self._compare(rate, top)
            if order is None:
                return None
            if order == 1:
                top, tied = rate, False
            elif order == 0:
                tied = True
        return None if tied else top

    def _sum(self, rates: list[Rate | None]) -> Rate | None:
        total = _FLAT
        for rate in rates:
            if rate is None:
                return None
            total = (total[0] + rate[0], total[1] + rate[1], total[2] + rate[2])
        return None if S.NaN in total else total

    def _scaled(self, rate: Rate, k: Expr) -> Rate:
        return (rate[0] * k, rate[1] * k, rate[2] * k)


_QUOTIENTS = {
    tan: lambda u: sin(u) / cos(u),
    cot: lambda u: cos(u) / sin(u),
    sec: lambda u: 1 / cos(u),
    csc: lambda u: 1 / sin(u),
    coth: lambda u: cosh(u) / sinh(u),
    csch: lambda u: 1 / sinh(u),
}


def _refuse_pole(part: Piece, z: Symbol, evaluation: Evaluation) -> None:
    expr = _as_quotient(part.expr)
    for root in singular_points(expr, z):
        if not _inside(root, part, evaluation):
            continue
        order = _order(together(expr), z, root, evaluation)
        if order is not None and order <= -1:
            raise NotIntegrableError(
                f"E[{part.expr}]",
                f"a pole at {z} = {root}",
                "take the pole away, or ask for a principal value by hand",
            )


def _as_quotient(expr: Any) -> Any:
    for function, quotient in _QUOTIENTS.items():
        if expr.has(function):
            expr = expr.replace(function, quotient)
    return expr


def singular_points(expr: Expr, z: Symbol) -> tuple[Expr, ...]:
    """Return the points where a denominator, or the argument of a logarithm, is known to vanish."""
    found: list[Expr] = []
    for node in sorted(_as_quotient(expr).atoms(log) | _negative_powers(expr), key=str):
        base = node.args[0]
        if z in base.free_symbols:
            found += _zeros(base, z)
    return tuple(dict.fromkeys(found))


def _negative_powers(expr: Expr) -> set[Any]:
    powers = _as_quotient(expr).find(lambda node: getattr(node, "is_Pow", False))
    return {p for p in powers if isinstance(p.exp, Rational) and not (p.exp.q == 1 and p.exp > 0)}


def _zeros(base: Expr, z: Symbol) -> tuple[Expr, ...]:
    if isinstance(base, sin | cos):
        return real_roots(base.args[0] - (pi / 2 if isinstance(base, cos) else 0), z) or ()
    return real_roots(base, z) or ()


def _inside(root: Expr, part: Piece, evaluation: Evaluation) -> bool:
    value = evaluation(root)
    above = part.low is None or not value < evaluation(part.low)
    below = part.high is None or not value > evaluation(part.high)
    return bool(value.is_finite() and above and below)


def _order(expr: Expr, z: Symbol, root: Expr, evaluation: Evaluation) -> Expr | None:
    """Return the order of a product at a root: negative for a pole; None if it cannot be told."""
    total: Expr = S.Zero
    for factor in Mul.make_args(expr):
        base, exponent = factor.as_base_exp()
        if isinstance(factor, exp) or not isinstance(exponent, Rational):
            base, exponent = factor, S.One
        multiplicity = _multiplicity(base, z, root, evaluation)
        if multiplicity is None:
            return None
        total += exponent * multiplicity
    return total


def _multiplicity(base: Any, z: Symbol, root: Expr, evaluation: Evaluation) -> int | None:
    """Return how many derivatives of a factor vanish at a root, each proved symbolically."""
    for order in range(_LARGEST_ORDER):
        try:
            at_root = base.subs(z, root)
        except ValueError:  # such as Max(0, zoo)
            return None
        if at_root in (S.NaN, S.ComplexInfinity) or not at_root.is_finite:
            return None
        if at_root.is_zero is not True:
            value = evaluation.complex(at_root)
            return order if value.is_finite() and not value.contains(0) else None
        base = base.diff(z)
    return None
