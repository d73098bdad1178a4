"""Self-tests: errors are measured against balls, planted ones are seen, results are kept."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from derive.errors import NotSupportedError, RangeError, UnknownNameError
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric.selftest import SelfTest, draw, recall, self_test

GENTLE = {"alpha": (0.5, 2.0), "gamma_1": (3.0, 5.0), "lam": (0.1, 1.0)}


@dataclass(frozen=True)
class Planted:
    """An evaluator whose answers are spoiled."""

    inner: Any
    spoil: Any

    @property
    def program(self):
        return self.inner.program

    @property
    def source(self):
        return self.inner.source

    def __call__(self, **controls):
        return self.spoil(self.inner(**controls))


@pytest.fixture(scope="module")
def evaluator():
    return compile(program(deep_features(["erf"]).system()))


@pytest.fixture(scope="module")
def tested(evaluator):
    return self_test(evaluator, 60, keep=None)


def by_name(test):
    return {w.name: w for w in test.worst}


def test_unknowns_and_outputs_are_accurate_and_claims_hold(tested):
    worst = by_name(tested)
    assert set(worst) >= {"x_0", "x_1", "m", "E_test", "E_train", "dE_test_dlam"}
    assert max(worst[n].relative for n in ("x_0", "m", "E_test", "E_train")) < 1e-9
    assert max(w.units for w in worst.values()) <= 1
    assert tested.failures == {}
    assert "self-test on 60 points, 50 digits" in repr(tested)


def test_the_same_seed_gives_the_same_result_and_another_seed_another(evaluator, tested):
    assert self_test(evaluator, 60, keep=None) == tested
    assert self_test(evaluator, 60, seed=1, keep=None).worst != tested.worst


def test_gentle_ranges_give_no_warning(evaluator):
    test = self_test(evaluator, 40, ranges=GENTLE, keep=None)
    assert test.warnings == ()
    assert all(0.5 <= w.where["alpha"] <= 2 for w in test.worst)


def test_a_wrong_output_is_seen_with_its_place(evaluator):
    def spoil(solution):
        bad = solution.E_test.copy()
        bad[11] *= 1 + 1e-8
        return replace(solution, outputs={**solution.outputs, "E_test": bad})

    planted = Planted(evaluator, spoil)
    test = self_test(planted, 40, ranges=GENTLE, keep=None)
    drawn = draw(evaluator.program, 40, 0, GENTLE)
    worst = by_name(test)["E_test"]
    assert worst.relative == pytest.approx(1e-8, rel=1e-3)
    assert worst.where == {name: values[11] for name, values in drawn.items()}
    assert any(line.startswith("E_test loses digits: 1e-08") for line in test.warnings)
    assert any(line.startswith("E_test: claimed error too small") for line in test.warnings)


def test_a_claimed_error_that_is_too_small_is_seen(evaluator):
    def spoil(solution):
        return replace(solution, error={n: e * 1e-4 for n, e in solution.error.items()})

    test = self_test(Planted(evaluator, spoil), 40, ranges=GENTLE, keep=None)
    assert by_name(test)["x_1"].units > 1
    assert any("claimed error too small" in line for line in test.warnings)
    assert not any("loses digits" in line for line in test.warnings)


def test_failed_and_wrong_branched_points_are_counted(evaluator):
    def spoil(solution):
        status = solution.status.copy()
        status[3] = 2
        return replace(solution, status=status)

    test = self_test(Planted(evaluator, spoil), 10, ranges=GENTLE, keep=None)
    assert test.failures == {"not solved (stalled)": 1}
    assert test.warnings[0].startswith("1 of 10 points: not solved (stalled), first at alpha=")


def test_the_other_root_counts_as_a_failure():
    ridge = compile(program(deep_features([]).system()))

    def spoil(solution):
        alpha, lam = (solution.controls[n] for n in ("alpha", "lam"))
        half = (alpha - 1 - lam) / (2 * alpha)  # alpha x^2 + (alpha - 1 - lam) x - lam = 0
        negative = -half - np.sqrt(half**2 + lam / alpha)
        return replace(solution, unknowns={"x_0": negative})

    test = self_test(Planted(ridge, spoil), 10, ranges={"lam": (0.1, 1.0)}, keep=None)
    statement = "a unique root is in this ball, but it is not the physical one"
    assert test.failures == {statement: 10}
    assert statement in test.warnings[0]


def test_evaluators_without_errors_and_slopes_are_tested_too():
    few = compile(program(deep_features([]).system()), errors=False, slopes=False)
    test = self_test(few, 10, keep=None)
    assert set(by_name(test)) == {"x_0", "m", "E_test", "E_train"}
    assert all(np.isnan(w.units) for w in test.worst)
    assert SelfTest.from_json(test.to_json()).points == 10


def test_results_are_kept_recalled_and_shown(evaluator, tmp_path, monkeypatch):
    monkeypatch.setenv("STIELTJES_CACHE", str(tmp_path))
    assert recall(evaluator) is None
    test = self_test(evaluator, 20)
    assert recall(evaluator) == test
    assert test.summary in repr(evaluator)


def test_the_caller_may_keep_results_elsewhere(evaluator):
    kept = []
    test = self_test(evaluator, 5, keep=lambda *args: kept.append(args))
    ((_, name, content),) = kept
    assert name == f"selftest-{evaluator.program.key}.json"
    assert SelfTest.from_json(content.decode()) == test


def test_draws_stay_in_the_declared_ranges_and_meet_the_peaks(evaluator):
    drawn = draw(evaluator.program, 400, 3, {})
    assert all(q.contains(v) for q in evaluator.program.inputs for v in drawn[q.name])
    assert 50 < np.sum(drawn["alpha"] == drawn["gamma_1"]) < 150
    assert drawn["lam"].min() < 1e-7


def test_bad_requests_are_refused(evaluator):
    with pytest.raises(RangeError, match="give points >= 1"):
        self_test(evaluator, 0)
    with pytest.raises(UnknownNameError, match="range of 'beta'"):
        self_test(evaluator, 5, ranges={"beta": (0, 1)})
    with pytest.raises(RangeError, match="not inside its range"):
        self_test(evaluator, 5, ranges={"alpha": (-1, 1)})
    with pytest.raises(NotSupportedError, match="it is no evaluator"):
        self_test(evaluator.program)
