"""The probabilists' Hermite polynomials, exact."""

from functools import lru_cache

from sympy import Expr, Integer, expand


@lru_cache(maxsize=1024)
def hermite_polynomial(k: int, x: Expr) -> Expr:
    """Return He_k(x), expanded; k >= 0.

    Example:
        >>> from derive.symbols import z
        >>> hermite_polynomial(4, z)
        z**4 - 6*z**2 + 3
    """
    previous, current = Integer(0), Integer(1)
    for n in range(k):
        previous, current = current, expand(x * current - n * previous)
    return current
