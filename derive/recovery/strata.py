r"""Strata: which ranks occur in one family, and which in the representations of one function.

Stage: declared families in, tables out. ``rank_table`` lists the optimistic sample size of every
intrinsic size. ``fibre_strata`` lists the kinds of parameters that represent one function of k
neurons in a two-layer tanh network without biases, with the rank of the tangent functions at each:

================================  ================================================================
surplus neurons                   what they add to k (d + 1)
================================  ================================================================
a = 0, w = 0, or a split copy     0
a = 0, w of a new direction       1 each: s(w.x)
a not 0, w = 0                    d once in all: the linear functions
(a, w) and (-a, w), w new         d + 1 for each pair: s(w.x) and x s'(w.x)
================================  ================================================================

Source: sheet rules R5 and R7 (derived here); every row is certified by ``Stratum.point``.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sympy import Integer

from derive.errors import NotSupportedError, RangeError
from derive.recovery.family import Point, draw
from derive.recovery.linear import MatrixFactorization
from derive.recovery.networks import TwoLayer
from derive.recovery.sizes import SampleSize, optimistic_sample_size


@dataclass(frozen=True)
class Stratum:
    """Parameters of one kind in the fibre of a function.

    Attributes:
        rank: rank of the tangent functions there.
        null: surplus neurons without weights, or copies.
        silent: neurons with a = 0 and a weight of a new direction.
        flat: neurons with w = 0 and a not zero.
        pairs: pairs of neurons that cancel, each on a new direction.
    """

    rank: int
    null: int
    silent: int
    flat: int
    pairs: int

    def point(self, network: TwoLayer, k: int, seed: int = 0) -> Point:
        """Return such parameters for a random function of k neurons."""
        rng = random.Random(seed)
        point = network.target(k, seed)
        kinds = ["null"] * self.null + ["silent"] * self.silent + ["flat"] * self.flat
        kinds += ["first", "second"] * self.pairs
        pair: list[Any] = []
        for i, kind in enumerate(kinds, k + 1):
            a, w, _ = network.neuron(i)
            weights = [draw(rng) for _ in w]
            if kind == "flat":
                point[a] = draw(rng)
            if kind == "first":
                pair = [draw(rng), weights]
            if kind == "second":
                weights = pair[1]
            if kind in {"first", "second"}:
                point[a] = pair[0] if kind == "first" else -pair[0]
            if kind in {"silent", "first", "second"}:
                point |= dict(zip(w, weights, strict=True))
        return point


def fibre_strata(network: TwoLayer, k: int) -> tuple[Stratum, ...]:
    """Return the strata of the representations of one function of k neurons, by rank.

    Raises:
        NotSupportedError: for anything but two layers of tanh (or another odd activation with
            independent values) without biases.
        RangeError: if k neurons do not fit.

    Example:
        >>> strata = fibre_strata(TwoLayer(3, 6), 2)
        >>> sorted({s.rank for s in strata})
        [8, 9, 10, 11, 12, 13, 14, 15, 16]
    """
    if network.activation not in {"tanh", "erf"} or network.bias or network.output_bias:
        raise NotSupportedError(
            "the strata of one fibre",
            "listed for odd analytic activations without biases only",
            "certify single points with model_rank",
        )
    if not 0 <= k <= network.width:
        raise RangeError(f"a function of {k} neurons", f"width {network.width}", "use fewer")
    found = {}
    for null, silent, flat, pairs in _splits(network.width - k):
        rank = k * (network.d + 1) + silent + network.d * (flat > 0) + (network.d + 1) * pairs
        found[null, silent, flat, pairs] = Stratum(rank, null, silent, flat, pairs)
    return tuple(sorted(found.values(), key=lambda t: (t.rank, -t.null)))


def _splits(surplus: int) -> Iterator[tuple[int, int, int, int]]:
    for pairs in range(surplus // 2 + 1):
        for flat in range(surplus - 2 * pairs + 1):
            for silent in range(surplus - 2 * pairs - flat + 1):
                yield surplus - 2 * pairs - flat - silent, silent, flat, pairs


def factor_ranks(family: MatrixFactorization, r: int) -> dict[tuple[int, int], int]:
    """Return the rank of the tangent space by (rank A, rank B) over one matrix A B of rank r.

    All pairs with r <= rank A, rank B and rank A + rank B <= h + r occur (Sylvester).

    Example:
        >>> table = factor_ranks(MatrixFactorization(4, 4, 4), 1)
        >>> table[2, 2], table[3, 1]
        (12, 13)
    """
    tops = range(r, min(family.p, family.h) + 1)
    lows = range(r, min(family.q, family.h) + 1)
    pairs = [(a, b) for a in tops for b in lows if a + b <= family.h + r]
    return {pair: family.rank_at(*pair) for pair in pairs}


def factor_point(
    family: MatrixFactorization, r: int, ranks: tuple[int, int], seed: int = 0
) -> Point:
    """Return factors of given ranks whose product has rank r."""
    top, low = ranks
    if ranks not in factor_ranks(family, r):
        raise RangeError(f"factors of ranks {ranks}", f"not over a matrix of rank {r}", "see table")
    rng = random.Random(seed)
    (B, A) = (family.network.layer(1), family.network.layer(2))
    used_a = list(range(top))
    used_b = [*range(r), *range(top, top + low - r)]
    point = {s: Integer(0) for row in (*A, *B) for s in row}
    for row in A:
        point |= {row[i]: draw(rng) for i in used_a}
    for i in used_b:
        point |= {s: draw(rng) for s in B[i]}
    return point


def rank_table(family: Any, largest: int) -> dict[int, SampleSize]:
    """Return the optimistic sample size of every intrinsic size 0, 1, ..., ``largest``.

    Example:
        >>> [int(size) for size in rank_table(MatrixFactorization(4, 4, 4), 4).values()]
        [0, 7, 12, 15, 16]
    """
    return {k: optimistic_sample_size(family, k) for k in range(largest + 1)}
