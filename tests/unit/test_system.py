"""Systems: balance, closure, differentiation, elimination, printing."""

import pytest
from sympy import Rational, Symbol, oo, sqrt

from derive.errors import (
    NotClosedError,
    NotSupportedError,
    RangeError,
    UnbalancedError,
    UnknownNameError,
)
from derive.provenance import THIS
from derive.symbols import Quantity, control
from derive.system import Condition, Equation, System
from derive.theory.deep_features import deep_features

lam = control("lam", "ridge", latex=r"\lambda", low=0)
other = control("other", "a second control")
x = Quantity("x", "unknown", low=0, open_low=True)
y = Quantity("y", "unknown", low=0, open_low=True)
h = Symbol("h", real=True)


def tower(**changes):
    """lam = x y with y = x + 1 and h = x^2: everything about it is known by hand."""
    parts = {
        "name": "tower",
        "controls": (lam,),
        "unknowns": (x, y),
        "equations": (Equation(y, x + 1), Equation(lam, x * y)),
        "outputs": {"m": 1 / y},
        "definitions": ((h, x**2),),
        "conditions": (Condition(x, "x is positive"),),
    }
    return System(**(parts | changes))


def test_unbalanced_systems_are_refused_with_the_suspects():
    with pytest.raises(UnbalancedError, match=r"1 equations for 2 unknowns \(unknowns in no equat"):
        tower(equations=(Equation(lam, x),))


def test_foreign_symbols_are_named():
    with pytest.raises(NotClosedError, match="the output m: it also holds other"):
        tower(outputs={"m": x * other})


def test_triangular_structure_is_found_and_lost_when_equations_are_coupled():
    assert tower().is_triangular()
    coupled = tower(equations=(Equation(y, x + y**2), Equation(lam, x * y)))
    assert not coupled.is_triangular()
    with pytest.raises(NotSupportedError, match="coupled"):
        coupled.triangular_lines()


def test_derivative_along_the_solution_equals_the_one_by_hand():
    system, slope = tower().differentiate("h", "lam", h, THIS)
    by_hand = 2 * x / (2 * x + 1)  # lam = x^2 + x, h = x^2
    assert (system.unfolded(slope).subs(y, x + 1) - by_hand).simplify() == 0
    assert len(system.log) == 1


def test_derivative_in_a_control_that_does_not_close_is_refused():
    with pytest.raises(NotSupportedError, match="derivative in other"):
        tower(controls=(lam, other)).differentiate("h", "other", h, THIS)


def test_polynomial_of_the_tower_by_hand():
    relation = tower().polynomial()
    m = relation.output
    # m = 1/(x+1), lam = x^2 + x  =>  m^2 lam + m - 1 = 0
    assert relation.expr.expand() in {m**2 * lam + m - 1, -(m**2) * lam - m + 1}
    assert relation.degrees == (2, 1)


def test_polynomial_refuses_what_is_not_rational():
    with pytest.raises(NotSupportedError, match="not rational"):
        tower(outputs={"m": sqrt(x)}).polynomial()


def test_polynomial_refuses_unknown_names_and_irrational_values():
    with pytest.raises(UnknownNameError, match="known names: lam"):
        tower().polynomial(values={"beta": 1})
    with pytest.raises(RangeError, match="not rational"):
        tower().polynomial(values={"lam": sqrt(2)})


def test_unknown_control_lists_the_controls():
    with pytest.raises(UnknownNameError, match="the controls are lam"):
        tower().control("beta")


def test_repr_is_one_line_and_latex_uses_the_latex_names():
    assert repr(tower()) == "System(tower: 2 equations, 2 unknowns: x y; controls lam)"
    assert r"\lambda &= x y" in tower().latex()
    assert tower()._repr_latex_().startswith("$$ \\begin{aligned}")


def test_a_system_expands_closes_and_takes_limits_by_its_own_methods():
    linear = deep_features([]).system()
    assert linear.closed_form(values={"alpha": 1}).branch.startswith("root 2 of 2")
    peak = linear.expand("E_test", values={"alpha": 1, "noise": 0}, terms=2)
    assert peak.leading[0] == Rational(1, 2)
    wide = deep_features(["erf"]).system("kernel").infinite("gamma_1")
    assert [q.name for q in wide.controls] == ["alpha", "lam", "noise"]


@pytest.mark.parametrize(
    ("alpha", "error"), [(Rational(1, 2), 1), (2, Rational(1, 2)), (3, Rational(3, 8))]
)
def test_ridgeless_limits_on_both_sides_of_the_peak_have_their_closed_forms(alpha, error):
    """1 - alpha + noise/(1 - alpha) below alpha = 1, noise alpha/(alpha - 1) above."""
    found = (
        deep_features([]).system().limit("E_test", values={"alpha": alpha, "noise": Rational(1, 4)})
    )
    assert found.contains(error)


def test_limits_at_infinity_and_divergent_ones():
    linear = deep_features([]).system()
    assert linear.limit("m", at=oo, values={"alpha": 2, "noise": 0}).contains(0)
    with pytest.raises(RangeError, match="limit of E_test: it grows like"):
        linear.limit("E_test", values={"alpha": 1, "noise": 1})
