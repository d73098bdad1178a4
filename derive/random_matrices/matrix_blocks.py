"""Block matrices of the matrix language, and the blocks of any expression made of them.

Stage: beside ``derive.random_matrices.matrix_nodes``. A composite dimension is a sum of dimensions
that remembers its split; expressions join only where the splits agree.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

from sympy import Add, Expr, Tuple

from derive.errors import ShapeError
from derive.random_matrices.matrix_nodes import Formula, Zero, agree, formula, inner, shape_text


class Blocks(Formula):
    """Block matrix; args: the rows, Tuples of formulas."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns, sums over blocks."""
        rows, cols = self.parts
        return Add(*cast(tuple[Expr, ...], rows)), Add(*cast(tuple[Expr, ...], cols))

    @property
    def parts(self) -> tuple[tuple[Expr, ...] | None, tuple[Expr, ...] | None]:
        """Dimensions of the block rows and block columns."""
        return tuple(row[0].shape[0] for row in self.args), tuple(b.shape[1] for b in self.args[0])

    @cached_property
    def letters(self) -> frozenset[Any]:
        """Return all letters of the blocks."""
        return frozenset().union(*(b.letters for row in self.args for b in row))

    def _flip(self, adjoint: bool) -> Formula:
        columns = zip(*self.args, strict=True)
        return Blocks(*(Tuple(*(b._flip(adjoint) for b in column)) for column in columns))

    def _text(self, show: Any, style: str = "") -> str:
        if style:
            rows = (r" & ".join(b._text(show, style) for b in row) for row in self.args)
            return r"\begin{pmatrix}" + r" \\ ".join(rows) + r"\end{pmatrix}"
        rows = ("[" + ", ".join(b._text(show) for b in row) + "]" for row in self.args)
        return f"block([{', '.join(rows)}])"


class Part(Formula):
    """Block (i, j) of an expression made of blocks; args: the expression, i, j."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns of the block."""
        rows, cols = self.args[0].parts
        return rows[int(self.args[1])], cols[int(self.args[2])]

    def _flip(self, adjoint: bool) -> Formula:
        return Part(self.args[0]._flip(adjoint), self.args[2], self.args[1])

    def _text(self, show: Any, style: str = "") -> str:
        return f"{inner(self.args[0], 2, show, style)}[{self.args[1]},{self.args[2]}]"


def block(rows: Sequence[Sequence[object]]) -> Formula:
    """Return a block matrix; 0 stands for a zero block.

    Raises:
        ShapeError: if the blocks of a row or of a column do not fit; the block is named.

    Example:
        >>> from derive.matrices import dims, eye
        >>> n, p = dims("n p")
        >>> block([[eye(n), 0], [0, eye(p)]]).shape
        (n + p, n + p)
    """
    heights = [_common(row, 0, f"block row {i}") for i, row in enumerate(rows)]
    if len({len(row) for row in rows}) != 1:
        raise ShapeError("block matrix", "rows of different lengths", "give a full array")
    widths = [_common(col, 1, f"block column {j}") for j, col in enumerate(zip(*rows, strict=True))]
    full = [
        Tuple(
            *(b if isinstance(b, Formula) else Zero(h, w) for b, w in zip(row, widths, strict=True))
        )
        for row, h in zip(rows, heights, strict=True)
    ]
    result = Blocks(*full)
    agree([result], "block matrix")
    return result


def _common(blocks: Sequence[object], axis: int, where: str) -> Expr:
    """Dimension shared by the nonzero blocks of a row or a column."""
    found = [formula(b, where) for b in blocks if not (isinstance(b, (int, Expr)) and b == 0)]
    sizes = {b.shape[axis] for b in found}
    if len(sizes) != 1:
        shapes = ", ".join(shape_text(b) for b in found) or "only zeros"
        raise ShapeError(where, shapes, "blocks must fit; write zeros of known size as 0*eye(n)")
    return sizes.pop()
