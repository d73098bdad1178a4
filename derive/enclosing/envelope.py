r"""Growth of functions: proved bounds that hold for all large arguments.

Stage: beside ``gaussian_integral``, which truncates Gaussian means and needs the tails. An
``Envelope`` says

.. math:: |f(\pm t)| \le A (1+t)^n e^{c t + e t^2} \quad\text{for all } t \ge T \ge 0,

and is built by rules over the expression tree; None means that no rule applies, never that the
function grows. Exponents are exact fractions where the expression is rational, and rounded outwards
where it is not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import arb, fmpq
from sympy import Expr, I, Poly, Rational, Symbol, cosh, exp, log, sinh
from sympy.polys.polyerrors import PolynomialError

from derive.enclosing.ball_program import Evaluation

_ROUNDING = 96
ZERO = Fraction(0)


@dataclass(frozen=True)
class Envelope:
    """The bound ``A (1+t)^n exp(c t + e t^2)`` for t >= T."""

    A: arb
    n: Fraction = ZERO
    c: Fraction = ZERO
    e: Fraction = ZERO
    T: Fraction = ZERO

    def __mul__(self, other: "Envelope") -> "Envelope":
        exponents = (self.n + other.n, self.c + other.c, self.e + other.e)
        return Envelope(_up(self.A * other.A), *exponents, max(self.T, other.T))

    def __add__(self, other: "Envelope") -> "Envelope":
        exponents = (max(self.n, other.n), max(self.c, other.c), max(self.e, other.e))
        return Envelope(_up(self.A + other.A), *exponents, max(self.T, other.T))

    def __pow__(self, k: Fraction) -> "Envelope":
        return Envelope(_up(self.A ** arb(_fmpq(k))), self.n * k, self.c * k, self.e * k, self.T)

    @property
    def rate(self) -> tuple[Fraction, Fraction, Fraction]:
        """Exponents in the order in which they matter."""
        return self.e, self.c, self.n

    def logarithm(self) -> "Envelope":
        """Bound of max(log f, 0): uses log(1+t) <= t."""
        n, c, e = (max(x, ZERO) for x in (self.n, self.c, self.e))
        degree = Fraction(2 if e else 1 if c or n else 0)
        top = _up(self.A.max(arb(1)).log() + arb(_fmpq(n + c + e)))
        return Envelope(top, degree, T=self.T)


@dataclass(frozen=True)
class _Quadratic:
    """Upper bound ``k0 + k1 t + k2 t^2`` of a real function for t >= T."""

    k0: Fraction = ZERO
    k1: Fraction = ZERO
    k2: Fraction = ZERO
    T: Fraction = ZERO

    def __add__(self, other: "_Quadratic") -> "_Quadratic":
        total = (self.k0 + other.k0, self.k1 + other.k1, self.k2 + other.k2)
        return _Quadratic(*total, max(self.T, other.T))

    def exponential(self) -> Envelope:
        return Envelope(_up(arb(_fmpq(self.k0)).exp()), ZERO, self.k1, self.k2, self.T)


def _fmpq(x: Fraction) -> fmpq:
    return fmpq(x.numerator, x.denominator)


def _up(x: arb) -> arb:
    return x.upper()


def _fraction_above(x: arb) -> Fraction:
    mantissa, exponent = x.upper().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def tail_envelope(
    expr: Expr, variable: Symbol, side: int, evaluation: Evaluation
) -> Envelope | None:
    """Return a bound of ``|expr|`` at ``variable = side * t`` for large t, or None.

    Args:
        expr: expression in one symbol, real for real arguments.
        variable: the symbol.
        side: +1 for the right tail, -1 for the left one.
        evaluation: how constants are evaluated.
    """
    t = Symbol("t", positive=True)
    return _Rules(t, evaluation).upper(expr.subs(variable, side * t))


class _Rules:
    """The rules; ``upper`` bounds |f| from above, ``reciprocal`` bounds 1/|f|."""

    def __init__(self, t: Symbol, evaluation: Evaluation) -> None:
        self.t = t
        self.evaluation = evaluation

    def upper(self, f: Any) -> Envelope | None:
        if not f.has(self.t):
            return self._constant(f)
        if f == self.t:
            return Envelope(arb(1), Fraction(1))
        if f.is_Add:
            return _combine([self.upper(term) for term in f.args], Envelope.__add__)
        if f.is_Mul:
            return _combine([self.upper(factor) for factor in f.args], Envelope.__mul__)
        if f.is_Pow:
            return self._power(f.base, f.exp)
        return self._function(f)

    def _constant(self, f: Expr) -> Envelope | None:
        value = abs(self.evaluation.complex(f))
        smallest = arb(2) ** (-2 * self.evaluation.prec)
        return Envelope(_up(value).max(smallest)) if value.is_finite() else None

    def _number(self, f: Any) -> tuple[Fraction, Fraction] | None:
        """Return bounds from below and above of a real constant; equal if it is rational."""
        if isinstance(f, Rational):
            return (Fraction(int(f.p), int(f.q)),) * 2
        value = self.evaluation(f)
        return (-_fraction_above(-value), _fraction_above(value)) if value.is_finite() else None

    def _power(self, base: Expr, exponent: Expr) -> Envelope | None:
        if not isinstance(exponent, Rational):
            above = self.above(exponent * log(base)) if base.is_positive else None
            return None if above is None else above.exponential()
        k = Fraction(int(exponent.p), int(exponent.q))
        bound = self.upper(base) if k > 0 else self.reciprocal(base)
        return None if bound is None else bound ** abs(k)

    def _function(self, f: Any) -> Envelope | None:
        name = type(f).__name__
        if name == "Piecewise":
            return _combine([self.upper(pair.args[0]) for pair in f.args], Envelope.__add__)
        if name in ("Max", "Min"):
            return _combine([self.upper(argument) for argument in f.args], Envelope.__add__)
        if hasattr(f, "_bound"):
            return Envelope(arb(f._bound))
        argument = f.args[0]
        if name == "erfc":
            return self._erfc(argument)
        if name == "erfi" and _is_real(argument):
            return self.upper(exp(argument**2))  # Dawson's function is below sqrt(pi)/2
        if name in _BOUNDED and _is_real(argument):
            return Envelope(arb(_BOUNDED[name]))
        if name in ("Abs", "asinh"):
            return self.upper(argument)
        if name == "exp":
            real = argument.as_real_imag()[0] if argument.has(I) else argument
            above = self.above(real)
            return None if above is None else above.exponential()
        if name in ("sinh", "cosh"):
            return self.upper((exp(argument) + exp(-argument)) / 2)
        if name == "log":
            return _combine(
                [
                    bound and bound.logarithm()
                    for bound in (self.upper(argument), self.reciprocal(argument))
                ],
                Envelope.__add__,
            )
        return None

    def _erfc(self, u: Any) -> Envelope | None:
        """Use erfc u <= exp(-u^2) where a linear u is positive, and erfc <= 2 elsewhere."""
        if not _is_real(u):
            return None
        linear = self._coefficients(u)
        if linear is None or len(linear) != 2 or linear[1][0] <= 0:
            return Envelope(arb(2))
        bound = self.upper(exp(-(u**2)))
        start = max(ZERO, -linear[0][0] / linear[1][0])
        return bound and Envelope(bound.A, bound.n, bound.c, bound.e, max(bound.T, start))

    def reciprocal(self, f: Any) -> Envelope | None:
        """Bound 1/|f| from above."""
        if not f.has(self.t):
            return self._constant(1 / f)
        if f.is_Mul:
            return _combine([self.reciprocal(factor) for factor in f.args], Envelope.__mul__)
        if f.is_Pow and isinstance(f.exp, Rational):
            k = Fraction(int(f.exp.p), int(f.exp.q))
            bound = self.reciprocal(f.base) if k > 0 else self.upper(f.base)
            return None if bound is None else bound ** abs(k)
        if isinstance(f, exp):
            return self.upper(exp(-f.args[0]))
        if isinstance(f, cosh | sinh):
            return self._hyperbolic_reciprocal(f)
        if type(f).__name__ == "Abs":
            return self.reciprocal(f.args[0])
        return (
            self._polynomial_reciprocal(f) or self._sum_reciprocal(f) or self._offset_reciprocal(f)
        )

    def _hyperbolic_reciprocal(self, f: Any) -> Envelope | None:
        """Use 1/cosh u <= 2 exp(-|u|), and 1/|sinh u| <= 4 exp(-|u|) once |u| >= 1."""
        u = f.args[0]
        polynomial = self._coefficients(u)
        if isinstance(f, cosh):
            choices = [self.upper(2 * exp(u)), self.upper(2 * exp(-u)), Envelope(arb(1))]
            return min((b for b in choices if b is not None), key=lambda b: b.rate)
        if polynomial is None or len(polynomial) != 2:
            return None
        slope = min(abs(x) for x in polynomial[1])
        if slope == 0 or polynomial[1][0] * polynomial[1][1] < 0:
            return None
        offset = max(abs(x) for x in polynomial[0])
        start = (offset + 1) / slope
        return Envelope(_up(4 * arb(_fmpq(offset)).exp()), ZERO, -slope, ZERO, start)

    def _sum_reciprocal(self, f: Any) -> Envelope | None:
        """For a sum of nonnegative terms, 1/f is below the reciprocal of each of them."""
        if not f.is_Add or not all(term.is_nonnegative for term in f.args):
            return None
        bounds = [self.reciprocal(term) for term in f.args if term.is_positive]
        known = [bound for bound in bounds if bound is not None]
        return min(known, key=lambda b: b.rate) if known else None

    def _offset_reciprocal(self, f: Any) -> Envelope | None:
        """Bound 1/|c + b(t)| for a constant c above the bound of b."""
        constant, rest = f.as_independent(self.t, as_Add=True)
        bound = self.upper(rest) if f.is_Add else None
        if bound is None or max(bound.rate) > 0:
            return None
        gap = abs(self.evaluation.complex(constant)) - bound.A
        return Envelope(_up(1 / gap), T=bound.T) if gap > 0 else None

    def _polynomial_reciprocal(self, f: Any) -> Envelope | None:
        """Bound 1/|p(t) + b(t)| for a polynomial p of degree d >= 1 and a bounded b.

        From twice the sum of the other coefficients on, |p + b| >= |leading| t^d / 2.
        """
        terms = f.args if f.is_Add else (f,)
        smooth = [term for term in terms if term.is_polynomial(self.t)]
        others = [self.upper(term) for term in terms if term not in smooth]
        bounded = [b for b in others if b is not None and max(b.rate) <= 0]
        coefficients = self._coefficients(sum(smooth))
        if coefficients is None or len(coefficients) < 2 or len(bounded) < len(others):
            return None
        low, high = coefficients[-1]
        leading = min(abs(low), abs(high))
        if low <= 0 <= high:
            return None
        rest = sum((max(abs(a), abs(b)) for a, b in coefficients[:-1]), ZERO)
        rest += sum((_fraction_above(b.A) for b in bounded), ZERO)
        start = max([Fraction(1), 2 * rest / leading, *(b.T for b in bounded)])
        return Envelope(_up(2 / arb(_fmpq(leading))), T=start)

    def _coefficients(self, f: Expr) -> list[tuple[Fraction, Fraction]] | None:
        """Return bounds of the coefficients of a polynomial in t, constant first, or None."""
        try:
            polynomial = Poly(f, self.t)
        except PolynomialError:
            return None
        if any(c.has(self.t) for c in polynomial.all_coeffs()):
            return None
        bounds = [self._number(c) for c in reversed(polynomial.all_coeffs())]
        return None if None in bounds else [b for b in bounds if b is not None]

    def above(self, g: Expr) -> _Quadratic | None:
        """Bound a real function from above by a quadratic."""
        terms = g.expand().args if g.expand().is_Add else (g.expand(),)
        smooth = [term for term in terms if term.is_polynomial(self.t)]
        bounds = [self._polynomial_above(sum(smooth))] if smooth else []
        bounds += [self._term_above(term) for term in terms if term not in smooth]
        return _combine(bounds, _Quadratic.__add__)

    def _polynomial_above(self, g: Expr) -> _Quadratic | None:
        coefficients = self._coefficients(g + 0 * self.t)
        if coefficients is None:
            return None
        tops = [top for _, top in coefficients]
        while len(tops) > 3 and tops[-1] == 0:
            tops.pop()
        if len(tops) <= 3:
            return _Quadratic(*tops)
        if tops[-1] > 0:
            return None
        rest = sum((max(top, ZERO) for top in tops[:-1]), ZERO)
        start = max(Fraction(1), rest / -tops[-1])
        return _Quadratic(T=start)

    def _term_above(self, g: Expr) -> _Quadratic | None:
        if g.is_nonpositive:
            return _Quadratic()
        bound = self.upper(g)
        if bound is None or bound.c > 0 or bound.e > 0 or bound.n > 2:
            return None
        top = _fraction_above(bound.A)
        if bound.n <= 0:
            return _Quadratic(top, T=bound.T)
        if bound.n <= 1:
            return _Quadratic(top, top, T=bound.T)
        return _Quadratic(top, 2 * top, top, bound.T)


def _is_real(f: Any) -> bool:
    """Return whether an expression is proved real for real arguments."""
    if f.is_extended_real:
        return True
    name = type(f).__name__
    if f.is_Pow:
        return bool(f.exp.is_integer) and _is_real(f.base)
    if name == "Piecewise":
        return all(_is_real(pair.args[0]) for pair in f.args)
    return name in _ALWAYS_REAL and all(_is_real(argument) for argument in f.args)


def _combine(bounds: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    if not bounds or any(bound is None for bound in bounds):
        return None
    total = bounds[0]
    for bound in bounds[1:]:
        total = join(total, bound)
    return total


_BOUNDED = {
    "tanh": 1, "erf": 1, "erfc": 2, "sin": 1, "cos": 1, "sign": 1, "Heaviside": 1, "sech": 1,
    "atan": 2, "acot": 2, "sinc": 1, "asin": 2, "acos": 4,
}  # fmt: skip
_ALWAYS_REAL = {
    "Add", "Mul", "exp", "sinh", "cosh", "Abs", "asinh", "Max", "Min", "erfi", *_BOUNDED,
} - {"asin", "acos"}  # fmt: skip
