"""The unevaluated mean: binding, derivatives, digits, printing."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from mpmath import mp
from sympy import (
    Abs,
    Integer,
    Max,
    Piecewise,
    Rational,
    Symbol,
    cos,
    exp,
    latex,
    log,
    sign,
    sin,
    tanh,
)

from derive.balls import enclose
from derive.enclosing import ball_program
from derive.errors import NotIntegrableError, NotSupportedError, RangeError
from derive.expectation import Expectation, kind
from derive.symbols import z
from derive.value import Kind, Value

a = Symbol("a", positive=True)
m = Symbol("m", real=True)
x = Symbol("x", real=True)
y = Symbol("y", real=True)


def test_the_name_of_the_variable_does_not_matter():
    assert Expectation(tanh(x) ** 2, 0, a, x) == Expectation(tanh(y) ** 2, 0, a, y)
    assert hash(Expectation(tanh(x) ** 2, 0, a, x)) == hash(Expectation(tanh(z) ** 2, 0, a))
    assert Expectation(tanh(z) ** 2, 0, a) != Expectation(tanh(z) ** 2, 0, 1)


def test_the_variable_is_bound():
    mean = Expectation(tanh(a * z), m, a)
    assert mean.free_symbols == {a, m}
    assert mean.subs(z, 3) == mean
    assert mean.xreplace({z: Integer(3)}) == mean
    assert mean.diff(z) == 0


def test_substituted_parameters_are_not_captured():
    captured = Expectation(tanh(z + x), 0, 1).subs(x, z)
    assert captured.free_symbols == {z}
    assert captured.subs(z, 0) == Expectation(tanh(z), 0, 1)


def test_nested_means_keep_their_variables_apart():
    inner = Expectation(tanh(y + x), 0, 1, y)
    outer = Expectation(x * inner, 0, 1, x)
    assert outer.free_symbols == set()
    assert outer.func(*outer.args) == outer
    assert outer == Expectation(z * Expectation(tanh(x + z), 0, 1, x), 0, 1, z)
    assert (
        Expectation(z * Symbol("c"), 1, 1).subs(Symbol("c"), inner.subs(x, 0)).func is Expectation
    )


def test_nothing_to_average_leaves_nothing_unevaluated():
    assert Expectation(a + 1, 0, 1) == a + 1
    assert Expectation(tanh(z), m, 0) == tanh(m)
    with pytest.raises(RangeError, match="variance = -1"):
        Expectation(tanh(z), 0, -1)


@pytest.mark.parametrize("f", [tanh(a * z) ** 2, Max(z, 0), sign(z - a), exp(-(z**2)) * z])
def test_means_survive_pickling_and_rebuilding(f):
    mean = Expectation(f, m, a)
    assert pickle.loads(pickle.dumps(mean)) == mean
    assert mean.func(*mean.args) == mean
    assert mean.subs(a, 2).subs(m, 1) == mean.subs({m: 1, a: 2})


def _slope(mean, symbol, at, others):
    """Central difference at forty digits."""
    h = Rational(1, 10**12)
    fixed = mean.subs(others)
    up, down = (enclose(fixed.subs(symbol, at + s * h), 40) for s in (1, -1))
    return float((up.mid - down.mid) / 2 * 10**12)


SMOOTH = [
    tanh(a * z) ** 2,
    log(1 + exp(z)),
    Piecewise((z, z > 0), (exp(z) - 1, True)),
    Abs(z - Rational(1, 3)),
    sign(z) * z**2,
    cos(a * z) * z,
]


@pytest.mark.parametrize("f", SMOOTH, ids=str)
@pytest.mark.parametrize("symbol", [a, m])
def test_derivatives_equal_differences_for_smooth_and_kinked_functions(f, symbol):
    others = {s: Rational(7, 5) for s in (a, m) if s != symbol}
    mean = Expectation(f, m / 2 + m**2, a**2)
    exact = enclose(mean.diff(symbol).subs({a: Rational(7, 5), m: Rational(7, 5)}), 20)
    assert exact.rigorous
    assert abs(float(exact) - _slope(mean, symbol, Rational(7, 5), others)) < 1e-11


def test_smooth_means_obey_the_heat_equation():
    mean = Expectation(tanh(z), m, a)
    by_variance, by_mean_twice = mean.diff(a), mean.diff(m, 2)
    assert (2 * by_variance.function - by_mean_twice.function).expand() == 0


def test_moving_a_jump_is_refused():
    with pytest.raises(NotSupportedError, match="moves a jump"):
        Expectation(sign(z - m) * z, 0, 1).diff(m)


def test_signs_and_zeros_are_known_when_they_are_proved():
    assert Expectation(tanh(z) ** 2, 0, a).is_nonnegative
    assert Expectation(exp(z), 0, a).is_positive
    assert Expectation(tanh(z), 0, 2).is_zero
    assert Expectation(tanh(z), 1, 2).is_zero is None
    assert Expectation(1 / z, 0, 2).is_zero is None
    assert Expectation(tanh(z), 0, a).is_real


def _depth(r, layers):
    """Iterate E tanh^2 with a fixed trapezoid rule, which converges geometrically here."""
    for _ in range(layers):
        h = mp.mpf(1) / 40
        nodes = [k * h for k in range(-500, 501)]
        r = sum(mp.npdf(t) * mp.tanh(mp.sqrt(r) * t) ** 2 for t in nodes) * h
    return r


def test_a_nested_chain_agrees_with_iterated_quadrature():
    r = Integer(1)
    for _ in range(4):
        r = Expectation(tanh(z) ** 2, 0, r)
    ball = enclose(r, 30)
    with mp.workdps(50):
        value = _depth(mp.mpf(1), 4)
        assert abs(ball.mpf(40) - value) < mp.mpf(10) ** -30
    assert ball.rigorous


def test_each_level_of_a_chain_is_integrated_once(monkeypatch):
    monkeypatch.setattr(ball_program, "_CACHE", {})
    calls = []
    original = Expectation._ball

    def counted(self, evaluate, prec):
        calls.append(self)
        return original(self, evaluate, prec)

    monkeypatch.setattr(Expectation, "_ball", counted)
    r = Rational(3, 2)
    for _ in range(5):
        r = Expectation(tanh(z) ** 2, 0, r)
    enclose(r + r**2 + sin(r), 20)
    assert len(calls) == 5


def test_a_function_of_doubtful_means_is_doubtful():
    singular = Expectation(log(Abs(z)), 0, 1)
    ball = enclose(1 + singular**2, 12)
    assert not ball.rigorous
    assert kind(singular + 1)[0] is Kind.TWO_PRECISIONS
    assert "could not be bounded" in kind(singular + 1)[1]


def test_kinds_of_closed_and_certified_values():
    assert kind(exp(1)) == (Kind.CLOSED_FORM, "")
    assert kind(Expectation(tanh(z) ** 2))[0] is Kind.BALL


def test_evaluation_and_value_agree_in_every_digit():
    mean = Expectation(tanh(z) ** 2)
    assert str(mean.evalf(30)) == enclose(mean, 30).str(30)
    assert float(Value(mean, Kind.BALL)) == float(mean)
    assert (mean + a).evalf(20).free_symbols == {a}


def test_means_that_do_not_exist_say_so_when_digits_are_asked_for():
    with pytest.raises(NotIntegrableError):
        enclose(Expectation(exp(z**2), 0, 1) + 1)


def test_printing():
    mean = Expectation(tanh(z) ** 2, 0, a)
    assert str(mean) == "E[tanh(z)**2; N(0, a)]"
    assert latex(mean) == (
        r"\mathbb{E}_{z\sim\mathcal{N}(0,a)}\left[\tanh^{2}{\left(z \right)}\right]"
    )


def test_a_double_mean_is_refused_with_the_way_out():
    inner = Expectation(tanh(y + x), 0, 1, y)
    with pytest.raises(NotSupportedError, match="two correlated normals"):
        enclose(Expectation(x * inner, 0, 1, x))


def test_threads_do_not_disturb_each_other():
    means = [Expectation(tanh(z) ** 2 + k * cos(z), 0, 1) for k in range(1, 9)]
    alone = [enclose(mean, 10 + 5 * k) for k, mean in enumerate(means)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(enclose, means, [10 + 5 * k for k in range(8)]))
    assert all(a.overlaps(b) for a, b in zip(alone, together, strict=True))
    assert [ball.digits >= 10 + 5 * k for k, ball in enumerate(together)] == [True] * 8


def test_values_of_values_are_enclosed_like_expressions():
    value = Value(Expectation(tanh(z) ** 2), Kind.BALL)
    assert enclose(value, 20).overlaps(value.ball(20))
    assert enclose(1 + value.expr, 20).mid - 1 == pytest.approx(float(value), rel=1e-15)
