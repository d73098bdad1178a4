"""Scalar functions of arrays on NVIDIA devices: kernels and special functions, one thread per item.

Stage: beside ``cuda``, which solves Programs; here is what needs no solving. The text is the one
that the processor compiles (``numeric.special``, the generated file of a ``CompiledKernel``), with
another decorator and, for float32, with every constant typed: one plain ``1.0`` would make a device
compute in float64.
"""

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.errors import ShapeError, UnavailableError, UnknownNameError
from numeric import special
from numeric.cache import load
from numeric.cuda import launch_shape, require_device
from numeric.precision import Precision, precision_named
from numeric.ptx import REMEDY, Capability, _executed, _pretended

SPECIAL = {"normal_cdf": 1, "owens_t": 2} | dict.fromkeys(
    ("bivariate_normal", "conditional_normal", "scaled_density"), 3
)
"""The special functions of a device, with their numbers of arguments."""
ELEMENTARY = {
    name: f"math.{name}(a)" for name in ("exp", "tanh", "erf", "erfc", "acos", "log1p")
} | {"softplus": "max(a, 0.0) + math.log1p(math.exp(-abs(a)))"}
"""Functions of one argument that a device has in hardware or in its own library."""
_TABLES = ("_NODES", "_WEIGHTS")
_NUMBERS = ("_TAU", "_ROOT_HALF", "_DEPTH")
_DEVICE = "@cuda.jit(device=True)"

_HEAD = '''"""Generated for CUDA, {precision}; do not edit."""

import math

import numpy as np
from numba import cuda

f4 = np.float32
'''

_RUN = """

@cuda.jit(cache=True)
def run_{name}({arguments}, out):
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = {call}
"""


class _Typed(ast.NodeTransformer):
    """Wrap every float, and the constants of ``math``, in ``f4``."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return _call(node) if isinstance(node.value, float) else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        named = isinstance(node.value, ast.Name) and node.value.id == "math"
        return _call(node) if named and node.attr in ("pi", "e", "inf") else node


def _call(node: ast.expr) -> ast.Call:
    return ast.Call(ast.Name("f4", ast.Load()), [node], [])


def typed(source: str, precision: Precision) -> str:
    """Return source with its constants in a precision; float64 source stays as it is.

    Example:
        >>> print(typed("y = 2.0 * x + math.pi * k[1]", precision_named("float32")))
        y = f4(2.0) * x + f4(math.pi) * k[1]
    """
    if precision.name == "float64":
        return source
    tree = ast.fix_missing_locations(_Typed().visit(ast.parse(source)))
    return ast.unparse(tree)


@lru_cache(maxsize=8)
def special_source(precision: Precision) -> str:
    """Return the module of all special functions: device functions, and a kernel for each."""
    real = "np.float64" if precision.name == "float64" else "f4"
    parts = [_HEAD.format(precision=precision.name)]
    for name in _TABLES:
        numbers = ", ".join(f"{real}({x!r})" for x in getattr(special, name))
        parts.append(f"{name} = ({numbers},)")
    parts += [f"{name} = {real}({getattr(special, name)!r})" for name in _NUMBERS]
    for function in special.FUNCTIONS:
        parts.append(f"\n\n{_DEVICE}\n{typed(_bare(function), precision)}")
    for name, count in SPECIAL.items():
        parts.append(_run(name, count, precision))
    for name, text in ELEMENTARY.items():
        body = typed(f"def {name}(a):\n    return {text}", precision)
        parts.append(f"\n\n{_DEVICE}\n{body}\n" + _run(name, 1, precision))
    return "\n".join(parts)


def _bare(function: Callable[..., Any]) -> str:
    """Return the source of a function without its docstring and annotations."""
    tree = ast.parse(inspect.getsource(function))
    (definition,) = (n for n in tree.body if isinstance(n, ast.FunctionDef))
    if ast.get_docstring(definition) is not None:
        del definition.body[0]
    definition.returns = None
    for argument in definition.args.args:
        argument.annotation = None
    return ast.unparse(definition)


def _run(name: str, count: int, precision: Precision) -> str:
    names = "abc"[:count]
    call = f"{name}({', '.join(f'{x}[i]' for x in names)})"
    return _RUN.format(name=name, arguments=", ".join(names), call=call)


def kernel_source(lines: Sequence[str], tabled: bool, precision: Precision) -> str:
    """Return the module of one kernel from the lines of its scalar function of ``rho``."""
    extra = ", CELLS, TABLE" if tabled else ""
    body = typed("\n".join([f"def value(rho{extra}):", *lines]), precision)
    text = _RUN.format(name="kernel", arguments=f"rho{extra}", call=f"value(rho[i]{extra})")
    return "\n".join([_HEAD.format(precision=precision.name), f"\n{_DEVICE}", body, text])


@dataclass(frozen=True)
class DeviceFunction:
    """A function of arrays on a device; call it with arrays that broadcast.

    Attributes:
        name: of the function.
        count: number of its arguments.
        precision: of all numbers on the device.
        source: the generated module.
        module: the module, imported.
        tables: arrays that every call sends along.
    """

    name: str
    count: int
    precision: Precision
    source: str
    module: ModuleType
    tables: tuple[NDArray[Any], ...] = ()

    def __call__(self, *arguments: ArrayLike) -> NDArray[Any]:
        """Return the values, in the precision of the function and the broadcast shape.

        Raises:
            ShapeError: on a wrong number of arguments, or shapes that do not broadcast.

        Accuracy: float64 as on the processor; float32 relative 1e-6 of the largest terms.
        """
        if len(arguments) != self.count:
            raise ShapeError(
                f"{self.name} of {len(arguments)} arrays", f"it takes {self.count}", "give those"
            )
        try:
            given = np.broadcast_arrays(*(np.asarray(x, self.precision.name) for x in arguments))
        except ValueError as error:
            raise ShapeError(f"{self.name} of arrays", str(error), "give equal shapes") from error
        cuda = importlib.import_module("numba.cuda")
        flat = [cuda.to_device(np.ascontiguousarray(x).reshape(-1)) for x in given]
        size = given[0].size
        out = cuda.device_array(size, dtype=self.precision.name)
        if size:
            tables = [cuda.to_device(x) for x in self.tables]
            launch = getattr(self.module, f"run_{self.name}")[launch_shape(size)]
            launch(*flat, *tables, out)
        return np.asarray(out.copy_to_host()).reshape(given[0].shape)


def device_special(name: str, precision: str = "float64") -> DeviceFunction:
    """Return a special function on the graphics processor of this machine.

    Args:
        name: one of ``SPECIAL`` or ``ELEMENTARY``.
        precision: "float64" or "float32".

    Raises:
        UnavailableError: if numba-cuda is not installed, or there is no device or driver.
        UnknownNameError: for a function or a precision that does not exist.
    """
    counts = SPECIAL | dict.fromkeys(ELEMENTARY, 1)
    if name not in counts:
        raise UnknownNameError(
            f"{name} on a device", f"there are {', '.join(counts)}", "use one of them"
        )
    chosen = precision_named(precision)
    require_device()
    source = special_source(chosen)
    return DeviceFunction(name, counts[name], chosen, source, load(source))


def device_kernel(
    lines: Sequence[str], tables: tuple[NDArray[Any], ...], precision: str = "float64"
) -> DeviceFunction:
    """Return a kernel on the graphics processor of this machine.

    Args:
        lines: of its scalar function of ``rho``.
        tables: ``CELLS`` and ``TABLE``, if it is a table.
        precision: "float64" or "float32".

    Raises:
        UnavailableError: if numba-cuda is not installed, or there is no device or driver.
    """
    chosen = precision_named(precision)
    require_device()
    source = kernel_source(lines, bool(tables), chosen)
    arrays = tuple(x.astype(chosen.name) if x.dtype.kind == "f" else x for x in tables)
    return DeviceFunction("kernel", 1, chosen, source, load(source), arrays)


def function_ptx(
    source: str,
    name: str,
    count: int,
    precision: Precision,
    *,
    tabled: bool = False,
    capabilities: Sequence[Capability] = ((8, 0), (9, 0)),
) -> dict[Capability, str]:
    """Compile ``run_NAME`` of a generated module to PTX; needs no device.

    Raises:
        UnavailableError: if numba-cuda or NVIDIA's compiler is not installed.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        raise UnavailableError(
            "PTX", "the package numba-cuda is not installed", f"{REMEDY}; no GPU is needed"
        )
    types = importlib.import_module("numba").types
    real = getattr(types, precision.name)
    given = (real[::1],) * count + ((types.int32[::1], real[::1]) if tabled else ())
    cuda = importlib.import_module("numba.cuda")
    function = getattr(_executed(source), f"run_{name}").py_func
    found = {}
    for cc in capabilities:
        with _pretended(cc):
            found[cc] = str(cuda.compile_ptx(function, (*given, real[::1]), cc=cc)[0])
    return found
