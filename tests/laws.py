"""Reusable law classes: a new object supplies what it is, and inherits what must hold for it."""

import numpy as np
import pytest

from numeric.spectrum import spectrum


class StieltjesLaws:
    """What every spectral law must satisfy.

    Subclasses define ``law`` (a function without arguments that returns a Law) and may widen
    ``mass_tolerance`` with a reason.
    """

    mass_tolerance = 1e-10
    moment_tolerance = 1e-9

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls):
        return spectrum(cls.law())

    @pytest.fixture(scope="class")
    @classmethod
    def grid(cls, found):
        x = np.linspace(-1.5, 1.5, 7) * found.bound + 0.0123
        return (x[:, None] + 1j * np.geomspace(1e-6, 10, 5)).ravel()

    def test_the_transform_maps_the_upper_half_plane_to_the_lower(self, found, grid):
        assert (found.cauchy(grid).G.imag < 0).all()

    def test_every_point_is_certified(self, found, grid):
        points = found.cauchy(grid)
        assert points.certified.all()
        assert (points.margin > 0).all()

    def test_conjugate_arguments_give_conjugate_values(self, found, grid):
        difference = found.cauchy(grid.conj()).G - found.cauchy(grid).G.conj()
        assert np.abs(difference).max() == 0

    def test_z_times_the_transform_tends_to_one(self, found):
        z = 1e9 * found.bound * np.array([1j, 1 + 1j])
        assert np.abs(z * found.cauchy(z).G - 1).max() < 1e-8  # the next term is mean/z

    def test_density_is_positive_inside_and_zero_outside(self, found):
        for low, high in found.edges:
            inside = np.linspace(low, high, 102)[1:-1]
            assert (found.density(inside) > 0).all()
        ends = np.array([e for edge in found.edges for e in edge])
        assert (found.density([ends.min() - 0.1, ends.max() + 0.1]) == 0).all()

    def test_total_mass_is_one(self, found):
        assert abs(found.mass - 1) < self.mass_tolerance

    def test_moments_equal_the_exact_ones(self, found):
        exact = [float(m) for m in found.law.moments(5)]
        for k, value in enumerate(exact, 1):
            assert abs(found.moment(k) - value) < self.moment_tolerance * found.bound**k

    def test_transform_equals_the_integral_of_its_density(self, found):
        z = (0.3 + 0.7j) * found.bound
        real = found.mean(lambda x: (1 / (z - x)).real)
        imaginary = found.mean(lambda x: (1 / (z - x)).imag)
        assert abs(complex(real, imaginary) - found.cauchy(z).G[0]) < 1e-9 / found.bound

    def test_quantiles_invert_the_distribution_function(self, found):
        levels = np.linspace(0.05, 0.95, 7)
        x = found.quantile(levels)
        assert (found.cdf(x) >= levels - 1e-11).all()
        assert (found.cdf(x, left=True) <= levels + 1e-11).all()
