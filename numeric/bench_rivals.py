"""What people use instead: the rivals of the benchmark, each in a few honest lines.

Stage: below ``bench``. A rival takes inputs of shape (controls, N) of a workload and returns the
unknowns, shape (unknowns, N), with its own count of steps. All solve the same equations to about
twelve digits.
"""

import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from sympy import lambdify

from derive.block import Block
from derive.codegen import BlockPrinter, ScalarPrinter, function, rename
from derive.program import Program
from derive.system import System

Array = NDArray[np.float64]
Solve = Callable[[Array], tuple[Array, float]]
RTOL = 1e-12
MOST_SWEEPS = 200_000


@dataclass(frozen=True)
class Workload:
    """Deep random features with every constant a control, so that all points differ.

    Attributes:
        depth: number of hidden layers.
        system: the equations.
        program: the same, frozen.
        inputs: values of the controls, shape (controls, N).
    """

    depth: int
    system: System
    program: Program
    inputs: Array

    def control(self, name: str, inputs: Array) -> Array:
        """Return the row of a control.

        Accuracy: the input itself, unchanged.
        """
        row = [q.name for q in self.program.inputs].index(name)
        return np.asarray(inputs[row])

    def levels(self, inputs: Array) -> tuple[list[Array], list[Array], list[Array]]:
        """Return a, b and the widths (1, gamma_1, ..., gamma_L)."""
        depth = range(1, self.depth + 1)
        a = [self.control(f"a_{i}", inputs) for i in depth]
        b = [self.control(f"b_{i}", inputs) for i in depth]
        widths = [np.ones(inputs.shape[1]), *(self.control(f"gamma_{i}", inputs) for i in depth)]
        return a, b, widths

    def df(self, inputs: Array, x: Any) -> list[Array]:
        """Return the degrees of freedom of each level."""
        a, b, widths = self.levels(inputs)
        out = [1 / (1 + x[0])]
        for i in range(self.depth):
            out.append(out[-1] + b[i] * widths[i] / (a[i] * x[i]))
        return out

    def residual(self, inputs: Array, x: Array) -> Array:
        """Return the largest residual of each point, relative to the terms of its equation.

        Accuracy: rounding.
        """
        a, b, widths = self.levels(inputs)
        alpha, lam = self.control("alpha", inputs), self.control("lam", inputs)
        df = self.df(inputs, x)
        left = x[-1] * (alpha - df[-1]) / widths[-1]
        worst = np.abs(left - lam) / (x[-1] * (alpha + df[-1]) / widths[-1] + lam)
        for i in range(self.depth):
            term = a[i] * x[i] * (widths[i + 1] - df[i]) / widths[i]
            scale = a[i] * x[i] * (widths[i + 1] + df[i]) / widths[i] + b[i] + x[i + 1]
            worst = np.maximum(worst, np.abs(term - b[i] - x[i + 1]) / scale)
        return np.asarray(np.where(np.all(x > 0, axis=0), worst, np.inf))


def fixed_point(work: Workload) -> Solve:
    """Damped fixed-point sweeps over all points in NumPy until the slowest stops."""

    def solve(inputs: Array) -> tuple[Array, float]:
        a, b, widths = work.levels(inputs)
        alpha, lam = work.control("alpha", inputs), work.control("lam", inputs)
        x = np.ones((work.depth + 1, inputs.shape[1])) * (1 + lam)
        sweeps, change = 0, np.inf
        while change > RTOL and sweeps < MOST_SWEEPS:
            sweeps += 1
            df = work.df(inputs, x)
            new = np.empty_like(x)
            new[-1] = (lam * widths[-1] + x[-1] * df[-1]) / alpha
            for i in range(work.depth):
                target = (x[i + 1] + b[i]) * widths[i] / a[i]
                new[i] = (target + x[i] * df[i]) / widths[i + 1]
            change = float(np.max(np.abs(new - x) / x))
            x = 0.5 * (x + new)
        return x, float(sweeps)

    return solve


def scipy_root(work: Workload) -> Solve:
    """scipy.optimize.root (hybr) point by point, with exact Jacobian and our start."""
    controls, unknowns = work.program.inputs, work.system.unknowns
    residuals = [work.system.unfolded(e.residual) for e in work.system.equations]
    args = [unknowns, controls]
    value = lambdify(args, residuals, modules="math", cse=True)
    rows = [[r.diff(u) for u in unknowns] for r in residuals]
    slope = lambdify(args, rows, modules="math", cse=True)
    root: Any = optimize.root
    start = scalar_start(work)

    def solve(inputs: Array) -> tuple[Array, float]:
        out, calls = np.full((len(unknowns), inputs.shape[1]), np.nan), 0
        for i in range(inputs.shape[1]):
            c = inputs[:, i]
            found = root(value, start(c), args=(c,), jac=slope, tol=RTOL)
            out[:, i], calls = found.x, calls + found.nfev
        return out, calls / inputs.shape[1]

    return solve


def scalar_start(work: Workload) -> Callable[[Array], list[float]]:
    """Return where our solver starts, as a function of one point's controls."""
    printer = ScalarPrinter(rename(work.program))
    space: dict[str, Any] = {"math": math, "UNIT": 2.0**-53}
    for name in ("start", "tower"):
        exec(function(name, work.program.blocks()[name], printer), space)  # our own printed code

    def start(c: Array) -> list[float]:
        x0 = space["start"](*c)[0] * (1 + 1e-9)
        return [x0, *(max(v, 1e-12) for v in space["tower"](*c, x0)[: work.depth])]

    return start


class _JaxPrinter(BlockPrinter):
    """Blocks over ``jax.numpy``."""

    module = "jnp"

    def number(self, numerator: int, denominator: int) -> str:
        return repr(numerator / denominator)

    def _print_Piecewise(self, expr: Any) -> str:
        *pieces, (last, _) = expr.args
        text = self._print(last)
        for value, test in reversed(pieces):
            text = f"jnp.where({self._print(test)}, {self._print(value)}, {text})"
        return str(text)

    def _print_Min(self, expr: Any) -> str:
        return self._fold("jnp.minimum", expr)

    def _print_Max(self, expr: Any) -> str:
        return self._fold("jnp.maximum", expr)


def has_jax() -> bool:
    """Return whether JAX can be imported."""
    return importlib.util.find_spec("jax") is not None


def _jax(work: Workload) -> tuple[Any, dict[str, Any]]:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    printer = _JaxPrinter(rename(work.program))
    space: dict[str, Any] = {"jnp": jax.numpy, "UNIT": 2.0**-53}
    ready = work.program
    report = ready.report
    blocks = {
        "start": ready.start,
        "tower": ready.tower,
        "descent": ready.descent,
        "residual": Block(report.inputs, report.lines, report.results[:1]).pruned(),
    }
    for name, block in blocks.items():
        exec(function(name, block, printer), space)  # our own printed code
    return jax, space


def jax_full_newton(work: Workload) -> Solve:
    """jit, vmap, while_loop, jacfwd and solve on the full system, from our start."""
    jax, space = _jax(work)
    jnp = jax.numpy
    residuals = [work.system.unfolded(e.residual) for e in work.system.equations]
    value = lambdify(
        [work.system.unknowns, work.program.inputs], residuals, modules=[jnp], cse=True
    )

    def point(c: Any) -> Any:
        x0 = space["start"](*c)[0] * (1 + 1e-9)
        tail = space["tower"](*c, x0)[: work.depth]
        x = jnp.stack([x0, *(jnp.maximum(v, 1e-12) for v in tail)])

        def equations(u: Any) -> Any:
            return jnp.stack(value(u, c))

        def body(state: Any) -> Any:
            u, _, count = state
            d = jnp.linalg.solve(jax.jacfwd(equations)(u), -equations(u))
            new = jnp.maximum(u + d, 1e-3 * u)
            return new, jnp.max(jnp.abs(d) / u), count + 1

        def go(state: Any) -> Any:
            return (state[1] > RTOL) & (state[2] < 100)

        return jax.lax.while_loop(go, body, (x, jnp.inf, 0))

    run = jax.jit(jax.vmap(point, in_axes=1, out_axes=(1, 0, 0)))
    return _timed_jax(run)


def jax_same(work: Workload) -> Solve:
    """Our own algorithm: tower, last step along the tangents, residual, status."""
    jax, space = _jax(work)
    jnp, depth = jax.numpy, work.depth

    def point(c: Any) -> Any:
        def body(state: Any) -> Any:
            x, step, _, count = state
            x = x + step
            found = space["descent"](*c, x)
            tail, (value, slope), rates = found[:depth], found[depth:-depth], found[-depth:]
            step = -value / slope
            rest = [t + r * step for t, r in zip(tail, rates, strict=True)]
            return x, step, jnp.stack([x + step, *rest]), count + 1

        def go(state: Any) -> Any:
            return (jnp.abs(state[1]) > 1e-8 * state[0]) & (state[3] < 100)

        x0 = space["start"](*c)[0] * (1 + 1e-7)
        first = body((x0, 0.0, jnp.zeros(depth + 1), 0))
        *_, x, count = jax.lax.while_loop(go, body, first)
        residual = space["residual"](*c, *x)[0]
        status = jnp.where((residual <= 2.0**-52) & (jnp.min(x) > 0), 0, 1)
        return x, jnp.stack([residual, status]), count

    run = jax.jit(jax.vmap(point, in_axes=1, out_axes=(1, 1, 0)))
    return _timed_jax(run)


def jax_tower(work: Workload) -> Solve:
    """jit, vmap, while_loop on the generated tower (not polished)."""
    jax, space = _jax(work)
    jnp = jax.numpy

    def point(c: Any) -> Any:
        def body(state: Any) -> Any:
            x, _, count = state
            *_, value, slope, _ = space["tower"](*c, x)
            d = -value / slope
            return x + d, jnp.abs(d) / x, count + 1

        def go(state: Any) -> Any:
            return (state[1] > 1e-10) & (state[2] < 100)

        x0, last, count = jax.lax.while_loop(
            go, body, (space["start"](*c)[0] * (1 + 1e-9), jnp.inf, 0)
        )
        return jnp.stack([x0, *space["tower"](*c, x0)[: work.depth]]), last, count

    run = jax.jit(jax.vmap(point, in_axes=1, out_axes=(1, 0, 0)))
    return _timed_jax(run)


def _timed_jax(run: Any) -> Solve:
    def solve(inputs: Array) -> tuple[Array, float]:
        x, _, count = run(inputs)
        return np.asarray(x), float(np.mean(np.asarray(count)))

    return solve
