"""Sums over many points by Gauss rules of their clusters, against the sums themselves."""

import numpy as np
import pytest

from derive.printing.pair_code import point_sums
from numeric.cache import load
from numeric.point_tree import (
    GATHERED,
    HEADER,
    LEAF,
    NODES,
    REACH,
    gauss_rule,
    point_tree,
    scratch_for,
)

BOUND = 1e-14
KINDS = ((1, 0), (1, 1), (2, 0), (2, 1), (3, 1))
MODULE = f'''"""Sums over points; do not edit."""

import math

import numpy as np
from numba import njit

S = dict(error_model="numpy", fastmath={{"contract", "nsz"}})
LOOSE = dict(S, fastmath={{"contract", "nsz", "reassoc"}})
HEADER = {HEADER}
{GATHERED}

@njit(**LOOSE)
{point_sums(KINDS)}
'''
CLOUDS = {
    "power law": lambda rng: np.arange(1, 1001.0) ** -1.5,
    "even": lambda rng: np.linspace(1, 2, 700),
    "normal": lambda rng: rng.normal(size=3000),
    "two far groups": lambda rng: np.concatenate([rng.random(200), 1e6 + rng.random(300)]),
    "few": lambda rng: np.array([1.0, 2.0, 5.0]),
    "repeated": lambda rng: np.repeat(np.linspace(-1, 1, 60), 5),
    "eighteen decades": lambda rng: 10 ** rng.uniform(-18, 0, 900),
}


@pytest.fixture(scope="module")
def sums():
    module = load(MODULE)
    return next(getattr(module, n) for n in dir(module) if n.startswith("point_sums"))


def direct(u, points):
    """The sums in extended precision, and the sums of absolute values."""
    a = points.astype(np.longdouble)
    q = 1 / (np.clongdouble(u) - a)
    terms = [a**p * q**k for k, p in KINDS]
    return np.array([t.mean() for t in terms]), np.array([np.abs(t).mean() for t in terms])


def places(rng, points, count):
    """Inside and around a cloud, at all distances from the axis."""
    low, high = points.min(), points.max()
    x = np.concatenate([rng.choice(points, count), rng.uniform(low, high, count)])
    scale = (high - low) + abs(high)
    return x + 1j * scale * 10 ** rng.uniform(-6, 1, x.size)


@pytest.mark.parametrize("name", CLOUDS)
def test_sums_agree_with_sums_over_all_points(sums, rng, name):
    points = CLOUDS[name](rng)
    tree = point_tree(points)
    (scratch,) = scratch_for((tree,))
    worst = 0.0
    for u in places(rng, points, 60):
        found = np.array(sums(u.real, u.imag, tree, scratch)).reshape(-1, 2) @ [1, 1j]
        true, size = direct(u, points)
        worst = max(
            worst, *(float(abs(f - t) / s) for f, t, s in zip(found, true, size, strict=True))
        )
    assert worst < BOUND


def test_what_was_collected_is_used_again_only_as_far_as_it_may(sums, rng):
    points = CLOUDS["power law"](rng)
    tree = point_tree(points)
    (kept,) = scratch_for((tree,))
    u = complex(0.01, 0.004)
    used = 0
    for _ in range(300):
        u += 0.1 * abs(u) * complex(rng.normal(), rng.normal())
        u = complex(u.real, abs(u.imag) + 1e-5)
        before = kept[:2].copy()
        found = np.array(sums(u.real, u.imag, tree, kept)).reshape(-1, 2) @ [1, 1j]
        used += bool(np.array_equal(before, kept[:2]))
        true, size = direct(u, points)
        assert np.all(np.abs(found - true) < BOUND * size)
    assert 10 < used < 290


@pytest.mark.parametrize("far", [1e3, 1e20, 1e150, 1e300, np.inf])
def test_what_was_collected_from_far_away_is_not_used_near_by(sums, rng, far):
    points = CLOUDS["power law"](rng)
    tree = point_tree(points)
    (scratch,) = scratch_for((tree,))
    for u in (1e-4 + 1e-5j, -1e-4 + 0j, 0.7 + 0.1j):
        sums(far, 0.0, tree, scratch)
        found = np.array(sums(u.real, u.imag, tree, scratch)).reshape(-1, 2) @ [1, 1j]
        true, size = direct(u, points)
        assert np.all(np.abs(found - true) < BOUND * size)


def test_a_rule_that_is_used_too_near_would_be_seen(sums, rng):
    """The same sums from a tree whose rules reach to half of what they must keep."""
    points = CLOUDS["even"](rng)
    tree = point_tree(points)
    rows = tree[2 : 2 + 8 * int(tree[0])].reshape(-1, 8)
    rows[:, 1] *= 0.25
    (scratch,) = scratch_for((tree,))
    worst = 0.0
    for u in places(rng, points, 60):
        scratch[2] = -1.0
        found = np.array(sums(u.real, u.imag, tree, scratch)).reshape(-1, 2) @ [1, 1j]
        true, size = direct(u, points)
        worst = max(
            worst, *(float(abs(f - t) / s) for f, t, s in zip(found, true, size, strict=True))
        )
    assert worst > 1e-13


def test_few_points_are_collected_of_many(rng):
    points = CLOUDS["power law"](rng)
    tree = point_tree(points)
    (scratch,) = scratch_for((tree,))
    gathered = load(MODULE).gathered
    for u in (0.5 + 0.1j, 1e-3 + 1e-3j, -3 + 0j, 1e-4 + 3e-5j):
        scratch[2] = -1.0
        assert gathered(u.real, u.imag, tree, scratch) < 250


def test_a_place_that_is_not_a_number_gives_no_number(sums, rng):
    points = CLOUDS["power law"](rng)
    tree = point_tree(points)
    (scratch,) = scratch_for((tree,))
    assert all(np.isnan(sums(np.nan, 1.0, tree, scratch)))
    after = sums(0.5, 0.25, tree, scratch)
    assert np.allclose(after[0], direct(0.5 + 0.25j, points)[0][0].real, rtol=1e-13)


@pytest.mark.parametrize("size", [NODES + 1, 40, 500])
def test_rules_are_exact_for_polynomials(rng, size):
    x, w = np.sort(rng.uniform(3, 5, size)), rng.random(size)
    nodes, weights = gauss_rule(x, w)
    assert (weights > 0).all()
    assert x[0] <= nodes.min() <= nodes.max() <= x[-1]
    for degree in range(2 * NODES):
        s, t = (nodes - 4) ** degree @ weights, (x - 4) ** degree @ w
        assert abs(s - t) < 1e-13 * w.sum()
    degree = 2 * NODES
    gap = abs((nodes - 4) ** degree @ weights - (x - 4) ** degree @ w)
    assert gap > 0


def test_constants_of_the_bound():
    """(REACH + sqrt(REACH^2 - 1))^(-2 NODES) is far below rounding."""
    assert (REACH + np.sqrt(REACH**2 - 1)) ** (-2.0 * NODES) < 1e-17
    assert LEAF > NODES
