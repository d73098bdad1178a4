"""The CUDA target: layout on the host, PTX without a device, the simulator, and a device if any.

Witnesses: the CPU evaluators (vector IR, other order of operations), NumPy's broadcasting and
argmin, and the text of the PTX itself.
"""

import functools
import importlib.util
import itertools
import os
import re
from types import ModuleType, SimpleNamespace

import numba
import numpy as np
import pytest

import numeric.cuda
from derive.errors import (
    NotSupportedError,
    RangeError,
    ShapeError,
    UnavailableError,
    UnknownNameError,
)
from derive.printing.lane_phases import Asked, row_names
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.assemble import assemble, constant_values
from numeric.compiled import compile
from numeric.cuda import CudaEvaluator, grid_layout
from numeric.cuda_code import cuda_source
from numeric.precision import FLOAT32, FLOAT64
from numeric.ptx import KERNELS, ptx
from tests.cuda_cases import in_simulator, needs_device, needs_numba_cuda, untyped

DEPTHS = (1, 2, 3)
WIDTHS = (2.0, 1.2, 0.7)
ZERO_RIDGE = {
    "alpha": np.array([0.5, 1.0, 2.0, 3.0])[:, None],
    "gamma": 2.0,
    "lam": np.array([0.0, 0.1])[None, :],
    "noise": 0.2,
}
"""The limit of no ridge; the test error is infinite where alpha equals gamma."""


@functools.cache
def declared(depth):
    return program(deep_features(["tanh"] * depth))


@functools.cache
def on_cpu(depth):
    return compile(declared(depth))(**grid(depth))


def grid(depth):
    """A product grid of three axes with a NaN on one of them."""
    return {
        "alpha": np.array([0.3, 1.0, 1.5, 4.0])[:, None, None],
        "gamma": WIDTHS[:depth],
        "noise": np.array([0.0, 0.3, np.nan])[None, :, None],
        "lam": np.geomspace(1e-4, 10, 5)[None, None, :],
    }


def worst(found, true):
    """Largest relative difference; both must have their NaN at the same places."""
    assert np.array_equal(np.isnan(found), np.isnan(true))
    return np.nanmax(np.abs(found - true) / np.maximum(np.abs(true), 1e-300))


# --- the host side ----------------------------------------------------------------------------


def read(layout, control, index):
    """Find a control the way the kernels do."""
    count = layout.strides.size // (1 + layout.shape.size)
    rows = layout.strides.reshape(-1, count)
    steps = np.unravel_index(index, layout.shape)
    return layout.inputs[rows[0, control] + np.dot(steps, rows[1:, control])]


@pytest.mark.parametrize("shape", [(), (4,), (3, 5), (2, 3, 4)])
def test_a_layout_reads_what_broadcasting_gives(shape, rng):
    masks = itertools.product((False, True), repeat=len(shape))
    axes = [rng.normal(size=[n if m else 1 for n, m in zip(shape, k, strict=True)]) for k in masks]
    layout = grid_layout(axes, shape)
    assert layout.inputs.size == sum(a.size for a in axes)
    for j, axis in enumerate(axes):
        full = np.broadcast_to(axis, shape).reshape(-1)
        assert np.array_equal([read(layout, j, i) for i in range(layout.size)], full)


def test_a_product_grid_costs_the_sum_of_its_axes():
    evaluator = bare(declared(1))
    controls = {"alpha": np.ones((50, 1)), "lam": np.ones((1, 70)), "gamma": 2.0, "noise": 0.1}
    arrays = numeric.cuda.broadcast_controls(evaluator.program, controls)
    layout, _ = evaluator.layout(arrays)
    assert (layout.inputs.size, layout.size) == (50 + 70 + 2, 3500)


def bare(ready, precision=FLOAT64):
    """An evaluator without kernels, for what happens before they are called."""
    asked = Asked(ready.outputs)
    return CudaEvaluator(ready, asked, precision, "", ModuleType("none"), constant_values(ready))


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r'numba-cuda is not .* install "stieltjes\[cuda\]"'):
        compile(declared(1), target="cuda")


def test_without_a_device_the_message_says_what_is_missing(monkeypatch):
    fake = SimpleNamespace(is_available=lambda: False, cuda_error=lambda: "no driver\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(numeric.cuda, "_numba_cuda", lambda: fake)
    with pytest.raises(UnavailableError, match="no usable NVIDIA GPU: no driver; pip install"):
        compile(declared(1), target="cuda")


def test_targets_and_precisions_that_do_not_exist_are_named():
    with pytest.raises(UnknownNameError, match="the targets are cpu, cuda"):
        compile(declared(1), target="tpu")
    with pytest.raises(UnknownNameError, match="float64, float32"):
        compile(declared(1), target="cuda", precision="float16")
    with pytest.raises(NotSupportedError, match="the target is cpu"):
        compile(declared(1), precision="float32")


def test_the_best_of_what_is_not_there_is_refused():
    evaluator = bare(declared(1))
    point = {"alpha": 2.0, "gamma": 2.0, "lam": 0.1, "noise": 0.1}
    with pytest.raises(UnknownNameError, match="computes m, E_test, E_train"):
        evaluator.best("E_gen", "lam", **point)
    with pytest.raises(UnknownNameError, match="the controls are alpha"):
        evaluator.best("E_test", "ridge", **point)
    with pytest.raises(ShapeError, match="varies along 0 axes"):
        evaluator.best("E_test", "lam", **point)


@pytest.mark.parametrize("lam", [0.0, 1e-30, 1e20])
def test_what_float32_cannot_hold_is_refused(lam):
    evaluator = bare(declared(1), FLOAT32)
    with pytest.raises(RangeError, match='use precision="float64"'):
        evaluator(alpha=2.0, gamma=2.0, lam=lam, noise=0.1)


# --- the source, run by other means -----------------------------------------------------------


def on_processor(ready, precision, points):
    """Run the CUDA source in its own precision on the CPU: device functions become njit."""
    jit = numba.njit(error_model="numpy")
    asked = Asked(ready.outputs, slopes=False)
    text = cuda_source(ready, asked, precision).split("@cuda.jit(cache=True)")[0]
    text = text.replace("from numba import cuda, int64\n", "").replace("@cuda.jit", "@jit")
    scope = {"jit": lambda device: jit}
    exec(text, scope)
    dtype = np.dtype(precision.name)
    layout = grid_layout(points, points[0].shape, dtype)
    constants = np.append(constant_values(ready), 0).astype(dtype)
    out = np.empty(len(row_names(ready, asked)) * layout.size, dtype=dtype)
    for i in range(layout.size):
        scope["evaluate"](
            layout.inputs, layout.shape, layout.strides, constants, out, layout.size, i, i
        )
    rows = out.reshape(-1, layout.size).astype(float)
    nothing = np.zeros(layout.size, dtype=bool)
    return assemble(ready, asked, points, rows, nothing)


def test_float32_is_within_its_own_error_bars(rng):
    ready = declared(1)
    points = [10 ** rng.uniform(-1.5, 1.5, 400) for _ in ready.inputs]
    points = [p.astype(np.float32).astype(float) for p in points]
    single = on_processor(ready, FLOAT32, points)
    controls = {q.name: p for q, p in zip(ready.inputs, points, strict=True)}
    controls["gamma"] = (controls.pop("gamma_1"),)
    double = compile(ready)(**controls)
    assert single.converged
    for name in (*single.unknowns, *single.outputs):
        assert np.all(np.abs(single[name] - double[name]) <= 2 * single.error[name])
        assert np.median(single.error[name] / np.abs(double[name])) < 1e-5


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_constant_of_float32_source_is_typed(depth):
    text = cuda_source(declared(depth), None, FLOAT32)
    assert untyped(text) == []
    assert len(untyped(text.replace("f4(0.5) * (low + high)", "0.5 * (low + high)"))) == 2
    assert len(untyped(cuda_source(declared(depth), None, FLOAT64))) > 20


# --- PTX --------------------------------------------------------------------------------------


def text_of(depth, precision):
    return ptx(declared(depth), precision=precision)


@needs_numba_cuda
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_kernel_compiles_to_ptx_in_float64(depth):
    texts = text_of(depth, "float64")
    assert set(texts) == set(itertools.product(KERNELS, [(8, 0), (9, 0)]))
    for (_, (major, minor)), text in texts.items():
        assert f".target sm_{major}{minor}" in text
        assert len(re.findall(r"\.entry", text)) == 1
        assert len(re.findall(r"\.f64", text)) > 100


@needs_numba_cuda
@pytest.mark.parametrize("depth", DEPTHS)
def test_float32_kernels_hold_no_instruction_in_float64(depth):
    for text in text_of(depth, "float32").values():
        assert len(re.findall(r"\.f64", text)) == 0
        assert len(re.findall(r"\.f32", text)) > 100


@needs_numba_cuda
def test_one_untyped_constant_would_be_seen(monkeypatch):
    def careless(*args):
        return cuda_source(*args).replace("f4(0.5) * (low + high)", "0.5 * (low + high)", 1)

    monkeypatch.setattr("numeric.ptx.cuda_source", careless)
    one = [(8, 0)]
    texts = ptx(declared(1), precision="float32", kernels=["best"], capabilities=one)
    assert len(re.findall(r"\.f64", texts["best", (8, 0)])) > 0


# --- the simulator ----------------------------------------------------------------------------

SIMULATED = """
import sys
import numpy as np
import numeric.cuda
from numeric.compiled import compile
sys.path.insert(0, sys.argv[2])
from test_cuda import DEPTHS, ZERO_RIDGE, declared, grid

found = {}
for depth in DEPTHS:
    evaluator = compile(declared(depth), target="cuda")
    numeric.cuda._BUFFER = 8 * evaluator.rows * 17
    solution = evaluator(**grid(depth))
    best = evaluator.best("E_test", "lam", **grid(depth))
    for name, one in (("all", solution), ("best", best)):
        parts = {**one.unknowns, **one.outputs, **one.slopes, **one.controls}
        parts["status"] = one.status
        found |= {f"{depth} {name} {key}": value for key, value in parts.items()}
limit = compile(declared(1), target="cuda")(**ZERO_RIDGE)
found |= {"limit E_test": limit.E_test, "limit slope": limit.dE_test_dlam}
single = compile(declared(1), target="cuda", precision="float32")(**grid(1))
found |= {"single E_test": single.E_test, "single error": single.error["E_test"]}
np.savez(sys.argv[1], **found)
"""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return in_simulator(SIMULATED, tmp_path_factory.mktemp("cuda"), os.path.dirname(__file__))


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_simulator_agrees_with_the_cpu(simulated, depth):
    true = on_cpu(depth)
    assert np.array_equal(simulated[f"{depth} all status"], true.status)
    for name in (*true.unknowns, *true.outputs):
        assert worst(simulated[f"{depth} all {name}"], true[name]) < 1e-13
    for name in true.slopes:
        difference = np.abs(simulated[f"{depth} all {name}"] - true[name])
        assert np.nanmax(difference / true.error[name]) < 1


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_simulator_finds_the_best_ridge(simulated, depth):
    true = on_cpu(depth)
    best = np.nanargmin(true.E_test[:, :2], axis=-1)
    for name in ("E_test", "E_train", "m"):
        expected = np.take_along_axis(true[name][:, :2], best[..., None], -1)[..., 0]
        assert worst(simulated[f"{depth} best {name}"][:, :2], expected) < 1e-13
    assert np.array_equal(simulated[f"{depth} best lam"][:, :2], grid(depth)["lam"][0, 0][best])
    assert np.all(simulated[f"{depth} best status"][:, 2] == 5)


def test_the_simulator_takes_the_limit_of_no_ridge(simulated):
    true = compile(declared(1))(**ZERO_RIDGE)
    assert np.array_equal(np.isinf(true.E_test[:, 0]), [False, False, True, False])
    finite = np.isfinite(true.E_test)
    assert np.array_equal(np.isfinite(simulated["limit E_test"]), finite)
    assert worst(simulated["limit E_test"][finite], true.E_test[finite]) < 1e-13
    assert np.array_equal(np.isinf(simulated["limit slope"]), np.isinf(true.dE_test_dlam))


def test_the_simulator_in_float32_is_near(simulated):
    true = on_cpu(1)
    assert np.array_equal(np.isnan(simulated["single E_test"]), np.isnan(true.E_test))
    difference = np.abs(simulated["single E_test"] - true.E_test)
    assert np.nanmax(difference / simulated["single error"]) < 2


# --- a device ---------------------------------------------------------------------------------


@needs_device
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_device_agrees_with_the_cpu(depth, rng):
    axes = {
        "alpha": np.geomspace(0.1, 10, 40)[:, None, None],
        "gamma": WIDTHS[:depth],
        "noise": np.array([0.0, 0.1, np.nan])[None, :, None],
        "lam": np.geomspace(1e-4, 10, 50)[None, None, :],
    }
    true = compile(declared(depth))(**axes)
    found = compile(declared(depth), target="cuda")(**axes)
    assert np.array_equal(found.status, true.status)
    for name in (*true.unknowns, *true.outputs):
        assert worst(found[name], true[name]) < 1e-13


@needs_device
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_device_finds_the_best_ridge(depth):
    axes = grid(depth) | {"lam": np.geomspace(1e-4, 10, 333)[None, None, :]}
    found = compile(declared(depth), target="cuda").best("E_test", "lam", **axes)
    true = compile(declared(depth))(**axes)
    assert worst(found.E_test[:, :2], np.nanmin(true.E_test[:, :2], axis=-1)) < 1e-13
    assert np.all(found.status[:, 2] == 5)


@needs_device
def test_float32_on_the_device_is_within_its_error_bars():
    axes = grid(2)
    found = compile(declared(2), target="cuda", precision="float32")(**axes)
    true = compile(declared(2))(**axes)
    assert np.array_equal(found.status, true.status)
    assert np.nanmax(np.abs(found.E_test - true.E_test) / found.error["E_test"]) < 2


@needs_device
def test_pieces_of_any_size_give_the_same_numbers(monkeypatch):
    evaluator = compile(declared(1), target="cuda")
    whole = evaluator(**grid(1))
    monkeypatch.setattr(numeric.cuda, "_BUFFER", 8 * evaluator.rows * 7)
    assert np.array_equal(evaluator(**grid(1)).E_test, whole.E_test, equal_nan=True)
