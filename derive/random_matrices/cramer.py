"""Cramer's rule as straight-line code, for the few unknowns of an implicit derivative.

Stage: under the Dyson equations. Entries and determinant are named first, so that nothing expands.
"""

from sympy import Expr, Matrix

from derive.block import Line, fresh
from derive.symbols import Quantity


def cramer(rates: tuple[Quantity, ...], matrix: Matrix, load: list[Expr]) -> list[Line]:
    """Solve matrix * rates = load by Cramer's rule, entries and determinant named first."""
    lines: list[Line] = []
    count = len(rates)
    if not count:
        return lines
    tag = rates[0].name
    named = Matrix(count, count, lambda i, j: fresh(f"{tag}_m{i}{j}"))
    right = [fresh(f"{tag}_b{i}") for i in range(count)]
    lines += [(named[i, j], matrix[i, j]) for i in range(count) for j in range(count)]
    lines += list(zip(right, load, strict=True))
    determinant = fresh(f"{tag}_det")
    lines.append((determinant, named.det(method="berkowitz")))
    for i, rate in enumerate(rates):
        column = named.copy()
        column[:, i] = Matrix(right)
        lines.append((rate, column.det(method="berkowitz") / determinant))
    return lines
