"""Expansions, limits and closed forms against formulas by hand, published digits and each other.

Witnesses: Marchenko-Pastur at equal sizes (no hidden layer) is explicit; the ridgeless error of a
depth-one network is known to 22 digits; otherwise the compiled evaluator at small but positive
ridge, where the next term of the expansion says how far apart the two may be.
"""

from fractions import Fraction

import numpy as np
import pytest
from sympy import Rational, oo, sqrt

from derive.closed_form import closed_form
from derive.errors import NoRuleError, NotSupportedError, RangeError, UnknownNameError
from derive.expansions import expand
from derive.limits import infinite
from derive.theory.deep_features import deep_features
from numeric.compiled import compile as compiled

half = Rational(1, 2)
linear = deep_features([]).system()


def test_resolvent_at_equal_sizes_expands_in_half_powers():
    found = expand(linear, "m", values={"alpha": 1, "noise": 0}, terms=3)
    # m = (sqrt(1 + 4/lam) - 1)/2
    assert (found.start, found.root) == (-1, 2)
    assert all(c.contains(v) for c, v in zip(found.terms, (1, -half, Rational(1, 8)), strict=True))


def test_error_at_the_interpolation_peak_is_a_noise_over_root_ridge():
    found = expand(linear, "E_test", values={"alpha": 1, "noise": Rational(1, 10)})
    exponent, coefficient = found.leading
    assert exponent == Fraction(-1, 2)
    assert coefficient.contains(Fraction(1, 20))  # noise/(2 sqrt(S(0))) with S(0) = 1


@pytest.mark.parametrize("depth", [1, 2])
def test_peak_law_holds_at_any_depth_and_agrees_with_the_evaluator(depth):
    model = deep_features(["tanh"] * depth)
    gamma = [Rational(3, 2), 2][:depth]
    values = {"alpha": gamma[-1], "gamma": gamma, "noise": Rational(1, 10)}
    found = expand(model.system(), "E_test", values=values, terms=4)
    assert found.leading[0] == Fraction(-1, 2)
    lam = np.array([1e-10, 1e-12])
    numbers = {"alpha": float(gamma[-1]), "gamma": tuple(map(float, gamma)), "noise": 0.1}
    exact = compiled(model.system(), outputs=["E_test"])(lam=lam, **numbers).outputs["E_test"]
    errors = np.abs([found(v) / e - 1 for v, e in zip(lam, exact, strict=True)])
    assert errors.max() < 1e-8


def test_ridgeless_error_has_the_published_digits():
    values = {"alpha": Rational(3, 2), "gamma": [3], "noise": Rational(1, 10)}
    found = expand(deep_features(["tanh"]).system(), "E_test", values=values, digits=25)
    assert found.leading[0] == 0
    assert abs(found.terms[0].mid - Fraction("0.4468849878218383700327")) < Fraction(1, 10**22)


@pytest.mark.parametrize(("alpha", "start", "limit"), [(2, -1, half), (half, 0, 2)])
def test_resolvent_diverges_only_with_more_samples_than_features(alpha, start, limit):
    found = expand(linear, "m", values={"alpha": alpha, "noise": 0})
    assert (found.start, found.root) == (start, 1)
    assert found.terms[0].contains(limit)


def test_large_ridge_expansion_holds_the_moments_of_the_kernel():
    found = expand(linear, "m", at=oo, values={"alpha": 1, "noise": 0}, terms=4)
    assert found.start == 1
    catalan = (1, -1, 2, -5)
    assert all(c.contains(v) for c, v in zip(found.terms, catalan, strict=True))


def test_infinite_data_leave_the_noise_of_a_linear_target():
    values = {"lam": Rational(1, 10), "noise": Rational(1, 4)}
    found = expand(linear, "E_test", "alpha", at=oo, values=values)
    assert found.terms[0].contains(Fraction(1, 4))
    assert found.terms[1].contains(Fraction(1, 4))  # noise * d/n


def test_the_printed_expansion_names_its_variable():
    assert "lam^(-1/2)" in str(expand(linear, "m", values={"alpha": 1, "noise": 0}))


def test_bad_requests_for_expansions_are_refused():
    with pytest.raises(UnknownNameError, match="the outputs are"):
        expand(linear, "q", values={"alpha": 1, "noise": 0})
    with pytest.raises(UnknownNameError, match="no value for noise"):
        expand(linear, "m", values={"alpha": 1})
    with pytest.raises(RangeError, match="does not tend to it"):
        expand(linear, "m", at=7, values={"alpha": 1, "noise": 0})
    with pytest.raises(NotSupportedError, match="not linear"):
        expand(linear, "m", "noise", values={"alpha": 1, "lam": 1})
    with pytest.raises(RangeError, match="terms = 0"):
        expand(linear, "m", values={"alpha": 1, "noise": 0}, terms=0)


def test_infinite_width_is_linear_ridge_with_a_shifted_ridge():
    model = deep_features(["erf"])
    wide = infinite(model.system("kernel"), "gamma_1")
    (a, kappa), (b, star) = model.constants()
    ridge = (0.1 + float(star)) / float(kappa)
    plain = compiled(linear, outputs=["m"])(alpha=2.0, lam=ridge, noise=0.0).outputs["m"]
    k1 = closed_form(wide, "m", values={"alpha": 2, "noise": 0})
    numbers = {"lam": 0.1, str(a): float(kappa), str(b): float(star)}
    value = k1.expr.subs({s: numbers[s.name] for s in k1.expr.free_symbols})
    assert abs(float(value) * float(kappa) / float(plain) - 1) < 1e-12


def test_the_covariance_route_has_no_infinite_width_line_by_line():
    with pytest.raises(NotSupportedError, match="diverges"):
        infinite(deep_features(["erf"]).system(), "gamma_1")


def test_closed_form_of_the_linear_resolvent_is_marchenko_pastur():
    found = closed_form(linear)
    s = {q.name: q for q in linear.controls}
    lam, alpha = s["lam"], s["alpha"]
    exact = (sqrt((lam + 1 - alpha) ** 2 + 4 * alpha * lam) - (lam + 1 - alpha)) / (2 * alpha * lam)
    assert (found.expr - exact).expand().simplify() == 0
    assert "root 2 of 2" in found.branch


def test_closed_form_of_an_output_that_holds_the_control():
    found = closed_form(linear, "E_test", values={"alpha": 2, "noise": 0})
    exact = compiled(linear, outputs=["E_test"])(alpha=2.0, lam=0.3, noise=0.0).outputs["E_test"]
    value = found.expr.subs({s: {"lam": 0.3, "signal": 1}[s.name] for s in found.expr.free_symbols})
    assert abs(float(value) / float(exact) - 1) < 1e-12


def test_quartic_of_depth_one_has_a_closed_form_with_its_branch():
    values = {"gamma": [2], "alpha": 1, "a_1": Rational(2, 5), "b_1": Rational(1, 20)}
    system = deep_features(["erf"]).system()
    found = closed_form(system, "m", values=values)
    assert found.relation.degrees == (4, 2)
    lam = next(s for s in found.expr.free_symbols if s.name == "lam")
    value = complex(found.expr.subs(lam, Rational(1, 3)).evalf(30))
    residual = found.relation.expr.subs(
        {found.relation.output: value, found.relation.control: Rational(1, 3)}
    )
    assert abs(value.imag) < 1e-15 < value.real
    assert abs(complex(residual)) < 1e-9


def test_degree_eight_is_refused():
    values = {"gamma": [2, 1], "alpha": 1}
    values |= {"a_1": half, "b_1": Rational(1, 9), "a_2": half, "b_2": Rational(1, 7)}
    with pytest.raises(NoRuleError, match="degree 8"):
        closed_form(deep_features(["erf", "erf"]).system(), "m", values=values)
