"""The half-plane guard of compiled spectra: coarse sweeps across bands, against a walk in mpmath.

An answer is accepted only with all upper functions in the upper half-plane. Without that the
coupled curve below takes a point off its support for one inside, and its bands are wrong. Halving
Newton steps that would leave the half-plane is not needed for the answer; it saves a few steps.
"""

import mpmath
import numpy as np
import pytest
from sympy import Rational as Q

from derive.spectra.follow_curve import Walk
from derive.spectra.laws import arcsine, discrete, semicircle
from derive.transforms import free_sum
from numeric.spectrum import spectrum

THREE = free_sum(semicircle(Q(1, 20)), discrete([-1, 0, 2]))
COUPLED = free_sum(arcsine(-1, 1), discrete([-2, 2]))


@pytest.fixture(scope="module")
def three():
    return spectrum(THREE)


def followed(law, x):
    """Density by continuation of the curve from infinity, at 40 digits."""
    walk = Walk(law.curve(), mpmath.mpf(float(law.bound)))
    u = walk.at(mpmath.mpc(x, 0))
    (g,) = walk.values(u, (walk.curve.g,))
    return float(-g.imag / mpmath.pi)


def test_coarse_sweeps_across_three_bands_stay_on_the_physical_root(three, rng):
    spread = [
        np.append(rng.uniform(low, high, 5), low + (high - low) * np.array([1e-6, 1 - 1e-4]))
        for low, high in three.edges
    ]
    points = np.sort(np.concatenate(spread))
    swept = three.density(points)
    exact = [followed(THREE, x) for x in points]
    assert len(three.edges) == 3
    assert np.allclose(swept, exact, rtol=1e-7)


def test_every_order_of_the_same_points_gives_the_same_densities(three, rng):
    points = np.concatenate([rng.uniform(low, high, 4) for low, high in three.edges])
    one_by_one = [float(three.density(x)) for x in points]
    swept = three.density(np.sort(points))
    assert np.allclose(swept, np.array(one_by_one)[np.argsort(points)], rtol=1e-12)


@pytest.mark.parametrize("points", [[0, 1], [-1, 0, 2], [0, Q(3, 2), 4], [-3, 0, 3]])
def test_bands_next_to_a_mass_at_zero_end_at_the_roots_of_the_discriminant(points):
    law = free_sum(semicircle(Q(1, 20)), discrete(points))
    found = spectrum(law)
    exact = [float(place) for place in law.polynomial().critical()]
    assert np.allclose(np.ravel(found.edges), exact, rtol=0, atol=1e-13)
    assert abs(found.mass - 1) < 1e-12


def test_bands_of_a_coupled_curve_end_where_the_density_vanishes():
    found = spectrum(COUPLED)
    low, high = found.edges[0]
    assert abs(found.mass - 1) < 1e-9
    assert np.allclose(found.edges, -np.array(found.edges)[::-1, ::-1], atol=1e-9)
    assert float(found.density(np.array(low + (high - low) * 1e-4))) > 0
