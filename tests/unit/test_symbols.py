"""Symbols that mean something: identity, pickling, ranges."""

import pickle

import pytest
from sympy import latex

from derive.errors import ParseError, RangeError
from derive.symbols import Quantity, control


def test_two_meanings_of_one_name_are_two_symbols():
    one, two = control("x", "one"), control("x", "two")
    assert one != two
    assert one - two != 0
    assert one - control("x", "one") == 0


def test_quantities_survive_pickling_and_substitution():
    lam = control("lam", "ridge", latex=r"\lambda", positive=True)
    again = pickle.loads(pickle.dumps(lam))
    assert again == lam
    assert again.meaning == "ridge"
    assert (lam**2).xreplace({lam: 3}) == 9


def test_the_latex_name_is_printed():
    assert latex(control("lam", latex=r"\lambda") ** 2) == r"\lambda^{2}"


def test_lambda_is_refused_with_the_way_out():
    with pytest.raises(ParseError, match="use 'lam' with latex"):
        Quantity("lambda")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_open_ranges_refuse_the_end_the_outside_and_nan(value):
    with pytest.raises(RangeError, match="give lam > 0"):
        control("lam", positive=True).check(value)


def test_closed_ranges_keep_the_end():
    assert control("lam", low=0).check(0.0) == 0.0
