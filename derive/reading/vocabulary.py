"""The words of the expression reader: constants, functions and well-known activations.

Stage: below ``reader``. Each word has the SymPy expression that it stands for, and the number of
arguments that it takes. Activations are written out in elementary functions; the forms are the
usual ones (GELU exact, slope 1/100 for the leaky kink).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sympy import (
    Abs,
    E,
    Eq,
    Heaviside,
    Max,
    Min,
    Ne,
    Piecewise,
    Rational,
    S,
    acos,
    asin,
    asinh,
    atan,
    cos,
    cosh,
    erf,
    erfc,
    erfinv,
    exp,
    log,
    pi,
    sech,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)


@dataclass(frozen=True)
class Word:
    """A function of the grammar.

    Attributes:
        build: from SymPy arguments to the expression.
        least: smallest number of arguments.
        most: largest number of arguments.
        condition: index of the argument that must be a condition, if any.
        pairs: whether the arguments are (value, condition) pairs.
    """

    build: Callable[..., Any]
    least: int = 1
    most: int = 1
    condition: int | None = None
    pairs: bool = False

    def arity(self) -> str:
        """Return the number of arguments in words."""
        if self.most >= MANY:
            return f"at least {self.least}"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


MANY = 64


def _softplus(x: Any) -> Any:
    return log(1 + exp(x))


def _elu(x: Any, alpha: Any = S.One) -> Any:
    return Piecewise((x, x > 0), (alpha * (exp(x) - 1), True))


def _celu(x: Any, alpha: Any = S.One) -> Any:
    return Piecewise((x, x > 0), (alpha * (exp(x / alpha) - 1), True))


def _leaky_relu(x: Any, slope: Any = Rational(1, 100)) -> Any:
    return Piecewise((x, x > 0), (slope * x, True))


def _clip(x: Any, low: Any = S.NegativeOne, high: Any = S.One) -> Any:
    return Max(low, Min(x, high))


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return Piecewise((yes, condition), (no, True))


_SILU = Word(lambda x: x / (1 + exp(-x)))
_SIGMOID = Word(lambda x: 1 / (1 + exp(-x)))
_STEP = Word(lambda x, at_zero=S.Half: Heaviside(x, at_zero), 1, 2)
_MAX, _MIN = Word(Max, 2, MANY), Word(Min, 2, MANY)
_ABS = Word(Abs)

FUNCTIONS: dict[str, Word] = {
    "exp": Word(exp),
    "log": Word(log),
    "sqrt": Word(sqrt),
    "erf": Word(erf),
    "erfc": Word(erfc),
    "erfinv": Word(erfinv),
    "sin": Word(sin),
    "cos": Word(cos),
    "tan": Word(tan),
    "asin": Word(asin),
    "acos": Word(acos),
    "atan": Word(atan),
    "sinh": Word(sinh),
    "cosh": Word(cosh),
    "tanh": Word(tanh),
    "sech": Word(sech),
    "asinh": Word(asinh),
    "abs": _ABS,
    "Abs": _ABS,
    "sign": Word(sign),
    "step": _STEP,
    "Heaviside": _STEP,
    "max": _MAX,
    "Max": _MAX,
    "min": _MIN,
    "Min": _MIN,
    "where": Word(_where, 3, 3, condition=0),
    "Piecewise": Word(Piecewise, 1, MANY, pairs=True),
    "relu": Word(lambda x: Max(x, 0)),
    "leaky_relu": Word(_leaky_relu, 1, 2),
    "elu": Word(_elu, 1, 2),
    "celu": Word(_celu, 1, 2),
    "gelu": Word(lambda x: x * (1 + erf(x / sqrt(2))) / 2),
    "silu": _SILU,
    "swish": _SILU,
    "sigmoid": _SIGMOID,
    "logistic": _SIGMOID,
    "softplus": Word(_softplus),
    "mish": Word(lambda x: x * tanh(_softplus(x))),
    "softsign": Word(lambda x: x / (1 + Abs(x))),
    "clip": Word(_clip, 1, 3),
    "hardtanh": Word(_clip),
    "identity": Word(lambda x: x),
}
"""Every function of the grammar by name."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {"Eq": Eq, "Ne": Ne}
"""Comparisons written as functions; the others are signs."""

CONSTANTS: dict[str, Any] = {"pi": pi, "E": E, "e": E, "True": S.true, "False": S.false}
"""Every constant of the grammar by name."""
