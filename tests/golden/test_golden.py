"""Generated source and printed equations, kept as files: a change shows as a diff.

``pytest tests/golden --update-golden`` rewrites the files.
"""

import pytest

from derive.codegen import CPrinter, MpmathPrinter, module_source
from derive.printing.ball_code import ball_source
from derive.printing.enclosure_steps import Wanted, careful_step
from derive.printing.lane_phases import Asked
from derive.printing.lane_program import lane_program
from derive.printing.python_code import python_source
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.ball_ir import ball_code
from numeric.compiled import scalar_source
from numeric.cuda_code import cuda_source
from numeric.lanes import lane_source
from numeric.precision import precision_named
from numeric.vector_ir import vector_source

LEAN = Asked(("E_test",), errors=False, slopes=False)
UNKNOWNS = Asked((), errors=False, slopes=False)


def interval_text(ready):
    """The careful form of an enclosure: boxes, one step, verdict."""
    step = careful_step(ready, Wanted((), slopes=False))
    given = f"given {', '.join(step.inputs)}; constants {', '.join(step.constants)}"
    return "\n".join([given, *step.lines, *(f"{c} +- {r}" for c, r in step.results)])


def quick_ir(ready):
    """The quick pass as vector LLVM IR, eight points wide, without estimates of reciprocals."""
    return vector_source(lane_program(ready, UNKNOWNS), 8).split("define internal")[0]


def device_code(ready):
    """The device functions of CUDA, without the kernels around them."""
    text = cuda_source(ready, UNKNOWNS, precision_named("float64"))
    return text.split("@cuda.jit(cache=True)")[0]


def ball_calls(ready):
    """The steps of a proof as calls of FLINT, without the loop over points."""
    return ball_code(ready).source.split("@inclusion")[1].split("define void @prove")[0]


TARGETS = {
    "python": python_source,
    "lanes": lambda ready: lane_source(lane_program(ready, UNKNOWNS)),
    "vector_ir": quick_ir,
    "cuda": device_code,
    "ball": ball_source,
    "ball_calls": ball_calls,
    "interval": interval_text,
}


def model(depth):
    return deep_features(["erf"] * depth)


@pytest.mark.parametrize("route", ["covariance", "kernel"])
@pytest.mark.parametrize("depth", [1, 2])
def test_printed_equations(golden, depth, route):
    golden(f"{route}_{depth}.tex", model(depth).system(route).latex() + "\n")


def test_printed_equations_of_a_random_feature_target_on_two_atoms(golden):
    declared = deep_features(["tanh"], ["sign"], spectrum=[("1/2", "1/4"), (2, "3/4")])
    golden("covariance_sign_target_two_atoms.tex", declared.system().latex() + "\n")


def test_scalar_source(golden):
    golden("scalar_source_1.txt", scalar_source(program(model(1)), LEAN) + "\n")


@pytest.mark.parametrize("printer", [MpmathPrinter, CPrinter])
def test_tower_in_other_targets(golden, printer):
    text = module_source(program(model(1)), printer)
    golden(f"tower_{printer.__name__}.txt", text["start"] + "\n\n" + text["tower"] + "\n")


@pytest.mark.parametrize("target", TARGETS)
def test_source_of_each_target(golden, target):
    golden(f"{target}_1.txt", TARGETS[target](program(model(1))).rstrip("\n") + "\n")


def test_log_of_the_steps(golden):
    golden("log_2.txt", f"{model(2).system().log}\n{model(2).system('kernel').log}\n")


def test_a_change_shows_as_a_diff(golden, monkeypatch, pytestconfig):
    monkeypatch.setattr(pytestconfig.option, "update_golden", False)
    changed = model(1).system().latex().replace("x_{0}", "y_{0}")
    with pytest.raises(AssertionError, match=r"\+\\mathrm\{df\}_\{0\} &= \\frac\{1\}\{y_\{0\}"):
        golden("covariance_1.tex", changed + "\n")


def test_source_is_the_same_for_another_activation_of_the_same_architecture():
    other = program(deep_features(["sin"]))
    assert scalar_source(other) == scalar_source(program(model(1)))
    assert other.key != program(model(1)).key
