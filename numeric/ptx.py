"""PTX of the generated kernels: what a graphics processor would be given, without having one.

Stage: beside ``cuda``; a Program in, the text of each kernel in PTX out. Needs the package
numba-cuda with NVIDIA's compiler (``pip install "stieltjes[cuda]"``), but neither a device nor a
driver. Tests compile every kernel with it and read the result: a float32 kernel must not hold one
instruction in float64.
"""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from derive.coupled import CoupledDeclaration, CoupledProgram, frozen
from derive.errors import UnavailableError
from derive.printing.lane_phases import Asked
from derive.program import Declaration, Program
from derive.system import System
from numeric.cuda_code import cuda_source
from numeric.cuda_paths import coupled_cuda_source
from numeric.precision import Precision, precision_named

KERNELS = ("run", "pick", "best")
Capability = tuple[int, int]
REMEDY = 'pip install "stieltjes[cuda]"'


def ptx(
    model: System | Program | Declaration | CoupledProgram | CoupledDeclaration,
    *,
    capabilities: Sequence[Capability] = ((8, 0), (9, 0)),
    precision: str = "float64",
    asked: Asked | None = None,
    kernels: Sequence[str] = KERNELS,
) -> dict[tuple[str, Capability], str]:
    """Compile the kernels of a program to PTX.

    Args:
        model: a triangular System, its Program, a declaration that has one, or coupled equations
            or their program.
        capabilities: compute capabilities of the devices, (major, minor); all but the first are
            nearly free.
        precision: "float64" or "float32".
        asked: what the kernels return; everything by default.
        kernels: which of ``KERNELS`` to compile.

    Returns:
        The PTX by kernel and capability.

    Raises:
        UnavailableError: if numba-cuda or NVIDIA's compiler is not installed.
        UnknownNameError: for a precision that does not exist.
    """
    chosen = precision_named(precision)
    if importlib.util.find_spec("numba_cuda") is None:
        raise UnavailableError(
            "PTX", "the package numba-cuda is not installed", f"{REMEDY}; no GPU is needed"
        )
    module = _executed(_source(model, asked, chosen))
    return {
        (name, cc): _compiled(getattr(module, name), name, chosen, cc)
        for cc in capabilities
        for name in kernels
    }


def _source(model: Any, asked: Asked | None, precision: Precision) -> str:
    ready = frozen(model, "PTX")
    if not isinstance(ready, CoupledProgram):
        return cuda_source(ready, asked, precision)
    everything = Asked(ready.outputs, slopes=bool(ready.slope_control))
    return coupled_cuda_source(ready, asked or everything, precision)


def _executed(source: str) -> ModuleType:
    """Return the generated module; nothing is stored."""
    module = ModuleType("stieltjes_ptx")
    text = source.replace("cache=True", "cache=False")
    exec(compile(text, "<stieltjes_ptx>", "exec"), module.__dict__)  # our own printed code
    return module


def _compiled(kernel: Any, name: str, precision: Precision, cc: Capability) -> str:
    cuda = importlib.import_module("numba.cuda")
    with _pretended(cc):
        text, _ = cuda.compile_ptx(kernel.py_func, _signature(name, precision), cc=cc)
    return str(text)


def _signature(name: str, precision: Precision) -> tuple[Any, ...]:
    types = importlib.import_module("numba").types
    real, whole = getattr(types, precision.name), types.int64
    grid = (real[::1], whole[::1], whole[::1], real[::1])
    arguments = {
        "run": (real[::1], whole, whole),
        "pick": (whole[::1], real[::1], whole, whole),
        "best": (whole, whole[::1], whole, whole),
    }
    return (*grid, *arguments[name])


@contextmanager
def _pretended(cc: Capability) -> Iterator[None]:
    """Let Numba compile device functions for a capability; it asks the current device for it."""
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked
