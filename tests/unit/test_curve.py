"""A curve with its witnesses: grids, points to check, verdicts."""

from dataclasses import replace

import numpy as np
import pytest

from derive.errors import RangeError
from derive.theory.deep_features import deep_features
from numeric.curve import Experiment, parse_grid, read_number, run_curve, sizes, spread

CONTROLS = {"alpha": [0.5, 1.5, 4.0], "gamma": (2.0,), "lam": 0.1, "noise": 0.2}


@pytest.fixture(scope="module")
def run():
    return run_curve(deep_features(["erf"]), CONTROLS, references=2, show=False)


def test_geometric_and_linear_grids_hold_their_ends():
    assert parse_grid("0.1:10:3") == pytest.approx([0.1, 1, 10])
    assert parse_grid("1:3:5:lin") == pytest.approx([1, 1.5, 2, 2.5, 3])
    assert parse_grid("1:4:3:log") == pytest.approx([1, 2, 4])
    assert parse_grid("2") == [2.0]
    assert parse_grid("5,1,2.5") == [5.0, 1.0, 2.5]
    assert parse_grid("2:2:1") == [2.0]


@pytest.mark.parametrize(
    "text", ["", "1:2", "1:2:3:4:5", "0:1:3", "2:1:3", "1:2:-1", "1,,2", "nan"]
)
def test_malformed_grids_are_refused(text):
    with pytest.raises(RangeError):
        parse_grid(text)


def test_numbers_are_finite_or_refused_with_their_name():
    assert read_number(" 1e-2 ", "lam") == 0.01
    with pytest.raises(RangeError, match="lam 'inf': not a finite number"):
        read_number("inf", "lam")


def test_points_to_check_are_spread_with_both_ends():
    grid = np.arange(10.0)
    assert spread(grid, 4).tolist() == [0, 3, 6, 9]
    assert spread(grid, 100).tolist() == list(range(10))
    assert spread(grid[:1], 3).tolist() == [0]


def test_sizes_of_an_experiment_are_half_and_whole():
    assert sizes(200) == (100, 200)
    with pytest.raises(RangeError, match="give d >= 20"):
        sizes(19)


def test_checks_recompute_the_curve_on_both_routes(run):
    assert [check.alpha for check in run.checks] == [0.5, 4.0]
    for check in run.checks:
        assert check.error < 1e-13
        assert check.routes < 1e-28
        assert check.reference.digits == 30
    assert run.verdict == "agree"
    assert set(run.seconds) == {"derive", "compile and solve", "reference"}


def test_verdict_turns_when_any_witness_disagrees(run):
    wrong = replace(run.checks[0], error=1e-9)
    assert replace(run, checks=(wrong,)).verdict == "disagree"
    apart = replace(run.checks[0], routes=1e-15)
    assert replace(run, checks=(run.checks[1], apart)).verdict == "disagree"
    failed = replace(run.solution, status=np.array([0, 1, 0], dtype=np.int8))
    assert replace(run, solution=failed).verdict == "disagree"
    assert replace(run, checks=()).verdict == "unchecked"


def test_notes_repeat_the_digits(run):
    notes = run.notes()
    assert notes["verdict"] == "agree"
    first = notes["references"][0]
    assert first["alpha"] == 0.5
    assert float(first["values"]["E_test"]) == pytest.approx(
        float(run.solution.E_test[0]), rel=1e-13
    )


def test_experiment_is_refused_without_ridge_before_anything_is_computed():
    with pytest.raises(RangeError, match="it needs a ridge"):
        run_curve(deep_features(["erf"]), CONTROLS | {"lam": 0}, experiment=Experiment((20, 40), 3))
