r"""Kernels to machine code: arrays of correlations in, arrays of kernel values out.

Stage: a ``derive.kernels.Kernel`` in, a ``CompiledKernel`` out. Four kinds of generated code:

* a closed form is printed as it stands, and checked against balls at 57 correlations;
  one with functions of two normals is interpolated instead, as below, where that is as accurate
  (an order of magnitude faster);
* a smooth series is summed by Horner's rule in rho^2, even and odd powers apart;
* a series with kinks, and a closed form that loses digits, is interpolated by Chebyshev polynomials
  in theta = arccos rho, where the square-root ends at rho = ±1 are gone;
* what bends too fast for one polynomial, as at extreme variances, gets panels that shrink towards
  rho = ±1.

Each is one scalar function and one loop; straight-line bodies let the compiler use vector units.
"""

import inspect
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from mpmath import mp
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, Float, Function, cse, nan, numbered_symbols, oo, zoo

from derive.balls import enclose
from derive.codegen import ScalarPrinter
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.kernels import Kernel, kernel
from derive.pairs.kernel_series import KernelSeries
from derive.symbols import rho as correlation
from derive.value import Value
from numeric import special
from numeric.cache import load
from numeric.chebyshev import clenshaw_source, interpolate
from numeric.graded import graded, panel_source, tables_source
from numeric.kernel_truth import Truth, cosine

_UNIT = 2.0**-53
_SLACK = 1e-12
_CONSTANTS = ("_NODES", "_WEIGHTS", "_TAU", "_ROOT_HALF", "_DEPTH")
_SPECIAL = ("owens_t", "bivariate_normal", "conditional_normal", "scaled_density")

_HEADER = '''"""Generated from a kernel; do not edit.

{what}
"""

import math

from numba import njit

FLAGS = {{"contract", "nsz", "arcp"}}
SCALAR = dict(cache=True, error_model="numpy", fastmath=FLAGS, nogil=True)
'''


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel as machine code.

    Attributes:
        error: absolute error on -1 <= rho <= 1; what it rests on is in ``basis``.
        basis: "proved" (series by Horner's rule), "checked" (largest deviation from balls at
            57 correlations) or "estimated" (decay of Chebyshev coefficients, checked as well).
        reason: how the kernel was compiled.
        source: the generated file.
    """

    error: float
    basis: str
    reason: str
    source: str
    module: ModuleType

    def __call__(self, rho: ArrayLike) -> NDArray[np.float64]:
        """Return the kernel at correlations of any shape S, as an array of shape S.

        Values up to 1e-12 beyond ±1 are taken as ±1; NaN gives NaN.

        Raises:
            RangeError: if |rho| > 1 + 1e-12; the message names the first offender.

        Accuracy: absolute, see ``error``.
        """
        given = np.asarray(rho, dtype=np.float64)
        points = np.ascontiguousarray(given).reshape(-1)
        if points.size and not _inside(points):
            points = _clipped(given).reshape(-1)
        out = np.empty_like(points)
        self.module.grid(points, out)
        return out.reshape(given.shape)

    def __repr__(self) -> str:
        return f"CompiledKernel({self.reason}; error {self.error:.1e}, {self.basis})"


def _inside(points: NDArray[np.float64]) -> bool:
    return bool(points.max() <= 1.0 and points.min() >= -1.0)


def _clipped(given: NDArray[np.float64]) -> NDArray[np.float64]:
    bad = np.abs(given) > 1 + _SLACK
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"[{', '.join(map(str, index))}]" if index else ""
        raise RangeError(
            f"rho{where} = {given[index]:.17g}", "outside [-1, 1]", "give correlations"
        )
    return np.clip(given, -1.0, 1.0)


def compile_kernel(activation: Any, accuracy: float = 1e-13, **law: Any) -> CompiledKernel:
    """Compile the kernel of an activation, or a ``Kernel``.

    Args:
        activation: an ``Activation``, an expression in z, or a ``Kernel``.
        accuracy: error asked for, in units of the largest value of the kernel.
        **law: ``other``, ``variances`` and ``means`` of ``derive.kernels.kernel``.

    Raises:
        NotSupportedError: if a parameter of the kernel has no value.
        NotConvergedError: if the accuracy is not reached; the message says what is.

    Accuracy: see ``CompiledKernel.error``.

    Example:
        >>> from sympy import Max, tanh
        >>> from derive.symbols import z
        >>> relu = compile_kernel(Max(z, 0))
        >>> relu([[1.0, 0.5], [0.0, -1.0]]).round(6).tolist()
        [[0.5, 0.304499], [0.159155, 0.0]]
        >>> compile_kernel(tanh(z)).basis
        'proved'
    """
    chosen = activation if isinstance(activation, Kernel) else kernel(activation, **law)
    return _compile(chosen, accuracy)


@lru_cache(maxsize=128)
def _compile(chosen: Kernel, accuracy: float) -> CompiledKernel:
    value = chosen.to_accuracy(accuracy / 4)
    if isinstance(value, KernelSeries):
        if value.accuracy > Fraction(accuracy):
            raise NotConvergedError(f"a kernel to {accuracy:.0e}", value.reason, "lower accuracy")
        return _horner(value) if value.kinks == ((), ()) else _chebyshev(value, accuracy)
    foreign = value.expr.free_symbols - {correlation}
    if foreign:
        names = ", ".join(sorted(map(str, foreign)))
        raise NotSupportedError("a compiled kernel", f"{names} has no value", "substitute it")
    routes = [_chebyshev, _printed] if _special(value.expr) else [_printed, _chebyshev]
    for route in routes:
        try:
            return route(value, accuracy)
        except NotConvergedError:
            continue
    return _panels(value, accuracy)


def _special(expr: Expr) -> bool:
    """Return whether functions of two normals occur."""
    return any(type(f).__name__ in _SPECIAL for f in expr.atoms(Function))


def _horner(series: KernelSeries) -> CompiledKernel:
    """Sum even and odd powers by Horner's rule in rho^2.

    The rounding of the term of power k is at most (3 k/2 + 4) units: two per step of Horner's rule,
    and one per factor rho^2.
    """
    numbers = [float(c) for c in series.coefficients]
    rounding = _UNIT * sum((1.5 * k + 5) * abs(c) for k, c in enumerate(numbers))
    body = ["    x = rho * rho"]
    parts = []
    for start, name in ((0, "even"), (1, "odd")):
        steps = numbers[start::2]
        if any(steps):
            while steps[-1] == 0:
                steps.pop()
            body.append(f"    {name} = {steps[-1]!r}")
            body += [f"    {name} = {name} * x + {c!r}" for c in steps[-2::-1]]
            parts.append(name if start == 0 else f"rho * {name}")
    body.append(f"    return {' + '.join(parts)}")
    reason = f"series of order {series.order} by Horner's rule"
    return _loaded(reason, body, series.error + rounding, "proved")


def _printed(value: Value, accuracy: float) -> CompiledKernel:
    """Print the closed form, unless it loses digits somewhere."""
    printer = _KernelPrinter({correlation: "rho"})
    folded = _fold(value.expr)
    if folded.has(nan, oo, -oo, zoo):
        raise NotConvergedError("a printed kernel", "a constant exceeds doubles", "interpolate")
    try:
        lines, (result,) = cse([folded], symbols=numbered_symbols("w"), order="canonical")
        body = []
        for symbol, part in lines:
            printer.names[symbol] = symbol.name
            body.append(f"    {symbol.name} = {printer._print(part)}")
        body.append(f"    return {printer._print(result)}")
    except NotSupportedError as missing:
        raise NotConvergedError("a printed kernel", str(missing), "interpolate") from missing
    found = _loaded("closed form", body, 0.0, "checked", value.expr)
    error, scale = _deviation(found, value)
    return _accepted(found, error, accuracy, scale)


def _accepted(found: CompiledKernel, error: float, accuracy: float, scale: float) -> CompiledKernel:
    """Return the kernel with its error, if that is as small as was asked for."""
    if not error <= accuracy * scale:
        raise NotConvergedError(
            f"a kernel to {accuracy:.0e}",
            f"{found.reason} leaves {error:.1e} of {scale:.1e}",
            "lower the accuracy, or evaluate it point by point with Kernel.at",
        )
    return CompiledKernel(error, found.basis, found.reason, found.source, found.module)


class _KernelPrinter(ScalarPrinter):
    """Scalar code with the functions of two correlated normals."""

    def _print_Function(self, expr: Any) -> str:
        name = type(expr).__name__
        if name in _SPECIAL:
            return f"{name}({', '.join(self._print(a) for a in expr.args)})"
        return super()._print_Function(expr)

    def _print_Float(self, expr: Any) -> str:
        return repr(float(expr))


def _fold(expr: Any) -> Any:
    """Replace constants that are no fractions by the nearest doubles."""
    if expr.is_Rational or expr.is_Symbol:
        return expr
    if not expr.free_symbols:
        return Float(float(enclose(expr, 20)), 17)
    if expr.is_Add or expr.is_Mul:
        constant, rest = expr.as_independent(correlation, as_Add=expr.is_Add)
        parts = [_fold(a) for a in expr.func.make_args(rest)]
        if constant != expr.func.identity:
            parts.insert(0, _fold(constant))
        return expr.func(*parts)
    if expr.is_Pow:
        return expr.func(_fold(expr.base), expr.exp)
    return expr.func(*(_fold(a) for a in expr.args))


def _chebyshev(value: Value | KernelSeries, accuracy: float) -> CompiledKernel:
    """Interpolate in x = 2 arccos(rho)/pi - 1."""
    truth = _truth(value)
    table = interpolate(
        lambda x: truth(cosine(lambda: mp.pi * (mp.mpf(x) + 1) / 2)), accuracy * truth.scale / 4
    )
    first = ["    x = math.acos(rho) * 0.6366197723675814 - 1.0"]
    body = [*clenshaw_source(table.coefficients, "x", "    "), "    return value"]
    reason = f"Chebyshev polynomials of degree {len(table.coefficients) - 1} in arccos rho"
    found = _loaded(reason, body, 0.0, "estimated", first=first)
    return _checked(found, value, table.error, accuracy)


def _panels(value: Value | KernelSeries, accuracy: float) -> CompiledKernel:
    """Interpolate in arccos |rho| on panels that shrink towards rho = ±1."""
    truth = _truth(value)
    table = graded(
        lambda side, angle: truth(side * cosine(lambda: mp.mpf(angle))), accuracy * truth.scale / 4
    )
    reason = f"Chebyshev polynomials on {len(table.ends)} panels in arccos |rho|"
    found = _loaded(reason, panel_source(), 0.0, "estimated", tables=tables_source(table))
    return _checked(found, value, table.error, accuracy)


def _checked(
    found: CompiledKernel, value: Value | KernelSeries, estimate: float, accuracy: float
) -> CompiledKernel:
    """Return an interpolated kernel with an error that holds what the check measured."""
    measured, _ = _deviation(found, value)
    series_error = value.error if isinstance(value, KernelSeries) else 0.0
    error = max(estimate, 2 * measured) + series_error
    return _accepted(found, error, accuracy, _truth(value).scale)


@lru_cache(maxsize=32)
def _truth(value: Value | KernelSeries) -> Truth:
    return Truth(value)


def _sample() -> list[float]:
    """Return 57 correlations: even in the angle, and clustered at 0 and ±1."""
    near = [10.0**-k for k in (1.5, 2.2, 3, 3.7, 4.4, 5, 5.5, 6, 6.6, 7.3, 8, 9, 10, 11, 13, 15)]
    points = [math.cos(0.11 + 0.17 * k) for k in range(18)]
    points += (
        [1 - x for x in near] + [x - 1 for x in near] + [0.0, 1.0, -1.0, 1e-3, -1e-8, 0.5, -0.5]
    )
    return points


def _deviation(found: CompiledKernel, value: Value | KernelSeries) -> tuple[float, float]:
    """Return the largest deviation from the balls at sampled correlations, and the largest value.

    A value that is not finite deviates infinitely.
    """
    truth = _truth(value)
    points = _sample()
    exact = np.array([truth(Fraction(point)) for point in points])
    gaps = np.abs(found(points) - exact)
    worst = float(gaps.max()) if np.isfinite(gaps).all() else math.inf
    scale = max(truth.scale, float(np.abs(exact).max()))
    return worst + _UNIT * scale, scale


def _loaded(
    reason: str,
    body: list[str],
    error: float,
    basis: str,
    expr: Expr | None = None,
    first: list[str] | None = None,
    tables: list[str] | None = None,
) -> CompiledKernel:
    """Write and import the file: a scalar function, and a loop that holds the same lines.

    Lines of ``first`` end in ``x = ...`` and get a loop of their own: library calls would keep the
    rest out of the vector units.
    """
    parts = [_HEADER.format(what=reason)]
    if expr is not None and _special(expr):
        parts += [f"{name} = {getattr(special, name)!r}" for name in _CONSTANTS]
        parts += [f"\n\n@njit(**SCALAR)\n{inspect.getsource(f)}" for f in special.FUNCTIONS]
    parts += ["import numpy as np\n", *tables] if tables else []
    scalar = [*(first or []), *body]
    parts.append("\n\n@njit(**SCALAR)\ndef scalar(rho):\n" + "\n".join(scalar))
    loop = "    for i in range(points.size):"
    lines = ["\n\n@njit(**SCALAR)\ndef grid(points, out):", loop]
    if first:
        lines += ["        rho = points[i]", *(f"    {line}" for line in first)]
        lines += ["        out[i] = x", loop, "        x = out[i]"]
    else:
        lines.append("        rho = points[i]")
    lines += [f"    {line}" for line in body[:-1]]
    lines.append("        out[i] = " + body[-1].removeprefix("    return "))
    source = "\n".join([*parts, *lines]) + "\n"
    return CompiledKernel(error, basis, reason, source, load(source))
