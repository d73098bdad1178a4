"""Exact checks of matrix expressions and pencils on random small rational matrices.

Stage: beside ``derive.pencil``. Letters and scalars get random rationals (scalars get squares, so
that their square roots are rational), dimensions get small integers; everything is then computed in
exact arithmetic (python-flint), so that one mismatch refutes and agreement is no rounding accident.
"""

import operator
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

from flint import fmpq, fmpq_mat
from sympy import Basic, Expr, Integer, Rational, Symbol

from derive.errors import DeriveError, InternalError, NotSupportedError
from derive.pencil import Pencil, Port
from derive.random_matrices.finite_rank import Spike, Vector
from derive.random_matrices.matrix_blocks import Blocks, Part
from derive.random_matrices.matrix_letters import Covariance, Flip, Letter, Wigner
from derive.random_matrices.matrix_nodes import Eye, Formula, Inverse, Product, Sum, Zero

Sizes = dict[Symbol, int]


class SingularDrawError(Exception):
    """An inverse does not exist for the drawn letters and sizes."""


@dataclass
class Draw:
    """One random assignment; matrices are made when first asked for."""

    random: random.Random
    sizes: Sizes
    scalars: dict[Basic, Rational] = field(default_factory=dict)
    values: dict[Formula, fmpq_mat] = field(default_factory=dict)
    vectors: dict[Vector, fmpq_mat] = field(default_factory=dict)

    def size(self, dim: Expr) -> int:
        """Return the size of a dimension."""
        return int(dim.xreplace({s: Integer(k) for s, k in self.sizes.items()}))

    def scalar(self, expr: Expr) -> fmpq:
        """Return the value of a coefficient."""
        for s in sorted(expr.free_symbols, key=str):
            if s not in self.scalars:
                self.scalars[s] = (
                    Rational(self.random.randint(1, 9), self.random.randint(1, 9)) ** 2
                )
        value = expr.xreplace(self.scalars)
        if not isinstance(value, Rational):
            found = f"its value {value} at rational squares is irrational"
            raise NotSupportedError(f"exact check of {expr}", found, "check by sampling instead")
        return fmpq(int(value.p), int(value.q))

    def exists(self, node: Formula) -> bool:
        """Return whether all inverses of an expression exist, as far as rationals can tell."""
        try:
            self.matrix(node)
        except SingularDrawError:
            return False
        except NotSupportedError:
            return True
        return True

    def matrix(self, node: Formula) -> fmpq_mat:
        """Return the value of an expression.

        Raises:
            SingularDrawError: where an inverse does not exist.
        """
        if node not in self.values:
            self.values[node] = self._matrix(node)
        return self.values[node]

    def _matrix(self, node: Formula) -> fmpq_mat:
        if isinstance(node, Letter):
            return self._letter(node)
        if isinstance(node, Flip):
            return self.matrix(node.letter).transpose()
        if isinstance(node, (Eye, Zero)):
            rows, cols = (self.size(k) for k in node.shape)
            return diagonal(rows, cols, fmpq(int(isinstance(node, Eye))))
        if isinstance(node, Blocks):
            return self._blocks(node)
        if isinstance(node, Part):
            return self._part(node)
        inner = [self.matrix(a) for a in node.args if isinstance(a, Formula)]
        if isinstance(node, Inverse):
            return inverted(inner[0])
        if isinstance(node, Sum):
            return reduce(operator.add, inner)
        if isinstance(node, Product):
            return times(reduce(operator.mul, inner), self.scalar(node.args[0]))
        raise NotSupportedError(f"exact check of {node}", "unknown node", "use the matrix language")

    def _letter(self, letter: Letter) -> fmpq_mat:
        rows, cols = (self.size(k) for k in letter.shape)
        if isinstance(letter, Spike):
            return self.direction(letter.left) * self.direction(letter.right).transpose()
        entries = [[self._entry() for _ in range(cols)] for _ in range(rows)]
        if isinstance(letter, Wigner):
            entries = [[entries[min(i, j)][max(i, j)] for j in range(cols)] for i in range(rows)]
        if isinstance(letter, Covariance):
            entries = [
                [x if i == j else fmpq(0) for j, x in enumerate(r)] for i, r in enumerate(entries)
            ]
        return from_rows(entries, rows, cols)

    def direction(self, vector: Vector) -> fmpq_mat:
        """Return a vector as a column."""
        if vector not in self.vectors:
            rows = self.size(vector.dim)
            self.vectors[vector] = from_rows([[self._entry()] for _ in range(rows)], rows, 1)
        return self.vectors[vector]

    def _entry(self) -> fmpq:
        return fmpq(
            self.random.choice([-1, 1]) * self.random.randint(1, 9), self.random.randint(1, 9)
        )

    def _blocks(self, node: Blocks) -> fmpq_mat:
        rows: list[list[fmpq]] = []
        for row in node.args:
            parts = [self.matrix(b) for b in row]
            for lines in zip(*(m.tolist() for m in parts), strict=True):
                rows.append([x for line in lines for x in line])
        return from_rows(rows, len(rows), len(rows[0]) if rows else 0)

    def _part(self, node: Part) -> fmpq_mat:
        whole = self.matrix(node.args[0])
        rows, cols = ([self.size(k) for k in split] for split in node.args[0].parts)
        i, j = int(node.args[1]), int(node.args[2])
        top, left = sum(rows[:i]), sum(cols[:j])
        lines = [r[left : left + cols[j]] for r in whole.tolist()[top : top + rows[i]]]
        return from_rows(lines, rows[i], cols[j])


def from_rows(rows: list[list[fmpq]], height: int, width: int) -> fmpq_mat:
    """Return an exact matrix from its rows."""
    return fmpq_mat(height, width, [x for row in rows for x in row])


def times(matrix: fmpq_mat, factor: fmpq) -> fmpq_mat:
    """Return an exact matrix times a number."""
    return matrix * factor


def inverted(matrix: fmpq_mat) -> fmpq_mat:
    """Return the exact inverse.

    Raises:
        SingularDrawError: if there is none.
    """
    if matrix.det() == 0:
        raise SingularDrawError
    return matrix.inv()


def diagonal(rows: int, cols: int, value: fmpq) -> fmpq_mat:
    """Return value on the diagonal, zeros elsewhere."""
    return fmpq_mat(rows, cols, [value * int(i == j) for i in range(rows) for j in range(cols)])


def draws(expressions: Iterable[Formula], seed: int, count: int) -> Iterable[Draw]:
    """Yield random draws; sizes of the dimensions take all orders in turn."""
    nodes = tuple(expressions)
    symbols = {
        s for node in nodes for letter in node.letters for k in letter.shape for s in k.free_symbols
    }
    symbols |= {s for node in nodes for k in node.shape for s in k.free_symbols}
    ordered = sorted(symbols, key=str)
    rng = random.Random(seed)
    for _ in range(count):
        sizes = rng.sample(range(2, len(ordered) + 3), len(ordered))
        yield Draw(rng, dict(zip(ordered, sizes, strict=True)))


def refuse_singular(expressions: Iterable[Formula], seed: int = 0) -> None:
    """Refuse expressions with an inverse that exists for no size and no letters.

    Raises:
        DeriveError: naming the innermost singular sub-expression.
    """
    nodes = tuple(expressions)
    pending = sorted({i for node in nodes for i in node.atoms(Inverse)}, key=lambda i: len(str(i)))
    for draw in draws(nodes, seed, 12):
        pending = [i for i in pending if not draw.exists(i)]
        if not pending:
            return
    for node in pending:
        body = node.args[0]
        inner = [i for i in body.atoms(Inverse) if i in pending]
        if not inner:
            found = f"{body} is singular whatever its letters and sizes"
            raise DeriveError(f"inverse of {body}", found, "add a ridge such as lam*eye(n)")


def verify(pencil: Pencil, seed: int = 0) -> int:
    """Compare a pencil with its expressions on random matrices, exactly.

    Returns:
        The number of matrix entries that were compared.

    Raises:
        InternalError: if an entry differs.
    """
    compared = 0
    for draw in draws(pencil.expressions, seed, 12):
        if not all(draw.exists(node) for node in pencil.expressions):
            continue
        expected = [b for node in pencil.expressions for b in _blocks_of(node, draw)]
        inverse = _inverse(pencil, draw)
        for port, value in zip(pencil.ports, expected, strict=True):
            if _value(pencil, port, inverse, draw) != value:
                raise InternalError(f"the pencil does not realise {pencil.expressions}")
            compared += value.nrows() * value.ncols()
    return compared


def _blocks_of(node: Formula, draw: Draw) -> list[fmpq_mat]:
    rows, cols = node.parts
    counts = len(rows or (0,)), len(cols or (0,))
    return [
        draw.matrix(node.part(i, j) if counts != (1, 1) else node)
        for i in range(counts[0])
        for j in range(counts[1])
    ]


def _offsets(pencil: Pencil, draw: Draw) -> list[int]:
    offsets = [0]
    for dim in pencil.dims:
        offsets.append(offsets[-1] + draw.size(dim))
    return offsets


def _inverse(pencil: Pencil, draw: Draw) -> fmpq_mat:
    offsets = _offsets(pencil, draw)
    total = offsets[-1]
    rows = [[fmpq(0)] * total for _ in range(total)]
    for e in pencil.entries:
        size = draw.size(pencil.dims[e.row])
        m = diagonal(size, size, fmpq(1)) if e.letter is None else draw.matrix(e.letter)
        m = times(m.transpose() if e.flipped else m, draw.scalar(e.coefficient))
        for i, line in enumerate(m.tolist()):
            for j, x in enumerate(line):
                rows[offsets[e.row] + i][offsets[e.col] + j] += x
    whole = from_rows(rows, total, total)
    return inverted(whole)


def _value(pencil: Pencil, port: Port, inverse: fmpq_mat, draw: Draw) -> fmpq_mat:
    offsets, lines = _offsets(pencil, draw), inverse.tolist()
    height, width = (draw.size(k) for k in port.shape)
    result = diagonal(height, width, draw.scalar(port.direct))
    for j, u in port.u:
        for k, v in port.v:
            part = [r[offsets[k] : offsets[k + 1]] for r in lines[offsets[j] : offsets[j + 1]]]
            result += times(from_rows(part, height, width), draw.scalar(u) * draw.scalar(v))
    return result
