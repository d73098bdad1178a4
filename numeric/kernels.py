r"""Kernels to machine code: arrays of correlations in, arrays of kernel values out.

Stage: a ``derive.kernels.Kernel`` in, a ``CompiledKernel`` out. Kinds of generated code:

* a closed form of elementary functions is printed as it stands, where that keeps its digits;
* a smooth series is summed by Horner's rule in rho^2, even and odd powers apart;
* everything else (closed forms that lose digits, functions of two normals, series with kinks)
  becomes a table of short polynomials in sqrt(1 - |rho|), as ``numeric.graded`` describes;
* where no series can be certified in time, as for tanh at variances far above one, the values of
  the table come from ``numeric.kernel_quadrature``, with an estimate of their error.

Printed forms and tables are checked against balls at sampled correlations, relative to each value.
Each kind is one scalar function and one loop of straight-line code, so that the compiler uses
vector units.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, Float, Function, cse, nan, numbered_symbols, oo, zoo

from derive.balls import enclose
from derive.codegen import ScalarPrinter
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.kernels import Kernel, kernel
from derive.pairs.kernel_series import KernelSeries, kernel_series
from derive.symbols import rho as correlation
from derive.value import Value
from numeric.cache import load
from numeric.device_code import DeviceFunction, device_kernel
from numeric.elementary import NAMES, elementary_source
from numeric.graded import Graded, graded, panel_source, tables, tables_source
from numeric.kernel_quadrature import PairQuadrature
from numeric.kernel_truth import Truth

_UNIT = 2.0**-53
_SLACK = 1e-12
_RELATIVE = 1e-13
_NOTHING = 1e-290
_DEPTH = 1e-100
_SHORT = 96
_LONGEST = 4000
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
class Check:
    """How generated code deviates from balls at sampled correlations.

    Attributes:
        absolute: largest deviation.
        relative: largest deviation in units of the value; where the kernel changes sign, in units
            of the neighbouring values, and below 1e-100 of the scale, in units of that.
        crossing: largest deviation where the kernel changes sign; 0 if it does not.
        scale: largest absolute value of the kernel.
    """

    absolute: float = math.inf
    relative: float = math.inf
    crossing: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel as machine code.

    Attributes:
        error: absolute error on -1 <= rho <= 1; what it rests on is in ``basis``.
        basis: "proved" (series by Horner's rule), "checked" (largest deviation from balls at
            sampled correlations) or "estimated" (decay of Chebyshev coefficients, checked as well).
        reason: how the kernel was compiled.
        source: the generated file.
        check: deviations from balls, absolute and relative to each value; of a series, from its
            truncated sum.
        lines: of the scalar function of ``rho``.
        table: the polynomials, if it is a table.
    """

    error: float
    basis: str
    reason: str
    source: str
    module: ModuleType
    check: Check = Check()
    lines: tuple[str, ...] = field(default=(), repr=False)
    table: Graded | None = field(default=None, repr=False, compare=False)

    @property
    def relative(self) -> float:
        """Largest relative error met in the check; see ``Check.relative``.

        Accuracy: a maximum over sampled correlations, not a bound.
        """
        return self.check.relative

    def __call__(self, rho: ArrayLike) -> NDArray[np.float64]:
        """Return the kernel at correlations of any shape S, as an array of shape S.

        Values up to 1e-12 beyond ±1 are taken as ±1; NaN gives NaN.

        Raises:
            RangeError: if |rho| > 1 + 1e-12; the message names the first offender.

        Accuracy: absolute, see ``error``.
        """
        given = _numbers(rho)
        points = np.ascontiguousarray(given).reshape(-1)
        if points.size and not _inside(points):
            points = _clipped(given).reshape(-1)
        out = np.empty_like(points)
        self.module.grid(points, out)
        return out.reshape(given.shape)

    def error_at(self, rho: ArrayLike) -> NDArray[np.float64]:
        """Return an estimate of the absolute error of each value, in the shape of rho.

        Twice the relative error that the check met, times the value; where the kernel changes sign
        or its table was not resolved, what is known there. Never more than ``error``.

        Accuracy: an estimate, proved only where ``basis`` says so and it equals ``error``.
        """
        given = _numbers(rho)
        if self.basis == "proved":
            return np.full(given.shape, self.error)
        found = 2 * self.relative * np.abs(self(given)) + 2 * self.check.crossing
        if self.table is not None:
            panels = [self.table.panel(float(r)).error for r in np.clip(given.ravel(), -1, 1)]
            found = np.maximum(found, np.reshape(panels, given.shape) * (not self.table.resolved))
        return np.minimum(found, self.error)

    def on_device(self, precision: str = "float64") -> DeviceFunction:
        """Return the same kernel on the graphics processor of this machine.

        Args:
            precision: "float64" or "float32".

        Raises:
            UnavailableError: if numba-cuda is not installed, or there is no device or driver.
        """
        arrays = () if self.table is None else tables(self.table)
        return device_kernel(self.lines, arrays, precision)

    def __repr__(self) -> str:
        return f"CompiledKernel({self.reason}; error {self.error:.1e}, {self.basis})"


def _numbers(rho: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(rho, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RangeError(
            f"a kernel at rho = {rho!r}", "not real numbers", "give numbers from -1 to 1"
        ) from error


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
    value = _form(chosen, accuracy)
    if value is None:
        return _by_quadrature(chosen, accuracy)
    if isinstance(value, KernelSeries):
        return _horner(value, accuracy) if value.kinks == ((), ()) else _tabled(value, accuracy)
    foreign = value.expr.free_symbols - {correlation}
    if foreign:
        names = ", ".join(sorted(map(str, foreign)))
        raise NotSupportedError("a compiled kernel", f"{names} has no value", "substitute it")
    if not _special(value.expr):
        try:
            return _printed(value, accuracy)
        except NotConvergedError:
            pass
    return _tabled(value, accuracy)


def _form(chosen: Kernel, accuracy: float) -> Value | KernelSeries | None:
    """Return the closed form, or a certified series; None where quadrature has to do."""
    try:
        if _hopeless(chosen, accuracy / 4):
            return None
        value = chosen.to_accuracy(accuracy / 4)
    except NotConvergedError:
        if chosen.slopes:
            raise
        return None
    if not isinstance(value, KernelSeries) or value.accuracy <= Fraction(accuracy):
        return value
    if chosen.slopes:
        raise NotConvergedError(f"a kernel to {accuracy:.0e}", value.reason, "lower accuracy")
    return None


def _hopeless(chosen: Kernel, accuracy: float) -> bool:
    """Return whether a short series says that the certified one would need too many terms.

    Errors fall about like exp(-b sqrt(n)).
    """
    if chosen.slopes or chosen.closed is not None:
        return False
    short = kernel_series(
        chosen.s,
        None
        if chosen.s == chosen.t and len({*chosen.means}) + len({*chosen.variances}) == 2
        else chosen.t,
        variances=chosen.variances,
        means=chosen.means,
        accuracy=accuracy,
        limit=_SHORT,
        variable=chosen.variable,
    )
    if short.accuracy <= Fraction(accuracy):
        return False
    ratio = math.log(accuracy) / min(math.log(short.accuracy), -1e-3)
    return _SHORT * ratio**2 > _LONGEST


def _special(expr: Expr) -> bool:
    """Return whether functions of two normals occur, which a table is faster than."""
    return any(type(f).__name__ in _SPECIAL for f in expr.atoms(Function))


def _horner(series: KernelSeries, accuracy: float) -> CompiledKernel:
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
    found = _loaded(reason, body, series.error + rounding, "proved")
    return _accepted(found, found.error, accuracy, _check(found, series))


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
    found = _loaded("closed form", body, 0.0, "checked")
    check = _check(found, value)
    if not check.relative <= _RELATIVE:
        raise NotConvergedError(
            "a printed kernel", f"relative errors up to {check.relative:.1e}", "tabulate it"
        )
    return _accepted(found, check.absolute, accuracy, check)


def _accepted(found: CompiledKernel, error: float, accuracy: float, check: Check) -> CompiledKernel:
    """Return the kernel with its error, if that is as small as was asked for."""
    if not error <= accuracy * check.scale:
        raise NotConvergedError(
            f"a kernel to {accuracy:.0e}",
            f"{found.reason} leaves {error:.1e} of {check.scale:.1e}",
            "lower the accuracy, or evaluate it point by point with Kernel.at",
        )
    return replace(found, error=error, check=check)


class _KernelPrinter(ScalarPrinter):
    """Scalar code with constants that are already doubles."""

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


def _tabled(value: Value | KernelSeries, accuracy: float) -> CompiledKernel:
    """Interpolate on panels that are as narrow as the kernel asks for."""
    truth = _truth(value)
    table = graded(truth.exact, _DEPTH * truth.scale)
    reason = f"table of {len(table.panels)} polynomials in sqrt(1 - |rho|)"
    lines = tables_source(table)
    found = _loaded(reason, panel_source(table), 0.0, "estimated", data=lines)
    check = _check(found, value)
    series_error = value.error if isinstance(value, KernelSeries) else 0.0
    error = max(table.error, 2 * check.absolute) + series_error
    return replace(_accepted(found, error, accuracy, check), table=table)


def _by_quadrature(chosen: Kernel, accuracy: float) -> CompiledKernel:
    """Interpolate values of a quadrature, where no series can be certified in time."""
    values = PairQuadrature(chosen)
    table = graded(lambda rho: Fraction(values(rho)), noise=values.error)
    reason = f"table of {len(table.panels)} polynomials in sqrt(1 - |rho|), by quadrature"
    found = _loaded(reason, panel_source(table), 0.0, "estimated", data=tables_source(table))
    check = _compared(found, values, values.scale)
    error = max(table.error, 2 * check.absolute) + values.error
    check = replace(check, crossing=error)
    return replace(_accepted(found, error, accuracy, check), table=table)


@lru_cache(maxsize=32)
def _truth(value: Value | KernelSeries) -> Truth:
    return Truth(value)


def _sample() -> list[float]:
    """Return correlations even in the angle, and clustered at 0 and ±1, in increasing order."""
    near = [10.0**-k for k in (1.5, 2.2, 3, 3.7, 4.4, 5, 5.5, 6, 6.6, 7.3, 8, 9, 10, 11, 13, 15)]
    points = [math.cos(0.11 + 0.17 * k) for k in range(18)]
    points += [1 - x for x in near] + [x - 1 for x in near]
    points += [0.0, 1.0, -1.0, 1e-3, -1e-3, 1e-5, -1e-8, 0.5, -0.5]
    return sorted(points)


def _check(found: CompiledKernel, value: Value | KernelSeries) -> Check:
    """Compare with balls; a value that is not finite deviates infinitely."""
    truth = _truth(value)
    return _compared(found, truth, truth.scale)


def _compared(found: CompiledKernel, truth: Callable[[Fraction], float], scale: float) -> Check:
    points = _sample()
    exact = np.array([truth(Fraction(point)) for point in points])
    values = found(points)
    if not np.isfinite(values).all():
        return Check()
    gaps = np.abs(values - exact)
    size = np.abs(exact)
    padded = np.pad(exact, 1, mode="edge")
    crosses = (exact == 0) | (padded[:-2] * exact < 0) | (exact * padded[2:] < 0)
    around = np.maximum(np.abs(padded[:-2]), np.abs(padded[2:]))
    scale = max(scale, float(size.max()))
    floor = max(_NOTHING, _DEPTH * scale)
    local = np.maximum(np.where(crosses, np.maximum(size, around), size), floor)
    worst = float(gaps.max()) + _UNIT * scale
    crossing = float(gaps[crosses].max(initial=0.0))
    return Check(worst, float((gaps / local).max()) + _UNIT, crossing, scale)


def _loaded(
    reason: str,
    body: list[str],
    error: float,
    basis: str,
    data: list[str] | None = None,
) -> CompiledKernel:
    """Write and import the file: a scalar function, and a loop that holds the same lines."""
    fast = _in_lanes(body)
    called = [name for name in NAMES if any(f"v{name}(" in line for line in fast)]
    parts = [elementary_source(called)] if called else []
    parts.append(_HEADER.format(what=reason))
    parts += ["import numpy as np\n", *data] if data else []
    parts.append("\n\n@njit(**SCALAR)\ndef scalar(rho):\n" + "\n".join(fast))
    lines = ["\n\n@njit(**SCALAR)\ndef grid(points, out):", "    for i in range(points.size):"]
    lines.append("        rho = points[i]")
    lines += [f"    {line}" for line in fast[:-1]]
    lines.append("        out[i] = " + fast[-1].removeprefix("    return "))
    source = "\n".join([*parts, *lines]) + "\n"
    return CompiledKernel(error, basis, reason, source, load(source), lines=tuple(body))


def _in_lanes(body: list[str]) -> list[str]:
    """Call the elementary functions that fill vector units instead of the library's."""
    names = "|".join(NAMES)
    return [re.sub(rf"\bmath\.({names})\(", r"v\1(", line) for line in body]
