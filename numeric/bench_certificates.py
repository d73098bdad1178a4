"""Workload D: proofs of random points at many digits, beside ``mpmath.findroot``.

Stage: below ``bench``. Both start from the same float64 unknowns of deep random features and work
on the same equations. Ours proves that the physical root is in its ball, and encloses outputs and
slopes as well if asked to; the rival finds unknowns, without proof.
"""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from mpmath.libmp.backend import BACKEND
from numpy.typing import NDArray
from sympy import lambdify

from numeric.bench_features import workload
from numeric.bench_rivals import Workload, scalar_start
from numeric.bench_table import Judged, Method, Row, Section, built, judged, measure
from numeric.certify import Certificate, certify
from numeric.compiled import compile
from numeric.solution import Solution

Array = NDArray[np.float64]


def solved(work: Workload) -> Solution:
    """Return float64 answers at all points of a workload."""
    names = [q.name for q in work.program.inputs]
    controls = dict(zip(names, work.inputs, strict=True))
    return compile(work.program, slopes=False)(threads=1, **controls)


def ours(work: Workload, solution: Solution, digits: int, outputs: bool) -> Method:
    """Return our certificate of every point, of unknowns alone or of everything."""
    count = work.inputs.shape[1]
    _, seconds = built(lambda: certify(solution, digits, points=[0], outputs=outputs))

    def judge(found: Certificate) -> Judged:
        physical = [p.verdict.name == "PHYSICAL" and p.digits >= digits for p in found.points]
        fewest = min(p.digits for p in found.points)
        counts = f"{digits} digits asked, at least {fewest} proved; {sum(physical)} physical roots"
        radii = [10.0**-p.digits for p in found.points]
        return judged(np.where(physical, radii, np.inf), counts)

    return Method(
        f"certify: proof, unknowns{', outputs, slopes' if outputs else ''}",
        count,
        seconds,
        lambda: certify(solution, digits, outputs=outputs),
        judge,
    )


def findroot(
    work: Workload, solution: Solution, digits: int, points: int, exact: bool, near: bool = True
) -> Method:
    """Return ``mpmath.findroot`` on the full system, with or without the exact Jacobian.

    It starts from the float64 unknowns, or (``near=False``) where our solver starts.
    """
    unknowns, inputs = work.system.unknowns, work.program.inputs
    residuals = [work.system.unfolded(e.residual) for e in work.system.equations]
    value = lambdify([unknowns, inputs], residuals, modules="mpmath", cse=True)
    jacobian = [[r.diff(u) for u in unknowns] for r in residuals]
    slope = lambdify([unknowns, inputs], jacobian, modules="mpmath", cse=True)
    count = min(points, work.inputs.shape[1])
    close = np.array([np.ravel(solution.unknowns[u])[:count] for u in work.program.unknowns])
    first = scalar_start(work)
    starts = close if near else np.array([first(work.inputs[:, i]) for i in range(count)]).T
    written = [[repr(float(v)) for v in work.inputs[:, i]] for i in range(count)]

    def run() -> list[Any]:
        found = []
        with mpmath.workdps(digits):
            for i in range(count):
                c = [mpmath.mpf(text) for text in written[i]]
                given: dict[str, Callable[..., Any]] = (
                    {"J": lambda *x, c=c: mpmath.matrix(slope(x, c))} if exact else {}
                )
                start = [mpmath.mpf(float(v)) for v in starts[:, i]]
                try:
                    found.append(mpmath.findroot(lambda *x, c=c: value(x, c), start, **given))
                except (ValueError, ZeroDivisionError):
                    found.append(None)
        return found

    def judge(found: list[Any]) -> Judged:
        proofs = certify(solution, digits, points=range(count)).points
        errors = []
        for root, proof in zip(found, proofs, strict=True):
            with mpmath.workdps(digits + 10):
                balls = [proof.enclosures[u] for u in work.program.unknowns]
                exact_values = [mpmath.mpf(b.mid().str(digits + 10, radius=False)) for b in balls]
                gaps = [abs(r / e - 1) for r, e in zip(root or [], exact_values, strict=False)]
            errors.append(float(max(gaps)) if gaps else np.inf)
        return judged(np.array(errors), f"backend {BACKEND}")

    name = (
        f"mpmath.findroot, {'exact' if exact else 'difference'} Jacobian, from "
        f"{'the float64 answer' if near else 'the start of our solver'}"
    )
    return Method(name, count, 0.0, run, judge)


def section(
    depths: tuple[int, ...], points: int, slow_points: int, rounds: int, digits: int = 30
) -> Section:
    """Run workload D."""
    rows: list[Row] = []
    for depth in depths:
        work = workload(depth, points)
        solution = solved(work)
        found = [ours(work, solution, digits, outputs) for outputs in (False, True)]
        found += [
            findroot(work, solution, digits, slow_points, exact, near)
            for exact, near in ((False, True), (True, True), (False, False))
        ]
        rows += measure(f"L = {depth}", found, rounds)
    backend = "gmpy2" if BACKEND == "gmpy" else "pure Python; gmpy2 is not installed"
    return Section(
        f"D. Certificates at {digits} digits",
        "Random points of workload A, the same float64 start for all. Worst: of ours the proved"
        " relative radius, of rivals the relative error of the unknowns.",
        tuple(rows),
        (f"mpmath runs on {backend}.",),
    )
