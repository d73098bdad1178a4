"""Programs to machine code: compile, broadcast, solve.

Stage: a System or Program in, an ``Evaluator`` out; calling it returns a ``Solution``. Four
methods share one interface and one cache; the choice is made by ``choose`` and can be forced:

=========  =========================================================================================
method     what it is
=========  =========================================================================================
llvm       lanes, printed as vector LLVM IR: compiles in a fraction of a second (``vector_ir``)
lanes      lanes, printed as Numba source (``lanes``)
scalar     one point at a time, any special function (``newton``)
path       coupled systems: continuation from an explicit start (``continuation``); the same on
           lanes (``path_ir``) goes by the name llvm
cuda       one point per thread of a graphics processor (``target="cuda"``, see ``cuda``)
=========  =========================================================================================
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from derive.codegen import ScalarPrinter, module_source
from derive.coupled import AnyModel, AnyProgram, CoupledProgram, frozen
from derive.errors import NotSupportedError, ShapeError, UnknownNameError
from derive.printing.lane_phases import Asked, LaneProgram, row_names
from derive.printing.lane_program import lane_program
from derive.printing.machine_functions import VECTOR
from derive.program import Program
from derive.tables import table_code
from numeric.assemble import assemble, constant_values
from numeric.cache import load
from numeric.continuation import WIDTH as PATH_WIDTH
from numeric.continuation import continuation_source
from numeric.controls import broadcast_controls, padded_inputs
from numeric.cuda import CudaEvaluator, compile_cuda
from numeric.lanes import FLAGS, WIDTH, lane_source
from numeric.newton import driver_source
from numeric.path_ir import PATHS, path_asked, path_source
from numeric.precision import precision_named
from numeric.prepared import Prepared, prepared
from numeric.selftest import recall
from numeric.solution import Solution
from numeric.threads import run_blocks
from numeric.vector_code import compile_vectors, has_estimates, lanes_that_fit
from numeric.vector_ir import vector_source

METHODS = ("llvm", "lanes", "scalar")
TARGETS = ("cpu", "cuda")

Run = Callable[[Any, Any, Any, int, int, int], None]

_HEADER = '''"""Generated from the program {name}; do not edit.

Operations: {counts}.
"""

import math

from numba import njit

FLAGS = {{{flags}}}
SCALAR = dict(error_model="numpy", fastmath=FLAGS)
UNIT = {unit!r}
'''


@dataclass(frozen=True)
class Kernel:
    """Machine code behind one interface.

    Attributes:
        method: one of ``METHODS``.
        reason: why this method.
        source: the generated text.
        run: ``run(inputs, constants, out, size, first, last)`` on flat arrays of shape (controls,
            size), (constants,), (rows, size); solves blocks first, ..., last - 1.
        width: points per block.
    """

    method: str
    reason: str
    source: str
    run: Run
    width: int


@dataclass(frozen=True)
class Evaluator:
    """A compiled program; call it with controls by name.

    Attributes:
        program: what was compiled.
        asked: which outputs, with errors and slopes or without.
        kernel: the machine code, with the method and why it was chosen.
        constants: the constants of the program as doubles, each nearest to its exact value.
    """

    program: AnyProgram
    asked: Asked
    kernel: Kernel
    constants: NDArray[np.float64]

    @property
    def source(self) -> str:
        """The generated source text."""
        return self.kernel.source

    @property
    def method(self) -> str:
        """How points are solved: "llvm", "lanes", "scalar" or "path"."""
        return self.kernel.method

    def __call__(self, *, threads: int | None = None, **controls: Any) -> Solution:
        """Solve on the broadcast grid of the controls.

        Args:
            threads: at most this many threads; the numbers do not depend on it.
            **controls: numbers or arrays, one per control; grouped controls (``gamma``) as a tuple
                of numbers or arrays. All are broadcast against each other to one shape S.

        Returns:
            A Solution of shape S. NaN in an array gives that point the status BAD_INPUT.

        Raises:
            UnknownNameError: missing or unknown controls.
            ShapeError: a group of the wrong length, or shapes that do not broadcast.
            RangeError: a value out of its range, with its index.

        Accuracy: per point, see ``Solution.error``.
        """
        arrays = broadcast_controls(self.program, controls)
        inputs, at_limit = padded_inputs(self.program, arrays, self.kernel.width)
        out = self.solve(inputs, threads)[:, : arrays[0].size]
        return assemble(self.program, self.asked, arrays, out, at_limit)

    def solve(
        self,
        inputs: NDArray[np.float64],
        threads: int | None = None,
        out: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Solve prepared inputs of shape (controls, size); return the rows, shape (rows, size).

        ``size`` must be a multiple of ``kernel.width``. Values are not checked; this is what
        benchmarks time. The last two rows are status and steps. ``out`` takes the rows, if it is
        given: contiguous.

        Raises:
            ShapeError: for arrays of another shape or type.

        Accuracy: per point, see ``Solution.error``.
        """
        size, kernel = inputs.shape[1], self.kernel
        rows = len(row_names(self.program, self.asked))
        filled = np.empty((rows, size)) if out is None else out
        _check_arrays(
            f"solve {self.program.name}",
            (inputs, filled),
            (len(self.program.inputs), rows),
            kernel.width,
        )
        flat, result = inputs.ravel(), filled.reshape(-1)

        def solve(first: int, last: int) -> None:
            kernel.run(flat, self.constants, result, size, first, last)

        run_blocks(solve, size // kernel.width, kernel.width, threads)
        return filled

    def __repr__(self) -> str:
        head = f"Evaluator({self.program!r}; {self.method}: {self.kernel.reason})"
        tested = recall(self)
        return f"{head}\n  {tested.summary}" if tested else head


@overload
def compile(
    model: AnyModel,
    *,
    target: Literal["cpu"] = "cpu",
    outputs: Sequence[str] | None = None,
    errors: bool = True,
    slopes: bool = True,
    method: str = "auto",
) -> Evaluator: ...


@overload
def compile(
    model: AnyModel,
    *,
    target: Literal["cuda"],
    precision: str = "float64",
    outputs: Sequence[str] | None = None,
    errors: bool = True,
    slopes: bool = True,
) -> CudaEvaluator: ...


def compile(
    model: AnyModel,
    *,
    target: str = "cpu",
    precision: str = "float64",
    outputs: Sequence[str] | None = None,
    errors: bool = True,
    slopes: bool = True,
    method: str = "auto",
) -> Evaluator | CudaEvaluator:
    """Compile a System or a Program.

    The machine code is cached on disk under the content of the generated source, and the source
    under the content of the System, so that nothing is derived twice (``numeric.prepared``).

    Args:
        model: a triangular System, its Program, a declaration that has one, or coupled equations
            (``derive.dyson.equations``) or their program.
        target: "cpu" or "cuda"; the latter returns a ``CudaEvaluator``, called in the same way.
        precision: "float64", or "float32" on the target "cuda".
        outputs: which outputs to compute; all by default, none leaves the unknowns.
        errors: whether to bound the errors of unknowns and outputs; the residual always is there.
        slopes: whether to differentiate the outputs in the slope control.
        method: one of ``METHODS``; "auto" lets ``choose`` decide. Coupled equations
            have "llvm", and "path" where that does not fit.

    Raises:
        NotSupportedError: for coupled systems without a path, or a method or target that does not
            fit.
        UnknownNameError: for an output, method, target or precision that does not exist.
        UnavailableError: for the target "cuda" without numba-cuda, a device or its driver.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> evaluate = compile(deep_features(["erf"]).system())
        >>> solution = evaluate(alpha=2, gamma=(1.5,), lam=0.1, noise=0.25)
        >>> solution.converged, round(float(solution.E_test), 6)
        (True, 0.642158)
    """
    if target != "cpu":
        return _on_cuda(model, target, precision, (outputs, errors, slopes))
    if precision_named(precision).name != "float64":
        raise NotSupportedError(f"precision {precision!r}", "the target is cpu", "use float64")
    ready = frozen(model, "machine code")
    if isinstance(ready, CoupledProgram):
        return _coupled(ready, outputs, errors, slopes, method)
    asked = Asked(ready.outputs if outputs is None else tuple(outputs), errors, slopes)
    found = prepared(ready, asked, method, lambda: _prepare(ready, asked, method))
    constants = np.array([float.fromhex(c) for c in found.constants], dtype=np.float64)
    return Evaluator(ready, asked, _kernel(found), constants)


def _check_arrays(
    asked: str, arrays: tuple[NDArray[np.float64], ...], rows: tuple[int, ...], width: int
) -> None:
    """Refuse arrays that machine code would read or write beyond their ends."""
    size = arrays[0].shape[-1]
    for array, count in zip(arrays, rows, strict=True):
        fits = array.shape == (count, size) and array.dtype == np.float64
        if not fits or size % width:
            raise ShapeError(
                f"an array of shape {array.shape} of {array.dtype} to {asked}",
                f"it takes float64 in {count} rows, and points in multiples of {width}",
                "call the evaluator itself, which prepares them",
            )


def _on_cuda(
    model: Any,
    target: str,
    precision: str,
    wanted: tuple[Sequence[str] | None, bool, bool],
) -> CudaEvaluator:
    if target not in TARGETS:
        raise UnknownNameError(
            f"target {target!r}", f"the targets are {', '.join(TARGETS)}", "use one of them"
        )
    outputs, errors, slopes = wanted
    ready = frozen(model, "machine code")
    if isinstance(ready, CoupledProgram):
        lean = path_asked(ready, outputs, errors, slopes)
        return compile_cuda(ready, lean, precision_named(precision))
    if ready.averages:
        raise NotSupportedError(
            f"{ready.name} on CUDA", "it averages over tables, in loops", 'use target="cpu"'
        )
    asked = Asked(ready.outputs if outputs is None else tuple(outputs), errors, slopes)
    lane_program(ready, asked)  # refuses outputs that do not exist
    return compile_cuda(ready, asked, precision_named(precision))


def _coupled(
    program: CoupledProgram, outputs: Sequence[str] | None, errors: bool, slopes: bool, method: str
) -> Evaluator:
    if method not in ("llvm", "path", "auto"):
        found = "its equations are coupled"
        raise NotSupportedError(f"method {method!r} for {program.name}", found, 'use "auto"')
    asked = path_asked(program, outputs, errors, slopes)
    reason = "coupled equations, followed from their explicit start"
    try:
        source = path_source(program, asked) if method != "path" else ""
    except NotSupportedError:
        if method == "llvm":
            raise
        source = ""
    if source:
        kernel = Kernel("llvm", f"{reason}, side by side", source, compile_vectors(source), PATHS)
    else:
        source = continuation_source(program, asked)
        kernel = Kernel("path", reason, source, load(source).run, PATH_WIDTH)
    return Evaluator(program, asked, kernel, np.empty(0))


def choose(lanes: LaneProgram) -> tuple[str, str]:
    """Return the method for a program, and why."""
    functions = lanes.functions()
    unfit = [name for name in functions if name not in VECTOR]
    if unfit:
        return "scalar", f"{', '.join(unfit)} has no vector form"
    return "llvm", f"arithmetic and {', '.join(functions)}" if functions else "arithmetic only"


def _prepare(program: Program, asked: Asked, method: str) -> Prepared:
    lanes = lane_program(program, asked)
    if method not in (*METHODS, "auto"):
        raise UnknownNameError(
            f"method {method!r}", f"the methods are {', '.join(METHODS)}, auto", "use one of them"
        )
    chosen, reason = choose(lanes) if method == "auto" else (method, "asked for")
    if program.averages and chosen != "scalar":
        found = "it averages over tables, in loops"
        raise NotSupportedError(f"method {chosen!r} for {program.name}", found, 'use "auto"')
    if chosen == "llvm":
        source = vector_source(lanes, lanes_that_fit(), has_estimates())
    else:
        source = lane_source(lanes) if chosen == "lanes" else scalar_source(program, asked)
    constants = tuple(float(c).hex() for c in constant_values(program))
    return Prepared(chosen, reason, source, constants)


def _kernel(found: Prepared) -> Kernel:
    method, source = found.method, found.source
    if method == "llvm":
        return Kernel(method, found.reason, source, compile_vectors(source), lanes_that_fit())
    width = WIDTH if method == "lanes" else 1
    return Kernel(method, found.reason, source, load(source).run, width)


def scalar_source(program: Program, asked: Asked | None = None) -> str:
    """Return the generated file: blocks and driver, the same for all values of the constants."""
    blocks = program.blocks()
    counts = ", ".join(f"{name} {block.operations}" for name, block in blocks.items())
    flags = ", ".join(f'"{flag}"' for flag in FLAGS if flag != "reassoc")
    parts = [_HEADER.format(name=program.name, counts=counts, flags=flags, unit=2.0**-53)]
    for mean in program.means:
        data, text = table_code(mean)
        parts.append(f"\n\n{data}\n\n\n@njit(**SCALAR)\n{text}")
    if program.means:
        parts.insert(1, "\nfrom numpy import array")
    for text in module_source(program, ScalarPrinter).values():
        parts.append(f"\n\n@njit(**SCALAR)\n{text}")
    wanted = asked or Asked(program.outputs)
    return "\n".join(parts) + "\n\n" + driver_source(program, wanted)
