r"""Proved intervals for whole grids.

Stage: a Solution in, ``Enclosures`` out: for every point a verdict, and for every unknown, output
and slope a centre and a proved radius. The step is that of ``certify`` (an interval Newton step on
the full system, see there for the argument) in float64, without rounding modes or branches, many
points side by side: first in a quick form whose error bounds are known beforehand, then, where that
proves nothing, in a careful one (``derive.printing.enclosure_steps``). The controls are the doubles
of the Solution as they stand, and each constant is an interval that holds its exact value.

Where two terms of an equation cancel, elimination leaves a wide interval for the unknown that they
determine. Its step is therefore also taken from the next row of the linear equations, and its root
from the next equation; each holds on its own, so the narrower one counts.

In the careful form a box has the radius of the claimed error and a little more. Points whose step
does not map the box into itself are tried again about the moved centre with a wider box; what still
fails is tried in balls if it is not much, and reported as not proved otherwise. Elementary
functions are enclosed as well (``derive.printing.interval_functions``). Programs without a vector
form, such as coupled ones, are proved in balls, one point after the other, and say so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derive.coupled import AnyProgram
from derive.errors import NotConvergedError, NotSupportedError, ShapeError, UnknownNameError
from derive.printing.enclosure_steps import Wanted
from derive.program import Program
from numeric.enclosure_balls import ball_rows
from numeric.enclosure_kernel import EnclosureKernel, Rows, is_proved
from numeric.kept import kept
from numeric.proof import Engine, Verdict, engine_of
from numeric.solution import Solution, Status

Array = NDArray[np.float64]
_MOST_BALLS = 256
"""Points of a grid that are tried in balls after float64 arithmetic could not prove them."""


@dataclass(frozen=True)
class Enclosures:
    """Proved intervals on a grid of shape S.

    Attributes:
        name: name of the program.
        key: content key of the program.
        verdict: ``numeric.proof.Verdict`` codes, shape S.
        mid: name of an unknown, output or slope -> centre, shape S; NaN where nothing is proved.
        rad: the same names -> proved absolute radius, shape S; infinite (about 0) where the
            arithmetic gives no bound.
        reason: why no point is proved to be physical, empty if some may be.
        slow: why points were proved one by one in balls, empty if they were not.

    Accuracy: the exact value at the doubles of the controls lies in [mid - rad, mid + rad].
    """

    name: str
    key: str
    verdict: NDArray[np.int8]
    mid: Mapping[str, Array]
    rad: Mapping[str, Array]
    reason: str = ""
    slow: str = ""

    def _known(self, name: str) -> str:
        if name not in self.mid:
            raise UnknownNameError(
                f"enclosure of {name!r}", f"there are {', '.join(self.mid)}", "use one of them"
            )
        return name

    def lower(self, name: str) -> Array:
        """Return proved lower bounds, shape S.

        Accuracy: rounded down.
        """
        return np.nextafter(self.mid[self._known(name)] - self.rad[name], -np.inf)

    def upper(self, name: str) -> Array:
        """Return proved upper bounds, shape S.

        Accuracy: rounded up.
        """
        return np.nextafter(self.mid[self._known(name)] + self.rad[name], np.inf)

    def width(self, name: str) -> Array:
        """Return radius over size, shape S (infinite where the size is zero).

        Accuracy: a few roundings; for reports.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.rad[self._known(name)] / np.abs(self.mid[name]))

    @property
    def proved(self) -> NDArray[np.bool_]:
        """Where a unique root with all conditions is enclosed, shape S."""
        return is_proved(self.verdict)

    def check(self) -> "Enclosures":
        """Return the enclosures themselves, or raise if a point is not proved.

        Raises:
            NotConvergedError: with the number of such points and the first one.
        """
        bad = np.argwhere(~self.proved)
        if not len(bad):
            return self
        index = tuple(int(i) for i in bad[0])
        found = Verdict(int(self.verdict[index])).statement
        raise NotConvergedError(
            f"float64 enclosures of {self.name} on {self.verdict.size} points",
            f"{len(bad)} not proved, the first at index {index}: {found} {self.reason}".strip(),
            "use numeric.certify at these points",
        )

    def __repr__(self) -> str:
        rows = [f"Enclosures({self.name}, shape {self.verdict.shape}; key {self.key})"]
        rows += [f"  in balls, one point at a time ({self.slow})"] if self.slow else []
        for verdict in Verdict:
            count = int(np.sum(self.verdict == verdict))
            rows += [f"  {count:8d}  {verdict.statement}"] if count else []
        if self.proved.any():
            rows.append("  relative radius     median       99 %        max")
            for name in self.mid:
                ordered = np.sort(self.width(name)[self.proved])
                shown = (ordered[int(q * (len(ordered) - 1))] for q in (0.5, 0.99, 1.0))
                rows.append(f"  {name:14s} " + " ".join(f"{v:10.1e}" for v in shown))
        return "\n".join(rows)


def enclosures(
    solution: Solution,
    *,
    outputs: Sequence[str] | None = None,
    slopes: bool | None = None,
    threads: int | None = None,
) -> Enclosures:
    """Enclose the exact solution at every point of a grid.

    Args:
        solution: a Solution that carries its Program.
        outputs: which outputs to enclose; by default those that the Solution has.
        slopes: whether to enclose their slopes as well; by default if the Solution has them.
        threads: at most this many threads; the numbers do not depend on it.

    Raises:
        NotSupportedError: a Solution without its Program, or a Program with functions that not even
            balls know.
        UnknownNameError: for an output that does not exist.
        ShapeError: for a Solution whose arrays were changed to another size.

    Accuracy: proved; see ``Enclosures``. A point for which nothing could be proved says so.

    Example:
        >>> from numeric.compiled import compile
        >>> from derive.theory.deep_features import deep_features
        >>> solution = compile(deep_features(["erf"]).system())(
        ...     alpha=2, gamma=(1.5,), lam=0.1, noise=0.25)
        >>> proved = enclosures(solution)
        >>> bool(proved.proved), bool(proved.lower("E_test") < 0.642158145525481)
        (True, True)
    """
    program = solution.program
    if program is None:
        raise NotSupportedError(
            f"enclosures of this {solution.name}", "the Solution has no Program", "compile it"
        )
    wanted = _wanted(program, solution, outputs, slopes)
    kernel, why = _prover(program, wanted)
    if isinstance(kernel, Engine):
        rows = ball_rows(solution, program, _names(program, wanted))
    else:
        rows = kernel.prove(*_given(kernel.program, solution), threads)
        _mark_no_answer(kernel.program, solution, rows)
        _prove_rest(solution, kernel, rows)
    names = _names(program, wanted)
    values = rows.values.reshape(len(names), 2, *solution.shape)
    return Enclosures(
        name=program.name,
        key=solution.key,
        verdict=rows.verdict.reshape(solution.shape),
        mid={n: values[k, 0] for k, n in enumerate(names)},
        rad={n: values[k, 1] for k, n in enumerate(names)},
        reason=kernel.standing[1],
        slow=why,
    )


def _prove_rest(solution: Solution, kernel: EnclosureKernel, rows: Rows) -> None:
    """Prove in balls what float64 could not prove, unless it is much."""
    left = np.flatnonzero(rows.verdict == Verdict.NOT_PROVED)
    if not 0 < left.size <= _MOST_BALLS:
        return
    found = ball_rows(solution, kernel.program, kernel.names, left.tolist())
    rows.verdict[left], rows.values[:, left] = found.verdict, found.values


def _wanted(
    program: AnyProgram,
    solution: Solution,
    outputs: Sequence[str] | None,
    slopes: bool | None,
) -> Wanted:
    names = tuple(solution.outputs) if outputs is None else tuple(outputs)
    for name in names:
        if name not in program.outputs:
            known = ", ".join(program.outputs)
            raise UnknownNameError(
                f"enclosure of {name!r}", f"there are {known}", "use one of them"
            )
    places = tuple(k for k, o in enumerate(program.outputs) if o in names)
    sloped = bool(solution.slopes) if slopes is None else slopes
    return Wanted(places, sloped and bool(program.slope_control))


def _names(program: AnyProgram, wanted: Wanted) -> tuple[str, ...]:
    outputs = [program.outputs[k] for k in wanted.outputs]
    slopes = [f"d{o}_d{program.slope_control}" for o in outputs] if wanted.slopes else []
    return (*program.unknowns, *outputs, *slopes)


def _mark_no_answer(program: Program, solution: Solution, rows: Rows) -> None:
    no_answer = np.ravel(solution.status) != Status.CONVERGED
    if program.slope_control in solution.controls:
        no_answer |= np.ravel(solution.controls[program.slope_control]) == 0
    if no_answer.any():
        rows.verdict[no_answer], rows.values[:, no_answer] = Verdict.NO_ANSWER, np.nan


def _error(solution: Solution, name: str) -> Array:
    """Return the claimed error of an unknown, or a guess where none was asked for."""
    if name in solution.error:
        return np.ravel(solution.error[name])
    return np.abs(np.ravel(solution.unknowns[name])) * 2.0**-44


def _given(
    program: Program, solution: Solution
) -> tuple[list[Array], list[Array], Callable[[], list[Array]]]:
    """Return controls, centres and claimed errors, flat; the errors when they are asked for."""
    inputs = [_flat(solution, solution.controls[q.name], q.name) for q in program.inputs]
    centres = [_flat(solution, solution.unknowns[u], u) for u in program.unknowns]

    def errors() -> list[Array]:
        return [_flat(solution, _error(solution, u), f"error of {u}") for u in program.unknowns]

    return inputs, centres, errors


def _flat(solution: Solution, values: Array, name: str) -> Array:
    """Return values as contiguous doubles, one per point: machine code reads them as such."""
    flat = np.ascontiguousarray(np.ravel(values), dtype=np.float64)
    if flat.size != solution.status.size:
        found = f"{name} has {flat.size} values for {solution.status.size} points"
        raise ShapeError(f"enclosures of {solution.name}", found, "give the Solution as it was")
    return flat


_Prover = EnclosureKernel | Engine
_KERNELS: dict[tuple[int, Wanted], tuple[_Prover, str]] = {}


def _prover(program: AnyProgram, wanted: Wanted) -> tuple[_Prover, str]:
    """Return what proves points of a program, made once.

    The text says why there is no vector form, if there is none.
    """
    return kept(_KERNELS, (id(program), wanted), lambda: _new_prover(program, wanted))


def _new_prover(program: AnyProgram, wanted: Wanted) -> tuple[_Prover, str]:
    if not isinstance(program, Program):
        return engine_of(program), "its equations are coupled"
    try:
        return EnclosureKernel(program, wanted), ""
    except NotSupportedError as error:
        return engine_of(program), f"{error.asked}: {error.found}"
