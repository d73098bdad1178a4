"""Pencils: realisation, minimisation, sharing, refusals; every identity checked exactly."""

from dataclasses import replace

import pytest
from sympy import sqrt

from derive.errors import DeriveError, InternalError, NotSupportedError
from derive.matrices import covariance, dims, eye, gaussian, ntrace, wigner
from derive.pencil import pencil
from derive.random_matrices.exact_field import exact_field
from derive.random_matrices.matrix_blocks import block
from derive.random_matrices.pencil_check import refuse_singular, verify
from derive.random_matrices.pencil_minimal import minimise
from derive.random_matrices.spectral_measure import atoms
from derive.symbols import control

n, p, d = dims("n p d")
lam = control("lam", positive=True)
k1, k2, ks = control("k1"), control("k2"), control("ks")
W = gaussian("W", p, d, 1 / d)
X = gaussian("X", d, n, 1 / n)
N = gaussian("N", p, n, 1 / n)
A, B = gaussian("A", d, d, 1 / d), gaussian("B", d, d, 1 / d)
S = wigner("S", d, 1 / d)
C = covariance("C", d, atoms([1, 4]))
F = k1 * W * X + ks * N
R = (F * F.T + lam * eye(p)).inv()

EXPRESSIONS = {
    "letter": W,
    "identity": 3 * eye(p),
    "sum": W * X + N,
    "resolvent": R,
    "word": W.T * R * F * X.T,
    "two resolvents": X * F.T * R * R * F * X.T,
    "different resolvents": R * W * (C * S * C + lam * eye(d)).inv() * W.T,
    "nested": (X * (X.T * X + lam * eye(n)).inv() * X.T + S / sqrt(d)).inv(),
    "powers": (A * B) ** -2 * A**3,
    "no ridge": (W.T * W).inv(),
    "covariance inverse": C.inv() * S * C.inv(),
    "block inverse": block([[lam * eye(p), W], [W.T, -eye(d)]]).inv(),
    "equal blocks": block([[S + lam * eye(d), A], [B, C]]).inv(),
    "part of blocks": (block([[S, A], [A.T, C]]) ** 2 + eye(2 * d)).part(0, 1),
    "shared": (k1 + 1) * R + k2 * R * R - R * N * N.T,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_pencils_realise_their_expression_exactly(name):
    assert pencil(EXPRESSIONS[name]).verify(seed=1) > 0


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_minimal_pencils_realise_the_same_expression_exactly(name):
    built = pencil(EXPRESSIONS[name])
    small, _ = minimise(built)
    assert small.size <= built.size
    assert small.verify(seed=2) > 0


def test_several_expressions_share_one_pencil():
    joint = pencil(R, W.T * R * W, R * R)
    apart = sum(pencil(e).size for e in (R, W.T * R * W, R * R))
    assert joint.size < apart
    assert joint.verify() > 0
    assert len(joint.ports) == 3


def test_a_planted_error_in_the_pencil_is_seen():
    built = pencil(R)
    entries = [
        replace(e, coefficient=e.coefficient * (1 + int(e.letter == W))) for e in built.entries
    ]
    with pytest.raises(InternalError, match="does not realise"):
        verify(replace(built, entries=tuple(entries)))


def test_known_sizes_are_reached():
    sizes = {
        name: minimise(pencil(EXPRESSIONS[name]))[0].size
        for name in ("letter", "resolvent", "word", "two resolvents")
    }
    assert sizes == {"letter": 2, "resolvent": 4, "word": 5, "two resolvents": 8}


@pytest.mark.parametrize(
    ("expression", "size"),
    [
        (A * B + A * C, 3),
        (lam * A * B + k2 * A * C, 3),
        (A * B * C + S * B * C, 4),
        (A * S - S * A - A * S + S * A + B, 2),
        ((S + lam * eye(d)).inv() * (S + eye(d)) * (S + lam * eye(d)).inv(), 2),
    ],
)
def test_minimisation_finds_what_no_input_reaches_or_no_output_sees(expression, size):
    small, _ = minimise(pencil(expression))
    assert small.size == size
    assert small.verify() > 0


def test_resolvent_identities_reduce_to_one_resolvent():
    one = (S + lam * eye(d)).inv()
    small, log = minimise(pencil(one * S + lam * one))
    assert small.verify() > 0
    assert small.size < pencil(one * S + lam * one).size
    assert "minimise the pencil" in str(log)


def test_a_direction_whose_entries_may_all_vanish_is_not_divided_by():
    small, log = minimise(pencil(k1 * A * B + k2 * A * C))
    assert small.size == 4
    assert "keep blocks" in str(log)


def test_pencils_print_as_tables():
    text = str(pencil((X * X.T + lam * eye(d)).inv()))
    assert text.splitlines()[0].split() == ["d", "|", "lam", "X"]
    assert text.splitlines()[-1] == "u = {0: 1}, v = {0: 1}"
    assert repr(pencil(R)) == "Pencil(4 blocks, 1 ports)"


def test_singular_inverses_are_refused_with_the_sub_expression_named():
    a = gaussian("a", d, 1, 1)
    refuse_singular([(a.T * a).inv()])
    with pytest.raises(DeriveError, match=r"inverse of a\*a.T: a\*a.T is singular"):
        refuse_singular([eye(d) + (a * a.T).inv() * S])


def test_inverses_that_exist_for_some_sizes_are_kept():
    refuse_singular([(W * W.T).inv(), (W.T * W).inv()])


def test_scalars_without_rational_values_are_not_verified_in_silence():
    with pytest.raises(NotSupportedError, match="irrational"):
        pencil(sqrt(1 + lam) * S).verify()


def test_fields_know_roots_and_poles():
    field = exact_field([sqrt(n) * k1, n / d])
    root = field.convert(sqrt(n))
    assert root * root == field.convert(n)
    assert field.expr(root) == sqrt(n)
    assert field.regular(field.convert(k1 / n))
    assert not field.regular(field.convert(n / k1))


def test_traces_know_their_formula():
    assert ntrace(R).formula == R
