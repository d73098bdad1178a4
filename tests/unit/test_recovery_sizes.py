"""Closed forms of optimistic sample sizes, their status, strata, and bad input."""

import pytest
from sympy import Rational, binomial, sympify, tanh

from derive.errors import NotSupportedError, RangeError, ShapeError, UnknownNameError
from derive.recovery.linear import DeepLinear, Diagonal, MatrixFactorization
from derive.recovery.networks import Convolutional, FullyConnected, Monomial, TwoLayer
from derive.recovery.placements import Kernels, placement_point
from derive.recovery.sizes import (
    deep_convolutional_bound,
    optimistic_sample_size,
    secant_dimension,
)
from derive.recovery.strata import factor_point, factor_ranks, fibre_strata, rank_table

ALL = [
    (TwoLayer(4, 5), 3),
    (TwoLayer(2, 3, bias=True, output_bias=True), 2),
    (Convolutional((3, 4), (2, 2), 2), 2),
    (Convolutional((6,), (2,), 2, "pooled", bias=True), 1),
    (Convolutional((4,), (2,), 2, "full", bias=True), 1),
    (FullyConnected((2, 4, 3, 2)), (2, 3, 2, 2)),
    (MatrixFactorization(3, 5, 4), 2),
    (DeepLinear((4, 3, 3, 5)), 2),
    (Diagonal(5, 3), 2),
    (Monomial(2, 4, 4), 3),
]


@pytest.mark.parametrize(("family", "target"), ALL, ids=str)
def test_number_of_parameters_is_that_of_the_expression(family, target):
    made = family.family()
    assert family.parameters == len(made.parameters) == len(set(made.parameters))
    assert optimistic_sample_size(family, target).parameters == family.parameters
    assert set(family.target(target)) == set(made.parameters)


def test_size_does_not_depend_on_the_width_of_the_network():
    sizes = {optimistic_sample_size(TwoLayer(5, m), 3).value for m in (3, 10, 50)}
    assert sizes == {18}
    assert {
        optimistic_sample_size(FullyConnected((2, m, m, 1)), (2, 2, 2, 1)).value for m in (2, 9)
    } == {15}


def test_formula_gives_the_value():
    size = optimistic_sample_size(MatrixFactorization(7, 5, 5), 3)
    values = {"r": 3, "p": 7, "q": 5}
    assert size.formula.subs({s: values[s.name] for s in size.formula.free_symbols}) == 27
    assert size.value == 27


def test_depth_three_is_called_an_upper_bound_and_two_layers_exact():
    assert (
        optimistic_sample_size(FullyConnected((2, 3, 3, 1)), (2, 2, 2, 1)).status == "upper bound"
    )
    assert optimistic_sample_size(FullyConnected((2, 3, 1)), 2).status == "exact"
    assert optimistic_sample_size(TwoLayer(2, 3, "relu"), 2).status == "upper bound"
    assert optimistic_sample_size(TwoLayer(2, 3, "atan"), 2).status == "upper bound"


def test_shallow_network_is_the_two_layer_one():
    for k in range(4):
        deep = optimistic_sample_size(FullyConnected((3, 5, 1)), (3, max(k, 1), 1))
        wide = optimistic_sample_size(TwoLayer(3, 5, bias=True, output_bias=True), max(k, 1))
        assert (deep.value, deep.status) == (wide.value, wide.status)


def test_zero_costs_nothing_unless_the_activation_starts_elsewhere():
    assert optimistic_sample_size(TwoLayer(3, 4), 0).value == 0
    assert optimistic_sample_size(TwoLayer(3, 4, "sigmoid"), 0).value == 1


def test_a_constant_target_costs_a_neuron_without_weights():
    family = TwoLayer(3, 4, bias=True)
    assert optimistic_sample_size(family, 2, constant=True).value == 14
    with pytest.raises(NotSupportedError, match="hidden biases and no output bias"):
        optimistic_sample_size(TwoLayer(3, 4), 2, constant=True)


def test_secant_dimensions_meet_the_count_except_where_listed():
    for p, d, k in ((3, 4, 3), (4, 3, 4), (5, 3, 7), (3, 5, 8)):
        assert secant_dimension(p, d, k) == min(k * d, binomial(d + p - 1, p))
    assert secant_dimension(4, 5, 14) == 69
    assert secant_dimension(2, 6, 6) == secant_dimension(2, 6, 9) == 21
    assert (secant_dimension(1, 6, 3), secant_dimension(3, 5, 0)) == (6, 0)


def test_deep_convolutional_bound_counts_the_narrow_network():
    assert deep_convolutional_bound([(3, 9)], 10, inputs=2) == 3 * (9 * 2 + 1) + 10


def test_every_stratum_of_a_small_fibre_is_certified_and_represents_the_function():
    network = TwoLayer(2, 4)
    family, target = network.family(), network.target(1)
    place = {s: 3 + i for i, s in enumerate(family.inputs)}
    value = family.expr.xreplace({**target, **place}).evalf(30)
    for stratum in fibre_strata(network, 1):
        point = stratum.point(network, 1)
        assert abs(family.expr.xreplace({**point, **place}).evalf(30) - value) < 1e-25
        found = family.rank(point)
        assert (found.rank, found.exact) == (stratum.rank, True)


def test_smallest_stratum_is_the_optimistic_size():
    for k in range(4):
        network = TwoLayer(3, 5)
        least = min(s.rank for s in fibre_strata(network, k))
        assert least == optimistic_sample_size(network, k).value


def test_factors_of_every_rank_are_certified():
    family = MatrixFactorization(3, 4, 3)
    for ranks, expected in factor_ranks(family, 1).items():
        found = family.family().rank(factor_point(family, 1, ranks))
        assert (found.rank, found.exact) == (expected, True)


@pytest.mark.parametrize("sharing", ["local", "full"])
@pytest.mark.parametrize(
    ("weights", "outputs", "neurons"),
    [
        (((1, 2, 3),), ((1, 1, 1),), 3),
        (((1, 2, 3),), ((1, 0, 1),), 2),
        (((1, 0, 0), (0, 0, 1)), ((1, 1, 1), (1, 1, 1)), 5),
        (((1, 0, 0), (0, 0, -1)), ((1, 1, 1), (1, 1, 1)), 4),  # one pair cancels
        (((0, 2, 0), (2, 0, 0)), ((1, 2, 3), (1, 1, 1)), 4),
        (((1, 2, 3), (-1, -2, -3)), ((1, 1, 1), (3, 1, 2)), 2),
        (((0, 0, 0),), ((1, 1, 1),), 0),
    ],
)
def test_given_kernels_count_by_distinct_placements(sharing, weights, outputs, neurons):
    layer = Convolutional((5,), (3,), 2, sharing)
    kernels = Kernels(weights, outputs)
    size = optimistic_sample_size(layer, kernels)
    assert size.value == neurons * (4 if sharing == "local" else 6)
    family, point = layer.family(), placement_point(layer, kernels)
    found = family.rank(point)
    assert (found.rank, found.exact) == (size.value, True)
    x = [Rational(3, 2), -1, 2, Rational(1, 3), 5]
    direct = sum(
        a * tanh(sum(w * x[i] for w, i in zip(taps, window, strict=True)))
        for taps, out in zip(weights, outputs, strict=True)
        for a, window in zip(out, layer.windows(), strict=True)
    )
    value = family.expr.xreplace(point | dict(zip(family.inputs, map(sympify, x), strict=True)))
    assert abs(sympify(value - direct).evalf(30)) < 1e-25


def test_rank_tables_rise():
    assert [int(s) for s in rank_table(TwoLayer(4, 3), 3).values()] == [0, 5, 10, 15]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: optimistic_sample_size(TwoLayer(3, 4), 5), RangeError, "at most 4"),
        (lambda: optimistic_sample_size(TwoLayer(3, 4), (1, 2)), RangeError, "not one number"),
        (lambda: optimistic_sample_size("tanh", 2), NotSupportedError, "no closed form"),
        (lambda: TwoLayer(0, 4), RangeError, "d = 0"),
        (
            lambda: optimistic_sample_size(
                Convolutional((3,), (2,), 1), Kernels(((1, 2),), ((1, 1),))
            ),
            NotSupportedError,
            "shared weights",
        ),
        (
            lambda: optimistic_sample_size(
                Convolutional((3,), (2,), 1, "full"), Kernels(((1,),), ((1, 1),))
            ),
            ShapeError,
            "2 taps and 2 positions",
        ),
        (lambda: TwoLayer(3, 2.5), RangeError, "width = 2.5"),
        (lambda: Convolutional((3,), (4,), 1), ShapeError, "larger"),
        (lambda: Convolutional((3, 3), (2,), 1), ShapeError, "as many axes"),
        (lambda: Convolutional((3,), (2,), 1, "tied"), UnknownNameError, "shared, local"),
        (lambda: FullyConnected((3,)), ShapeError, "too few"),
        (
            lambda: optimistic_sample_size(FullyConnected((2, 3, 1)), (2, 4, 1)),
            ShapeError,
            "does not fit",
        ),
        (lambda: MatrixFactorization(3, 3, 2).target(3), RangeError, "narrowest layer has 2"),
        (lambda: MatrixFactorization(3, 3, 2).rank_at(3, 1), RangeError, "impossible"),
        (lambda: Diagonal(3, 2).target(4), RangeError, "d = 3"),
        (lambda: fibre_strata(TwoLayer(2, 3, bias=True), 1), NotSupportedError, "without biases"),
        (
            lambda: factor_point(MatrixFactorization(3, 3, 3), 1, (3, 3)),
            RangeError,
            "not over a matrix",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)
