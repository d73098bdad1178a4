"""Certified rank: values, certificates, relations, and what is refused."""

import mpmath
import numpy as np
import pytest
from flint import nmod_mat
from sympy import Add, Max, Rational, Symbol, exp, pi, sqrt, symbols, tanh
from sympy.abc import a, b, c, v, w, x, y

from derive.errors import NotClosedError, NotSupportedError, RangeError, UnknownNameError
from derive.model_rank import model_rank
from derive.recovery.networks import FullyConnected
from derive.tangent_rank.exponentials import plan_of
from derive.tangent_rank.family import family_at
from derive.tangent_rank.formal import FormalRing
from derive.tangent_rank.modular import tangent_matrix
from derive.tangent_rank.number_field import number_field, primes
from derive.tangent_rank.tape import forward


def neurons(weights, d=1, activation=tanh):
    """sum_i a_i s(w_i.x) with its parameters, inputs and point."""
    inputs = symbols(f"x1:{d + 1}")
    expr, theta, point = 0, [], {}
    for i, row in enumerate(weights):
        out, own = Symbol(f"a{i}"), symbols(f"w{i}_1:{d + 1}")
        expr += out * activation(sum(s * t for s, t in zip(own, inputs, strict=True)))
        theta += [out, *own]
        point |= {out: i + 1} | dict(zip(own, row, strict=True))
    return expr, theta, inputs, point


def vanishing(expr, theta, inputs, point, dependency):
    """Largest value of a relation between derivatives, by SymPy and mpmath at 40 digits."""
    mpmath.mp.dps = 40
    total = sum(k * expr.diff(s) for s, k in dependency.coefficients)
    places = [{s: Rational(3 * i + 2 * j + 1, 7) for j, s in enumerate(inputs)} for i in range(4)]
    found = [total.subs(point).subs(place).evalf(40) for place in places]
    return max(abs(f) for f in found)


def test_certificate_is_a_minor_that_can_be_recomputed():
    expr, theta, inputs, point = neurons([(1, 2), (2, 4), (1, -1)], 2)
    found = model_rank(expr, theta, inputs, point)
    best = found.certificates[0]
    made = family_at(expr, theta, inputs, point)
    formal = FormalRing(made.tape, made.field, made.values)
    forward(made.tape, formal)
    (prime,) = [p for p in primes(made.field, 3) if p.p == best.prime]
    rows = tangent_matrix(
        made.tape, formal, plan_of(made.tape, formal), prime, points=17, seed=best.seed
    )
    minor = [rows[j][i] for j in best.parameters for i in best.points]
    size = len(best.parameters)
    assert size == found.rank == 9
    assert int(nmod_mat(size, size, minor, best.prime).det()) == best.determinant != 0


def test_relations_vanish_for_sympy_and_mpmath():
    expr, theta, inputs, point = neurons([(1, 2), (-1, -2), (3, 6), (0, 0)], 2)
    found = model_rank(expr, theta, inputs, point)
    assert found.exact
    assert len(found.dependencies) == len(theta) - found.rank
    errors = [vanishing(expr, theta, inputs, point, d) for d in found.dependencies]
    assert max(errors) < 1e-35


def test_relations_with_bias_constants_vanish_too():
    expr = a * exp(w * x + b) + c * exp(w * x + v)
    point = {a: 2, b: 1, c: 3, v: -1, w: 2}
    found = model_rank(expr, [a, b, c, v, w], [x], point)
    assert (found.rank, found.exact) == (2, True)
    assert max(vanishing(expr, [], [x], point, d) for d in found.dependencies) < 1e-35


@pytest.mark.parametrize(
    ("weights", "rank"),
    [
        ([(sqrt(2),), (1,), (1 + sqrt(2),), (sqrt(3),)], 8),
        ([(sqrt(2),), (2 * sqrt(2),), (sqrt(2),), (-sqrt(2),)], 4),
        ([(Rational(1, 3),), (Rational(2, 3),), (Rational(1, 7),)], 6),
        ([(0.1,), ("1/10",)], 2),
        ([(sqrt(2) / 2,), (1 / sqrt(2),)], 2),
    ],
)
def test_rational_and_irrational_weights(weights, rank):
    found = model_rank(*neurons(weights))
    assert (found.rank, found.exact) == (rank, True)


def test_generic_point_needs_no_values():
    found = model_rank("a*tanh(w*x+b) + c*tanh(v*x+u)", "a w b c v u", "x")
    assert (found.rank, found.exact, len(found.generic)) == (6, True, 6)


def test_symbolic_point_keeps_its_symbols_in_the_relations():
    found = model_rank("a*tanh(w*x) + c*tanh(v*x)", "a,w,c,v", "x", {"v": Symbol("w", real=True)})
    assert (found.rank, found.exact) == (2, True)
    assert [str(d) for d in found.dependencies] == ["df/da = df/dc", "df/dw = (a/c) df/dv"]


def test_algebraic_relation_between_values_lowers_the_rank():
    """tanh(2x) (1 + tanh(x)^2) = 2 tanh(x), which no formal polynomial shows."""
    found = model_rank(a * tanh(2 * x) * (1 + tanh(x) ** 2) + b * tanh(x), [a, b], [x])
    assert (found.rank, found.upper, found.exact) == (1, 2, False)


def test_tanh_and_exp_share_their_exponentials():
    """tanh(x) (exp(2x) + 1) = exp(2x) - 1, which no formal polynomial shows."""
    found = model_rank(a * tanh(x) * (exp(2 * x) + 1) + b * (exp(2 * x) - 1), [a, b], [x])
    assert (found.rank, found.upper) == (1, 2)


def test_relations_with_long_coefficients_are_exact():
    """Sixteen digits each: too long to be read off one residue, so they are found over Q."""
    point = {a: 1.234567890123457, w: 0.8765432109876543, v: 3.3219280948873623}
    expr = a * (w * x + v * y) ** 3
    found = model_rank(expr, [a, w, v], [x, y], point)
    assert (found.rank, found.exact) == (2, True)
    exact = {s: Rational(str(value)) for s, value in point.items()}
    assert vanishing(expr, [a, w, v], [x, y], exact, found.dependencies[0]) < 1e-30


def test_relations_with_irrational_coefficients_are_proved():
    expr, point = a * (w * x + v * y) ** 3, {a: 2, w: sqrt(2), v: 3}
    found = model_rank(expr, [a, w, v], [x, y], point)
    assert (found.rank, found.exact) == (2, True)
    (relation,) = found.dependencies
    assert vanishing(expr, [a, w, v], [x, y], point, relation) < 1e-30


def test_ranks_over_a_number_field_are_those_over_the_rationals_by_its_degree():
    """sqrt(2) df/da = df/dc - df/db has no rational relation after scaling by the parameters."""
    expr = a * (x + x**2) + b * (x**3 + v * x) + c * (x**3 + v * x + v * x**2 + v * x)
    found = model_rank(expr.subs(v, sqrt(2)), [a, b, c], [x], {a: 1, b: 1, c: 1})
    assert (found.rank, found.exact, found.reason) == (
        2,
        True,
        "exact rank of formal coefficients",
    )


def test_arguments_that_are_one_function_are_not_taken_for_independent():
    same = 2 * tanh(x) / (1 + tanh(x) ** 2)
    family = a * tanh(tanh(2 * x)) + b * tanh(same)
    with pytest.raises(NotSupportedError, match="could not be proved independent"):
        model_rank(family, [a, b], [x], method="field")
    found = model_rank(family, [a, b], [x])
    assert (found.method, found.rank, found.exact) == ("balls", 1, False)


def test_depth_three_is_certified_with_copies_and_null_neurons():
    hidden = [tanh(w * x + b), tanh(w * x + b), tanh(0 * x + v * x)]
    expr = c * tanh(hidden[0] + y * hidden[1] + hidden[2])
    found = model_rank(expr, [w, b, v, c, y], [x], {w: 1, b: 2, v: 3, c: 1, y: 1})
    assert (found.rank, found.exact) == (5, True)


@pytest.mark.parametrize(
    ("activation", "rank"),
    [
        ("tanh", 3),  # odd: the pair is one neuron, d + 1
        ("erf", 3),
        ("sigmoid", 4),  # s(-z) = 1 - s(z): d + 2
        ("softplus", 5),  # s(-z) = s(z) - z: s, s(-z), and x s', x s'(-z) share x
        ("silu", 5),
        ("gelu", 5),
        ("mish", 6),  # no relation
    ],
)
def test_antipodal_pairs_by_activation(activation, rank):
    text = f"a*{activation}(w1*x + w2*y) + c*{activation}(v1*x + v2*y)"
    point = {"a": 1, "c": 2, "w1": 1, "w2": 2, "v1": -1, "v2": -2}
    found = model_rank(text, "a,w1,w2,c,v1,v2", "x,y", point)
    assert (found.rank, found.exact) == (rank, True)


def test_balls_and_field_agree_where_both_apply():
    for text in ("a*tanh(w*x+b)+c*tanh(v*x)", "a*sin(w*x)+c*cos(v*x)", "a*erf(w*x)+c*exp(v*x)"):
        names = [n for n in ("a", "w", "b", "c", "v") if n in text.replace("tanh", "")]
        field, balls = (model_rank(text, names, "x", method=m) for m in ("field", "balls"))
        assert field.rank == balls.rank == len(names)


def test_gelu_with_biases_is_proved_by_balls_and_only_assumed_by_the_field():
    text, names = "a*gelu(w*x+b)", "a,w,b"
    assumed = model_rank(text, names, "x", method="field")
    assert (assumed.rank, assumed.exact) == (3, False)
    assert "Schanuel" in assumed.status
    proved = model_rank(text, names, "x")
    assert (proved.method, proved.exact) == ("balls", True)


@pytest.mark.parametrize("activation", ["gelu", "softplus", "sin"])
def test_deep_networks_beyond_the_theorems_are_decided_by_balls(activation):
    family = FullyConnected((2, 3, 3, 1), activation).family()
    point = {s: Rational(3 * i % 7 - 4, 2 + i % 3) for i, s in enumerate(family.parameters, 1)}
    found = family.rank(point)
    assert (found.rank, found.exact, found.method) == (25, True, "balls")


def test_nested_radicals_are_never_taken_for_independent_constants():
    nested, plain = sqrt(1 + sqrt(2)), sqrt(2)
    family = a * nested**2 * x + b * x + c * plain * x
    found = model_rank(a * tanh(w * x) + b * tanh(v * x), [a, b, w, v], [x], {w: nested, v: 1})
    assert (found.method, found.rank, found.exact) == ("balls", 4, True)
    assert model_rank(family, [a, b, c], [x], method="balls").rank == 1
    with pytest.raises(NotSupportedError, match="radicals of rational numbers"):
        model_rank(a * tanh(w * x), [a, w], [x], {w: nested}, method="field")


def test_transcendental_weight_alone_needs_no_assumption():
    found = model_rank(a * tanh(w * x) + b * tanh(v * x), [a, w, b, v], [x], {w: pi, v: 1})
    assert (found.rank, found.exact) == (4, True)


def test_generic_relations_of_homogeneous_families_are_proved():
    found = model_rank("a*(w1*x+w2*y)**3 + c*(v1*x+v2*y)**3", "a,w1,w2,c,v1,v2", "x,y")
    assert (found.rank, found.exact) == (4, True)
    assert str(found.dependencies[0]).startswith("df/da + (-w1/(3*a)) df/dw1")


def test_parameters_that_move_nothing_are_seen():
    found = model_rank(a * tanh(w * x), [a, w], [x], {a: 0, w: 1})
    assert [str(d) for d in found.dependencies] == ["df/dw = 0"]
    assert model_rank(a * tanh(w * x), [a, w], [x], {a: 0, w: 0}).rank == 0


def test_number_fields_are_mapped_to_primes_by_ring_homomorphisms():
    field = number_field([sqrt(2), sqrt(3)])
    ((_, value),) = field.read(sqrt(2) * (1 + sqrt(2)) - 2).items()
    for prime in primes(field, 2):
        assert pow(prime.image(value), 2, prime.p) == 2
        assert pow(prime.i, 2, prime.p) == prime.p - 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: model_rank("a*tanh(w*x)", "a,w,q", "x"), UnknownNameError, "parameter q: does no"),
        (lambda: model_rank("a*tanh(w*x)", "a,w", "x,y"), UnknownNameError, "input y: does not"),
        (lambda: model_rank("a*tanh(w*x)", "a,w", "w"), UnknownNameError, "unknown name x"),
        (lambda: model_rank(a * w * x, [a, w], [w]), NotClosedError, "both parameter and input"),
        (lambda: model_rank(a * w * x, [a], [x]), NotClosedError, "w is neither"),
        (lambda: model_rank(a * x, [a, a], [x]), UnknownNameError, "listed twice"),
        (
            lambda: model_rank(a * x * Symbol("x", real=True), [a], [x]),
            NotClosedError,
            "share the name x",
        ),
        (lambda: model_rank(a * x, [], [x]), UnknownNameError, "without parameters"),
        (lambda: model_rank(a * x, [a], [x], {"w": 1}), UnknownNameError, "not a parameter"),
        (lambda: model_rank(a * x, [a], [x], {a: x}), RangeError, "depends on x"),
        (lambda: model_rank(a * x, [a], [x], {a: sqrt(-1)}), RangeError, "not real"),
        (lambda: model_rank(a * x / w, [a, w], [x], {w: 0}), RangeError, "divides by zero"),
        (
            lambda: model_rank("a*log(w + x**2)", "a,w", "x", {"w": -100}),
            RangeError,
            "outside its domain",
        ),
        (lambda: model_rank(a * Max(w * x, 0), [a, w], [x]), NotSupportedError, "piecewise_rank"),
        (lambda: model_rank(a * x, [a], [x], method="svd"), UnknownNameError, "auto, field, balls"),
    ],
)
def test_bad_input_is_one_clear_line(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_family_too_large_says_what_it_would_cost():
    theta = symbols("t1:9001")
    with pytest.raises(NotSupportedError, match=r"9000 parameters.*operations, .* minutes"):
        model_rank(Add(x * theta[0], *theta[1:]), theta, [x])


def test_double_precision_misses_what_residues_see():
    """Singular values of tanh(x), ..., tanh(10 x): 14 above 1e-9, while the rank is 20."""
    expr, theta, inputs, point = neurons([(i,) for i in range(1, 11)])
    assert model_rank(expr, theta, inputs, point).rank == 20
    places = np.random.default_rng(0).uniform(-3, 3, size=(400, 1))
    t = np.tanh(places * np.arange(1, 11))
    rows = np.hstack([t, places * (1 - t**2)])
    singular = np.linalg.svd(rows / np.linalg.norm(rows, axis=0), compute_uv=False)
    assert (singular > 1e-9 * singular[0]).sum() < 20


def test_a_bound_without_relations_is_the_number_of_parameters():
    found = model_rank("a*sqrt(w*x)", "a w", "x")
    assert (found.rank, found.upper, found.dependencies) == (1, 2, ())
    assert found.reason == "the number of parameters"
