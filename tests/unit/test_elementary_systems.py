"""Systems with elementary functions: vector code, one point at a time, and 30 digits agree."""

from dataclasses import replace

import numpy as np
import pytest
from sympy import Rational, exp, log, sin
from sympy.abc import x

from derive.printing.lane_phases import Asked
from derive.printing.lane_program import lane_program
from derive.printing.machine_form import machine_form
from derive.printing.machine_functions import UNITS as STATED
from derive.printing.machine_functions import VECTOR, expm1, log1p, softplus
from derive.program import program
from numeric.certify import certify
from numeric.compiled import compile
from numeric.elementary import UNITS
from numeric.reference import reference
from numeric.solution import Status
from numeric.vector_code import assembly, compile_vectors, has_estimates
from numeric.vector_ir import vector_source
from tests.function_systems import SYSTEMS, c, f, k, lam, points, system

EACH = pytest.mark.parametrize("name", SYSTEMS)


@pytest.fixture(scope="module")
def lanes():
    return {name: compile(make()) for name, make in SYSTEMS.items()}


@EACH
def test_lanes_are_chosen_and_one_point_at_a_time_agrees(lanes, name, rng):
    controls = points(name, rng, 2000)
    both = lanes[name], compile(SYSTEMS[name](), method="scalar")
    assert [e.method for e in both] == ["llvm", "scalar"]
    one, other = (e(**controls) for e in both)
    assert one.converged
    assert other.converged
    for key in (*one.unknowns, *one.outputs):
        assert np.all(np.abs(one[key] - other[key]) <= one.error[key] + other.error[key]), f"{key}"
    for key in one.unknowns:
        assert np.max(np.abs(one[key] / other[key] - 1)) <= 1e-13, f"{key}"


@EACH
def test_values_and_slopes_lie_within_their_errors_of_thirty_digits(lanes, name, rng):
    controls = points(name, rng, 25)
    found = lanes[name](**controls)
    exact = [
        reference(SYSTEMS[name](), 30, **{key: float(v[i]) for key, v in controls.items()})
        for i in range(25)
    ]
    slopes = [f"d{o}_dlam" for o in found.outputs]
    for key in (*found.unknowns, *found.outputs, *slopes):
        off = np.array([float(e[key] - v) for e, v in zip(exact, found[key], strict=True)])
        assert np.all(np.abs(off) <= found.error[key]), f"{key}"
        assert np.mean(found.error[key] <= 1e-12 * np.abs(found[key])) > 0.5, f"{key}"


@EACH
def test_numbers_do_not_depend_on_order_threads_or_points_per_block(lanes, name, rng):
    controls = points(name, rng, 960)
    order = rng.permutation(960)
    once = lanes[name](**controls, threads=1)
    again = lanes[name](**{key: v[order] for key, v in controls.items()}, threads=3)
    for key in (*once.unknowns, *once.outputs):
        assert np.array_equal(once[key][order], again[key]), f"{key}"
    frozen = lane_program(program(SYSTEMS[name]()), Asked(tuple(once.outputs)))
    flat = np.concatenate(list(controls.values()))
    outs = []
    for width in (16, 32):
        out = np.empty(len(frozen.rows) * 960)
        run = compile_vectors(vector_source(frozen, width, has_estimates()))
        run(flat, lanes[name].constants, out, 960, 0, 960 // width)
        outs.append(out)
    assert np.array_equal(*outs)


@pytest.mark.parametrize("name", ["spread", "power"])
def test_numba_lanes_agree_to_rounding(lanes, name, rng):
    lean = {"outputs": ["a"], "errors": False, "slopes": False}
    controls = points(name, rng, 500)
    found = compile(SYSTEMS[name](), method="lanes", **lean)(**controls)
    expected = lanes[name](**controls)
    for key in (*found.unknowns, "a"):
        assert np.all(np.abs(found[key] - expected[key]) <= 2 * expected.error[key]), f"{key}"


def test_a_power_law_is_met_in_closed_form(lanes, rng):
    controls = points("power", rng, 500)
    found = lanes["power"](**controls)
    exact = controls["lam"] ** (1 / (1 + controls["c"]))
    assert np.max(np.abs(found.k / exact - 1)) <= 4e-15


def test_vector_code_calls_no_library(lanes):
    text = assembly(lanes["soft"].source)
    assert not any(f"{name}@PLT" in text or f"${name}," in text for name in ("exp", "log", "erf"))


def test_results_are_certified(lanes):
    found = lanes["tail"](lam=[0.1, 1.0], c=0.5)
    assert certify(found, digits=30).proved


def test_digits_are_kept_where_the_expressions_lose_them(lanes):
    lam = 1e-12  # to first order, k = lam/(1 + log 2)
    found = lanes["soft"](lam=lam, c=1.0)
    assert found.error["k"] <= 1e-14 * found.k
    assert found.k == pytest.approx(lam / (1 + np.log(2)), rel=1e-11)


def test_slopes_that_are_controls_or_numbers_have_their_rounding():
    simple = SYSTEMS["tail"]()
    lam, c = simple.controls
    outputs = {"a": c * lam, "b": Rational(7, 5) * lam}
    found = compile(replace(simple, outputs=outputs))(lam=0.5, c=0.25)
    assert (found.da_dlam, found.db_dlam) == (0.25, 1.4)
    assert found.error["da_dlam"] == 0
    assert 0 < found.error["db_dlam"] <= 2e-16


def test_stated_roundings_cover_ours_and_name_the_same_functions():
    ours = {name: u for name, u in UNITS.items() if not name.startswith("normal")}
    assert set(ours) == VECTOR
    assert all(u <= STATED[name] for name, u in ours.items())


def test_functions_and_their_arguments_get_lines_of_their_own():
    ready = machine_form(SYSTEMS["spread"]())
    (argument, inner), (function, outer) = ready.definitions[:2]
    assert inner == -1 / ready.unknowns[0]
    assert outer == expm1(argument)
    assert ready.equations[0].rhs == -function
    assert machine_form(ready) == ready


def test_a_difference_in_a_product_gets_a_line_of_its_own():
    ready = machine_form(SYSTEMS["spread"]())
    k, f = ready.unknowns
    (gap,) = (s for s, e in ready.definitions if e == 1 - f / ready.controls[1])
    assert ready.equations[1].rhs == k * gap


def test_functions_that_sympy_does_not_have_are_what_they_say():
    for name, plain in {log1p: log(1 + x), expm1: exp(x) - 1, softplus: log(1 + exp(x))}.items():
        at = {x: 0.7}
        assert float(name(x).subs(at).evalf()) == pytest.approx(float(plain.subs(at)), rel=1e-14)
        slopes = name(x).diff(x).subs(at), plain.diff(x).subs(at)
        assert float(slopes[0]) == pytest.approx(float(slopes[1]), rel=1e-14)
    assert softplus(x).diff(x).subs({x: 800.0}) == 1.0  # exp(800) is no double


def test_the_rounding_of_a_function_counts_in_the_error(lanes):
    found = lanes["soft"](lam=40.0, c=0.05)
    erf = 2 * (1 - 1 / found.a)
    assert found.error["a"] >= UNITS["erf"] * 2.0**-53 * found.a**2 * erf / 2


@pytest.mark.parametrize("method", ["llvm", "lanes"])
def test_an_output_that_is_not_a_number_is_not_called_converged(method):
    """Sines beyond 2^20 are refused by vector code; the scalar method takes them."""
    wave = system("wave", k**c, k * f, {"a": sin(k), "b": k}, 1 + lam)
    given = {"lam": [2.0, 1e12, 3.0], "c": 0.5}
    found = compile(wave, method=method)(**given)
    assert list(found.status) == [Status.CONVERGED, Status.NONFINITE, Status.CONVERGED]
    assert np.isnan(found.b[1])
    assert np.isfinite(found.b[[0, 2]]).all()
    one = compile(wave, method="scalar")(**given)
    assert one.converged
    assert one.a[1] == pytest.approx(np.sin(1e12 ** (1 / 1.5)), abs=1e-6)
