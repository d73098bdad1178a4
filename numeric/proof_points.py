"""Proofs of the points of a Solution: by machine code where that pays, else one by one.

Stage: below ``certify`` and ``enclosure_balls``. Points without an answer get that verdict; a proof
of another root than the answer is refused.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import overload

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from derive.coupled import AnyProgram
from derive.program import Program
from numeric.ball_points import Batch, ball_points
from numeric.progress import progress
from numeric.proof import PROVED, PointProof, Verdict, engine_of
from numeric.solution import Solution, Status

WORTH = 48
"""Points from which machine code is loaded or made."""
_CHUNK = 8192
"""Points per batch at few digits: what an interrupt waits for, and a bound of the memory in use."""
_FEW = 30
"""Digits from which batches hold fewer points."""
_LOOSE = 1e-6
"""A float64 answer further from the proved root than this, relative, is another answer."""
Controls = Mapping[str, Fraction | Expr]


class Proofs(Sequence[PointProof]):
    """Proofs by point; those of a batch are made from its integers when one is asked for.

    Attributes:
        verdict: ``Verdict`` codes, shape (points,).
        digits: significant digits of the least accurate number, shape (points,).
        step: points per batch.
    """

    def __init__(
        self, solution: Solution, chosen: Sequence[int], doubles: bool, digits: int
    ) -> None:
        self.verdict = np.full(len(chosen), Verdict.NO_ANSWER, dtype=np.int8)
        self.digits = np.zeros(len(chosen), dtype=np.int64)
        self._solution, self._chosen, self._doubles = solution, tuple(chosen), doubles
        self._made: dict[int, PointProof] = {}
        self._batches: dict[int, Batch] = {}
        self.step = max(1, _CHUNK * _FEW // max(digits, _FEW))

    def put(self, k: int, proof: PointProof) -> None:
        """Set one proof."""
        self._made[k] = proof
        self.verdict[k], self.digits[k] = proof.verdict, proof.digits

    def put_batch(self, first: int, batch: Batch) -> None:
        """Set what a batch proved; ``first`` is a multiple of the size of batches."""
        self._batches[first] = batch
        where = first + np.flatnonzero(batch.done)
        self.verdict[where] = batch.standing[0]
        self.digits[where] = batch.digits[batch.done]

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, k: int) -> PointProof: ...

    @overload
    def __getitem__(self, k: slice) -> tuple[PointProof, ...]: ...

    def __getitem__(self, k: int | slice) -> PointProof | tuple[PointProof, ...]:
        if isinstance(k, slice):
            return tuple(self[i] for i in range(*k.indices(len(self))))
        k = range(len(self))[k]
        if k not in self._made:
            first = k - k % self.step
            at = controls_at(self._solution, self._chosen[k], self._doubles)
            self._made[k] = self._batches[first].proof(k - first, at)
        return self._made[k]

    def __iter__(self) -> Iterator[PointProof]:
        return (self[k] for k in range(len(self)))


def prove_points(
    solution: Solution,
    program: AnyProgram,
    chosen: Sequence[int],
    digits: int,
    outputs: bool,
    exact: Controls | None = None,
    doubles: bool = False,
) -> Proofs:
    """Prove points of a Solution.

    Args:
        solution: what to prove.
        program: its program.
        chosen: flat indices of points.
        digits: significant digits.
        outputs: whether outputs and slopes are enclosed.
        exact: exact controls of all points, if they are not read off the Solution.
        doubles: whether a control of the Solution is its double, or the shortest decimal that
            prints as it.
    """
    proofs, engine = Proofs(solution, chosen, doubles, digits), engine_of(program)
    with progress(len(chosen), "proofs") as advance:
        done = np.zeros(len(chosen), dtype=bool)
        if isinstance(program, Program) and exact is None and len(chosen) >= WORTH:
            places, kind = np.array(chosen), (digits, outputs, doubles)
            done = _batches(proofs, solution, program, places, kind, advance)
        starts = [np.ravel(solution.unknowns[u]) for u in program.unknowns]
        for k in np.flatnonzero(~done).tolist():
            i = chosen[k]
            at = exact or controls_at(solution, i, doubles)
            proof = no_answer(program, solution, i, at)
            if proof is None:
                start = [float(s[i]) for s in starts]
                proof = compared(engine.prove(at, start, digits, outputs), solution, i)
            proofs.put(k, proof)
            advance(1)
    return proofs


def _batches(
    proofs: Proofs,
    solution: Solution,
    program: Program,
    chosen: NDArray[np.int64],
    kind: tuple[int, bool, bool],
    advance: Callable[[int], None],
) -> NDArray[np.bool_]:
    """Prove by machine code what it proves, and return which points those are."""
    done = np.zeros(chosen.size, dtype=bool)
    digits, outputs, doubles = kind
    code = ball_points(program)
    if code is None:
        return done
    answered = np.ravel(solution.status) == Status.CONVERGED
    if program.slope_control in solution.controls:
        answered &= np.ravel(solution.controls[program.slope_control]) != 0
    for first in range(0, chosen.size, proofs.step):
        part = chosen[first : first + proofs.step]
        controls = [np.ravel(solution.controls[q.name])[part] for q in program.inputs]
        starts = [np.ravel(solution.unknowns[u])[part] for u in program.unknowns]
        batch = code.prove(controls, starts, answered[part], digits, outputs, doubles=doubles)
        batch.done[:] &= _agrees(batch, solution, part)
        proofs.put_batch(first, batch)
        done[first : first + part.size] = batch.done
        advance(int(batch.done.sum()))
    return done


def _agrees(batch: Batch, solution: Solution, part: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether roots are the answers, as ``compared`` has it."""
    same = np.ones(part.size, dtype=bool)
    for k, name in enumerate(batch.names):
        if name in solution.unknowns or name in solution.outputs:
            exact, found = batch.mids[:, k], np.ravel(solution[name])[part]
            error = np.ravel(solution.error[name])[part] if name in solution.error else 0.0
            same &= np.abs(found - exact) <= 8 * error + _LOOSE * np.abs(exact)
    return same


def controls_at(solution: Solution, i: int, doubles: bool = False) -> Controls:
    """Return the controls of a point as the decimals that print them, or as they are."""
    at = {name: float(values.flat[i]) for name, values in solution.controls.items()}
    if doubles:
        return {name: Fraction(v) if math.isfinite(v) else Fraction(0) for name, v in at.items()}
    return {name: _decimal(v) for name, v in at.items()}


@lru_cache(maxsize=65536)
def _decimal(value: float) -> Fraction:
    """Return a float as the shortest decimal that prints it (NaN reads as zero, never used)."""
    return Fraction(repr(value)) if math.isfinite(value) else Fraction(0)


def no_answer(program: AnyProgram, solution: Solution, i: int, at: Controls) -> PointProof | None:
    """Return the verdict on a point without an answer, or None."""
    status = Status(int(solution.status.flat[i]))
    if status != Status.CONVERGED:
        return PointProof(Verdict.NO_ANSWER, status.cause, at)
    if at.get(program.slope_control) == 0 and isinstance(program, Program):
        reason = f"{program.slope_control} = 0 is a limit, not a root; give a positive number"
        return PointProof(Verdict.NO_ANSWER, reason, at)
    return None


def compared(proof: PointProof, solution: Solution, i: int) -> PointProof:
    """Refuse a proof whose root is not the answer of the Solution."""
    if proof.verdict not in PROVED:
        return proof
    coupled = not isinstance(solution.program, Program)
    sizes = [abs(float(proof.enclosures[u].mid())) for u in solution.unknowns if coupled]
    scale = max(sizes, default=0.0)
    for name in (n for n in (*solution.unknowns, *solution.outputs) if n in proof.enclosures):
        exact = float(proof.enclosures[name].mid())
        found = float(solution[name].flat[i])
        error = float(solution.error[name].flat[i]) if name in solution.error else 0.0
        if not abs(found - exact) <= 8 * error + _LOOSE * max(abs(exact), scale):
            reason = f"{name} was {found:.6g}, the proved root has {exact:.6g}"
            return PointProof(
                Verdict.DISAGREES, reason, proof.controls, proof.enclosures, proof.digits
            )
    return proof
