r"""Ridge readouts of finite size, averaged in closed form over the teacher and the label noise.

Stage: features and target features of a training set, moments of test inputs in; the resolvent
trace and the mean training and test errors out. Used by experiments whose labels are
y = F^T theta / sqrt(k) + noise.

Conventions: features X (p x n), target features F (k x n), theta with independent entries of
variance rho, noise of variance Delta. The readout w minimises |y - X^T w / sqrt(p)|^2 + lam |w|^2,
so that predictions on test features X_t are P y with P = X_t^T X (X^T X/p + lam)^{-1} / p.

.. math::
    E_{test} = \frac{\rho}{k N} \|F_t^T - P F^T\|_F^2 + \Delta (1 + \|P\|_F^2 / N), \qquad
    E_{train} = \frac{\lambda^2}{n} \Big( \frac{\rho}{k} \|\check G F^T\|_F^2
                + \Delta \operatorname{Tr} \check G^2 \Big).

These averages leave only the fluctuations of features and inputs. Test inputs enter through their
second moments alone, and one eigendecomposition of the smaller Gram matrix serves every ridge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Sums over inputs: X X^T (p, p), X F^T (p, k) and the squared norm of F."""

    features: Array
    cross: Array
    target: float
    count: int


@dataclass(frozen=True)
class Spectral:
    """The training set in the eigenbasis of its smaller Gram matrix; q = min(n, p) modes.

    With D = 1/(s + lam), predictions on test features X_t are X_t^T M D times the data, and
    P F^T = X_t^T M D B^T.

    Attributes:
        s: eigenvalues of X^T X/p, shape (q,).
        M: from features to modes, shape (p, q).
        B: target features in modes, shape (k, q).
        noise_gain: squared norm of a mode's data vector, shape (q,).
        target: squared norm of the target features.
        n: samples.
    """

    s: Array
    M: Array
    B: Array
    noise_gain: Array
    target: float
    n: int

    @property
    def p(self) -> int:
        """Number of features."""
        return int(self.M.shape[0])


def many_samples(train: Moments) -> Spectral:
    """Decompose a training set with n > p, of which only the moments are needed.

    Accuracy: eigenvalues to a few units of 1e-16 of the largest.
    """
    p = train.features.shape[0]
    s, vectors = eigh(train.features / p, overwrite_a=True, check_finite=False)
    s = np.maximum(s, 0.0)
    projected = train.cross.T @ vectors / p
    return Spectral(s, vectors, projected, s / p, train.target, train.count)


def few_samples(x: Array, f: Array) -> Spectral:
    """Decompose a training set with n <= p, features (p, n) and target features (k, n).

    Accuracy: eigenvalues to a few units of 1e-16 of the largest.
    """
    p, n = x.shape
    s, vectors = eigh(x.T @ x / p, overwrite_a=True, check_finite=False)
    ones = np.ones(n)
    return Spectral(np.maximum(s, 0.0), x @ vectors / p, f @ vectors, ones, float(np.sum(f * f)), n)


def resolvent_trace(fit: Spectral, lam: Array) -> Array:
    """Return the normalised trace of (X^T X/p + lam)^{-1}, shape of ``lam``.

    Accuracy: a few units of 1e-16 relative, times the condition number of the Gram matrix.
    """
    missing = fit.n - fit.s.size
    return np.asarray((np.sum(1 / (fit.s + lam[..., None]), axis=-1) + missing / lam) / fit.n)


def expected_train_error(fit: Spectral, lam: Array, signal: float, noise: float) -> Array:
    """Return the mean training error over theta and label noise, shape of ``lam``.

    Accuracy: absolute rounding of 1e-15 times the variance of a label.
    """
    ridge = lam[..., None]
    left = ridge / (fit.s + ridge)
    energy = np.sum(fit.B**2, axis=0)
    missing = fit.n - fit.s.size
    if missing:
        explained = fit.p * energy * (fit.s + 2 * ridge) / (fit.s + ridge) ** 2
        clean = fit.target - np.sum(explained, axis=-1)
    else:
        clean = np.sum(left**2 * energy, axis=-1)
    noisy = np.sum(left**2, axis=-1) + missing
    return np.asarray((signal * clean / fit.B.shape[0] + noise * noisy) / fit.n)


def expected_test_error(
    fit: Spectral, test: Moments, lam: Array, signal: float, noise: float
) -> Array:
    """Return the mean test error over theta and label noise, fresh noise included.

    Accuracy: absolute rounding of 1e-13 times the variance of a label, away from lam = 0.
    """
    gain = 1 / (fit.s + lam[..., None])
    spread = fit.M.T @ (test.features @ fit.M)
    cross = np.sum((test.cross.T @ fit.M) * fit.B, axis=0)
    quadratic = np.sum((gain @ (spread * (fit.B.T @ fit.B))) * gain, axis=-1)
    clean = (test.target - 2 * gain @ cross + quadratic) / (fit.B.shape[0] * test.count)
    variance = gain**2 @ (fit.noise_gain * np.diag(spread)) / test.count
    return np.asarray(signal * clean + noise * (1 + variance))
