"""Property: the rank over a prime field never exceeds the rank at 200 digits."""

import random

import mpmath
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Add, Rational, Symbol, cos, exp, lambdify, sin, symbols, tanh
from sympy import log as ln

from derive.model_rank import model_rank
from derive.recovery.networks import TwoLayer

DIGITS = 200
SMALL = 1e-120
ACTIVATIONS = {
    "tanh": tanh,
    "exp": exp,
    "sin": sin,
    "cube": lambda u: u**3,
    "logistic": lambda u: 1 / (1 + exp(-u)),
    "softplus": lambda u: ln(1 + exp(u)),
    "nested": lambda u: tanh(u + tanh(u)),
    "mixed": lambda u: tanh(u) * cos(u),
}
WEIGHT = st.builds(Rational, st.integers(-3, 3), st.sampled_from([1, 2, 3]))


@st.composite
def networks(draw):
    """A sum of one to three neurons in one or two dimensions, at a point of small rationals."""
    d, count = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    s = ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]
    x = symbols(f"x1:{d + 1}")
    terms, theta, point = [], [], {}
    for i in range(count):
        out, own = Symbol(f"a{i}"), symbols(f"w{i}_1:{d + 1}")
        bias = [Symbol(f"b{i}")] if draw(st.booleans()) else []
        terms.append(out * s(Add(*(p * q for p, q in zip(own, x, strict=True)), *bias)))
        mine = [out, *own, *bias]
        theta += mine
        point |= {p: draw(WEIGHT) for p in mine}
    return Add(*terms), theta, x, point


def float_rank(expr, theta, x, point):
    """Rank of the tangent matrix at random points, eliminated with full pivots at 200 digits."""
    mpmath.mp.dps = DIGITS
    rows = lambdify([*theta, *x], [expr.diff(t) for t in theta], "mpmath")
    rng = random.Random(0)
    values = [mpmath.mpf(int(point[t].p)) / int(point[t].q) for t in theta]
    places = [
        [mpmath.mpf(rng.randint(-2000, 2000)) / 999 for _ in x] for _ in range(len(theta) + 6)
    ]
    work = mpmath.matrix([[mpmath.mpf(v) for v in rows(*values, *place)] for place in places])
    rank = 0
    for _ in theta:
        best = max(
            (
                (abs(work[i, j]), i, j)
                for i in range(rank, work.rows)
                for j in range(rank, work.cols)
            ),
            key=lambda item: item[0],
        )
        if best[0] < SMALL:
            break
        work = _eliminated(work, rank, best[1], best[2])
        rank += 1
    return rank


def _eliminated(work, k, i, j):
    for c in range(work.cols):
        work[k, c], work[i, c] = work[i, c], work[k, c]
    for r in range(work.rows):
        work[r, k], work[r, j] = work[r, j], work[r, k]
    for r in range(k + 1, work.rows):
        factor = work[r, k] / work[k, k]
        for c in range(k, work.cols):
            work[r, c] -= factor * work[k, c]
    return work


@settings(max_examples=30)
@given(networks())
def test_rank_over_the_field_never_exceeds_the_rank_at_200_digits(network):
    expr, theta, x, point = network
    present = [t for t in theta if t in expr.free_symbols]
    inputs = [s for s in x if s in expr.free_symbols]
    found = model_rank(expr, present, inputs, {t: point[t] for t in present})
    measured = float_rank(expr, present, inputs, point)
    assert found.rank <= measured <= found.upper
    assert not found.exact or found.rank == measured


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(0, 3), st.integers(0, 100))
def test_a_wider_network_has_the_rank_of_the_narrow_one(d, k, seed):
    ranks = []
    for width in (max(k, 1), k + 2):
        network = TwoLayer(d, width)
        ranks.append(network.family().rank(network.target(k, seed)))
    assert ranks[0].rank == ranks[1].rank
    assert ranks[1].exact


@settings(max_examples=15)
@given(networks(), st.permutations(range(3)))
def test_rank_does_not_depend_on_the_order_of_parameters(network, order):
    expr, theta, x, point = network
    present = [t for t in theta if t in expr.free_symbols]
    inputs = [s for s in x if s in expr.free_symbols]
    shuffled = sorted(present, key=lambda t: (order[len(str(t)) % 3], str(t)[::-1]))
    one, two = (
        model_rank(expr, names, inputs, {t: point[t] for t in names})
        for names in (present, shuffled)
    )
    assert (one.rank, one.upper) == (two.rank, two.upper)
