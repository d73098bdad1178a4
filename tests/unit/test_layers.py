"""Layer maps: exact agreement with the published maps, order of the tower, the starting point."""

import random
from fractions import Fraction
from itertools import pairwise

import pytest
from sympy import Integer, Rational, Symbol

from derive.layers import Base, Chain, Layer, Teacher, covariance_system, kernel_system, width

ONE = Integer(1)
TWO_ATOMS = ((Rational(1, 2), Rational(1, 4)), (Integer(2), Rational(3, 4)))


class Dual:
    """A fraction and its derivative in t."""

    def __init__(self, value, slope=0):
        self.value, self.slope = Fraction(value), Fraction(slope)

    @staticmethod
    def of(other):
        return {True: other}.get(isinstance(other, Dual)) or Dual(other)

    def __add__(self, other):
        o = Dual.of(other)
        return Dual(self.value + o.value, self.slope + o.slope)

    def __mul__(self, other):
        o = Dual.of(other)
        return Dual(self.value * o.value, self.slope * o.value + self.value * o.slope)

    def __rtruediv__(self, other):
        return Dual(other) * Dual(1 / self.value, -self.slope / self.value**2)

    def __truediv__(self, other):
        return self * (1 / Dual.of(other))

    def __sub__(self, other):
        return self + Dual.of(other) * -1

    def __rsub__(self, other):
        return Dual.of(other) - self

    __radd__, __rmul__ = __add__, __mul__


def fraction(expr):
    return Fraction(int(expr.p), int(expr.q))


def published(point, depth, atoms, level, t):
    """lambda, g, E_test, E_train by the printed map and E_test = -F'/g^2, at g_0 = t.

    Source: arXiv:2302.00401, (lambda, g, C) with C_0 = 1; nothing of derive.layers is used.
    """
    value = {name: fraction(number) for name, number in point.items()}
    alpha, noise, rho = value["alpha"], value["noise"] + value["hidden"], value["signal"]
    t = Dual(t, 1)
    atoms = [(fraction(v), fraction(w)) for v, w in atoms]
    lam = 1 / t - sum((w * v / (1 + alpha * v * t) for v, w in atoms), Dual(0))
    states = [(lam, t, Dual(1))]
    for i in range(1, depth + 1):
        a, b, gamma = (value[f"{letter}_{i}"] for letter in ("a", "b", "gamma"))
        lam, g, c = states[-1]
        u = a * lam - b
        h = 1 - lam * g * u / (u + b)
        e = 1 - (alpha / gamma) * h
        states.append((u * e, g / (e * a), c / (e * a)))
    lam, g, c = states[-1]
    seen_lam, seen_g, seen_c = states[level]
    F = c / seen_c * (rho * (1 - seen_lam * seen_g) + noise * seen_g)
    slope = F.slope / lam.slope
    return {
        "lam": lam.value,
        "m": g.value,
        "E_test": -slope / g.value**2,
        "E_train": -slope * lam.value**2,
    }


def chain(depth, atoms=((ONE, ONE),), level=0):
    layers = tuple(
        Layer(i, Symbol(f"a_{i}", positive=True), Symbol(f"b_{i}", positive=True), width(i))
        for i in range(1, depth + 1)
    )
    symbols = [s for layer in layers for s in (layer.a, layer.b)]
    teacher = Teacher(level, Symbol("signal", positive=True), Symbol("hidden", positive=True))
    known = [*symbols, teacher.signal, teacher.hidden]
    gammas = tuple(f"gamma_{i}" for i in range(1, depth + 1))
    return Chain(
        Base(ONE, atoms), layers, teacher, tuple((s, ONE) for s in known), (("gamma", gammas),)
    )


def draw(depth, seed):
    rng = random.Random(seed)
    names = ["alpha", "noise", "lam", "signal", "hidden"]
    names += [f"{letter}_{i}" for i in range(1, depth + 1) for letter in ("a", "b", "gamma")]
    point = {name: Rational(rng.randint(1, 30), rng.randint(1, 12)) for name in names}
    return point, Rational(rng.randint(1, 30), rng.randint(1, 12))


def evaluated(system, point, first):
    """Every symbol of a system at exact numbers; lam follows from the closing equation."""
    lam = system.control("lam")
    known = [*system.controls, *(s for s, _ in system.constants)]
    given = {s: point[s.name] for s in known} | {system.unknowns[0]: first}
    for symbol, expr in system.triangular_lines():
        given[symbol] = expr.xreplace(given)
    given[lam] = system.equations[-1].rhs.xreplace(given)
    for symbol, expr in system.definitions:
        given[symbol] = expr.xreplace(given)
    return given


def outputs(system, point, first):
    given = evaluated(system, point, first)
    found = {name: fraction(e.xreplace(given)) for name, e in system.outputs.items()}
    return found | {"lam": fraction(given[system.control("lam")])}


CASES = [
    (1, ((ONE, ONE),), 0),
    (2, ((ONE, ONE),), 0),
    (1, TWO_ATOMS, 0),
    (2, TWO_ATOMS, 0),
    (2, ((ONE, ONE),), 1),
    (2, ((ONE, ONE),), 2),
    (3, TWO_ATOMS, 1),
]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("depth", "atoms", "level"), CASES)
def test_both_routes_equal_the_published_map_exactly(depth, atoms, level, seed):
    point, x_0 = draw(depth, seed)
    declared = chain(depth, atoms, level)
    exact = published(point, depth, atoms, level, 1 / (fraction(point["alpha"]) * fraction(x_0)))
    assert outputs(covariance_system(declared), point, x_0) == exact
    assert outputs(kernel_system(declared), point, point["alpha"] * x_0) == exact


def test_published_map_at_another_point_would_differ():
    point, x_0 = draw(1, 1)
    near = 1 / (fraction(point["alpha"]) * fraction(x_0)) * Fraction(10**12 + 1, 10**12)
    exact = published(point, 1, ((ONE, ONE),), 0, near)
    assert all(v != exact[k] for k, v in outputs(covariance_system(chain(1)), point, x_0).items())


def test_plain_ridge_by_hand():
    # alpha = 2, x = 1: df = 1/2, lam = 3/2, m = 1/2, delta = df_2/alpha = 1/8, bias = 1/4.
    point = {k: Integer(v) for k, v in {"alpha": 2, "noise": 1, "lam": 0}.items()}
    point |= {"signal": ONE, "hidden": Integer(0)}
    found = outputs(covariance_system(chain(0)), point, ONE)
    assert found["lam"] == Fraction(3, 2)
    assert found["m"] == Fraction(1, 2)
    assert found["E_test"] == Fraction(8, 7) * Fraction(5, 4)
    assert found["E_train"] == Fraction(9, 16) * found["E_test"]


def physical(system, point, first):
    given = evaluated(system, point, first)
    return min(c.expr.xreplace(given) for c in system.conditions) > 0


@pytest.mark.parametrize("build", [covariance_system, kernel_system])
@pytest.mark.parametrize("seed", range(4))
def test_physical_set_has_no_upper_end_and_lambda_increases_on_it(build, seed):
    system = build(chain(2, TWO_ATOMS))
    point, _ = draw(2, seed)
    grid = [Rational(9, 4) ** k for k in range(-6, 9)]
    inside = [physical(system, point, x) for x in grid]
    first = inside.index(True)
    assert all(inside[first:])
    lam = [evaluated(system, point, x)[system.control("lam")] for x in grid[first:]]
    assert all(low < high for low, high in pairwise(lam))
    assert lam[0] > 0


def test_other_roots_of_the_closing_equation_break_a_condition():
    # Below the physical set the right side takes positive values again: the conditions matter.
    system = covariance_system(chain(2, TWO_ATOMS))
    lam = system.control("lam")
    found = []
    for seed in range(3):
        point, _ = draw(2, seed)
        grid = [Integer(2) ** k for k in range(-6, 2)]
        outside = [x for x in grid if not physical(system, point, x)]
        found += [x for x in outside if evaluated(system, point, x)[lam] > 0]
    assert found


@pytest.mark.parametrize("build", [covariance_system, kernel_system])
@pytest.mark.parametrize("seed", range(5))
def test_start_lies_above_the_root(build, seed):
    system = build(chain(2, TWO_ATOMS))
    point, _ = draw(2, seed)
    first = Integer(3000)
    assert physical(system, point, first)
    given = evaluated(system, point, first)
    for symbol, expr in system.start.lines:
        given[symbol] = expr.xreplace(given)
    assert system.start.value.xreplace(given) >= first


def test_a_linear_layer_keeps_the_degrees_of_freedom():
    layer = Layer(1, Symbol("a_1", positive=True), Integer(0), width(1))
    teacher = Teacher(0, ONE, Integer(0))
    linear = Chain(
        Base(ONE, ((ONE, ONE),)), (layer,), teacher, ((layer.a, ONE),), (("gamma", ("gamma_1",)),)
    )
    system = covariance_system(linear)
    point = {k: Integer(v) for k, v in {"alpha": 3, "gamma_1": 2, "noise": 0, "a_1": 1}.items()}
    given = {s.name: v for s, v in evaluated(system, point | {"lam": ONE}, ONE).items()}
    assert given["df_1"] == given["df_0"] == Rational(1, 2)
    assert given["x_1"] == Rational(3, 2)  # x_0 (gamma_1 - df_0)
    assert given["lam"] == Rational(15, 8)  # x_1 (alpha - df_1)/gamma_1


def test_nothing_seen_means_no_bias():
    unseen = Chain(Base(ONE, ((ONE, ONE),)), (), Teacher(0, Integer(0), ONE))
    names = {s.name for s, _ in covariance_system(unseen).definitions}
    assert "bias" not in names


def test_systems_name_their_sources_and_state_why_the_root_is_unique():
    for build, theorem in ((covariance_system, "eqs. (14)-(16)"), (kernel_system, "Thm. 3.3")):
        system = build(chain(2))
        assert theorem in str(system.log)
        assert "strictly increasing" in system.uniqueness
        assert system.is_triangular()
