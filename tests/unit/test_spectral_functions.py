"""Spectral sums in positive terms against matrices, and what a population must satisfy."""

import numpy as np
import pytest

from derive.errors import RangeError, ShapeError
from numeric.spectral_functions import Modes


def test_the_sums_are_the_traces_of_a_matrix(rng):
    basis, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    values = rng.uniform(0.1, 3, 5)
    omega = (basis * values) @ basis.T
    psi = rng.standard_normal(5)
    modes = Modes(values, np.full(5, 0.2), (basis.T @ psi) ** 2, misfit=0.3)
    sums = modes([0.7])
    inverse = np.linalg.inv(omega + 0.7 * np.eye(5))
    share = omega @ inverse
    rho = psi @ np.linalg.solve(omega, psi) + 0.3
    assert modes.rho == pytest.approx(rho, rel=1e-12)
    assert sums.df1[0] == pytest.approx(np.trace(share) / 5, rel=1e-12)
    assert sums.df2[0] == pytest.approx(np.trace(share @ share) / 5, rel=1e-12)
    assert sums.T[0] == pytest.approx(psi @ inverse @ psi, rel=1e-12)
    assert sums.T2[0] == pytest.approx(psi @ share @ inverse @ psi, rel=1e-12)
    left = rho - psi @ inverse @ psi - 0.7 * psi @ inverse @ inverse @ psi
    assert sums.unexplained[0] == pytest.approx(left, rel=1e-12)


def test_what_is_left_unexplained_keeps_its_digits_at_small_ridges():
    modes = Modes(np.array([1.0]), np.array([1.0]), np.array([1.0]))
    assert modes([1e-12]).unexplained[0] == pytest.approx(1e-24, rel=1e-11)


def test_a_population_that_cannot_be_is_refused():
    one = np.ones(1)
    with pytest.raises(ShapeError, match="one length"):
        Modes(one, np.ones(2), one)
    with pytest.raises(RangeError, match="values of the modes"):
        Modes(-one, one, one)
    with pytest.raises(RangeError, match="compatible with Omega"):
        Modes(0 * one, one, one)


def test_the_sums_of_a_point_do_not_depend_on_the_points_beside_it(rng):
    values = np.arange(1, 1001.0) ** -1.5
    modes = Modes(values, np.full(1000, 1e-3), values**2)
    x = 10 ** rng.uniform(-9, 2, 301)
    order = rng.permutation(x.size)
    whole, mixed = modes(x), modes(x[order])
    for name in ("df1", "df2", "T", "T2", "unexplained", "rest1", "rest2"):
        assert np.array_equal(getattr(whole, name)[order], getattr(mixed, name)), name
        assert getattr(modes(x[7]), name) == getattr(whole, name)[7], name


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_the_sums_keep_their_digits_at_any_scale(scale):
    # the witness is exact: one mode, share s = 1/4 and left = 3/4
    one = Modes(np.array([scale]), np.ones(1), np.array([2 * scale]))
    sums = one(3 * scale)
    found = [sums.df1, sums.df2, sums.T, sums.T2, sums.unexplained, sums.rest1, sums.rest2]
    assert found == pytest.approx([1 / 4, 1 / 16, 1 / 2, 1 / 8, 9 / 8, 3 / 4, 15 / 16], rel=1e-15)
