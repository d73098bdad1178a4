r"""Workload B, complex: densities of Gram matrices at x + i eta, edges included.

Stage: below ``bench``. With ratio c the trace m of the resolvent of W A W^T solves
1/m = -z + mean_j a_j/(1 + c a_j m) with Im m > 0; the density at height eta is Im m/pi. Half of the
points are even in x from below the lowest band to above the highest, the others crowd at the edges,
down to 1e-12 of the width. Answers are judged by one Newton correction in extended precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Rational

from derive.spectra.laws import discrete, empirical
from derive.transforms import gram
from numeric.bench_table import Judged, Method, Row, Section, built, judged, measure
from numeric.cache import load
from numeric.spectrum import Points, Spectrum, spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
ETAS = (1e-2, 1e-4, 1e-8)
RTOL = 1e-12
"""Relative step at which rivals stop."""
_BLOCK = 256
_LOOPS = '''"""Rivals of the benchmark; do not edit."""

import math

from numba import njit

S = dict(cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"})


@njit(**S)
def iterate(a, c, damping, x, eta, rtol, most, out_r, out_i):
    total = 0
    for i in range(x.size):
        size = 1.0 / (x[i] * x[i] + eta * eta)
        mr, mi = -x[i] * size, eta * size
        for _ in range(most):
            sr, si = 0.0, 0.0
            for j in range(a.size):
                dr, di = 1.0 + c * a[j] * mr, c * a[j] * mi
                scale = a[j] / (dr * dr + di * di)
                sr += dr * scale
                si -= di * scale
            sr = sr / a.size - x[i]
            si = si / a.size - eta
            scale = 1.0 / (sr * sr + si * si)
            nr = damping * mr + (1.0 - damping) * sr * scale
            ni = damping * mi - (1.0 - damping) * si * scale
            step = math.hypot(nr - mr, ni - mi)
            mr, mi = nr, ni
            total += 1
            if not step > rtol * math.hypot(mr, mi):
                break
        out_r[i], out_i[i] = mr, mi
    return total
'''


@dataclass(frozen=True)
class Densities:
    """One spectrum of the workload.

    Attributes:
        name: as shown.
        a: eigenvalues of A. c: rows of W over its columns.
        found: our compiled spectrum. seconds: until it was ready.
        x: real parts, sorted.
    """

    name: str
    a: Array
    c: float
    found: Spectrum
    seconds: float
    x: Array

    def error(self, x: Array, eta: float, m: Complex) -> Array:
        """Return the relative error of the trace; infinite below the real axis.

        Accuracy: one Newton correction in ``numpy.clongdouble``.
        """
        out = np.full(x.size, np.inf)
        a, c = self.a.astype(np.longdouble), np.longdouble(self.c)
        for start in range(0, x.size, _BLOCK):
            here = slice(start, min(start + _BLOCK, x.size))
            value = m[here].astype(np.clongdouble)
            z = x[here].astype(np.longdouble) + 1j * np.longdouble(eta)
            terms = a / (1 + c * a * value[:, None])
            defect = 1 / value + z - terms.mean(axis=1)
            slope = -1 / value**2 + c * (terms * terms).mean(axis=1)
            out[here] = np.abs(defect / slope / value)
        return np.where(m.imag > 0, out, np.inf)


def crowded(edges: tuple[tuple[float, float], ...], points: int) -> Array:
    """Return sorted places: half even over everything, half crowding at the edges.

    Accuracy: rounding.
    """
    low, high = edges[0][0], edges[-1][1]
    width = high - low
    even = np.linspace(low - 0.05 * width, high + 0.05 * width, points // 2)
    ends = np.ravel(edges)
    each = max(1, (points - even.size) // (2 * ends.size))
    away = np.geomspace(1e-12, 0.02, each) * width
    near = (ends[:, None] + np.concatenate([-away, away])).ravel()
    return np.sort(np.concatenate([even, near]))


def densities(power: int, points: int) -> list[Densities]:
    """Return two masses, and a power law i^-1.5 of ``power`` eigenvalues."""
    law = tuple(float(i) ** -1.5 for i in range(1, power + 1))
    made = []
    for name, masses, ratio in (
        ("masses 1 and 10", (1.0, 10.0), Rational(1, 5)),
        (f"power law, p = {power}", law, Rational(1, 2)),
    ):
        base = discrete(masses) if len(masses) == 2 else empirical(masses)
        found, seconds = built(partial(spectrum, gram(base, ratio)))
        x = crowded(found.edges, points)
        made.append(Densities(name, np.array(masses), float(ratio), found, seconds, x))
    return made


def ours(work: Densities, eta: float) -> Method:
    """Return our solver: Newton warm in x, certified point by point."""
    z = work.x + 1j * eta

    def judge(answer: Points) -> Judged:
        error = np.where(answer.certified, work.error(work.x, eta, -answer.G), np.inf)
        continued = sum(path == "continued" for path in answer.path)
        counts = f"steps {answer.steps.mean():.2f}, {continued} points by continuation"
        return judged(error, counts)

    return Method("Newton, warm in x", z.size, work.seconds, lambda: work.found.cauchy(z), judge)


def compiled_iteration(
    work: Densities, eta: float, points: int, damping: float, most: int
) -> Method:
    """Return the fixed-point iteration in Numba, plain or damped, capped at ``most`` steps."""
    step = max(1, work.x.size // points)
    x = np.ascontiguousarray(work.x[::step])
    module = load(_LOOPS)

    def run(x: Array = x) -> tuple[Complex, float]:
        out = np.empty((2, x.size))
        total = module.iterate(work.a, work.c, damping, x, eta, RTOL, most, out[0], out[1])
        return out[0] + 1j * out[1], total / x.size

    _, seconds = built(lambda: run(x[:1]))
    kind = f"damped {damping}" if damping else "plain"
    name = f"Numba, fixed point, {kind}, at most {most}"
    return Method(name, x.size, seconds, run, _judge(work, x, eta))


def array_iteration(work: Densities, eta: float, points: int, most: int) -> Method:
    """Return the damped iteration in NumPy, all points at once until the slowest stops."""
    x = np.ascontiguousarray(work.x[:: max(1, work.x.size // points)])
    z = x + 1j * eta

    def run() -> tuple[Complex, float]:
        m: Any = -1 / z
        steps, moved = 0, np.inf
        while moved > RTOL and steps < most:
            inner = (work.a / (1 + work.c * work.a * m[:, None])).mean(axis=1)
            new = 0.5 * m + 0.5 / (inner - z)
            moved, steps = float(np.max(np.abs(new - m) / np.abs(new))), steps + 1
            m = new
        return m, steps

    return Method(f"NumPy, damped 0.5, at most {most}", x.size, 0.0, run, _judge(work, x, eta))


def _judge(work: Densities, x: Array, eta: float) -> Callable[[tuple[Complex, float]], Judged]:
    def judge(answer: tuple[Complex, float]) -> Judged:
        return judged(work.error(x, eta, answer[0]), f"steps {answer[1]:.4g}")

    return judge


def case(work: Densities, eta: float, slow_points: int, rounds: int, most: int) -> list[Row]:
    """Measure one spectrum at one height."""
    found = [ours(work, eta)]
    found += [compiled_iteration(work, eta, slow_points, d, most) for d in (0.0, 0.5)]
    if work.a.size < 10:
        found.append(array_iteration(work, eta, slow_points, most // 10))
    return measure(f"{work.name}, eta = {eta:.0e}", found, rounds)


def section(
    points: int, slow_points: int, rounds: int, power: int = 1000, most: int = 50_000
) -> Section:
    """Run workload B, complex."""
    rows: list[Row] = []
    for work in densities(power, points):
        rows += [r for eta in ETAS for r in case(work, eta, slow_points, rounds, most)]
    return Section(
        "B. Spectral density at complex arguments",
        "Gram matrices W A W^T, z = x + i eta; half of the x crowd at the edges, to 1e-12 of the"
        " width. Worst: relative error of the trace by extended precision; wrong: not converged, or"
        " not in the upper half-plane (of ours: not certified).",
        tuple(rows),
    )
