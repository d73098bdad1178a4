r"""Vectors and matrices of rank one: directions of finite number in spaces that grow.

Stage: beside ``derive.matrices``. A vector is known by its moment M, the matrix that stands for
u u^T under averages: u^T f u = ntrace(M f) for every f that does not depend on u. A spike u v^T
changes no normalised trace, but may push eigenvalues out of the bulk (``derive.spikes``).

Two different vectors are independent directions: their mixed forms vanish in the limit.
"""

from keyword import iskeyword
from typing import Any, cast

from sympy import Basic, Expr
from sympy.core.symbol import Str

from derive.errors import (
    DeriveError,
    NotSupportedError,
    ParseError,
    RangeError,
    ShapeError,
)
from derive.random_matrices.matrix_letters import Letter
from derive.random_matrices.matrix_nodes import Eye, Formula, formula, multiply
from derive.random_matrices.scalars import dimension, scalar


class Vector(Basic):
    """A deterministic direction; args: name, dimension, moment M with u u^T averaged to M/N."""

    def __new__(cls, *args: Basic) -> Any:
        """Build the vector; users call ``vector``."""
        return Basic.__new__(cls, *args)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.args[0])

    @property
    def dim(self) -> Expr:
        """Its length."""
        return cast(Expr, self.args[1])

    @property
    def moment(self) -> Formula:
        """Formula whose normalised trace against f is u^T f u."""
        return cast(Formula, self.args[2])


class Spike(Letter):
    """The matrix u v^T; args: name, u, v."""

    @property
    def left(self) -> Vector:
        """The vector u."""
        return cast(Vector, self.args[1])

    @property
    def right(self) -> Vector:
        """The vector v."""
        return cast(Vector, self.args[2])

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.left.dim, self.right.dim

    def declaration(self) -> str:
        """Return the declaration as text."""
        u, v = self.left, self.right
        return f"outer of vectors with moments {u.moment} and {v.moment}"

    def _flip(self, adjoint: bool) -> Formula:
        return outer(self.right, self.left)

    def _text(self, show: Any, style: str = "") -> str:
        u, v = self.left.name, self.right.name
        return rf"{u} {v}^{{\top}}" if style else f"outer({u}, {v})"


def vector(name: str, dim: object, square: object = 1, moment: object = None) -> Vector:
    """Declare a vector u.

    Args:
        name: identifier.
        dim: its dimension.
        square: |u|^2, for a vector in generic position.
        moment: a covariance M commuting with the others, when u is aligned with them:
            u^T f u = ntrace(M f), so |u|^2 = ntrace(M).

    Raises:
        ShapeError: if the moment is not a square matrix of this dimension.
        RangeError: if the squared length is not positive.
    """
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
        raise ParseError(f"vector {name!r}", "not a Python identifier", "choose another name")
    size = dimension(dim, f"vector {name}")
    if moment is None and scalar(square).is_nonpositive:
        raise RangeError(f"vector {name}", f"squared length {square}", "give a positive square")
    body = multiply(square, Eye(size)) if moment is None else formula(moment, f"vector {name}")
    if body.shape != (size, size):
        raise ShapeError(f"vector {name}", f"moment of shape {body.shape}", "give a square moment")
    return Vector(Str(name), size, body)


def outer(u: Vector, v: Vector | None = None) -> Spike:
    """Return the matrix u v^T of rank one (u u^T if v is left out).

    Raises:
        NotSupportedError: for what is not a vector.
        DeriveError: if two different vectors carry one name.

    Example:
        >>> from derive.matrices import dims
        >>> n, d = dims("n d")
        >>> spike = outer(vector("u", d), vector("v", n))
        >>> spike, spike.T, spike.shape
        (outer(u, v), outer(v, u), (d, n))
    """
    other = u if v is None else v
    for x in (u, other):
        if not isinstance(x, Vector):
            raise NotSupportedError(f"outer({u}, {other})", f"{x} is no vector", "use vector(...)")
    if u.name == other.name and u != other:
        found = f"two vectors are called {u.name}: {u.moment} and {other.moment}"
        raise DeriveError(f"outer({u.name}, {other.name})", found, "give them two names")
    return Spike(Str(f"outer({u.name}, {other.name})"), u, other)


def spikes_of(node: Formula) -> tuple[Spike, ...]:
    """Return all matrices of rank one inside an expression, sorted by name.

    Raises:
        DeriveError: if two different vectors carry one name.
    """
    found = sorted((x for x in node.letters if isinstance(x, Spike)), key=lambda s: s.name)
    vectors = {v for s in found for v in (s.left, s.right)}
    names = [v.name for v in vectors]
    for name in names:
        if names.count(name) > 1:
            said = f"two different vectors are called {name}"
            raise DeriveError(f"spikes of {node}", said, "give them two names")
    return tuple(found)
