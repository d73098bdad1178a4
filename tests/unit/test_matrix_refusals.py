"""What is no matrix expression, no law or no sample is refused in one line that names it."""

import numpy as np
import pytest
from sympy import Matrix, MatrixSymbol, Rational, Symbol, exp, sin

from derive.dyson import equations
from derive.errors import DeriveError, NotSupportedError, ParseError, RangeError, ShapeError
from derive.matrices import (
    covariance,
    dims,
    eye,
    gaussian,
    ntrace,
    outer,
    quadratic,
    vector,
    wigner,
)
from derive.random_matrices.matrix_blocks import block
from derive.random_matrices.spectral_measure import atoms, power_law
from derive.spectra.laws import semicircle
from derive.spectra.system_law import matrix_law
from derive.spectra.transformed import inverted, negated
from derive.spikes import outliers
from derive.symbols import control
from derive.transforms import free_product, free_sum, scaled
from numeric.experiments.matrices import sample
from numeric.spectrum import spectrum

n, p, d = dims("n p d")
lam, z = control("lam", positive=True), control("z")
W, X, S = gaussian("W", p, d, 1 / d), gaussian("X", d, n, 1 / n), wigner("S", d, 1 / d)
u = vector("u", d)


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda: W + X, ShapeError, r"W is p x d, X is d x n"),
        (lambda: X * W, ShapeError, "inner dimensions must agree"),
        (X.inv, ShapeError, "inverse of X: X is d x n"),
        ((X - X).inv, ShapeError, "only square matrices invert"),
        ((S - S).inv, DeriveError, "it is zero"),
        (lambda: S * wigner("S", d, 2 / d), DeriveError, "the letter S is declared as"),
        (lambda: ntrace(exp(S)), NotSupportedError, "not an expression of declared matrices"),
        (lambda: sin(S) * S, NotSupportedError, "a matrix inside a scalar function"),
        (lambda: S ** Rational(1, 2), NotSupportedError, "not an integer power"),
        (lambda: S**lam, NotSupportedError, "not an integer power"),
        (lambda: abs(S), NotSupportedError, r"abs\(S\)"),
        (lambda: 1 / S, NotSupportedError, "use .inv"),
        (lambda: S / 0, DeriveError, "division by zero"),
        (lambda: S + 1, NotSupportedError, r"scalars join as lam\*eye"),
        (lambda: S + MatrixSymbol("M", 3, 3), NotSupportedError, "not an expression of declared"),
        (lambda: S * Matrix([[1]]), ParseError, "not a scalar|not an expression"),
        (lambda: np.eye(2) * S, ParseError, "scalar array"),
        (lambda: gaussian("A", -1, d, 1), RangeError, "letter A: dimension -1"),
        (lambda: gaussian("A", 2.5, d, 1), RangeError, "dimension 5/2"),
        (lambda: wigner("A", 0, 1), RangeError, "dimension 0"),
        (lambda: covariance("A", -d, atoms([1])), RangeError, "dimension -d"),
        (lambda: eye(0), RangeError, "identity: dimension 0"),
        (lambda: gaussian("lambda", d, d, 1), ParseError, "letter 'lambda'"),
        (lambda: vector("u", d, square=-1), RangeError, "squared length -1"),
        (lambda: vector("class", d), ParseError, "vector 'class'"),
        (lambda: quadratic("u", S), NotSupportedError, "quadratic form of u: no vector"),
        (lambda: outliers(S + z * outer(u), z), NotSupportedError, "it is part of the matrix"),
        (lambda: outliers(S + outer(u), "z"), NotSupportedError, "it is no control"),
        (lambda: equations({}), ShapeError, "no outputs"),
        (lambda: equations({1: ntrace(S)}), ParseError, "output 1"),
        (
            lambda: equations(ntrace((S * S + Symbol("x") * eye(d)).inv())).system(),
            DeriveError,
            "x",
        ),
        (lambda: block([[S, X], [X, eye(n)]]), ShapeError, "block"),
        (lambda: matrix_law(X * X.T, {"n": -1, "d": 1}), RangeError, "n = -1"),
        (lambda: inverted(3), NotSupportedError, "law of 1/x: 3 is no law"),
        (lambda: negated(None), NotSupportedError, "None is no law"),
        (lambda: free_sum(semicircle(), 3), NotSupportedError, "free sum: 3 is no law"),
        (lambda: free_product("x"), NotSupportedError, "free product: 'x' is no law"),
        (lambda: scaled(2, semicircle()), NotSupportedError, "scaled law: 2 is no law"),
        (lambda: spectrum(None), NotSupportedError, "spectrum: None is no law"),
        (lambda: sample(ntrace(S), {"d": "3"}), RangeError, "d = '3'"),
        (lambda: sample(ntrace(S), {"d": float("nan")}), RangeError, "d = nan"),
        (lambda: sample(ntrace(S), {"d": 3}, trials=0), RangeError, "0 trials"),
        (lambda: semicircle().polynomial().branches(0, 0), RangeError, "0 terms"),
        (
            lambda: equations(
                ntrace(covariance("P", d, power_law(Rational(1, 2))) * S * S)
            ).discretised(0),
            RangeError,
            "0 nodes",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(build, kind, words):
    with pytest.raises(kind, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)
