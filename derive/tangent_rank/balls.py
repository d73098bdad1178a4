r"""Tangent functions in ball arithmetic: a rank that rounding cannot fake, for any analytic family.

Stage: beside ``modular``, for functions whose values are not known to be independent symbols. The
tangent matrix is evaluated at rational inputs with ``arb``; elimination takes the largest pivot of
each column, if its ball excludes zero. The pivots found are those of a minor that does not vanish,
so their number is a certified lower bound of the rank. More digits are tried until it is full.
"""

import random
from collections.abc import Sequence
from typing import Any

from flint import arb, fmpq
from sympy import Expr

from derive.enclosing.ball_program import Evaluation, working_precision
from derive.errors import RangeError
from derive.tangent_rank.tape import Tape, columns, forward


class BallRing:
    """Evaluates a tape at one point; values are real balls.

    Args:
        values: exact values of the parameters.
        inputs: rational inputs.
        bits: working precision.
    """

    def __init__(self, values: Sequence[Expr], inputs: Sequence[Any], bits: int) -> None:
        self._values, self._inputs = values, inputs
        self._evaluation = Evaluation(bits)

    def constant(self, number: Any) -> Any:
        """Return a number."""
        if number.is_Rational:
            return arb(fmpq(int(number.p), int(number.q)))
        return self._evaluation.complex(number).real

    def parameter(self, index: int) -> Any:
        """Return the value of a parameter."""
        return self.constant(self._values[index])

    def input(self, index: int) -> Any:
        """Return an input."""
        return self._inputs[index]

    def add(self, values: Sequence[Any]) -> Any:
        """Return a sum."""
        return sum(values[1:], values[0])

    def multiply(self, a: Any, b: Any) -> Any:
        """Return a product."""
        return a * b

    def power(self, a: Any, n: int) -> Any:
        """Return an integer power."""
        return a**n

    def select(self, test: Any, yes: Any, no: Any) -> Any:
        """Return a branch.

        Raises:
            RangeError: if the test cannot be decided.
        """
        if test > 0:
            return yes
        if test < 0:
            return no
        raise RangeError("a branch", "the test is not separated from zero", "move the point")

    def function(self, index: int, name: str, argument: Any) -> Any:
        """Return a function.

        Raises:
            RangeError: outside its domain.
        """
        value = _FUNCTIONS[name](argument)
        if not value.is_finite():
            raise RangeError(f"{name} at {argument.str(5)}", "outside its domain", "move the point")
        return value


_FUNCTIONS: dict[str, Any] = {
    **{n: getattr(arb, n) for n in ("exp", "tanh", "sin", "cos", "erf", "log", "sqrt", "atan")},
    "asinh": arb.asinh,
    "softplus": lambda y: (1 + y.exp()).log(),
}


def ball_matrix(
    tape: Tape, values: Sequence[Expr], points: int, bits: int, seed: int = 0
) -> list[list[Any]]:
    """Return tangent functions at random rational inputs as balls, one row a point.

    Raises:
        RangeError: if no points of the domain are found.
    """
    rng = random.Random(seed)
    rows: list[list[Any]] = []
    refused = 0
    with working_precision(bits):
        while len(rows) < points:
            inputs = [arb(fmpq(rng.randint(-3000, 3000), 1000)) for _ in tape.inputs]
            ring = BallRing(values, inputs, bits)
            try:
                gradient = columns(tape, ring, forward(tape, ring))
            except RangeError:
                refused += 1
                if refused > 20 * points:
                    raise
                continue
            rows.append([arb(0) if g is None else g for g in gradient])
    return rows


def ball_rank(rows: Sequence[Sequence[Any]], bits: int) -> tuple[int, tuple[int, ...]]:
    """Return the size and the columns of a minor that is proved not to vanish."""
    work = [list(row) for row in rows]
    chosen: list[int] = []
    width = len(work[0]) if work else 0
    with working_precision(bits):
        for j in range(width):
            sizes = [row[j].abs_lower() for row in work]
            best = max(range(len(work)), key=sizes.__getitem__, default=-1)
            if best < 0 or not sizes[best] > 0:
                continue
            chosen.append(j)
            pivot_row = work.pop(best)
            inverse = 1 / pivot_row[j]
            for row in work:
                factor = row[j] * inverse
                for k in range(j + 1, width):
                    row[k] -= factor * pivot_row[k]
    return len(chosen), tuple(chosen)
