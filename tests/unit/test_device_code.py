"""Special functions and kernels for devices: source, PTX without a device, the simulator.

Witnesses: the processor's functions, whose balls are in ``test_special`` and
``test_numeric_kernels``, and the text of the PTX.
"""

import math
import os
import re

import numba
import numpy as np
import pytest
from sympy import Max, erf, tanh

from derive.errors import ShapeError, UnknownNameError
from derive.symbols import z
from numeric import special
from numeric.device_code import (
    ELEMENTARY,
    SPECIAL,
    DeviceFunction,
    device_special,
    function_ptx,
    kernel_source,
    special_source,
    typed,
)
from numeric.kernels import compile_kernel
from numeric.precision import FLOAT32, FLOAT64
from tests.cuda_cases import in_simulator, needs_device, needs_numba_cuda, untyped

COUNTS = SPECIAL | dict.fromkeys(ELEMENTARY, 1)
KERNELS = {"relu kernel": Max(z, 0), "erf kernel": erf(z), "tanh kernel": tanh(z)}
TABLED = {"relu kernel": True, "erf kernel": False, "tanh kernel": False}


def points(name, count=60):
    rng = np.random.default_rng(8)
    given = [np.append(rng.normal(size=count), [0.0, 0.5]) for _ in range(COUNTS.get(name, 1))]
    if COUNTS.get(name) == 3 or name in (*KERNELS, "acos"):
        given[-1] = np.append(rng.uniform(-1, 1, count), [-1.0, 1.0])
    if name == "log1p":
        given[0] = np.exp(given[0])
    return given


def one_by_one(function):
    return lambda *arrays: np.array([function(*map(float, x)) for x in zip(*arrays, strict=True)])


PROCESSOR = {
    **{name: one_by_one(getattr(special, name)) for name in SPECIAL},
    **{name: one_by_one(getattr(math, name, None)) for name in ELEMENTARY},
    "softplus": lambda a: np.logaddexp(0, a),
    **{name: lambda rho, e=expr: compile_kernel(e)(rho) for name, expr in KERNELS.items()},
}


def test_every_constant_of_float32_source_is_typed():
    assert untyped(special_source(FLOAT32)) == []
    assert len(untyped(special_source(FLOAT64))) > 40
    for name, tabled in TABLED.items():
        found = compile_kernel(KERNELS[name])
        assert untyped(kernel_source(found.lines, tabled, FLOAT32)) == []
    assert len(untyped(typed("x = 1.0 + y", FLOAT32).replace("f4(1.0)", "1.0"))) == 1


def compiled_here(source, name):
    """The device functions of a module as ordinary compiled functions."""
    text = re.sub(r"@cuda\.jit\(cache=True\)\ndef run_\w+\(.*\n(    .*\n)+", "", source + "\n")
    text = text.replace("from numba import cuda\n", "").replace("@cuda.jit(device=True)", "@jit")
    scope = {"jit": numba.njit(error_model="numpy")}
    exec(text, scope)
    return scope[name]


@pytest.mark.parametrize("name", SPECIAL)
def test_float32_source_computes_in_float32_to_its_own_accuracy(name):
    function = compiled_here(special_source(FLOAT32), name)
    arrays = [x.astype(np.float32) for x in points(name, 25)]
    found = [function(*x) for x in zip(*arrays, strict=True)]
    assert {s.signature.return_type for s in function.overloads.values()} == {numba.float32}
    assert np.abs(np.array(found, float) - PROCESSOR[name](*arrays)).max() < 1e-6


# --- PTX --------------------------------------------------------------------------------------


@needs_numba_cuda
@pytest.mark.parametrize("name", COUNTS)
def test_special_functions_compile_to_ptx_without_hidden_float64(name):
    single = function_ptx(special_source(FLOAT32), name, COUNTS[name], FLOAT32)
    for (major, minor), text in single.items():
        assert f".target sm_{major}{minor}" in text
        assert len(re.findall(r"\.f64", text)) == 0
        assert len(re.findall(r"\.f32", text)) > 50
    double = function_ptx(special_source(FLOAT64), name, COUNTS[name], FLOAT64)
    assert all(len(re.findall(r"\.f64", text)) > 50 for text in double.values())


@needs_numba_cuda
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_to_ptx_without_hidden_float64(name):
    lines, tabled = compile_kernel(KERNELS[name]).lines, TABLED[name]
    source = kernel_source(lines, tabled, FLOAT32)
    for text in function_ptx(source, "kernel", 1, FLOAT32, tabled=tabled).values():
        assert len(re.findall(r"\.f64", text)) == 0


@needs_numba_cuda
def test_one_untyped_constant_would_be_seen():
    source = kernel_source(compile_kernel(Max(z, 0)).lines, True, FLOAT32)
    careless = source.replace("f4(1.0) - abs(rho)", "1.0 - abs(rho)")
    for text in function_ptx(careless, "kernel", 1, FLOAT32, tabled=True).values():
        assert len(re.findall(r"\.f64", text)) > 0


# --- the simulator and devices ----------------------------------------------------------------

SIMULATED = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_device_code import COUNTS, KERNELS, points
from numeric.device_code import device_special
from numeric.kernels import compile_kernel

found = {}
for precision in ("float64", "float32"):
    for name in COUNTS:
        found[f"{precision} {name}"] = device_special(name, precision)(*points(name, 20))
    for name, expr in KERNELS.items():
        found[f"{precision} {name}"] = KERNEL[name].on_device(precision)(*points(name, 20))
np.savez(sys.argv[1], **found)
""".replace("KERNEL[name]", "compile_kernel(expr)")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return in_simulator(SIMULATED, tmp_path_factory.mktemp("device"), os.path.dirname(__file__))


@pytest.mark.parametrize("name", [*COUNTS, *KERNELS])
def test_the_simulator_agrees_with_the_processor(simulated, name):
    exact = PROCESSOR[name](*points(name, 20))
    assert simulated[f"float64 {name}"].dtype == np.float64
    np.testing.assert_allclose(simulated[f"float64 {name}"], exact, rtol=1e-13, atol=1e-16)
    assert simulated[f"float32 {name}"].dtype == np.float32
    np.testing.assert_allclose(simulated[f"float32 {name}"], exact, rtol=1e-4, atol=1e-6)


@needs_device
@pytest.mark.parametrize("name", COUNTS)
def test_a_device_agrees_with_the_processor(name):
    arrays = points(name, 2000)
    found = device_special(name)(*arrays)
    np.testing.assert_allclose(found, PROCESSOR[name](*arrays), rtol=1e-13, atol=1e-15)


@needs_device
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_on_a_device_agree_with_the_processor(name):
    kernel, (rho,) = compile_kernel(KERNELS[name]), points(name, 2000)
    np.testing.assert_allclose(kernel.on_device()(rho), kernel(rho), rtol=1e-13, atol=1e-15)


def test_what_does_not_exist_is_named():
    with pytest.raises(UnknownNameError, match="zeta on a device"):
        device_special("zeta")
    bare = DeviceFunction("owens_t", 2, FLOAT64, "", special)
    with pytest.raises(ShapeError, match="it takes 2"):
        bare(1.0)
    with pytest.raises(ShapeError, match="shapes"):
        bare(np.ones(2), np.ones(3))
