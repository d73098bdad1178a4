"""An activation: its expression, its parity, and its Gaussian functionals.

Stage: the first value a user declares. An ``Activation`` is a function of ``z`` written as a SymPy
expression, or as text in the grammar of ``derive.reader``. Its functionals are ``Value`` objects:
closed forms where a rule gives one, else expressions with a certified enclosure.

Conventions: the argument is N(0, r); kappa_0 = E s, kappa_1 = E s' = E[z s]/r,
kappa_*^2 = E s^2 - kappa_0^2 - r kappa_1^2, all at variance r.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

from sympy import Expr, Integer, Symbol, diff, expand, latex

from derive.errors import (
    DeriveError,
    NotConvergedError,
    NotIntegrableError,
    NotSupportedError,
    ParseError,
    RangeError,
)
from derive.exact import Number, exact_correlation, exact_number, scalar_expression
from derive.gaussian import expect
from derive.hermite import hermite_coefficient, parity
from derive.kernels import Kernel, kernel
from derive.pairs.kernel_series import KernelSeries
from derive.reader import read_expression
from derive.symbols import rho as correlation
from derive.symbols import z
from derive.value import Kind, Value


@dataclass(frozen=True, init=False, eq=True)
class Activation:
    """A function of one standard variable ``z``.

    Args:
        expr: SymPy expression in ``derive.symbols.z`` (any lone symbol is taken for it), or text.
        parameters: symbols other than the variable that may appear.
        name: how to call it; the text or the expression by default.

    Raises:
        ParseError: unreadable text, no variable, more than one variable.
        UnknownNameError: a function or symbol that the grammar does not know.
        NotSupportedError: a constant.
        RangeError: a function that is not real.
        NotIntegrableError: the square has no mean under the normal law of variance one.

    Example:
        >>> relu = Activation("Max(z, 0)")
        >>> relu.kappa_1(), relu.kappa_0()
        (1/2, sqrt(2)/(2*sqrt(pi)))
        >>> relu.parity is None
        True
    """

    expr: Expr
    name: str = field(compare=False)
    parameters: tuple[Symbol, ...] = ()

    def __init__(
        self, expr: Expr | str, *, parameters: tuple[Symbol, ...] = (), name: str = ""
    ) -> None:
        if isinstance(expr, str):
            read = read_expression(expr, parameters=tuple(p.name for p in parameters))
            read = read.xreplace({Symbol(p.name): p for p in parameters})
        else:
            given = scalar_expression(expr, f"activation {expr}")
            read = _one_variable(given, parameters)
        if z not in read.free_symbols:
            raise NotSupportedError(
                f"activation {expr}", "it is constant", "give a function that depends on z"
            )
        object.__setattr__(self, "expr", read)
        object.__setattr__(self, "name", name or str(expr))
        object.__setattr__(self, "parameters", parameters)
        if not parameters:
            self._refuse_complex()
            self._refuse_without_second_moment()

    def _refuse_complex(self) -> None:
        """Refuse what is not real; a square such as that of sqrt(z) may hide it."""
        if self.expr.is_extended_real:
            return
        try:
            self.mean().ball(3)
        except RangeError as error:
            raise RangeError(f"activation {self.name}", error.found, error.remedy) from error
        except DeriveError:
            return  # the second moment says what is wrong

    def _refuse_without_second_moment(self) -> None:
        try:
            value = self.second_moment().ball(3)
        except NotIntegrableError as error:
            raise NotIntegrableError(
                f"activation {self.name}",
                f"not square-integrable under N(0, 1) ({error.found})",
                "give an activation that grows more slowly than exp(z**2/4)",
            ) from error
        if not value > 0:
            raise NotSupportedError(
                f"activation {self.name}", "its second moment is not positive", "give another one"
            )

    @cached_property
    def parity(self) -> str | None:
        """The parity, "even" or "odd", where it is proved; else None."""
        return parity(self.expr, z)

    def mean(self, variance: Number = 1) -> Value:
        """Return kappa_0 = E s(N(0, variance))."""
        return self.moment(self.expr, variance)

    kappa_0 = mean

    def second_moment(self, variance: Number = 1) -> Value:
        """Return E s(N(0, variance))^2."""
        return self.moment(expand(self.expr**2) if self.expr.is_Add else self.expr**2, variance)

    def kappa_1(self, variance: Number = 1) -> Value:
        """Return E s'(N(0, r)) = E[z s]/r; exact zero for even activations.

        Raises:
            RangeError: at variance zero, where E[z s]/r has no value.
        """
        if self.parity == "even":
            return Value(Integer(0), reason="the activation is even")
        r = exact_number(variance)
        if r.is_zero:
            raise RangeError("kappa_1 at variance 0", "E[z s]/r has no value", "give variance > 0")
        value = self.moment(z * self.expr, r)
        return replace(value, expr=value.expr / r)

    def kappa_star_squared(self, variance: Number = 1) -> Value:
        """Return kappa_*^2 = E s^2 - kappa_0^2 - r kappa_1^2; exact zero for affine activations."""
        if expand(diff(self.expr, z, 2)) == 0 and self.expr.is_polynomial(z):
            return Value(Integer(0), reason="the activation is affine")
        r = exact_number(variance)
        parts = [self.second_moment(r), self.mean(r), self.kappa_1(r)]
        second, first, slope = parts
        weakest = max(parts, key=lambda v: list(Kind).index(v.kind))
        expr = second.expr - first.expr**2 - r * slope.expr**2
        if weakest.kind is Kind.CLOSED_FORM:
            expr = expand(expr)
        log = second.log.extend(first.log).extend(slope.log)
        return Value(expr, weakest.kind, weakest.reason, log)

    def hermite(self, k: int, variance: Number = 1) -> Value:
        """Return mu_k = E[s(sqrt(r) z) He_k(z)], so that s(sqrt(r) z) = sum mu_k He_k(z)/k!."""
        return hermite_coefficient(self.expr, k, variance=exact_number(variance))

    def kernel(
        self,
        other: "Activation | None" = None,
        *,
        variances: tuple[Number, Number] = (1, 1),
        means: tuple[Number, Number] = (0, 0),
    ) -> Kernel:
        """Return E[s(u) t(v)] of two correlated normals; t is this activation if None is given."""
        return kernel(self, other, variances=variances, means=means)

    def dual(
        self,
        rho: Number = correlation,
        *,
        variances: tuple[Number, Number] = (1, 1),
        means: tuple[Number, Number] = (0, 0),
    ) -> Value | KernelSeries:
        """Return E[s(u) s(v)] at correlation rho: a closed form, or a series with a proved tail.

        Where no closed form is known rho must be left a symbol: ask the series, or
        ``kernel().at(rho, digits)``, for numbers.

        Raises:
            RangeError: if |rho| > 1, and for a number rho where the kernel is a series.
        """
        point = exact_correlation(rho)
        value = self.kernel(variances=variances, means=means).value
        if point == correlation:
            return value
        if isinstance(value, KernelSeries):
            raise RangeError(
                f"the kernel of {self.name} at rho = {point}",
                "no closed form is known",
                "use kernel().at(rho, digits), or dual().ball(rho)",
            )
        return replace(value, expr=value.expr.subs(correlation, point))

    def moment(self, expr: Expr, variance: Number = 1) -> Value:
        """Return E f(N(0, variance)) of an expression in z."""
        return expect(expr, 0, exact_number(variance))

    def is_centred(self, variance: Number = 1) -> bool:
        """Return whether the mean at this variance is proved to vanish.

        Raises:
            NotConvergedError: if the mean can neither be proved zero nor separated from zero.
        """
        return is_zero(self.mean(variance), f"the mean of {self.name}")

    def centred(self, variance: Number = 1) -> "Activation":
        """Return the activation less its mean at this variance (itself if that is zero)."""
        if self.is_centred(variance):
            return self
        shifted = self.expr - self.mean(variance).expr
        return Activation(shifted, parameters=self.parameters, name=f"{self.name} - mean")

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Activation({self.name})"

    def _repr_latex_(self) -> str:
        return f"${latex(self.expr)}$"


def is_zero(value: Value, what: str, digits: int = 60) -> bool:
    """Decide whether a value vanishes: exact zero by form, non-zero by a ball that excludes it.

    Raises:
        NotConvergedError: if neither can be shown at ``digits`` digits.
    """
    if value.expr.is_zero or expand(value.expr) == 0:
        return True
    if value.expr.free_symbols:
        return False
    ball = value.ball(5)
    if ball > 0 or ball < 0:
        return False
    ball = value.ball(digits)
    if ball > 0 or ball < 0:
        return False
    raise NotConvergedError(
        what,
        f"not separated from zero at {digits} digits, and not proved to vanish",
        "give an activation whose symmetry shows, or remove its mean",
    )


def _one_variable(expr: Expr, parameters: tuple[Symbol, ...]) -> Expr:
    free = sorted((s for s in expr.free_symbols if s not in parameters), key=str)
    if len(free) > 1:
        names = ", ".join(map(str, free))
        raise ParseError(
            f"activation {expr}", f"it has {len(free)} variables ({names})", "use z alone"
        )
    return expr.xreplace({free[0]: z}) if free else expr
