"""Laws: moments, cumulants, atoms and transforms against formulas known by hand."""

from math import comb

import pytest
from sympy import Rational, Symbol, binomial, sqrt

from derive.errors import NotSupportedError, RangeError, ShapeError
from derive.random_matrices.spectral_measure import marchenko_pastur as marchenko_pastur_measure
from derive.random_matrices.spectral_measure import power_law
from derive.spectra.curve import Sheet
from derive.spectra.laws import (
    arcsine,
    deep_features_covariance,
    deep_features_kernel,
    discrete,
    empirical,
    free_poisson,
    law_of,
    marchenko_pastur,
    semicircle,
)
from derive.symbols import control
from derive.theory.deep_features import deep_features
from derive.transforms import (
    compress,
    free_power,
    free_product,
    free_sum,
    gram,
    product_power,
    scaled,
)

half = Rational(1, 2)
g, t = Symbol("g"), Symbol("t")


def test_moments_of_the_semicircle_are_catalan_numbers():
    assert semicircle().moments(8)[1::2] == [comb(2 * k, k) // (k + 1) for k in range(1, 5)]


def test_moments_of_marchenko_pastur_are_narayana_polynomials():
    c = Rational(3, 7)
    for n, value in enumerate(marchenko_pastur(c).moments(6), 1):
        narayana = sum(
            binomial(n, k) * binomial(n, k - 1) / n * c ** (k - 1) for k in range(1, n + 1)
        )
        assert value == narayana


def test_moments_of_the_arcsine_law_are_central_binomials():
    assert arcsine().moments(6)[1::2] == [comb(2 * k, k) for k in range(1, 4)]
    assert arcsine(0, 4).moments(3) == [2, 6, 20]


def test_sum_of_two_signs_is_the_arcsine_law():
    coin = discrete([-1, 1])
    assert free_sum(coin, coin).moments(8) == arcsine().moments(8)
    assert (free_sum(coin, coin).R(g) - arcsine().R(g)).equals(0)


def test_free_poisson_adds_its_rates():
    assert free_sum(free_poisson(2), free_poisson(3)).moments(6) == free_poisson(5).moments(6)


def test_power_two_is_the_sum_with_itself():
    law = discrete([0, 1, 5], [half, Rational(1, 4), Rational(1, 4)])
    assert free_power(law, 2).moments(6) == free_sum(law, law).moments(6)
    assert free_power(law, 2).atoms() == free_sum(law, law).atoms()


def test_product_power_two_is_the_product_with_itself():
    law = discrete([1, 3])
    assert product_power(law, 2).moments(6) == free_product(law, law).moments(6)


def test_moments_of_powers_of_marchenko_pastur_are_fuss_catalan_numbers():
    assert product_power(marchenko_pastur(1), 2).moments(4) == [1, 3, 12, 55]


def test_compression_of_a_projection_is_the_free_jacobi_law():
    law = compress(discrete([0, 1]), half)
    assert law.moments(2) == [half, Rational(3, 8)]  # variance halves: 1/4 -> 1/8
    assert scaled(free_power(discrete([0, 1]), 2), half).moments(6) == law.moments(6)


def test_gram_of_the_identity_is_marchenko_pastur():
    assert gram(discrete([1]), half).moments(6) == marchenko_pastur(half).moments(6)
    assert gram(discrete([1]), 4).atoms() == marchenko_pastur(4).atoms()


def test_square_gram_matrix_is_the_free_product_with_marchenko_pastur():
    law = discrete([1, 2])
    assert gram(law, 1).moments(5) == free_product(law, marchenko_pastur(1)).moments(5)


def test_s_transforms_multiply_and_r_transforms_add():
    a, b = marchenko_pastur(half), marchenko_pastur(3, 2)
    assert (free_product(a, b).S(t) - a.S(t) * b.S(t)).equals(0)
    assert (free_sum(a, b).R(g) - a.R(g) - b.R(g)).equals(0)
    assert (a.T(t) * a.S(t)).equals(1)


def test_r_and_s_transforms_agree_with_the_series_of_the_moments():
    a = marchenko_pastur(half, 3)
    series = a.R(g).series(g, 0, 4).removeO()
    assert [series.coeff(g, k) for k in range(4)] == a.cumulants(4)
    # S(t) R(t S(t)) = 1
    assert (a.S(t) * a.R(t * a.S(t))).equals(1)


def test_atoms_of_a_sum_keep_the_excess_mass():
    a = discrete([0, 1], [Rational(3, 4), Rational(1, 4)])
    b = discrete([2, 5], [Rational(2, 3), Rational(1, 3)])
    assert free_sum(a, b).atoms() == ((2, Rational(5, 12)), (5, Rational(1, 12)))


def test_atoms_of_a_product():
    a = discrete([0, 2], [Rational(1, 5), Rational(4, 5)])
    b = discrete([0, 3], [Rational(1, 4), Rational(3, 4)])
    assert free_product(a, b).atoms() == ((0, Rational(1, 4)), (6, Rational(11, 20)))


def test_symbolic_ratio_gives_symbolic_moments_and_mass():
    c = control("c", "ratio", positive=True)
    law = marchenko_pastur(c)
    assert law.moments(2) == [1, 1 + c]
    assert law.atoms()[0][1].subs(c, 4) == Rational(3, 4)
    assert law.atoms()[0][1].subs(c, half) == 0


def test_polynomials_known_by_hand():
    z, G = Symbol("z"), Symbol("G")
    found = free_sum(semicircle(), semicircle(3)).polynomial().expr
    assert (found - (4 * G**2 - z * G + 1)).expand() == 0
    found = marchenko_pastur(half).polynomial().expr
    assert (found - (z * G**2 + (1 - 2 * z) * G + 2)).expand() == 0


def test_degree_of_the_depth_one_kernel_is_four_and_two():
    model = deep_features(["tanh"])
    relation = deep_features_kernel(model, Rational(5, 6), [Rational(7, 6)]).polynomial()
    assert relation.degrees == (4, 2)


def test_mean_of_the_kernel_is_that_of_the_features():
    model = deep_features(["erf", "erf"])
    law = deep_features_kernel(model, 2, [1, 3])
    second = float(model.variances[2])
    assert abs(float(law.mean) - second) < 1e-14


def test_depth_and_number_of_widths_must_agree():
    with pytest.raises(ShapeError, match="1 widths for depth 2"):
        deep_features_covariance(deep_features(["erf", "erf"]), [1])


def test_even_activation_starts_the_chain_anew():
    law = deep_features_covariance(deep_features(["tanh", "z**2 - 1"], centre=False), [1, 2])
    assert [w for _, w in law.atoms()] == [1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: discrete([1, 2], [half, half / 2]), "weights sum to 3/4"),
        (lambda: discrete([1, 2], [Rational(3, 2), -half]), "negative"),
        (lambda: discrete([1], [half, half]), "1 points and 2 weights"),
        (lambda: discrete([]), "no points"),
        (lambda: marchenko_pastur(0), "not positive"),
        (lambda: semicircle(-1), "not positive"),
        (lambda: arcsine(1, 1), "empty interval"),
        (lambda: gram(semicircle(), 1), "not known to be non-negative"),
        (lambda: free_product(semicircle(), semicircle()), "not known to be non-negative"),
        (lambda: free_product(discrete([0]), discrete([1])), "point mass at 0"),
        (lambda: free_power(semicircle(), half), "below 1"),
        (lambda: compress(semicircle(), 2), "above 1"),
        (lambda: product_power(discrete([1]), 0), "positive integer"),
        (lambda: law_of(power_law(half)), "compactly supported"),
        (lambda: free_product(arcsine(0, 1), discrete([1, 2])).S(t), "no closed form"),
        (lambda: free_sum(discrete([-1, 1]), discrete([0, 1])).polynomial(), "coupled parameters"),
        (lambda: empirical(range(20)).polynomial(), "coupled parameters"),
    ],
)
def test_bad_input_is_refused_in_one_line(build, message):
    with pytest.raises((RangeError, ShapeError, NotSupportedError), match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_measures_of_the_matrix_language_become_laws():
    assert law_of(marchenko_pastur_measure(2, 3)) == marchenko_pastur(2, 3)
    assert law_of(power_law(1, count=2)).moments(1) == [Rational(3, 4)]


def test_curve_of_a_sum_with_rational_r_transform_has_one_unknown():
    one = free_sum(discrete([-1, 1]), semicircle(), marchenko_pastur(2)).curve()
    two = free_sum(discrete([-1, 1]), discrete([0, 1])).curve()
    assert (len(one.unknowns), len(two.unknowns)) == (1, 2)
    assert (one.is_tower, two.is_tower) == (True, False)


def test_equal_parameters_share_a_symbol_and_code_is_free_of_values():
    a, b = marchenko_pastur(half).curve(), marchenko_pastur(Rational(1, 3)).curve()
    assert a.lines == b.lines
    assert a.parameters != b.parameters
    sheet = Sheet()
    assert sheet.parameter(sqrt(2)) == sheet.parameter(sqrt(2))
