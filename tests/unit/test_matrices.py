"""The matrix language: shapes, normal forms, refusals, spectra, derivatives, sampling."""

import mpmath as mp
import numpy as np
import pytest
from sympy import Identity as SymPyIdentity
from sympy import Integral, MatrixSymbol, Rational, Symbol, diff, exp, latex

from derive.errors import (
    DeriveError,
    NotSupportedError,
    ParseError,
    RangeError,
    ShapeError,
    UnknownNameError,
)
from derive.matrices import (
    commuting,
    covariance,
    dims,
    eye,
    gaussian,
    ntrace,
    quadratic,
    vector,
    wigner,
)
from derive.random_matrices.matrix_blocks import block
from derive.random_matrices.matrix_calculus import derivative
from derive.random_matrices.spectral_measure import atoms, empirical, marchenko_pastur, power_law
from derive.symbols import control
from numeric.experiments.matrices import sample

n, p, d = dims("n p d")
lam = control("lam", positive=True)
k = control("k")
W = gaussian("W", p, d, 1 / d)
X = gaussian("X", d, n, 1 / n)
S = wigner("S", d, 1 / d)
C = covariance("C", d, atoms([1, 4]))
Z = gaussian("Z", p, n, 1 / n, complex=True)
s = Symbol("s")


def test_transposes_reach_the_letters_and_inverses_stay_symmetric():
    resolvent = (W * X * X.T * W.T + lam * eye(p)).inv()
    assert resolvent == resolvent.T
    assert str((k * W * X).T) == "k*X.T*W.T"
    assert (W.T).T == W
    assert (C.T, S.T) == (C, S)


def test_the_inverse_of_a_product_of_inverses_is_a_product():
    one, other = (X * X.T + lam * eye(d)).inv(), (S + 3 * eye(d)).inv()
    assert (one * other).inv() == (S + 3 * eye(d)) * (X * X.T + lam * eye(d))
    assert (2 * one * one).inv() == (X * X.T + lam * eye(d)) ** 2 / 2


def test_equal_expressions_are_equal_however_they_are_written():
    one = (X * X.T + lam * eye(d)).inv()
    other = (eye(d) * lam + X * X.T).inv()
    assert one == other
    assert hash(one) == hash(other)
    assert one - other == 0 * eye(d)
    assert X * X.T + X * X.T == 2 * X * X.T


def test_inverses_cancel_and_powers_unroll():
    assert S * S.inv() == eye(d)
    assert S.inv().inv() == S
    assert (2 * S).inv() == S.inv() / 2
    assert S**3 == S * S * S
    assert (S * S).inv() == S**-2
    assert eye(d) == S**0


def test_floats_are_read_as_the_decimals_they_print_as():
    assert Rational(1, 10) * S == 0.1 * S


def test_sympy_identities_join_and_undeclared_letters_do_not():
    assert S + SymPyIdentity(d) == S + eye(d)
    with pytest.raises(NotSupportedError, match="declare letters"):
        _ = S + MatrixSymbol("A", d, d)


def test_traces_of_constants_are_evaluated_and_scalars_come_out():
    assert ntrace(3 * eye(p)) == 3
    assert ntrace(S - S) == 0
    assert ntrace(k * S) == k * ntrace(S)


def test_latex_has_daggers_and_transposes():
    assert latex(W * X * X.T) == r"W X X^{\top}"
    assert latex(Z.H) == r"Z^{\dagger}"
    assert latex(ntrace(S)) == r"\left\langle S \right\rangle"


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda: W * W, ShapeError, "W is p x d, W is p x d"),
        (lambda: W + X, ShapeError, "W is p x d, X is d x n"),
        ((W * X).inv, ShapeError, r"W\*X is p x n"),
        (lambda: W**2, ShapeError, "powers need a square"),
        (lambda: ntrace(W), ShapeError, "W is p x d"),
        ((S - S).inv, DeriveError, "it is zero"),
        (lambda: S ** Rational(1, 2), NotSupportedError, r"\(S\)\*\*1/2: not an integer power"),
        (lambda: S**k, NotSupportedError, "not an integer power"),
        (lambda: S * exp(S), NotSupportedError, r"exp\(S\): a matrix inside a scalar function"),
        (lambda: ntrace(exp(S)), NotSupportedError, r"exp\(S\) is not an expression of declared"),
        (lambda: 2**S, NotSupportedError, "not a rational expression"),
        (lambda: 1 / S, NotSupportedError, "use .inv"),
        (lambda: S / S, NotSupportedError, "multiply by"),
        (lambda: S / 0, DeriveError, "division by zero"),
        (lambda: lam + S, NotSupportedError, r"lam\*eye"),
        (lambda: S * "2", ParseError, "a string"),
        (lambda: S * float("inf"), RangeError, "not finite"),
        (lambda: Z.T, NotSupportedError, "use Z.H"),
        (lambda: W * gaussian("W", d, p, 1 / p), DeriveError, "the letter W is declared as"),
        (lambda: X + gaussian("X", d, n, 1), DeriveError, "variance=1"),
        (lambda: gaussian("2x", d, n, 1), ParseError, "identifier"),
        (lambda: gaussian("Y", d, n, -1), RangeError, "positive variance"),
        (lambda: block([[S, X], [X, S]]), ShapeError, "block column 0"),
        (lambda: block([[S, X], [S]]), ShapeError, "rows of different lengths"),
        (lambda: S.part(1, 0), ShapeError, "1 x 1 blocks"),
        (lambda: covariance("A", d, atoms([(1, 2)])), ShapeError, "commuting"),
        (lambda: commuting("A B", d, atoms([1, 2])), ShapeError, "2 names for 1"),
        (lambda: atoms([1, 2], [0.5, 0.6]), RangeError, "sum to 11/10"),
        (lambda: power_law(1.2), RangeError, "no mean"),
        (lambda: quadratic(vector("u", p), S), ShapeError, "must fit"),
    ],
)
def test_bad_input_is_refused_with_the_sub_expression_named(build, kind, words):
    with pytest.raises(kind, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_blocks_multiply_only_where_their_splits_agree():
    left = block([[S, X], [X.T, -eye(n)]])
    other = block([[eye(n), X.T], [X, S]])
    assert left.shape == other.shape == (d + n, d + n)
    with pytest.raises(ShapeError, match="inner dimensions"):
        _ = left * other
    assert left.inv().part(0, 1).shape == (d, n)
    assert left == left.T
    assert (left + lam * eye(d + n)).shape == (d + n, d + n)


def test_measures_average_exactly_or_as_integrals():
    assert atoms([1, 4], [Rational(3, 4), Rational(1, 4)]).mean(1 / s, [s]) == Rational(13, 16)
    assert empirical([2, 2, 5]).mean(s, [s]) == 3
    assert atoms([(1, 2), (3, 4)]).mean(s * lam, [s, lam]) == 7
    assert power_law(2, count=2).mean(s, [s]) == Rational(5, 8)
    assert power_law(Rational(1, 2)).mean(s, [s]).doit() == 2


@pytest.mark.parametrize("ratio", [Rational(1, 3), Rational(2)])
def test_marchenko_pastur_has_its_moments(ratio):
    measure = marchenko_pastur(ratio, 3)
    first, second = measure.mean(s, [s]), measure.mean(s**2, [s])
    assert first.has(Integral)
    assert abs(mp.mpf(first.evalf(20)) - 3) < mp.mpf(10) ** -13
    assert abs(mp.mpf(second.evalf(20)) - 9 * (1 + mp.mpf(ratio.p) / ratio.q)) < mp.mpf(10) ** -12


def test_derivatives_follow_the_resolvent_rule():
    resolvent = (X * X.T + lam**2 * eye(d)).inv()
    assert derivative(resolvent, lam) == -2 * lam * resolvent * resolvent
    assert diff(lam * ntrace(resolvent), lam) == ntrace(resolvent) - 2 * lam**2 * ntrace(
        resolvent * resolvent
    )
    with pytest.raises(NotSupportedError, match="holds lam"):
        derivative(gaussian("Y", d, d, lam), lam)


def test_derivatives_of_blocks_agree_with_differences():
    whole = block([[lam * eye(d), X], [X.T, -(lam**2) * eye(n)]]).inv()
    value = ntrace(whole.part(0, 0))
    sizes = {"n": 12, "d": 7}
    exact = sample(diff(value, lam), {**sizes, "lam": 0.7}).mean("value")
    step = 1e-5
    high = sample(value, {**sizes, "lam": 0.7 + step}).mean("value")
    low = sample(value, {**sizes, "lam": 0.7 - step}).mean("value")
    assert abs((high - low) / (2 * step) - exact) < 1e-6 * abs(exact)


def test_scalars_and_controls_substitute_into_expressions():
    resolvent = (X * X.T + lam * eye(d)).inv()
    assert resolvent.subs(lam, 2) == (X * X.T + 2 * eye(d)).inv()


def test_vectors_give_quadratic_forms():
    u, v = vector("u", d, square=2), vector("v", d)
    T, _ = commuting("T Sigma", d, atoms([(1, 2), (3, 4)]))
    assert quadratic(u, S) == 2 * ntrace(S)
    assert quadratic(u, S, v) == 0
    assert quadratic(vector("w", d, moment=T), S) == ntrace(T * S)


def test_letters_are_sampled_as_declared():
    rng_sizes = {"n": 300, "d": 200, "p": 250}
    found = sample(
        {
            "gaussian": ntrace(W.T * W) * d / p,
            "wigner": ntrace(S * S),
            "complex": ntrace(Z * Z.H),
            "covariance": ntrace(C * C),
        },
        rng_sizes,
        seed=3,
        trials=4,
    )
    assert abs(found.mean("gaussian") - 1) < 4 * np.sqrt(2 / (4 * 200 * 250))
    assert abs(found.mean("wigner") - 1) < 0.02
    assert abs(found.mean("complex") - 1) < 4 * np.sqrt(1 / (4 * 250 * 300))
    assert found.mean("covariance") == pytest.approx(8.5, abs=1e-12)


def test_covariances_declared_apart_are_in_generic_position():
    D = covariance("D", d, atoms([-1, 1]))
    together = commuting("A B", d, atoms([(-1, -1), (1, 1)]))
    found = sample(
        {"apart": ntrace(C * D * C * D), "together": ntrace(together[0] * together[1])}, {"d": 150}
    )
    assert abs(found.mean("apart") - 6.25) < 0.15
    assert found.mean("together") == pytest.approx(1, abs=1e-12)


def test_samples_repeat_with_the_seed_and_differ_between_trials():
    value = ntrace(X * X.T * X * X.T)
    first = sample(value, {"n": 20, "d": 10}, seed=1, trials=3)
    again = sample(value, {"n": 20, "d": 10}, seed=1, trials=3)
    assert np.array_equal(first.values["value"], again.values["value"])
    assert len(set(first.values["value"])) == 3
    assert first.stderr("value") > 0


def test_samples_name_what_is_missing():
    with pytest.raises(UnknownNameError, match="give n="):
        sample(ntrace(X * X.T), {"d": 10})
    with pytest.raises(RangeError, match="integers"):
        sample(ntrace(X * X.T), {"d": 10, "n": 2.5})
    with pytest.raises(RangeError, match="at least two trials"):
        sample(ntrace(X * X.T), {"d": 10, "n": 20}).stderr("value")
