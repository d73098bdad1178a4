"""Selected entries of the inverse of a small sparse matrix over a field, component by component.

Stage: under the Dyson equations. Unit pivots go first (Schur complements), then the sparsest; only
the columns of the inverse that are asked for are carried along.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from derive.errors import DeriveError

Index = tuple[int, int]
Row = dict[int, Any]


def components(filled: Iterable[Index]) -> list[tuple[list[int], list[int]]]:
    """Return the connected parts of a sparse square matrix as (rows, columns)."""
    links: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for i, l in filled:
        links.setdefault(("r", i), set()).add(("c", l))
        links.setdefault(("c", l), set()).add(("r", i))
    parts = []
    left = set(links)
    for seed in sorted(links):
        if seed not in left:
            continue
        stack, part = [seed], {seed}
        while stack:
            new = links[stack.pop()] - part
            part |= new
            stack.extend(new)
        left -= part
        rows = sorted(i for kind, i in part if kind == "r")
        parts.append((rows, sorted(l for kind, l in part if kind == "c")))
    return parts


@dataclass(frozen=True)
class Part:
    """One connected part of a sparse matrix, with the columns of its inverse that are wanted."""

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    targets: tuple[int, ...]


def wanted_parts(filled: Iterable[Index], wanted: Iterable[Index]) -> list[Part]:
    """Return the connected parts that hold wanted entries of the inverse.

    Raises:
        DeriveError: if a part is not square, so that there is no inverse.
    """
    wanted = set(wanted)
    parts = []
    for rows, cols in components(filled):
        targets = tuple(sorted({k for j, k in wanted if k in rows and j in cols}))
        if targets and len(rows) != len(cols):
            raise _singular()
        if targets:
            parts.append(Part(tuple(rows), tuple(cols), targets))
    return parts


def solve_part(matrix: Mapping[Index, Any], part: Part, one: Any) -> tuple[dict[Index, Any], int]:
    """Return the wanted columns of the inverse of a part, and how many pivots were not +-1."""
    table = {i: {l: matrix[i, l] for l in part.cols if (i, l) in matrix} for i in part.rows}
    right = {i: ({i: one} if i in part.targets else {}) for i in part.rows}
    solution, hard = _solve(table, right, one)
    return {(j, k): x for j, row in solution.items() for k, x in row.items()}, hard


def inverse_entries(
    matrix: Mapping[Index, Any], wanted: Iterable[Index], one: Any
) -> dict[Index, Any]:
    """Return entries (j, k) of the inverse; entries that are zero are left out.

    Args:
        matrix: nonzero entries by (row, column), elements of a field.
        wanted: entries of the inverse, by (column of the matrix, row of the matrix).
        one: the unit of the field.

    Raises:
        DeriveError: if the matrix has no inverse.
    """
    wanted = set(wanted)
    result: dict[Index, Any] = {}
    for part in wanted_parts(matrix, wanted):
        result.update(solve_part(matrix, part, one)[0])
    return {place: x for place, x in result.items() if place in wanted}


def _solve(table: dict[int, Row], right: dict[int, Row], one: Any) -> tuple[dict[int, Row], int]:
    """Gauss-Jordan elimination; returns the solution by column and the number of hard pivots."""
    order: dict[int, int] = {}
    free = set(table)
    hard = 0
    while free:
        row, col = _pivot(table, free, one)
        free.discard(row)
        order[col] = row
        scale = table[row][col]
        hard += scale not in (one, -one)
        table[row] = {l: x / scale for l, x in table[row].items()}
        right[row] = {k: x / scale for k, x in right[row].items()}
        for other, cells in table.items():
            if other != row and col in cells:
                factor = cells[col]
                subtract(cells, table[row], factor)
                subtract(right[other], right[row], factor)
    return {col: right[row] for col, row in order.items()}, hard


def _pivot(table: dict[int, Row], free: set[int], one: Any) -> Index:
    best: tuple[tuple[bool, int, int, int], Index] | None = None
    counts: dict[int, int] = {}
    for i in free:
        for l in table[i]:
            counts[l] = counts.get(l, 0) + 1
    for i in sorted(free):
        for l, x in table[i].items():
            fill = (len(table[i]) - 1) * (counts[l] - 1)
            score = (x not in (one, -one), fill, i, l)
            if best is None or score < best[0]:
                best = score, (i, l)
    if best is None:
        raise _singular()
    return best[1]


def subtract(target: Row, row: Row, factor: Any) -> None:
    """Take a multiple of a sparse row from another in place; zeros are not stored."""
    for l, x in row.items():
        value = target[l] - factor * x if l in target else -factor * x
        if value:
            target[l] = value
        else:
            target.pop(l, None)


def _singular() -> DeriveError:
    found = "its averaged pencil is singular for all values of the controls"
    return DeriveError("inverse of the expression", found, "add a ridge such as lam*eye(n)")
