r"""Ridge regression on features with known spectral functions: the effective ridge, and the errors.

Stage: ``SpectralFunctions`` (of modes, an architecture or data) and controls in, a ``Solution``
out. With r = n/p and the sums of ``numeric.spectral_functions`` at the effective ridge x,

.. math:: \lambda = x (r - df_1(x)), \quad m = \frac{1}{r x}, \quad \delta = \frac{df_2}{r}, \quad
          E_{test} = \frac{U + \sigma^2}{1 - \delta}, \quad
          E_{gen} = \frac{U + \sigma^2 \delta}{1 - \delta}, \quad
          E_{train} = (\lambda m)^2 E_{test}.

All terms are positive; r - df_1 and r - df_2 are taken as (r - rank) + (rank - df) where that is
the smaller sum, so n = p with a small ridge loses no digits.

**Method.** f(x) = x (r - df_1) - lam is convex (x df_1 is concave for any spectrum) with
f(0) <= 0, so its positive root is unique and Newton from above decreases to it. Starts come from a
table in log x, made once for all points: the cell that holds the root by bisection of the sign of
f, and Newton on the Hermite interpolant of its two ends and their neighbours (the slopes
d df_1/d log x = df_2 - df_1 are known; degree 7, so that the start is near rounding). What decides
is the exact sums there: where f is not within its own rounding, Newton goes on with them. For
sweeps of many points over many modes, ``numeric.compressed_spectrum.compress`` makes the sums
themselves a table, once.

**Limits.** lam = 0 with r > rank has x = 0 and lam m = 1 - rank/r; with r < rank the positive root
of df_1(x) = r; at r = rank the error diverges unless nothing is left to fit.

Conventions: minimise sum_i (y_i - theta.phi_i/sqrt(p))^2 + lam |theta|^2 (no 1/2, no 1/n); features
centred, or an intercept fitted. Source: arXiv:2402.13999, eq. 9-13, population form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.errors import RangeError, ShapeError
from numeric.ridge_starts import limits, starts
from numeric.solution import Solution, Status
from numeric.spectral_functions import SpectralFunctions, Sums
from numeric.spectral_loops import CHANCES, spectral_loops

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
MOST_STEPS = 8
_EPS = 2.0**-53
_NONE = np.empty(0)
_LEAST = 1e-290
_SETTLED = 1e-8  # x f''/f' <= 2 at the root, so a relative step e leaves at most about e^2


@dataclass(frozen=True)
class Effective:
    """Effective ridges of points, all of one shape (points,).

    Attributes:
        x: the effective ridge.
        sums: spectral sums there.
        spare: r - df1. gap: r - df2. Both in the form that loses fewer digits.
        lost: by how much the rounding of the terms of r - df2 is amplified in it.
        relative: estimate of the relative error of x.
        residual: |f| relative to the larger of its two terms.
        steps: Newton steps on the exact sums.
        status: ``Status`` codes.
    """

    x: Array
    sums: Sums
    spare: Array
    gap: Array
    lost: Array
    relative: Array
    residual: Array
    steps: NDArray[np.int32]
    status: NDArray[np.int8]


def ridge_curve(
    functions: SpectralFunctions, *, ratio: ArrayLike, lam: ArrayLike, noise: ArrayLike = 0.0
) -> Solution:
    """Return the learning curve of ridge regression on the broadcast grid of the controls.

    Args:
        functions: spectral functions of the population.
        ratio: n/p, samples per feature, > 0; a number or an array.
        lam: ridge >= 0; zero gives the ridgeless limit from above.
        noise: variance of the label noise, >= 0.

    Returns:
        Solution with outputs ``m, E_test, E_gen, E_train, delta, spare`` (lam m = 1 - df1/r) and
        unknown ``x``. ``E_test`` counts the noise of a fresh label, ``E_gen`` does not. NaN in a
        control gives that point the status BAD_INPUT; where the sums are not known down to the
        effective ridge (fewer data than asked for), the status is LEFT_RANGE.

    Raises:
        RangeError: a control out of its range, with its index.
        ShapeError: controls that do not broadcast.

    Accuracy: ``Solution.error`` is a first-order bound of the rounding, from the sums to the
    outputs; about 1e-15 relative away from the peak, and of the order 1e-16/(1 - delta) near it.

    Example:
        >>> from numeric.spectral_functions import Modes
        >>> flat = Modes(np.ones(1), np.ones(1), np.zeros(1))
        >>> curve = ridge_curve(flat, ratio=2.0, lam=[0.1, 0.0])
        >>> curve.m.tolist(), curve.spare.tolist()
        ([5.42214438511..., inf], [0.54221443851..., 0.5])
    """
    controls = _controls(ratio=ratio, lam=lam, noise=noise)
    flat = {name: value.reshape(-1) for name, value in controls.items()}
    bad = np.isnan(flat["ratio"] + flat["lam"] + flat["noise"])
    filled = {k: np.where(bad, 1.0, v) for k, v in flat.items()}
    found = effective_ridge(functions, filled["ratio"], filled["lam"])
    outputs, error = _outputs(found, filled, 4 * _EPS + 2 * _inexact(functions))
    status = np.where(bad, Status.BAD_INPUT, found.status).astype(np.int8)
    good = status == Status.CONVERGED
    shape = controls["lam"].shape

    def kept(values: Array) -> Array:
        return np.where(good, values, np.nan).reshape(shape)

    return Solution(
        name="ridge readout",
        key=type(functions).__name__,
        controls=controls,
        outputs={name: kept(value) for name, value in outputs.items()},
        error={name: kept(value) for name, value in error.items()},
        unknowns={"x": kept(found.x)},
        slopes={},
        residual=kept(found.residual),
        status=status.reshape(shape),
        steps=found.steps.reshape(shape),
    )


def _controls(**given: ArrayLike) -> dict[str, Array]:
    arrays = {name: np.asarray(value, dtype=float) for name, value in given.items()}
    try:
        grid = np.broadcast_arrays(*arrays.values())
    except ValueError as error:
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
        raise ShapeError("controls of the ridge", shapes, "give shapes that broadcast") from error
    for name, array in arrays.items():
        strict = name == "ratio"
        wrong = ~np.isnan(array) & ~(np.isfinite(array) & (array > 0 if strict else array >= 0))
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            where = f"[{', '.join(map(str, index))}]" if index else ""
            raise RangeError(
                f"{name}{where} = {array[index]}",
                "out of range",
                f"give a finite number {'> 0' if strict else '>= 0'}",
            )
    return {name: np.array(a) for name, a in zip(arrays, grid, strict=True)}


def effective_ridge(functions: SpectralFunctions, ratio: Array, lam: Array) -> Effective:
    """Solve lam = x (r - df1(x)) at points of shape (points,).

    Example:
        >>> from numeric.spectral_functions import Modes
        >>> flat = Modes(np.ones(1), np.ones(1), np.zeros(1))
        >>> effective_ridge(flat, np.array([0.5]), np.array([0.0])).x
        array([1.])
    """
    rank, least = limits(functions)
    ratio, lam = np.ascontiguousarray(ratio), np.ascontiguousarray(lam)
    open_ = (lam > 0) | (ratio < rank)
    if open_.all():
        x = starts(functions, ratio, lam) if lam.size else np.empty(0)
    else:
        x = np.full(lam.shape, least)
        if open_.any():
            x[open_] = starts(functions, ratio[open_], lam[open_])
    state = _State(functions, ratio, lam, x, open_)
    steps = state.solve()
    status, found = np.empty(lam.size, dtype=np.int8), np.empty((4, lam.size))
    limit = (state.unit, least, MOST_STEPS)
    spectral_loops().settle(lam, *limit, state.table, steps, status, found)
    spare, lost, error, residual = found
    return Effective(state.x, state.sums, spare, state.gap, lost, error, residual, steps, status)


class _State:
    """Points on their way to the root: x, the sums there, f and a bound of its rounding.

    r - df1 and r - df2 are taken in the form with the smaller terms.
    """

    def __init__(
        self, functions: SpectralFunctions, ratio: Array, lam: Array, x: Array, open_: Bools
    ) -> None:
        self.functions, self.ratio, self.lam = functions, ratio, lam
        self.rank, self.least = limits(functions)
        self.unit = 8 * _EPS + _inexact(functions)
        self.table = np.empty((7, x.size))
        self.x, self.spare, self.gap, self.lost, self.f, self.bound, chances = self.table
        self.x[:], chances[:] = x, np.where(open_, CHANCES, -1.0)
        self.sums = functions(x)
        self._judge(np.arange(x.size), self.sums)

    def solve(self) -> NDArray[np.int32]:
        """Take Newton steps until f is within its rounding, or x settled; return how many."""
        advance = spectral_loops().advance
        steps = np.zeros(self.x.size, dtype=np.int32)
        index, moved = np.arange(self.x.size), np.empty(self.x.size)
        for _ in range(MOST_STEPS):
            count = advance(index, self.least, _SETTLED, self.table, moved, steps)
            if not count:
                break
            index = index[:count]
            fresh = self.functions(moved[:count])
            for field in fields(Sums):
                old, new = getattr(self.sums, field.name), getattr(fresh, field.name)
                if new is not None:
                    old[index] = new
            self._judge(index, fresh)
        return steps

    def _judge(self, index: NDArray[np.int64], sums: Sums) -> None:
        rests = (_NONE if r is None else r for r in (sums.rest1, sums.rest2))
        points = (self.ratio, self.lam, self.rank, self.unit, self.table)
        spectral_loops().judge(index, sums.df1, sums.df2, *rests, *points)


def _inexact(functions: SpectralFunctions) -> float:
    """Return the relative error of the sums beyond rounding, that of a table."""
    return float(getattr(functions, "error", 0.0))


def _outputs(
    found: Effective, controls: Mapping[str, Array], unit: float
) -> tuple[dict[str, Array], dict[str, Array]]:
    ratio, noise = controls["ratio"], controls["noise"]
    sums = found.sums
    with np.errstate(divide="ignore", invalid="ignore"):
        open_share = found.gap / ratio  # 1 - delta
        level = sums.unexplained + noise
        test = np.where(level > 0, level / open_share, 0.0)
        spare = found.spare / ratio
        values = {
            "m": 1 / (ratio * found.x),
            "E_test": test,
            "E_gen": np.where(level > 0, (sums.unexplained + noise * sums.df2 / ratio), 0.0)
            / np.where(level > 0, open_share, 1.0),
            "E_train": np.where(spare > 0, spare**2 * test, 0.0),
            "delta": sums.df2 / ratio,
            "spare": spare,
        }
        # log slopes in x: |dlog U| <= 2, |d df2| <= 2 (df1 - df2), |d df1| = df1 - df2
        bent = np.abs(sums.df1 - sums.df2)
        cancel = unit * (1 + found.lost)
        sway = found.relative * (2 + 2 * bent / np.maximum(found.gap, _LEAST)) + cancel
        slip = found.relative * bent / np.maximum(found.spare, _LEAST) + unit
        error = {
            "m": values["m"] * (found.relative + 2 * _EPS),
            "E_test": test * sway,
            "E_gen": values["E_gen"] * sway + noise * sway * sums.df2 / ratio,
            "E_train": values["E_train"] * (sway + 2 * slip),
            "delta": found.relative * 2 * bent / ratio + unit * values["delta"],
            "spare": spare * slip,
            "x": found.x * found.relative,
        }
    infinite = {name: np.isinf(values[name]) for name in values}
    error |= {name: np.where(infinite[name], 0.0, error[name]) for name in values}
    return values, error
