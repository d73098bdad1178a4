"""The three methods and C agree; points do not see their neighbours; vector code is vector code."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sympy import exp, gamma

from derive.block import Block
from derive.codegen import LanePrinter
from derive.errors import NotSupportedError, UnknownNameError
from derive.printing.lane_phases import QUICK_STEPS, Asked, row_names
from derive.printing.lane_program import lane_program
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.c_oracle import build, c_source
from numeric.compiled import METHODS, choose, compile
from numeric.lanes import WIDTH, lane_source
from numeric.solution import Status
from numeric.vector_code import assembly, compile_vectors, has_estimates
from numeric.vector_ir import vector_source

PROGRAM = program(deep_features(["tanh"]).system())
LEAN = Asked((), errors=False, slopes=False)
x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="counts x86 instructions")
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")


def points(rng, count):
    def spread(low, high):
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    return {
        "alpha": spread(0.1, 10),
        "gamma": (spread(0.2, 5),),
        "lam": spread(1e-6, 10),
        "noise": spread(1e-2, 1),
    }


def test_vector_code_is_the_same_under_any_hash_seed():
    code = (
        "from derive.printing.lane_program import lane_program; "
        "from derive.program import program; from numeric.vector_ir import vector_source; "
        "from derive.theory.deep_features import deep_features; "
        "model = deep_features(['tanh', 'erf'], 'sign', rows=[None, [(1, '1/2'), (2, '1/2')]]); "
        "print(vector_source(lane_program(program(model)), 16))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1
    assert "define void @run" in texts.pop()


@pytest.fixture(scope="module")
def evaluators():
    return {m: compile(PROGRAM, slopes=False, method=m) for m in METHODS}


@pytest.mark.parametrize("method", [m for m in METHODS if m != "scalar"])
def test_lanes_agree_with_one_point_at_a_time_within_the_sum_of_their_errors(
    evaluators, method, rng
):
    controls = points(rng, 3000)
    lanes, scalar = evaluators[method](**controls), evaluators["scalar"](**controls)
    assert lanes.converged
    assert scalar.converged
    for name in (*lanes.unknowns, *lanes.outputs):
        assert np.all(
            np.abs(lanes[name] - scalar[name]) <= lanes.error[name] + scalar.error[name]
        ), name
        assert np.max(np.abs(lanes[name] / scalar[name] - 1)) <= 3e-13, name


@pytest.mark.parametrize("method", METHODS)
def test_numbers_do_not_depend_on_order_or_threads(evaluators, method, rng):
    controls = points(rng, 1000)
    order = rng.permutation(1000)
    permuted = {
        k: tuple(g[order] for g in v) if isinstance(v, tuple) else v[order]
        for k, v in controls.items()
    }
    once, again = evaluators[method](**controls, threads=1), evaluators[method](**permuted)
    spread = evaluators[method](**controls, threads=3)
    for name in (*once.unknowns, *once.outputs):
        assert np.array_equal(once[name][order], again[name]), name
        assert np.array_equal(once[name], spread[name]), name
    assert np.array_equal(once.steps[order], again.steps)


@pytest.mark.parametrize("asked", [LEAN, Asked(PROGRAM.outputs)])
@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_numbers_do_not_depend_on_the_points_per_block(rng, asked, scale):
    lanes = lane_program(PROGRAM, asked)
    size, constants = 960, np.array([0.5, 0.1, 1.0])
    controls = points(rng, size)
    controls["lam"] *= scale  # small ones need the careful pass
    flat = np.concatenate(
        [controls["alpha"], *controls["gamma"], controls["lam"], controls["noise"]]
    )
    results = []
    for width in (8, 16, 32):
        out = np.empty(len(lanes.rows) * size)
        run = compile_vectors(vector_source(lanes, width, has_estimates()))
        run(flat, constants, out, size, 0, size // width)
        results.append(out)
    assert np.array_equal(results[0], results[1], equal_nan=True)
    assert np.array_equal(results[0], results[2], equal_nan=True)


def test_a_point_without_numbers_leaves_its_neighbours_alone(evaluators, rng):
    controls = points(rng, 64)
    clean = evaluators["llvm"](**controls)
    lam = controls["lam"].copy()
    lam[17] = np.nan
    holed = evaluators["llvm"](**(controls | {"lam": lam}))
    kept = np.arange(64) != 17
    assert holed.status[17] == Status.BAD_INPUT
    assert np.isnan(holed.E_test[17])
    assert np.array_equal(holed.E_test[kept], clean.E_test[kept])


def test_less_is_computed_where_less_is_asked_for(evaluators, rng):
    controls = points(rng, 100)
    lean = compile(PROGRAM, outputs=["m"], errors=False, slopes=False)
    solution = lean(**controls)
    assert set(solution.outputs) == {"m"}
    assert not solution.error
    assert not solution.slopes
    assert np.allclose(solution.m, evaluators["llvm"](**controls).m, rtol=1e-13, atol=0)
    assert "error not asked for" in repr(solution)
    assert np.max(solution.residual) <= 1e-15
    assert row_names(PROGRAM, LEAN) == ("x_0", "x_1", "residual", "status", "steps")


def test_a_grid_of_any_shape_comes_back_in_its_shape(evaluators):
    solution = evaluators["llvm"](
        alpha=np.linspace(0.5, 2, 7)[:, None], gamma=(1.5,), lam=np.array([0.1, 1.0]), noise=0
    )
    assert solution.shape == (7, 2)
    point = evaluators["llvm"](alpha=0.5, gamma=(1.5,), lam=0.1, noise=0)
    assert point.E_test == solution.E_test[0, 0]
    assert evaluators["llvm"](alpha=np.empty(0), gamma=(1.5,), lam=0.1, noise=0).shape == (0,)


@x86
def test_the_assembly_divides_vectors():
    text = assembly(vector_source(lane_program(PROGRAM, LEAN), 16))
    assert text.count("vdivpd") >= 8
    assert text.count("vdivsd") <= 4  # only the constants, once per call


@x86
def test_the_assembly_of_the_numba_lanes_divides_vectors():
    source = lane_source(lane_program(PROGRAM, LEAN)).replace("cache=True", "cache=False")
    module: dict[str, object] = {}
    exec(source, module)  # compiled anew: Numba shows no assembly of what it has read from a cache
    run = module["run"]
    text = run.inspect_asm(run.signatures[0])
    assert text.count("vdivpd") >= 8
    assert text.count("vdivsd") <= 4


@needs_gcc
def test_c_agrees_to_rounding(tmp_path, rng):
    lanes = lane_program(PROGRAM, LEAN)
    size, constants = 640, np.array([0.5, 0.1, 1.0])
    controls = points(rng, size)
    flat = np.concatenate(
        [controls["alpha"], *controls["gamma"], controls["lam"], controls["noise"]]
    )
    outs = []
    for run in (build(c_source(lanes), tmp_path), compile_vectors(vector_source(lanes, WIDTH))):
        out = np.empty(len(lanes.rows) * size)
        run(flat, constants, out, size, 0, size // WIDTH)
        outs.append(out.reshape(-1, size))
    assert np.all(outs[0][-2:-1] == 0)
    assert np.max(np.abs(outs[0][:2] / outs[1][:2] - 1)) <= 1e-13


def hard_points(rng, count):
    """Points of which many need the careful pass: strong cancellation, ratios far from one."""

    def spread(low, high):
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    return {
        "alpha": spread(1e-3, 1e3),
        "gamma": (spread(1e-3, 1e3),),
        "lam": spread(1e-14, 1e-2),
        "noise": spread(1e-2, 1),
    }


@pytest.mark.parametrize("method", ["llvm", "lanes"])
def test_points_of_both_passes_share_blocks_and_do_not_see_each_other(evaluators, method, rng):
    controls = hard_points(rng, 700)
    together = evaluators[method](**controls)
    careful = together.steps > QUICK_STEPS + 1
    assert 5 <= np.sum(careful) <= 600
    for kept in (careful, ~careful):
        alone = evaluators[method](
            **{
                k: tuple(g[kept] for g in v) if isinstance(v, tuple) else v[kept]
                for k, v in controls.items()
            }
        )
        for name in (*alone.unknowns, *alone.outputs):
            assert np.array_equal(alone[name], together[name][kept]), name


@pytest.mark.parametrize("method", ["llvm", "lanes"])
def test_hard_points_agree_with_one_point_at_a_time_within_the_sum_of_their_errors(
    evaluators, method, rng
):
    controls = hard_points(rng, 2000)
    lanes, scalar = evaluators[method](**controls), evaluators["scalar"](**controls)
    assert lanes.converged
    for name in (*lanes.unknowns, *lanes.outputs):
        assert np.all(
            np.abs(lanes[name] - scalar[name]) <= lanes.error[name] + scalar.error[name]
        ), name


def damaged_descent():
    """The quick step with tangents of the wrong sign."""
    *kept, tangent = PROGRAM.descent.results
    return replace(PROGRAM.descent, results=(*kept, -tangent))


def test_a_planted_error_in_the_quick_pass_sends_its_points_to_the_careful_one(rng):
    broken = PROGRAM.with_blocks(descent=damaged_descent())
    controls = points(rng, 200)
    damaged = compile(broken, outputs=(), errors=False, slopes=False)(**controls)
    sound = compile(PROGRAM, outputs=(), errors=False, slopes=False)(**controls)
    assert damaged.converged
    assert np.mean(damaged.steps) > np.mean(sound.steps) + 0.5
    for name in sound.unknowns:
        assert np.max(np.abs(damaged[name] / sound[name] - 1)) <= 1e-13


def test_the_choice_names_its_reason():
    lanes = lane_program(PROGRAM, LEAN)
    assert choose(lanes) == ("llvm", "arithmetic only")
    growing = with_start(exp)
    assert choose(growing) == ("llvm", "arithmetic and exp")
    special = with_start(gamma)
    assert choose(special) == ("scalar", "gamma has no vector form")
    with pytest.raises(NotSupportedError, match="vector code for gamma"):
        vector_source(special, 16)


def with_start(function):
    start = replace(PROGRAM.start, results=(function(PROGRAM.start.results[0]),))
    return lane_program(PROGRAM.with_blocks(start=start), LEAN)


def test_unknown_methods_and_outputs_are_refused_by_name():
    with pytest.raises(UnknownNameError, match="the methods are llvm, lanes, scalar, auto"):
        compile(PROGRAM, method="magic")
    with pytest.raises(UnknownNameError, match="has m, E_test, E_train"):
        compile(PROGRAM, outputs=["loss"])


def test_sources_carry_counts_and_no_constants():
    lanes = lane_program(PROGRAM, LEAN)
    assert "Operations and divisions of one lane: begin" in lane_source(lanes)
    other = lane_program(program(deep_features(["erf"]).system()), LEAN)
    assert lane_source(other) == lane_source(lanes)
    assert lanes.quick.descend.divisions == lanes.careful.tower.divisions == 3
    assert lanes.quick.descend.operations < lanes.careful.tower.operations


def test_the_loops_over_lanes_have_no_branches():
    source = lane_source(lane_program(PROGRAM))
    assignments = [line for line in source.splitlines() if line.strip().startswith(("v_", "r"))]
    assert sum("select(" in line for line in assignments) > 20
    assert not any(" if " in line for line in assignments)


def test_a_planted_error_in_the_newton_step_is_caught_by_the_residual(rng):
    damaged = Block(
        PROGRAM.newton.inputs,
        PROGRAM.newton.lines,
        tuple(d / 10 for d in PROGRAM.newton.results),
    )
    both = PROGRAM.with_blocks(newton=damaged, descent=damaged_descent())
    broken = compile(both, outputs=(), errors=False, slopes=False)
    solution = broken(**points(rng, 200))
    assert np.any(solution.status == Status.STALLED)


def test_conditions_are_printed_without_short_circuits():
    from sympy import And, Piecewise, Symbol

    u, v = Symbol("u", real=True), Symbol("v", real=True)
    text = LanePrinter({u: "u", v: "v"}).text(Piecewise((u, And(u > 0, v > 0)), (v, True)))
    assert text == "((u) if ((u > 0.0) & (v > 0.0)) else (v))"
