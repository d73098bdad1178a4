"""Published and verified values of local linear recovery, and unseen ones of the same kinds."""

import random
import re
from fractions import Fraction
from pathlib import Path

import pytest
from sympy import Symbol, symbols, tanh

from derive.model_rank import model_rank
from derive.piecewise_rank import piecewise_rank
from derive.recovery.completion import completion_probability
from derive.recovery.linear import DeepLinear, MatrixFactorization
from derive.recovery.networks import Convolutional, FullyConnected, Monomial, TwoLayer
from derive.recovery.sizes import optimistic_sample_size
from derive.recovery.strata import Stratum, factor_point, factor_ranks, fibre_strata
from derive.theory.local_recovery import local_recovery

NOTES = Path(__file__).parents[2] / "derivations" / "local_recovery" / "NOTES.md"


def neurons(weights):
    d = len(weights[0])
    x = symbols(f"x1:{d + 1}")
    expr, theta, point = 0, [], {}
    for i, row in enumerate(weights):
        out, own = Symbol(f"a{i}"), symbols(f"w{i}_1:{d + 1}")
        expr += out * tanh(sum(s * t for s, t in zip(own, x, strict=True)))
        theta += [out, *own]
        point |= {out: i + 1} | dict(zip(own, row, strict=True))
    return model_rank(expr, theta, x, point)


def certified(family, target):
    """Value of the closed form, after the witness agreed."""
    model = local_recovery(family, target)
    size, found = model.sample_size(), model.certify()
    assert (found.rank, found.exact) == (size.value, True)
    return size.value


def test_strata_of_two_neurons_in_six():
    network = TwoLayer(3, 6)
    family = network.family()
    expected = {
        (4, 0, 0, 0): 8,  # null neurons, or split ones
        (0, 4, 0, 0): 12,  # a = 0, new directions
        (0, 0, 4, 0): 11,  # w = 0
    }
    listed = {(s.null, s.silent, s.flat, s.pairs): s for s in fibre_strata(network, 2)}
    for kind, rank in expected.items():
        assert listed[kind].rank == rank
        assert family.rank(listed[kind].point(network, 2)).rank == rank
    generic = family.rank()
    assert (generic.rank, generic.exact) == (24, True)


def test_split_neurons_cost_nothing():
    network = TwoLayer(3, 6)
    point = network.target(2)
    (a1, w1, _), others = network.neuron(1), [network.neuron(i) for i in (3, 4, 5, 6)]
    for a, w, _ in others:
        point |= dict(zip(w, (point[s] for s in w1), strict=True)) | {a: point[a1] / 7}
    assert network.family().rank(point).rank == 8


def test_biases_and_constants():
    assert certified(TwoLayer(3, 4, bias=True), 2) == 10
    assert certified(TwoLayer(3, 4, bias=True, output_bias=True), 2) == 11
    family = TwoLayer(3, 3, bias=True)
    assert optimistic_sample_size(family, 2, constant=True).value == 14
    point = family.target(2)
    a, _, (b,) = family.neuron(3)
    found = family.family().rank(point | {a: 2, b: 1})
    assert (found.rank, found.exact) == (14, True)


@pytest.mark.parametrize(
    ("shape", "kernel", "k", "values"),
    [
        ((5,), (3,), 1, (6, 12, 18, 4)),
        ((5,), (3,), 2, (12, 24, 36, 8)),
        ((6,), (3,), 2, (14, 32, 56, 8)),
        ((4, 4), (2, 2), 1, (13, 45, 153, 5)),
        ((7,), (2,), 3, (24, 54, 144, 9)),  # from here on unseen
        ((3, 5), (2, 3), 2, (24, 84, 192, 14)),
        ((3, 3, 3), (2, 2, 2), 1, (16, 72, 224, 9)),
    ],
)
def test_convolutional_layers(shape, kernel, k, values):
    sharing = ("shared", "local", "full", "pooled")
    found = tuple(certified(Convolutional(shape, kernel, k, s), k) for s in sharing)
    assert found == values


def test_matrix_factorisation_and_deep_linear_networks():
    square = MatrixFactorization(4, 4, 4)
    assert [certified(square, r) for r in (1, 2, 3, 4)] == [7, 12, 15, 16]
    table = factor_ranks(square, 1)
    assert (table[2, 2], table[3, 1]) == (12, 13)
    for ranks in ((2, 2), (3, 1)):
        assert square.family().rank(factor_point(square, 1, ranks)).rank == table[ranks]
    assert certified(MatrixFactorization(10, 10, 3), 3) == 51
    assert certified(DeepLinear((6, 4, 3)), 2) == 14
    assert certified(DeepLinear((5, 4, 4, 4, 7)), 3) == 27
    assert certified(MatrixFactorization(3, 8, 5), 2) == 18


@pytest.mark.parametrize(
    ("p", "d", "k", "value"),
    [
        (2, 4, 2, 7),
        (2, 4, 3, 9),
        (3, 5, 7, 34),
        (3, 5, 8, 35),
        (4, 3, 5, 14),
        (4, 4, 9, 34),
        (4, 5, 13, 65),
        (5, 3, 7, 21),
        (4, 5, 14, 69),  # from here on unseen
        (3, 4, 4, 16),
        (6, 2, 5, 7),
        (2, 5, 4, 14),
    ],
)
def test_monomials(p, d, k, value):
    assert certified(Monomial(p, d, k), k) == value


def test_integer_weights_over_a_prime_field():
    assert neurons([(i, 2 * i) for i in (1, 2, 3)]).rank == 9
    found = neurons([(1, 2), (-1, -2), (3, 6)])
    assert (found.rank, found.exact) == (6, True)
    assert neurons([(i,) for i in range(1, 21)]).rank == 40
    rng = random.Random(0)
    assert neurons([[rng.randint(-50, 50) for _ in range(6)] for _ in range(12)]).rank == 84
    assert neurons([(i,) for i in range(1, 36)]).rank == 70


def test_probabilities_of_rank_one():
    expected = ["256/715", "36/55", "597/715", "933/1001", "89/91", "453/455", "1"]
    found = [completion_probability(4, 4, n) for n in range(7, 14)]
    assert [f.value for f in found] == [Fraction(e) for e in expected]
    assert [f.good for f in found] == [4096, 8424, 9552, 7464, 4272, 1812, 560]
    three = [completion_probability(3, 3, n).value for n in (5, 6, 7)]
    assert three == [Fraction(9, 14), Fraction(13, 14), 1]
    assert completion_probability(2, 3, 4).value == Fraction(4, 5)


def test_probabilities_of_five_by_five_end_in_certainty():
    values = [completion_probability(5, 5, n) for n in range(26)]
    assert values[9].good == 5**8
    assert values[20].value == 1 - Fraction(10 * 1, 53130)  # one row or column unseen
    assert [v.value for v in values[21:]] == [1] * 5


def test_probabilities_of_rank_two():
    found = [completion_probability(4, 4, n, 2) for n in (11, 12, 13, 14)]
    assert [f.value for f in found] == [0, Fraction(321, 455), Fraction(33, 35), 1]
    assert (found[1].good, found[1].total) == (1284, 1820)


@pytest.mark.parametrize(
    ("widths", "relu", "smooth"),
    [((2, 3, 2, 1), 15, 20), ((3, 4, 3, 1), 28, 35), ((2, 4, 2, 1), 19, 25)],
)
def test_generic_networks_of_depth_three(widths, relu, smooth):
    made = FullyConnected(widths, "relu").family()
    found = piecewise_rank(made.expr, made.parameters, made.inputs, draws=8, seed=1)
    assert found.rank == relu
    assert relu == smooth - sum(widths[1:-1])
    generic = FullyConnected(widths).family().rank()
    assert (generic.rank, generic.exact) == (smooth, True)


def test_narrow_network_in_a_wide_one():
    wide = FullyConnected((2, 4, 5, 1))
    assert wide.parameters == 43
    assert certified(wide, (2, 2, 2, 1)) == 15
    point = wide.target((2, 2, 2, 1))
    first, second = wide.neuron(1, 1), wide.neuron(1, 3)
    point |= dict(zip(second, (point[s] for s in first), strict=True))
    for i in (1, 2):
        after = wide.neuron(2, i)
        point |= {after[2]: point[after[0]] / 3, after[0]: point[after[0]] * 2 / 3}
    assert wide.family().rank(point).rank == 15


def test_a_wide_deep_network_is_certified_at_decimal_weights():
    network = FullyConnected((10, 14, 9, 4, 1))
    rng = random.Random(3)
    family = network.family()
    found = family.rank({s: rng.gauss(0, 1) for s in family.parameters})
    assert (found.rank, found.exact) == (network.parameters, True)


def test_table_of_the_notes_is_the_computed_one():
    rows = re.findall(
        r"^\| ([^|]+) \| (\d+) \| (\d+) \| (exact|upper bound) \|", NOTES.read_text(), re.M
    )
    assert len(rows) == 15
    sizes = {name: (int(M), int(O), status) for name, M, O, status in rows}
    for name, family, target in (
        ("two layers, d=3, k=2", TwoLayer(3, 4), 2),
        ("convolution, fully connected", Convolutional((5,), (3,), 2, "full"), 1),
        ("three linear layers, 4->3, rank 2", DeepLinear((4, 3, 3, 3)), 2),
        ("cubes, d=3, k=2", Monomial(3, 3, 3), 2),
    ):
        size = optimistic_sample_size(family, target)
        assert sizes[name] == (family.parameters, size.value, size.status)


def test_strata_are_plain_values():
    assert Stratum(8, 4, 0, 0, 0) in fibre_strata(TwoLayer(3, 6), 2)
