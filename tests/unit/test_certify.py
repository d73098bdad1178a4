"""Certificates: proofs hold, contain the truth, and refuse planted errors."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf
from sympy import Rational, sign, sqrt

from derive.errors import NotConvergedError, NotSupportedError, RangeError, UnknownNameError
from derive.program import program
from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System
from derive.theory.deep_features import deep_features
from numeric.certify import certify
from numeric.compiled import compile
from numeric.proof import Engine, Verdict
from numeric.reference import reference

AT = {"alpha": "1.3", "gamma": ("2.1", "0.7"), "lam": "0.01", "noise": "0.2"}
CONSTANTS = ("alpha", "gamma_1", "gamma_2", "lam", "noise", "a_1", "b_1", "a_2", "b_2", "signal")
VALUES = (1.3, 2.1, 0.7, 0.01, 0.2, 0.42, 0.04, 0.66, 0.013, 1.0)
AFTER = ("spare", "gain", "bias")  # definitions that hold lam itself
NAMES = ("x_0", "x_1", "x_2", "m", "E_test", "E_train", "dm_dlam", "dE_test_dlam", "dE_train_dlam")


@pytest.fixture(scope="module")
def two_layers():
    return program(deep_features(["erf", "erf"]).system())


@pytest.fixture(scope="module")
def ridge():
    """Plain ridge: x (alpha - 1/(1 + x)) = lam, a quadratic with one positive root."""
    return program(deep_features([]).system())


def holds(ball, value, digits):
    """Whether a ball contains a number that is known to ``digits`` relative digits."""
    with mp.workdps(digits + 10):
        mid = mpf(ball.mid.numerator) / ball.mid.denominator
        rad = mpf(ball.rad.numerator) / ball.rad.denominator
        return abs(mid - value) <= rad + abs(value) * mpf(10) ** -digits


def random_points(rng, count):
    for _ in range(count):
        a, g1, g2 = (f"{v:.4f}" for v in 10 ** rng.uniform(-1, 1, 3))
        yield {"alpha": a, "gamma": (g1, g2), "lam": f"{10 ** rng.uniform(-6, 0):.3e}", "noise": 1}


@pytest.mark.parametrize("route", ["covariance", "kernel"])
def test_truth_at_60_digits_lies_in_every_ball(route, rng):
    system = program(deep_features(["erf", "erf"]).system(route))
    for at in random_points(rng, 3):
        proof = certify(system, 30, **at)
        truth = reference(system, digits=60, **at)
        assert proof.physical
        assert all(holds(proof[n], truth[n], 60) for n in truth.values)


def test_every_ball_has_the_digits_asked_for(two_layers):
    proof = certify(two_layers, 100, **AT)
    assert set(proof.points[0].enclosures) == set(NAMES)
    assert min(proof[n].digits for n in NAMES) >= 100


def test_two_routes_prove_the_same_curve(two_layers):
    other = deep_features(["erf", "erf"]).system("kernel")
    balls = [certify(route, 30, **AT) for route in (two_layers, other)]
    for name in ("m", "E_test", "E_train", "dE_test_dlam"):
        assert balls[0][name].overlaps(balls[1][name])


def test_every_random_point_of_a_grid_is_proved_physical(two_layers, rng):
    n = 100
    solution = compile(two_layers)(
        alpha=10 ** rng.uniform(-1, 1, n),
        gamma=(rng.uniform(0.2, 5, n), rng.uniform(0.2, 5, n)),
        lam=10 ** rng.uniform(-6, 1, n),
        noise=0.1,
    )
    certificate = certify(solution)
    assert certificate.physical
    assert certificate.shape == (n,)
    assert certificate.check() is certificate
    assert "100  the physical root" in repr(certificate)


def test_floats_are_read_as_written(two_layers):
    written = certify(two_layers, 30, **AT)
    floats = certify(two_layers, 30, alpha=1.3, gamma=(2.1, 0.7), lam=0.01, noise=0.2)
    assert written["E_test"] == floats["E_test"]
    exact = Fraction(0.01)  # the double itself, not one hundredth
    moved = certify(two_layers, 30, **(AT | {"lam": exact}))
    assert not moved["E_test"].overlaps(written["E_test"])


def test_irrational_controls_are_exact(ridge):
    root = certify(ridge, 30, alpha=1, lam=sqrt(2), noise=0)["x_0"]
    with mp.workdps(50):  # x^2 = lam (1 + x)
        lam = mp.sqrt(2)
        assert holds(root, (lam + mp.sqrt(lam**2 + 4 * lam)) / 2, 45)


# --- planted errors ------------------------------------------------------------------------------


def solved(ridge, **at):
    return compile(ridge)(**({"alpha": 2.0, "lam": 0.5, "noise": 0.1} | at))


def test_the_other_root_is_refused_as_not_physical(ridge):
    solution = solved(ridge)
    negative = float(min(np.roots([2.0, 2.0 - 1 - 0.5, -0.5]).real))  # 2x^2 + x(2-1-.5) - .5
    wrong = replace(solution, unknowns={"x_0": np.array(negative)})
    point = certify(wrong).points[0]
    assert point.verdict == Verdict.NOT_PHYSICAL
    assert "x_0 is a resolvent parameter" in point.reason
    assert not certify(wrong).proved
    with pytest.raises(NotConvergedError, match="not the physical one"):
        certify(wrong).check()


def test_a_root_that_is_not_the_answer_is_refused(ridge):
    solution = solved(ridge)
    wrong = replace(solution, unknowns={"x_0": solution.x_0 * 1.001})
    point = certify(wrong).points[0]
    assert point.verdict == Verdict.DISAGREES
    assert "x_0 was" in point.reason


def test_a_wrong_output_is_refused(ridge):
    solution = solved(ridge)
    wrong = replace(solution, outputs={**solution.outputs, "E_test": solution.E_test + 1e-4})
    assert certify(wrong).points[0].verdict == Verdict.DISAGREES


def test_a_constant_off_by_1e_20_is_seen(two_layers):
    good = two_layers
    symbol, value = good.constants[0]
    bad = replace(good, constants=((symbol, value + Rational(1, 10**20)), *good.constants[1:]))
    truth = reference(two_layers, digits=60, **AT)["E_test"]
    assert holds(certify(good, 30, **AT)["E_test"], truth, 60)
    assert not holds(certify(bad, 30, **AT)["E_test"], truth, 60)
    assert certify(bad, 15, **AT)["E_test"].digits >= 15


def test_a_failing_branch_condition_is_named():
    """x^2 = lam with the condition x - 2 > 0 fails at lam = 1: the root is 1."""
    lam = control("lam", "square", low=0)
    x = Quantity("x", "root", low=0, open_low=True)
    system = System(
        name="square",
        controls=(lam,),
        unknowns=(x,),
        equations=(Equation(lam, x**2),),
        outputs={"m": x},
        conditions=(Condition(x, "x is positive"), Condition(x - 2, "x is beyond two")),
        start=Start((), 1 + lam, "an upper bound"),
    )
    engine = Engine(program(system))
    failing = engine.prove({"lam": Fraction(1)}, [1.0], 30)
    assert (failing.verdict, failing.reason) == (
        Verdict.NOT_PHYSICAL,
        "it fails that x is beyond two",
    )
    edge = engine.prove({"lam": Fraction(4)}, [2.0000001], 30)
    assert edge.verdict == Verdict.UNDECIDED
    beyond = engine.prove({"lam": Fraction(9)}, [3.0], 30)
    assert beyond.verdict == Verdict.UNIQUE
    assert beyond.enclosures["m"].contains(3)
    double = engine.prove({"lam": Fraction(0)}, [1e-9], 30)
    assert double.verdict == Verdict.NOT_PROVED


def test_a_constant_outside_its_range_leaves_the_branch_undecided(two_layers):
    good = two_layers
    constants = tuple((s, Rational(-1, 10**6) if s.name == "b_2" else e) for s, e in good.constants)
    point = certify(replace(good, constants=constants), 20, **AT).points[0]
    assert point.verdict == Verdict.UNDECIDED
    assert point.reason == "b_2 is not proved to be >= 0"


def test_without_an_argument_only_a_unique_root_is_claimed(ridge):
    silent = ridge.with_blocks(proof=replace(ridge.proof, uniqueness=""))
    certificate = certify(silent, 20, alpha=2, lam=0.5, noise=0)
    assert certificate.proved
    assert not certificate.physical


def test_unsolved_points_keep_their_place(ridge):
    solution = solved(ridge, lam=np.array([0.5, 0.0, 1.0]), noise=np.array([0.1, 0.1, np.nan]))
    certificate = certify(solution, 20)
    assert list(certificate.verdict) == [Verdict.PHYSICAL, Verdict.NO_ANSWER, Verdict.NO_ANSWER]
    assert certificate["E_test"][1] is None
    assert certificate["E_test"][0].digits >= 20
    assert "is a limit" in certificate.points[1].reason


def test_a_useless_start_proves_nothing(ridge):
    at = {"alpha": Fraction(2), "lam": Fraction(1, 2), "noise": Fraction(0)}
    assert Engine(ridge).prove(at, [float("nan")], 20).verdict == Verdict.NOT_PROVED


def test_points_are_chosen_by_number_or_index(ridge):
    solution = solved(ridge, lam=np.linspace(0.1, 1, 9))
    assert certify(solution, 10, points=4).shape == (4,)
    assert certify(solution, 10, points=[8]).points[0].controls["lam"] == 1
    with pytest.raises(RangeError, match="the solution has 9 points"):
        certify(solution, 10, points=[9])


def test_bad_requests_say_what_to_do(ridge):
    solution = solved(ridge)
    with pytest.raises(RangeError, match="outside 5 to 5000"):
        certify(solution, 3)
    with pytest.raises(UnknownNameError, match="leave them out"):
        certify(solution, 20, lam=1)
    with pytest.raises(UnknownNameError, match="noise missing"):
        certify(ridge, 20, alpha=2, lam=1)
    with pytest.raises(NotSupportedError, match="does not carry its Program"):
        certify(replace(solution, program=None))
    with pytest.raises(UnknownNameError, match="this proof holds x_0"):
        certify(solution)["E_gen"]
    with pytest.raises(NotSupportedError, match="a certificate of 'ridge': it is no system"):
        certify("ridge", 20, lam=1)


def test_declarations_and_evaluators_are_certified_like_their_programs(ridge):
    at = {"alpha": 2, "lam": "0.5", "noise": 0}
    model = deep_features([])
    balls = [certify(subject, 20, **at)["E_test"] for subject in (ridge, model, compile(model))]
    assert balls[0] == balls[1] == balls[2]


@pytest.mark.parametrize("route", ["covariance", "kernel"])
def test_the_argument_for_the_physical_root_holds_on_samples(route, rng):
    """Where all conditions hold the closing right side increases, and they hold further right."""
    system = deep_features(["erf", "erf"]).system(route)
    first, *_ = system.unknowns
    numbers = {s: Rational(repr(v)) for s, v in zip(CONSTANTS, VALUES, strict=True)}
    given = (*system.controls, *(symbol for symbol, _ in system.constants))
    named = {s: numbers[s.name] for s in given}
    values, seen = [], []
    for x0 in np.sort(10 ** rng.uniform(-2, 2, 60)):
        known = {**named, first: Rational(repr(float(x0)))}
        for symbol, expr in system.triangular_lines():
            known[symbol] = expr.xreplace(known)
        seen.append(all(c.expr.xreplace(known) > 0 for c in system.conditions))
        values.append(system.equations[-1].rhs.xreplace(known))
    edge = seen.index(True)
    assert 5 < edge < 55
    assert all(seen[edge:])
    assert all(np.diff([float(v) for v in values[edge:]]) > 0)


@pytest.mark.parametrize("route", ["covariance", "kernel"])
@pytest.mark.parametrize("layers", [[], ["erf"], ["erf", "erf"]])
@pytest.mark.parametrize("x0", ["-29/10", "-1/3", "1/90", "1/5", "7/3"])
def test_conditions_at_a_root_have_the_sign_of_the_conditions(route, layers, x0):
    """With lam set to the closing right side any x_0 is a root; rational arithmetic compares."""
    system = deep_features(layers).system(route)
    first, *_ = system.unknowns
    numbers = {s: Rational(repr(v)) for s, v in zip(CONSTANTS, VALUES, strict=True)}
    given = (*system.controls, *(symbol for symbol, _ in system.constants))
    known = {s: numbers[s.name] for s in given if s.name != "lam"} | {first: Rational(x0)}
    pending = [line for line in system.triangular_lines() if line[0].name not in AFTER]
    for symbol, expr in pending:
        known[symbol] = expr.xreplace(known)
    known[system.control("lam")] = system.equations[-1].rhs.xreplace(known)
    compared = [c for c in system.conditions if c.at_root is not None]
    assert len(compared) == len(layers) + 1
    assert all(sign(c.expr.xreplace(known)) == sign(c.at_root.xreplace(known)) for c in compared)


def test_unknowns_alone_are_proved_when_asked(two_layers):
    point = {"alpha": 2, "gamma": ("1.5", "0.7"), "lam": "0.1", "noise": "0.25"}
    bare, whole = (certify(two_layers, 30, outputs=flag, **point) for flag in (False, True))
    assert bare.physical
    assert set(bare.points[0].enclosures) == set(two_layers.unknowns)
    for name in two_layers.unknowns:
        assert bare[name].arb().overlaps(whole[name].arb())
