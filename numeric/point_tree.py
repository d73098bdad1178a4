r"""Sums over many points of 1/(u - a)^k at a cost that grows with their logarithm.

Stage: below ``spectral_code``; points in, an array out, and the text of the loop that reads it.

Sorted points are halved by place until few are left. The points of an interval with centre c and
radius r, seen from |u - c| >= 2 r, are replaced by the nodes and weights of the Gauss rule of their
measure: with m nodes it is exact for polynomials of degree 2 m - 1, and 1/(u - a)^k is analytic
inside the ellipse through u, whose axes sum to at least (2 + sqrt 3) r. So the error is of the
order (2 + sqrt 3)^(-2m) k m relative to the sum of absolute values: 5e-19 for m = 16. Nodes are
kept as centre and offset, so that u - a loses nothing where the interval is short.

``gathered`` collects what a place u needs into a scratch array, over which one loop without
branches then runs. What was collected is used again while u stays so near that every rule remains
as far away as it must be.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NODES = 16
"""Nodes of a Gauss rule."""
LEAF = 24
"""Points that are not divided further."""
REACH = 2.0
"""Distance over radius from which a rule stands for its points."""
_SLACK = 1.25
"""How much further away a rule must be when it is collected, so that it lasts for some steps."""
_UNEVEN = 32.0
"""Largest over mean size of points that share a rule: its weights are exact to rounding in sum."""
_COLUMNS = 8
HEADER = 4
"""Words of a scratch array before the points: place, distance for which it lasts, how many."""

GATHERED = f"""
@njit(**S)
def gathered(re, im, tree, scratch):
    dr, di = re - scratch[0], im - scratch[1]
    if dr * dr + di * di < scratch[2]:
        return np.int64(scratch[3])
    nodes, stored = np.int64(tree[0]), np.int64(tree[1])
    quarter = (scratch.size - {HEADER}) // 4
    base = 2 + {_COLUMNS} * nodes
    k, count, lasts = np.int64(0), np.int64(0), math.inf
    while k < nodes:
        row = np.uint64(2 + {_COLUMNS} * k)
        d = re - tree[row]
        square = d * d + im * im
        far = square > tree[row + np.uint64(1)]
        column = row + np.uint64(2 if far else 4)
        size = np.int64(tree[column + np.uint64(1)])
        if size < 0:
            k += 1
            continue
        if far:
            lasts = min(lasts, math.sqrt(square) - tree[row + np.uint64(7)])
        first, into = base + np.int64(tree[column]), {HEADER} + count
        for _ in range(3):
            for i in range(size):
                scratch[np.uint64(into + i)] = tree[np.uint64(first + i)]
            first, into = first + stored, into + quarter
        count += size
        k = np.int64(tree[row + np.uint64(6)])
    lasts *= 0.999  # from far away, where rounding is larger than the interval
    scratch[0], scratch[1], scratch[2], scratch[3] = re, im, lasts * lasts, count
    return count


@njit(**S)
def apart(re, scratch, count, quarter):
    for i in range({HEADER}, {HEADER} + count):  # in this order: the terms may be large and equal
        origin, offset = scratch[i], scratch[np.uint64(quarter + i)]
        scratch[np.uint64(3 * quarter + i)] = (re - origin) - offset
"""


@dataclass
class _Rows:
    """Nodes of the tree in the order in which they are visited, and stored points."""

    nodes: list[list[float]]
    origins: list[Array]
    offsets: list[Array]
    weights: list[Array]
    stored: int = 0

    def store(self, origins: Array, offsets: Array, weights: Array) -> tuple[float, float]:
        self.origins.append(origins)
        self.offsets.append(offsets)
        self.weights.append(weights)
        self.stored += weights.size
        return self.stored - weights.size, weights.size


def point_tree(points: Array) -> Array:
    """Return the tree of points, each of weight one over their number, as one array.

    Args:
        points: shape (n,), n >= 1, in any order, repeated or not.

    Accuracy: 1e-14 of the sum of absolute values, as tested; sums over at most ``NODES`` different
        points are exact.
    """
    places, counts = np.unique(points, return_counts=True)
    weights = counts / points.size
    rows = _Rows([], [], [], [])
    _grow(rows, places, weights)
    head = [[len(rows.nodes), rows.stored], np.ravel(rows.nodes)]
    return np.concatenate([*head, *rows.origins, *rows.offsets, *rows.weights])


def scratch_for(trees: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return a scratch array for each tree, empty of what was collected."""
    made = []
    for tree in trees:
        scratch = np.zeros(HEADER + 4 * int(tree[1]))
        scratch[2] = -1.0  # nothing is as near as that
        made.append(scratch)
    return tuple(made)


def _grow(rows: _Rows, places: Array, weights: Array) -> None:
    low, high = places[0], places[-1]
    centre, radius = low / 2 + high / 2, high / 2 - low / 2
    here = len(rows.nodes)
    rows.nodes.append([])
    divided = places.size > LEAF
    sizes = np.abs(places)
    even = sizes.max() * weights.sum() <= _UNEVEN * (sizes @ weights)
    near = (0.0, -1.0) if divided else rows.store(places, np.zeros(places.size), weights)
    far = near
    if places.size > NODES and even:
        offsets, rule = gauss_rule(places - centre, weights)
        far = rows.store(np.full(NODES, centre), offsets, rule)
    if divided:
        cut = int(np.searchsorted(places, centre))
        _grow(rows, places[:cut], weights[:cut])
        _grow(rows, places[cut:], weights[cut:])
    reach = (REACH * _SLACK * radius) ** 2
    rows.nodes[here] = [centre, reach, *far, *near, len(rows.nodes), REACH * radius]


def gauss_rule(places: Array, weights: Array, count: int = NODES) -> tuple[Array, Array]:
    """Return nodes and weights of the Gauss rule of a discrete measure.

    Args:
        places: different points, more than ``count`` of them.
        weights: positive.
        count: nodes.

    Accuracy: a few roundings (Lanczos with full orthogonalisation, on points in [-1, 1]).

    Example:
        >>> nodes, weights = gauss_rule(np.arange(5.0), np.full(5, 0.2), 2)
        >>> nodes.round(3), weights.round(12)
        (array([0.586, 3.414]), array([0.5, 0.5]))
    """
    low, high = places[0], places[-1]
    centre, radius = low / 2 + high / 2, high / 2 - low / 2
    x = (places - centre) / radius
    total = weights.sum()
    basis = [np.sqrt(weights / total)]
    diagonal, side = [], []
    for k in range(count):
        image = x * basis[k]
        diagonal.append(float(basis[k] @ image))
        for _ in range(2):
            for b in basis:
                image -= (b @ image) * b
        norm = float(np.linalg.norm(image))
        side.append(norm)
        basis.append(image / norm)
    values, vectors = np.linalg.eigh(
        np.diag(diagonal) + np.diag(side[:-1], 1) + np.diag(side[:-1], -1)
    )
    return centre + radius * values, total * vectors[0] ** 2
