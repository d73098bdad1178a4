"""A parametric family as plain values, and how neurons are written down.

Stage: below the declared families. A ``Family`` is an expression with its parameters and inputs;
every declaration of ``derive.recovery`` makes one, and theory and experiment read the same.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Add, Expr, Integer, Mul, Rational, Symbol, tanh

from derive.errors import RangeError
from derive.model_rank import ModelRank, model_rank
from derive.reader import read_expression
from derive.symbols import z
from derive.tangent_rank.family import Place

Point = dict[Symbol, Expr]
_SIZE, _BELOW = 15, 8


@dataclass(frozen=True, eq=False)
class Family:
    """A function of inputs and parameters.

    Attributes:
        expr: f(x; theta).
        parameters: theta, in order.
        inputs: x, in order; probes of several outputs are inputs like the others.
    """

    expr: Expr
    parameters: tuple[Symbol, ...]
    inputs: tuple[Symbol, ...]

    def rank(self, point: Place | None = None, *, method: str = "auto") -> ModelRank:
        """Return the certified rank of the tangent functions at a point (generic by default)."""
        return model_rank(self.expr, self.parameters, self.inputs, point, method=method)


def symbols(name: str, *sizes: int) -> list[Symbol]:
    """Return real symbols name_1, name_2, ... or name_1_1, ... in one list."""
    indices: list[str] = [""]
    for size in sizes:
        indices = [f"{i}_{j}" for i in indices for j in range(1, size + 1)]
    return [Symbol(f"{name}{i}", real=True) for i in indices]


def dot(a: Sequence[Expr], b: Sequence[Expr]) -> Expr:
    """Return sum a_i b_i."""
    return Add(*(Mul(x, y) for x, y in zip(a, b, strict=True)))


def applied(activation: str, argument: Expr) -> Expr:
    """Return an activation, in the grammar of the reader, at an argument."""
    if activation == "tanh":
        return tanh(argument, evaluate=False)
    return read_expression(activation).xreplace({z: argument})


def vanishes_at_zero(activation: str) -> bool:
    """Return whether an activation is zero at zero, so that a neuron without weights is nothing."""
    return bool(applied(activation, Integer(0)).doit() == 0)


def starts_linearly(activation: str) -> bool:
    """Return whether an activation is zero at zero with a slope.

    Then a neuron without weights adds nothing, and a small one something of second order.
    """
    slope = read_expression(activation).diff(z).xreplace({z: Integer(0)})
    return vanishes_at_zero(activation) and bool(slope.doit() != 0)


def count(value: int, name: str, least: int = 1) -> None:
    """Refuse a size that is no whole number of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RangeError(f"{name} = {value}", "not a size", f"give a whole number >= {least}")


def draw(rng: random.Random) -> Expr:
    """Return a random rational number between 1/8 and 15/8 in size, of either sign."""
    return Rational(rng.choice((-1, 1)) * rng.randint(1, _SIZE), _BELOW)


def zeros(parameters: Sequence[Symbol]) -> Point:
    """Return the point where every parameter vanishes."""
    return dict.fromkeys(parameters, Integer(0))
