"""Straight-line arithmetic with exact zero tests, for eliminations too large to expand.

Stage: under the Dyson equations. A ``Traced`` number is an expression in named intermediate
results together with its residue at a random point modulo a prime of 61 bits: it is treated as zero
if and only if the residue vanishes, which errs with probability of the order of degree / 2^61.
"""

import random
from dataclasses import dataclass, field
from functools import reduce

from sympy import Add, Expr, Integer, Mul, Pow, Rational, Symbol, count_ops

from derive.errors import NotSupportedError

MODULUS = 2**61 - 1
NAMED_ABOVE = 3


@dataclass
class Tracer:
    """Names intermediate results and knows their residues.

    Attributes:
        prefix: first letters of the names.
        lines: the code so far.
    """

    prefix: str
    lines: list[tuple[Symbol, Expr]] = field(default_factory=list)
    residues: dict[Symbol, int] = field(default_factory=dict)
    rng: random.Random = field(default_factory=lambda: random.Random(61))

    def residue(self, expr: Expr) -> int:
        """Return the residue of a rational expression at the random point."""
        if isinstance(expr, Rational):
            return int(expr.p) * pow(int(expr.q), -1, MODULUS) % MODULUS
        if isinstance(expr, Symbol):
            if expr not in self.residues:
                self.residues[expr] = self.rng.randrange(1, MODULUS)
            return self.residues[expr]
        if isinstance(expr, Add):
            return sum(self.residue(a) for a in expr.args) % MODULUS
        if isinstance(expr, Mul):
            return reduce(lambda x, y: x * y % MODULUS, (self.residue(a) for a in expr.args), 1)
        if isinstance(expr, Pow) and isinstance(expr.exp, Integer):
            return pow(self.residue(expr.base), int(expr.exp), MODULUS)
        raise NotSupportedError(f"residue of {expr}", "not rational", "use rational scalars")

    def lift(self, expr: Expr) -> "Traced":
        """Return an expression as a traced number."""
        return self.made(expr, self.residue(expr))

    def made(self, expr: Expr, value: int) -> "Traced":
        """Return a result; it gets a name when it is long."""
        if value == 0:
            return Traced(Integer(0), 0, self)
        if count_ops(expr) > NAMED_ABOVE:
            symbol = Symbol(f"{self.prefix}{len(self.lines)}", real=True)
            self.lines.append((symbol, expr))
            self.residues[symbol] = value
            expr = symbol
        return Traced(expr, value, self)


@dataclass(frozen=True, eq=False)
class Traced:
    """A number of a tracer: supports - * / negation, equality and truth."""

    expr: Expr
    value: int
    tracer: Tracer

    def __sub__(self, other: "Traced") -> "Traced":
        return self.tracer.made(self.expr - other.expr, (self.value - other.value) % MODULUS)

    def __mul__(self, other: "Traced") -> "Traced":
        return self.tracer.made(self.expr * other.expr, self.value * other.value % MODULUS)

    def __truediv__(self, other: "Traced") -> "Traced":
        inverse = pow(other.value, -1, MODULUS)
        return self.tracer.made(self.expr / other.expr, self.value * inverse % MODULUS)

    def __neg__(self) -> "Traced":
        return Traced(-self.expr, -self.value % MODULUS, self.tracer)

    def __bool__(self) -> bool:
        return self.value != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Traced) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]
