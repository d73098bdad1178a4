"""Laws of matrix expressions, of -x and of 1/x: moments, atoms, spectra, compositions, refusals."""

import mpmath
import numpy as np
import pytest
from sympy import Rational as Q

from derive.errors import NotSupportedError, RangeError, UnknownNameError
from derive.matrices import covariance, dims, eye, gaussian, wigner
from derive.random_matrices.spectral_measure import atoms
from derive.spectra.follow_curve import Walk
from derive.spectra.laws import arcsine, discrete, marchenko_pastur, semicircle
from derive.spectra.system_law import is_nonnegative, matrix_law, norm
from derive.spectra.transformed import inverted, negated
from derive.symbols import control
from derive.transforms import free_product, free_sum, gram, scaled
from numeric.experiments.matrices import Drawing
from numeric.spectrum import spectrum

n, d, p, q = dims("n d p q")
X, W, V = gaussian("X", d, n, 1 / n), gaussian("W", p, d, 1 / d), gaussian("V", p, n, 1 / n)
U, S = gaussian("U", q, p, 1 / p), wigner("S", d, 1 / d)
SIZES = {"d": 2, "p": 3, "q": 1}
A, B = Q(9, 10), Q(1, 5)
DEEP = A * U * (A * W * W.T + B * eye(p)) * U.T + B * eye(q)


@pytest.fixture(scope="module")
def deep():
    return matrix_law(DEEP, SIZES)


@pytest.fixture(scope="module")
def composed():
    """The same law, built from Gram steps."""
    first = scaled(gram(discrete([1]), Q(3, 2)), A, B)
    return scaled(gram(first, Q(1, 3)), A, B)


def test_moments_of_a_deep_feature_covariance_equal_the_composition(deep, composed):
    assert deep.moments(6) == composed.moments(6)
    assert deep.nonnegative
    assert not deep.unique


def test_the_spectrum_of_a_matrix_expression_equals_the_composition(deep, composed):
    found, expected = spectrum(deep), spectrum(composed)
    assert np.allclose(found.edges, expected.edges, rtol=1e-9)
    x = np.linspace(*expected.edges[0], 40)[1:-1]
    assert np.allclose(found.density(x), expected.density(x), rtol=1e-9)
    assert abs(found.mass - 1) < 1e-10
    assert expected.boundary(x).certified.all()
    assert not found.boundary(x).certified.any()  # several unknowns: mass and moments speak


def test_it_composes_with_reflected_and_inverted_laws(deep):
    law = free_sum(deep, negated(inverted(marchenko_pastur(Q(1, 4)))))
    found = spectrum(law)
    assert abs(found.mass - 1) < 1e-10
    exact = [float(m) for m in law.moments(4)]
    assert np.allclose([found.moment(k) for k in (1, 2, 3, 4)], exact, rtol=1e-9)


def test_atoms_of_a_rank_deficient_expression_are_exact():
    features = W * X + V
    law = matrix_law(features * features.T, {"n": 2, "d": 1, "p": 3})
    assert law.atoms() == ((0, Q(1, 3)),)


@pytest.mark.simulation
def test_the_spectrum_of_a_deep_covariance_passes_a_kolmogorov_smirnov_test_with_power(deep, rng):
    """At 600 eigenvalues a rigid spectrum lies within 0.01 of its law; a shift of 0.1 is seen."""
    drawing = Drawing(rng, {"d": 1200, "p": 1800, "q": 600})
    values = np.linalg.eigvalsh(drawing.matrix(DEEP))
    found = spectrum(deep)
    assert found.distance(values).kolmogorov_smirnov < 0.01
    assert found.distance(values + 0.1).kolmogorov_smirnov > 0.01


def test_the_inverse_of_a_marchenko_pastur_law_has_exact_moments_and_edges():
    law = inverted(marchenko_pastur(Q(1, 4)))
    assert law.moments(3) == [Q(4, 3), Q(64, 27), Q(1280, 243)]
    assert 4 <= law.bound <= 16
    walk = Walk(law.curve(), mpmath.mpf(float(law.bound)))
    with mpmath.workdps(30):
        (g,) = walk.values(walk.at(mpmath.mpc(5, 0)), (walk.curve.g,))
        inner = (
            mpmath.mpf(1) / 5
        )  # G(w) = 1/w - G_mp(1/w)/w^2, by the quadratic of Marchenko-Pastur
        c = mpmath.mpf("0.25")
        root = mpmath.sqrt((inner - 1 - c) ** 2 - 4 * c)
        direct = (inner - 1 + c + root) / (2 * c * inner)
        expected = inner - inner**2 * direct
    assert abs(g - expected) < 1e-20


def test_inverting_and_reflecting_twice_give_the_law_back():
    law = marchenko_pastur(Q(1, 2))
    assert inverted(inverted(law)) is law
    assert negated(negated(law)) is law
    assert inverted(discrete([1, 4])).atoms() == ((1, Q(1, 2)), (Q(1, 4), Q(1, 2)))


def test_the_product_of_a_law_and_its_free_inverse_has_mean_m_times_inverse_mean():
    law = free_product(inverted(marchenko_pastur(Q(1, 4))), marchenko_pastur(Q(1, 2)))
    assert law.moments(1) == [Q(4, 3)]


def test_negative_scales_reflect_first():
    assert scaled(marchenko_pastur(1), -2, 1).moments(2) == [-1, 5]
    assert scaled(discrete([1, 3]), -1).atoms() == ((-1, Q(1, 2)), (-3, Q(1, 2)))
    assert negated(semicircle()).R(Q(1, 3)) == Q(1, 3)
    with pytest.raises(RangeError, match="scale 0: not positive"):
        scaled(semicircle(), 0)


def test_laws_that_have_no_inverse_are_refused():
    with pytest.raises(RangeError, match="an atom of mass 1/2 at zero"):
        inverted(marchenko_pastur(2))
    with pytest.raises(RangeError, match="not known to be positive"):
        inverted(semicircle())
    with pytest.raises(RangeError, match="its support reaches zero"):
        _ = inverted(marchenko_pastur(1)).bound
    with pytest.raises(NotSupportedError, match="S-transform"):
        inverted(arcsine(1, 2)).moments(2)


def test_norms_and_signs_are_read_off_the_expression():
    c = covariance("C", d, atoms([-2, 1]))
    assert norm(c + 2 * S) == 6
    assert norm(X.T.T * X.T).subs({n: 4, d: 1}) == Q(9, 4)
    assert is_nonnegative(X * X.T + eye(d))
    assert is_nonnegative(X * (X.T * X + eye(n)).inv() * X.T)
    assert not is_nonnegative(c)
    assert not is_nonnegative(S)
    assert not is_nonnegative(-1 * X * X.T)


def test_what_is_no_law_is_refused_by_name():
    with pytest.raises(NotSupportedError, match="it is not symmetric"):
        matrix_law(S * X * X.T, {"n": 1, "d": 1})
    with pytest.raises(UnknownNameError, match="no value for"):
        matrix_law(X * X.T, {})
    with pytest.raises(NotSupportedError, match=r"norm of .*give bound="):
        matrix_law((X * X.T + eye(d)).inv(), {"n": 2, "d": 1})
    given = matrix_law((X * X.T + eye(d)).inv(), {"n": 2, "d": 1}, bound=1)
    assert given.bound == 1
    lam = control("lam", positive=True)
    with pytest.raises(UnknownNameError, match="no value for lam"):
        matrix_law(X * X.T + lam * eye(d), {"n": 2, "d": 1})


def test_a_walk_ends_with_all_upper_functions_in_the_upper_half_plane():
    law = marchenko_pastur(Q(1, 4))
    walk = Walk(law.curve(), mpmath.mpf(float(law.bound)))
    u = walk.at(mpmath.mpc(1, "1e-6"))
    assert all(h.imag > 0 for h in walk.values(u, walk.curve.upper))
