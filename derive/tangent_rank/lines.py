"""Tangent functions as straight-line code: the ring that writes down what the others compute.

Stage: a tape in, a ``Block`` out whose inputs are parameters and inputs and whose results are f and
its derivatives in every parameter. Code generators print it like any other block.
"""

from collections.abc import Sequence
from typing import Any

from sympy import Add, Expr, Integer, Mul, Piecewise, Pow, Symbol
from sympy import exp as sympy_exp
from sympy import log as sympy_log
from sympy.functions import asinh, atan, cos, erf, sin, sqrt, tanh

from derive.block import Block, Line
from derive.tangent_rank.tape import Tape, columns, forward

_FUNCTIONS: dict[str, Any] = {
    "exp": sympy_exp,
    "tanh": lambda y: tanh(y, evaluate=False),
    "sin": sin,
    "cos": cos,
    "erf": erf,
    "log": sympy_log,
    "sqrt": sqrt,
    "atan": atan,
    "asinh": asinh,
    "softplus": lambda y: sympy_log(1 + sympy_exp(y)),
}


class _Lines:
    """Names every operation that is more than a symbol or a number."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.lines: list[Line] = []
        self._known: dict[Expr, Symbol] = {}

    def _named(self, expr: Expr) -> Expr:
        if expr.is_Symbol or expr.is_Number:
            return expr
        if expr not in self._known:
            self._known[expr] = Symbol(f"t{len(self.lines)}")
            self.lines.append((self._known[expr], expr))
        return self._known[expr]

    def constant(self, number: Expr) -> Expr:
        return number

    def parameter(self, index: int) -> Expr:
        return self._tape.parameters[index]

    def input(self, index: int) -> Expr:
        return self._tape.inputs[index]

    def add(self, values: Sequence[Expr]) -> Expr:
        return self._named(Add(*values))

    def multiply(self, a: Expr, b: Expr) -> Expr:
        return self._named(Mul(a, b))

    def power(self, a: Expr, n: int) -> Expr:
        return self._named(Pow(a, n))

    def function(self, index: int, name: str, argument: Expr) -> Expr:
        return self._named(_FUNCTIONS[name](argument))

    def select(self, test: Expr, yes: Expr, no: Expr) -> Expr:
        return self._named(Piecewise((yes, test > 0), (no, True)))


def tangent_block(tape: Tape) -> Block:
    """Return code from parameters and inputs to (f, df/dtheta_1, ..., df/dtheta_M).

    Example:
        >>> from sympy.abc import a, w, x
        >>> from derive.tangent_rank.tape import tape_of
        >>> block = tangent_block(tape_of(a * w * x, [a, w], [x]))
        >>> len(block.lines), len(block.results)
        (4, 3)
    """
    ring = _Lines(tape)
    values = forward(tape, ring)
    gradient = columns(tape, ring, values)
    results = [values[tape.output], *(Integer(0) if g is None else g for g in gradient)]
    return Block((*tape.parameters, *tape.inputs), tuple(ring.lines), tuple(results)).pruned()
