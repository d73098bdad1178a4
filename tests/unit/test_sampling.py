"""Bookkeeping of trials: seeds, interruption, resumption, executors, text."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from derive.errors import RangeError, ShapeError, UnknownNameError
from numeric.experiments.sampling import Job, Simulation, carry_over, generator, run


def empty(*, d=(10, 20), trials=3, seed=0, lam=0.1):
    values = {"m": np.full((len(d), trials, 2), np.nan), "E": np.full((len(d), trials, 2), np.nan)}
    return Simulation("toy", "toy", d, {"lam": np.full(2, lam)}, values, seed)


def jobs(table):
    return [
        Job((i, t, k), (d, t, k))
        for t in range(table.trials)
        for i, d in enumerate(table.d)
        for k in range(2)
    ]


def draw(d, trial, point):
    value = generator(0, d, trial, point).random()
    return {"m": value, "E": -value}


def test_streams_depend_on_every_label_and_on_nothing_else():
    same = [generator(1, 200, 3, 0.1).random() for _ in range(2)]
    close = np.nextafter(0.1, 1)
    labels = [(2, 200, 3, 0.1), (1, 201, 3, 0.1), (1, 200, 4, 0.1), (1, 200, 3, close)]
    others = [generator(*each).random() for each in labels]
    assert same[0] == same[1]
    assert len({same[0], *others}) == 5


def test_every_trial_lands_at_its_address():
    table = run(draw, jobs(empty()), empty())
    assert table.finished
    assert table["m"][1, 2, 0] == generator(0, 20, 2, 0).random()
    assert (table["E"] == -table["m"]).all()


def test_executor_gives_the_same_numbers():
    with ThreadPoolExecutor(2) as executor:
        parallel = run(draw, jobs(empty()), empty(), executor=executor)
    assert (parallel["m"] == run(draw, jobs(empty()), empty())["m"]).all()


def stop_at_trial_one(d, trial, point):
    if trial == 1:
        raise KeyboardInterrupt
    return draw(d, trial, point)


def test_interrupted_run_keeps_what_is_finished_and_resumes_to_the_same_numbers():
    kept = []
    partial = run(stop_at_trial_one, jobs(empty()), empty(), checkpoint=kept.append)
    assert not partial.finished
    assert partial.count("m").tolist() == [[1, 1], [1, 1]]
    assert "33% run, interrupted" in repr(partial)
    assert (kept[-1].count("m") == 1).all()
    calls = []

    def watched(*arguments):
        calls.append(arguments)
        return draw(*arguments)

    whole = run(watched, jobs(empty()), carry_over(kept[-1], empty()))
    assert len(calls) == 8
    assert (whole["m"] == run(draw, jobs(empty()), empty())["m"]).all()


def test_failure_of_a_draw_is_raised_after_the_checkpoint():
    kept = []

    def broken(d, trial, point):
        raise RangeError("draw", "broken", "mend it")

    with pytest.raises(RangeError, match="broken"):
        run(broken, jobs(empty()), empty(), checkpoint=kept.append)
    assert len(kept) == 1


def test_more_trials_and_sizes_extend_an_earlier_run():
    earlier = run(draw, jobs(empty()), empty())
    wider = carry_over(earlier, empty(d=(20, 40), trials=5))
    assert (wider["m"][0, :3] == earlier["m"][1]).all()
    assert np.isnan(wider["m"][0, 3:]).all()
    assert np.isnan(wider["m"][1]).all()


@pytest.mark.parametrize("other", [{"seed": 1}, {"lam": 0.2}])
def test_resuming_another_experiment_is_refused(other):
    with pytest.raises(RangeError, match="resume with the same declaration, controls and seed"):
        carry_over(empty(**other), empty())


def test_text_gives_back_the_same_numbers_and_gaps():
    partial = run(stop_at_trial_one, jobs(empty()), empty())
    again = Simulation.from_text(partial.to_text())
    assert np.array_equal(again["m"], partial["m"], equal_nan=True)
    assert again.controls["lam"].tolist() == [0.1, 0.1]
    assert carry_over(again, empty()).count("E").sum() == 4


@pytest.mark.parametrize("text", ["", "[]", '{"name": "x"}'])
def test_text_that_is_no_table_is_refused(text):
    with pytest.raises(ShapeError, match="not a table of trials"):
        Simulation.from_text(text)


def test_mean_and_stderr_are_those_of_the_finished_trials():
    table = empty()
    table["m"][0, :2, 0] = [1.0, 3.0]
    table["m"][0, 0, 1] = 5.0
    assert table.mean("m")[0].tolist() == [2.0, 5.0]
    assert table.stderr("m")[0, 0] == pytest.approx(1.0)
    assert np.isnan(table.stderr("m")[0, 1])
    assert np.isnan(table.mean("m")[1]).all()


def test_unknown_output_is_refused_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="choose among m, E"):
        empty()["E_gen"]
