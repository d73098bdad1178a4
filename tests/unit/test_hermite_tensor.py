"""Hermite tensors against product quadrature in NumPy, and zeros by proof."""

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from sympy import (
    Abs,
    Max,
    Rational,
    Symbol,
    cos,
    erf,
    exp,
    expand,
    pi,
    sign,
    sin,
    sqrt,
    symbols,
    tanh,
)

from derive.errors import RangeError, ShapeError
from derive.hermite_tensor import hermite_tensor
from derive.pairs.joint_mean import JointMean
from derive.value import Kind

z1, z2, z3 = symbols("z1:4", real=True)


def planar(f, counts):
    """Trapezoidal rule in the plane for functions analytic in a strip."""
    x = np.arange(-10, 10, 1 / 16)
    u, w = np.meshgrid(x, x, indexing="ij")
    weight = np.exp(-(u**2 + w**2) / 2) / 256 / (2 * np.pi)
    he = [np.polynomial.hermite_e.hermeval(x, [0] * n + [1]) for n in counts]
    return float((f(u, w) * weight * he[0][:, None] * he[1][None, :]).sum())


def test_a_staircase_polynomial_has_exact_tensors():
    f = z1 + z1 * z2 + 3 * z1 * z2 * z3 + z3**2
    assert list(hermite_tensor(f, 1).array()) == [1, 0, 0]
    second = hermite_tensor(f, 2)
    assert second[0, 1].expr == second[1, 0].expr == 1
    assert second[2, 2].expr == 2
    assert second[0, 2].expr == 0
    assert hermite_tensor(f, 3)[2, 0, 1].expr == 3
    assert hermite_tensor(f, 4).is_zero
    assert hermite_tensor(f, 0).array() == 1


def test_polynomials_rebuild_from_their_tensors():
    f = expand((z1 + 2 * z2) ** 3 - z1 * z2**2 + 5)
    nodes, weights = hermegauss(8)
    u, w = np.meshgrid(nodes, nodes, indexing="ij")
    values = (u + 2 * w) ** 3 - u * w**2 + 5
    square = float((np.outer(weights, weights) * values**2).sum() / (2 * np.pi))
    mass = 0.0
    for k, factorial in enumerate((1, 1, 2, 6)):
        tensor = hermite_tensor(f, k)
        for counts, value in tensor.entries.items():
            split = np.prod([[1, 1, 2, 6][n] for n in counts])
            mass += factorial / split * float(value.expr) ** 2 / factorial
    assert abs(mass - square) < 1e-9


def test_products_of_functions_of_one_variable_are_exact():
    f = erf(z1) * exp(z2) + Max(z1, 0) * sign(z2)
    tensor = hermite_tensor(f, 2)
    assert tensor.kind is Kind.CLOSED_FORM
    assert tensor[0, 1].expr == expand(2 / sqrt(3 * pi) * exp(Rational(1, 2)) + sqrt(2 / pi) / 2)


def test_a_linear_form_gives_a_rank_one_tensor_plus_nothing():
    tensor = hermite_tensor(Max(z1 + 2 * z2 - Rational(1, 2), 0), 2)
    matrix = tensor.array()
    assert tensor.kind is Kind.CLOSED_FORM
    assert matrix.det().expand() == 0
    assert expand(matrix[1, 1] - 4 * matrix[0, 0]) == 0
    density = np.exp(-0.025) / np.sqrt(2 * np.pi * 5)
    assert abs(float(matrix[0, 0]) - density) < 1e-14


@pytest.mark.parametrize("counts", [(1, 0), (2, 1), (0, 3)])
def test_smooth_linear_forms_are_certified(counts):
    places = tuple(i for i, n in enumerate(counts) for _ in range(n))
    value = hermite_tensor(tanh(z1 + z2 / 2), len(places))[places]
    assert value.kind is Kind.BALL
    assert abs(float(value) - planar(lambda u, w: np.tanh(u + w / 2), counts)) < 1e-12


@pytest.mark.parametrize("places", [(0, 0), (0, 1), (1, 1)])
def test_a_polynomial_times_a_linear_form(places):
    counts = (places.count(0), places.count(1))
    value = hermite_tensor(z1 * z2**2 * tanh(z1 - z2) + cos(z1 + z2), 2)[places]

    def f(u, w):
        return u * w**2 * np.tanh(u - w) + np.cos(u + w)

    assert abs(float(value) - planar(f, counts)) < 1e-11


def test_the_maximum_of_two_variables():
    assert hermite_tensor(Max(z1, z2), 0).array() == 1 / sqrt(pi)
    assert list(hermite_tensor(Max(z1, z2), 1).array()) == [Rational(1, 2), Rational(1, 2)]


def test_what_does_not_separate_is_kept_and_evaluated():
    value = hermite_tensor(tanh(z1 * z2), 2)[0, 1]
    assert isinstance(value.expr, JointMean)
    assert value.kind is Kind.TWO_PRECISIONS
    assert "does not separate" in value.reason
    ball = value.ball(6)
    assert not ball.rigorous
    assert abs(float(ball) - planar(lambda u, w: np.tanh(u * w), (1, 1))) < 1e-6


def test_zeros_are_proved_by_flips_and_exchanges():
    flips = hermite_tensor(tanh(z1 * z2), 2)
    assert flips[0, 0].expr == 0
    assert "flip" in flips[0, 0].reason
    assert hermite_tensor(tanh(z1 * z2), 1).is_zero
    odd = hermite_tensor(sin(z1 * z2**2 + z1) - sin(z2 * z1**2 + z2), 2)
    assert odd[0, 1].expr == 0
    both = hermite_tensor(exp(-((z1 * z2) ** 2)) * (z1 - z2), 0)
    assert both.array() == 0
    swapped = hermite_tensor(1 / (1 + z1**2 + 2 * z2**4) - 1 / (1 + z2**2 + 2 * z1**4), 2)
    assert swapped[0, 1].expr == 0
    assert hermite_tensor(1 / (1 + z1**2 + 2 * z2**4) - 1 / (1 + z2**2 + 2 * z1**4), 0).array() == 0


def test_a_small_number_is_not_declared_zero():
    value = hermite_tensor(tanh(z1 * z2) / 10**12 + z1, 2)[0, 1]
    assert value.expr != 0


def test_signs_of_products_vanish_below_their_order():
    tensor = hermite_tensor(sign(z1 * z2 * z3), 3)
    assert hermite_tensor(sign(z1 * z2 * z3), 2).is_zero
    assert tensor[0, 1, 2].expr == sqrt(2 / pi) ** 3
    assert tensor[0, 0, 1].expr == 0


def test_parameters_stay_symbolic():
    a = Symbol("a", positive=True)
    assert hermite_tensor(a * Abs(z1) * z2, 1, (z1, z2))[1].expr == a * sqrt(2 / pi)


def test_bad_requests_are_named():
    with pytest.raises(RangeError, match="order = -1"):
        hermite_tensor(z1, -1)
    with pytest.raises(RangeError, match="not declared real"):
        hermite_tensor(Symbol("w") ** 2, 1)
    with pytest.raises(ShapeError, match="2 variables"):
        hermite_tensor(z1 * z2, 2)[0, 2]
