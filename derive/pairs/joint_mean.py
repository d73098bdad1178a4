r"""The mean of a function of several independent normals as an exact, unevaluated object.

Stage: inside values of multivariate targets where no rule applies. Digits come from the rigorous
mean over the first variable under a trapezoidal rule in the others, with two steps that must agree:
they are not proved, and say so.
"""

from itertools import product
from typing import Any

from flint import arb
from sympy import Expr, Float, Integer, Rational, Symbol, Tuple

from derive.balls import enclose
from derive.enclosing.ball_program import Evaluation
from derive.enclosing.gaussian_integral import gaussian_mean
from derive.errors import NotConvergedError, NotSupportedError

_LARGEST_COUNT = 3
_FIRST = 3
"""Nodes per unit of the first grid; each further grid halves the step."""
_HALVINGS = 4
_LOST_BITS = 20


class JointMean(Expr):
    """E f(z_1, ..., z_r) over independent standard normals; the variables are bound.

    Args:
        f: expression whose free symbols are the variables.
        variables: real symbols; the mean over the first is taken rigorously, so give the one in
            which f has kinks first.

    Accuracy: two trapezoidal rules agree; ``Ball.rigorous`` is False.
    """

    is_commutative = True
    is_finite = True
    is_extended_real = True
    is_number = False

    def __new__(cls, f: Expr, variables: tuple[Symbol, ...]) -> Any:
        """Keep the mean; a constant is its own mean."""
        if not f.free_symbols & set(variables):
            return f
        return Expr.__new__(cls, f, Tuple(*variables))

    @property
    def function(self) -> Any:
        """F, an expression in the variables."""
        return self.args[0]

    @property
    def variables(self) -> tuple[Any, ...]:
        """The bound variables."""
        return tuple(self.args[1].args)

    @property
    def free_symbols(self) -> set[Any]:
        """Symbols other than the variables."""
        return set(self.function.free_symbols) - set(self.variables)

    def _eval_subs(self, old: Any, new: Any) -> Any:
        return self if old in self.variables else None

    def _eval_evalf(self, prec: int) -> Any:
        if self.free_symbols:
            return None
        digits = int(prec * 0.30103) + 1
        return Float(enclose(self, digits).mpf(digits + 3), precision=prec)

    def _ball(self, evaluate: Evaluation, prec: int) -> arb:
        f, variables = self.function, self.variables
        if len(variables) > _LARGEST_COUNT:
            raise NotSupportedError(
                f"digits of {self}",
                f"{len(variables)} variables that do not separate",
                f"at most {_LARGEST_COUNT} are summed",
            )
        evaluate.doubt("two trapezoidal rules agree")
        grid = _Grid(f, variables[0], variables[1:], evaluate, prec)
        coarse = grid.sum(_FIRST)
        for halvings in range(1, _HALVINGS + 1):
            fine = grid.sum(_FIRST * 2**halvings)
            gap = abs(fine - coarse).upper()
            noise = arb(2) ** (8 - prec)
            if gap <= abs(fine) * arb(2) ** (_LOST_BITS - prec) or gap <= noise:
                return fine + arb(0, (4 * gap + noise).upper())
            coarse = fine
        raise NotConvergedError(
            f"digits of {self}",
            f"two trapezoidal rules differ by {float(gap):.1e}",
            "ask for fewer digits, or put the variable with kinks first",
        )

    def _sympystr(self, printer: Any) -> str:
        names = ", ".join(printer._print(v) for v in self.variables)
        return f"E[{printer._print(self.args[0])}; {names} ~ N(0, 1)]"

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        names = ",".join(printer._print(v) for v in self.variables)
        law = r"\sim\mathcal{N}(0,1)"
        return rf"\mathbb{{E}}_{{{names}{law}}}\left[{printer._print(self.args[0])}\right]"


class _Grid:
    """The trapezoidal rule in all variables but the first, whose mean is taken rigorously."""

    def __init__(
        self, f: Any, first: Any, others: tuple[Any, ...], evaluate: Evaluation, prec: int
    ) -> None:
        self.f, self.first, self.others = f, first, others
        self.evaluate, self.prec = evaluate, prec
        self.means: dict[tuple[Rational, ...], arb] = {}
        self.radius = (1.4 * prec) ** 0.5 + 1

    def sum(self, density: int) -> arb:
        """Return the sum with so many nodes per unit."""
        reach = int(self.radius * density) + 1
        total = arb(0)
        for node in product(range(-reach, reach + 1), repeat=len(self.others)):
            square = sum(k * k for k in node) / density**2
            if square <= self.radius**2:
                point = tuple(Rational(k, density) for k in node)
                total += self._mean(point) * (-arb(sum(k * k for k in node)) / density**2 / 2).exp()
        return total / (density * (2 * arb.pi()).sqrt()) ** len(self.others)

    def _mean(self, point: tuple[Rational, ...]) -> arb:
        if point not in self.means:
            inner = self.f.subs(dict(zip(self.others, point, strict=True)))
            zero, one = Integer(0), Integer(1)
            self.means[point] = (
                gaussian_mean(inner, self.first, zero, one, self.evaluate)
                if inner.has(self.first)
                else self.evaluate(inner)
            )
        return self.means[point]
