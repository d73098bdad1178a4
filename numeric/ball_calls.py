"""Blocks of a program as calls of FLINT, in LLVM IR: each operation is one call.

Stage: below ``ball_ir``, which puts the functions written here into a loop over points. Every ball
has its own place in the workspace, an array of balls that starts as zeros. Numbers are all
rationals and constants of the lines; they are enclosed beforehand.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Abs, Add, And, Expr, Integer, Max, Min, Mul, Or, Piecewise, Pow, Rational, Symbol
from sympy.core.relational import Equality, Ge, Gt, Le, Lt, Relational, Unequality

from derive.block import Block
from derive.errors import NotSupportedError
from derive.printing.machine_functions import function_name, softplus
from numeric.ball_library import BALL, PREFIX, UNARY, signatures

_TESTS = {Gt: "gt", Ge: "ge", Lt: "lt", Le: "le", Equality: "eq", Unequality: "ne"}
_MOST = 2**31
"""Integers below this are arguments of a call; larger ones are balls."""


class BallWriter:
    """Writes blocks as functions of the workspace; places are given once, to all blocks."""

    def __init__(self) -> None:
        self.places = 0
        self.numbers: dict[Expr, int] = {}
        self.lines: list[str] = []
        self._known: dict[Any, int] = {}
        self._count = 0

    def take(self, count: int = 1) -> int:
        """Return the first of some new places."""
        self.places += count
        return self.places - count

    def function(self, name: str, block: Block, given: Mapping[Symbol, int], into: int) -> str:
        """Return a function that evaluates a block and puts its results at ``into``, ..."""
        self.lines, self._known = [], dict(given)
        for symbol, expr in block.lines:
            self._known[symbol] = self.value(expr)
        for k, expr in enumerate(block.results):
            self.call("set", into + k, self.value(expr))
        body = "\n".join(f"  {line}" for line in self.lines)
        return f"define internal void @{name}(ptr %w, i64 %p) {{\n{body}\n  ret void\n}}\n"

    def value(self, expr: Any) -> int:
        """Write an expression, each distinct one once per block, and return its place."""
        if expr not in self._known:
            self._known[expr] = self._value(expr)
        return self._known[expr]

    def place(self, index: int) -> str:
        """Return the address of a place."""
        return self.new(f"getelementptr i8, ptr %w, i64 {BALL * index}")

    def new(self, text: str) -> str:
        """Write an instruction under a new name and return the name."""
        self._count += 1
        self.lines.append(f"%v{self._count} = {text}")
        return f"%v{self._count}"

    def call(self, name: str, *places: int, integer: int | None = None) -> None:
        """Write a call that fills the first place from the others."""
        given = [f"ptr {self.place(k)}" for k in places]
        given += [] if integer is None else [f"i64 {integer}"]
        given += ["i64 %p"] if signatures()[name][1][-1] == "i64" else []
        self.lines.append(f"call void @{PREFIX}{name}({', '.join(given)})")

    def made(self, name: str, *places: int, integer: int | None = None) -> int:
        """Write a call into a new place and return it."""
        target = self.take()
        self.call(name, target, *places, integer=integer)
        return target

    def _value(self, expr: Any) -> int:
        if expr.is_number:
            if expr not in self.numbers:
                self.numbers[expr] = self.take()
            return self.numbers[expr]
        if isinstance(expr, Add):
            return self._sum(expr)
        if isinstance(expr, Mul):
            return self._product(expr)
        if isinstance(expr, Pow):
            return self._power(expr)
        if isinstance(expr, Abs):
            return self.made("abs", self.value(expr.args[0]))
        if isinstance(expr, Max | Min):
            first, *others = (self.value(a) for a in sorted(expr.args, key=str))
            for other in others:
                first = self.made(type(expr).__name__, first, other)
            return first
        if isinstance(expr, Piecewise):
            return self._selection(expr)
        if isinstance(expr, softplus):
            return self.made("log1p", self.made("exp", self.value(expr.args[0])))
        name = function_name(expr)
        if name in UNARY:
            return self.made(name, self.value(expr.args[0]))
        raise NotSupportedError(f"ball code for {type(expr).__name__}", str(expr), "use ball_code")

    def _sum(self, expr: Any) -> int:
        terms = sorted(expr.args, key=lambda t: (t.could_extract_minus_sign(), str(t)))
        total = self.value(terms[0])
        for term in terms[1:]:
            if term.could_extract_minus_sign():
                total = self.made("sub", total, self.value(-term))
            elif _small(term):
                total = self.made("add_si", total, integer=int(term))
            else:
                total = self.made("add", total, self.value(term))
        return total

    def _product(self, expr: Any) -> int:
        """Write a product as one quotient at most."""
        number, rest = expr.as_coeff_Mul()
        if number == -1:
            return self.made("neg", self.value(rest))
        above = [f for f in expr.args if not _below(f)]
        below = [1 / f for f in expr.args if _below(f)]
        if not below:
            factor = _small(number) and number != 1
            total = self._chain(above[1:] if factor else above)
            return self.made("mul_si", total, integer=int(number)) if factor else total
        divisor = self.value(Mul(*below))
        top = Mul(*above)
        return self.made("div", self.value(top), divisor)

    def _chain(self, factors: Sequence[Any]) -> int:
        total = self.value(factors[0])
        for factor in factors[1:]:
            total = self.made("mul", total, self.value(factor))
        return total

    def _power(self, expr: Any) -> int:
        base, exponent = expr.args
        if exponent == -1:
            return self.made("inv", self.value(base))
        if exponent.is_Integer and exponent > 0:
            return self.made("pow_ui", self.value(base), integer=int(exponent))
        if exponent.is_Integer:
            return self.made("inv", self.value(Pow(base, -exponent)))
        if abs(exponent) == Rational(1, 2):
            return self.made("sqrt" if exponent > 0 else "rsqrt", self.value(base))
        return self.made("pow", self.value(base), self.value(exponent))

    def _selection(self, expr: Any) -> int:
        *pieces, (last, condition) = expr.args
        if condition != True:  # noqa: E712  (SymPy's true is not Python's)
            raise NotSupportedError("ball code for Piecewise", "no default branch", "end with True")
        total = self.value(last)
        for value, test in reversed(pieces):
            target, chosen = self.take(), self.value(value)
            flags = [self._test(test), self._test(~test)]
            given = ", ".join(f"ptr {self.place(k)}" for k in (target, chosen, total))
            self.lines.append(f"call void @choose(i1 {flags[0]}, i1 {flags[1]}, {given}, i64 %p)")
            total = target
        return total

    def _test(self, test: Any) -> str:
        """Write a test and return an i1: whether it certainly holds."""
        if isinstance(test, Relational):
            sides = ", ".join(f"ptr {self.place(self.value(side))}" for side in test.args)
            found = self.new(f"call i32 @{PREFIX}{_TESTS[type(test)]}({sides})")
            return self.new(f"icmp ne i32 {found}, 0")
        if isinstance(test, And | Or):
            first, *others = (self._test(a) for a in sorted(test.args, key=str))
            for other in others:
                first = self.new(f"{'and' if isinstance(test, And) else 'or'} i1 {first}, {other}")
            return first
        raise NotSupportedError("ball code for a condition", str(test), "use ball_code")


def _small(expr: Any) -> bool:
    return bool(isinstance(expr, Integer) and abs(int(expr)) < _MOST)


def _below(factor: Any) -> bool:
    return bool(isinstance(factor, Pow) and factor.exp.is_Rational and factor.exp < 0)
