"""Coupled programs: structure, compiled continuation, statuses, and bad input.

Tolerances: a compiled value must lie within the error that it carries; closed forms are evaluated
at 40 digits.
"""

import mpmath as mp
import numpy as np
import pytest
from sympy import I, Rational

from derive.coupled import coupled_program
from derive.dyson import equations
from derive.errors import (
    NotConvergedError,
    NotSupportedError,
    RangeError,
    UnknownNameError,
)
from derive.matrices import covariance, dims, eye, gaussian, ntrace, wigner
from derive.random_matrices.spectral_measure import power_law
from derive.symbols import control
from numeric.compiled import compile
from numeric.reference import reference
from numeric.solution import Status

n, p, d = dims("n p d")
lam, z = control("lam", positive=True), control("z", positive=True)
Z, W = gaussian("Z", d, n, 1 / n), gaussian("W", p, d, 1 / d)
S = wigner("S", d, 1 / d)
RIDGES = np.geomspace(1e-10, 1e3, 53)


@pytest.fixture(scope="module")
def marchenko_pastur():
    return equations({"m": ntrace((Z * Z.T + lam * eye(d)).inv())})


@pytest.fixture(scope="module")
def evaluate(marchenko_pastur):
    return compile(marchenko_pastur)


def closed_form(ratio, ridge):
    """Trace of the resolvent of a white sample covariance, and its slope in the ridge."""

    def trace(x):
        b = x + 1 - ratio
        return (-b + mp.sqrt(b * b + 4 * ratio * x)) / (2 * ratio * x)

    return trace(ridge), mp.diff(trace, ridge, h=ridge * mp.mpf(10) ** -15)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_marchenko_pastur_lies_within_the_claimed_errors(evaluate, ratio):
    solution = evaluate(n=1.0, d=ratio, lam=RIDGES).check()
    with mp.workdps(60):
        for i, ridge in enumerate(RIDGES):
            m, slope = closed_form(mp.mpf(ratio), mp.mpf(ridge))
            assert abs(mp.mpf(solution.m[i]) - m) <= solution.error["m"][i]
            far = abs(mp.mpf(solution.dm_dlam[i]) - slope)
            assert far <= 2 * solution.error["dm_dlam"][i]
    assert (solution.error["m"] < 1e-9 * solution.m).all()


def test_the_order_of_a_grid_does_not_matter(evaluate, rng):
    order = rng.permutation(RIDGES.size)
    sorted_grid = evaluate(n=1.0, d=0.5, lam=RIDGES)
    shuffled = evaluate(n=1.0, d=0.5, lam=RIDGES[order])
    far = np.abs(shuffled.m - sorted_grid.m[order])
    assert (far <= 2 * sorted_grid.error["m"][order]).all()


def test_results_are_the_same_bits_for_any_number_of_threads(evaluate):
    grid = np.geomspace(1e-3, 1, 200)
    one, two = (evaluate(n=1.0, d=0.5, lam=grid, threads=k) for k in (1, 2))
    assert (one.m == two.m).all()


def test_a_missing_point_keeps_its_place(evaluate):
    solution = evaluate(n=1.0, d=0.5, lam=np.array([0.1, np.nan, 0.2]))
    assert list(solution.status) == [0, Status.BAD_INPUT, 0]
    assert list(np.isnan(solution.m)) == [False, True, False]


def test_slopes_in_any_control_are_those_of_the_reference(marchenko_pastur):
    found = reference(marchenko_pastur.program("d"), 20, n="1", d="0.5", lam="0.1")
    with mp.workdps(40):
        exact = mp.diff(lambda c: closed_form(c, mp.mpf("0.1"))[0], mp.mpf("0.5"))
        assert abs(found["dm_dd"] - exact) < mp.mpf(10) ** -18


def test_ratios_may_take_the_place_of_dimensions(marchenko_pastur):
    ratio = control("ratio", positive=True)
    found = marchenko_pastur.in_terms_of({d: ratio, n: 1})
    value = reference(found, 20, ratio="0.5", lam="0.1")["m"]
    with mp.workdps(40):
        assert abs(value - closed_form(mp.mpf("0.5"), mp.mpf("0.1"))[0]) < mp.mpf(10) ** -18


def test_points_inside_a_spectrum_are_told_and_not_answered():
    outside_and_inside = equations({"g": ntrace((z * eye(d) - S).inv())})
    solution = compile(outside_and_inside)(z=np.array([3.0, 1.0, 2.5, 0.1]))
    assert list(solution.status) == [0, Status.SINGULAR_JACOBIAN, 0, Status.SINGULAR_JACOBIAN]
    assert abs(solution.g[0] - (3 - 5**0.5) / 2) < 1e-15
    assert "spectral edge" in Status.SINGULAR_JACOBIAN.cause
    with pytest.raises(NotConvergedError, match="2 did not converge, the first at index"):
        solution.check()
    with pytest.raises(NotConvergedError, match=r"cannot be followed beyond tau = 0\.25"):
        reference(outside_and_inside, 10, z="1")


def test_complex_controls_are_solved_as_real_and_imaginary_part():
    semicircle = equations({"g": ntrace((z * eye(d) - S).inv())})
    program = semicircle.program(complex_controls=("z",))
    assert program.groups == {"z": ("z_re", "z_im")}
    real = np.linspace(-3, 3, 41)
    solution = compile(program)(z=(real, 1e-4)).check()
    point = real + 1e-4j
    exact = (point - np.sqrt(point - 2) * np.sqrt(point + 2)) / 2
    found = solution.g_re + 1j * solution.g_im
    assert np.abs(found - exact).max() < 1e-12
    assert (np.abs(found.real - exact.real) <= solution.error["g_re"] + 1e-15).all()
    reached = reference(program, 20, z=("0", "1e-4"))
    with mp.workdps(40):
        half = mp.mpf("1e-4") / 2
        assert abs(reached["g_im"] - (half - mp.sqrt(half**2 + 1))) < mp.mpf(10) ** -19
        assert abs(reached["g_re"]) < mp.mpf(10) ** -19


def test_traces_without_unknowns_are_evaluated():
    plain = equations({"g": ntrace(S * S)})
    assert reference(plain, 10)["g"] == 1


def test_unknowns_that_start_at_zero_do_not_slow_the_path():
    tied = equations({"m": ntrace((W.T * W * Z * Z.T * W.T * W + lam * eye(d)).inv())})
    program = tied.program()
    assert program.start.results.count(0) == 3
    assert reference(program, 10, n="9", d="4", p="6", lam="0.3")["m"] > 0


def test_programs_have_a_content_key(marchenko_pastur):
    same, other = marchenko_pastur.program(), marchenko_pastur.program("n")
    assert same.key == coupled_program(marchenko_pastur, "dyson").key
    assert same.key != other.key
    assert "1 coupled unknowns" in repr(same)


def test_bad_input_is_refused_with_a_remedy(evaluate, marchenko_pastur):
    smooth = covariance("P", d, power_law(Rational(1, 2)))
    integral = equations(ntrace((smooth + lam * eye(d)).inv()))
    imaginary = equations(ntrace((S - I * z * eye(d)).inv()))
    with pytest.raises(RangeError, match=r"lam\[1\] = -1: out of range"):
        evaluate(n=1.0, d=0.5, lam=np.array([1.0, -1.0]))
    with pytest.raises(UnknownNameError, match="lam missing"):
        evaluate(n=1.0, d=0.5)
    with pytest.raises(UnknownNameError, match="the controls are d, lam, n"):
        marchenko_pastur.program("q")
    with pytest.raises(UnknownNameError, match="the controls are d, lam, n"):
        marchenko_pastur.in_terms_of({p: 1})
    with pytest.raises(UnknownNameError, match="the outputs are m"):
        compile(marchenko_pastur, outputs=["E"])
    with pytest.raises(NotSupportedError, match="coupled"):
        compile(marchenko_pastur, method="lanes")
    with pytest.raises(NotSupportedError, match="continuous spectral measure"):
        coupled_program(integral)
    with pytest.raises(NotSupportedError, match="imaginary unit"):
        imaginary.program()
