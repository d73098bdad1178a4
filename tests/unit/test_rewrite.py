"""Steps and logs."""

import pytest
from sympy import Symbol, sin

from derive.provenance import PRICE_1958, THIS
from derive.rewrite import Log, Step, size

x = Symbol("x")


def test_size_counts_operations_of_expressions_and_collections():
    assert size(x) == 0
    assert size(sin(x) + x**2) == 3
    assert size([x + 1, (x * x, x + 2)]) == 3
    assert size("x + 1") == 0


def test_logs_grow_without_changing():
    empty = Log()
    one = empty.then(Step("first"))
    assert (len(empty), len(one), len(one.then(Step("second")))) == (0, 1, 2)
    assert [s.rule for s in one.extend(Log((Step("third"),)))] == ["first", "third"]
    with pytest.raises(AttributeError):
        one.steps = ()


def test_logs_print_one_numbered_line_a_step():
    log = Log((Step("expand", "x + 1", PRICE_1958.at("eq. 2"), 5, 2), Step("done")))
    first, second = str(log).splitlines()
    assert first == "  1. expand: x + 1 (5 -> 2 operations) [price1958, eq. 2]"
    assert second == "  2. done [stieltjes]"
    assert repr(log) == "Log(2 steps)"


def test_sources_come_once_in_order():
    log = Log((Step("a", source=PRICE_1958), Step("b"), Step("c", source=PRICE_1958)))
    assert log.sources() == (PRICE_1958, THIS)
