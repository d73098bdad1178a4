"""A derived value: an exact expression, how it is known, and the log of its derivation.

Stage: what functionals return. ``Value.expr`` is always exact: a closed form, or an expression that
holds unevaluated ``Expectation`` objects. ``Value.kind`` says what its digits rest on.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sympy import Expr, latex

from derive.balls import Ball, enclose
from derive.rewrite import Log


class Kind(Enum):
    """What the digits of a value rest on, strongest first."""

    CLOSED_FORM = "closed form"
    BALL = "certified digits (ball with a bounded tail)"
    TWO_PRECISIONS = "digits on which two precisions agree"


@dataclass(frozen=True)
class Value:
    """An exact value with its kind and its derivation.

    Attributes:
        expr: exact SymPy expression.
        kind: what its digits rest on.
        reason: why it is of this kind, one sentence.
        log: steps of the derivation.

    ``str`` prints the expression, ``ball(digits)`` encloses it; SymPy arithmetic accepts a Value.
    """

    expr: Expr
    kind: Kind = Kind.CLOSED_FORM
    reason: str = ""
    log: Log = field(default=Log(), compare=False)

    def ball(self, digits: int = 15) -> Ball:
        """Return a ball that holds the value, of relative radius below ``10**-digits``.

        Accuracy: rigorous when the ball says so (``Ball.rigorous``).
        """
        return enclose(self.expr, digits)

    def _sympy_(self) -> Expr:
        return self.expr

    def __float__(self) -> float:
        return float(self.ball(17))

    def __str__(self) -> str:
        return str(self.expr)

    def __repr__(self) -> str:
        return str(self.expr)

    def _repr_latex_(self) -> str:
        return f"${latex(self.expr)}$"

    def _latex(self, printer: Any) -> str:
        return str(printer._print(self.expr))
