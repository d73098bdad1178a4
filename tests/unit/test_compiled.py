"""The evaluator: closed forms by hand, broadcasting, bad points, limits, refusals."""

import numpy as np
import pytest
from sympy import sqrt

from derive.errors import NotSupportedError, RangeError, ShapeError, UnknownNameError
from derive.program import program
from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System
from derive.theory.deep_features import deep_features
from numeric.compiled import METHODS, compile, scalar_source
from numeric.solution import Status

lam = control("lam", "ridge", low=0)
c = control("c", "shift", positive=True)
x = Quantity("x", "first", low=0, open_low=True)
y = Quantity("y", "second", low=0, open_low=True)


def quadratic(**changes):
    """lam = x y with y = x + c: x = (sqrt(c^2 + 4 lam) - c)/2, everything known by hand."""
    parts = {
        "name": "quadratic",
        "controls": (lam, c),
        "unknowns": (x, y),
        "equations": (Equation(y, x + c), Equation(lam, x * y)),
        "outputs": {"m": 1 / y, "e": x * y**2},
        "conditions": (Condition(x, "x is positive"),),
        "start": Start((), sqrt(lam), "above, since x^2 <= lam"),
    }
    return System(**(parts | changes))


def root(lam, c):
    return 2 * lam / (np.sqrt(c**2 + 4 * lam) + c)


@pytest.fixture(scope="module", params=METHODS)
def by_hand(request):
    return compile(quadratic(), method=request.param)


@pytest.fixture(scope="module")
def network():
    return compile(deep_features(["erf", "tanh"]).system())


OPTIONS = {"alpha": 1.3, "gamma": (2, 1.5), "lam": 0.01, "noise": 0.1}


def test_closed_form_is_reproduced_with_its_slopes(by_hand, rng):
    ridge, shift = 10 ** rng.uniform(-8, 3, 200), 10 ** rng.uniform(-3, 3, 200)
    solution = by_hand(lam=ridge, c=shift)
    exact = root(ridge, shift)
    assert solution.converged
    assert solution.x == pytest.approx(exact, rel=4e-15)
    assert solution.m == pytest.approx(1 / (exact + shift), rel=4e-15)
    assert solution.e == pytest.approx(exact * (exact + shift) ** 2, rel=1e-14)
    rate = 1 / (2 * exact + shift)  # dx/dlam
    assert solution.dm_dlam == pytest.approx(-rate / (exact + shift) ** 2, rel=1e-13)


def test_stated_errors_hold_and_are_not_vain(by_hand, rng):
    ridge, shift = 10 ** rng.uniform(-8, 3, 200), 10 ** rng.uniform(-3, 3, 200)
    solution = by_hand(lam=ridge, c=shift)
    exact = root(ridge.astype(np.longdouble), shift.astype(np.longdouble))
    off = np.abs(solution.x - exact)
    assert np.all(off <= solution.error["x"])
    assert np.all(solution.error["x"] <= 1e-13 * exact)
    assert np.all(solution.residual <= 1e-13)


def test_controls_broadcast_to_one_shape(network):
    solution = network(
        alpha=np.array([0.5, 1.0, 3.0])[:, None],
        gamma=(2, np.array([1.5, 2.5])),
        lam=0.01,
        noise=0.1,
    )
    assert solution.shape == (3, 2)
    assert solution.converged
    one = network(alpha=3.0, gamma=(2, 2.5), lam=0.01, noise=0.1)
    assert one.shape == ()
    assert solution.E_test[2, 1] == one.E_test
    assert solution.controls["gamma_2"].shape == (3, 2)


def test_empty_grids_stay_empty(network):
    solution = network(**(OPTIONS | {"alpha": np.empty(0)}))
    assert solution.shape == (0,)
    assert solution.converged


def test_nan_marks_its_point_and_leaves_the_others(network):
    alpha = np.array([0.5, np.nan, 3.0])
    solution = network(**(OPTIONS | {"alpha": alpha}))
    assert solution.status.tolist() == [Status.CONVERGED, Status.BAD_INPUT, Status.CONVERGED]
    assert np.isnan(solution.E_test[1])
    assert np.isnan(solution.error["E_test"][1])
    clean = network(**(OPTIONS | {"alpha": np.array([0.5, 3.0])}))
    assert solution.E_test[[0, 2]].tolist() == clean.E_test.tolist()


def test_a_lone_nan_is_refused(network):
    with pytest.raises(RangeError, match="noise = nan: not a number"):
        network(**(OPTIONS | {"noise": float("nan")}))


def test_values_out_of_range_are_named_with_their_index(network):
    with pytest.raises(RangeError, match=r"alpha\[1, 2\] = -1: out of range; give alpha > 0"):
        network(**(OPTIONS | {"alpha": np.array([[1, 2, 3], [4, 5, -1.0]])}))
    with pytest.raises(RangeError, match=r"lam = -0\.5: out of range; give lam >= 0"):
        network(**(OPTIONS | {"lam": -0.5}))
    with pytest.raises(RangeError, match=r"lam\[0\] = inf"):
        network(**(OPTIONS | {"lam": [np.inf]}))
    with pytest.raises(RangeError, match="not a number or array"):
        network(**(OPTIONS | {"lam": "small"}))


def test_missing_and_unknown_controls_are_named(network):
    with pytest.raises(UnknownNameError, match="lam, noise missing; this program takes alpha"):
        network(alpha=1, gamma=(2, 1))
    with pytest.raises(UnknownNameError, match="control 'beta': this program takes"):
        network(**OPTIONS, beta=1)


@pytest.mark.parametrize("gamma", [(2,), (2, 1, 1), 2.0])
def test_groups_of_another_length_are_refused(network, gamma):
    with pytest.raises(ShapeError, match=r"for 2 \(gamma_1, gamma_2\); give 2 values"):
        network(**(OPTIONS | {"gamma": gamma}))


def test_shapes_that_do_not_broadcast_are_named(network):
    with pytest.raises(ShapeError, match=r"do not broadcast: alpha \(2,\), lam \(3,\)"):
        network(**(OPTIONS | {"alpha": [1, 2], "lam": [1, 2, 3]}))


# --- the limit of a vanishing ridge ---------------------------------------------------------------


@pytest.fixture(scope="module")
def ridge():
    return compile(deep_features([]).system())


def test_vanishing_ridge_below_and_above_interpolation_by_hand(ridge):
    # Least squares: E = noise/(1 - 1/alpha) above; 1 - alpha + noise/(1 - alpha) below, m = inf or
    # 1/(alpha x_0) with x_0 = 1/alpha - 1.
    alpha, noise = np.array([0.25, 0.5, 2.0, 5.0]), 0.3
    solution = ridge(alpha=alpha, lam=0, noise=noise)
    below, above = alpha[:2], alpha[2:]
    assert solution.converged
    assert solution.E_test[:2] == pytest.approx(1 - below + noise / (1 - below), rel=1e-13)
    assert solution.E_test[2:] == pytest.approx(noise / (1 - 1 / above), rel=1e-13)
    assert solution.m[:2] == pytest.approx(1 / (1 - below), rel=1e-13)
    assert np.all(np.isinf(solution.m[2:]))
    assert np.all(solution.E_train[:2] == 0)
    assert solution.E_train[2:] == pytest.approx(noise * (1 - 1 / above), rel=1e-13)


def test_at_interpolation_the_ridgeless_error_is_infinite(ridge):
    solution = ridge(alpha=1.0, lam=0, noise=0.3)
    assert np.isinf(solution.E_test)
    assert solution.E_test > 0


@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
def test_limit_of_a_network_is_approached_on_both_sides_of_its_peak(network, alpha):
    limit = network(**(OPTIONS | {"alpha": alpha, "lam": 0}))
    near = network(**(OPTIONS | {"alpha": alpha, "lam": 1e-12}))
    assert limit.converged
    assert limit.E_test == pytest.approx(float(near.E_test), rel=1e-8)


# --- what is compiled -----------------------------------------------------------------------------


def test_outputs_errors_and_slopes_are_computed_on_request_only():
    lean = compile(quadratic(), outputs=["e"], errors=False, slopes=False)
    solution = lean(lam=2.0, c=1.0)
    assert set(solution.outputs) == {"e"}
    assert dict(solution.slopes) == {}
    assert dict(solution.error) == {}
    assert solution.e == pytest.approx(4.0, rel=1e-14)  # x = 1, y = 2


def test_no_outputs_leave_the_unknowns():
    solution = compile(quadratic(), outputs=[], errors=False, slopes=False)(lam=2.0, c=1.0)
    assert (solution.x, solution.y) == pytest.approx((1.0, 2.0), rel=1e-15)


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(UnknownNameError, match="'f'"):
        compile(quadratic(), outputs=["f"])
    with pytest.raises(UnknownNameError, match="the methods are"):
        compile(quadratic(), method="magic")
    with pytest.raises(UnknownNameError, match="the targets are"):
        compile(quadratic(), target="abacus")


def test_systems_without_a_start_are_refused():
    with pytest.raises(NotSupportedError, match="only triangular systems with a starting point"):
        compile(quadratic(start=None))


def test_systems_programs_and_declarations_compile_to_one_key():
    model = deep_features(["erf"])
    keys = {compile(item).program.key for item in (model, model.system(), program(model))}
    assert len(keys) == 1


def test_evaluators_say_what_they_are(by_hand):
    assert "quadratic" in repr(by_hand)
    assert by_hand.method in repr(by_hand)


def test_source_holds_no_constants_of_the_activation():
    text = scalar_source(program(deep_features(["erf"])))
    assert "0.4244" not in text  # 4/(3 pi)
    assert "K_a_1" in text


def test_a_start_below_the_root_is_recovered_by_the_bracket():
    low = quadratic(start=Start((), lam / (10 * (1 + lam)), "below"))
    solution = compile(low, method="scalar")(lam=[1e-3, 1.0, 1e3], c=1.0)
    assert solution.converged
    assert solution.x == pytest.approx(root(np.array([1e-3, 1.0, 1e3]), 1.0), rel=1e-14)
