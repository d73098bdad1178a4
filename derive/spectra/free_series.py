r"""Moments, free cumulants and the S-transform as truncated power series.

Stage: exact moment sequences in and out; what compositions of laws do to moments. With
M(s) = 1 + m_1 s + m_2 s^2 + ..., the free cumulants k_n and the S-transform are defined by

.. math:: C(s M(s)) = M(s), \quad C(w) = 1 + \sum k_n w^n, \qquad
          \psi(s) = M(s) - 1, \quad S(t) = \psi^{-1}(t)\,(1 + t)/t.
"""

from collections.abc import Sequence

from sympy import Expr, Integer, sympify

from derive.errors import RangeError
from derive.spectra.laurent import product_terms, reciprocal_terms, reverted_terms


def cumulants_from_moments(moments: Sequence[Expr]) -> list[Expr]:
    """Return the free cumulants k_1, ..., k_n of the moments m_1, ..., m_n.

    Example:
        >>> cumulants_from_moments([Integer(0), Integer(1), Integer(0), Integer(2)])
        [0, 1, 0, 0]
    """
    inverse = reverted_terms([Integer(1), *_exact(moments)], Integer)  # w / C(w)
    return reciprocal_terms(inverse)[1:]


def moments_from_cumulants(cumulants: Sequence[Expr]) -> list[Expr]:
    """Return the moments m_1, ..., m_n of the free cumulants k_1, ..., k_n.

    Example:
        >>> moments_from_cumulants([Integer(1)] * 5)
        [1, 2, 5, 14, 42]
    """
    inverse = reciprocal_terms([Integer(1), *_exact(cumulants)])
    return reverted_terms(inverse, Integer)[1:]


def s_series_from_moments(moments: Sequence[Expr]) -> list[Expr]:
    """Return the first coefficients of S(t), as many as moments are given.

    Raises:
        RangeError: if the mean is zero (S has no power series then).

    Example:
        >>> s_series_from_moments([Integer(1), Integer(2), Integer(5)])
        [1, -1, 1]
    """
    exact = _exact(moments)
    if exact[0] == 0:
        raise RangeError("S-transform", "the law has mean zero", "use free cumulants")
    chi = reverted_terms(exact, Integer)
    one_plus_t = [Integer(1), Integer(1), *[Integer(0)] * len(chi)]
    return product_terms(chi, one_plus_t, len(chi))


def moments_from_s_series(series: Sequence[Expr]) -> list[Expr]:
    """Return the moments whose S-transform starts with these coefficients."""
    exact = _exact(series)
    alternating = [Integer((-1) ** k) for k in range(len(exact))]
    return reverted_terms(product_terms(exact, alternating, len(exact)), Integer)


def _exact(values: Sequence[Expr]) -> list[Expr]:
    return [sympify(v, strict=True) for v in values]
