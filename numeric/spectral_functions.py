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

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.errors import RangeError, ShapeError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """The spectral sums at effective ridges x; each entry has the shape of x."""

    df1: Array
    df2: Array
    T: Array
    T2: Array
    unexplained: Array


class SpectralFunctions(Protocol):
    """Anything that gives ``Sums`` at effective ridges, and the target's second moment."""

    @property
    def rho(self) -> float:
        """Second moment of the target without label noise."""

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
        if len(shapes) != 1 or self.values.ndim != 1:
            raise ShapeError(
                "values, weights and overlaps of the modes",
                f"shapes {sorted(shapes)}",
                "give three vectors of one length",
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

    @property
    def rho(self) -> float:
        """Second moment of the target without label noise."""
        return self.misfit + float(np.sum(self._explained()))

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x > 0, of any shape."""
        ridge = np.asarray(x, dtype=float)[..., None]
        resolvent = 1 / (self.values + ridge)
        share = self.values * resolvent
        lost = (ridge * resolvent) ** 2
        return Sums(
            df1=share @ self.weights,
            df2=share**2 @ self.weights,
            T=resolvent @ self.overlaps,
            T2=(share * resolvent) @ self.overlaps,
            unexplained=self.misfit + lost @ self._explained(),
        )

    def _explained(self) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.values > 0, self.overlaps / self.values, 0.0)
