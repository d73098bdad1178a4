r"""The language of random matrices: dimensions, letters, identity, normalised traces.

Stage: what the user declares; pencils and experiments read it. Everything is a rational expression:
scalars, letters, ``+ - * /``, ``**`` with integer exponents, ``.T``, ``.H``, ``.inv()``, and blocks
(``derive.random_matrices.matrix_blocks``). All random letters are independent; deterministic ones
of one ``commuting`` group share eigenvectors, others are in generic position (asymptotically free).
"""

from keyword import iskeyword
from typing import Any, cast

from sympy import Basic, Expr, Integer, Mul, S
from sympy.core.symbol import Str

from derive.errors import NotSupportedError, ParseError, RangeError, ShapeError
from derive.random_matrices.finite_rank import Vector, outer, spikes_of, vector
from derive.random_matrices.matrix_letters import Covariance, Gaussian, Wigner
from derive.random_matrices.matrix_nodes import (
    Eye,
    Formula,
    Zero,
    formula,
    shape_text,
    split,
)
from derive.random_matrices.scalars import dimension, scalar
from derive.random_matrices.spectral_measure import SpectralMeasure
from derive.symbols import Quantity

__all__ = [
    "NormalisedTrace",
    "Vector",
    "commuting",
    "covariance",
    "dims",
    "eye",
    "gaussian",
    "ntrace",
    "outer",
    "quadratic",
    "vector",
    "wigner",
]


def dims(names: str) -> tuple[Quantity, ...]:
    """Declare dimensions; only their ratios matter where all terms are of one order in the size.

    Example:
        >>> n, p = dims("n p")
        >>> n.meaning, n.range_text()
        ('dimension', 'n > 0')
    """
    split = names.replace(",", " ").split()
    return tuple(Quantity(name, "dimension", low=0, open_low=True) for name in split)


def eye(dim: object) -> Formula:
    """Return the identity of a dimension, or of a sum of dimensions."""
    return Eye(dimension(dim, "identity"))


class NormalisedTrace(Expr):
    """Limit of (1/N) Tr of an N x N formula; a real scalar in expressions."""

    is_commutative = True
    is_extended_real = True

    def __new__(cls, arg: object) -> Any:
        """Check that the argument is square; traces of 0 and 1 are evaluated."""
        return ntrace(arg)

    @property
    def formula(self) -> Formula:
        """What the trace is taken of."""
        return cast(Formula, self.args[0])

    def _eval_derivative(self, symbol: Any) -> Expr:
        from derive.random_matrices.matrix_calculus import derivative  # noqa: PLC0415  (calculus builds on traces)

        return ntrace(derivative(self.formula, symbol))

    def _sympystr(self, printer: Any) -> str:
        return f"ntrace({printer._print(self.args[0])})"

    def _latex(self, printer: Any) -> str:
        return rf"\left\langle {printer._print(self.args[0])} \right\rangle"


def ntrace(expr: object) -> Expr:
    """Return the normalised trace of a square formula, as a scalar to compute with.

    Raises:
        ShapeError: if it is not square; NotSupportedError: if it is not a formula.

    Example:
        >>> n, = dims("n")
        >>> ntrace(2 * eye(n))
        2
    """
    node = formula(expr, f"ntrace({expr})")
    if node.shape[0] != node.shape[1]:
        raise ShapeError(f"ntrace({node})", shape_text(node), "only square matrices have traces")
    coefficient, body = split(node)
    if isinstance(body, Zero):
        return S.Zero
    if isinstance(body, Eye):
        return coefficient
    return Mul(coefficient, cast(Expr, Basic.__new__(NormalisedTrace, body)))


def _name(name: object) -> Str:
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
        raise ParseError(f"letter {name!r}", "not a Python identifier", "choose another name")
    return Str(name)


def _variance(name: str, variance: object) -> Expr:
    value = scalar(variance)
    if value.is_nonpositive:
        raise RangeError(f"letter {name}", f"variance {value}", "give a positive variance")
    return value


def gaussian(
    name: str, rows: object, cols: object, variance: object, *, complex: bool = False
) -> Gaussian:
    """Declare a matrix of independent centred normal entries.

    Args:
        name: identifier of the letter.
        rows: number of rows, a dimension.
        cols: number of columns, a dimension.
        variance: of one entry (mean squared modulus if complex), such as 1/d.
        complex: whether entries are complex; then write ``.H``, never ``.T``.

    Example:
        >>> n, d = dims("n d")
        >>> (gaussian("X", d, n, 1/n) * gaussian("X", d, n, 1/n).T).shape
        (d, d)
    """
    letter, checked = _name(name), _variance(name, variance)
    sizes = (dimension(k, f"letter {name}") for k in (rows, cols))
    return Gaussian(letter, *sizes, checked, Integer(complex))


def wigner(name: str, dim: object, variance: object, *, complex: bool = False) -> Wigner:
    """Declare a symmetric normal matrix; ``variance`` is that of an off-diagonal entry."""
    size = dimension(dim, f"letter {name}")
    return Wigner(_name(name), size, _variance(name, variance), Integer(complex))


def covariance(name: str, dim: object, spectrum: SpectralMeasure) -> Covariance:
    """Declare a deterministic symmetric matrix by its spectral measure.

    Matrices of one dimension that are declared apart are in generic position: free.

    Raises:
        ShapeError: if the measure has several coordinates (use ``commuting``).
    """
    if not isinstance(spectrum, SpectralMeasure):
        remedy = "give atoms(...), power_law(...), empirical(...) or marchenko_pastur(...)"
        raise ParseError(f"covariance {name}", f"spectrum {spectrum!r}", remedy)
    if spectrum.coordinates != 1:
        found = f"a joint measure of {spectrum.coordinates} matrices"
        raise ShapeError(f"covariance {name}", found, "declare them together with commuting(...)")
    size = dimension(dim, f"covariance {name}")
    return Covariance(_name(name), size, spectrum, Integer(0), Str(name))


def commuting(names: str, dim: object, joint: SpectralMeasure) -> tuple[Covariance, ...]:
    """Declare deterministic matrices that share eigenvectors, by their joint measure.

    Args:
        names: one name per coordinate of the measure, separated by spaces.
        dim: their dimension.
        joint: joint spectral measure.

    Example:
        >>> from derive.random_matrices.spectral_measure import atoms
        >>> d, = dims("d")
        >>> commuting("Sigma Theta", d, atoms([(1, 2), (4, 1)]))
        (Sigma, Theta)
    """
    split = names.replace(",", " ").split()
    if len(split) != joint.coordinates:
        found = f"{len(split)} names for {joint.coordinates} coordinates"
        raise ShapeError(f"commuting {names}", found, "give one name per coordinate")
    group = Str(" ".join(split))
    size = dimension(dim, f"commuting {names}")
    return tuple(
        Covariance(_name(name), size, joint, Integer(i), group) for i, name in enumerate(split)
    )


def quadratic(u: Vector, expr: object, v: Vector | None = None) -> Expr:
    """Return the limit of u^T f v as a scalar of normalised traces.

    Two different vectors are taken orthogonal in law (independent directions): the limit is 0.

    Raises:
        NotSupportedError: if f holds a spike of u or v, on which the limit rests.

    Example:
        >>> d, = dims("d")
        >>> quadratic(vector("u", d, square=3), eye(d))
        3
    """
    for x in (u,) if v is None else (u, v):
        if not isinstance(x, Vector):
            raise NotSupportedError(f"quadratic form of {x}", "no vector", "use vector(...)")
    body = formula(expr, f"{u.name}.T*({expr})")
    other = u if v is None else v
    if body.shape != (u.dim, other.dim):
        found = f"{body} is {body.shape[0]} x {body.shape[1]}, {u.name} has length {u.dim}"
        raise ShapeError(f"quadratic form of {u.name}", found, "the matrix must fit the vector")
    for spike in spikes_of(body):
        if {spike.left.name, spike.right.name} & {u.name, other.name}:
            raise NotSupportedError(
                f"quadratic form of {u.name} in {body}",
                f"it holds the spike {spike} of the same vector",
                "use derive.spikes.outliers(matrix, z).forms",
            )
    return S.Zero if other != u else ntrace(u.moment * body)
