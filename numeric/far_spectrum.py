r"""Spectral functions at large effective ridges, where differences lose their digits.

Stage: between spectral functions and the solvers that go to large x. Makers that solve for df1 and
T get df2 and T2 as differences, with errors that grow like x^2. In s = 1/x the two functions

.. math:: A(s) = x\, df_1 = \langle \Omega (1 + s \Omega)^{-1} \rangle, \quad
          B(s) = x\, T = \psi^T (1 + s \Omega)^{-1} \psi

are smooth down to s = 0 and known there to all digits, and x^2 df2 = -A'(s), x^2 T2 = -B'(s). They
are interpolated by Chebyshev polynomials, whose derivatives keep the digits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Chebyshev, chebyshev
from numpy.typing import ArrayLike, NDArray

from numeric.spectral_functions import Modes, SpectralFunctions, Sums

Array = NDArray[np.float64]
_DEGREE = 24
_SETTLED = 1e-14
_TRIES = 40


@dataclass(frozen=True)
class FarSpectrum:
    """Spectral functions that keep their digits at large x.

    Attributes:
        near: the functions as they were made, used up to ``edge``.
        edge: effective ridge from where on the polynomials are used.
        A: x df1 as a polynomial in s = 1/x on [0, 1/edge].
        B: x T likewise.
    """

    near: SpectralFunctions
    edge: float
    A: Chebyshev
    B: Chebyshev

    @property
    def rho(self) -> float:
        """Second moment of the target without label noise.

        Accuracy: that of the functions as they were made.
        """
        return self.near.rho

    @property
    def least(self) -> float:
        """Smallest x at which the sums are known.

        Accuracy: exact.
        """
        return float(getattr(self.near, "least", 0.0))

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x > 0, of any shape."""
        ridge = np.asarray(x, dtype=float)
        near = self.near(ridge)
        far = ridge > self.edge
        s = np.where(far, 1 / ridge, 0.0)
        return Sums(
            df1=np.where(far, s * self.A(s), near.df1),
            df2=np.where(far, -(s**2) * self.A.deriv()(s), near.df2),
            T=np.where(far, s * self.B(s), near.T),
            T2=np.where(far, -(s**2) * self.B.deriv()(s), near.T2),
            unexplained=near.unexplained,
        )


def with_far_field(functions: SpectralFunctions) -> SpectralFunctions:
    """Return spectral functions that keep their digits at large x; ``Modes`` keep them already.

    Functions whose x df1 or x T is not known to 14 digits at large x are returned as they are.

    Accuracy: about 1e-12 relative in df2 and T2 beyond ``edge``.

    Example:
        >>> one = np.ones(1)
        >>> with_far_field(Modes(one, one, one)).rho
        1.0
    """
    if isinstance(functions, Modes):
        return functions
    edge = mean_eigenvalue(functions)
    for _ in range(_TRIES):
        nodes = chebyshev.chebpts1(_DEGREE + 1)
        s = (nodes + 1) / (2 * edge)
        sums = functions(1 / s)
        fits = [
            Chebyshev.fit(s, row / s, _DEGREE, domain=[0, 1 / edge]) for row in (sums.df1, sums.T)
        ]
        if all(_settled(fit) for fit in fits):
            return FarSpectrum(functions, edge, *fits)
        edge *= 2
    return functions


def _settled(fit: Chebyshev) -> bool:
    sizes = np.abs(fit.coef)
    return bool(sizes[-4:].max() <= _SETTLED * max(sizes.max(), 1e-300))


def mean_eigenvalue(functions: SpectralFunctions) -> float:
    """Return the limit of x df1 at large x.

    Accuracy: a few digits; it sets scales.
    """
    x = 1.0
    for _ in range(4):  # the ridge is raised until it dwarfs the spectrum
        scale = float(x * functions(np.array([x])).df1[0])
        x = max(x, 1e8 * scale)
    return scale
