r"""What a linear readout sees of its features: four sums over the spectrum of their covariance.

Stage: a population (Omega, psi, rho) in, its spectral functions out. Every learning curve of a
readout, for any convex loss, is a function of the sums below; where they come from (an
architecture, weight matrices, data) does not matter downstream. With normalised traces
<A> = Tr A / p and an effective ridge x > 0,

.. math:: df_1 = \langle \Omega (\Omega + x)^{-1} \rangle, \quad
          df_2 = \langle \Omega^2 (\Omega + x)^{-2} \rangle, \quad
          T = \psi^T (\Omega + x)^{-1} \psi, \quad T_2 = \psi^T \Omega (\Omega + x)^{-2} \psi,

and the part of the target that the readout leaves unexplained,

.. math:: U = \rho - \psi^T [(\Omega + x)^{-1} + x (\Omega + x)^{-2}] \psi
            = (\rho - \psi^T \Omega^{-1} \psi) + x^2\, \psi^T \Omega^{-1} (\Omega + x)^{-2} \psi.

The second form of U has positive terms only, so it loses no digits at small x.
In the letters S = <(Omega + x)^-1>: df_1 = 1 - x S, df_2 = 1 - 2 x S - x^2 S', T_2 = T + x T',
U = rho - T + x T'. Source: arXiv:2402.13999, eq. 10-12, in the population form derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.errors import RangeError, ShapeError
from numeric.spectral_loops import spectral_loops

Array = NDArray[np.float64]
_BLOCK = 2**17  # entries of one temporary: it stays in the cache of a core
_SUM_OF_WEIGHTS = 1e-9


@dataclass(frozen=True)
class Sums:
    """The spectral sums at effective ridges x; each entry has the shape of x.

    Attributes:
        df1, df2, T, T2, unexplained: as defined above.
        rest1: rank - df1, where the maker knows it in positive terms; else None.
        rest2: rank - df2, likewise.
    """

    df1: Array
    df2: Array
    T: Array
    T2: Array
    unexplained: Array
    rest1: Array | None = None
    rest2: Array | None = None


class SpectralFunctions(Protocol):
    """Anything that gives ``Sums`` at effective ridges, and the target's second moment.

    Two attributes are read where they exist: ``rank``, the limit of df1 at x = 0 (else 1), and
    ``least``, the smallest x at which the sums are known (else 0).
    """

    @property
    def rho(self) -> float:
        """Second moment of the target without label noise.

        Accuracy: that of the maker.
        """

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x > 0, of any shape."""


@dataclass(frozen=True)
class Modes:
    """Spectral functions of finitely many modes.

    Attributes:
        values: eigenvalues of Omega, shape (modes,), not negative.
        weights: fraction of the p directions in each mode, shape (modes,), with sum 1.
        overlaps: squared projections of psi on each mode, shape (modes,), not negative; zero
            wherever the eigenvalue is zero.
        misfit: rho - psi^T Omega^-1 psi, the part of the target that no readout explains.

    Example:
        >>> one = Modes(np.array([1.0, 4.0]), np.array([0.5, 0.5]), np.array([0.5, 8.0]))
        >>> one.rho, one([1.0]).df1.round(6)
        (2.5, array([0.65]))
    """

    values: Array
    weights: Array
    overlaps: Array
    misfit: float = 0.0

    def __post_init__(self) -> None:
        shapes = {np.shape(a) for a in (self.values, self.weights, self.overlaps)}
        if len(shapes) != 1 or np.ndim(self.values) != 1 or not np.size(self.values):
            raise ShapeError(
                "values, weights and overlaps of the modes",
                f"shapes {sorted(shapes)}",
                "give three vectors of one length, not empty",
            )
        for name in ("values", "weights", "overlaps"):
            array = getattr(self, name)
            if not np.all(np.isfinite(array) & (array >= 0)):
                raise RangeError(
                    f"{name} of the modes", f"smallest entry {np.min(array)}", "give entries >= 0"
                )
        if np.any((self.values == 0) & (self.overlaps > 0)):
            raise RangeError(
                "overlaps of the modes",
                "a target on a direction that the features do not have",
                "Phi must be compatible with Omega: zero overlap where the eigenvalue is zero",
            )
        self._refuse_scalars()

    def _refuse_scalars(self) -> None:
        total = float(np.sum(self.weights))
        if abs(total - 1) > _SUM_OF_WEIGHTS:
            raise RangeError(
                "weights of the modes", f"their sum is {total:.12g}", "make them sum to 1"
            )
        if not (np.isfinite(self.misfit) and self.misfit >= 0):
            raise RangeError(
                f"misfit = {self.misfit}",
                "negative or not finite: psi explains more than the target's second moment",
                "Phi and Psi must be covariances of one joint law",
            )
        if not np.any(self.values > 0):
            raise RangeError("values of the modes", "all zero", "features must vary")

    @property
    def rho(self) -> float:
        """Second moment of the target without label noise.

        Accuracy: rounding of one sum.
        """
        return self.misfit + float(np.sum(self._seen[3]))

    @cached_property
    def rank(self) -> float:
        """Weight of the modes with eigenvalue > 0, the limit of df1 at x = 0; 1 if all are.

        Accuracy: rounding of one sum.
        """
        return 1.0 if np.all(self.values > 0) else float(np.sum(self._seen[1]))

    @cached_property
    def mean(self) -> float:
        """Mean eigenvalue <Omega>.

        Accuracy: rounding of one sum.
        """
        return float(self.values @ self.weights)

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x >= 0, of any shape; at x = 0 with Omega^-1 as pseudo-inverse."""
        ridge = np.asarray(x, dtype=np.float64)
        rows = np.empty((7, ridge.size))
        points = np.ascontiguousarray(ridge).reshape(-1)
        values, weights, _, explained = self._seen
        spectral_loops().mode_sums(points, values, weights, explained, float(self.misfit), rows)
        return Sums(*(row.reshape(ridge.shape) for row in rows))

    @cached_property
    def _seen(self) -> tuple[Array, Array, Array, Array]:
        """Values, weights, overlaps and explained parts of the modes that vary."""
        kept = np.flatnonzero(self.values > 0)
        columns = (self.values, self.weights, self.overlaps)
        values, weights, overlaps = (np.asarray(c, dtype=np.float64)[kept] for c in columns)
        return values, weights, overlaps, overlaps / values


def by_blocks(function: Callable[[Array, Array], None], x: Array, rows: int, terms: int) -> Array:
    """Fill a table (rows, x.size) block by block, so that temporaries of x by terms stay small.

    Accuracy: that of the function, which writes its rows into its second argument.
    """
    out = np.empty((rows, x.size))
    step = max(1, _BLOCK // max(1, terms))
    for start in range(0, x.size, step):
        function(x[start : start + step], out[:, start : start + step])
    return out
