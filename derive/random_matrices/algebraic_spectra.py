r"""Marchenko-Pastur covariances as products of letters: exact equations, no quadrature.

Stage: expressions in, expressions out. A deterministic matrix that commutes with no other one acts
through its spectrum alone, and scale * Z Z^T with independent normal entries has that spectrum in
the limit; the equations of the longer expression are algebraic.
"""

from sympy import Expr

from derive.random_matrices.finite_rank import Vector
from derive.random_matrices.matrix_letters import Covariance, Gaussian
from derive.random_matrices.spectral_measure import MarchenkoPastur


def with_letters(expr: Expr) -> Expr:
    """Return an expression with every Marchenko-Pastur covariance written in normal letters.

    Args:
        expr: a formula, or scalars made of normalised traces.

    Example:
        >>> from derive.matrices import covariance, dims, eye, ntrace
        >>> from derive.random_matrices.spectral_measure import marchenko_pastur
        >>> d, = dims("d")
        >>> with_letters(ntrace((covariance("C", d, marchenko_pastur(2)) + eye(d)).inv()))
        ntrace((C_Z*C_Z.T + eye(d))**-1)
    """
    found = [c for c in expr.atoms(Covariance) if isinstance(c.measure, MarchenkoPastur)]
    held = {c for v in expr.atoms(Vector) for c in v.atoms(Covariance)}
    new = {c: _letters(c) for c in found if c not in held}
    return expr.xreplace(new)


def _letters(c: Covariance) -> Expr:
    from derive.matrices import gaussian  # noqa: PLC0415  (the language is built on letters)

    ratio, scale = c.measure.args
    letter: Gaussian = gaussian(f"{c.name}_Z", c.shape[0], c.shape[0] / ratio, ratio / c.shape[0])
    return scale * letter * letter.T
