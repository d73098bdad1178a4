"""Coupled programs on the CUDA target: PTX without a device, the simulator, and a device if any.

Witnesses: the scalar continuation (another text, other order of operations), the lanes, NumPy's
argmin, and the text of the PTX itself.
"""

import functools
import itertools
import os
import re

import numpy as np
import pytest

from derive.dyson import equations
from derive.errors import NotSupportedError, UnknownNameError
from derive.matrices import dims, eye, gaussian, ntrace, wigner
from derive.printing.lane_phases import Asked
from derive.symbols import control
from numeric.compiled import compile
from numeric.cuda_paths import coupled_cuda_source
from numeric.precision import FLOAT32, FLOAT64
from numeric.ptx import KERNELS, ptx
from tests.cuda_cases import in_simulator, needs_device, needs_numba_cuda, untyped

n, p, d = dims("n p d")
lam, z, noise = control("lam", positive=True), control("z", positive=True), control("noise")
Z, W, V = gaussian("Z", d, n, 1 / n), gaussian("W", p, d, 1 / d), gaussian("V", p, n, 1 / n)
S = wigner("S", d, 1 / d)
NAMES = ("features", "tied", "shifted")


@functools.cache
def declared(name):
    """Programs of 2 unknowns, of 4, and of 2 that are one complex number."""
    features = W * Z + V
    gram = (features.T * features + lam * eye(n)).inv()
    tied = W.T * W * Z * Z.T * W.T * W + lam * eye(d)
    return {
        "features": lambda: equations({"g": ntrace(gram), "e": ntrace(gram * gram) / noise}),
        "tied": lambda: equations({"g": ntrace(tied.inv())}),
        "shifted": lambda: equations({"g": ntrace((z * eye(d) - S - Z * Z.T).inv())}),
    }[name]().program(**({"complex_controls": ("z",)} if name == "shifted" else {}))


def grid(name):
    """A product grid of two axes; a NaN on one of them."""
    sizes = {"n": 1.0, "d": np.array([0.6, 2.0, np.nan])[:, None]}
    if name == "shifted":
        return sizes | {"z": (np.linspace(-3, 6, 7)[None, :], 1e-4)}
    ridge = sizes | {"p": 0.7, "lam": np.geomspace(1e-5, 10, 6)[None, :]}
    return ridge | ({"noise": 0.2} if name == "features" else {})


@functools.cache
def scalar(name):
    return compile(declared(name), method="path")(**grid(name))


def worst(found, true):
    """Largest relative difference; both must have their NaN at the same places."""
    assert np.array_equal(np.isnan(found), np.isnan(true))
    return np.nanmax(np.abs(found - true) / np.abs(true))


# --- the source and PTX -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_constant_of_float32_source_is_typed(name):
    ready = declared(name)
    asked = Asked(ready.outputs, slopes=bool(ready.slope_control))
    text = coupled_cuda_source(ready, asked, FLOAT32)
    assert untyped(text) == []
    assert untyped(text.replace("f4(0.5)", "0.5", 1)) != []
    assert len(untyped(coupled_cuda_source(ready, asked, FLOAT64))) > 20


@needs_numba_cuda
@pytest.mark.parametrize("name", ["features", "shifted"])
def test_every_kernel_compiles_to_ptx_in_float64(name):
    texts = ptx(declared(name))
    assert set(texts) == set(itertools.product(KERNELS, [(8, 0), (9, 0)]))
    for (_, (major, minor)), text in texts.items():
        assert f".target sm_{major}{minor}" in text
        assert len(re.findall(r"\.entry", text)) == 1
        assert len(re.findall(r"\.f64", text)) > 100
        assert ".local" not in text


@needs_numba_cuda
@pytest.mark.parametrize("name", ["features", "shifted"])
def test_float32_kernels_hold_no_instruction_in_float64(name):
    for text in ptx(declared(name), precision="float32").values():
        assert len(re.findall(r"\.f64", text)) == 0
        assert len(re.findall(r"\.f32", text)) > 100


@needs_numba_cuda
def test_one_untyped_constant_would_be_seen(monkeypatch):
    def careless(*args):
        return coupled_cuda_source(*args).replace("f4(0.0001)", "0.0001")

    monkeypatch.setattr("numeric.ptx.coupled_cuda_source", careless)
    one = {"kernels": ["best"], "capabilities": [(8, 0)]}
    (text,) = ptx(declared("shifted"), precision="float32", **one).values()
    assert len(re.findall(r"\.f64", text)) > 0


def test_what_cannot_be_compiled_is_refused():
    plain = equations({"g": ntrace(S * S)}).program()
    with pytest.raises(NotSupportedError, match="dyson on CUDA: it has 0 unknowns"):
        coupled_cuda_source(plain, Asked(plain.outputs))
    with pytest.raises(UnknownNameError, match="the outputs are g, e"):
        compile(declared("features"), target="cuda", outputs=["E"])


# --- the simulator ----------------------------------------------------------------------------

SIMULATED = """
import sys
import warnings
import numpy as np
import numeric.cuda
from numeric.compiled import compile
sys.path.insert(0, sys.argv[2])
from test_cuda_paths import NAMES, declared, grid

found = {}
warnings.simplefilter("ignore", RuntimeWarning)  # a selection computes what it drops
for name in NAMES:
    evaluator = compile(declared(name), target="cuda")
    numeric.cuda._BUFFER = 8 * evaluator.rows * 13
    solutions = {"all": evaluator(**grid(name))}
    if name == "features":
        single = compile(declared(name), target="cuda", precision="float32")
        solutions["single"] = single(**grid(name))
        solutions["best"] = evaluator.best("e", "lam", **grid(name))
    for which, one in solutions.items():
        parts = {**one.unknowns, **one.outputs, **one.slopes, **one.controls}
        parts |= {f"error {key}": value for key, value in one.error.items()}
        parts["status"] = one.status
        found |= {f"{name} {which} {key}": value for key, value in parts.items()}
np.savez(sys.argv[1], **found)
"""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return in_simulator(SIMULATED, tmp_path_factory.mktemp("cuda"), os.path.dirname(__file__))


@pytest.mark.parametrize("name", NAMES)
def test_the_simulator_agrees_with_the_scalar_continuation(simulated, name):
    true = scalar(name)
    assert np.array_equal(simulated[f"{name} all status"], true.status)
    for key in (*true.unknowns, *true.outputs):
        assert worst(simulated[f"{name} all {key}"], true[key]) < 1e-13
    for key in (*true.slopes, *true.outputs):
        far = np.abs(simulated[f"{name} all {key}"] - true[key])
        assert np.nanmax(far / true.error[key]) < 1
        ratio = simulated[f"{name} all error {key}"] / true.error[key]
        assert np.nanmax(np.abs(np.log(ratio))) < np.log(30)


def test_the_simulator_finds_the_best_ridge(simulated):
    true = scalar("features")
    best = np.nanargmin(true.e[:2], axis=-1)
    expected = np.take_along_axis(true.e[:2], best[:, None], -1)[:, 0]
    assert worst(simulated["features best e"][:2], expected) < 1e-13
    ridges = grid("features")["lam"][0]
    assert np.array_equal(simulated["features best lam"][:2], ridges[best])
    assert simulated["features best status"][2] == 5


def test_the_simulator_in_float32_is_within_its_error_bars(simulated):
    true = scalar("features")
    assert np.array_equal(simulated["features single status"], true.status)
    for key in (*true.unknowns, *true.outputs, *true.slopes):
        far = np.abs(simulated[f"features single {key}"] - true[key])
        bound = simulated[f"features single error {key}"]
        assert np.nanmax(far / bound) < 2
        assert 0 < np.nanmedian(bound / np.abs(true[key])) < 1e-3


# --- a device ---------------------------------------------------------------------------------


@needs_device
@pytest.mark.parametrize("name", NAMES)
def test_the_device_agrees_with_the_scalar_continuation(name):
    true = scalar(name)
    found = compile(declared(name), target="cuda")(**grid(name))
    assert np.array_equal(found.status, true.status)
    for key in (*true.unknowns, *true.outputs):
        assert worst(found[key], true[key]) < 1e-13
