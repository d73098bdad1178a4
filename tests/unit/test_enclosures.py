"""Float64 enclosures: the truth lies in every interval, and planted errors are refused."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from sympy import Rational

from derive.errors import NotConvergedError, NotSupportedError, ShapeError, UnknownNameError
from derive.printing.enclosure_steps import Wanted, careful_step, quick_step
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.bench_features import workload
from numeric.compiled import compile
from numeric.enclosure_balls import ball_rows
from numeric.enclosure_kernel import EnclosureKernel, Rows, step_source
from numeric.enclosures import enclosures
from numeric.proof import Verdict
from numeric.reference import reference
from tests.function_systems import SYSTEMS, points

N = 4000


@pytest.fixture(scope="module")
def one_layer():
    return program(deep_features(["erf"]).system())


@pytest.fixture(scope="module")
def grid(one_layer):
    """Points of ordinary and hard regimes: a tenth of them lie on an interpolation peak."""
    rng = np.random.default_rng(5)
    alpha, gamma = 10 ** rng.uniform(-1, 1, N), rng.uniform(0.2, 5, N)
    alpha[: N // 10] = gamma[: N // 10]
    lam = 10 ** rng.uniform(-6, 1, N)
    return compile(one_layer)(alpha=alpha, gamma=(gamma,), lam=lam, noise=0.1)


@pytest.fixture(scope="module")
def proved(grid):
    return enclosures(grid)


def truth_at(system, solution, i, digits=40):
    """Reference at the doubles of one point, as exact fractions."""
    at = {k: Fraction(float(v.flat[i])) for k, v in solution.controls.items()}
    at["gamma"] = (at.pop("gamma_1"),)
    return reference(system, digits=digits, **at)


def inside(box, name, i, value):
    low, high = (Fraction(float(end(name)[i])) for end in (box.lower, box.upper))
    sign, mantissa, exponent, _ = value._mpf_
    return low <= (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** int(exponent) <= high


def test_nearly_every_random_point_is_proved_physical(proved):
    assert np.mean(proved.verdict == Verdict.PHYSICAL) >= 0.999
    assert "the physical root" in repr(proved)


@pytest.fixture(scope="module")
def hard(one_layer):
    """Tiny ridges, ratios far from one: the later unknown is a difference of nearly equal terms."""
    rng = np.random.default_rng(6)
    alpha, gamma = 10 ** rng.uniform(-3, 3, N), 10 ** rng.uniform(-3, 3, N)
    lam = 10 ** rng.uniform(-14, 6, N)
    return compile(one_layer)(alpha=alpha, gamma=(gamma,), lam=lam, noise=0.1)


def test_hard_points_are_proved_and_narrow_and_hold_the_truth(one_layer, hard):
    box = enclosures(hard, slopes=False)
    assert np.mean(box.verdict == Verdict.PHYSICAL) >= 0.999
    assert np.quantile(box.width("x_1"), 0.99) <= 1e-10
    for i in (*np.argsort(box.width("x_1"))[-3:], 5, 17):
        truth = truth_at(one_layer, hard, int(i))
        names = [n for n in truth.values if n in box.mid]
        assert {"x_0", "x_1", "E_test"} <= set(names)
        assert all(inside(box, n, int(i), truth[n]) for n in names)


def test_truth_at_40_digits_lies_in_every_interval(one_layer, grid, proved):
    for i in (0, 1, 2, 399, 400, 1500, 3999):  # the first ones on the peak
        truth = truth_at(one_layer, grid, i)
        assert all(inside(proved, name, i, value) for name, value in truth.values.items())


def test_ordinary_points_are_narrow(proved):
    for name in ("x_0", "x_1", "m", "E_test", "E_train"):
        assert np.median(proved.width(name)) < 1e-13
        assert np.nanmax(proved.width(name)) < 1e-6
    with pytest.raises(UnknownNameError, match="there are x_0, x_1, m"):
        proved.width("x_2")


def test_answers_lie_within_interval_and_claimed_error(grid, proved):
    for name in ("x_0", "x_1", "m", "E_test", "E_train"):
        gap = np.abs(grid[name] - proved.mid[name])
        assert np.all(gap <= grid.error[name] + proved.rad[name])


def test_numbers_do_not_depend_on_threads_order_or_slopes(grid, proved):
    again = enclosures(grid, threads=2)
    np.testing.assert_array_equal(again.mid["E_test"], proved.mid["E_test"])
    np.testing.assert_array_equal(again.rad["dE_test_dlam"], proved.rad["dE_test_dlam"])
    few = enclosures(compile(grid.program)(alpha=2, gamma=(1.5,), lam=[0.1, 1.0], noise=0.1))
    assert few.verdict.shape == (2,)


def test_a_wrong_answer_is_refused(grid, proved):
    wrong = dict(grid.unknowns)
    wrong["x_0"] = wrong["x_0"].copy()
    wrong["x_0"][7] *= 1.01
    wrong["x_1"] = wrong["x_1"].copy()
    wrong["x_1"][8] = -wrong["x_1"][8]
    refused = enclosures(replace(grid, unknowns=wrong))
    assert not refused.proved[[7, 8]].any()
    assert refused.proved[9]
    assert np.isnan(refused.mid["E_test"][7])
    with pytest.raises(NotConvergedError, match=r"2 not proved, the first at index \(7,\)"):
        refused.check()


def test_the_other_root_fails_a_branch_condition():
    """Ridge without layers: 2x^2 + x/2 - 1/2 = 0 has one negative root, a root all the same."""
    ridge = program(deep_features([]).system())
    solution = compile(ridge)(alpha=2.0, lam=0.5, noise=0.1)
    negative = float(min(np.roots([2.0, 0.5, -0.5]).real))
    other = replace(solution, unknowns={"x_0": np.array(negative)})
    assert enclosures(solution, slopes=False).verdict == Verdict.PHYSICAL
    assert enclosures(other, slopes=False).verdict == Verdict.NOT_PHYSICAL


def test_a_constant_off_by_1e_12_is_seen(one_layer, grid):
    symbol, value = one_layer.constants[0]
    moved = ((symbol, value * (1 + Rational(1, 10**12))), *one_layer.constants[1:])
    bad = enclosures(replace(grid, program=replace(one_layer, constants=moved)))
    truth = truth_at(one_layer, grid, 1500)
    assert bad.proved[1500]
    assert not inside(bad, "E_test", 1500, truth["E_test"])


def test_points_without_an_answer_keep_their_place(one_layer):
    solution = compile(one_layer)(
        alpha=2.0, gamma=(1.5,), lam=[0.1, 0.0, np.nan], noise=[[0.1], [0.2]]
    )
    box = enclosures(solution)
    assert box.verdict.shape == (2, 3)
    assert list(box.verdict[0]) == [Verdict.PHYSICAL, Verdict.NO_ANSWER, Verdict.NO_ANSWER]
    with pytest.raises(NotSupportedError, match="has no Program"):
        enclosures(replace(solution, program=None))


@pytest.fixture
def careful_only(monkeypatch):
    """Kernels without the quick form."""
    monkeypatch.setattr(EnclosureKernel, "_quick_form", lambda self: None)
    monkeypatch.setitem(enclosures.__globals__, "_KERNELS", {})


def test_both_forms_hold_the_same_numbers(grid, proved, careful_only):
    """Both intervals hold the exact value, so they meet; the careful ones are narrower."""
    careful = enclosures(grid)
    assert np.mean(careful.verdict == Verdict.PHYSICAL) >= 0.999
    for name in proved.mid:
        both = proved.proved & careful.proved
        assert np.all((proved.lower(name) <= careful.upper(name))[both])
        assert np.all((careful.lower(name) <= proved.upper(name))[both])
        assert np.median(careful.width(name)) < np.median(proved.width(name))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_quick_form_proves_random_deep_networks(depth):
    """Controls of every kind are open: nothing is left to the careful form, nothing is wide."""
    work = workload(depth, 4001)
    names = [q.name for q in work.program.inputs]
    solution = compile(work.program)(**dict(zip(names, work.inputs, strict=True)))
    kernel = EnclosureKernel(work.program, Wanted((0, 1, 2), True))
    inputs, centres = list(work.inputs), [solution[u] for u in work.program.unknowns]
    rows = Rows(np.empty(4001, dtype=np.int8), np.empty((2 * len(kernel.names), 4001)))
    kernel._quick(kernel.constants, (*inputs, *centres), rows, 1)
    assert np.mean(rows.verdict == 0) >= 0.999
    box = enclosures(solution)
    assert np.mean(box.verdict == Verdict.PHYSICAL) >= 0.999
    for name in (*work.program.unknowns, "E_test"):
        assert np.median(box.width(name)) < 3e-13
        assert np.quantile(box.width(name), 0.99) < 1e-10


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_interval_holds_the_ball_of_another_arithmetic(depth):
    """Balls of 14 digits prove the same points; a radius fifty times smaller is refuted."""
    work = workload(depth, 96, seed=1)
    names = [q.name for q in work.program.inputs]
    solution = compile(work.program)(**dict(zip(names, work.inputs, strict=True)))
    box = enclosures(solution)
    rows = ball_rows(solution, work.program, list(box.mid))
    assert np.array_equal(rows.verdict, box.verdict)
    mids, rads = rows.values[::2], rows.values[1::2]
    used = [
        np.abs(mid - box.mid[name]) / (box.rad[name] + rad)
        for name, mid, rad in zip(box.mid, mids, rads, strict=True)
    ]
    assert np.max(used) <= 1
    assert max(np.max(used[0]), np.max(used[depth])) > 0.02


def test_points_in_a_padded_block_are_like_others(one_layer):
    """Any number of points gives the numbers of a grid of full blocks."""
    lam = np.geomspace(1e-3, 1, 16)
    all_ = enclosures(compile(one_layer)(alpha=2, gamma=(1.5,), lam=lam, noise=0.1))
    few = enclosures(compile(one_layer)(alpha=2, gamma=(1.5,), lam=lam[:11], noise=0.1))
    for name in all_.mid:
        assert np.array_equal(all_.mid[name][:11], few.mid[name])
        assert np.array_equal(all_.rad[name][:11], few.rad[name])


def test_few_points_that_float64_cannot_prove_are_proved_in_balls(grid, proved, monkeypatch):
    """Every form refuses: balls prove what they are given, up to a number of points."""

    def give_up(self, *given):
        verdict = np.full(3, Verdict.NOT_PROVED, dtype=np.int8)
        return Rows(verdict, np.full((2 * len(proved.mid), 3), np.nan))

    monkeypatch.setattr(EnclosureKernel, "prove", give_up)
    few = compile(grid.program)(alpha=2, gamma=(1.5,), lam=[0.1, 1.0, 2.0], noise=0.1)
    assert np.all(enclosures(few).verdict == Verdict.PHYSICAL)
    assert np.all(enclosures(few).width("E_test") < 2e-16)
    monkeypatch.setitem(enclosures.__globals__, "_MOST_BALLS", 2)
    assert np.all(enclosures(few).verdict == Verdict.NOT_PROVED)


def test_only_what_is_asked_for_is_enclosed(one_layer):
    lean = compile(one_layer, outputs=(), errors=False, slopes=False)
    solution = lean(alpha=2, gamma=(1.5,), lam=[0.1, 1.0], noise=0.1)
    assert set(enclosures(solution).mid) == {"x_0", "x_1"}
    assert set(enclosures(solution, outputs=("E_test",)).mid) == {"x_0", "x_1", "E_test"}
    with pytest.raises(UnknownNameError, match="there are m, E_test, E_train"):
        enclosures(solution, outputs=("E",))


def test_arrays_of_other_types_and_sizes_are_converted_or_refused(one_layer):
    """Machine code reads addresses: what is there must be doubles, one per point."""
    lam = np.array([0.25, 0.5])
    solution = compile(one_layer)(alpha=2, gamma=(1.5,), lam=lam, noise=0.125)
    short = {k: v.astype(np.float32) for k, v in solution.controls.items()}
    same = enclosures(replace(solution, controls=short))
    assert np.array_equal(same.mid["E_test"], enclosures(solution).mid["E_test"])
    fewer = {k: v[:1] for k, v in solution.unknowns.items()}
    with pytest.raises(ShapeError, match="x_0 has 1 values for 2 points"):
        enclosures(replace(solution, unknowns=fewer))


@pytest.mark.parametrize("slopes", [False, True])
def test_the_generated_code_is_the_same_for_other_constants_and_has_no_fast_math(one_layer, slopes):
    wanted, signs = Wanted((0, 1, 2), slopes), (1, 1, 1)
    source = step_source("one", careful_step(one_layer, wanted))
    quick = step_source("one", quick_step(one_layer, wanted, signs))
    for text in (source, quick):
        assert "contract" in text
        assert not {"fast", "reassoc", "arcp", "nnan", "ninf"} & set(text.split())
        assert "select" in text
    other = program(deep_features(["tanh"]).system())
    assert step_source("one", careful_step(other, wanted)) == source
    assert step_source("one", quick_step(other, wanted, signs)) == quick


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_with_functions_are_enclosed_with_outputs_and_slopes(name, rng):
    """exp, log, powers, hyperbolic and angle functions, erf: in vectors, as any other system."""
    system = SYSTEMS[name]()
    solution = compile(system)(**points(name, rng, 400))
    box = enclosures(solution)
    assert box.slow == ""
    assert np.mean(box.proved[solution.status == 0]) >= 0.995
    chosen = np.flatnonzero(box.proved)[[0, 7, -1]]
    for i in chosen:
        at = {k: Fraction(float(v[i])) for k, v in solution.controls.items()}
        truth = reference(system, digits=40, **at)
        assert set(truth.values) <= set(box.mid)
        assert all(inside(box, n, i, v) for n, v in truth.values.items())
    outputs = [n for n in box.mid if n not in solution.unknowns]
    assert max(np.median(box.width(n)[box.proved]) for n in outputs) < 1e-10


def test_what_has_no_vector_form_is_proved_in_balls_and_says_so(one_layer, monkeypatch):
    """The same numbers by the slow way: balls lie inside the intervals of the vector forms."""
    solution = compile(one_layer)(alpha=2, gamma=(1.5,), lam=[0.1, 1.0, np.nan], noise=0.1)
    quick = enclosures(solution)

    def refuse(*args):
        raise NotSupportedError("a float64 enclosure of zeta", "no rule", "use balls")

    monkeypatch.setitem(enclosures.__globals__, "_KERNELS", {})
    monkeypatch.setitem(enclosures.__globals__, "EnclosureKernel", refuse)
    box = enclosures(solution)
    assert list(box.verdict) == [Verdict.PHYSICAL, Verdict.PHYSICAL, Verdict.NO_ANSWER]
    assert "in balls, one point at a time (a float64 enclosure of zeta: no rule)" in repr(box)
    assert set(box.mid) == set(quick.mid)
    for name in box.mid:
        assert np.all(box.width(name)[:2] < 2e-16)
        assert np.all(quick.lower(name)[:2] <= box.lower(name)[:2])
        assert np.all(box.upper(name)[:2] <= quick.upper(name)[:2])
