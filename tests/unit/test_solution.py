"""Solutions: access, checks and how they print."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from derive.errors import NotConvergedError, UnknownNameError
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.solution import Solution, Status


def solution(status=(0, 0), **changes):
    shape = np.shape(status)
    parts = {
        "name": "sample",
        "key": "abc",
        "controls": {"alpha": np.broadcast_to([0.5, 2.0][: len(status) or None], shape)},
        "outputs": {"m": np.full(shape, 2.0)},
        "error": {"m": np.full(shape, 1e-15)},
        "unknowns": {"x": np.full(shape, 3.0)},
        "slopes": {"dm_dlam": np.full(shape, -1.0)},
        "residual": np.full(shape, 1e-16),
        "status": np.array(status, dtype=np.int8),
        "steps": np.full(shape, 7, dtype=np.int32),
    }
    return Solution(**(parts | changes))


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_a_cause_and_a_remedy(status):
    assert status.cause
    assert status.remedy


def test_outputs_unknowns_and_slopes_are_attributes_and_items():
    found = solution()
    assert found.m is found["m"] is found.outputs["m"]
    assert found.x[0] == 3.0
    assert found["dm_dlam"][1] == -1.0


def test_names_that_are_not_held_are_answered_with_those_that_are():
    with pytest.raises(UnknownNameError, match="it holds m, dm_dlam, x"):
        solution()["E_test"]
    with pytest.raises(AttributeError, match="it holds m, dm_dlam, x"):
        solution().E_test


def test_check_passes_on_what_converged_and_names_the_first_point_that_did_not():
    good = solution()
    assert good.check() is good
    with pytest.raises(NotConvergedError, match=r"1 did not converge, .* \(1,\) \(alpha=2\)"):
        solution((0, int(Status.STALLED))).check()


def test_failure_carries_cause_and_remedy():
    with pytest.raises(NotConvergedError) as caught:
        solution((int(Status.BAD_INPUT), 0)).check()
    assert Status.BAD_INPUT.cause in caught.value.found
    assert caught.value.remedy == Status.BAD_INPUT.remedy


def test_converged_is_about_all_points():
    assert solution().converged
    assert not solution((0, 1)).converged
    assert solution().shape == (2,)


def test_print_counts_the_points_by_status():
    text = repr(solution((0, int(Status.NONFINITE))))
    assert text.startswith("Solution(sample, shape (2,): 1 converged, 1 nonfinite; key abc)")
    assert "residual     <= 1e-16, steps <= 7" in text


def test_print_of_outputs_without_finite_values():
    assert "no finite value" in repr(solution(outputs={"m": np.full(2, np.nan)}))
    assert "error not asked for" in repr(solution(error={}))


def test_an_empty_key_is_that_of_the_program_when_it_is_asked_for():
    frozen = program(deep_features([]))
    found = solution(key="", program=frozen)
    again = pickle.loads(pickle.dumps(found))
    assert "key" not in vars(found)
    assert found.key == again.key == replace(found, program=None).key == frozen.key
    with pytest.raises(UnknownNameError, match="'key' is not part of this solution"):
        found["key"]


def test_solutions_travel_between_processes():
    there_and_back = pickle.loads(pickle.dumps(solution()))
    np.testing.assert_array_equal(there_and_back.m, [2.0, 2.0])
