"""The activations of ``kernel_list`` once more, as the pieces that the witness integrates.

Each entry takes the numbers of the parameters as fractions; nothing is read off the expressions.
"""

from fractions import Fraction
from math import comb, factorial

from flint import arb

from tests.pair_witness import Piece

HALF = Fraction(1, 2)


def root_half():
    """Return 1/sqrt(2) at the working precision."""
    return arb(0.5).sqrt()


def power(n):
    return (*(0,) * n, 1)


def hermite(n):
    """Return the coefficients of He_n from its explicit sum."""
    row = [Fraction(0)] * (n + 1)
    for j in range(n // 2 + 1):
        row[n - 2 * j] = Fraction(
            (-1) ** j * factorial(n), 2**j * factorial(j) * factorial(n - 2 * j)
        )
    return tuple(row)


def waves(frequency, kind, beta=0):
    """Return sin or cos of frequency times z, times exp(beta z^2)."""
    if kind == "cos":
        return [Piece((HALF,), alpha=(0, s * frequency), beta=beta) for s in (1, -1)]
    return [Piece(((0, -s * HALF),), alpha=(0, s * frequency), beta=beta) for s in (1, -1)]


def mixture():
    """Return sin(z) cos(2 z) = (sin(3 z) - sin(z))/2."""
    high, low = waves(3, "sin"), waves(1, "sin")
    return [Piece(p.poly, alpha=p.alpha, size=HALF) for p in high] + [
        Piece(p.poly, alpha=p.alpha, size=-HALF) for p in low
    ]


def relu_power(n, start=0):
    """Return the pieces of max(z - start, 0)^n."""
    row = [comb(n, j) * Fraction(-start) ** (n - j) for j in range(n + 1)]
    return [Piece(tuple(row), low=start)]


def pieces_of(k, c, alpha, m, n):
    """Return the pieces of every activation by name."""
    return {
        **{f"monomial {d}": [Piece(power(d))] for d in range(1, 13)},
        **{f"Hermite polynomial {d}": [Piece(hermite(d))] for d in range(1, 13)},
        "polynomial": [Piece((c, n, m, k))],
        "exp": [Piece(alpha=k)],
        "sin": waves(k, "sin"),
        "cos": waves(k, "cos"),
        "mixture": mixture(),
        "gaussian": [Piece(beta=-HALF)],
        "gabor": waves(k, "cos", -HALF),
        "erf": [Piece(bell=(alpha, k))],
        "probit": [Piece((HALF,)), Piece((HALF,), bell=(root_half, 0))],
        "gelu": [Piece((0, HALF)), Piece((0, HALF), bell=(root_half, 0))],
        "sign": [Piece(low=0), Piece((-1,), high=0)],
        "step": [Piece(low=0)],
        "shifted step": [Piece(low=k)],
        "abs": [Piece((0, 1), low=0), Piece((0, -1), high=0)],
        "relu": relu_power(1),
        "leaky relu": [*relu_power(1), Piece((0, Fraction(1, 10)), high=0)],
        "abrelu": [Piece((0, c), low=0), Piece((0, m), high=0)],
        **{f"relu to the power {d}": relu_power(d) for d in range(2, 7)},
        "biased relu": relu_power(1, k),
        "clip": [Piece((-c,), high=-c), Piece((0, 1), -c, c), Piece((c,), low=c)],
        "hard sigmoid": [Piece((HALF, Fraction(1, 6)), -3, 3), Piece(low=3)],
        "elu": [*relu_power(1), Piece(high=0, alpha=1), Piece((-1,), high=0)],
        "celu": [
            *relu_power(1),
            Piece((alpha,), high=0, alpha=1 / Fraction(alpha)),
            Piece((-alpha,), high=0),
        ],
        "softshrink": [Piece((-c, 1), low=c), Piece((c, 1), high=-c)],
        "hard shrink": [Piece((0, 1), low=c), Piece((0, 1), high=-c)],
        "triangle": [Piece((1, 1), -1, 0), Piece((1, -1), 0, 1)],
        "z^3 erf": [Piece((0, 0, 0, 1), bell=(alpha, k))],
    }
