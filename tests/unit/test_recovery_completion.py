"""Exact probabilities on finite domains, against enumeration that shares no code."""

from fractions import Fraction
from itertools import combinations, product
from math import comb

import pytest
from sympy import Matrix

from derive.errors import NotSupportedError, RangeError
from derive.recovery.completion import (
    completion_probability,
    connected_graphs,
    recovery_probability,
)
from derive.recovery.family import Family
from derive.recovery.networks import TwoLayer


def connected(p, q, edges):
    """Whether a bipartite graph is connected and spans all rows and columns."""
    groups = [{("row", i)} for i in range(p)] + [{("column", j)} for j in range(q)]
    for i, j in edges:
        left = next(g for g in groups if ("row", i) in g)
        right = next(g for g in groups if ("column", j) in g)
        groups = [g for g in groups if g is not left and g is not right] + [left | right]
    return len(groups) == 1


@pytest.mark.parametrize(("p", "q"), [(1, 1), (1, 4), (2, 3), (3, 3), (4, 2)])
def test_counts_of_connected_graphs_are_those_of_enumeration(p, q):
    cells = list(product(range(p), range(q)))
    counted = [
        sum(connected(p, q, edges) for edges in combinations(cells, n)) for n in range(p * q + 1)
    ]
    assert list(connected_graphs(p, q)) == counted


def test_trees_are_counted_by_the_product_formula():
    for p, q in ((3, 4), (5, 5), (7, 4)):
        assert connected_graphs(p, q)[p + q - 1] == p ** (q - 1) * q ** (p - 1)


def test_matrices_may_be_turned_over():
    for n in (8, 9, 10):
        assert completion_probability(4, 3, n, 2) == completion_probability(3, 4, n, 2)


def test_rank_two_counts_are_those_of_exact_ranks_at_a_rational_matrix():
    p, q, n = 3, 3, 8
    A, B = [[1, 2], [3, 5], [7, 11]], [[2, 3, 5], [7, 13, 17]]
    rows = []
    for i, j in product(range(p), range(q)):
        row = [0] * (2 * (p + q))
        row[2 * i : 2 * i + 2] = B[0][j], B[1][j]
        row[2 * p + j], row[2 * p + q + j] = A[i]
        rows.append(row)
    good = sum(Matrix(chosen).rank() == 8 for chosen in combinations(rows, n))
    assert completion_probability(p, q, n, 2).value == Fraction(good, comb(9, n))


def test_probability_grows_with_the_entries_and_ends_at_one():
    values = [completion_probability(5, 5, n).value for n in range(26)]
    assert values == sorted(values)
    assert (values[8], values[25]) == (0, 1)
    assert 0 < values[9] < Fraction(1, 4)


def test_finite_domain_of_a_bilinear_family_is_matrix_completion():
    from derive.recovery.linear import MatrixFactorization

    family = MatrixFactorization(2, 3, 1)
    units = [[int(i == j) for j in range(3)] for i in range(3)]
    domain = [(*v, *u[:2]) for v in units for u in units[:2]]
    point = family.target(1, seed=3)
    for n in (3, 4, 5):
        found = recovery_probability(family.family(), point, domain, n)
        assert found.value == completion_probability(2, 3, n).value


def test_booleans_need_more_points_than_a_continuum():
    """On {0,1}^2 two points give rank 2 at most, and the origin gives nothing."""
    family = TwoLayer(2, 1).family()
    cube = list(product((0, 1), repeat=2))
    point = {"a_1": 1, "w_1_1": 1, "w_1_2": 2}
    values = [recovery_probability(family, point, cube, n).value for n in range(5)]
    assert values == [0, 0, 0, Fraction(1, 4), 1]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: completion_probability(3, 3, 10), RangeError, "9 entries"),
        (lambda: completion_probability(3, 3, 4, 4), RangeError, "rank 4"),
        (lambda: completion_probability(0, 3, 1), RangeError, "p = 0"),
        (lambda: completion_probability(8, 8, 40, 2), NotSupportedError, "patterns"),
        (
            lambda: recovery_probability(TwoLayer(1, 1).family(), {}, [(1,), (2,)], 1),
            RangeError,
            "generic point",
        ),
        (
            lambda: recovery_probability(
                Family(*[TwoLayer(1, 1).family().expr, (), ()]), {}, [(1,)], 2
            ),
            RangeError,
            "n = 2",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, error, text):
    with pytest.raises(error, match=text):
        call()
