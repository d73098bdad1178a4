r"""Student statistics of a mean over sizes: extrapolation in 1/d, quantiles, and power.

Stage: the arithmetic of ``numeric.compare``; nothing here knows what is compared.

Conventions: the first axis of every table is the size. A mean at size d is modelled as
``a + b/d``; ``a`` is the value at infinite size. Its coefficients follow from the design (sizes and
numbers of trials), not from the measured errors, so it is unbiased under the model; its degrees of
freedom are Satterthwaite's, from the measured errors, because a rule for how they fall with d
would spoil the level where it fails.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
POWER = 0.98
_LEVELS = 400  # quantiles that stand for the law of the estimated standard error


@dataclass(frozen=True, eq=False)
class Intercept:
    """The value at infinite size, one per point.

    Attributes:
        value: estimate of ``a``; NaN where fewer than two sizes can be used.
        stderr: its standard error.
        dof: degrees of freedom of that standard error.
        least_dof: fewest degrees of freedom of a size; a lower bound of ``dof``.
        slope: estimate of ``b``.
        curvature: coefficient with which a term ``c/d**2`` of the truth would enter ``value``.
    """

    value: Array
    stderr: Array
    dof: Array
    least_dof: Array
    slope: Array
    curvature: Array


def extrapolate(d: Array, mean: Array, stderr: Array, count: Array) -> Intercept:
    """Fit ``a + b/d`` to means at several sizes.

    The weight of a size is ``count * d**2``, because fluctuations of traces fall as 1/d; where they
    do not, only efficiency is lost.

    Args:
        d: sizes, shape (s,).
        mean: means, shape (s, *points).
        stderr: their standard errors, same shape.
        count: trials behind each, same shape; sizes with fewer than two are left out.

    Accuracy: rounding below 1e-14 relative to the largest mean times the largest coefficient.

    Example:
        >>> import numpy as np
        >>> d, one = np.array([100.0, 200.0]), np.ones(2)
        >>> fit = extrapolate(d, 3 + 50 / d, 0.01 * one, 20 * one)
        >>> round(float(fit.value), 12), round(float(fit.slope), 9)
        (3.0, 50.0)
    """
    x = (1 / d).reshape(-1, *(1,) * (mean.ndim - 1))
    usable = (count >= 2) & np.isfinite(mean) & np.isfinite(stderr)
    weight = np.where(usable, count / x**2, 0.0)
    enough = usable.sum(axis=0) >= 2
    total = np.where(enough, weight.sum(axis=0), np.nan)
    centre = (weight * x).sum(axis=0) / total
    spread = (weight * (x - centre) ** 2).sum(axis=0)
    slopes = weight * (x - centre) / spread
    coefficients = weight / total - centre * slopes
    value, slope = (_combine(c, mean, usable) for c in (coefficients, slopes))
    variances = np.where(usable, (coefficients * stderr) ** 2, 0.0)
    return Intercept(
        value=value,
        stderr=np.sqrt(variances.sum(axis=0)) + 0 * total,
        least_dof=np.where(usable, count - 1.0, np.inf).min(axis=0),
        dof=satterthwaite(variances, count - 1.0),
        slope=slope,
        curvature=(coefficients * x**2).sum(axis=0),
    )


def _combine(coefficients: Array, mean: Array, usable: NDArray[np.bool_]) -> Array:
    return np.asarray((coefficients * np.where(usable, mean, 0.0)).sum(axis=0))


def satterthwaite(variances: Array, dof: Array) -> Array:
    """Return the degrees of freedom of a sum of estimated variances along the first axis.

    Args:
        variances: estimated variances, shape (s, *points); zero for a term that does not count.
        dof: degrees of freedom of each, same shape.

    Returns:
        Shape ``points``; between the least of the terms that count and their sum; at least 1.

    Accuracy: an approximation. Two terms of 9 degrees of freedom, at a level of 1e-4: the true
    level was 0.8 to 1.8 times that, over all ratios of the variances; with 4 each, 0.5 to 3.5.
    """
    spread = np.where(variances > 0, variances**2 / np.maximum(dof, 1.0), 0.0).sum(axis=0)
    total = variances.sum(axis=0)
    return np.divide(total**2, spread, out=np.ones(spread.shape), where=spread > 0)


def two_sided_limit(level: Array | float, dof: Array) -> Array:
    """Return the |t| that chance exceeds with probability ``level``.

    Accuracy: 1e-10 relative for levels above 1e-12.

    Example:
        >>> import numpy as np
        >>> round(float(two_sided_limit(0.05, np.array(10.0))), 3)
        2.228
    """
    return np.asarray(-special.stdtrit(dof, np.asarray(level) / 2))


def detectable(limit: Array, dof: Array) -> Array:
    r"""Return the shift, in standard errors, that |t| > limit detects with probability 0.98.

    With Z normal and R the ratio of estimated to true standard error, the shift solves
    P(shift + Z > limit R) = 0.98. It exceeds the customary ``limit + 2``, which forgets that the
    standard error is itself an estimate.

    Args:
        limit: limits on |t|, any shape.
        dof: degrees of freedom, same shape.

    Accuracy: 1e-2 absolute for dof >= 4 (400 quantiles of R stand for its law).

    Example:
        >>> import numpy as np
        >>> round(float(detectable(np.array(4.5), np.array(1e6))), 2)  # limit + 2.05
        6.55
    """
    levels = (np.arange(_LEVELS) + 0.5) / _LEVELS
    ratio = np.sqrt(special.chdtri(dof[..., None], levels) / dof[..., None])
    bar = limit[..., None] * ratio
    low, high = np.zeros(limit.shape), bar.max(axis=-1) + 10.0
    for _ in range(60):
        middle = (low + high) / 2
        seen = special.ndtr(middle[..., None] - bar).mean(axis=-1) >= POWER
        low, high = np.where(seen, low, middle), np.where(seen, middle, high)
    return np.asarray(high)
