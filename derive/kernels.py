"""The kernel of one activation, or of a pair: what a user asks for, whatever it rests on.

Stage: activations in; values, balls and derivative kernels out. A ``Kernel`` has a closed form
where the rules give one, else a certified series; it says which, and why.

Conventions: u ~ N(m1, a), v ~ N(m2, b), covariance rho sqrt(a b). The derivative kernel is
E[s'(u) t'(v)] = dK/d covariance. Source: [price1958].
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from typing import Any

from flint import acb
from sympy import DiracDelta, Expr, Symbol, diff

from derive.balls import Ball, enclose, refine
from derive.dual import dual, dual_derivative
from derive.enclosing.ball_program import Evaluation, compile_ball
from derive.enclosing.certified import CertifiedNumber
from derive.errors import (
    DeriveError,
    NoRuleError,
    NotConvergedError,
    NotSupportedError,
    RangeError,
)
from derive.exact import Number, exact_correlation, exact_number, scalar_expression
from derive.pairs.kernel_series import KernelSeries, kernel_series
from derive.rewrite import Log
from derive.symbols import rho as correlation
from derive.symbols import z
from derive.value import Kind, Value

Pair = tuple[Number, Number]


@dataclass(frozen=True)
class Kernel:
    """E[s(u) t(v)] of two correlated normals, as a function of their correlation.

    Make one with ``kernel``. Equality is that of the declaration.

    Attributes:
        s: first function, an expression in ``variable``.
        t: second function.
        variances: a and b.
        means: m1 and m2.
        variable: the argument of s and t.
        slopes: whether the kernel is that of the derivatives s' and t'.
    """

    s: Expr
    t: Expr
    variances: tuple[Expr, Expr]
    means: tuple[Expr, Expr]
    variable: Symbol = z
    slopes: bool = False

    @cached_property
    def value(self) -> Value | KernelSeries:
        """The closed form in ``rho`` where one is known, else the series to 1e-12.

        Raises:
            NoRuleError: if there is neither: no rule, and a parameter without a value.
            NotIntegrableError: if a second moment does not exist.
            NotConvergedError, NotSupportedError: if no coefficient can be certified.
        """
        return self.to_accuracy(1e-12)

    @property
    def closed(self) -> Value | None:
        """The closed form, or None where no rule gives one."""
        return None if isinstance(self._rule, NoRuleError) else self._rule

    @cached_property
    def _rule(self) -> Value | NoRuleError:
        rule = dual_derivative if self.slopes else dual
        try:
            return rule(
                self.s,
                self.t,
                correlation,
                variances=self.variances,
                means=self.means,
                variable=self.variable,
            )
        except NoRuleError as error:
            return error

    def to_accuracy(self, accuracy: float) -> Value | KernelSeries:
        """Return the closed form, or a series of this accuracy in units of sqrt(E s^2 E t^2)."""
        if not isinstance(self._rule, NoRuleError):
            return self._rule
        parameters = (self.s.free_symbols | self.t.free_symbols) - {self.variable}
        if parameters or any(x.free_symbols for x in (*self.variances, *self.means)):
            raise self._rule
        s, t = (self._slope(f) if self.slopes else f for f in (self.s, self.t))
        same = s == t and self.variances[0] == self.variances[1] and self.means[0] == self.means[1]
        return kernel_series(
            s,
            None if same else t,
            variances=self.variances,
            means=self.means,
            accuracy=accuracy,
            variable=self.variable,
        )

    def _slope(self, f: Expr) -> Expr:
        slope = diff(f, self.variable)
        if slope.has(DiracDelta):
            raise NotSupportedError(
                f"the derivative kernel of {f}",
                "it jumps, so that the kernel is infinite at rho = 1, and no closed form is known",
                "differentiate the kernel itself, away from rho = ±1",
            )
        return slope

    @property
    def kind(self) -> Kind:
        """What the digits rest on."""
        return self.value.kind

    @property
    def reason(self) -> str:
        """Why the kernel is of this kind."""
        return self.value.reason

    @property
    def log(self) -> Log:
        """Steps of the derivation."""
        return self.value.log

    def at(self, rho: Number | Fraction, digits: int = 15) -> Ball:
        """Return the kernel at a correlation, to so many significant digits.

        Args:
            rho: exact number, -1 <= rho <= 1.
            digits: significant decimal digits, 1 to 40 where the kernel is a series.

        Raises:
            RangeError: if |rho| > 1.
            NotConvergedError: if a series cannot reach the digits.

        Accuracy: proved where ``Ball.rigorous``; a value that cannot be told from zero comes as a
            ball around it, of absolute radius below ``10**-digits`` times sqrt(E s^2 E t^2).

        Example:
            >>> from sympy import Max, tanh
            >>> kernel(Max(z, 0)).at("1/2", 20).str(19), kernel(tanh(z)).at(1, 20).str(19)
            ('0.3044988905221146790', '0.3942944903978411744')
        """
        point = exact_correlation(rho)
        if self.closed is not None:
            end = None if self.slopes or abs(point) != 1 else self._end(point)
            return closed_ball(self.closed, point, digits) if end is None else end.ball(digits)
        accuracy = 1e-12
        found = self._series(accuracy).ball(point)
        if found.digits >= digits:
            return found
        accuracy = 10.0**-digits
        if found.digits:
            accuracy *= min(1.0, float(abs(found.mid)) / float(self._series(1e-12).scale)) / 2
        found = self._series(max(accuracy, 1e-60)).ball(point)
        if (
            found.digits < digits
            and found.rad > Fraction(10) ** -digits * self._series(1e-12).scale
        ):
            raise NotConvergedError(
                f"{digits} digits of the kernel at rho = {rho}",
                f"the series gives {found.digits}",
                "ask for fewer digits, or give a smaller variance",
            )
        return found

    def _end(self, point: Expr) -> Value | None:
        """Return the kernel at rho = ±1 by the rules for one normal, which lose no digits there."""
        law: dict[str, Any] = {
            "variances": self.variances,
            "means": self.means,
            "variable": self.variable,
        }
        try:
            return dual(self.s, self.t, point, **law)
        except DeriveError:
            return None

    def _series(self, accuracy: float) -> KernelSeries:
        found = self.value if accuracy == 1e-12 else self.to_accuracy(accuracy)
        assert isinstance(found, KernelSeries), "asked only where there is no closed form"
        return found

    def derivative(self) -> "Kernel":
        """Return the kernel E[s'(u) t'(v)], the derivative in the covariance rho sqrt(a b).

        Example:
            >>> from sympy import Max
            >>> kernel(Max(z, 0)).derivative().value
            asin(rho)/(2*pi) + 1/4
        """
        s, t = (self._slope(f) if self.slopes else f for f in (self.s, self.t))
        return Kernel(s, t, self.variances, self.means, self.variable, True)

    def __call__(self, rho: float) -> float:
        """Return the kernel at a correlation as a double."""
        return float(self.at(Fraction(rho), 17 if self.closed is not None else 12))

    def __str__(self) -> str:
        return str(self.value)

    __repr__ = __str__

    def _repr_latex_(self) -> str:
        return self.value._repr_latex_()


def closed_ball(value: Value, rho: Any, digits: int) -> Ball:
    """Return a closed kernel at a correlation; a rational one is kept out of SymPy's hands.

    Raises:
        NotClosedError: if a parameter has no value.

    Accuracy: as ``enclose``.
    """
    if rho.is_Rational and abs(rho) != 1 and rho != 0:
        exact = Fraction(int(rho.p), int(rho.q))
        return enclose(value.expr.subs(correlation, CertifiedNumber.rational(exact, "r")), digits)
    try:
        return enclose(value.expr.subs(correlation, rho), digits)
    except NotConvergedError:
        return refine(partial(_unchanged, value.expr, rho), digits, f"{value.expr} at {rho}")


def _unchanged(expr: Expr, rho: Any, evaluation: Evaluation) -> acb:
    """Evaluate without a substitution, which may turn a tail into a difference of ones."""
    return compile_ball(expr, correlation, evaluation)(evaluation.complex(rho), False)


def _function(activation: Any) -> Expr:
    return scalar_expression(getattr(activation, "expr", activation), f"a kernel of {activation}")


def kernel(
    activation: Any,
    other: Any = None,
    *,
    variances: Pair = (1, 1),
    means: Pair = (0, 0),
    variable: Symbol = z,
) -> Kernel:
    """Return the kernel of an activation, or of a pair of activations.

    Args:
        activation: an ``Activation`` or an expression in the variable.
        other: the second one; the first if None.
        variances: variances of the two normals, positive.
        means: their means.
        variable: the argument of the expressions.

    Raises:
        RangeError: if a variance is negative.

    Example:
        >>> from sympy import erf, sqrt, tanh
        >>> kernel(erf(z/sqrt(2))).value
        2*asin(rho/2)/pi
        >>> kernel(tanh(z)).kind.value, kernel(tanh(z)).value.accuracy <= 1e-12
        ('certified digits (ball with a bounded tail)', True)
    """
    first = _function(activation)
    second = first if other is None else _function(other)
    a, b = (exact_number(v) for v in variances)
    for value in (a, b):
        if value.is_negative:
            raise RangeError(f"variance = {value}", "negative", "give a variance > 0")
    m1, m2 = (exact_number(m) for m in means)
    return Kernel(first, second, (a, b), (m1, m2), variable)


__all__ = ["Kernel", "kernel"]
