"""Layers whose neurons differ, against an implementation in mpmath that shares no code."""

import pickle

import numpy as np
import pytest
from scipy import optimize, special
from sympy import Integer, Rational, latex

from derive.chains.bias_rules import mixture
from derive.chains.layer_chain import Base, Chain, Layer, Teacher, width
from derive.chains.neurons import Neurons, Population, neurons
from derive.chains.random_gain import MixedLayer
from derive.errors import NotConvergedError, NotSupportedError, RangeError, ShapeError
from derive.exact import exact_number
from derive.layers import covariance_system, kernel_system
from derive.symbols import Quantity
from derive.tables import FewKinds, Table, TableMean, means_of
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric.reference import reference

POINT = {"alpha": "0.7", "lam": "0.05", "noise": "0.2"}


# --- the witness: another form of the map, quadrature by mpmath -----------------------------------


def relu_moments(b, s):
    """kappa_1^2 and kappa_*^2 of a rectifier at bias b and spread s, by hand."""
    t = b / s
    mass, density = special.ndtr(t), np.exp(-t * t / 2) / np.sqrt(2 * np.pi)
    first = b * mass + s * density
    second = (b * b + s * s) * mass + b * s * density
    return mass**2, second - first**2 - (s * mass) ** 2


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(100)


def average(f, spread):
    """Mean of f over N(0, spread), by Gauss-Hermite."""
    return np.sum(WEIGHTS * f(NODES * np.sqrt(spread))) / np.sum(WEIGHTS)


def relu_chain(depth):
    """(r, q) of each layer: r halves, q is the arc-cosine kernel."""
    r, q, out = 1.0, 0.0, []
    for _ in range(depth):
        out.append((r, q))
        rho = q / r
        angle = np.sqrt(1 - rho**2) + rho * (np.pi - np.arccos(rho))
        r, q = r / 2, r * angle / (2 * np.pi)
    return out


def relu_state(t, alpha, gammas):
    """(lambda, g, C) after all layers, from g_0 = t."""
    lam, g, scale = 1 / t - 1 / (1 + alpha * t), t, 1.0
    for (r, q), gamma in zip(relu_chain(len(gammas)), gammas, strict=True):
        s = np.sqrt(r - q)
        s1, s2 = alpha / gamma * (1 - lam * g), alpha / gamma * g

        def part(pick, A, s=s, s1=s1, s2=s2, q=q):
            def f(b):
                k = relu_moments(b, s)
                return k[pick] / (A + k[0] * s1 + k[1] * s2)

            return average(f, q)

        A = optimize.brentq(lambda A, part=part: part(0, A) - 1, 1e-9, 1.0, xtol=1e-15)
        lam, g, scale = A * lam - A * part(1, A), g / A, scale / A
    return lam, g, scale


@pytest.fixture(scope="module")
def witness():
    """m and E_test of two rectifier layers at POINT, gamma = (1.1, 0.9)."""
    alpha, ridge, noise = (float(POINT[n]) for n in ("alpha", "lam", "noise"))
    gammas = (1.1, 0.9)

    def gap(t):
        return relu_state(t, alpha, gammas)[0] - ridge

    t = optimize.brentq(gap, 0.2, 0.45, xtol=1e-14)

    def power(t):
        below, _, scale = relu_state(t, alpha, gammas)
        base = 1 / t - 1 / (1 + alpha * t)
        return below, scale * ((1 - base * t) + noise * t)

    g, step = relu_state(t, alpha, gammas)[1], 1e-4
    low, high = power(t - step), power(t + step)
    slope = (high[1] - low[1]) / (high[0] - low[0])
    return {"m": g, "E_test": -slope / g**2}


@pytest.mark.parametrize("route", ["covariance", "kernel"])
def test_two_rectifier_layers_agree_with_mpmath_quadrature(witness, route):
    system = deep_features(["relu", "relu"]).system(route)
    found = reference(system, 10, gamma=("1.1", "0.9"), **POINT)
    assert abs(found.m / witness["m"] - 1) < 1e-9
    assert abs(found.E_test / witness["E_test"] - 1) < 1e-6  # the witness takes differences


def test_an_averaged_gain_would_be_seen(witness):
    q = 1 / (2 * np.pi)
    a, b = (average(lambda x, i=i: relu_moments(x, np.sqrt(0.5 - q))[i], q) for i in (0, 1))
    layers = (named_layer(1, "a_1", "b_1"), named_layer(2, "a_2", "b_2"))
    values = {"a_1": 0.25, "b_1": 0.25 - q, "a_2": a, "b_2": b}
    exact = {name: exact_number(float(value)) for name, value in values.items()}
    system = covariance_system(declared(layers, exact))
    found = reference(system, 10, gamma=("1.1", "0.9"), **POINT)
    assert abs(found.m / witness["m"] - 1) > 0.02


def named_layer(level, a, b):
    return Layer(level, Quantity(a, low=0, open_low=True), Quantity(b, low=0), width(level))


def declared(layers, values, rows=()):
    symbols = {s for layer in layers for s in own_symbols(layer)}
    constants = tuple((s, Integer(0) + values[s.name]) for s in sorted(symbols, key=str))
    gammas = tuple(f"gamma_{layer.level}" for layer in layers)
    base = Base(Integer(1), ((Integer(1), Integer(1)),))
    teacher = Teacher(0, Integer(1), Integer(0))
    return Chain(base, tuple(layers), teacher, constants, (("gamma", gammas),))


def own_symbols(layer):
    few = [s for row in layer.kinds.rows for s in row] if isinstance(layer, MixedLayer) else []
    return few or [layer.a, layer.b]


def kinds(count):
    return tuple(
        tuple(Quantity(f"{letter}_{j}", low=0, open_low=True) for letter in "pab")
        for j in range(count)
    )


@pytest.mark.parametrize("build", [covariance_system, kernel_system])
def test_equal_kinds_are_one_plain_layer(build):
    plain = declared([named_layer(1, "a", "b")], {"a": Rational(1, 3), "b": Rational(1, 20)})
    rows = kinds(2)
    values = {"p_0": Rational(1, 4), "p_1": Rational(3, 4)}
    values |= {f"a_{j}": Rational(1, 3) for j in (0, 1)} | {
        f"b_{j}": Rational(1, 20) for j in (0, 1)
    }
    mixed = declared([MixedLayer(1, FewKinds(rows), width(1))], values)
    one, two = (reference(build(c), 20, gamma=("1.3",), **POINT) for c in (plain, mixed))
    assert all(abs(two[n] / one[n] - 1) < 1e-19 for n in ("m", "E_test", "E_train"))


def test_both_routes_agree_on_layers_with_biases_and_norms():
    norms = [("1/2", "1/2"), ("3/2", "1/2")]
    model = deep_features(["relu"], biases=["1/4"], norms=[norms])
    first, second = (
        reference(model.system(route, digits=4), 15, gamma=("1.3",), **POINT)
        for route in ("covariance", "kernel")
    )
    # Both hold the same finite sums, so they agree to every digit that is asked for.
    assert all(abs(first[n] / second[n] - 1) < 1e-14 for n in ("m", "E_test", "E_train"))


# --- moments and rules ----------------------------------------------------------------------------


def test_moments_of_rectifiers_are_closed_forms():
    model = deep_features(["relu"] * 3)
    expected = relu_chain(4)
    assert all(
        abs(float(r) - float(e[0])) < 1e-15 for r, e in zip(model.variances, expected, strict=True)
    )
    assert all(
        abs(float(q) - float(e[1])) < 1e-15
        for q, e in zip(model.squared_means, expected, strict=True)
    )


def test_odd_activations_have_no_means_and_biases_give_them_some():
    assert deep_features(["tanh", "tanh"]).squared_means == (0, 0, 0)
    assert float(deep_features(["tanh"], biases=1).squared_means[1]) > 0.1


def test_removing_the_mean_removes_it_over_all_neurons():
    values = [(0, "1/2"), (2, "1/2")]
    raw = deep_features(["tanh", "tanh"], biases=[values, 0])
    centred = deep_features(["tanh", "tanh"], biases=[values, 0], centre=True)
    mean = average(lambda x: np.tanh(2 + x), 1) / 2
    assert float(raw.squared_means[1]) - float(centred.squared_means[1]) == pytest.approx(mean**2)
    assert float(centred.squared_means[1]) == pytest.approx(mean**2)


def test_the_rule_is_as_good_as_it_says():
    model = deep_features(["relu", "relu"])
    population = model.signals[1].population
    coarse, fine = (mixture(population, digits) for digits in (1, 14))
    x, tau = Rational(1, 10), Rational(1, 3)

    def mean(found):
        return sum(float(p * a) / float(x + b + tau * a) for p, a, b in found.rows)

    gap = abs(mean(coarse) / mean(fine) - 1)
    assert 1e-9 < gap < float(coarse.error) < 0.1
    assert float(fine.error) < 1e-14
    assert fine.nodes > coarse.nodes


def test_biases_spread_over_far_more_than_the_argument_are_refused():
    population = deep_features(["relu"], biases=10**4).signals[0].population
    with pytest.raises(NotConvergedError, match="mean over the biases of layer 1"):
        mixture(population, 11)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"biases": -1}, RangeError, "random biases: variance -1"),
        ({"norms": 0}, RangeError, "row norms: norm 0"),
        ({"biases": [[(0, "1/2")]]}, RangeError, "biases: weights sum to 1/2"),
        ({"norms": [[(1, 2), (2, -1)]]}, RangeError, "weight -1"),
        ({"biases": [0, 0]}, ShapeError, "2 entries for 1 layers"),
        ({"biases": float("nan")}, RangeError, "not finite"),
    ],
)
def test_neurons_that_cannot_be_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        deep_features(["tanh"], **options)


def test_neurons_without_biases_and_of_norm_one_are_none():
    assert deep_features(["tanh"], biases=0, norms=1) == deep_features(["tanh"])
    assert neurons().plain
    assert not neurons(bias=1).plain


def test_affine_activations_do_not_mix():
    population = Population(
        deep_features(["2*z + 1"]).activations[0], Neurons(Integer(1)), Integer(1), Integer(0), "1"
    )
    assert population.alike
    assert population.gain() == (4, 0)


# --- means over tables ----------------------------------------------------------------------------


def test_derivatives_of_means_stay_in_the_family():
    table = Table(
        "t", ((Rational(1, 3), Integer(1), Integer(2)), (Rational(2, 3), Integer(3), Integer(1)))
    )
    x, tau = Quantity("x", low=0), Quantity("tau", low=0)
    mean = table.mean(1, 0, 1, x, tau)
    assert mean.diff(x) == -TableMean(table, 1, 0, 2, x, tau)
    assert mean.diff(tau) == -TableMean(table, 2, 0, 2, x, tau)
    assert [f.head for f in means_of([mean])] == ["mean_t_1_0_1"]
    few = FewKinds(table.rows).mean(1, 0, 1, x, tau)
    assert few.subs({x: 1, tau: 2}) == Rational(1, 3) / 5 + 2 * Rational(3, 3) / 8


def test_tables_are_equal_by_name_and_digits():
    rows = ((Integer(1), Rational(1, 3), Integer(0)),)
    assert Table("t", rows) == Table("t", rows)
    assert Table("t", rows) != Table("t", ((Integer(1), Rational(1, 2), Integer(0)),))


def test_means_print_as_fractions_under_an_expectation():
    table = Table("t", ((Integer(1), Integer(1), Integer(2)),), latex="3")
    x, tau = Quantity("x", low=0), Quantity("tau", latex=r"\tau", low=0)
    assert latex(table.mean(1, 0, 1, x, tau)) == (
        r"\mathbb{E}_{3}\left[\frac{a}{(x + b + \tau\, a)}\right]"
    )
    assert latex(table.mean(0, 1, 2, x, Integer(0))) == (
        r"\mathbb{E}_{3}\left[\frac{b}{(x + b)^{2}}\right]"
    )
    assert latex(table.moment(2, 0)) == r"\mathbb{E}_{3}\left[a^{2}\right]"


def test_systems_with_tables_go_through_a_pickle():
    system = deep_features(["relu", "relu"]).system(digits=4)
    copy = pickle.loads(pickle.dumps(system))
    point = {"gamma": ("1.1", "0.9"), **POINT}
    first, second = (reference(s, 10, **point) for s in (system, copy))
    assert first["E_test"] == pytest.approx(float(second["E_test"]), rel=1e-12)


@pytest.mark.parametrize("lam", [1e-10, 1e-3, 1.0, 100.0])
def test_uneven_norms_converge_on_every_scale(lam):
    model = deep_features(["tanh"], norms=[[("1/10", "1/2"), (3, "1/2")]])
    alpha = np.geomspace(0.05, 20, 40)
    solution = compile(model)(alpha=alpha, gamma=(1.4,), lam=lam, noise=0.1)
    assert solution.converged
    assert np.all(solution.error["E_test"] < 1e-9 * solution.E_test)


def test_targets_that_no_table_prints_are_refused():
    model = deep_features(["relu", "relu"]).system(digits=4)
    with pytest.raises(NotSupportedError, match="it averages over tables"):
        compile(model, method="llvm")
