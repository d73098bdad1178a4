"""Sums read off a table by vector code are those of NumPy's polynomials."""

import numpy as np
import pytest

from numeric.table_ir import LANES, table_sums


def by_numpy(place, table, sums):
    panel = np.minimum(place.astype(int), len(table) - 1)
    t = 2 * (place - panel) - 1
    return np.array(
        [
            [np.polyval(table[p, :, k], s) for p, s in zip(panel, t, strict=True)]
            for k in range(sums)
        ]
    )


@pytest.mark.parametrize("size", [1, 7, 8, 9, 64, 101])
@pytest.mark.parametrize("sums", [1, 5, 7, 8])
def test_any_number_of_points_and_sums(rng, size, sums):
    table = rng.normal(size=(5, 7, LANES))
    place = rng.uniform(0, 5, size)
    found = table_sums(place, table, sums)
    assert found.shape == (sums, size)
    assert np.allclose(found, by_numpy(place, table, sums), rtol=0, atol=1e-14)


def test_ends_belong_to_the_outermost_panels(rng):
    table = rng.normal(size=(3, 4, LANES))
    first, last = table_sums(np.array([0.0, 3.0]), table, LANES).T
    assert np.allclose(first, [np.polyval(table[0, :, k], -1.0) for k in range(LANES)])
    assert np.allclose(last, [np.polyval(table[2, :, k], 1.0) for k in range(LANES)])


def test_a_point_does_not_depend_on_its_place_in_a_block(rng):
    table = rng.normal(size=(4, 21, LANES))
    place = rng.uniform(0, 4, 50)
    whole = table_sums(place, table, 7)
    for i in range(0, 50, 7):
        assert np.array_equal(table_sums(place[i:], table, 7)[:, 0], whole[:, i])


def test_no_points():
    assert table_sums(np.empty(0), np.zeros((1, 2, LANES)), 3).shape == (3, 0)
