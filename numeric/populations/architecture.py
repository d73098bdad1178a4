r"""Spectral functions of an architecture: no matrices, one explicit parameter.

Stage: a ``DeepFeatures`` declaration and its widths in, ``SpectralFunctions`` out. The population
covariance of independent random layers maps effective ridges x_{l-1} -> x_l (``derive.layers``):

.. math:: x_l = \frac{a_l x_{l-1}}{\gamma_{l-1}} (\gamma_l - df_{l-1}) - b_l, \qquad
          df_l = df_{l-1} + \frac{b_l \gamma_{l-1}}{a_l x_{l-1}}.

Everything is explicit in x_0; at a given x = x_L it is found by Newton's method: x_L is convex and
increasing in x_0 on the physical interval (each x df_l(x) is concave, and a composition of convex
increasing maps is one), so Newton from the upper bound that Jensen's inequality gives, level by
level, decreases to the root. With s_l = dlog x_l/dlog x_0 and q_l = -d df_l/dlog x_0 every sum is
made of positive terms; U is the bias term of the covariance route.
Source: arXiv:2402.13999, eq. 14-16; arXiv:2302.00401.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, Symbol

from derive.balls import enclose
from derive.chains.layer_chain import Layer
from derive.errors import NotConvergedError, RangeError, ShapeError
from derive.theory.deep_features import DeepFeatures
from numeric.populations.compiled_chain import CompiledSpectrum, compiled_spectrum
from numeric.spectral_functions import Sums

Array = NDArray[np.float64]
_STEPS = 60
_CLOSE = 1e-9  # behind a narrow linear layer gamma - df cancels below this share of the mean


@dataclass(frozen=True, eq=False)
class ChainSpectrum:
    """Spectral functions of a chain of independent layers; made by ``chain_spectrum``.

    Attributes:
        atoms: eigenvalues of the base, (k,).
        shares: their weights, (k,).
        a: kappa_1^2 per layer, (L,).
        b: kappa_*^2 per layer, (L,).
        gammas: widths per input dimension from the base to the last layer, (L + 1,).
        level: the target is linear in this level of the chain.
        signal: variance of the entries of theta that the features see.
        hidden: variance of the target that acts as noise.
    """

    atoms: Array
    shares: Array
    a: Array
    b: Array
    gammas: Array
    level: int
    signal: float
    hidden: float

    @property
    def means(self) -> list[float]:
        """Mean eigenvalue <Omega_l> of every level."""
        found = [float(self.atoms @ self.shares)]
        for a, b in zip(self.a, self.b, strict=True):
            found.append(float(a) * found[-1] + float(b))
        return found

    @property
    def mean(self) -> float:
        """Mean eigenvalue of the features' covariance.

        Accuracy: rounding only.
        """
        return self.means[-1]

    @property
    def rho(self) -> float:
        """Second moment of the target without label noise.

        Accuracy: rounding only.
        """
        return self.hidden + self.signal * self.means[self.level]

    @property
    def rank(self) -> float:
        """Limit of df1 at x = 0: below 1 behind a narrow layer without nonlinear part.

        Accuracy: rounding only.
        """
        rank = 1.0 if np.all(self.atoms > 0) else float(np.sum(self.shares[self.atoms > 0]))
        rank *= float(self.gammas[0])
        for b, gamma in zip(self.b, self.gammas[1:], strict=True):
            rank = float(gamma) if b > 0 else min(rank, float(gamma))
        return rank / float(self.gammas[-1])

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x > 0, of any shape."""
        ridge = np.asarray(x, dtype=float)
        ridge = np.maximum(ridge, self.mean * (1e-250 if self.rank == 1 else _CLOSE))
        levels = self._levels(self.base_ridge(ridge), ridge)
        df, s, q = (part[-1] for part in levels[1:4])
        top, seen = float(self.gammas[-1]), self.level
        df1, bent = df / top, q / (s * top)
        rest1 = self._rest(levels, ridge) if self.rank == 1 or not self.a.size else None
        beyond = sum((g for g in levels[4][seen + 1 :]), np.zeros_like(ridge))
        x_t, df_t, s_t, q_t = (part[seen] for part in levels[:4])
        unit = self.signal * x_t / float(self.gammas[seen])
        unexplained = self.hidden + unit * (df_t * beyond + q_t) / s
        fitted = self._fitted(x_t, df_t)
        return Sums(
            df1=df1,
            df2=df1 - bent,
            T=fitted,
            T2=np.maximum(fitted - unit * (df_t * s_t - q_t) / s, 0.0),
            unexplained=unexplained,
            rest1=rest1,
            rest2=None if rest1 is None else rest1 + bent,
        )

    def _rest(self, levels: tuple[list[Array], ...], x: Array) -> Array:
        """Return rank - df1, for full rank x S with S = gamma_{L-1}/(gamma_L a x_{L-1})."""
        if not self.a.size:
            kept = self.atoms > 0
            share = x[..., None] / (self.atoms[kept] + x[..., None])
            return np.asarray(share @ self.shares[kept])
        below = float(self.gammas[-2]) / (float(self.gammas[-1]) * float(self.a[-1]))
        return np.asarray(x * below / levels[0][-2])

    def _fitted(self, x: Array, df: Array) -> Array:
        """Return T = signal <Omega^2 (Omega + x)^-1> at the target's level."""
        if self.level == 0:
            share = self.atoms**2 / (self.atoms + x[..., None])
            return np.asarray(self.signal * (share @ self.shares))
        left = x * df / float(self.gammas[self.level])
        return np.asarray(self.signal * (self.means[self.level] - left))

    def _levels(self, x0: Array, top: Array) -> tuple[list[Array], ...]:
        """Return x_l, df_l, s_l, q_l and the growth of s_l, level by level, up to x_L = top."""
        gamma = self.gammas
        ridge = x0[..., None]
        base = self.atoms / (self.atoms + ridge)
        x, df = [x0], [float(gamma[0]) * (base @ self.shares)]
        s = [np.ones_like(x0)]
        q = [float(gamma[0]) * ((base * ridge / (self.atoms + ridge)) @ self.shares)]
        growth = [np.zeros_like(x0)]
        for l in range(self.a.size):
            ratio = gamma[l] / (self.a[l] * x[-1])
            gap = gamma[l + 1] - df[-1]
            last = l == self.a.size - 1
            x.append(top if last else gap / ratio - self.b[l])
            df.append(df[-1] + self.b[l] * ratio)
            q.append(q[-1] + self.b[l] * ratio * s[-1])
            growth.append(q[-1] / (x[-1] * ratio))
            s.append(s[-1] + growth[-1])
        return x, df, s, q, growth

    def base_ridge(self, x: Array) -> Array:
        """Return x_0 at x_L = x, of its shape.

        Raises:
            NotConvergedError: if Newton's method did not settle.

        Accuracy: 1e-15 relative, times the condition of x_L in x_0.
        """
        if not self.a.size:
            return x
        here = self._upper_bound(x)
        for _ in range(_STEPS):
            value, slope = self._top(here)
            step = (value - x) / slope
            moved = here - step
            here = np.where(moved > 0, moved, here / 2)
            if np.all(np.abs(step) <= 1e-11 * here):
                return self._polished(here, x)
        raise NotConvergedError(
            f"effective ridge of the input at x = {float(x.min()):.3g}",
            f"Newton's method had not settled after {_STEPS} steps",
            "use model.system() with numeric.reference",
        )

    def _polished(self, x0: Array, x: Array) -> Array:
        value, slope = self._top(x0)
        return np.asarray(x0 - (value - x) / slope)

    def _top(self, x0: Array) -> tuple[Array, Array]:
        """Return x_L and dx_L/dx_0."""
        gamma = self.gammas
        ridge = x0[..., None]
        base = self.atoms / (self.atoms + ridge)
        x, dx = x0, np.ones_like(x0)
        df = gamma[0] * (base @ self.shares)
        ddf = -gamma[0] * ((base / (self.atoms + ridge)) @ self.shares)
        for l in range(self.a.size):
            gap = gamma[l + 1] - df
            up = self.a[l] / gamma[l]
            new = up * x * gap - self.b[l]
            dnew = up * (dx * gap - x * ddf)
            if self.b[l] > 0:
                df, ddf = df + self.b[l] / (up * x), ddf - self.b[l] * dx / (up * x * x)
            x, dx = new, dnew
        return x, dx

    def _upper_bound(self, x: Array) -> Array:
        """Return a bound of x_0 from above: each level replaced by its mean eigenvalue."""
        for l in range(self.a.size - 1, -1, -1):
            low, high = float(self.gammas[l]), float(self.gammas[l + 1])
            w, target = self.means[l], (x + self.b[l]) / self.a[l]
            half = (low * target + (low - high) * w) / 2
            product = high * low * target * w
            root = np.sqrt(half**2 + product)
            with np.errstate(divide="ignore", invalid="ignore"):
                x = np.where(half > 0, half + root, product / (root - half)) / high
        return x


def chain_spectrum(
    model: DeepFeatures, gamma: float | Sequence[float] = ()
) -> ChainSpectrum | CompiledSpectrum:
    """Return the spectral functions of a declared architecture.

    Args:
        model: the declaration, of any depth; layers that pass no linear signal, biases, norms and
            row covariances included.
        gamma: width of each layer over the input dimension.

    Raises:
        ShapeError: ``gamma`` has not one entry per layer.
        RangeError: a width that is not positive.

    Accuracy: constants correctly rounded from balls; the sums to about 1e-15 relative, times the
        condition of x_L in x_0; where a narrow layer without nonlinear part limits the rank, x
        below 1e-9 of the mean eigenvalue is taken there.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> from numeric.ridge_readout_theory import ridge_curve
        >>> sums = chain_spectrum(deep_features(["tanh", "tanh"]), (2, 1.2))
        >>> curve = ridge_curve(sums, ratio=1.25 / 1.2, lam=0.01, noise=0.1)
        >>> round(float(curve.E_test), 13)
        0.8006573419074
    """
    widths = np.atleast_1d(np.asarray(gamma, dtype=float))
    if widths.shape != (model.depth,):
        raise ShapeError(
            f"gamma = {gamma}", f"{widths.size} widths, {model.depth} layers", "give one per layer"
        )
    if not np.all(np.isfinite(widths) & (widths > 0)):
        raise RangeError(f"gamma = {gamma}", "not positive", "give widths > 0")
    chain = model.chain()
    layers = [layer for layer in chain.layers if isinstance(layer, Layer) and not layer.rows]
    if len(layers) < len(chain.layers) or chain.base.powers:
        return compiled_spectrum(chain, tuple(widths.tolist()))
    known = dict(chain.constants)

    def number(expr: Expr) -> float:
        return float(enclose(known[expr] if isinstance(expr, Symbol) else expr, 20))

    named = {f"gamma_{l}": float(value) for l, value in enumerate(widths, 1)}
    return ChainSpectrum(
        atoms=np.array([number(v) for v, _ in chain.base.atoms]),
        shares=np.array([number(w) for _, w in chain.base.atoms]),
        a=np.array([number(layer.a) for layer in layers]),
        b=np.array([number(layer.b) for layer in layers]),
        gammas=np.array([named.get(str(w), 1.0) for w in chain.widths]),
        level=chain.teacher.level,
        signal=number(chain.teacher.signal),
        hidden=number(chain.teacher.hidden),
    )
