r"""Proofs of solutions: exactly one root in a ball, and whether it is the physical one.

Stage: Solutions or Programs in, a ``Certificate`` out. Nothing of the float64 path is trusted: its
answer only says where to look. Newton in ball arithmetic refines it, then one interval Newton step
proves it. With boxes X_i about points m_i, a Jacobian J over the boxes and the defects F(m),

.. math:: N = m - J(X)^{-1} F(m), \qquad N \subset \mathrm{int}\, X
          \;\Rightarrow\; \text{exactly one root in } X, \text{ and it lies in } N.

Argument: for two points of X the mean value theorem gives F(y) - F(x) = J' (y - x) with a matrix J'
in J(X). All such matrices are regular (the elimination never divides by a ball that holds zero), so
two roots are equal; and x -> m - J'(x, m)^{-1} F(m) is continuous and maps X into N, so Brouwer's
theorem gives a root. Constants are balls that hold their exact values and controls are exact as
written, so the statement is about the equations themselves.

The branch conditions are then evaluated on N. Where all are positive and the System knows that such
a root is unique (``Proof.uniqueness``), the physical root is in the ball; otherwise the certificate
says exactly what is proved. Outputs and slopes are enclosed too.

Triangular Programs are eliminated along their structure; for deep features J has nonnegative
entries on the physical branch, so nothing cancels. Coupled ones are solved densely in balls; no
conditions are known for them here, so a unique root is all that is claimed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from derive.coupled import AnyModel, AnyProgram, frozen
from derive.errors import NotConvergedError, NotSupportedError, RangeError, UnknownNameError
from derive.exact import exact_number
from derive.program import Program
from numeric.compiled import Evaluator, compile
from numeric.controls import ungroup
from numeric.kept import kept
from numeric.proof import PROVED, Verdict
from numeric.proof_points import Proofs, prove_points
from numeric.solution import Solution


@dataclass(frozen=True)
class Certificate:
    """Proofs for the points of a grid; a point that could not be proved keeps its place.

    Attributes:
        name: name of the program.
        key: content key of the program.
        asked: digits that were asked for.
        points: one proof per point, in C order of ``shape``.
        shape: shape of the grid, or (number of chosen points,).
        uniqueness: the argument behind PHYSICAL.

    ``certificate["E_test"]`` is the Ball of a single point, or an object array of Balls of shape
    ``shape`` with None where there is none.
    """

    name: str
    key: str
    asked: int
    points: Proofs
    shape: tuple[int, ...]
    uniqueness: str

    @property
    def verdict(self) -> NDArray[np.int8]:
        """``Verdict`` codes, shape ``shape``."""
        return self.points.verdict.reshape(self.shape)

    @property
    def proved(self) -> bool:
        """Whether every point has a unique root with all conditions, to the digits asked for."""
        enough = self.points.digits >= self.asked
        return bool(np.all(np.isin(self.points.verdict, PROVED) & enough))

    @property
    def physical(self) -> bool:
        """Whether every point is proved to be the physical root, to the digits asked for."""
        return self.proved and bool(np.all(self.points.verdict == Verdict.PHYSICAL))

    def __getitem__(self, name: str) -> Any:
        if self.shape == ():
            return self.points[0][name]
        balls = np.empty(len(self.points), dtype=object)
        for i, point in enumerate(self.points):
            balls[i] = point[name] if point.enclosures else None
        return balls.reshape(self.shape)

    def check(self) -> "Certificate":
        """Return the certificate itself, or raise if a point is not proved.

        Raises:
            NotConvergedError: with the number of such points and the reason of the first.
        """
        bad = np.flatnonzero(~np.isin(self.points.verdict, PROVED)).tolist()
        short = np.flatnonzero(self.points.digits < self.asked).tolist()
        for i in (*bad, *short):
            point = self.points[i]
            reason = point.reason or f"only {point.digits} digits"
            raise NotConvergedError(
                f"{self.asked} proved digits of {self.name} on {len(self.points)} points",
                f"{len({*bad, *short})} not proved, the first at index {i}: "
                f"{point.verdict.statement} ({reason})",
                "check the controls and the answer at this point",
            )
        return self

    def __repr__(self) -> str:
        head = f"Certificate({self.name}, {len(self.points)} points, {self.asked} digits"
        rows = [f"{head}; key {self.key})"]
        for verdict in Verdict:
            chosen = np.flatnonzero(self.points.verdict == verdict)
            if chosen.size:
                rows.append(f"  {chosen.size:6d}  {verdict.statement}")
                reason = self.points[int(chosen[0])].reason
                rows += [f"          e.g. {reason}"] if reason else []
        if len(self.points) == 1:
            rows += repr(self.points[0]).splitlines()[1:]
        return "\n".join(rows)


def certify(
    subject: Solution | AnyModel,
    digits: int = 30,
    *,
    points: int | Sequence[int] | None = None,
    outputs: bool = True,
    **controls: Any,
) -> Certificate:
    """Prove solutions to a number of significant digits.

    Args:
        subject: a Solution; or a program, a triangular System or a declaration, with the controls
            of one point.
        digits: significant digits of every unknown and output, 5 to 5000.
        points: which points of the Solution: flat indices, or how many to draw (fixed seed); all
            by default.
        outputs: whether outputs and their slopes are enclosed, or unknowns alone.
        **controls: for anything but a Solution, one number per control; text is exact as written.

    Returns:
        The Certificate: a proof per point, or the reason why there is none.

    Raises:
        RangeError: digits or a control out of range.
        UnknownNameError: missing or unknown controls, or controls given with a Solution.
        NotSupportedError: a Solution that does not carry its Program, or what is no system.

    Accuracy: every ball contains the exact value at controls as written (a float is read as the
        shortest decimal that prints it, so 0.1 is one tenth); its relative radius is below
        10**-digits, or ``PointProof.digits`` says what was reached.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> system = deep_features(["erf"]).system()
        >>> proof = certify(system, 20, alpha=2, gamma=("1.5",), lam="0.1", noise="0.25")
        >>> proof["E_test"].str(20), proof.physical
        ('0.64215814552548093751', True)
    """
    if not 5 <= digits <= 5000:
        raise RangeError(f"digits = {digits}", "outside 5 to 5000", "choose a number in this range")
    solution, exact = _subject(subject, controls)
    program = solution.program
    assert program is not None, "checked by _subject"
    proofs = prove_points(solution, program, _chosen(solution, points), digits, outputs, exact)
    return Certificate(
        name=program.name,
        key=program.key,
        asked=digits,
        points=proofs,
        shape=solution.shape if points is None else (len(proofs),),
        uniqueness=program.proof.uniqueness if isinstance(program, Program) else "",
    )


def _subject(
    subject: Solution | AnyModel, controls: dict[str, Any]
) -> tuple[Solution, dict[str, Fraction | Expr] | None]:
    """Return a Solution that carries its Program, and the exact controls if they were given."""
    if isinstance(subject, Solution):
        if controls:
            names = ", ".join(sorted(controls))
            raise UnknownNameError(
                f"certify(solution, {names}=...)", "a Solution has its controls", "leave them out"
            )
        if subject.program is None:
            raise NotSupportedError(
                f"a certificate of this {subject.name}",
                "the Solution does not carry its Program",
                "give the Program and the controls",
            )
        return subject, None
    program = frozen(subject, "a certificate")
    exact = {n: _exact(v) for n, v in ungroup(program, controls).items()}
    return _evaluator(program)(**controls), {q.name: exact[q.name] for q in program.inputs}


_EVALUATORS: dict[int, Evaluator] = {}


def _evaluator(program: AnyProgram) -> Evaluator:
    return kept(_EVALUATORS, id(program), lambda: compile(program, slopes=False))


def _exact(value: Any) -> Fraction | Expr:
    number: Any = exact_number(value)
    return Fraction(int(number.p), int(number.q)) if number.is_Rational else number


def _chosen(solution: Solution, points: int | Sequence[int] | None) -> list[int]:
    size = solution.status.size
    if points is None:
        return list(range(size))
    if isinstance(points, int):
        rng = np.random.default_rng(0)
        return sorted(int(i) for i in rng.choice(size, size=min(points, size), replace=False))
    for i in points:
        if not 0 <= i < size:
            raise RangeError(f"point {i}", f"the solution has {size} points", "choose one of them")
    return [int(i) for i in points]
