"""Enclosures in balls, point by point, where there is no vector form.

Stage: below ``enclosures``. Slower by orders of magnitude than the compiled forms, but without
their limits: any function that balls know, coupled equations, and the branch test of random
matrices. What is proved at a point, and how, is said in ``certify``.
"""

import math
from collections.abc import Sequence

import numpy as np
from flint import arb

from derive.coupled import AnyProgram
from numeric.enclosure_kernel import Rows
from numeric.proof import PROVED, PointProof
from numeric.proof_points import prove_points
from numeric.solution import Solution

_DIGITS = 14
"""Digits of every number; more would be lost in float64."""


def ball_rows(
    solution: Solution,
    program: AnyProgram,
    names: Sequence[str],
    chosen: Sequence[int] | None = None,
) -> Rows:
    """Prove points of a Solution at the doubles of its controls.

    Args:
        solution: what to prove, with its Program.
        program: that Program.
        names: unknowns, outputs and slopes to enclose.
        chosen: flat indices of points; all by default.

    Accuracy: proved; centres are rounded, and radii rounded up.
    """
    points = range(solution.status.size) if chosen is None else chosen
    size = len(points)
    rows = Rows(np.empty(size, dtype=np.int8), np.full((2 * len(names), size), np.nan))
    proofs = prove_points(solution, program, points, _DIGITS, outputs=True, doubles=True)
    rows.verdict[:] = proofs.verdict
    for i in np.flatnonzero(np.isin(proofs.verdict, PROVED)).tolist():
        proof = proofs[i]
        rows.values[:, i] = [v for n in names for v in _interval(proof, n)]
    return rows


def _interval(proof: PointProof, name: str) -> tuple[float, float]:
    """Return centre and radius as doubles; all numbers where the ball is not finite."""
    ball = proof.enclosures[name]
    if not ball.is_finite():
        return 0.0, math.inf
    mid = float(ball.mid())
    rad = float((ball - arb(mid)).abs_upper())
    return mid, math.nextafter(rad, math.inf) if rad else 0.0
