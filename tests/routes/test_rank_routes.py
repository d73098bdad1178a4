"""The same rank by routes that share no code: residues, balls, closed forms, exact matrices."""

import random
from itertools import product

import pytest
from flint import fmpq, fmpq_mat
from sympy import Poly, Rational

from derive.recovery.linear import DeepLinear, Diagonal, MatrixFactorization
from derive.recovery.networks import Convolutional, FullyConnected, Monomial, TwoLayer
from derive.recovery.sizes import optimistic_sample_size
from derive.theory.local_recovery import local_recovery

DECLARED = [
    (TwoLayer(3, 4), 2),
    (TwoLayer(2, 3, bias=True, output_bias=True), 2),
    (TwoLayer(2, 3, "sigmoid"), 2),
    (TwoLayer(2, 3, "softplus", bias=True), 1),
    (TwoLayer(2, 3, "erf"), 2),
    (TwoLayer(2, 2, "silu", output_bias=True), 2),
    (Convolutional((4,), (2,), 2, "shared"), 1),
    (Convolutional((4,), (2,), 2, "local", bias=True), 1),
    (Convolutional((4,), (2,), 1, "full"), 1),
    (Convolutional((3, 3), (2, 2), 2, "pooled"), 1),
    (Convolutional((4,), (2,), 2, "shared", "sigmoid"), 1),
    (MatrixFactorization(3, 4, 3), 2),
    (DeepLinear((4, 3, 3, 3)), 2),
    (Diagonal(4, 3), 2),
    (Monomial(3, 3, 3), 2),
    (FullyConnected((2, 3, 3, 1)), (2, 2, 2, 1)),
    (FullyConnected((1, 3, 3, 2), "sigmoid"), (1, 2, 2, 2)),
]


@pytest.mark.parametrize(("family", "target"), DECLARED, ids=str)
def test_closed_form_field_and_balls_agree(family, target):
    model = local_recovery(family, target, seed=5)
    size = model.sample_size().value
    field = model.family.rank(model.point, method="field")
    balls = model.family.rank(model.point, method="balls")
    assert field.rank == balls.rank == size
    assert field.exact
    assert balls.exact


@pytest.mark.parametrize(("p", "q", "r"), [(4, 4, 1), (4, 4, 3), (3, 5, 2), (6, 2, 2)])
def test_factorisation_is_the_exact_rank_of_the_differential(p, q, r):
    """The differential X B + A Y as a rational matrix, with no polynomial anywhere."""
    rng = random.Random(p * q + r)
    A = [[rng.randint(-9, 9) for _ in range(r)] for _ in range(p)]
    B = [[rng.randint(-9, 9) for _ in range(q)] for _ in range(r)]
    rows = []
    for i, t in product(range(p), range(r)):
        rows.append([B[t][j] if a == i else 0 for a in range(p) for j in range(q)])
    for t, j in product(range(r), range(q)):
        rows.append([A[a][t] if b == j else 0 for a in range(p) for b in range(q)])
    matrix = fmpq_mat(len(rows), p * q, [fmpq(x) for row in rows for x in row])
    expected = optimistic_sample_size(MatrixFactorization(p, q, min(p, q)), r).value
    assert matrix.rank() == expected


@pytest.mark.parametrize(("p", "d", "k"), [(2, 4, 2), (3, 3, 3), (3, 5, 7), (4, 3, 5), (4, 3, 6)])
def test_monomials_are_the_exact_rank_of_powers_of_forms(p, d, k):
    """Terracini: the span of L_i^(p-1) x_j, expanded by SymPy, over the rationals."""
    network = Monomial(p, d, k)
    x = network.family().inputs
    rng = random.Random(0)
    columns = []
    for _ in range(k):
        form = sum(Rational(rng.randint(-9, 9)) * s for s in x)
        columns += [dict(Poly(form ** (p - 1) * s, *x).terms()) for s in x]
    exponents = sorted({e for c in columns for e in c})
    entries = [fmpq(int(c.get(e, 0))) for c in columns for e in exponents]
    rank = fmpq_mat(len(columns), len(exponents), entries).rank()
    assert rank == optimistic_sample_size(network, k).value


def test_a_wrong_closed_form_is_noticed():
    """The witness catches a formula that is off by one."""
    model = local_recovery(TwoLayer(3, 4), 2)
    assert model.certify().rank != model.sample_size().value + 1
    assert model.certify().upper != model.sample_size().value - 1
