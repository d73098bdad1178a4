r"""Workload C: kernels E s(u) t(v) at many correlations, half of them next to one.

Stage: below ``bench``. Half of the correlations are even on [-1, 1]; the others are 1 - d with
log-uniform d in 1e-12..1. Values are judged at some of the points against the symbolic kernel at 30
digits, in units of the largest value.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy import integrate, special
from sympy import Expr, Max, Min, Piecewise, erf, exp, lambdify, log, sqrt, tanh

from derive.kernels import kernel
from derive.symbols import z
from numeric.bench_table import Judged, Method, Row, Section, built, judged, measure
from numeric.kernels import CompiledKernel, compile_kernel

Array = NDArray[np.float64]
_NODES = 64
_REACH = 8.5
_LARGEST = 1e300
"""Quadrature is judged by its error alone; only what is not a number is wrong."""


def triangle_wave(half: int) -> Expr:
    """Return the wave of period 4 through (0, 0) and (1, 1), constant beyond ``2 half + 1``."""
    rises = [(z - 4 * k, z < 4 * k + 1) for k in range(-half, half + 1)]
    falls = [(4 * k + 2 - z, z < 4 * k + 3) for k in range(-half, half)]
    pieces: list[Any] = [(-1, z < -4 * half - 1)]
    for k, rise in enumerate(rises):
        pieces += [rise, *falls[k : k + 1]]
    return Piecewise(*pieces, (1, True))


ACTIVATIONS: dict[str, Any] = {
    "relu": Max(z, 0),
    "leaky relu": Max(z, z / 10),
    "hardtanh": Max(Min(z, 1), -1),
    "step of parabolas": Piecewise((z + 2, z < -1), (z**2, z < 1), (2 - z, True)),
    "triangle wave": triangle_wave(1),
    "relu cubed": Max(z, 0) ** 3,
    "elu": Piecewise((z, z > 0), (exp(z) - 1, True)),
    "erf": erf(z),
    "gelu": z * (1 + erf(z / sqrt(2))) / 2,
    "tanh": tanh(z),
    "silu": z / (1 + exp(-z)),
    "softplus": log(1 + exp(z)),
}


def _relu(rho: Array) -> Array:
    bend = np.sqrt((1 - rho) * (1 + rho))
    return np.asarray((bend + (np.pi - np.arccos(rho)) * rho) / (2 * np.pi))


def _leaky(rho: Array) -> Array:
    return 0.81 * _relu(rho) + 0.1 * rho


def _erf(rho: Array) -> Array:
    return np.asarray(2 / np.pi * np.arcsin(2 * rho / 3))


def _gelu(rho: Array) -> Array:
    first = rho / 4 + rho * np.arcsin(rho / 2) / (2 * np.pi)
    return np.asarray(first + 1 / (2 * np.pi * np.sqrt(4 - rho * rho)))


CLOSED: dict[str, Callable[[Array], Array]] = {
    "relu": _relu,
    "leaky relu": _leaky,
    "erf": _erf,
    "gelu": _gelu,
}


BY_DBLQUAD = ("relu", "erf", "tanh")
"""Where the slowest rival runs; elsewhere it would take minutes."""


@dataclass(frozen=True)
class Case:
    """One activation.

    Attributes:
        name: as shown. s: its expression.
        rho: correlations, shape (points,).
        compiled: our kernel. seconds: until it was ready.
        checks: how many points are judged.
    """

    name: str
    s: Any
    rho: Array
    compiled: CompiledKernel
    seconds: float
    checks: int

    @cached_property
    def truth(self) -> Array:
        """The kernel at the judged correlations, which are the first of ``rho``.

        Accuracy: 30 digits or an absolute 1e-30, rounded to doubles.
        """
        found = kernel(self.s)
        places = self.rho[: self.checks]
        return np.array([float(found.at(Fraction(float(x)), 30).mid) for x in places])

    def judge(self, values: Array, counts: str) -> Judged:
        """Compare the first values with the truth, in units of the largest."""
        size = min(values.size, self.checks)
        scale = max(float(np.abs(self.truth).max()), 1e-300)
        gaps = np.abs(values[:size] - self.truth[:size]) / scale
        return judged(gaps, counts, failed=_LARGEST)

    @cached_property
    def function(self) -> Callable[[Any], Any]:
        """The activation on arrays."""
        return lambdify([z], self.s, modules=[{"erf": special.erf}, "numpy"], cse=True)

    @cached_property
    def scalar(self) -> Callable[[float], float]:
        """The activation at a number."""
        return lambdify([z], self.s, modules="math", cse=True)


def correlations(points: int, seed: int = 0) -> Array:
    """Return correlations in random order.

    Accuracy: exact as they stand.
    """
    rng = np.random.default_rng(seed)
    near = 1 - 10 ** rng.uniform(-12, 0, points // 2)
    rho = np.concatenate([near, rng.uniform(-1, 1, points - near.size)])
    return rng.permutation(rho)


def case(name: str, points: int, checks: int) -> Case:
    """Compile one activation."""
    rho = correlations(points)
    compiled, seconds = built(lambda: compile_kernel(ACTIVATIONS[name]))
    seconds += built(lambda: compiled(rho[:8]))[1]
    return Case(name, ACTIVATIONS[name], rho, compiled, seconds, min(checks, points))


def ours(work: Case) -> Method:
    """Return our compiled kernel."""
    counts = f"{work.compiled.reason}; error {work.compiled.error:.0e} {work.compiled.basis}"
    return Method(
        "compiled kernel",
        work.rho.size,
        work.seconds,
        lambda: work.compiled(work.rho),
        lambda values: work.judge(values, counts),
    )


def closed(work: Case) -> Method:
    """Return the closed formula as one writes it in NumPy."""
    formula = CLOSED[work.name]
    return Method(
        "closed formula in NumPy",
        work.rho.size,
        0.0,
        lambda: formula(work.rho),
        lambda values: work.judge(values, ""),
    )


def gauss_hermite(work: Case, points: int) -> Method:
    """Return Gauss-Hermite quadrature with 64 x 64 nodes, all correlations of a block at once."""
    nodes, weights = hermegauss(_NODES)
    weights = weights / weights.sum()
    rho = work.rho[:points]
    left = work.function(nodes) * weights

    def run() -> Array:
        out = np.empty(rho.size)
        for i, r in enumerate(rho):
            v = r * nodes[:, None] + np.sqrt((1 - r) * (1 + r)) * nodes
            out[i] = left @ (work.function(v) @ weights)
        return out

    return Method(
        f"Gauss-Hermite {_NODES} x {_NODES}",
        rho.size,
        0.0,
        run,
        lambda values: work.judge(values, f"{_NODES**2} nodes"),
    )


def dblquad(work: Case, points: int) -> Method:
    """Return ``scipy.integrate.dblquad`` at few correlations."""
    rho = work.rho[:points]
    function = work.scalar

    def run() -> tuple[Array, int]:
        out, calls = np.empty(rho.size), [0]
        for i, r in enumerate(rho):
            rest = float(np.sqrt((1 - r) * (1 + r)))

            def integrand(y: float, x: float, r: float = float(r), rest: float = rest) -> float:
                calls[0] += 1
                density = math.exp(-(x * x + y * y) / 2) / (2 * math.pi)
                return function(x) * function(r * x + rest * y) * density

            out[i] = integrate.dblquad(
                integrand, -_REACH, _REACH, -_REACH, _REACH, epsabs=1e-8, epsrel=1e-8
            )[0]
        return out, calls[0]

    return Method(
        "scipy dblquad to 1e-8",
        rho.size,
        0.0,
        run,
        lambda answer: work.judge(answer[0], f"{answer[1] // rho.size} evaluations"),
    )


def rows(work: Case, sizes: tuple[int, int], rounds: int) -> list[Row]:
    """Measure one activation; ``sizes`` are the points of Gauss-Hermite and of dblquad."""
    found = [ours(work)]
    found += [closed(work)] if work.name in CLOSED else []
    found.append(gauss_hermite(work, sizes[0]))
    found += [dblquad(work, sizes[1])] if sizes[1] and work.name in BY_DBLQUAD else []
    return measure(work.name, found, rounds)


def section(
    points: int, sizes: tuple[int, int], rounds: int, names: tuple[str, ...] = tuple(ACTIVATIONS)
) -> Section:
    """Run workload C."""
    found: list[Row] = []
    for name in names:
        found += rows(case(name, points, 200), sizes, rounds)
    return Section(
        "C. Kernels of activations",
        "E s(u) s(v) for two standard normals; half of the correlations are within 1e-12..1 of one."
        " Worst: largest error at 200 of the points against 30 digits, in units of the largest"
        " value.",
        tuple(found),
    )
