"""Enclosures in balls, one point at a time, where there is no vector form.

Stage: below ``enclosures``. Slower by orders of magnitude than the compiled forms, but without
their limits: any function that balls know, coupled equations, and the branch test of random
matrices. What is proved at a point, and how, is said in ``certify``.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import arb

from numeric.enclosure_kernel import Rows
from numeric.proof import PROVED, Engine, PointProof, Verdict
from numeric.proof_points import compared, no_answer
from numeric.solution import Solution, Status

_DIGITS = 14
"""Digits of every number; more would be lost in float64."""


def ball_rows(
    solution: Solution, engine: Engine, names: Sequence[str], chosen: Sequence[int] | None = None
) -> Rows:
    """Prove points of a Solution at the doubles of its controls.

    Args:
        solution: what to prove, with its Program.
        engine: the ball arithmetic of that Program.
        names: unknowns, outputs and slopes to enclose.
        chosen: flat indices of points; all by default.

    Accuracy: proved; centres are rounded, and radii rounded up.
    """
    points = range(solution.status.size) if chosen is None else chosen
    size = len(points)
    rows = Rows(np.empty(size, dtype=np.int8), np.full((2 * len(names), size), np.nan))
    for i, point in enumerate(points):
        proof = _proof(solution, engine, int(point))
        rows.verdict[i] = proof.verdict
        if proof.verdict in PROVED:
            rows.values[:, i] = [v for n in names for v in _interval(proof, n)]
    return rows


def _proof(solution: Solution, engine: Engine, i: int) -> PointProof:
    program = engine.program
    if Status(int(solution.status.flat[i])) != Status.CONVERGED:
        return PointProof(Verdict.NO_ANSWER, "", {})
    at = {q.name: Fraction(float(solution.controls[q.name].flat[i])) for q in program.inputs}
    nothing = no_answer(program, solution, i, at)
    if nothing is not None:
        return nothing
    start = [float(solution.unknowns[u].flat[i]) for u in program.unknowns]
    return compared(engine.prove(at, start, _DIGITS), solution, i)


def _interval(proof: PointProof, name: str) -> tuple[float, float]:
    """Return centre and radius as doubles; all numbers where the ball is not finite."""
    ball = proof.enclosures[name]
    if not ball.is_finite():
        return 0.0, math.inf
    mid = float(ball.mid())
    rad = float((ball - arb(mid)).abs_upper())
    return mid, math.nextafter(rad, math.inf) if rad else 0.0
