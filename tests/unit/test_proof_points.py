"""Proofs of many points by machine code: the same as the engine's, and what they leave to it."""

import ctypes
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from mpmath import mp, mpf

from derive.program import program
from derive.theory.deep_features import deep_features
from numeric import ball_library, ball_points, proof_points
from numeric.ball_points import BallPoints, ball
from numeric.bench_features import workload
from numeric.certify import certify
from numeric.compiled import compile
from numeric.proof import Verdict, engine_of
from numeric.reference import reference
from tests.function_systems import SYSTEMS, points

pytestmark = pytest.mark.skipif(
    ball_library.library() is None, reason="FLINT's library is not beside python-flint"
)
COUNT = 64


def drawn(rng, depth, count=COUNT):
    return {
        "alpha": 10 ** rng.uniform(-1, 1, count),
        "gamma": tuple(10 ** rng.uniform(-0.7, 0.7, count) for _ in range(depth)),
        "lam": 10 ** rng.uniform(-6, 1, count),
        "noise": rng.uniform(0, 1, count),
    }


@pytest.fixture(scope="module")
def solutions():
    rng = np.random.default_rng(11)
    made = {}
    for depth in (1, 2, 3):
        found = drawn(rng, depth)
        given = {n: v for n, v in found.items() if n != "gamma"}
        made[depth] = compile(deep_features(["erf"] * depth).system())(
            gamma=found["gamma"], **given
        )
    return made


def batch_of(solution, digits, outputs=True, threads=None, which=None):
    """Prove by machine code alone."""
    prog = solution.program
    which = np.arange(solution.status.size) if which is None else which
    controls = [np.ravel(solution.controls[q.name])[which] for q in prog.inputs]
    starts = [np.ravel(solution.unknowns[u])[which] for u in prog.unknowns]
    chosen = np.ones(which.size, dtype=bool)
    return BallPoints(prog).prove(controls, starts, chosen, digits, outputs, threads=threads)


def by_engine(solution, i, digits):
    prog = solution.program
    start = [float(np.ravel(solution.unknowns[u])[i]) for u in prog.unknowns]
    return engine_of(prog).prove(proof_points.controls_at(solution, i), start, digits)


@pytest.mark.parametrize("digits", [15, 30, 200])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_ball_overlaps_that_of_the_engine(solutions, depth, digits):
    solution = solutions[depth]
    batch = batch_of(solution, digits)
    assert batch.done.all()
    assert batch.digits.min() >= digits
    for i in range(0, COUNT, 4):
        proof, other = batch.proof(i, {}), by_engine(solution, i, digits)
        assert (proof.verdict, list(proof.enclosures)) == (other.verdict, list(other.enclosures))
        for name, found in proof.enclosures.items():
            assert found.overlaps(other.enclosures[name])
            assert found.rel_accuracy_bits() > digits * 3.32


def test_truth_at_60_digits_lies_in_every_ball_and_not_beside_it(solutions):
    solution = solutions[2]
    proofs = certify(solution, 40)
    assert proofs.physical
    for i in (0, 17, 50):
        at = {n: repr(float(v.flat[i])) for n, v in solution.controls.items()}
        at["gamma"] = (at.pop("gamma_1"), at.pop("gamma_2"))
        truth = reference(solution.program, digits=60, **at)
        for name in truth.values:
            inner = proofs.points[i].enclosures[name]
            with mp.workdps(80):
                mid = (
                    mpf(Fraction(*_exact(inner.mid())).numerator)
                    / Fraction(*_exact(inner.mid())).denominator
                )
                gap = abs(mid - truth[name])
                assert gap <= mpf(str(inner.rad().str(20, radius=False))) * (1 + mpf(10) ** -15)
                assert gap <= abs(truth[name]) * mpf(10) ** -40


def _exact(value):
    mantissa, exponent = (int(v) for v in value.man_exp())
    return (mantissa << exponent, 1) if exponent >= 0 else (mantissa, 1 << -exponent)


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_with_functions(name):
    solution = compile(SYSTEMS[name]())(**points(name, np.random.default_rng(3), COUNT))
    batch = batch_of(solution, 25)
    assert batch.done.sum() > 0.9 * COUNT
    for i in np.flatnonzero(batch.done)[::5]:
        other = by_engine(solution, int(i), 25)
        assert batch.standing[0] == other.verdict
        for label, found in batch.proof(int(i), {}).enclosures.items():
            assert found.overlaps(other.enclosures[label])


def test_a_power_law_root_is_the_closed_formula():
    """k^(1 + c) = lam: no solver shares a line with the formula."""
    given = points("power", np.random.default_rng(4), COUNT)
    proofs = certify(compile(SYSTEMS["power"]())(**given), 30)
    for i in range(0, COUNT, 9):
        with mp.workdps(60):
            c, lam = (mpf(repr(float(given[n][i]))) for n in ("c", "lam"))
            root = lam ** (1 / (1 + c))
            held = proofs.points[i]["k"]
            assert (
                abs(mpf(held.mid.numerator) / held.mid.denominator - root) < root * mpf(10) ** -30
            )


# --- the same for any order, number of threads and size of batches ---


def test_words_do_not_depend_on_order_or_threads(solutions, rng):
    solution = solutions[3]
    one = batch_of(solution, 30, threads=1)
    two = batch_of(solution, 30, threads=2)
    order = rng.permutation(COUNT)
    moved = batch_of(solution, 30, threads=1, which=order)
    assert np.array_equal(one.mids, two.mids)
    assert np.array_equal(one.mids[order], moved.mids)
    assert np.array_equal(one.words, two.words)
    assert np.array_equal(one.words[order], moved.words)


def test_batches_of_any_size_give_the_same_certificate(solutions, monkeypatch):
    whole = certify(solutions[1], 30)
    monkeypatch.setattr(proof_points, "_CHUNK", 10)
    parts = certify(solutions[1], 30)
    assert np.array_equal(whole.points.digits, parts.points.digits)
    assert all(whole["E_test"][i] == parts["E_test"][i] for i in (0, 9, 10, 63))  # as rationals
    assert [p.controls for p in whole.points[62:]] == [p.controls for p in parts.points[62:]]


def test_unknowns_alone_are_the_same_balls_or_sharper(solutions):
    alone = batch_of(solutions[1], 30, outputs=False)
    assert alone.names == tuple(solutions[1].unknowns)
    assert alone.done.all()
    for i in range(0, COUNT, 7):
        both = batch_of(solutions[1], 30, which=np.array([i])).proof(0, {}).enclosures
        assert all(alone.proof(i, {}).enclosures[n].overlaps(both[n]) for n in alone.names)


# --- what is left to the engine ---


def test_points_that_lack_digits_are_tried_with_more_bits(rng):
    peak = compile(deep_features(["erf"]).system())(
        alpha=0.6 * (1 + 10 ** rng.uniform(-12, -2, COUNT)), gamma=(0.6,), lam=1e-14, noise=0.1
    )
    assert batch_of(peak, 30).done.all()
    assert certify(peak, 30).physical


def test_no_answer_stays_no_answer(solutions):
    solution = solutions[1]
    lam = solution.controls["lam"].copy()
    lam[3], lam[5] = np.nan, 0.0
    again = compile(solution.program)(
        alpha=solution.controls["alpha"], gamma=(solution.controls["gamma_1"],), lam=lam, noise=0.5
    )
    proofs = certify(again, 20)
    assert {int(i) for i in np.flatnonzero(proofs.verdict == Verdict.NO_ANSWER)} == {3, 5}
    assert "is a limit" in proofs.points[5].reason
    assert np.sum(proofs.verdict == Verdict.PHYSICAL) == COUNT - 2


@pytest.mark.parametrize("name", ["x_0", "x_1", "E_test"])
def test_an_answer_that_is_not_the_root_is_refused(solutions, name):
    solution = solutions[1]
    wrong = solution[name].copy()
    wrong[7] *= 1.001
    kind = "outputs" if name == "E_test" else "unknowns"
    changed = replace(solution, **{kind: {**getattr(solution, kind), name: wrong}})
    proofs = certify(changed, 20)
    assert proofs.verdict[7] == Verdict.DISAGREES
    assert f"{name} was" in proofs.points[7].reason
    assert np.sum(proofs.verdict == Verdict.PHYSICAL) == COUNT - 1


def test_from_far_away_the_same_root_is_proved_or_none(solutions):
    solution = solutions[1]
    far = {n: v * 1e6 for n, v in solution.unknowns.items()}
    near, found = batch_of(solution, 30), batch_of(replace(solution, unknowns=far), 30)
    assert 0 < found.done.sum() < COUNT / 4
    for i in np.flatnonzero(found.done).tolist():
        there, here = found.proof(i, {}).enclosures, near.proof(i, {}).enclosures
        assert all(there[n].overlaps(here[n]) for n in found.names)


def test_another_constant_gives_other_balls(solutions):
    """A constant off by 1e-20 is seen at 30 digits."""
    solution = solutions[1]
    good = solution.program
    symbol, value = good.constants[0]
    moved = replace(
        good, constants=((symbol, value * (1 + Fraction(1, 10**20))), *good.constants[1:])
    )
    here, there = batch_of(solution, 30), batch_of(replace(solution, program=moved), 30)
    for i in range(0, COUNT, 8):
        a, b = here.proof(i, {}).enclosures["x_0"], there.proof(i, {}).enclosures["x_0"]
        assert not a.overlaps(b)


def test_without_the_library_the_engine_proves_everything(solutions, monkeypatch):
    monkeypatch.setattr(ball_points, "library", lambda: None)
    monkeypatch.setattr(ball_points, "_MADE", {})
    asked = []
    engine = engine_of(solutions[1].program)
    prove = engine.prove
    monkeypatch.setattr(engine, "prove", lambda *a: asked.append(1) or prove(*a))
    assert certify(solutions[1], 30).physical
    assert len(asked) == COUNT


def test_a_library_that_is_not_flint_is_passed_over(monkeypatch):
    monkeypatch.setattr(ball_library, "_candidates", lambda: iter(["no such file", None]))
    assert ball_library.library.__wrapped__() is None


def test_another_layout_of_balls_is_noticed(monkeypatch):
    path = next(ball_library._candidates())
    real = ctypes.CDLL(path)
    assert ball_library._answers(real)
    monkeypatch.setattr(ball_library, "BALL", 40)
    assert not ball_library._answers(real)


# --- stored balls ---


def stored(value, limbs):
    """A ball as the machine code stores it, from its text."""
    found = np.zeros(ball_library.BALL // 8, dtype=np.int64)
    address = found.__array_interface__["data"][0]
    ball_library.load(address, value)
    size = int(found[1]) >> 1
    if size <= 2:
        inner = found[2 : 2 + size]
    else:
        inner = np.ctypeslib.as_array((ctypes.c_int64 * size).from_address(int(found[3])))
    words = np.zeros(4 + limbs, dtype=np.int64)
    words[:4] = found[[1, 0, 4, 5]]
    words[4 : 4 + size] = inner
    return words


@pytest.mark.parametrize(
    "value",
    [
        arb(0),
        arb(0, 3),
        arb(1),
        arb("-0.75"),
        arb(10) ** 300,
        -(arb(3) ** 200),
        arb(2) ** -5000,
        arb("0.1"),
        arb(5, arb(2) ** -300),
    ],
)
def test_stored_balls_come_back_and_are_no_smaller(value):
    found = ball(stored(value, 40))
    assert found.mid() == value.mid()
    assert value.rad() <= found.rad()
    assert found.rad() <= value.rad() * (1 + arb(2) ** -20)


def test_programs_with_means_over_tables_have_no_machine_code():
    many = program(deep_features(["erf"], biases="1/2"))
    assert many.means
    assert ball_points.ball_points(many) is None


def test_controls_are_read_as_written_or_as_doubles(solutions):
    solution = solutions[1]
    both = [
        proof_points.prove_points(solution, solution.program, range(COUNT), 30, False, doubles=d)
        for d in (False, True)
    ]
    for i in (0, 40):
        written, double = both[0][i], both[1][i]
        value = float(solution.controls["lam"][i])
        assert written.controls["lam"] == Fraction(repr(value))
        assert double.controls["lam"] == Fraction(value)
        assert not written.enclosures["x_0"].overlaps(double.enclosures["x_0"])
        start = [float(solution.unknowns[u][i]) for u in solution.program.unknowns]
        other = engine_of(solution.program).prove(double.controls, start, 30, False)
        assert double.enclosures["x_0"].overlaps(other.enclosures["x_0"])


@pytest.mark.parametrize("method", ["llvm", "lanes", "scalar"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_thousand_random_points_have_13_digits(depth, method):
    """Each unknown against its ball of 50 digits; a relative error of 1e-13 would fail."""
    work = workload(depth, 1024, seed=5)
    names = [q.name for q in work.program.inputs]
    given = {n: v[:1000] for n, v in zip(names, work.inputs, strict=True)}
    solution = compile(work.program, method=method, slopes=False)(**given)
    proofs = proof_points.prove_points(
        solution, work.program, range(1000), 50, outputs=False, doubles=True
    )
    assert np.all(proofs.verdict == Verdict.PHYSICAL)
    for i, proof in enumerate(proofs):
        for name, true in proof.enclosures.items():
            assert abs((arb(float(solution.unknowns[name][i])) - true) / true) < arb("2e-14")
