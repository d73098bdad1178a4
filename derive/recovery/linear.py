"""Families without activation: matrix factorisation, deep linear networks, diagonal networks.

Stage: declarations, like ``networks``. A matrix is seen through probes: the family of A B is the
bilinear form u.(A B v) in inputs u and v, whose tangent functions depend on each other as the
tangent matrices do.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sympy import Add, Expr, Mul, Symbol

from derive.errors import RangeError, ShapeError
from derive.recovery.family import Family, Point, count, dot, draw, symbols, zeros


@dataclass(frozen=True)
class DeepLinear:
    """The matrix W_L ... W_1 with W_l of shape (widths[l], widths[l-1]).

    Attributes:
        widths: of the input, the hidden layers and the output; at least three numbers.

    Example:
        >>> DeepLinear((6, 4, 3)).parameters
        36
    """

    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.widths) < 3:
            raise ShapeError(f"widths {self.widths}", "too few", "give two layers or more")
        for l, width in enumerate(self.widths):
            count(width, f"widths[{l}]")

    @property
    def parameters(self) -> int:
        """Number of parameters M."""
        return sum(a * b for a, b in pairwise(self.widths))

    def layer(self, l: int) -> list[list[Symbol]]:
        """Return the matrix W_l, rows first, l = 1, 2, ..."""
        rows, columns = self.widths[l], self.widths[l - 1]
        return [symbols(f"w_{l}_{i}", columns) for i in range(1, rows + 1)]

    def family(self) -> Family:
        """Return u.(W_L ... W_1 v)."""
        v, u = symbols("v", self.widths[0]), symbols("u", self.widths[-1])
        values: list[Expr] = list(v)
        theta: list[Symbol] = []
        for l in range(1, len(self.widths)):
            matrix = self.layer(l)
            theta += [s for row in matrix for s in row]
            values = [dot(row, values) for row in matrix]
        return Family(dot(u, values), tuple(theta), (*v, *u))

    def target(self, r: int, seed: int = 0) -> Point:
        """Return a point for a random matrix of rank r.

        The surplus of the first and of the last layer is zero; layers between are block diagonal,
        so that moving both ends of the surplus at once moves the product at second order.
        """
        if not 0 <= r <= min(self.widths):
            raise RangeError(
                f"a target of rank {r}",
                f"the narrowest layer has {min(self.widths)}",
                f"use 0 to {min(self.widths)}",
            )
        rng = random.Random(seed)
        point = zeros(self.family().parameters)
        last = len(self.widths) - 1
        for l in range(1, last + 1):
            for i, row in enumerate(self.layer(l)):
                first = 0 if l == 1 else r if i >= r and l < last else 0
                end = self.widths[0] if l == 1 else len(row) if i >= r and l < last else r
                seen = l > 1 or i < r
                point |= {s: draw(rng) for s in row[first:end]} if seen else {}
        return point


@dataclass(frozen=True)
class MatrixFactorization:
    """The matrix A B with A of shape (p, h) and B of shape (h, q).

    Attributes:
        p: rows.
        q: columns.
        h: inner dimension.

    Example:
        >>> MatrixFactorization(4, 4, 4).rank_at(2, 2)
        12
    """

    p: int
    q: int
    h: int

    @property
    def network(self) -> DeepLinear:
        """The same as a linear network of two layers."""
        return DeepLinear((self.q, self.h, self.p))

    def __post_init__(self) -> None:
        for name in ("p", "q", "h"):
            count(getattr(self, name), name)

    @property
    def parameters(self) -> int:
        """Number of parameters M."""
        return self.h * (self.p + self.q)

    def family(self) -> Family:
        """Return u.(A B v)."""
        return self.network.family()

    def target(self, r: int, seed: int = 0) -> Point:
        """Return a point for a random matrix of rank r with factors of rank r."""
        return self.network.target(r, seed)

    def rank_at(self, rank_a: int, rank_b: int) -> int:
        """Return the rank of the tangent space at factors of these ranks, in closed form.

        The tangent matrices X B + A Y fill all but the annihilators of im A and the row space of B:
        p q - (p - rank A)(q - rank B).
        """
        for rank, most in ((rank_a, min(self.p, self.h)), (rank_b, min(self.q, self.h))):
            if not 0 <= rank <= most:
                raise RangeError(f"a factor of rank {rank}", "impossible", f"use 0 to {most}")
        return self.p * self.q - (self.p - rank_a) * (self.q - rank_b)


@dataclass(frozen=True)
class Diagonal:
    """f = sum_j (prod_l u_lj) x_j.

    Attributes:
        d: dimension.
        depth: number of factors L.
    """

    d: int
    depth: int = 2

    def __post_init__(self) -> None:
        count(self.d, "d")
        count(self.depth, "depth")

    @property
    def parameters(self) -> int:
        """Number of parameters M."""
        return self.d * self.depth

    def family(self) -> Family:
        """Return the family as an expression."""
        x, u = symbols("x", self.d), symbols("u", self.depth, self.d)
        terms = [Mul(x[j], *u[j :: self.d]) for j in range(self.d)]
        return Family(Add(*terms), tuple(u), tuple(x))

    def target(self, k: int | Sequence[int], seed: int = 0) -> Point:
        """Return a point with k entries that do not vanish, or those of the given numbers."""
        chosen = list(range(k)) if isinstance(k, int) else list(k)
        if any(not 0 <= j < self.d for j in chosen):
            raise RangeError(f"a target of {k} entries", f"d = {self.d}", f"use 0 to {self.d}")
        rng = random.Random(seed)
        u = symbols("u", self.depth, self.d)
        point = {s: draw(rng) for s in u}
        for j in set(range(self.d)) - set(chosen):
            point |= zeros(u[j :: self.d][:2])  # two factors: moving one of them moves nothing
        return point
