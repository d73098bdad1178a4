"""Programs on NVIDIA graphics processors: compile, pass the axes, solve there, reduce there.

Stage: a Program in, a ``CudaEvaluator`` out; calling it returns the same ``Solution`` as the CPU.
The grid of the controls is never built on the host: each control is passed as it varies, so a
product grid costs the sum of its axes to send, and ``best`` returns one point per row. Large grids
go in pieces that fit the memory of the device.

The package numba-cuda is imported only here, and only when asked for. Environment variable
``NUMBA_ENABLE_CUDASIM=1`` runs the same kernels in Numba's simulator, slowly.
"""

import importlib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.coupled import AnyProgram, CoupledProgram
from derive.errors import RangeError, ShapeError, UnavailableError, UnknownNameError
from derive.printing.lane_phases import Asked, row_names
from numeric.assemble import assemble, constant_values
from numeric.cache import load
from numeric.controls import LIMIT, broadcast_controls
from numeric.cuda_code import TEAM, cuda_source, objectives
from numeric.cuda_paths import coupled_cuda_source
from numeric.precision import FLOAT64, Precision
from numeric.solution import Solution

_THREADS = 128
_BLOCKS_PER_PROCESSOR = 32
_LEAST_BLOCKS = 128
_BUFFER = 2**28
"""Bytes of the rows that are solved in one piece."""
_FLOAT32_RANGE = (1e-12, 1e12)
"""Absolute values of nonzero controls whose squares and products stay inside float32."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """A grid of controls as the kernels read it; see ``numeric.cuda_code``.

    Attributes:
        inputs: the axes of all controls, one after another.
        shape: lengths of the axes of the grid, shape (k,), k >= 1.
        strides: flat array of shape (1 + k, controls).
        size: number of points.
    """

    inputs: Array
    shape: Array
    strides: Array
    size: int


@dataclass(frozen=True)
class CudaEvaluator:
    """A program compiled for a graphics processor; call it with controls by name.

    Attributes:
        program: what was compiled.
        asked: which outputs, with errors and slopes or without.
        precision: of all numbers on the device.
        source: the generated source text.
        kernels: the module with the kernels.
        constants: the constants of the program as doubles, each nearest to its exact value.
    """

    program: AnyProgram
    asked: Asked
    precision: Precision
    source: str
    kernels: ModuleType
    constants: NDArray[np.float64]

    @property
    def method(self) -> str:
        """How points are solved: always "cuda"."""
        return "cuda"

    def __call__(self, **controls: Any) -> Solution:
        """Solve on the broadcast grid of the controls.

        Args:
            **controls: as for the CPU; give axes such as ``alpha[:, None]``, ``lam[None, :]``
                rather than full grids, because only what varies is sent to the device.

        Returns:
            A Solution of the broadcast shape, in float64 whatever the precision.

        Raises:
            UnknownNameError: missing or unknown controls.
            ShapeError: a group of the wrong length, or shapes that do not broadcast.
            RangeError: a value out of its range, or out of the range of float32.

        Accuracy: per point, see ``Solution.error``; in float32 its unit is 6e-8.
        """
        arrays = broadcast_controls(self.program, controls)
        layout, at_limit = self.layout(arrays)
        out = self.solve(layout)
        return assemble(self.program, self.asked, arrays, out, at_limit)

    def best(self, output: str, over: str, **controls: Any) -> Solution:
        """Minimise an output over one axis of the grid, on the device.

        Args:
            output: name of an output that was asked for (of an unknown if none was).
            over: name of a control that varies along one axis of the grid: that axis is reduced.
                Points that did not converge are passed over.
            **controls: as for a call.

        Returns:
            A Solution of the broadcast shape without that axis, at the best points: its
            ``controls[over]`` holds where they are. Where no point of a row converged, it is the
            first of the row.

        Raises:
            UnknownNameError: for an output or control that is not there.
            ShapeError: if ``over`` varies along no axis or several.

        Accuracy: the least value of those on the grid, to rounding; see ``Solution.error``.
        """
        goals = objectives(self.program, self.asked)
        if output not in goals:
            raise UnknownNameError(
                f"the best {output}", f"this evaluator computes {', '.join(goals)}", "use one"
            )
        arrays = broadcast_controls(self.program, controls)
        axis = _axis(self.program, arrays, over)
        arrays = [np.moveaxis(a, axis, -1) for a in arrays]
        layout, at_limit = self.layout(arrays)
        picks, out = self._best(layout, goals.index(output), arrays[0].shape[-1])
        place = picks.reshape(arrays[0].shape[:-1])[..., None]
        chosen = [np.take_along_axis(a, place, -1)[..., 0] for a in arrays]
        limits = np.take_along_axis(at_limit.reshape(arrays[0].shape), place, -1)
        return assemble(self.program, self.asked, chosen, out, limits.reshape(-1))

    def solve(self, layout: Layout) -> NDArray[np.float64]:
        """Solve a prepared grid; return the rows, shape (rows, size). Nothing is checked.

        Accuracy: per point, see ``Solution.error``.
        """
        device = self.to_device(layout)
        out = np.empty((self.rows, layout.size))
        for first, last in _pieces(layout.size, self._points):
            out[:, first:last] = self._piece("run", device, (), first, last)
        return out

    def __repr__(self) -> str:
        return f"CudaEvaluator({self.program!r}; {self.precision.name})"

    @property
    def rows(self) -> int:
        """Numbers per point that the device returns."""
        return len(row_names(self.program, self.asked))

    @property
    def _dtype(self) -> Any:
        return np.dtype(self.precision.name)

    @property
    def _points(self) -> int:
        """Points of one piece."""
        return max(1, _BUFFER // (self.rows * int(self._dtype.itemsize)))

    def layout(self, arrays: Sequence[NDArray[np.float64]]) -> tuple[Layout, NDArray[np.bool_]]:
        """Return the grid of broadcast controls, and which points have a zero slope control.

        Raises:
            RangeError: for a value that float32 cannot hold, where that is the precision.

        Accuracy: values are rounded to the precision.
        """
        axes = [_varying(a) for a in arrays]
        at_limit = np.zeros(arrays[0].shape, dtype=bool)
        for j, quantity in enumerate(self.program.inputs):
            if self.precision.name == "float32":
                slope = quantity.name == self.program.slope_control
                _check_float32(quantity.name, axes[j], allow_zero=not slope)
            if quantity.name == self.program.slope_control:
                at_limit = np.broadcast_to(axes[j] == 0, at_limit.shape)
                axes[j] = np.where(axes[j] == 0, LIMIT, axes[j])
        return grid_layout(axes, arrays[0].shape, self._dtype), at_limit.reshape(-1)

    def to_device(self, layout: Layout) -> tuple[Any, ...]:
        """Copy a grid and the constants to the device."""
        cuda = _numba_cuda()
        constants = self.constants.astype(self._dtype)
        host = (layout.inputs, layout.shape, layout.strides, np.append(constants, 0))
        return tuple(cuda.to_device(np.ascontiguousarray(a, dtype=a.dtype)) for a in host)

    def _piece(
        self, kernel: str, device: tuple[Any, ...], more: tuple[Any, ...], first: int, last: int
    ) -> Array:
        """Solve points first, ..., last - 1 and return their rows."""
        size = last - first
        buffer = _numba_cuda().device_array(self.rows * size, dtype=self._dtype)
        launch = getattr(self.kernels, kernel)[launch_shape(size)]
        launch(*device, *more, buffer, first, size)
        return buffer.copy_to_host().reshape(self.rows, size)

    def _best(self, layout: Layout, which: int, length: int) -> tuple[Array, NDArray[np.float64]]:
        """Return the best place of each row along the last axis, and the rows of numbers there."""
        cuda, device = _numba_cuda(), self.to_device(layout)
        count = layout.size // length
        picks, out = np.empty(count, dtype=np.int64), np.empty((self.rows, count))
        for first, last in _pieces(count, self._points):
            places = cuda.device_array(last - first, dtype=np.int64)
            self.kernels.best[_launch_rows(last - first)](
                *device, which, places, first, last - first
            )
            out[:, first:last] = self._piece("pick", device, (places,), first, last)
            picks[first:last] = places.copy_to_host()
        return picks, out


def compile_cuda(
    program: AnyProgram, asked: Asked, precision: Precision = FLOAT64
) -> CudaEvaluator:
    """Compile a program for the graphics processor of this machine.

    Raises:
        UnavailableError: if numba-cuda is not installed, or there is no device or driver.
    """
    require_device()
    source = kernel_text(program, asked, precision)
    return CudaEvaluator(program, asked, precision, source, load(source), constant_values(program))


def kernel_text(program: AnyProgram, asked: Asked, precision: Precision) -> str:
    """Return the generated module of a program, triangular or coupled."""
    if isinstance(program, CoupledProgram):
        return coupled_cuda_source(program, asked, precision)
    return cuda_source(program, asked, precision)


def require_device() -> str:
    """Return the name of the device.

    Raises:
        UnavailableError: if numba-cuda is not installed, or there is no device or driver.
    """
    simulated = importlib.import_module("numba").config.ENABLE_CUDASIM
    if simulated:
        return "simulator"
    remedy = 'pip install "stieltjes[cuda]" on a machine with an NVIDIA GPU, or use target="cpu"'
    if importlib.util.find_spec("numba_cuda") is None:
        raise UnavailableError('target="cuda"', "the package numba-cuda is not installed", remedy)
    cuda = _numba_cuda()
    if not cuda.is_available():
        reason = str(cuda.cuda_error() or "NVIDIA's compiler was not found").strip(" :.\n")
        raise UnavailableError('target="cuda"', f"no usable NVIDIA GPU: {reason}", remedy)
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def grid_layout(axes: Sequence[Array], shape: tuple[int, ...], dtype: Any = np.float64) -> Layout:
    """Lay out the axes of a grid.

    Args:
        axes: one array per control, each with as many axes as ``shape``, of length 1 where it does
            not vary.
        shape: of the grid.
        dtype: of the inputs.

    Example:
        >>> grid = grid_layout([np.array([[1.0], [2.0]]), np.array([[3.0, 4.0, 5.0]])], (2, 3))
        >>> grid.inputs, grid.strides.reshape(3, 2)
        (array([1., 2., 3., 4., 5.]), array([[0, 2],
               [1, 0],
               [0, 1]]))
    """
    begins = np.cumsum([0, *(a.size for a in axes[:-1])])
    rows = [begins]
    for axis in range(len(shape)):
        inner = [math.prod(a.shape[axis + 1 :]) if a.shape[axis] > 1 else 0 for a in axes]
        rows.append(np.array(inner))
    if not shape:
        rows.append(np.zeros(len(axes)))
    return Layout(
        inputs=np.concatenate([a.reshape(-1) for a in axes]).astype(dtype),
        shape=np.array(shape or (1,), dtype=np.int64),
        strides=np.concatenate(rows).astype(np.int64),
        size=math.prod(shape),
    )


def _numba_cuda() -> Any:
    return importlib.import_module("numba.cuda")


def _varying(array: Array) -> Array:
    """Return a broadcast array with length 1 along the axes where it repeats itself."""
    index = tuple(slice(None) if s else slice(0, 1) for s in array.strides)
    return array[index] if array.size else array


def _axis(program: AnyProgram, arrays: Sequence[Array], over: str) -> int:
    """Return the axis along which a control varies."""
    names = [q.name for q in program.inputs]
    if over not in names:
        raise UnknownNameError(
            f"the best over {over!r}", f"the controls are {', '.join(names)}", "use one of them"
        )
    lengths = _varying(arrays[names.index(over)]).shape
    axes = [k for k, n in enumerate(lengths) if n > 1]
    if len(axes) != 1:
        raise ShapeError(
            f"the best over {over}",
            f"it varies along {len(axes)} axes of the grid",
            f"give {over} along one axis, as in {over}[None, :]",
        )
    return axes[0]


def _check_float32(name: str, array: Array, allow_zero: bool) -> None:
    low, high = _FLOAT32_RANGE
    size = np.abs(array)
    bad = ~((size >= low) & (size <= high)) & ~np.isnan(array) & ~(allow_zero & (array == 0))
    if bad.any():
        raise RangeError(
            f"{name} = {array[bad][0]:g} in float32",
            f"outside {low:g} to {high:g}",
            'use precision="float64"',
        )


def _pieces(count: int, most: int) -> list[tuple[int, int]]:
    return [(first, min(first + most, count)) for first in range(0, count, most)]


def launch_shape(size: int) -> tuple[int, int]:
    """Return blocks and threads for a kernel with one point per thread."""
    if importlib.import_module("numba").config.ENABLE_CUDASIM:
        return 2, 4
    return _blocks(-(-size // _THREADS)), _THREADS


def _launch_rows(rows: int) -> tuple[int, int]:
    """Return blocks and threads for a kernel with one row per block."""
    if importlib.import_module("numba").config.ENABLE_CUDASIM:
        return 2, 4
    return _blocks(rows), TEAM


def _blocks(wanted: int) -> int:
    processors = int(_numba_cuda().get_current_device().MULTIPROCESSOR_COUNT)
    return max(_LEAST_BLOCKS, min(wanted, _BLOCKS_PER_PROCESSOR * processors))
