"""What callers may give: every mistake is named in one line, and no array is overrun."""

import numpy as np
import pytest

from derive.errors import DeriveError, NotSupportedError, RangeError, ShapeError, UnknownNameError
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric.solution import Status

GOOD = {"alpha": 2.0, "gamma": (1.5,), "lam": 0.1, "noise": 0.1}


@pytest.fixture(scope="module")
def evaluate():
    return compile(deep_features(["erf"]).system(), slopes=False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"alpha": np.ones(3), "lam": np.ones(4)}, ShapeError, r"alpha \(3,\), lam \(4,\)"),
        ({"alpha": np.ones(3), "gamma": (np.ones(4),)}, ShapeError, r"gamma_1 \(4,\)"),
        ({"gamma": (1.0, 2.0)}, ShapeError, "2 values for 1"),
        ({"beta": 1.0}, UnknownNameError, "takes alpha, gamma, lam, noise"),
        ({"lam": np.array([[0.1, 0.2], [0.3, -0.1]])}, RangeError, r"lam\[1, 1\] = -0.1: out of"),
        ({"alpha": 0.0}, RangeError, "alpha = 0: out of range; give alpha > 0"),
        ({"alpha": [1.0, np.inf]}, RangeError, r"alpha\[1\] = inf: not finite"),
        ({"alpha": np.nan}, RangeError, "alpha = nan: not a number"),
        ({"alpha": "two"}, RangeError, "not a number or array"),
        ({"alpha": np.array([1 + 2j])}, RangeError, "not a number or array"),
        ({"alpha": [[1, 2], [3]]}, RangeError, "not a number or array"),
    ],
)
def test_a_mistake_is_named(evaluate, change, error, message):
    with pytest.raises(error, match=message):
        evaluate(**(GOOD | change))


def test_a_missing_control_is_named(evaluate):
    with pytest.raises(UnknownNameError, match="noise missing"):
        evaluate(alpha=2.0, gamma=(1.5,), lam=0.1)


@pytest.mark.parametrize(
    "hole", [np.array([1.0, np.nan, 2.0]), np.ma.array([1.0, 5.0, 2.0], mask=[0, 1, 0])]
)
def test_a_hole_in_a_grid_costs_one_point(evaluate, hole):
    solution = evaluate(**(GOOD | {"alpha": hole}))
    assert list(solution.status) == [Status.CONVERGED, Status.BAD_INPUT, Status.CONVERGED]
    assert np.isnan(solution.E_test[1])
    whole = evaluate(**(GOOD | {"alpha": np.array([1.0, 2.0])}))
    assert np.array_equal(solution.E_test[[0, 2]], whole.E_test)


@pytest.mark.parametrize("alpha", [1e305, 1e-305])
def test_sizes_beyond_doubles_give_a_status_and_no_number(evaluate, alpha):
    solution = evaluate(**(GOOD | {"alpha": alpha}))
    assert not solution.converged
    assert np.isnan(solution.E_test)


def test_arrays_that_would_be_overrun_are_refused(evaluate):
    width = evaluate.kernel.width
    for inputs in (np.ones((2, width)), np.ones((4, width - 1)), np.ones((4, width), dtype=int)):
        with pytest.raises(ShapeError, match="it takes float64 in 4 rows"):
            evaluate.solve(inputs)
    with pytest.raises(ShapeError, match=r"an array of shape \(3, 32\)"):
        evaluate.solve(np.ones((4, 32)), out=np.empty((3, 32)))


@pytest.mark.parametrize("model", [42, "tanh", None])
def test_what_is_no_system_is_refused(model):
    with pytest.raises(NotSupportedError, match="it is no system"):
        compile(model)


def test_every_refusal_is_a_derive_error():
    for kind in (RangeError, ShapeError, UnknownNameError, NotSupportedError):
        assert issubclass(kind, DeriveError)
