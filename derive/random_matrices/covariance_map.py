r"""The covariance map of a pencil, and which block traces of its inverse can be nonzero.

Stage: from pencils to Dyson equations. For independent normal letters,
E[X G X^T] = var cols tr(G) on the blocks where X and X^T stand, which is all that survives in the
limit; X G X contributes at order 1/N only.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from sympy import Expr

from derive.errors import NotSupportedError
from derive.pencil import Entry, Pencil
from derive.random_matrices.matrix_letters import Gaussian, Wigner

Index = tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """One term of the covariance map: coefficient * g[block] joins eta at (row, col)."""

    row: int
    col: int
    coefficient: Expr
    block: Index


def covariance_pairs(pencil: Pencil) -> tuple[Pair, ...]:
    """Return all terms of the covariance map.

    Raises:
        NotSupportedError: if a random letter has a dimension that does not grow.
    """
    pairs: list[Pair] = []
    for letter in pencil.letters:
        entries = [e for e in pencil.entries if e.letter == letter]
        if isinstance(letter, (Gaussian, Wigner)) and 1 in letter.shape:
            raise NotSupportedError(
                f"random letter {letter}",
                f"its shape is {letter.shape[0]} x {letter.shape[1]}: a vector has no limit trace",
                "declare it with vector(...) and use quadratic(...)",
            )
        if isinstance(letter, Gaussian):
            pairs.extend(_gaussian(letter, entries))
        elif isinstance(letter, Wigner):
            pairs.extend(_wigner(letter, entries))
    return tuple(pairs)


def _gaussian(letter: Gaussian, entries: Iterable[Entry]) -> Iterable[Pair]:
    rows, cols = letter.shape
    entries = list(entries)
    for x in (e for e in entries if not e.flipped):
        for y in (e for e in entries if e.flipped):
            c = x.coefficient * y.coefficient * letter.variance
            yield Pair(x.row, y.col, c * cols, (x.col, y.row))
            yield Pair(y.row, x.col, c * rows, (y.col, x.row))


def _wigner(letter: Wigner, entries: Iterable[Entry]) -> Iterable[Pair]:
    entries = list(entries)
    for x in entries:
        for y in entries:
            c = x.coefficient * y.coefficient * letter.variance * letter.shape[0]
            yield Pair(x.row, y.col, c, (x.col, y.row))


def nonzero_blocks(
    dims: tuple[Expr, ...], fixed: Iterable[Index], pairs: Iterable[Pair]
) -> frozenset[Index]:
    """Return the blocks of the inverse that can have a nonzero trace.

    Args:
        dims: dimension of each block row and column.
        fixed: entries of the pencil that are not random.
        pairs: the covariance map.

    The pattern is the closure under inversion and the covariance map, from the inverse of the fixed
    part upwards; where that part has no inverse, from all blocks downwards.
    """
    fixed, pairs = frozenset(fixed), tuple(pairs)
    size = len(dims)
    start = _inverse_pattern(size, fixed)
    full = frozenset((j, k) for j in range(size) for k in range(size) if dims[j] == dims[k])
    pattern = full if start is None else start
    while True:
        filled = fixed | {(p.row, p.col) for p in pairs if p.block in pattern}
        found = _inverse_pattern(size, filled)
        new = full if found is None else found & full
        if new == pattern:
            return pattern
        pattern = new


def _inverse_pattern(size: int, filled: frozenset[Index]) -> frozenset[Index] | None:
    """Structural pattern of an inverse; None if no arrangement of the entries is invertible."""
    partner = matching(size, filled)
    if partner is None:
        return None
    reach = {l: {l} for l in range(size)}
    links: dict[int, set[int]] = {l: set() for l in range(size)}
    for i, l in filled:
        if partner[i] != l:
            links[partner[i]].add(l)
    for l in range(size):
        stack = [l]
        while stack:
            for m in links[stack.pop()] - reach[l]:
                reach[l].add(m)
                stack.append(m)
    owner = {col: row for row, col in partner.items()}
    return frozenset((l, owner[m]) for l in range(size) for m in reach[l])


def matching(size: int, filled: Iterable[Index]) -> dict[int, int] | None:
    """Return a column for each row among the filled entries, all different; None if impossible."""
    choices: dict[int, list[int]] = {i: [] for i in range(size)}
    for i, l in sorted(filled):
        choices[i].append(l)
    for i, found in choices.items():
        found.sort(key=partial(operator.ne, i))
    taken: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for col in choices[row]:
            if col not in seen:
                seen.add(col)
                if col not in taken or place(taken[col], seen):
                    taken[col] = row
                    return True
        return False

    if not all(place(row, set()) for row in range(size)):
        return None
    return {row: col for col, row in taken.items()}
