r"""Ranks of families with kinks, such as ReLU networks: sampled, exact at every sample.

Stage: beside ``derive.model_rank``, for families that are polynomial on each of finitely many
regions. The theorem that almost every sample attains the rank needs an analytic family, so here the
largest rank over many draws is reported, with the histogram of all of them.
"""

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from flint import fmpq
from sympy import Expr

from derive.errors import NotSupportedError, RangeError
from derive.tangent_rank.family import Names, Place, family_at
from derive.tangent_rank.regions import region_ranks


@dataclass(frozen=True)
class PiecewiseRank:
    """Ranks of a family with kinks over draws of its generic parameters.

    Attributes:
        rank: the largest; a certified lower bound of the rank of the tangent functions there.
        histogram: how many draws had which rank.
        regions: of the draw with the largest rank, how many regions have which rank alone.
        parameters: number of parameters.
        points: inputs in each draw.
        note: what is not known.
    """

    rank: int
    histogram: dict[int, int]
    regions: dict[int, int]
    parameters: int
    points: int
    note: str = (
        "not covered by the genericity theorem of analytic families: another sample of regions "
        "could have a larger rank"
    )

    def __repr__(self) -> str:
        return (
            f"PiecewiseRank({self.rank} of {self.parameters}, the largest of "
            f"{sum(self.histogram.values())} draws; histogram {self.histogram})"
        )


def piecewise_rank(
    expr: Expr | str,
    parameters: Names,
    inputs: Names,
    point: Place | None = None,
    *,
    draws: int = 20,
    points: int = 0,
    seed: int = 0,
) -> PiecewiseRank:
    """Return ranks of a family that is polynomial on each of finitely many regions.

    Args:
        expr: the family, as in ``model_rank``.
        parameters: as in ``model_rank``.
        inputs: as in ``model_rank``.
        point: rational values by parameter; parameters without a value are generic.
        draws: random values of the generic parameters.
        points: inputs in each draw; ten times the number of parameters by default.
        seed: of draws and inputs.

    Raises:
        NotSupportedError: if a piece is not a polynomial or a number is not rational.

    Example:
        >>> piecewise_rank("a*Max(w*x + b, 0)", "a,w,b", "x", draws=5).rank
        2
    """
    family = family_at(expr, parameters, inputs, point)
    if draws < 1 or points < 0:
        raise RangeError(f"draws = {draws}, points = {points}", "too few", "draw at least once")
    count = len(family.tape.parameters)
    size = points or 10 * count + 40
    rng = random.Random(seed)
    found: list[tuple[int, Counter[int]]] = []
    for _ in range(draws if family.symbols else 1):
        special: list[Any] = list(family.special(rng, 3000, 1000))
        if not all(v.is_Rational for v in special):
            raise NotSupportedError(
                "regions at an irrational point",
                "branches are decided exactly at rational points",
                "give rational values",
            )
        values = [fmpq(int(v.p), int(v.q)) for v in special]
        found.append(region_ranks(family.tape, values, size, rng))
    rank, regions = max(found, key=lambda item: item[0])
    return PiecewiseRank(
        rank=rank,
        histogram=dict(sorted(Counter(r for r, _ in found).items())),
        regions=dict(sorted(regions.items())),
        parameters=count,
        points=size,
    )
