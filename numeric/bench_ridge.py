r"""Workload B, real: effective ridges over a spectrum of many eigenvalues.

Stage: below ``bench``. Solve k (1 - (1/n) sum_i s_i/(s_i + k)) = lam for s_i = i^-1.5, p = 1,000,
at random n in 50..20,000 and lam in 1e-8..10 (log-uniform). Every answer is judged by one Newton
correction in extended precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from numeric.bench_table import Judged, Method, Section, built, judged, measure
from numeric.cache import load
from numeric.compressed_spectrum import compress
from numeric.ridge_readout_theory import effective_ridge
from numeric.spectral_functions import Modes, SpectralFunctions

Array = NDArray[np.float64]
RTOL = 1e-10
"""Relative step at which rivals stop."""
MOST = 100_000
_BLOCK = 256
_LOOPS = '''"""Rivals of the benchmark; do not edit."""

from numba import njit

S = dict(cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"})


@njit(**S)
def damped(s, n, lam, rtol, most, out):
    total = 0
    for i in range(n.size):
        k = lam[i] + 1.0
        for _ in range(most):
            df = 0.0
            for j in range(s.size):
                df += s[j] / (s[j] + k)
            new = 0.5 * (k + lam[i] + k * df / n[i])
            total += 1
            step = abs(new - k)
            k = new
            if not step > rtol * k:
                break
        out[i] = k
    return total


@njit(**S)
def newton(s, trace, n, lam, rtol, most, out):
    total = 0
    for i in range(n.size):
        k = lam[i] + trace / n[i]
        for _ in range(most):
            df1, df2 = 0.0, 0.0
            for j in range(s.size):
                share = s[j] / (s[j] + k)
                df1 += share
                df2 += share * share
            step = (k * (1.0 - df1 / n[i]) - lam[i]) / (1.0 - df2 / n[i])
            k -= step
            total += 1
            if not abs(step) > rtol * k:
                break
        out[i] = k
    return total
'''


@dataclass(frozen=True)
class Spectra:
    """The workload.

    Attributes:
        s: eigenvalues, shape (p,).
        n: samples. lam: ridges. Both of shape (points,).
    """

    s: Array
    n: Array
    lam: Array

    def error(self, k: Array) -> Array:
        """Return the relative error of effective ridges at the first points, shape of k.

        Accuracy: one Newton correction in ``numpy.longdouble``; infinite where k is not positive.
        """
        out = np.full(k.size, np.inf)
        s = self.s.astype(np.longdouble)
        for start in range(0, k.size, _BLOCK):
            here = slice(start, min(start + _BLOCK, k.size))
            x, n = k[here].astype(np.longdouble)[:, None], self.n[here].astype(np.longdouble)
            share = s / (s + x)
            left = (1 - share).sum(axis=1) + (n - s.size)
            value = x[:, 0] * left / n - self.lam[here].astype(np.longdouble)
            slope = 1 - (share * share).sum(axis=1) / n
            out[here] = np.where(k[here] > 0, np.abs(value / (slope * x[:, 0])), np.inf)
        return out


def spectra(points: int, p: int = 1000, seed: int = 0) -> Spectra:
    """Return random points over a power law of p eigenvalues."""
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(50), np.log(20_000), points))
    return Spectra(np.arange(1, p + 1.0) ** -1.5, n, 10 ** rng.uniform(-8, 1, points))


def ours(work: Spectra, name: str, make: Callable[[], SpectralFunctions], each: bool) -> Method:
    """Return our solver; ``each`` makes the functions anew in every run."""
    ratio, p, size = work.n / work.s.size, work.s.size, work.n.size
    functions, seconds = built(make)
    seconds += built(lambda: effective_ridge(functions, ratio[:1], work.lam[:1]))[1]

    def run() -> tuple[Array, float]:
        found = effective_ridge(make() if each else functions, ratio, work.lam * ratio)
        return found.x, float(found.steps.mean())

    def judge(answer: tuple[Array, float]) -> Judged:
        counts = f"steps {answer[1]:.2f} from a table in log k; {p} modes"
        return judged(work.error(answer[0]), counts)

    return Method(name, size, seconds, run, judge)


def _rival(
    work: Spectra, name: str, points: int, solve: Callable[[Array, Array], tuple[Array, float]]
) -> Method:
    count = min(points, work.n.size)
    n, lam = work.n[:count].copy(), work.lam[:count].copy()
    _, seconds = built(lambda: solve(n[:1], lam[:1]))

    def judge(answer: tuple[Array, float]) -> Judged:
        return judged(work.error(answer[0]), f"steps {answer[1]:.3g}" if answer[1] else "")

    return Method(name, count, seconds, lambda: solve(n, lam), judge)


def numba_rivals(work: Spectra, points: int) -> list[Method]:
    """Damped fixed point and plain Newton, compiled with sums in vector units."""
    module = load(_LOOPS)
    trace = float(work.s.sum())

    def damped(n: Array, lam: Array) -> tuple[Array, float]:
        out = np.empty_like(n)
        return out, module.damped(work.s, n, lam, RTOL, MOST, out) / n.size

    def newton(n: Array, lam: Array) -> tuple[Array, float]:
        out = np.empty_like(n)
        return out, module.newton(work.s, trace, n, lam, RTOL, 200, out) / n.size

    return [
        _rival(work, "Numba, damped fixed point", points, damped),
        _rival(work, "Numba, Newton from lam + tr/n", points, newton),
    ]


def python_rivals(work: Spectra, points: int) -> list[Method]:
    """Point by point with NumPy sums: damped fixed point, Newton, and brentq of scipy."""
    s, trace = work.s, float(work.s.sum())

    def damped(k: float, n: float, lam: float) -> float:
        return 0.5 * (k + lam + k * float((s / (s + k)).sum()) / n)

    def newton(k: float, n: float, lam: float) -> float:
        share = s / (s + k)
        value = k * (1 - float(share.sum()) / n) - lam
        return k - value / (1 - float((share * share).sum()) / n)

    def iterated(
        step: Callable[[float, float, float], float], start: Callable[[float, float], float]
    ) -> Callable[[Array, Array], tuple[Array, float]]:
        def solve(n: Array, lam: Array) -> tuple[Array, float]:
            out, total = np.empty_like(n), 0
            for i in range(n.size):
                k, moved = start(n[i], lam[i]), np.inf
                while moved > RTOL * k and total < MOST * n.size:
                    new = step(k, n[i], lam[i])
                    k, moved, total = new, abs(new - k), total + 1
                out[i] = k
            return out, total / n.size

        return solve

    def brentq(n: Array, lam: Array) -> tuple[Array, float]:
        find: Any = optimize.brentq
        out, total = np.empty_like(n), 0
        for i in range(n.size):
            found = find(
                lambda k, i=i: k * (1 - float((s / (s + k)).sum()) / n[i]) - lam[i],
                lam[i],
                lam[i] + trace / n[i],
                xtol=1e-300,
                rtol=1e-14,
                full_output=True,
            )[1]
            out[i], total = found.root, total + found.function_calls
        return out, total / n.size

    return [
        _rival(work, "scipy brentq, NumPy sums", points, brentq),
        _rival(
            work, "NumPy, Newton", points, iterated(newton, lambda n, lam: float(lam + trace / n))
        ),
        _rival(
            work, "NumPy, damped fixed point", points, iterated(damped, lambda n, lam: lam + 1.0)
        ),
    ]


def section(points: int, slow_points: int, rounds: int, p: int = 1000) -> Section:
    """Run workload B, real."""
    work = spectra(points, p)
    modes = Modes(work.s, np.full(p, 1 / p), np.full(p, 1 / p))

    def table() -> SpectralFunctions:
        return compress(modes, 1e-12, 1e3)

    found = [
        ours(work, "exact sums", lambda: modes, each=False),
        ours(work, "table of the spectrum, ready", table, each=False),
        ours(work, "table of the spectrum, made in each run", table, each=True),
        *numba_rivals(work, points),
        *python_rivals(work, slow_points),
    ]
    return Section(
        "B. Effective ridge over a population spectrum",
        f"k (1 - (1/n) sum s/(s + k)) = lam with {p} eigenvalues i^-1.5, n 50..20,000 and lam "
        "1e-8..10. Ours also returns seven sums at k, error, residual and status. Worst: relative "
        "error of k, by extended precision.",
        tuple(measure("real", found, rounds)),
    )
