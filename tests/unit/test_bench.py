"""The benchmark's rivals solve the same equations, and its table says what it found."""

import numpy as np
import pytest

from numeric.bench_features import method, workload
from numeric.bench_freezing import freezing
from numeric.bench_rivals import fixed_point, scipy_root
from numeric.bench_table import measure, table
from numeric.compiled import compile


@pytest.fixture(scope="module")
def solved():
    work = workload(1, 32)
    out = compile(work.program, outputs=(), errors=False, slopes=False).solve(work.inputs)
    return work, out[:2]


@pytest.mark.parametrize("rival", [fixed_point, scipy_root])
def test_rivals_find_the_same_unknowns(solved, rival):
    work, ours = solved
    theirs, steps = rival(work)(work.inputs)
    assert np.max(np.abs(theirs / ours - 1)) <= 1e-7
    assert steps > 3


def test_the_residual_of_our_answer_is_at_rounding_and_of_a_wrong_one_is_not(solved):
    work, ours = solved
    assert np.max(work.residual(work.inputs, ours)) <= 1e-15
    assert np.min(work.residual(work.inputs, ours * 1.01)) >= 1e-5
    assert np.all(np.isinf(work.residual(work.inputs, -ours)))


def test_the_table_names_methods_and_wrong_answers(solved):
    work, ours = solved
    right = method(work, "right", 32, 0.5, lambda inputs: (ours, 4.0))
    wrong = method(work, "wrong", 32, 0.0, lambda inputs: (ours * 2, 1.0))
    text = table(measure("one layer", [right, wrong], 1))
    first, second = text.splitlines()[2:]
    assert "right" in first
    assert "0.00%" in first
    assert "100.00%" in second


def test_numbers_would_depend_on_the_order_if_converged_lanes_moved_on():
    found = freezing(2, points=1024, rounds=1, places=1)
    assert found.same == 1.0
    assert found.variant < 0.99
