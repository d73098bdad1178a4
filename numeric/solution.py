"""What a solve returns: values with error, residual and status for every point of the grid.

Stage: evaluators make Solutions; comparison, plots and reports read them. A Solution never hides a
point: failed points keep their place with a status that names cause and remedy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from derive.coupled import AnyProgram
from derive.errors import NotConvergedError, UnknownNameError

Array = NDArray[np.float64]


class Status(IntEnum):
    """How the solve of one point ended; ``cause`` and ``remedy`` say it in words."""

    CONVERGED = 0
    MAX_STEPS = 1
    STALLED = 2
    LEFT_RANGE = 3
    NONFINITE = 4
    BAD_INPUT = 5
    BRANCH_LOST = 6
    SINGULAR_JACOBIAN = 7

    @property
    def cause(self) -> str:
        """Why the solve ended so."""
        return _CAUSES[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _CAUSES[self][1]


_CAUSES = {
    Status.CONVERGED: ("the residual is at rounding level on the physical branch", "nothing to do"),
    Status.MAX_STEPS: ("the step limit was reached", "report the point; use numeric.reference"),
    Status.STALLED: ("the residual stopped shrinking above its bound", "use numeric.reference"),
    Status.LEFT_RANGE: ("an unknown left the physical range", "check the controls of this point"),
    Status.NONFINITE: (
        "a number overflowed or left the range of its function",
        "use numeric.reference",
    ),
    Status.BRANCH_LOST: (
        "no step along the path from the explicit start was short enough to stay on its branch",
        "check that the resolvent is regular for all smaller variances; use numeric.reference",
    ),
    Status.SINGULAR_JACOBIAN: (
        "the path from the explicit start ends where its Jacobian is singular (a spectral edge)",
        "move the point off the spectrum, or give it an imaginary part",
    ),
    Status.BAD_INPUT: ("a control of this point is NaN", "give a number, or drop the point"),
}


@dataclass(frozen=True)
class Solution:
    """Values on a grid of shape S (the broadcast shape of the controls; () for one point).

    Attributes:
        name: name of the program.
        key: content key of the program; if it is empty, it is hashed when it is first asked for.
        controls: control name -> array of shape S.
        outputs: output name -> array of shape S; NaN where the status is not CONVERGED.
        error: output or unknown name -> absolute error estimate, shape S.
        unknowns: unknown name -> array of shape S.
        slopes: "d<output>_d<control>" -> array of shape S.
        residual: relative residual of the equations, shape S.
        status: Status codes, shape S.
        steps: Newton steps, shape S.
        program: the program that was solved, for certificates.

    Outputs, unknowns and slopes are also attributes: ``solution.E_test``.

    Accuracy: ``error`` carries the rounding bound of each residual to each output through the
    inverse Jacobian (first order). Errors of slopes are bounds of a triangular system, generous
    where errors would cancel, and estimates of a coupled one.
    """

    name: str
    key: str
    controls: Mapping[str, Array]
    outputs: Mapping[str, Array]
    error: Mapping[str, Array]
    unknowns: Mapping[str, Array]
    slopes: Mapping[str, Array]
    residual: Array
    status: NDArray[np.int8]
    steps: NDArray[np.int32]
    program: AnyProgram | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.key and self.program is not None:
            object.__delattr__(self, "key")  # so that __getattr__ is asked for it

    def __getattr__(self, name: str) -> Array:
        if "slopes" not in self.__dict__:  # while it is being unpickled
            raise AttributeError(name)
        if name == "key" and self.program is not None:
            object.__setattr__(self, name, self.program.key)
            return cast(Any, self.program.key)
        return self._held(name)

    def _held(self, name: str) -> Array:
        if not name.startswith("_"):
            for values in (self.outputs, self.unknowns, self.slopes):
                if name in values:
                    return values[name]
        known = ", ".join([*self.outputs, *self.slopes, *self.unknowns])
        raise AttributeError(f"{name!r} is not part of this solution; it holds {known}")

    def __getitem__(self, name: str) -> Array:
        try:
            return self._held(str(name))
        except AttributeError as error:
            raise UnknownNameError(
                f"solution[{name!r}]", str(error), "use one of these names"
            ) from error

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.status.shape

    @property
    def converged(self) -> bool:
        """Whether every point converged."""
        return bool(np.all(self.status == Status.CONVERGED))

    def check(self) -> "Solution":
        """Return the solution itself, or raise if any point did not converge.

        Raises:
            NotConvergedError: with the number of failed points, the first one and its remedy.
        """
        failed = np.argwhere(self.status != Status.CONVERGED)
        if not len(failed):
            return self
        index = tuple(int(i) for i in failed[0])
        status = Status(int(self.status[index]))
        at = ", ".join(f"{k}={v[index]:g}" for k, v in self.controls.items())
        raise NotConvergedError(
            f"{self.name} on {self.status.size} points",
            f"{len(failed)} did not converge, the first at index {index} ({at}): {status.cause}",
            status.remedy,
        )

    def _error_text(self, name: str) -> str:
        if name not in self.error:
            return "error not asked for"
        largest = np.nanmax(self.error[name])
        return f"+/- {largest:.1g}" if self.shape == () else f"largest error {largest:.1g}"

    def __repr__(self) -> str:
        counts = [
            f"{int(np.sum(self.status == s))} {s.name.lower()}"
            for s in Status
            if np.any(self.status == s)
        ]
        head = f"Solution({self.name}, shape {self.shape}: {', '.join(counts)}; key {self.key})"
        rows = [head]
        for name, values in self.outputs.items():
            finite = values[np.isfinite(values)]
            if not finite.size:
                rows.append(f"  {name:12s} no finite value")
            elif self.shape == ():
                rows.append(f"  {name:12s} {float(values):.15g}  ({self._error_text(name)})")
            else:
                span = f"{finite.min():.6g} .. {finite.max():.6g}"
                rows.append(f"  {name:12s} {span}  ({self._error_text(name)})")
        finite = self.residual[np.isfinite(self.residual)]
        if finite.size:
            rows.append(f"  {'residual':12s} <= {finite.max():.1g}, steps <= {self.steps.max()}")
        return "\n".join(rows)
