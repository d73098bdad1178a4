"""Every kernel of the list is closed at unequal symbolic variances."""

import pytest
from sympy import Symbol

from derive.dual import dual
from derive.symbols import rho
from derive.value import Kind
from tests.kernel_list import ACTIVATIONS

a, b = Symbol("a", positive=True), Symbol("b", positive=True)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_kernel_at_symbolic_variances_is_closed(name):
    found = dual(ACTIVATIONS[name], variances=(a, b))
    assert found.kind is Kind.CLOSED_FORM
    assert found.expr.free_symbols <= {a, b, rho} | ACTIVATIONS[name].free_symbols
