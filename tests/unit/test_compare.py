"""Comparison: right theories pass, planted errors are seen, and the stated power is true."""

from types import SimpleNamespace

import numpy as np
import pytest

from derive.errors import (
    NotConvergedError,
    NotSupportedError,
    RangeError,
    ShapeError,
    UnknownNameError,
)
from numeric.compare import compare
from numeric.experiments.sampling import Simulation

ALPHA = np.array([0.5, 1.0, 2.0])
TRUTH = np.array([2.0, 3.0, 4.0])


def planted(rng, *, d=(100, 200, 400), trials=20, slope=1.5, spread=1.0, power=1):
    """Trials with a known value at infinite size, bias slope/d, spread as 1/d**power."""
    values = [
        TRUTH + slope * TRUTH / size + spread * (100 / size) ** power / 100 * noise
        for size, noise in zip(d, rng.standard_normal((len(d), trials, TRUTH.size)), strict=True)
    ]
    table = {"E_test": np.array(values), "m": 2 * np.array(values)}
    return Simulation("planted", "planted", d, {"alpha": ALPHA, "lam": 0 * ALPHA + 0.1}, table, 0)


THEORY = {"E_test": TRUTH, "m": 2 * TRUTH}


@pytest.fixture
def simulation():
    return planted(np.random.default_rng(1))


def test_right_theory_agrees_although_every_single_size_is_biased(simulation):
    found = compare(THEORY, simulation)
    assert found.agree
    assert found.tests == 6
    assert np.abs(found.judged["m"].t_size[-1]).min() > 5


def test_theory_moved_by_five_percent_is_rejected(simulation):
    found = compare(THEORY, simulation)
    assert found.resolves < 0.05
    assert found.moved(1.05).verdict == "disagree"
    assert found.moved(0.95).rejected == 6


def test_moving_one_output_is_seen_in_that_output_only(simulation):
    moved = compare(THEORY, simulation).moved(1.05, outputs=("m",))
    assert (moved.judged["m"].ratio > 1).all()
    assert (moved.judged["E_test"].ratio < 1).all()


def test_error_at_a_single_point_is_seen(simulation):
    wrong = compare(THEORY | {"E_test": TRUTH * [1, 1.05, 1]}, simulation)
    assert wrong.rejected == 1
    assert wrong.judged["E_test"].ratio[1] > 1


def test_an_error_as_large_as_the_bias_is_seen(simulation):
    # A theory that equals the simulation at the smallest size is wrong by 1.5 %.
    assert not compare({o: simulation.mean(o)[0] for o in THEORY}, simulation).agree


def test_second_order_bias_is_covered_by_the_allowance():
    # The geometric series of bias 20/d at d >= 100: the next term is 4 %, without noise to hide it.
    d = (100, 200)
    values = [np.outer([1 - 1e-5, 1, 1 + 1e-5], TRUTH / (1 - 20 / size)) for size in d]
    simulation = Simulation("series", "", d, {"alpha": ALPHA}, {"m": np.array(values)}, 0)
    assert compare({"m": TRUTH}, simulation).agree
    assert not compare({"m": TRUTH}, simulation, allowance=1e-4).agree
    assert not compare({"m": TRUTH * 1.1}, simulation).agree


def false_alarms(rng, **options):
    """Number of 400 experiments that reject a right theory at level 0.1, three tests in each."""
    return sum(
        not compare(THEORY, planted(rng, trials=6, **options), ("m",), level=0.1, allowance=0).agree
        for _ in range(400)
    )


def test_chance_of_rejecting_a_right_theory_is_the_level():
    # 39 expected (Bonferroni loses one of 40); the band is 3.3 deviations wide on each side.
    assert 19 <= false_alarms(np.random.default_rng(2)) <= 59


@pytest.mark.parametrize("power", [0, 2])
def test_level_holds_when_fluctuations_do_not_fall_as_one_over_d(power):
    assert false_alarms(np.random.default_rng(7), power=power) <= 59


def test_an_error_of_the_stated_size_is_rejected_in_98_of_100_experiments():
    rng = np.random.default_rng(3)
    found = [compare(THEORY, planted(rng, trials=8)) for _ in range(300)]
    size = np.mean([one.judged["m"].resolves for one in found], axis=0)
    seen = np.mean([(one.moved(1 + size).judged["m"].ratio > 1).mean() for one in found])
    # The mean stated size is itself good to 1 % or so; 900 cases have a deviation of 0.005.
    assert 0.97 < seen < 0.9999


def test_power_is_not_exaggerated_a_smaller_error_often_passes():
    rng = np.random.default_rng(4)
    size = np.mean([compare(THEORY, planted(rng, trials=8)).resolves for _ in range(50)])
    passed = [compare(THEORY, planted(rng, trials=8)).moved(1 + size / 4).agree for _ in range(50)]
    assert np.mean(passed) > 0.5


def test_one_size_needs_an_explicit_allowance():
    single = planted(np.random.default_rng(5), d=(400,))
    with pytest.raises(RangeError, match=r"one size cannot tell.*give allowance="):
        compare(THEORY, single)
    assert compare(THEORY, single, allowance=0.01).agree
    assert not compare(THEORY, single, allowance=0.001).agree
    assert not compare(THEORY, single, allowance=0.01).moved(1.05).agree


def test_points_without_theory_are_counted_as_not_tested(simulation):
    gap = {"E_test": np.array([2.0, np.nan, 4.0]), "m": 2 * TRUTH}
    found = compare(gap, simulation)
    assert found.tests == 5
    assert "1 of 6 not tested" in repr(found)


def test_interrupted_simulation_is_judged_where_two_sizes_have_trials(simulation):
    simulation.values["m"][1:, :, 2] = np.nan
    simulation.values["m"][0, 5:, 0] = np.nan
    found = compare(THEORY, simulation)
    assert found.agree
    assert found.tests == 5
    assert np.isfinite(found.judged["m"].t).tolist() == [True, True, False]


def test_nothing_to_test_is_an_error(simulation):
    with pytest.raises(NotConvergedError, match="no point has both"):
        compare({"m": np.full(3, np.nan)}, simulation, outputs=("m",))


def test_solution_like_theories_bring_controls_and_errors(simulation):
    class Solved(dict):
        controls = {"alpha": ALPHA, "lam": 0 * ALPHA + 0.1, "rho": ALPHA}
        error = {"m": np.full(3, 10.0)}

    found = compare(Solved(THEORY), simulation)
    assert found.agree
    assert found.moved(1.05).judged["m"].ratio.max() < 1  # its own error covers it
    assert found.moved(1.05).judged["E_test"].ratio.min() > 1


def test_theory_at_other_controls_is_refused(simulation):
    class Elsewhere(dict):
        controls = {"lam": np.full(3, 0.2)}

    with pytest.raises(RangeError, match=r"compare at lam: theory at 0.2, simulation at 0.1"):
        compare(Elsewhere(THEORY), simulation)


@pytest.mark.parametrize(
    ("theory", "outputs", "error", "message"),
    [
        ({"m": TRUTH[:2]}, ("m",), ShapeError, r"theory of shape \(2,\)"),
        ({"m": TRUTH}, None, UnknownNameError, "the theory does not hold it"),
        (THEORY, ("E_gen",), UnknownNameError, "choose among E_test, m"),
    ],
)
def test_mismatched_requests_are_refused(simulation, theory, outputs, error, message):
    with pytest.raises(error, match=message):
        compare(theory, simulation, outputs)


def test_what_is_no_experiment_is_refused():
    with pytest.raises(NotSupportedError, match="compare with 3: it is no Simulation"):
        compare(THEORY, 3)


def test_level_must_be_a_probability(simulation):
    with pytest.raises(RangeError, match="not a probability"):
        compare(THEORY, simulation, level=1.5)


def test_fixed_limit_replaces_the_quantiles(simulation):
    found = compare(THEORY, simulation, limit=4.5)
    assert set(found.judged["m"].limit.tolist()) == {4.5}


def test_summary_is_short_and_table_is_full(simulation):
    found = compare(THEORY, simulation)
    assert len(repr(found).splitlines()) <= 12
    assert repr(found).splitlines()[-1].startswith("agree: largest |t|")
    assert "lam=0.1" in repr(found).splitlines()[0]
    assert len(found.table().splitlines()) == 2 + 2 * 3 * 4 + 1
    assert "disagree at 6 of 6" in repr(found.moved(1.05))
    assert "!" in found.moved(1.05).table()


def test_summary_stays_short_with_many_outputs(simulation):
    tables = {f"output_{i}": simulation["m"] for i in range(30)}
    many = SimpleNamespace(**{**simulation.__dict__, "values": tables}).__dict__
    found = compare(dict.fromkeys(tables, 2 * TRUTH), Simulation(**many))
    assert len(repr(found).splitlines()) <= 12
    assert "and 22 more outputs" in repr(found)


def test_identical_trials_are_compared_to_rounding():
    values = np.broadcast_to(TRUTH, (2, 5, 3)).copy()
    exact = Simulation("exact", "", (100, 200), {"alpha": ALPHA}, {"m": values}, 0)
    assert compare({"m": TRUTH * (1 + 1e-14)}, exact).agree
    assert not compare({"m": TRUTH * (1 + 1e-10)}, exact).agree
