"""Named constants: atoms with exact values, layered and picklable."""

import pickle

import mpmath
from sympy import Integer, Rational, Symbol, erf, exp, latex, pi, sqrt

from derive.balls import enclose
from derive.constant import Constant, definitions


def test_rational_values_stay_numbers():
    assert Constant("r", Rational(1, 3)) == Rational(1, 3)
    assert Constant("r", Integer(2)).is_Integer


def test_name_and_value_make_the_identity():
    assert Constant("r", pi) == Constant("r", pi)
    assert Constant("r", pi) != Constant("s", pi)
    assert Constant("r", pi) != Constant("r", 2 * pi)
    assert Constant("r", pi) - Constant("r", pi) == 0


def test_constants_are_atoms_without_free_symbols():
    r = Constant("r", exp(-1), r"r_{2}")
    expr = r**2 + Symbol("x") * r
    assert expr.free_symbols == {Symbol("x")}
    assert r.is_positive
    assert sqrt(r**2) == r
    assert (str(r), latex(r**2)) == ("r", "r_{2}^{2}")


def test_digits_are_those_of_the_definition():
    s = Constant("s", pi * Constant("r", exp(-1)))
    with mpmath.workdps(60):
        assert abs(enclose(s, 50).mpf(50) - mpmath.pi / mpmath.e) < mpmath.mpf(10) ** -49
        assert abs(mpmath.mpf(str(s.evalf(45))) - mpmath.pi / mpmath.e) < mpmath.mpf(10) ** -43
    assert float(s) == float(mpmath.pi / mpmath.e)


def test_order_is_decided_by_value():
    assert Constant("r", pi) > 3
    assert not Constant("r", pi) > 4


def test_constants_survive_pickling():
    r = Constant("r", exp(-1), r"\rho")
    again = pickle.loads(pickle.dumps(r + pi))
    assert again == r + pi
    assert latex(pickle.loads(pickle.dumps(r))) == r"\rho"


def test_definitions_come_before_uses_and_once():
    a = Constant("a", exp(-1))
    b = Constant("b", a + erf(a))
    c = Constant("c", a * b)
    assert definitions([c + a, b]) == (a, b, c)
    assert definitions([pi, Integer(1)]) == ()


def test_long_chains_do_not_nest():
    link = Constant("r_0", exp(-1))
    for i in range(1, 40):
        link = Constant(f"r_{i}", erf(link) + link / 3, f"r_{{{i}}}")
    assert len(definitions([link])) == 40
    value = mpmath.exp(-1)
    for _ in range(39):
        value = mpmath.erf(value) + value / 3
    assert abs(float(link) - value) < 1e-12
