"""Small dense linear systems as straight-line code: elimination with partial pivoting, no branches.

Stage: below the phases of coupled programs. Rows are exchanged by selections, so the code is the
same for all matrices and can run over many of them side by side. Entries that are numbers stay
numbers: what is zero for all matrices costs nothing.
"""

from collections.abc import Sequence
from typing import Any

from sympy import Abs, Expr, Integer, Piecewise

from derive.block import Line, fresh


def pick(*pieces: tuple[Any, Expr], other: Expr) -> Expr:
    """Return the value of the first condition that holds, or the other one.

    Example:
        >>> from sympy.abc import x
        >>> pick((x > 1, x), (True, x**2), other=x**3)
        Piecewise((x, x > 1), (x**2, True))
    """
    kept = []
    for condition, value in pieces:
        if condition == True:  # noqa: E712  (SymPy's true is not Python's)
            other = value
            break
        if condition != False:  # noqa: E712
            kept.append((value, condition))
    if not kept or all(value == other for value, _ in kept):
        return other
    return Piecewise(*kept, (other, True), evaluate=False)


class Names:
    """Appends lines under names that occur only once."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines, self._count = lines, 0

    def __call__(self, name: str, expr: Expr) -> Expr:
        """Append ``name = expr`` and return the symbol; symbols and numbers return as they are."""
        if expr.is_Symbol or expr.is_Number:
            return expr
        symbol = fresh(f"{name}_{self._count}_")
        self._count += 1
        self._lines.append((symbol, expr))
        return symbol


def largest(values: Sequence[Expr], name: Names) -> Expr:
    """Return the largest of some values, one selection per line; NaN does not displace a number."""
    most = values[0]
    for value in values[1:]:
        most = name("most", pick((value > most, value), other=most))
    return most


class Elimination:
    """The solutions of J y = b for the columns b of a matrix, appended as lines.

    Attributes:
        solutions: row i holds y_i for each column.
        pivots: of J; all are nonzero and finite where J is regular.
    """

    def __init__(
        self, rows: Sequence[Sequence[Expr]], right: Sequence[Sequence[Expr]], name: Names
    ) -> None:
        self._name, self._n = name, len(rows)
        self._rows = [
            [self._name("a", e) for e in (*row, *more)]
            for row, more in zip(rows, right, strict=True)
        ]
        self._inverse: list[Expr] = []
        self.pivots: list[Expr] = []
        for j in range(self._n):
            self._exchange(j)
            self._reduce(j)
        self.solutions = self._substitute()

    def strong(self, share: Expr) -> list[Any]:
        """Return the conditions that no pivot is below a share of its column, or of one."""
        found = []
        for j, pivot in enumerate(self.pivots):
            above = [Integer(1), *(Abs(self._rows[i][j]) for i in range(j))]
            found += [Abs(pivot) > share * a for a in above if a != 0]
        return found

    def _exchange(self, j: int) -> None:
        """Bring the largest entry of column j to row j, by exchanges with the rows below."""
        rows = self._rows
        for i in range(j + 1, self._n):
            if rows[i][j] == 0:
                continue
            larger = pick((Abs(rows[i][j]) > Abs(rows[j][j]), Integer(1)), other=Integer(0))
            test = self._name("swap", larger) > Integer(1) / 2
            for k in range(j, len(rows[j])):
                upper, lower = rows[j][k], rows[i][k]
                rows[j][k] = self._name("a", pick((test, lower), other=upper))
                rows[i][k] = self._name("a", pick((test, upper), other=lower))

    def _reduce(self, j: int) -> None:
        rows, pivot = self._rows, self._rows[j][j]
        inverse = self._name("inverse", 1 / pivot) if pivot != 0 else Integer(0)
        self._inverse.append(inverse)
        self.pivots.append(pivot)
        for i in range(j + 1, self._n):
            if rows[i][j] == 0:
                continue
            factor = self._name("factor", rows[i][j] * inverse)
            for k in range(j + 1, len(rows[i])):
                rows[i][k] = self._name("a", rows[i][k] - factor * rows[j][k])

    def _substitute(self) -> list[list[Expr]]:
        n, rows = self._n, self._rows
        solutions: list[list[Expr]] = [[] for _ in range(n)]
        for i in range(n - 1, -1, -1):
            for k in range(n, len(rows[i])):
                total = rows[i][k]
                for j in range(i + 1, n):
                    total = self._name("a", total - rows[i][j] * solutions[j][k - n])
                solutions[i].append(self._name("y", total * self._inverse[i]))
        return solutions
