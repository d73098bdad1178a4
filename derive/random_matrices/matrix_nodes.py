"""Nodes of the matrix language: identity, zero, sums, products, inverses; shapes and normal forms.

Stage: the floor of the matrix language. Nodes are SymPy matrix expressions of our own: shapes are
checked as one writes, transposes reach the letters at once, equal terms are collected.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, cast

from sympy import Add, Basic, Expr, Integer, S, conjugate
from sympy.matrices.expressions.matexpr import MatrixExpr

from derive.errors import DeriveError, NotSupportedError, ShapeError
from derive.random_matrices.scalars import scalar

MAX_POWER = 64


class Formula(MatrixExpr):
    """A rational expression of matrices; base of all nodes."""

    _op_priority = 12.0
    __array_ufunc__ = None  # arrays leave operators to this class, which refuses them

    def __new__(cls, *args: Basic) -> Any:
        """Build the node as it stands; letters and atoms of the language use this."""
        return Basic.__new__(cls, *args)

    @property
    def args(self) -> tuple[Any, ...]:
        """Arguments of the node."""
        return cast(tuple[Any, ...], self._args)

    @property
    def parts(self) -> tuple[tuple[Expr, ...] | None, tuple[Expr, ...] | None]:
        """Dimensions of the block rows and block columns; None where any split fits."""
        return (self.shape[0],), (self.shape[1],)

    @cached_property
    def letters(self) -> frozenset[Any]:
        """Return all letters of the expression."""
        return frozenset().union(*(a.letters for a in self.args if isinstance(a, Formula)))

    def _flip(self, adjoint: bool) -> "Formula":
        raise NotImplementedError

    def _bind(self) -> int:
        """Binding strength when printed: 0 sum, 1 product, 2 atom."""
        return 2

    def __add__(self, other: object) -> "Formula":
        return add(self, other)

    def __radd__(self, other: object) -> "Formula":
        return add(other, self)

    def __sub__(self, other: object) -> "Formula":
        return add(self, -formula(other, f"{self} - ({other})"))

    def __rsub__(self, other: object) -> "Formula":
        return add(other, -self)

    def __neg__(self) -> "Formula":
        return multiply(-1, self)

    def __mul__(self, other: object) -> "Formula":
        return multiply(self, other)

    def __rmul__(self, other: object) -> "Formula":
        return multiply(other, self)

    __matmul__ = __mul__
    __rmatmul__ = __rmul__

    def __truediv__(self, other: object) -> "Formula":
        if isinstance(other, MatrixExpr):
            raise NotSupportedError(
                f"({self})/({other})", "division by a matrix", f"multiply by ({other}).inv()"
            )
        divisor = scalar(other)
        if divisor == 0:
            raise DeriveError(f"({self})/0", "division by zero", "divide by a nonzero scalar")
        return multiply(1 / divisor, self)

    def __rtruediv__(self, other: object) -> "Formula":
        raise NotSupportedError(f"{other}/({self})", "division by a matrix", "use .inv()")

    def __pow__(self, exponent: object, mod: None = None) -> "Formula":
        return power(self, exponent)

    def __rpow__(self, other: object) -> "Formula":
        raise NotSupportedError(
            f"{other}**({self})", "not a rational expression", "use integer powers of matrices"
        )

    def __abs__(self) -> "Formula":
        raise NotSupportedError(f"abs({self})", "not a rational expression", "use products")

    @property
    def T(self) -> "Formula":
        """Transpose, pushed to the letters."""
        return self._flip(False)

    @property
    def H(self) -> "Formula":
        """Adjoint, pushed to the letters."""
        return self._flip(True)

    @property
    def I(self) -> "Formula":  # noqa: E743  (SymPy's name of the inverse)
        """Inverse."""
        return inverse(self)

    def transpose(self) -> "Formula":
        """Return the transpose."""
        return self.T

    def adjoint(self) -> "Formula":
        """Return the adjoint."""
        return self.H

    def inv(self) -> "Formula":
        """Return the inverse; refused unless square and not identically singular."""
        return inverse(self)

    def inverse(self) -> "Formula":
        """Return the inverse."""
        return inverse(self)

    def part(self, i: int, j: int) -> "Formula":
        """Return block (i, j) of an expression made of blocks, counted from 0."""
        rows, cols = self.parts
        if rows is None or cols is None or not (0 <= i < len(rows) and 0 <= j < len(cols)):
            found = f"{len(rows or ())} x {len(cols or ())} blocks"
            raise ShapeError(f"block ({i}, {j}) of {self}", found, "ask for a block that exists")
        from derive.random_matrices.matrix_blocks import Part  # noqa: PLC0415  (blocks are built on these nodes)

        return self if len(rows) == len(cols) == 1 else Part(self, Integer(i), Integer(j))

    def doit(self, **hints: object) -> "Formula":
        """Return the expression itself: nodes are always in normal form."""
        return self

    def __str__(self) -> str:
        return self._text(str)

    __repr__ = __str__

    def _sympystr(self, printer: Any) -> str:
        return self._text(printer._print)

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        return self._text(printer._print, "tex")

    def _text(self, show: Any, style: str = "") -> str:
        raise NotImplementedError


def inner(node: Formula, level: int, show: Any, style: str) -> str:
    """Return the text of a node, in parentheses where it binds too weakly."""
    text = node._text(show, style)
    if node._bind() >= level:
        return text
    return rf"\left({text}\right)" if style else f"({text})"


class Eye(Formula):
    """Identity; args: its dimension."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[0], self.args[0]

    @property
    def parts(self) -> tuple[tuple[Expr, ...] | None, tuple[Expr, ...] | None]:
        """The identity of a composite dimension splits as its neighbours do."""
        return super().parts if self.args[0].is_Symbol else (None, None)

    def _flip(self, adjoint: bool) -> Formula:
        return self

    def _text(self, show: Any, style: str = "") -> str:
        return rf"I_{{{show(self.args[0])}}}" if style else f"eye({show(self.args[0])})"


class Zero(Formula):
    """Zero matrix; args: rows and columns."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[0], self.args[1]

    @property
    def parts(self) -> tuple[tuple[Expr, ...] | None, tuple[Expr, ...] | None]:
        """A zero of composite dimensions splits as its neighbours do."""
        composite = [isinstance(a, Add) for a in self.args]
        rows, cols = super().parts
        return None if composite[0] else rows, None if composite[1] else cols

    def _flip(self, adjoint: bool) -> Formula:
        return Zero(self.args[1], self.args[0])

    def _text(self, show: Any, style: str = "") -> str:
        return "0" if style else f"zero({show(self.args[0])}, {show(self.args[1])})"


class Sum(Formula):
    """Sum of at least two terms."""

    def __new__(cls, *terms: object) -> Any:
        """Collect equal terms and sort; used by SymPy when it rebuilds the node."""
        return add(*terms)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[0].shape

    @property
    def parts(self) -> tuple[tuple[Expr, ...] | None, tuple[Expr, ...] | None]:
        """The split on which the terms agree."""
        splits = [t.parts for t in self.args]
        return next((r for r, _ in splits if r), None), next((c for _, c in splits if c), None)

    def _flip(self, adjoint: bool) -> Formula:
        return add(*(t._flip(adjoint) for t in self.args))

    def _bind(self) -> int:
        return 0

    def _text(self, show: Any, style: str = "") -> str:
        return " + ".join(inner(t, 1, show, style) for t in self.args).replace("+ -", "- ")


class Product(Formula):
    """Scalar coefficient times factors; args: the coefficient, then the factors."""

    def __new__(cls, *factors: object) -> Any:
        """Collect scalars; used by SymPy when it rebuilds the node."""
        return multiply(*factors)

    @property
    def factors(self) -> tuple[Formula, ...]:
        """Matrix factors."""
        return tuple(self.args[1:])

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[1].shape[0], self.args[-1].shape[1]

    @property
    def parts(self) -> tuple[tuple[Expr, ...] | None, tuple[Expr, ...] | None]:
        """Block rows of the first factor, block columns of the last."""
        return self.args[1].parts[0], self.args[-1].parts[1]

    def _flip(self, adjoint: bool) -> Formula:
        c = conjugate(self.args[0]) if adjoint else self.args[0]
        return multiply(c, *(f._flip(adjoint) for f in reversed(self.factors)))

    def _bind(self) -> int:
        return 1

    def _text(self, show: Any, style: str = "") -> str:
        body = (" " if style else "*").join(inner(f, 2, show, style) for f in self.factors)
        c = self.args[0]
        if c == 1:
            return body
        if c == -1:
            return f"-{body}"
        text = show(c)
        return (
            f"({text})*{body}".replace(")*", r") ")
            if isinstance(c, Add)
            else (f"{text} {body}" if style else f"{text}*{body}")
        )


class Inverse(Formula):
    """Inverse of a square expression."""

    def __new__(cls, arg: object) -> Any:
        """Check and simplify; used by SymPy when it rebuilds the node."""
        return inverse(formula(arg, "inverse"))

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[0].shape

    @property
    def parts(self) -> tuple[tuple[Expr, ...] | None, tuple[Expr, ...] | None]:
        """Split of the inverted expression, exchanged."""
        rows, cols = self.args[0].parts
        return cols, rows

    def _flip(self, adjoint: bool) -> Formula:
        return inverse(self.args[0]._flip(adjoint))

    def _text(self, show: Any, style: str = "") -> str:
        body = inner(self.args[0], 2, show, style)
        return f"{body}^{{-1}}" if style else f"{body}**-1"


def formula(value: object, asked: str) -> Formula:
    """Return a value as a formula; SymPy's Identity and ZeroMatrix are accepted.

    Raises:
        NotSupportedError: if it is anything else that is not declared in this language.
    """
    if isinstance(value, Formula):
        return value
    if isinstance(value, MatrixExpr) and value.is_Identity:
        return Eye(value.shape[0])
    if isinstance(value, MatrixExpr) and value.is_ZeroMatrix:
        return Zero(*value.shape)
    remedy = "declare letters with gaussian, wigner or covariance; scalars join as lam*eye(n)"
    raise NotSupportedError(asked, f"{value} is not an expression of declared matrices", remedy)


def _same_split(a: Sequence[Expr] | None, b: Sequence[Expr] | None) -> bool:
    return a is None or b is None or tuple(a) == tuple(b)


def shape_text(a: Formula) -> str:
    """Return a formula with its shape, for messages."""
    return f"{a} is {a.shape[0]} x {a.shape[1]}"


def agree(nodes: Iterable[Formula], asked: str) -> None:
    """Refuse two letters of one name and different meaning.

    Raises:
        DeriveError: naming the letter and both declarations.
    """
    seen: dict[str, Any] = {}
    for letter in frozenset().union(*(n.letters for n in nodes)):
        other = seen.setdefault(letter.name, letter)
        if other != letter:
            both = sorted([other.declaration(), letter.declaration()])
            remedy = "give them two names, or one declaration"
            found = f"the letter {letter.name} is declared as {both[0]} and as {both[1]}"
            raise DeriveError(asked, found, remedy)


def add(*terms: object) -> Formula:
    """Return the sum of formulas of one shape."""
    asked = " + ".join(str(t) for t in terms)
    nodes = [formula(t, asked) for t in terms]
    for other in nodes[1:]:
        rows, cols = zip(nodes[0].parts, other.parts, strict=True)
        if nodes[0].shape != other.shape or not (_same_split(*rows) and _same_split(*cols)):
            found = f"{shape_text(nodes[0])}, {shape_text(other)}"
            raise ShapeError(asked, found, "add matrices of one shape")
    agree(nodes, asked)
    collected: dict[Formula, Expr] = {}
    for node in nodes:
        for term in node.args if isinstance(node, Sum) else (node,):
            coefficient, body = split(term)
            collected[body] = collected.get(body, S.Zero) + coefficient
    kept = [multiply(c, body) for body, c in collected.items() if c != 0 and body.func != Zero]
    if not kept:
        return Zero(*nodes[0].shape)
    kept.sort(key=str)
    return kept[0] if len(kept) == 1 else cast(Formula, Basic.__new__(Sum, *kept))


def split(node: Formula) -> tuple[Expr, Formula]:
    """Return the scalar coefficient of a formula, and the rest."""
    if isinstance(node, Product) and node.args[0] != 1:
        return node.args[0], multiply(*node.factors)
    return S.One, node


def multiply(*factors: object) -> Formula:
    """Return the product of scalars and formulas."""
    coefficient: Expr = S.One
    nodes: list[Formula] = []
    for factor in factors:
        if isinstance(factor, Product):
            coefficient *= factor.args[0]
            nodes.extend(factor.factors)
        elif isinstance(factor, MatrixExpr):
            nodes.append(formula(factor, "*".join(f"({f})" for f in factors)))
        else:
            coefficient *= scalar(factor)
    for left, right in pairwise(nodes):
        if left.shape[1] != right.shape[0] or not _same_split(left.parts[1], right.parts[0]):
            found = f"{shape_text(left)}, {shape_text(right)}"
            asked = f"({left})*({right})"
            raise ShapeError(asked, found, "inner dimensions must agree; transpose one?")
    if not nodes:
        raise NotSupportedError("product", "no matrix among the factors", "multiply by eye(n)")
    agree(nodes, "*".join(f"({n})" for n in nodes))
    rows, cols = nodes[0].shape[0], nodes[-1].shape[1]
    if coefficient == 0 or any(isinstance(n, Zero) for n in nodes):
        return Zero(rows, cols)
    return _product(coefficient, _cancel(nodes), rows)


def _cancel(nodes: list[Formula]) -> list[Formula]:
    """Drop identities and neighbours that are inverse to each other."""
    kept: list[Formula] = []
    for node in nodes:
        if isinstance(node, Eye):
            continue
        if kept and (kept[-1] == _inverted(node) or node == _inverted(kept[-1])):
            kept.pop()
            continue
        kept.append(node)
    return kept


def _inverted(node: Formula) -> Formula | None:
    """Return what an inverse inverts, None for other nodes."""
    return node.args[0] if isinstance(node, Inverse) else None


def _product(coefficient: Expr, nodes: list[Formula], rows: Expr) -> Formula:
    if not nodes:
        nodes = [Eye(rows)]
    if coefficient == 1 and len(nodes) == 1:
        return nodes[0]
    return cast(Formula, Basic.__new__(Product, coefficient, *nodes))


def power(base: Formula, exponent: object) -> Formula:
    """Return an integer power of a square formula.

    Raises:
        NotSupportedError: if the exponent is not an integer of modest size.
        ShapeError: if the base is not square.
    """
    asked = f"({base})**{exponent}"
    e = scalar(exponent)
    if not isinstance(e, Integer) or abs(int(e)) > MAX_POWER:
        found = "not an integer power, so not a rational expression" if not e.is_Integer else "huge"
        raise NotSupportedError(asked, found, f"use integers up to {MAX_POWER}")
    if base.shape[0] != base.shape[1]:
        raise ShapeError(asked, shape_text(base), "powers need a square matrix")
    if e == 0:
        return Eye(base.shape[0])
    unrolled = multiply(*([base] * abs(int(e))))
    return unrolled if e > 0 else inverse(unrolled)


def inverse(node: Formula) -> Formula:
    """Return the inverse of a formula.

    Raises:
        ShapeError: if it is not square.
        DeriveError: if it is singular whatever its letters are.
    """
    if node.shape[0] != node.shape[1]:
        raise ShapeError(f"inverse of {node}", shape_text(node), "only square matrices invert")
    coefficient, body = split(node)
    if isinstance(body, Zero):
        raise DeriveError(f"inverse of {node}", "it is zero", "add a ridge, or remove it")
    if isinstance(body, Inverse):
        result = body.args[0]
    elif isinstance(body, Eye):
        result = body
    elif isinstance(body, Product) and all(isinstance(f, Inverse) for f in body.factors):
        result = multiply(*(f.args[0] for f in reversed(body.factors)))
    else:
        result = cast(Formula, Basic.__new__(Inverse, body))
    return multiply(1 / coefficient, result)
