r"""Families with kinks: exact tangent matrices at rational inputs, region by region.

Stage: beside ``modular``, for ReLU and its like. Where a family is a polynomial on each of finitely
many regions, its tangent functions are evaluated exactly at rational inputs, with every branch
decided exactly, and reduced modulo a prime. The rank of that matrix is a certified lower bound of
the rank of the tangent functions, but no theorem says that almost every sample attains it: a
sample that misses a region misses its rank. So many wide inputs are used.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from flint import fmpq, nmod_mat

from derive.errors import NotSupportedError
from derive.tangent_rank.tape import Tape, columns, forward

PRIME = 2147483497
_SCALES = (1, 3, 10, 30)


class ExactRing:
    """Evaluates a piecewise polynomial tape at one rational point."""

    def __init__(self, values: Sequence[Any], inputs: Sequence[Any]) -> None:
        self._values, self._inputs = values, inputs

    def constant(self, number: Any) -> Any:
        """Return a rational number.

        Raises:
            NotSupportedError: for any other number.
        """
        if not number.is_Rational:
            raise NotSupportedError(
                f"regions of a family with the number {number}",
                "branches are decided exactly at rational numbers only",
                "replace it by a rational number",
            )
        return fmpq(int(number.p), int(number.q))

    def parameter(self, index: int) -> Any:
        """Return the value of a parameter."""
        return self._values[index]

    def input(self, index: int) -> Any:
        """Return an input."""
        return self._inputs[index]

    def add(self, values: Sequence[Any]) -> Any:
        """Return a sum."""
        return sum(values[1:], values[0])

    def multiply(self, a: Any, b: Any) -> Any:
        """Return a product."""
        return a * b

    def power(self, a: Any, n: int) -> Any:
        """Return an integer power."""
        return a**n

    def select(self, test: Any, yes: Any, no: Any) -> Any:
        """Return a branch."""
        return yes if test > 0 else no

    def function(self, index: int, name: str, argument: Any) -> Any:
        """Refuse: only polynomials are exact.

        Raises:
            NotSupportedError: always.
        """
        raise NotSupportedError(
            f"regions of a family with {name}",
            "only families that are polynomial on each region are evaluated exactly",
            "use a piecewise polynomial activation",
        )


def region_ranks(
    tape: Tape, values: Sequence[Any], points: int, rng: random.Random
) -> tuple[int, Counter[int]]:
    """Return the rank over a sample, and how many of its regions have which rank by themselves."""
    tests = [n.args[0] for n in tape.nodes if n.op == "select"]
    rows: list[list[int]] = []
    regions: dict[tuple[bool, ...], list[list[int]]] = {}
    for k in range(points):
        scale = _SCALES[k % len(_SCALES)]
        inputs = [fmpq(rng.randint(-(10**4), 10**4) * scale, 10**4) for _ in tape.inputs]
        ring = ExactRing(values, inputs)
        found = forward(tape, ring)
        row = [_residue(g) for g in columns(tape, ring, found)]
        rows.append(row)
        regions.setdefault(tuple(found[t] > 0 for t in tests), []).append(row)
    return _rank(rows), Counter(_rank(part) for part in regions.values())


def _residue(value: Any) -> int:
    if value is None:
        return 0
    return int(value.p) * pow(int(value.q), -1, PRIME) % PRIME


def _rank(rows: Sequence[Sequence[int]]) -> int:
    if not rows[0]:
        return 0
    table = nmod_mat(len(rows), len(rows[0]), [x for row in rows for x in row], PRIME)
    return int(table.rank())
