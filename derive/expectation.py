r"""The Gaussian mean as an exact, unevaluated object.

Stage: inside ``Value.expr`` wherever no closed form is known. ``Expectation`` prints,
differentiates, substitutes, and knows its digits to any number: it joins ball arithmetic by
``_ball``.
"""

from typing import Any

from flint import arb
from sympy import (
    Derivative,
    DiracDelta,
    Expr,
    Float,
    Heaviside,
    Piecewise,
    S,
    Symbol,
    sign,
    sympify,
)

from derive import symbols
from derive.balls import enclose
from derive.enclosing.ball_program import Evaluation
from derive.enclosing.gaussian_integral import gaussian_mean, vanishes
from derive.enclosing.kinks import is_smooth
from derive.errors import NotSupportedError, RangeError
from derive.value import Kind


class BoundSymbol(Symbol):
    """The variable that an ``Expectation`` binds: equal to no symbol that a user can make.

    Args:
        level: 1 + the number of expectations nested inside the integrand.
    """

    __slots__ = ("level",)
    level: int

    def __new__(cls, level: int = 1) -> "BoundSymbol":
        """Return the symbol of a level."""
        self = Symbol.__xnew__(cls, "z" if level == 1 else f"z_{level}", real=True)
        self.level = level
        return self

    def _hashable_content(self) -> tuple[Any, ...]:
        base: Any = super()
        return (*base._hashable_content(), self.level)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return BoundSymbol, (self.level,)

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, Any]]:
        return (self.level,), {}


class Expectation(Expr):
    r"""The mean of f(z) over a normal law z ~ N(mean, variance), not evaluated.

    .. math:: \mathbb{E}_{z\sim\mathcal{N}(m,r)}[f(z)]

    Args:
        f: expression in ``variable``; it may hold parameters and other expectations.
        mean: m, real.
        variance: r >= 0; it may hold other expectations.
        variable: the symbol of f that is averaged over, ``derive.symbols.z`` by default. It is
            bound: the object does not depend on it, and substitution does not reach it.

    An f without the variable is returned as it is, and variance 0 gives f(mean).

    Accuracy: ``evalf``, ``float`` and ``enclose`` give every digit they print; proved unless
        ``Ball.rigorous`` is False.

    Example:
        >>> from sympy import tanh
        >>> from derive.symbols import z
        >>> first = Expectation(tanh(z)**2)
        >>> second = Expectation(tanh(z)**2, 0, first)
        >>> first, second.free_symbols
        (E[tanh(z)**2; N(0, 1)], set())
        >>> enclose(second, 20).str(20)
        '0.23645041049929593935'
    """

    args: tuple[Any, ...]
    is_commutative = True
    is_finite = True

    def __new__(cls, f: Any, mean: Any = 0, variance: Any = 1, variable: Symbol = symbols.z) -> Any:
        """Bind the variable, or return f where there is nothing to average."""
        f, mean, variance = (sympify(x, strict=True) for x in (f, mean, variance))
        if variance.is_negative:
            raise RangeError(f"variance = {variance}", "negative", "give a variance >= 0")
        if variable not in f.free_symbols:
            return f
        if variance.is_zero:
            return f.subs(variable, mean)
        bound = BoundSymbol(1 + max((e.args[3].level for e in f.atoms(cls)), default=0))
        if variable != bound:
            f = f.subs(variable, bound)
        return Expr.__new__(cls, f, mean, variance, bound)

    @property
    def function(self) -> Any:
        """F as an expression in ``variable``."""
        return self.args[0]

    @property
    def mean(self) -> Any:
        """Mean of the normal law."""
        return self.args[1]

    @property
    def variance(self) -> Any:
        """Variance of the normal law."""
        return self.args[2]

    @property
    def variable(self) -> Any:
        """The bound symbol."""
        return self.args[3]

    @property
    def free_symbols(self) -> set[Any]:
        """All symbols but the bound one."""
        f, mean, variance, bound = self.args
        return (f.free_symbols - {bound}) | mean.free_symbols | variance.free_symbols

    @property
    def bound_symbols(self) -> list[Any]:
        """The symbol that is averaged over."""
        return [self.args[3]]

    def _eval_is_extended_real(self) -> Any:
        return self.args[0].is_extended_real

    def _eval_is_nonnegative(self) -> Any:
        return True if self.args[0].is_nonnegative else None

    def _eval_is_positive(self) -> Any:
        return True if self.args[0].is_positive else None

    def _eval_is_negative(self) -> Any:
        return True if self.args[0].is_negative else None

    def _eval_is_zero(self) -> Any:
        f, mean, variance, bound = self.args
        if vanishes(f, bound, mean, variance):
            return True
        return False if f.is_positive or f.is_negative else None

    def _eval_subs(self, old: Any, new: Any) -> Any:
        f, mean, variance, bound = self.args
        inner = f if old.has(bound) else f._subs(old, new)
        return Expectation(inner, mean._subs(old, new), variance._subs(old, new), bound)

    def _eval_derivative(self, s: Symbol) -> Expr:
        f, mean, variance, bound = self.args
        total = self._parameter_derivative(s)
        dm, dr = mean.diff(s), variance.diff(s)
        if is_smooth(f, bound):
            by_mean, by_variance = f.diff(bound), f.diff(bound, 2) / 2
        else:
            centred = bound - mean
            by_mean = f * centred / variance
            by_variance = f * (centred**2 - variance) / (2 * variance**2)
        if dm != 0:
            total += Expectation(by_mean, mean, variance, bound) * dm
        if dr != 0:
            total += Expectation(by_variance, mean, variance, bound) * dr
        return total

    def _parameter_derivative(self, s: Symbol) -> Expr:
        f, mean, variance, bound = self.args
        if s not in f.free_symbols or s == bound:
            return S.Zero
        jumps = f.atoms(sign, Heaviside) | {
            condition for p in f.atoms(Piecewise) for _, condition in p.args
        }
        slope = f.diff(s)
        if any(s in jump.free_symbols for jump in jumps) or slope.has(DiracDelta, Derivative):
            raise NotSupportedError(
                f"the derivative of {self} in {s}",
                f"{s} moves a jump or a breakpoint of the integrand",
                "put the parameter into the mean or the variance by a change of variable",
            )
        return Expectation(slope, mean, variance, bound)

    def __float__(self) -> float:
        return float(enclose(self, 17))

    def _eval_evalf(self, prec: int) -> Any:
        if self.free_symbols:
            return None
        ball = enclose(self, max(1, int(prec * 0.30103) + 2))
        return Float(ball.mpf(int(prec * 0.30103) + 5), precision=prec)

    def _ball(self, evaluate: Evaluation, prec: int) -> arb:
        f, mean, variance, bound = self.args
        return gaussian_mean(f, bound, mean, variance, evaluate)

    def _sympystr(self, printer: Any) -> str:
        f, mean, variance, _ = (printer._print(a) for a in self.args)
        return f"E[{f}; N({mean}, {variance})]"

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        f, mean, variance, bound = (printer._print(a) for a in self.args)
        return (
            rf"\mathbb{{E}}_{{{bound}\sim\mathcal{{N}}({mean},{variance})}}"
            rf"\left[{f}\right]"
        )


def kind(expr: Any) -> tuple[Kind, str]:
    """Return what the digits of an exact expression rest on, and why.

    Args:
        expr: SymPy expression or ``Value`` without free symbols.

    Returns:
        ``CLOSED_FORM`` without expectations; ``BALL`` if every digit is proved; otherwise
        ``TWO_PRECISIONS`` with the reason why no proof was found.
    """
    expression = sympify(expr, strict=True)
    if not expression.has(Expectation):
        return Kind.CLOSED_FORM, ""
    ball = enclose(expression, 15)
    if ball.rigorous:
        return Kind.BALL, "the integral is enclosed on complex balls and its tails are bounded"
    return Kind.TWO_PRECISIONS, ball.reason
