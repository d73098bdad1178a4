"""Elimination: from rational straight-line code to one polynomial between two quantities.

Stage: works on bare lines; ``System.polynomial`` calls it. The tower of a triangular system makes
every quantity a rational function of the first unknown, computed by exact multivariate arithmetic
(python-flint), so one resultant eliminates it. The irreducible factor that vanishes on the physical
branch is chosen by exact evaluation at points of the tower, where all others are non-zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from flint import Ordering, fmpz_mpoly_ctx
from sympy import Add, Expr, Integer, Mul, Poly, Symbol, latex

from derive.block import Line, symbols_of
from derive.errors import NotSupportedError
from derive.rewrite import Log, Step

if TYPE_CHECKING:
    from derive.exact import Number
    from derive.spectra.puiseux import Place, Series


@dataclass(frozen=True)
class Relation:
    """An irreducible polynomial P(output, control, ...) = 0 on the physical branch.

    Attributes:
        expr: the polynomial, primitive, with integer coefficients.
        output: symbol of the output.
        control: symbol of the control.
        log: steps that made it.
    """

    expr: Expr
    output: Symbol
    control: Symbol
    log: Log

    @property
    def degrees(self) -> tuple[int, int]:
        """Degrees in the output and in the control."""
        poly = Poly(self.expr, self.output, self.control)
        return int(poly.degree(self.output)), int(poly.degree(self.control))

    def critical(self) -> "tuple[Place, ...]":
        """Return the real values of the control at which branches meet, ramify or diverge.

        Raises:
            NotSupportedError: if the polynomial holds further symbols.
        """
        from derive.spectra.puiseux import critical_places  # noqa: PLC0415  (builds on relations)

        return critical_places(self)

    def branches(self, at: "Number | Place", terms: int = 4) -> "tuple[Series, ...]":
        """Return the Puiseux expansions of all branches at one value of the control.

        Args:
            at: rational, ``oo``, one of ``critical()``, or a float next to one.
            terms: how many coefficients.

        Raises:
            NotSupportedError: if the polynomial holds further symbols.
        """
        from derive.spectra.puiseux import branches  # noqa: PLC0415  (builds on relations)

        return branches(self, at, terms)

    def __repr__(self) -> str:
        d, e = self.degrees
        return f"Relation(degree {d} in {self.output}, {e} in {self.control})"

    def _repr_latex_(self) -> str:
        return f"$${latex(self.expr)} = 0$$"


def eliminate(
    lines: Sequence[Line],
    closing: tuple[Symbol, Expr],
    output: tuple[Symbol, Expr],
    unknown: Symbol,
    log: Log = Log(),
) -> Relation:
    """Eliminate one unknown from two rational functions of it.

    Args:
        lines: straight-line code in the unknown.
        closing: a control and the rational function of the unknown that it equals.
        output: an output symbol and the rational function that it equals.
        unknown: what to eliminate.
        log: steps so far.

    Returns:
        The irreducible relation between output and control that holds along the code.

    Raises:
        NotSupportedError: if an expression is not rational.

    Derivation: resultant in the unknown of the two numerators, factored over the integers.
    """
    (control, closing_rhs), (target, output_rhs) = closing, output
    first = (unknown, target, control)
    field = Fractions(generators(lines, [closing_rhs, output_rhs], first))
    for symbol, expr in lines:
        field.define(symbol, expr)
    n1, d1 = field.fraction(closing_rhs)
    field.known[control] = (n1, d1)  # where an output holds the control itself
    for symbol, expr in lines:
        field.define(symbol, expr)
    n2, d2 = field.fraction(output_rhs)
    eliminated = (n1 - d1 * field.gen(control)).resultant(
        n2 - d2 * field.gen(target), field.index(unknown)
    )
    chosen = _physical_factor(eliminated, field, (n1, d1), (n2, d2), target, control)
    step = Step("eliminate the unknowns", f"one polynomial in {target} and {control}")
    return Relation(field.expr(chosen), target, control, log.then(step))


def generators(
    lines: Sequence[tuple[Symbol, Expr]], exprs: Sequence[Expr], first: tuple[Symbol, ...]
) -> tuple[Symbol, ...]:
    """Return the generators of a ring for code: ``first``, then all other free symbols."""
    defined = {s for s, _ in lines}
    free = {s for e in (*(e for _, e in lines), *exprs) for s in symbols_of(e)}
    return (*first, *sorted(free - defined - set(first), key=str))


class Fractions:
    """Reduced fractions of integer polynomials, one pair per defined symbol."""

    def __init__(self, generators: tuple[Symbol, ...]) -> None:
        self.generators = generators
        names = tuple(f"g{i}" for i in range(len(generators)))
        self.ctx = fmpz_mpoly_ctx.get(names, Ordering.lex)
        self.known: dict[Symbol, tuple[Any, Any]] = {}
        for i, symbol in enumerate(generators):
            self.known[symbol] = (self.ctx.gen(i), self.ctx.constant(1))

    def index(self, symbol: Symbol) -> int:
        """Return the place of a generator."""
        return self.generators.index(symbol)

    def gen(self, symbol: Symbol) -> Any:
        """Return a generator as a polynomial."""
        return self.ctx.gen(self.index(symbol))

    def define(self, symbol: Symbol, expr: Expr) -> None:
        """Give a symbol the value of a rational expression in what is known."""
        self.known[symbol] = self.fraction(expr)

    def fraction(self, expr: Any) -> tuple[Any, Any]:
        """Return numerator and denominator of a rational expression, reduced."""
        if expr in self.known:
            return self.known[expr]
        if expr.is_Rational:
            return self.ctx.constant(int(expr.p)), self.ctx.constant(int(expr.q))
        if expr.is_Add:
            return self._fold(expr.args, self._add)
        if expr.is_Mul:
            return self._fold(expr.args, lambda a, b: (a[0] * b[0], a[1] * b[1]))
        if expr.is_Pow and expr.exp.is_Integer:
            n, d = self.fraction(expr.base)
            k = int(expr.exp)
            return (n**k, d**k) if k >= 0 else (d**-k, n**-k)
        raise NotSupportedError(
            "elimination", f"{expr} is not rational", "eliminate a rational system"
        )

    def _fold(self, args: Sequence[Any], combine: Any) -> tuple[Any, Any]:
        total = self.fraction(args[0])
        for arg in args[1:]:
            total = self._reduced(combine(total, self.fraction(arg)))
        return self._reduced(total)

    @staticmethod
    def _add(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
        return a[0] * b[1] + b[0] * a[1], a[1] * b[1]

    @staticmethod
    def _reduced(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        common = pair[0].gcd(pair[1])
        return pair[0] // common, pair[1] // common

    def expr(self, poly: Any) -> Expr:
        """Return a polynomial as a SymPy expression."""
        terms = []
        for exponents, coefficient in poly.to_dict().items():
            powers = (g ** int(k) for g, k in zip(self.generators, exponents, strict=True) if k)
            terms.append(Mul(Integer(int(coefficient)), *powers))
        return Add(*terms)


def _physical_factor(
    poly: Any,
    field: Fractions,
    closing: tuple[Any, Any],
    output: tuple[Any, Any],
    target: Symbol,
    control: Symbol,
) -> Any:
    """Return the factor that vanishes along the tower, by exact evaluation at rational points."""
    _, factors = poly.factor()
    for seed in range(2, 40):
        point = {g: Fraction(seed + 3 * i, 7 + 2 * i) for i, g in enumerate(field.generators)}
        value = {g: point[g] for g in field.generators if g not in (target, control)}
        bottom = _evaluate(closing[1], field, value), _evaluate(output[1], field, value)
        if 0 in bottom:
            continue
        value[control] = _evaluate(closing[0], field, value) / bottom[0]
        value[target] = _evaluate(output[0], field, value) / bottom[1]
        zero = [f for f, _ in factors if _evaluate(f, field, value) == 0]
        if len(zero) == 1:
            return zero[0]
    raise NotSupportedError(
        "elimination", "no point separates the factors", "fix more controls with values="
    )


def _evaluate(poly: Any, field: Fractions, value: Mapping[Symbol, Fraction]) -> Fraction:
    total = Fraction(0)
    for exponents, coefficient in poly.to_dict().items():
        term = Fraction(int(coefficient))
        for g, k in zip(field.generators, exponents, strict=True):
            if k:
                term *= value[g] ** int(k)
        total += term
    return total
