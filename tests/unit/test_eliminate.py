"""Elimination: relations known by hand, degrees, and the factor of the physical branch."""

import mpmath
import pytest
from sympy import Integer, Poly, Rational, Symbol, expand, factor_list, sqrt, symbols

from derive.eliminate import eliminate
from derive.errors import NotSupportedError
from derive.theory.deep_features import deep_features
from numeric.reference import reference

x, lam, m, y, a = symbols("x lam m y a")


def same_up_to_sign(found, expected):
    return expand(found - expected) == 0 or expand(found + expected) == 0


def relative_size(polynomial, known):
    """The value of a polynomial over the sum of the sizes of its terms."""
    factors = ((t.as_coeff_Mul()[0], t.as_coeff_Mul()[1].as_powers_dict()) for t in polynomial.args)
    terms = [
        int(c) * mpmath.fprod(known[g.name] ** int(k) for g, k in p.items()) for c, p in factors
    ]
    return abs(sum(terms)) / sum(map(abs, terms))


def test_marchenko_pastur_by_hand():
    # lam = x (2 - 1/(1 + x)) and m = 1/(2 x) give lam = (m + 1)/(m (2 m + 1)).
    relation = eliminate([(y, 1 / (1 + x))], (lam, x * (2 - y)), (m, 1 / (2 * x)), x)
    assert same_up_to_sign(relation.expr, lam * m * (2 * m + 1) - m - 1)
    assert relation.degrees == (2, 1)


def test_common_factors_are_removed():
    # m = x^2 and lam = x^2 give the line m = lam, not its square.
    relation = eliminate([], (lam, x**2), (m, x**2), x)
    assert same_up_to_sign(relation.expr, m - lam)


def test_relation_with_a_symbol_left_open():
    relation = eliminate([], (lam, a * x), (m, x**2), x)
    assert same_up_to_sign(relation.expr, a**2 * m - lam**2)


def test_expressions_that_are_not_rational_are_refused():
    with pytest.raises(NotSupportedError, match="is not rational"):
        eliminate([(y, sqrt(x))], (lam, x), (m, y), x)


@pytest.mark.parametrize(("depth", "degrees"), [(0, (2, 1)), (1, (4, 2)), (2, (8, 4))])
@pytest.mark.parametrize("route", ["covariance", "kernel"])
def test_degrees_of_deep_features_are_powers_of_two(depth, degrees, route):
    values = {"alpha": Rational(3, 2)}
    values |= {f"gamma_{i}": Rational(5, 1 + i) for i in range(1, depth + 1)}
    values |= {f"a_{i}": Rational(i, 3) for i in range(1, depth + 1)}
    values |= {f"b_{i}": Rational(1, 5 + i) for i in range(1, depth + 1)}
    system = deep_features(["erf"] * depth).system(route)
    assert system.polynomial(values=values).degrees == degrees


def test_both_routes_eliminate_to_one_polynomial():
    system = deep_features(["erf"])
    first = system.system("covariance").polynomial()
    second = system.system("kernel").polynomial()
    names = {s: Symbol(s.name) for s in (first.expr.free_symbols | second.expr.free_symbols)}
    assert same_up_to_sign(first.expr.xreplace(names), second.expr.xreplace(names))


def test_the_relation_is_irreducible_and_logged():
    relation = deep_features(["erf"]).system().polynomial()
    factors = factor_list(relation.expr)[1]
    assert len(factors) == 1
    assert factors[0][1] == 1
    assert "eliminate the unknowns" in str(relation.log)
    assert repr(relation) == "Relation(degree 4 in m, 2 in lam)"
    assert relation._repr_latex_().endswith("= 0$$")


def test_linear_layers_have_degree_depth_plus_two():
    for depth in (1, 2, 3):
        values = {"alpha": Rational(3, 2), "gamma": (2, Rational(5, 4), Integer(3))[:depth]}
        relation = deep_features(["z"] * depth).system().polynomial(values=values)
        assert relation.degrees[0] == depth + 2


def test_the_polynomial_vanishes_at_the_reference():
    model = deep_features(["erf"])
    relation = model.system().polynomial(values={"alpha": 2, "gamma": (3,)})
    point = reference(model.system(), 40, alpha=2, gamma=(3,), lam="0.1", noise=0)
    constants = dict(model.constants())
    with mpmath.workdps(45):
        exact = {s: e.evalf(45) for s, e in constants.items()}
        poly = Poly(
            relation.expr.subs(exact).subs(relation.control, Rational(1, 10)), relation.output
        )
        root = mpmath.mpf(str(point["m"]))
        coefficients = [mpmath.mpf(str(c.evalf(45))) for c in poly.all_coeffs()]
        scale = sum(abs(c) * root**k for k, c in enumerate(reversed(coefficients)))
        assert abs(mpmath.polyval(coefficients, root)) < scale * mpmath.mpf(10) ** -38
        assert abs(mpmath.polyval(coefficients, root * 1.001)) > scale * mpmath.mpf(10) ** -6


def test_an_error_with_every_control_left_open_vanishes_at_the_reference():
    model = deep_features(["erf"])
    relation = model.system().polynomial("E_test")
    point = reference(model.system(), 50, alpha=2, gamma=(3,), lam="0.1", noise="0.2")
    with mpmath.workdps(60):
        known = {s.name: mpmath.mpf(str(e.evalf(60))) for s, e in model.constants()}
        known |= {"alpha": 2, "gamma_1": 3, "lam": 1 / mpmath.mpf(10), "noise": 1 / mpmath.mpf(5)}
        known |= {"signal": 1, "E_test": point["E_test"]}
        assert len(relation.expr.args) > 2000
        assert relative_size(relation.expr, known) < mpmath.mpf(10) ** -45
        moved = known | {"E_test": point["E_test"] * 1.001}
        assert relative_size(relation.expr, moved) > mpmath.mpf(10) ** -20
