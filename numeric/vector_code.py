"""LLVM IR to machine code through llvmlite, with object files kept in the cache.

Stage: the text of ``vector_ir`` in, a callable ``run`` out. Only llvmlite is needed, which Numba
brings along; Numba itself is not imported.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from numeric.cache import content_key, read_bytes, write_bytes

_SIGNATURE = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_int64,
)
_OBJECT = "kernel.o"
_LOCK = threading.Lock()  # LLVM's global state is set up once
_ENGINES: dict[str, Any] = {}  # machine code lives as long as its engine


def has_estimates() -> bool:
    """Return whether the processor estimates reciprocals of doubles (AVX-512)."""
    return bool(llvm.get_host_cpu_features().get("avx512f", False))


def lanes_that_fit() -> int:
    """Return the points per block that suit this processor's registers."""
    return 32 if has_estimates() else 16


def compile_vectors(source: str) -> Callable[..., None]:
    """Return ``run`` of an LLVM module, from the cache if it is there.

    Returns:
        ``run(inputs, constants, out, size, first, last)`` on contiguous float64 arrays. It releases
        the interpreter lock.
    """
    function = _SIGNATURE(_kept_engine(source).get_function_address("run"))

    def run(
        inputs: NDArray[np.float64],
        constants: NDArray[np.float64],
        out: NDArray[np.float64],
        size: int,
        first: int,
        last: int,
    ) -> None:
        function(inputs.ctypes.data, constants.ctypes.data, out.ctypes.data, size, first, last)

    return run


def functions_of(source: str, plain: bool = True, **arguments: str) -> list[Callable[..., None]]:
    """Return functions without a result of an LLVM module, from the cache if it is there.

    Args:
        source: the module; what it declares must be known to LLVM.
        plain: compile it as it stands, without optimisation: for code that only calls other code.
        **arguments: name of each function and its arguments: "p" an address, "i" an integer.

    Returns:
        The functions in this order. They release the interpreter lock.
    """
    engine, kinds = _kept_engine(source, plain), {"p": ctypes.c_void_p, "i": ctypes.c_int64}
    return [
        ctypes.CFUNCTYPE(None, *(kinds[k] for k in given))(engine.get_function_address(name))
        for name, given in arguments.items()
    ]


def assembly(source: str) -> str:
    """Return the assembly text of a module for this processor."""
    _initialize()
    machine = _target_machine()
    return str(machine.emit_assembly(_optimized(source, machine)))


def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _target_machine(effort: int = 3) -> Any:
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=effort,
        codemodel="jitdefault",
        jit=True,
    )


def _parsed(source: str, machine: Any) -> Any:
    module = llvm.parse_assembly(source)
    module.triple = llvm.get_process_triple()
    module.data_layout = str(machine.target_data)
    module.verify()
    return module


def _optimized(source: str, machine: Any) -> Any:
    module = _parsed(source, machine)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def _kept_engine(source: str, plain: bool = False) -> Any:
    key = content_key(source)
    with _LOCK:
        if key not in _ENGINES:
            _ENGINES[key] = _engine(source, key, plain)
        return _ENGINES[key]


def _engine(source: str, key: str, plain: bool) -> Any:
    _initialize()
    machine = _target_machine(0 if plain else 3)
    stored = read_bytes(key, _OBJECT)
    if stored is None:
        module = _parsed(source, machine) if plain else _optimized(source, machine)
        stored = machine.emit_object(module)
        write_bytes(key, _OBJECT, stored)
    empty = llvm.parse_assembly("")
    engine = llvm.create_mcjit_compiler(empty, machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(stored))
    engine.finalize_object()
    return engine
