r"""Spectral functions of a population of which only N samples are known, without the bias of N.

Stage: features (N, p) and labels (N,) in; ``SpectralFunctions`` out. The plain sample covariance
is a biased stand-in: its eigenvalues spread (Marchenko-Pastur), and it explains labels by overfit.
Both effects are inverted here in closed form, at every effective ridge x that N samples resolve.

**Derivation.** Ridge regression at n = N samples and ridge l obeys the same equations as at any
other n, so its sample traces name the population functions at x = 1/(r m), r = N/p. With
g = l/(s + l) over the N eigenvalues s of X X^T/p (zeros included) and y_i the labels in its
eigenbasis, the trace (1), its derivative (4), F = m (rho_y - T) and E_test = -F'/m^2 give

.. math:: x = l/(r \bar g), \quad df_1 = r (1 - \bar g), \quad
          df_2 = r\, \mathrm{Var}(g)/\overline{g^2}, \quad
          U + \sigma^2 = \overline{y^2 g^2}/\overline{g^2}, \quad
          T = \rho_y - \overline{y^2 g}/\bar g,

bars being means over the N eigenvalues. At l = 0 with N > p the third is the unbiased residual
variance |residual|^2/(N - p). These are consistent with bias O(1/N); the label noise is part of
``unexplained`` and of ``rho``, as nothing in the data tells it from misfit, so curves made from
them are asked with noise = 0.

**What can be asked.** x >= ``least`` = 1/(r m(l = 0)): for N <= p, roughly training sizes n <= N;
for N > p every n, the part beyond N being an extrapolation of the fitted linear model.

With an intercept, both are centred by their sample means and N - 1 is the number of samples.
Source: arXiv:2402.13999, eq. 1-13, read from data to population.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from derive.errors import RangeError, ShapeError
from numeric.populations.matrices import finite_array
from numeric.spectral_functions import Sums, by_blocks

Array = NDArray[np.float64]
_EPS = 2.0**-53
_GRID = 400
_STEPS = 40


@dataclass(frozen=True, eq=False)
class SampledSpectrum:
    """Spectral functions estimated from samples; made by ``sampled_spectrum``.

    Attributes:
        s: eigenvalues of X X^T/p that are not zero, shape (q,).
        energy: squared labels in their eigenbasis, shape (q,).
        rest: squared norm of the labels outside it.
        basis: the eigenbasis, shape (N_rows, q).
        labels: centred labels, shape (N_rows,).
        count: effective number of samples (one less with an intercept).
        features: p.
    """

    s: Array
    energy: Array
    rest: float
    basis: Array
    labels: Array
    count: int
    features: int

    @property
    def ratio(self) -> float:
        """Samples per feature, N/p.

        Accuracy: rounding only.
        """
        return self.count / self.features

    @property
    def rho(self) -> float:
        """Second moment of the labels, noise included.

        Accuracy: without bias; the sampling error of N squared labels.
        """
        return (float(np.sum(self.energy)) + self.rest) / self.count

    @property
    def null(self) -> int:
        """Number of zero eigenvalues among the N."""
        return self.count - self.s.size

    @property
    def rank(self) -> float:
        """Limit of df1 at x = 0; 1 where the samples do not resolve it.

        Accuracy: a count of eigenvalues above rounding.
        """
        return self.s.size / self.features if self.null else 1.0

    @cached_property
    def mean(self) -> float:
        """Estimate of the mean eigenvalue <Omega>, without bias.

        Accuracy: relative sampling error of order 1/sqrt(N p).
        """
        return float(np.sum(self.s)) / self.count

    @cached_property
    def least(self) -> float:
        """Smallest effective ridge that the samples resolve.

        Accuracy: that of the smallest eigenvalues.
        """
        return 0.0 if self.null else self.features / float(np.sum(1 / self.s))

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x >= least, of any shape.

        Raises:
            RangeError: for an x that the samples do not resolve.
        """
        ridge = np.asarray(x, dtype=float)
        if ridge.size and float(ridge.min()) < self.least * (1 - 1e-9):
            raise RangeError(
                f"effective ridge x = {float(ridge.min()):.3g}",
                f"{self.count} samples of {self.features} features resolve x >= {self.least:.3g}",
                "ask for fewer training samples or a larger ridge, or give more data",
            )
        rows = by_blocks(self._block, self.data_ridge(ridge.reshape(-1)), 5, self.s.size)
        return Sums(*(row.reshape(ridge.shape) for row in rows))

    def _block(self, l: Array, out: Array) -> None:
        g = self._left(l)
        first, second = self._mean(g), self._mean(g * g)
        spread = self._mean((g - first[:, None]) ** 2, (1 - first) ** 2)
        out[0] = self.ratio * (1 - g).sum(axis=1) / self.count
        out[1] = self.ratio * spread / second
        fitted = (g @ self.energy + self.rest) / (self.count * first)
        out[4] = ((g * g) @ self.energy + self.rest) / (self.count * second)
        out[2] = self.rho - fitted
        out[3] = self.rho + out[4] - 2 * fitted

    def _left(self, l: Array) -> Array:
        """Return g = l/(s + l), or 1/s scaled by the smallest s at l = 0 without zero modes."""
        positive = l > 0
        ratio = l[:, None] / (self.s + l[:, None])
        if self.null or positive.all():
            return ratio
        return np.where(positive[:, None], ratio, 0.0) + np.where(
            positive[:, None], 0.0, float(self.s.min()) / self.s
        )

    def _mean(self, values: Array, at_null: ArrayLike = 1.0) -> Array:
        return (values.sum(axis=1) + self.null * np.asarray(at_null)) / self.count

    def data_ridge(self, x: Array) -> Array:
        """Return the ridge l at which the N samples have effective ridge x, shape of x.

        1/m is increasing and concave in l, so Newton from below increases to the root.

        Accuracy: 1e-12 relative.
        """
        target = self.ratio * x
        grid, level = self._inverse
        l = np.exp(np.interp(np.log(np.maximum(target, 1e-300)), np.log(level), np.log(grid)))
        l = np.maximum(np.minimum(l, target), target - self.mean * self.ratio)
        l = np.where(target <= self.ratio * self.least * (1 + 1e-12), 0.0, l)
        for _ in range(_STEPS):
            value, slope = self._harmonic(l)
            moved = np.maximum(l + (target - value) / slope, l / 8)
            moved = np.where(l > 0, moved, 0.0)
            done = np.abs(moved - l) <= 1e-13 * moved
            l = moved
            if done.all():
                break
        return l

    @cached_property
    def _inverse(self) -> tuple[Array, Array]:
        low = float(self.s.min()) * 1e-6
        grid = np.geomspace(low, float(self.s.max()) * 1e8, _GRID)
        return grid, self._harmonic(grid)[0]

    def _harmonic(self, l: Array) -> tuple[Array, Array]:
        """Return 1/m = N/sum 1/(s + l) and its derivative in l, at l > 0."""

        def block(part: Array, out: Array) -> None:
            safe = np.where(part > 0, part, 1.0)
            g = safe[:, None] / (self.s + safe[:, None])
            first = self._mean(g)
            out[0], out[1] = safe / first, self._mean(g * g) / first**2

        found = by_blocks(block, l, 2, self.s.size)
        return found[0], found[1]

    def relative_error(self, x: Array) -> Array:
        """Return the relative standard error of U + sigma^2 at points x of shape (points,).

        Accuracy: an estimate, the larger of two: the spread of the squared leave-one-out residuals
            over sqrt(N), and sqrt(2 sum w^2) with w = g^2/sum g^2, the spread of a quadratic form.
        """
        out = np.empty(x.size)
        for i, ridge in enumerate(self.data_ridge(x)):
            g = self._left(np.array([ridge]))[0]
            fit = self.basis @ ((1 - g) * (self.basis.T @ self.labels))
            hat = (self.basis**2) @ (1 - g)
            left = (self.labels - fit) / np.maximum(1 - hat, 1e-12)
            squares = left**2
            spread = squares.std() / squares.mean() / np.sqrt(squares.size)
            weight = (np.sum(g**4) + self.null) / (np.sum(g**2) + self.null) ** 2
            out[i] = max(spread, np.sqrt(2 * weight))
        return out


def sampled_spectrum(
    features: ArrayLike, labels: ArrayLike, *, intercept: bool = True
) -> SampledSpectrum:
    """Estimate the spectral functions of the law that features and labels were drawn from.

    Args:
        features: shape (N, p), one sample per row.
        labels: shape (N,), numbers.
        intercept: whether features and labels are centred by their means.

    Raises:
        ShapeError: an empty array, or other lengths.
        RangeError: entries that are not finite, constant features (with their columns), constant
            labels, fewer than three samples.

    Accuracy: bias O(1/N) and the sampling error ``relative_error``.
    """
    x, y = finite_array("features", features, 2), finite_array("labels", labels, 1)
    if y.size != x.shape[0]:
        raise ShapeError(
            f"labels of length {y.size}", f"features have {x.shape[0]} rows", "one label per row"
        )
    if y.size < 3:
        raise RangeError("features", f"{y.size} samples", "give three samples or more")
    refuse_constant(x, y)
    if intercept:
        x, y = x - x.mean(axis=0), y - y.mean()
    count, p = y.size - int(intercept), x.shape[1]
    s, basis = _decomposed(x, count)
    projected = basis.T @ y
    rest = max(float(y @ y - projected @ projected), 0.0)
    if s.size == count:
        rest = 0.0
    return SampledSpectrum(s, projected**2, rest, basis, y, count, p)


def refuse_constant(x: Array, y: Array) -> None:
    """Refuse features or labels that do not vary.

    Raises:
        RangeError: naming the array, with the columns.
    """
    constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if constant.size:
        shown = ", ".join(map(str, constant[:5])) + (", ..." if constant.size > 5 else "")
        raise RangeError(
            "features",
            f"{constant.size} of {x.shape[1]} columns are constant: [{shown}]",
            "drop them: they carry nothing but count in p",
        )
    if np.ptp(y) == 0:
        raise RangeError("labels", f"all equal to {y[0]:g}", "give labels that vary")


def _decomposed(x: Array, count: int) -> tuple[Array, Array]:
    """Return the non-zero eigenvalues of x x^T/p and their eigenvectors."""
    rows, p = x.shape
    if rows <= p:
        s, basis = eigh(x @ x.T / p, check_finite=False)
    else:
        s, vectors = eigh(x.T @ x / p, check_finite=False)
        floor = np.where(s > 0, s, np.inf)
        basis = x @ vectors / np.sqrt(p * floor)
    kept = s > 8 * max(rows, p) * _EPS * s[-1]
    if kept.sum() > count:
        kept[np.argmax(kept)] = False
    return s[kept], basis[:, kept]
