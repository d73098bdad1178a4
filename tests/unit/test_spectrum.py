"""Spectra: laws that hold for every spectrum, closed forms, published digits, sampled matrices.

Tolerances: total mass 1e-10 is what is promised; edges and densities of the reference point agree
in all printed digits through balls, and to 1e-13 in doubles.
"""

import importlib.util
import pathlib
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from sympy import Rational

from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.spectra.curve_balls import proved_density, proved_edge
from derive.spectra.laws import (
    arcsine,
    deep_features_covariance,
    deep_features_kernel,
    discrete,
    empirical,
    marchenko_pastur,
    semicircle,
)
from derive.symbols import control
from derive.theory.deep_features import deep_features
from derive.transforms import compress, free_product, free_sum, gram
from numeric.compiled import compile as compiled
from numeric.panels import Ends, adaptive
from numeric.spectral_code import spectral_source
from numeric.spectrum import spectrum as compute

_SPEC = importlib.util.spec_from_file_location(
    "laws", pathlib.Path(__file__).parents[1] / "laws.py"
)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
StieltjesLaws = _MODULE.StieltjesLaws

spectrum = cache(compute)
half = Rational(1, 2)
coin = discrete([-1, 1])


def network(depth, activation="tanh"):
    return deep_features([activation] * depth)


@cache
def reference_kernel():
    widths = [Rational(7, 6), Rational(3, 2)]
    return deep_features_kernel(network(2), Rational(5, 6), widths)


class TestMarchenkoPastur(StieltjesLaws):
    law = staticmethod(lambda: marchenko_pastur(half))


class TestMarchenkoPasturWithZeros(StieltjesLaws):
    law = staticmethod(lambda: marchenko_pastur(4))


class TestHardEdge(StieltjesLaws):
    law = staticmethod(lambda: marchenko_pastur(1))


class TestSemicircle(StieltjesLaws):
    law = staticmethod(lambda: semicircle(2))


class TestArcsine(StieltjesLaws):
    law = staticmethod(arcsine)


class TestSumWithTwoParameters(StieltjesLaws):
    law = staticmethod(lambda: free_sum(coin, discrete([0, 3], [Rational(1, 3), Rational(2, 3)])))


class TestKernelOfDepthTwo(StieltjesLaws):
    law = staticmethod(reference_kernel)


class TestGramOfManyEigenvalues(StieltjesLaws):
    law = staticmethod(lambda: gram(empirical([Rational(k, 40) for k in range(1, 41)]), half))


@pytest.mark.parametrize("ratio", [half, Rational(9, 10), Rational(4)])
def test_marchenko_pastur_density_equals_its_closed_form(ratio):
    found, c = spectrum(marchenko_pastur(ratio)), float(ratio)
    low, high = (1 - c**0.5) ** 2, (1 + c**0.5) ** 2
    assert np.allclose(found.edges, [(low, high)], rtol=4e-15)
    x = np.linspace(low, high, 41)[1:-1]
    exact = np.sqrt((high - x) * (x - low)) / (2 * np.pi * c * x)
    assert np.abs(found.density(x) / exact - 1).max() < 1e-13


def test_hard_edge_is_at_zero_exactly_and_the_density_diverges_as_the_inverse_root():
    found = spectrum(marchenko_pastur(1))
    assert found.edges[0][0] == 0
    assert found.density(0.0) == np.inf
    x = np.array([1e-12, 1e-8, 1e-4])
    assert np.allclose(found.density(x) * 2 * np.pi, np.sqrt((4 - x) / x), rtol=1e-12)


def test_atoms_beyond_ratio_one_are_exact():
    assert spectrum(marchenko_pastur(4)).atoms == ((0.0, 0.75),)


def test_sum_of_semicircles_is_a_semicircle():
    found = spectrum(free_sum(semicircle(1), semicircle(3)))
    x = np.linspace(-3.9, 3.9, 21)
    assert np.allclose(found.density(x), np.sqrt(16 - x**2) / (8 * np.pi), rtol=1e-13)


def test_edges_of_the_reference_kernel_have_all_published_digits():
    found = spectrum(reference_kernel())
    band = found.bands[0]
    low, high = (proved_edge(found.curve, u, 30).str(20) for u in (band.u_low, band.u_high))
    assert low == "0.0019385651290741389948"
    assert high == "1.6415832305026103185"
    assert np.allclose(found.edges, [(0.0019385651290741389948, 1.6415832305026103185)], rtol=3e-15)


@pytest.mark.parametrize(
    ("x", "digits"),
    [("0.1", "1.82245440600903465"), ("0.5", ".367221186464468593"), ("1", ".143744897931788224")],
)
def test_density_of_the_reference_kernel_has_all_published_digits(x, digits):
    found = spectrum(reference_kernel())
    assert abs(found.density(float(x)) / float(digits) - 1) < 1e-13
    row = found._sweep(np.array([float(x)]), np.zeros(1))
    ball = proved_density(found.curve, x, complex(row[6, 0], row[7, 0]), 30)
    unit = Fraction(1, 10 ** len(digits.split(".")[1]))
    assert abs(ball.mid - Fraction(digits)) < Fraction(6, 10) * unit
    assert ball.digits >= 25


@pytest.mark.parametrize(
    ("gamma", "alpha"),
    [([2], 1), ([1, 1], 1), ([2, 1, 3], half), ([1, 1, 1, 1], 1), ([half, 2, 3, 1, 2], 4)],
)
def test_mass_of_deep_kernels_is_one_and_a_thousand_points_are_certified(gamma, alpha):
    found = spectrum(deep_features_kernel(network(len(gamma)), alpha, gamma))
    assert abs(found.mass - 1) < 1e-10
    low, high = found.edges[-1]
    points = found.boundary(np.linspace(low, high, 1002)[1:-1])
    assert points.certified.all()
    assert (points.margin > 0).all()
    assert (points.G.imag < 0).all()


def test_covariance_has_its_atom_at_the_noise_of_the_last_layer():
    model = network(1)
    found = spectrum(deep_features_covariance(model, [2]))
    ((place, mass),) = found.atoms
    assert abs(place - 0.02741532603543025715602) < 1e-16
    assert mass == 0.5
    assert abs(found.mass - 1) < 1e-12


def test_transform_of_the_kernel_equals_the_layer_calculus():
    model, widths = network(2), (Rational(7, 6), Rational(3, 2))
    lam = np.array([0.01, 0.3, 2.0])
    equations = compiled(model.system(), outputs=["m"], slopes=False)
    m = equations(alpha=5 / 6, gamma=(7 / 6, 1.5), lam=lam, noise=0).outputs["m"]
    found = spectrum(deep_features_kernel(model, Rational(5, 6), widths))
    assert np.abs(-found.cauchy(-lam).G.real / m - 1).max() < 1e-13


def test_free_sum_agrees_with_sampled_matrices(rng):
    n = 600
    found = spectrum(free_sum(coin, discrete([0, 3], [Rational(1, 3), Rational(2, 3)])))
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    a = np.repeat([-1.0, 1.0], n // 2)
    b = np.repeat([0.0, 3.0, 3.0], n // 3)
    sample = np.linalg.eigvalsh(np.diag(a) + (q * b) @ q.T)
    distance = found.distance(sample)
    assert distance.kolmogorov_smirnov < 6 / n  # eigenvalues are rigid: a few spacings
    moved = found.distance(sample + 0.05)
    assert moved.kolmogorov_smirnov > 12 / n  # an error of 0.05 would have been seen
    assert abs(moved.wasserstein - 0.05) < 0.01


def test_compression_agrees_with_a_corner_of_a_sampled_matrix(rng):
    n = 600
    found = spectrum(compress(discrete([0, 1, 4]), half))
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    full = (q * np.repeat([0.0, 1.0, 4.0], n // 3)) @ q.T
    sample = np.linalg.eigvalsh(full[: n // 2, : n // 2])
    assert abs(found.mass - 1) < 1e-10
    assert found.distance(sample).kolmogorov_smirnov < 6 / (n // 2)


def test_product_of_atoms_keeps_three_atoms_and_one_band():
    found = spectrum(
        free_product(discrete([1, 2]), discrete([0, 3], [Rational(1, 4), Rational(3, 4)]))
    )
    assert found.atoms == ((0.0, 0.25), (3.0, 0.25), (6.0, 0.25))
    assert abs(found.mass - 1) < 1e-10


def test_real_points_off_the_support_have_real_transforms():
    points = spectrum(marchenko_pastur(4)).cauchy([-1.0, 0.5, 10.0])
    z = np.array([-1.0, 0.5, 10.0])
    b = z + 3  # 4 z G^2 - (z + 3) G + 1 = 0
    roots = np.stack([(b + s * np.sqrt(b**2 - 16 * z)) / (8 * z) for s in (1, -1)])
    nearest = np.abs(roots - points.G.real).min(axis=0)
    assert nearest.max() < 1e-14
    assert (points.G.imag == 0).all()
    assert points.G.real[0] < 0 < points.G.real[2]


@pytest.mark.parametrize("z", [1.0, np.nan, 0.0])
def test_real_points_on_the_support_or_at_atoms_are_refused(z):
    with pytest.raises(RangeError, match="use density"):
        spectrum(marchenko_pastur(half if z == 1.0 else 4)).cauchy(z)


def test_bad_requests_are_refused():
    found = spectrum(marchenko_pastur(half))
    with pytest.raises(RangeError, match="NaN"):
        found.density(np.nan)
    with pytest.raises(RangeError, match="not inside a band"):
        found.boundary(5.0)
    with pytest.raises(RangeError, match="outside"):
        found.quantile(1.5)
    with pytest.raises(RangeError, match="none, or NaN"):
        found.distance([])
    with pytest.raises(RangeError, match="holds c"):
        compute(marchenko_pastur(control("c", positive=True)))


def test_proved_digits_need_one_unknown_and_a_point_in_the_support():
    two = free_sum(coin, discrete([0, 1]))
    with pytest.raises(NotSupportedError, match="coupled"):
        proved_edge(two.curve(), 0.1)
    with pytest.raises(NotConvergedError):
        proved_density(marchenko_pastur(half).curve(), 5, 4.0 + 1e-3j)


def test_panels_integrate_algebraic_ends_to_rounding():
    panels = adaptive(lambda x, low, high: np.sqrt(low / high), Ends(0.0, 2.0, 2, 2))
    assert abs(panels.total - np.pi) < 1e-13
    assert abs(panels.running(np.array([1.0]))[0] - (np.pi / 2 - 1)) < 1e-12


def test_the_code_of_a_table_does_not_grow_with_its_points():
    few, many = (gram(empirical([Rational(k, 7) for k in range(1, n)]), half) for n in (12, 400))
    assert spectral_source(few.curve()) == spectral_source(many.curve())


def test_a_power_law_of_many_eigenvalues_has_all_its_mass_and_an_isolated_top_band():
    values = [Rational(float(k) ** -1.5) for k in range(1, 201)]
    found = spectrum(gram(empirical(values), half))
    assert abs(found.mass - 1) < 1e-10
    assert abs(found.moment(1) / (float(sum(values)) / 200) - 1) < 1e-10
    low, high = found.edges[-1]
    points = found.cauchy(np.linspace(0.9 * low, 1.1 * high, 50) + 1e-8j)
    assert points.certified.all()
    assert points.residual.max() < 1e-14


@pytest.mark.parametrize("height", [1e-2, 1e-8])
def test_transforms_beside_an_edge_have_the_digits_of_the_closed_form(height):
    # Newton stops early only where its next step is below rounding, also where it converges slowly
    edge = 2.25
    z = (
        edge
        + np.concatenate([-np.geomspace(1, 1e-13, 60), np.geomspace(1e-13, 1, 60)])
        + 1j * height
    )
    found = spectrum(marchenko_pastur(Rational(1, 4))).cauchy(z)
    root = np.sqrt(z - 0.25) * np.sqrt(z - edge)
    exact = (z - 0.75 - root) / (0.5 * z)
    assert found.certified.all()
    assert np.abs(found.G / exact - 1).max() < 1e-13 / np.sqrt(height)
