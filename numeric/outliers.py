"""Outliers of a matrix with spikes: places off the bulk, overlaps, edges of the gaps, certificates.

Stage: ``derive.spikes.outliers`` in, numbers out. The compiled equations are followed at real
spectral arguments; where the path from the explicit start stays regular and real, the argument is
off the bulk and the condition is a real function of it, whose sign changes are the outliers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from derive.coupled import CoupledProgram
from derive.errors import NotConvergedError, NotSupportedError, RangeError, UnknownNameError
from derive.spikes import Outliers
from numeric.compiled import Evaluator, compile
from numeric.solution import Solution, Status

Array = NDArray[np.float64]
_GRID = 600
_ROUNDS = 40
_SPLIT = 17


@dataclass(frozen=True)
class Outlier:
    """One eigenvalue off the bulk.

    Attributes:
        place: where. error: of the place, absolute.
        group: number of the group of spikes that makes it, from 1.
        overlaps: squared overlap of its unit eigenvector with each vector of the spikes.
        gap: the interval off the bulk in which it lies.
        residual: condition at the place, divided by its slope.
        proved: whether the equations of the bulk are proved to be on the physical branch there, by
            the test of ``derive.random_matrices.stability``.
    """

    place: float
    error: float
    group: int
    overlaps: Mapping[str, float]
    gap: tuple[float, float]
    residual: float
    proved: bool

    def __repr__(self) -> str:
        shares = ", ".join(f"{name}: {v:.6g}" for name, v in self.overlaps.items())
        return f"Outlier({self.place:.12g} +/- {self.error:.1g}, group {self.group}; {shares})"


@dataclass(frozen=True)
class OutlierSearch:
    """What was found.

    Attributes:
        outliers: in increasing order of place.
        gaps: intervals off the bulk that were searched; None as an end is the end of the search.
    """

    outliers: tuple[Outlier, ...]
    gaps: tuple[tuple[float, float], ...]

    @property
    def places(self) -> tuple[float, ...]:
        """Places of the outliers."""
        return tuple(o.place for o in self.outliers)


def find_outliers(
    found: Outliers,
    *,
    low: float | None = None,
    high: float | None = None,
    evaluator: Evaluator | None = None,
    **controls: float,
) -> OutlierSearch:
    """Find the eigenvalues off the bulk of a matrix with spikes.

    Args:
        found: equations of the spiked matrix.
        low: left end of the search, -1e4 by default.
        high: right end of the search, 1e4 by default.
        evaluator: ``outlier_evaluator(found)``, to compile once for many calls.
        **controls: a number for every control and dimension except the spectral argument.

    Raises:
        UnknownNameError: if the spectral argument is among the controls.
        RangeError: for an empty interval.
        NotConvergedError: if no point of the search is off the bulk.
        NotSupportedError: for anything but the equations of a spiked matrix.

    Accuracy: ``error`` per place. Two outliers of one group closer than the grid (relative 1e-2,
    finer next to the edges of the bulk), or an exactly double one, can be missed.
    """
    if not isinstance(found, Outliers):
        remedy = "give derive.spikes.outliers(expression, z)"
        raise NotSupportedError(f"outliers of a {type(found).__name__}", "no Outliers", remedy)
    name = found.z.name
    if name in controls:
        raise UnknownNameError(f"control {name}", "it is the unknown here", "give low= and high=")
    ready = evaluator or outlier_evaluator(found)
    search = _Search(ready, name, controls)
    grid = _grid(low, high)
    real = search.off_bulk(grid)
    gaps = search.gaps(grid, real)
    if not gaps:
        remedy = "widen the interval; the path may be singular at every point"
        raise NotConvergedError("outliers", "no point of the search is off the bulk", remedy)
    outliers = [o for gap in gaps for o in search.inside(gap, found)]
    return OutlierSearch(tuple(sorted(outliers, key=lambda o: o.place)), tuple(gaps))


def outlier_evaluator(found: Outliers) -> Evaluator:
    """Compile the equations of a spiked matrix with all conditions and overlaps."""
    return compile(found.overlaps().program(slope_control=""))


def _grid(low: float | None, high: float | None) -> Array:
    a, b = (-1e4 if low is None else low), (1e4 if high is None else high)
    if not a < b:
        raise RangeError(f"search on [{a}, {b}]", "an empty interval", "give low < high")
    scale = 0.02
    t = np.linspace(np.arcsinh(a / scale), np.arcsinh(b / scale), _GRID)
    return np.unique(np.concatenate([scale * np.sinh(t), np.linspace(a, b, _GRID // 4)]))


class _Search:
    """Evaluations of one spiked matrix at fixed controls."""

    def __init__(self, ready: Evaluator, name: str, controls: Mapping[str, float]) -> None:
        self.ready, self.name, self.controls = ready, name, controls

    def at(self, x: Array) -> Solution:
        inputs: dict[str, Any] = {self.name: x, **self.controls}
        return self.ready(**inputs)

    def off_bulk(self, x: Array) -> NDArray[np.bool_]:
        return np.asarray(self.at(x).status == Status.CONVERGED)

    def gaps(self, grid: Array, real: NDArray[np.bool_]) -> list[tuple[float, float]]:
        """Return the intervals off the bulk, their ends bisected."""
        flips = np.flatnonzero(real[1:] != real[:-1])
        inner, outer = (
            np.where(real[flips], flips, flips + 1),
            np.where(real[flips], flips + 1, flips),
        )
        good, bad = grid[inner].copy(), grid[outer].copy()
        for _ in range(_ROUNDS if flips.size else 0):
            middle = (good + bad) / 2
            holds = self.off_bulk(middle)
            good, bad = np.where(holds, middle, good), np.where(holds, bad, middle)
        ends = [grid[0]] if real[0] else []
        ends += good.tolist()
        ends += [grid[-1]] if real[-1] else []
        return [(float(a), float(b)) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]

    def inside(self, gap: tuple[float, float], found: Outliers) -> list[Outlier]:
        """Return the outliers of one gap."""
        x = _resolved(gap)
        solution = self.at(x)
        x = x[solution.status == Status.CONVERGED]
        out = []
        for group, condition in enumerate(found.conditions(), 1):
            values = solution[condition][solution.status == Status.CONVERGED]
            for i in np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1])):
                place = self._root(condition, x[i], x[i + 1])
                if place is not None:
                    out.append(self._outlier(place, group, condition, gap))
        return out

    def _root(self, condition: str, low: float, high: float) -> float | None:
        """Shrink a bracket; None if the sign changes at a pole."""
        for _ in range(14):
            x = np.linspace(low, high, _SPLIT)
            values = self.at(x)[condition]
            signs = np.sign(values)
            flips = np.flatnonzero(signs[1:] != signs[:-1])
            if not flips.size or not np.isfinite(values).all():
                return None
            low, high = float(x[flips[0]]), float(x[flips[0] + 1])
            if high - low <= 4 * np.spacing(max(abs(low), abs(high))):
                break
        ends = self.at(np.array([low, high]))[condition]
        return (
            None if abs(ends).max() > 1e-3 else float(low if abs(ends[0]) < abs(ends[1]) else high)
        )

    def _outlier(
        self, place: float, group: int, condition: str, gap: tuple[float, float]
    ) -> Outlier:
        solution = self.at(np.array([place]))
        slope = float(solution[f"{condition}_{self.name}"][0])
        ends = f"_{group}"
        overlaps = {
            name.removeprefix("overlap_").removesuffix(ends): float(values[0])
            for name, values in solution.outputs.items()
            if name.startswith("overlap_") and name.endswith(ends)
        }
        error = float(solution.error[condition][0] / abs(slope)) + 4 * float(np.spacing(abs(place)))
        residual = float(solution[condition][0] / slope)
        proved = self._proved(place, solution)
        return Outlier(place, error, group, overlaps, gap, residual, proved)

    def _proved(self, place: float, solution: Solution) -> bool:
        """Whether the root is the limit; unknowns are taken in balls of their errors."""
        program = self.ready.program
        test = program.stability if isinstance(program, CoupledProgram) else None
        values = {name: arb(value) for name, value in self.controls.items()}
        values[self.name] = arb(place)
        for name in solution.unknowns:
            error = 2 * float(solution.error[name][0])
            values[name] = arb(float(solution.unknowns[name][0]), error)
        return test is not None and test.test_named(values).proved


def _resolved(gap: tuple[float, float]) -> Array:
    """Return points of a gap, dense next to both ends."""
    low, high = gap
    shares = np.concatenate([np.geomspace(1e-12, 0.5, _GRID // 2), [0.0]])
    width = high - low
    return np.unique(np.concatenate([low + width * shares, high - width * shares]))


def summary(search: OutlierSearch) -> str:
    """Return the outliers as text, one a line."""
    return "\n".join(map(repr, search.outliers)) or "no outlier"
