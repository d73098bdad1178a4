"""Dyson equations: patterns, merging, cores, logs, refusals."""

import mpmath as mp
import pytest
from sympy import Symbol

from derive.dyson import equations
from derive.errors import (
    DeriveError,
    NotClosedError,
    NotSupportedError,
    ShapeError,
    UnknownNameError,
)
from derive.matrices import (
    covariance,
    dims,
    eye,
    gaussian,
    ntrace,
    wigner,
)
from derive.pencil import pencil
from derive.random_matrices.averaged_pencil import AveragedPencil
from derive.random_matrices.covariance_map import covariance_pairs, matching, nonzero_blocks
from derive.random_matrices.dependency_graph import smallest_core
from derive.random_matrices.matrix_blocks import block
from derive.random_matrices.spectral_measure import atoms
from derive.symbols import control

EXACT = mp.mpf(10) ** -18
n, p, d, q = dims("n p d q")
lam = control("lam", positive=True)
k1, ks, k2, kt = control("k1"), control("ks"), control("k2"), control("kt")
noise = control("noise")
W, V = gaussian("W", p, d, 1 / d), gaussian("V", q, p, 1 / p)
X, N, N2 = gaussian("X", d, n, 1), gaussian("N", p, n, 1), gaussian("N2", q, n, 1)
Z = gaussian("Z", d, n, 1 / n)
S = wigner("S", d, 1 / d)
C = covariance("C", d, atoms([1, 4]))
POINT = {"n": 9, "d": 4, "p": 6, "k1": "0.7", "ks": "0.5", "lam": "0.3"}


def ridge(K):
    return (K + lam * eye(K.shape[0])).inv()


def value(expression):
    return equations({"value": expression})


def close(a, b, tolerance=EXACT):
    return abs(a - b) < tolerance * (1 + abs(b))


def features(depth):
    first = k1 * W * X + ks * N
    return (first, p) if depth == 1 else (k2 * V * first + kt * N2, q)


def ridge_error(depth):
    F, width = features(depth)
    gram = ridge(F.T * F / width)
    return ntrace(gram), ntrace((X.T * X / d + noise * eye(n)) * gram)


def test_impossible_blocks_are_zero_before_anything_is_inverted():
    found = pencil(ridge(Z * Z.T))
    model = AveragedPencil(found, ((0, 0),))
    assert model.nonzero == {(0, 0), (1, 1)}
    assert len(covariance_pairs(found)) == 2


def test_patterns_without_a_fixed_inverse_start_from_all_blocks():
    assert matching(2, [(0, 0), (1, 0)]) is None
    assert nonzero_blocks((d, d), [(0, 1), (1, 0)], ()) == {(0, 1), (1, 0)}
    assert nonzero_blocks((d, n), [(0, 0)], ()) == {(0, 0), (1, 1)}


def test_repeated_resolvents_do_not_repeat_unknowns():
    R = ridge(Z * Z.T)
    assert len(equations({"a": ntrace(R), "b": ntrace(R * R)}).unknowns) == 2
    assert "repeat" in str(equations(ntrace(R * R)).log)


def test_false_merges_are_refuted_and_dropped(follow, monkeypatch):
    expression = ntrace(W.T * ridge(W * Z * Z.T * W.T) * W)
    honest = follow(value(expression), POINT)["value"]

    def wrong(model):
        first, *others = model.unknowns
        return dict.fromkeys(others, (first, 2 * lam))

    monkeypatch.setattr("derive.random_matrices.dyson_core.candidates", wrong)
    found = value(expression)
    assert "0 repeat" in str(found.log)
    assert close(follow(found, POINT)["value"], honest)


def test_explicit_chains_have_no_unknowns(follow):
    found = value(ntrace(S * S * C))
    assert found.unknowns == ()
    assert close(follow(found, {"d": 1})["value"], mp.mpf(5) / 2)


def test_cores_break_every_cycle():
    a, b, c = (control(x) for x in "abc")
    assert len(smallest_core({a: 1 / b, b: 1 / c, c: 1 / a})) == 1
    assert smallest_core({a: b + lam, b: c + lam, c: lam}) == []
    assert smallest_core({a: a**2 + b, b: lam}) == [a]


def test_sums_of_different_order_in_the_size_are_told(follow):
    G, _ = ridge_error(1)
    assert not any("is of order" in line for line in equations(G).assumptions)
    unscaled = value(ntrace(ridge(X.T * W.T * W * X / (d * p))))
    assert "N**-1" in unscaled.assumptions[1]
    assert "no limit in ratios alone" in unscaled.assumptions[1]
    small = follow(unscaled, {"n": 1, "d": 1, "p": 1, "lam": 1})["value"]
    large = follow(unscaled, {"n": 100, "d": 100, "p": 100, "lam": 1})["value"]
    assert abs(small - large) > 0.1
    scaled = value(G)
    point = {"k1": 1, "ks": 1, "lam": 1}
    one = follow(scaled, {"n": 1, "d": 1, "p": 1, **point})["value"]
    hundred = follow(scaled, {"n": 100, "d": 100, "p": 100, **point})["value"]
    assert close(one, hundred)


def test_the_log_tells_the_story_and_the_system_is_closed():
    g, F = ridge_error(1)
    found = equations({"m": g, "F": F})
    text = str(found.log)
    assert "linear pencil: 5 blocks" in text
    assert "helton2007" in text
    system = found.system("features")
    assert set(system.outputs) == {"m", "F"}
    assert [c.name for c in system.controls] == ["d", "k1", "ks", "lam", "n", "noise", "p"]


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda: equations(S), ShapeError, "take ntrace"),
        (lambda: equations(ntrace(S) + Symbol("x")).controls, NotClosedError, "they use x"),
        (
            lambda: equations(ntrace(S.inv() * gaussian("S", d, d, 1))),
            DeriveError,
            "the letter S is declared",
        ),
        (
            lambda: equations(ntrace(gaussian("a", d, 1, 1) * gaussian("a", d, 1, 1).T)),
            NotSupportedError,
            "vector",
        ),
        (
            lambda: equations(
                ntrace((gaussian("a", d, 1, 1) * gaussian("a", d, 1, 1).T).inv() * S)
            ),
            DeriveError,
            r"a\*a.T is singular",
        ),
        (lambda: value(ntrace(S * S)).output("m"), UnknownNameError, "the outputs are value"),
        (
            lambda: equations(ntrace(S) * ntrace(gaussian("S", d, d, 1))),
            DeriveError,
            "the letter S",
        ),
        (
            lambda: equations(ntrace(block([[S, Z], [Z.T, eye(n)]]).part(0, 1))),
            ShapeError,
            "only square",
        ),
    ],
)
def test_bad_input_is_refused_with_one_clear_line(build, kind, words):
    with pytest.raises(kind, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_the_log_bounds_the_chance_of_a_false_merge():
    R = ridge(Z * Z.T)
    text = str(equations(ntrace(R * R)).log)
    assert "identities at random points" in text
    chance = float(text.split("false with probability ")[1].split(" ", maxsplit=1)[0])
    assert 0 < chance < 1e-20


def test_sums_inside_blocks_are_told_when_they_have_no_limit():
    big = gaussian("Y", d, n, 1)
    whole = block([[lam * eye(d), Z + big], [(Z + big).T, -eye(n)]]).inv()
    said = value(ntrace(whole.part(0, 0))).assumptions
    assert any("Y is of order N**1/2 beside Z" in line for line in said)
