"""The probabilists' Hermite polynomials, exact."""

from functools import lru_cache

from sympy import Add, Expr, Integer, expand


@lru_cache(maxsize=1024)
def hermite_polynomial(k: int, x: Expr) -> Expr:
    """Return He_k(x), expanded; k >= 0.

    Example:
        >>> from derive.symbols import z
        >>> hermite_polynomial(4, z)
        z**4 - 6*z**2 + 3
    """
    terms = [Integer(c) * x**n for n, c in enumerate(hermite_integers(k)) if c]
    return expand(Add(*terms)) if x.is_Add or x.is_Mul else Add(*terms)


def hermite_integers(k: int) -> tuple[int, ...]:
    """Return the coefficients of He_k, lowest degree first.

    Example:
        >>> hermite_integers(3)
        (0, -3, 0, 1)
    """
    previous: list[int] = []
    current = [1]
    for n in range(k):
        following = [0, *current]
        for i, c in enumerate(previous):
            following[i] -= n * c
        previous, current = current, following
    return tuple(current)
