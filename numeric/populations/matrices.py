r"""Population covariances as matrices: what they must satisfy, and their modes.

Stage: Omega = E phi phi^T, Phi = E phi phi_*^T, Psi = E phi_* phi_*^T (of centred features) and a
teacher in, ``Modes`` out. One eigendecomposition; after it a point costs O(p).

Conventions: labels y = theta.phi_*(x)/sqrt(k) + noise, so psi = Phi theta/sqrt(k) and
rho = theta^T Psi theta/k. Without theta, its isotropic average of unit variance is taken:
psi psi^T -> Phi Phi^T/k and rho = Tr Psi/k. Source: arXiv:2402.13999, sec. 2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from derive.errors import RangeError, ShapeError
from numeric.controls import real_array
from numeric.spectral_functions import Modes

Array = NDArray[np.float64]
_EPS = 2.0**-53
_SYMMETRY = 1e-8
_NEGATIVE = 1e-10


@dataclass(frozen=True, eq=False)
class Covariances:
    """Joint covariances of learner and target features; checked when made.

    Attributes:
        omega: of the learner's features, shape (p, p).
        phi: between learner and target, shape (p, k).
        psi: of the target's features, shape (k, k).

    Raises:
        DeriveError: ShapeError or RangeError naming the matrix and its measure.
    """

    omega: Array
    phi: Array
    psi: Array

    def __post_init__(self) -> None:
        for name in ("omega", "phi", "psi"):
            object.__setattr__(self, name, finite_array(name, getattr(self, name), 2))
        symmetric("omega", self.omega)
        symmetric("psi", self.psi)
        p, k = self.omega.shape[0], self.psi.shape[0]
        if self.phi.shape != (p, k):
            raise ShapeError(
                f"phi of shape {self.phi.shape}",
                f"omega is {p} x {p} and psi {k} x {k}",
                f"phi = E phi phi_*^T must be {p} x {k}",
            )

    def modes(self, theta: ArrayLike | None = None) -> Modes:
        """Return the modes for a teacher, or for the isotropic average over teachers.

        Args:
            theta: shape (k,); None averages over entries of variance one.

        Raises:
            ShapeError: a teacher of another length.
            RangeError: omega not positive semidefinite, phi not compatible with omega and psi.

        Accuracy: eigenvalues to about 1e-16 of the largest; the misfit to about p 1e-16 of rho,
            and zero below that.
        """
        p, k = self.phi.shape
        if theta is None:
            cross, rho = self.phi / np.sqrt(k), float(np.trace(self.psi)) / k
        else:
            vector = finite_array("theta", theta, 1)
            if vector.size != k:
                raise ShapeError(
                    f"theta of length {vector.size}", f"psi is {k} x {k}", f"give {k} entries"
                )
            cross = (self.phi @ vector / np.sqrt(k))[:, None]
            rho = float(vector @ self.psi @ vector) / k
        values, vectors = spectrum("omega", self.omega)
        overlaps = np.sum((vectors.T @ cross) ** 2, axis=1)
        return compatible_modes(values, np.full(p, 1 / p), overlaps, rho)


def finite_array(name: str, value: ArrayLike, dimensions: int) -> Array:
    """Return an array of floats, checked: not empty, so many axes, every entry finite.

    Raises:
        ShapeError: wrong number of axes, or an axis of length 0.
        RangeError: what are not real numbers; NaN or infinite entries, with their number and the
            first index.

    Accuracy: entries are not changed.
    """
    array = real_array(name, value)
    if array.ndim != dimensions or not array.size:
        what = {1: "a vector", 2: "a matrix"}[dimensions]
        raise ShapeError(name, f"shape {array.shape}", f"give {what}, not empty")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = ", ".join(str(int(i)) for i in bad[0])
        raise RangeError(
            name,
            f"{len(bad)} of {array.size} entries are not finite, the first at [{index}]",
            "remove or repair them",
        )
    return array


def symmetric(name: str, matrix: Array) -> None:
    """Refuse a matrix that is not square and symmetric.

    Raises:
        ShapeError: not square.
        RangeError: asymmetry above 1e-8 of the largest entry.
    """
    if matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(name, f"shape {matrix.shape}", "a covariance is square")
    gap, size = float(np.abs(matrix - matrix.T).max()), float(np.abs(matrix).max())
    if gap > _SYMMETRY * size:
        raise RangeError(
            name, f"not symmetric: |A - A^T| reaches {gap:.3g} of {size:.3g}", "symmetrise it"
        )


def spectrum(name: str, matrix: Array) -> tuple[Array, Array]:
    """Return eigenvalues and eigenvectors of a covariance; rounding below zero becomes zero.

    Raises:
        RangeError: an eigenvalue below -1e-10 of the largest, or all zero.
    """
    values, vectors = eigh((matrix + matrix.T) / 2, check_finite=False)
    top = float(values[-1])
    if not top > 0 or values[0] < -_NEGATIVE * top:
        raise RangeError(
            name,
            f"not positive semidefinite: eigenvalues from {values[0]:.3g} to {top:.3g}",
            "give a covariance matrix",
        )
    floor = 8 * matrix.shape[0] * _EPS * top
    return np.where(values > floor, values, 0.0), vectors


def compatible_modes(values: Array, weights: Array, overlaps: Array, rho: float) -> Modes:
    """Return modes, after checking that the overlaps fit the eigenvalues and rho.

    Raises:
        RangeError: an overlap in a direction without variance, or more explained than there is.
    """
    empty = values == 0
    outside = float(np.sum(overlaps[empty]))
    scale = rho * float(values.max())
    if outside > _SYMMETRY * scale:
        raise RangeError(
            "phi",
            f"not compatible with omega: psi has squared norm {outside:.3g} in its null space",
            "E phi phi_*^T of one joint law has none there",
        )
    overlaps = np.where(empty, 0.0, overlaps)
    explained = float(np.sum(overlaps[~empty] / values[~empty]))
    misfit = rho - explained
    rounding = 64 * values.size * _EPS * max(rho, explained)
    if misfit < -max(_SYMMETRY * rho, rounding):
        raise RangeError(
            "phi",
            f"not compatible with omega and psi: psi^T omega^-1 psi = {explained:.6g} exceeds "
            f"rho = {rho:.6g}",
            "give covariances of one joint law, with one normalisation",
        )
    return Modes(values, weights, overlaps, misfit if misfit > rounding else 0.0)
