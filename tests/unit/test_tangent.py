"""Compiled tangent matrices, and the experiments' small pieces."""

import mpmath
import numpy as np
import pytest
from sympy import lambdify

from derive.errors import NotConvergedError, RangeError, ShapeError, UnknownNameError
from derive.recovery.family import Family
from derive.recovery.linear import Diagonal, MatrixFactorization
from derive.recovery.networks import Convolutional, FullyConnected, TwoLayer
from derive.tangent_rank.lines import tangent_block
from derive.tangent_rank.tape import tape_of
from derive.theory.local_recovery import local_recovery
from numeric.experiments.embedding import embedding_family
from numeric.experiments.local_recovery import exponent_law, largest_gap, slopes_of
from numeric.experiments.small_start import small_start
from numeric.recovery_plots import stratification_map
from numeric.tangent import compile_tangent, tangent_source

FAMILIES = [
    TwoLayer(2, 2, bias=True),
    TwoLayer(1, 2, "softplus"),
    TwoLayer(1, 1, "relu", bias=True),
    Convolutional((3,), (2,), 1),
]
FUNCTIONS = [
    "exp",
    "sin",
    "cos",
    "tan",
    "erf",
    "erfc",
    "cosh",
    "sinh",
    "sech",
    "softplus",
    "sigmoid",
    "gelu",
    "mish",
    "silu",
    "asinh",
    "atan",
    "abs",
    "clip",
]


@pytest.mark.parametrize("declared", FAMILIES, ids=str)
def test_compiled_derivatives_are_those_of_sympy(declared, rng):
    family = declared.family()
    theta = rng.normal(size=len(family.parameters))
    x = rng.normal(size=(3, len(family.inputs)))
    value, rows = compile_tangent(family)(theta, x)
    for i, place in enumerate(x):
        point = dict(zip((*family.parameters, *family.inputs), (*theta, *place), strict=True))
        assert value[i] == pytest.approx(float(family.expr.subs(point)), rel=1e-13)
        for j, symbol in enumerate(family.parameters):
            expected = float(family.expr.diff(symbol).doit().subs(point))
            assert rows[i, j] == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    "text",
    [*FUNCTIONS, "log(z**2 + 2)", "sqrt(z**2 + 1)", "1/(3 + 2*exp(z))"],
)
def test_derivatives_of_every_function_are_those_of_differences(text):
    family = TwoLayer(1, 1, text).family()
    tape = tape_of(family.expr, family.parameters, family.inputs)
    block = tangent_block(tape)
    mpmath.mp.dps = 40
    at = {s: mpmath.mpf(v) for s, v in zip(block.inputs, ("1.5", "0.375", "0.75"), strict=True)}
    for symbol, expr in block.lines:
        at[symbol] = expr.subs(at).evalf(40)
    a, w, x = block.inputs
    function = lambdify([a, w, x], family.expr, "mpmath")
    point = [at[a], at[w], at[x]]
    expected = [
        function(*point),
        mpmath.diff(lambda t: function(t, *point[1:]), point[0]),
        mpmath.diff(lambda t: function(point[0], t, point[2]), point[1]),
    ]
    found = [mpmath.mpf(str(r.subs(at).evalf(40))) for r in block.results]
    assert all(abs(f - e) < 1e-18 for f, e in zip(found, expected, strict=True))


def test_code_grows_with_the_network_and_not_with_its_paths():
    def lines(widths):
        family = FullyConnected(widths).family()
        return len(tangent_block(tape_of(family.expr, family.parameters, family.inputs)).lines)

    deep, deeper = lines((2, 4, 4, 4, 1)), lines((2, 4, 4, 4, 4, 1))
    assert deeper - deep < 150


def test_generated_text_is_the_same_every_time():
    family = TwoLayer(2, 2).family()
    assert tangent_source(family) == tangent_source(TwoLayer(2, 2).family())
    assert "math.tanh" in tangent_source(family)


def test_points_of_the_wrong_shape_are_refused():
    tangent = compile_tangent(TwoLayer(2, 2, bias=True).family())
    with pytest.raises(ShapeError, match=r"8 parameters and 2 inputs"):
        tangent(np.zeros(7), np.zeros((3, 2)))
    assert tangent(np.zeros(8), np.zeros((0, 2)))[1].shape == (0, 8)


def test_exact_layers_agree_with_mpmath_at_depth_three():
    mpmath.mp.dps = 30
    family = FullyConnected((1, 1, 1, 1)).family()
    theta = [0.5, -0.25, 1.5, 0.125, 2.0, 0.75]
    value, rows = compile_tangent(family)(np.array(theta), np.array([[0.375]]))

    def f(*t):
        w1, b1, w2, b2, w3, b3 = t
        return w3 * mpmath.tanh(w2 * mpmath.tanh(w1 * mpmath.mpf(0.375) + b1) + b2) + b3

    assert value[0] == pytest.approx(float(f(*theta)), rel=1e-14)
    for j in range(6):
        order = tuple(int(i == j) for i in range(6))
        expected = float(mpmath.diff(f, tuple(map(mpmath.mpf, theta)), order))
        assert rows[0, j] == pytest.approx(expected, rel=1e-12)


def test_slopes_of_powers_are_the_powers():
    deltas = (1e-4, 1e-3, 1e-2)
    errors = np.array([[3 * d, 0.5 * d**2] for d in deltas]).T
    assert slopes_of(errors, deltas) == pytest.approx([1, 2])


def test_largest_gap_reads_full_and_empty_matrices():
    assert largest_gap(np.array([3.0, 2.0, 1.0]))[0] == 3
    assert largest_gap(np.zeros(2))[0] == 0


def test_a_sum_without_parameters_in_one_output_has_no_kernel():
    with pytest.raises(UnknownNameError, match="without inputs"):
        Family(TwoLayer(1, 1).family().expr, TwoLayer(1, 1).family().parameters, ()).rank()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: exponent_law(local_recovery(Diagonal(3), 1)), RangeError, "no smaller sample"),
        (lambda: exponent_law(local_recovery(Diagonal(3), 0), 2), RangeError, "nothing to recover"),
        (lambda: embedding_family((2, 1)), ShapeError, "no hidden layer"),
        (
            lambda: small_start(MatrixFactorization(2, 2, 2), 1, [2], observed="rows"),
            UnknownNameError,
            "gaussian or entries",
        ),
        (
            lambda: small_start(MatrixFactorization(2, 2, 2), 1, [5], observed="entries"),
            RangeError,
            "out of range",
        ),
        (lambda: stratification_map([1], {1: 2}, np.ones((2, 2))), ShapeError, "1 ranks, 1 sizes"),
    ],
)
def test_bad_input_is_one_clear_line(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_data_set_without_critical_point_is_an_error_with_its_gradient(monkeypatch):
    monkeypatch.setattr("numeric.experiments.embedding._GOAL", 0.0)
    monkeypatch.setattr("numeric.experiments.embedding._STARTS", 1)
    with pytest.raises(NotConvergedError, match="gradient"):
        embedding_family((1, 1, 1))
