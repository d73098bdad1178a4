"""The best ridge of a readout, found with a certificate, and when there is none to be had.

Stage: a declaration and one point of its other controls in; the ridge that minimises E_test out.
The slope dE/dlam of the compiled equations is exact, so a minimum is a sign change of the slope
that exceeds its own error bound on both sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from derive.errors import NotConvergedError, RangeError
from numeric.compiled import Evaluator, compile
from numeric.solution import Solution

_LOW, _HIGH, _COUNT, _REFINE, _ROUNDS = 1e-9, 1e6, 241, 33, 12


class Where(IntEnum):
    """Where the smallest error lies."""

    INSIDE = 0
    """At a positive ridge; ``bracket`` holds it."""
    ZERO = 1
    """At no ridge: the error grows from the smallest ridge on."""
    INFINITE = 2
    """At an infinite ridge: nothing can be learnt, the error falls towards that of no readout."""


@dataclass(frozen=True)
class BestRidge:
    """The best ridge at one point.

    Attributes:
        lam: the ridge, the middle of the bracket (0 or infinity at an end).
        E_test: error there, the smallest of all minima.
        error: bound of the rounding of ``E_test``.
        bracket: ridges between which the slope changes sign, proved by its error bounds.
        slopes: the slopes at the ends of the bracket.
        minima: ridges of all local minima that were seen, in increasing order.
        where: inside, at zero, or at infinity.
    """

    lam: float
    E_test: float
    error: float
    bracket: tuple[float, float]
    slopes: tuple[float, float]
    minima: tuple[float, ...]
    where: Where


@dataclass(frozen=True)
class NoiseThreshold:
    """The label noise at which the slope of E_test in the ridge vanishes.

    Attributes:
        noise: the threshold; negative if more ridge helps at any noise.
        error: its error, from those of the two slopes it rests on.
    """

    noise: float
    error: float


def best_ridge(model: Any, **controls: Any) -> BestRidge:
    """Find the ridge that minimises E_test.

    Args:
        model: a declaration or System with the control ``lam`` and the output ``E_test``, or an
            Evaluator compiled from one, with errors and slopes.
        **controls: numbers for all other controls.

    Raises:
        RangeError: if ``lam`` is given.
        NotConvergedError: if a point fails, or no sign of the slope is certain.

    Accuracy: the bracket is certain where the float64 error bounds are; its relative width is at
        most 1e-6, or what the error of the slope allows. Minima outside [1e-9, 1e6] count as ends.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> found = best_ridge(deep_features([]), alpha=2, noise=0.25)
        >>> round(found.lam, 6), found.where.name
        (0.25, 'INSIDE')
    """
    if "lam" in controls:
        raise RangeError("best_ridge(lam=...)", "the ridge is what is sought", "leave it out")
    evaluate = model if isinstance(model, Evaluator) else compile(model)
    grid = np.geomspace(_LOW, _HIGH, _COUNT)
    slope, error = _slopes(evaluate, controls | {"lam": grid})
    sign = np.where(slope > error, 1, np.where(slope < -error, -1, 0))
    places = np.flatnonzero(sign)
    if not places.size:
        raise NotConvergedError(
            "the best ridge", "no slope exceeds its error bound", "check the controls"
        )
    known = sign[places]
    rises = np.flatnonzero((known[:-1] < 0) & (known[1:] > 0))
    found = [_refined(evaluate, grid[places[i]], grid[places[i + 1]], controls) for i in rises]
    ends = [(_LOW, Where.ZERO)] if known[0] > 0 else []
    ends += [(_HIGH, Where.INFINITE)] if known[-1] < 0 else []
    return _smallest(evaluate, found, ends, controls)


def noise_threshold(model: Any, **controls: Any) -> NoiseThreshold:
    """Return the label noise above which more ridge lowers E_test, at a given ridge.

    E_test is affine in the noise, so its slope in lam is, and changes sign at one value: the phase
    boundary between too little and too much ridge. At the smallest ridge it separates the phase
    where interpolation is best (noise below it) from the one where a ridge helps; a negative value
    says that a ridge helps at any noise.

    Args:
        model: as ``best_ridge``.
        **controls: numbers for all controls but ``noise``.

    Raises:
        RangeError: if ``noise`` is given.
        NotConvergedError: if a point fails, or the noise changes the slope by less than its error.

    Accuracy: that of the slopes of the evaluator, passed on in ``error``.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> found = noise_threshold(deep_features([]), alpha=2, lam=0.25)  # lam* = noise
        >>> round(found.noise, 9), found.error < 1e-9
        (0.25, True)
    """
    if "noise" in controls:
        raise RangeError("noise_threshold(noise=...)", "it is what is sought", "leave it out")
    evaluate = model if isinstance(model, Evaluator) else compile(model)
    ends = np.array([0.0, 1.0])
    (none, one), (low, high) = _slopes(evaluate, controls | {"noise": ends})
    gap = none - one
    if not abs(gap) > low + high:
        raise NotConvergedError(
            "the noise threshold",
            f"the noise changes the slope by {abs(gap):.1e}, within its error {low + high:.1e}",
            "move the ridge or the other controls",
        )
    error = (abs(one) * low + abs(none) * high) / gap**2
    return NoiseThreshold(float(none / gap), float(error))


def _points(evaluate: Evaluator, controls: Mapping[str, Any]) -> Solution:
    solution = evaluate(**controls)
    if not solution.converged:
        raise NotConvergedError("the best ridge", "a point did not converge", "check the controls")
    return solution


def _slopes(
    evaluate: Evaluator, controls: Mapping[str, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    solution = _points(evaluate, controls)
    return solution.slopes["dE_test_dlam"], solution.error["dE_test_dlam"]


def _refined(
    evaluate: Evaluator, low: float, high: float, controls: Mapping[str, Any]
) -> tuple[float, float, float, float]:
    """Narrow a bracket while the signs at its ends stay certain; return it with its slopes."""
    ends = (np.nan, np.nan)
    for _ in range(_ROUNDS):
        grid = np.geomspace(low, high, _REFINE)
        slope, error = _slopes(evaluate, {**controls, "lam": grid})
        falling, rising = np.flatnonzero(slope < -error), np.flatnonzero(slope > error)
        i, j = int(falling[-1]), int(rising[rising > falling[-1]][0])
        ends = (float(slope[i]), float(slope[j]))
        if (grid[i], grid[j]) == (low, high) or high / low - 1 < 1e-6:
            break
        low, high = float(grid[i]), float(grid[j])
    return low, high, *ends


def _smallest(
    evaluate: Evaluator,
    found: list[tuple[float, float, float, float]],
    ends: list[tuple[float, Where]],
    controls: Mapping[str, Any],
) -> BestRidge:
    middles = [float(np.sqrt(low * high)) for low, high, *_ in found]
    places = [*middles, *(value for value, _ in ends)]
    solution = _points(evaluate, {**controls, "lam": np.array(places)})
    errors = solution.E_test
    best = int(np.argmin(errors))
    smallest = float(errors[best]), float(solution.error["E_test"][best])
    minima = tuple(sorted(middles))
    if best < len(middles):
        low, high, *slopes = found[best]
        pair = (slopes[0], slopes[1])
        return BestRidge(middles[best], *smallest, (low, high), pair, minima, Where.INSIDE)
    value, where = ends[best - len(middles)]
    slope = float(_slopes(evaluate, {**controls, "lam": value})[0])
    lam = 0.0 if where is Where.ZERO else float("inf")
    bracket = (0.0, value) if where is Where.ZERO else (value, float("inf"))
    return BestRidge(lam, *smallest, bracket, (slope, slope), minima, where)
