r"""Spectra of laws: density, bands, atoms, mass, moments, quantiles, distances, with certificates.

Stage: a ``Law`` in, numbers out. ``spectrum(law)`` compiles the law's curve (cached on disk by its
structure; parameters are arguments) and finds its bands; every value carries a branch certificate.

Conventions: G(z) = integral of mu(dx)/(z - x), density = -Im G(x + i0)/pi; the Stieltjes transform
is m = -G. At real points of the support the exact equation is solved at Im z = 0: no imaginary
offset blurs an edge.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.balls import enclose
from derive.errors import NotConvergedError, RangeError
from derive.spectra.curve import Curve
from derive.spectra.law import Law, require_laws
from numeric.cache import load
from numeric.panels import Ends, Integrand, Panels, adaptive
from numeric.point_tree import point_tree, scratch_for
from numeric.spectral_code import LOST, spectral_source
from numeric.support import Band, scanned_bands, tower_bands

Array = NDArray[np.float64]
_PATHS = np.array(("warm", "continued", "lost"), dtype=object)


@dataclass(frozen=True)
class Points:
    """Values of the Cauchy transform with one branch certificate per point; arrays of shape (k,).

    Attributes:
        z: spectral arguments.
        G: Cauchy transform at z (at z + i0 on the support).
        margin: smallest Im h/|h| over the upper functions h. Where it is positive the solution is
            the law's, by uniqueness; at real points off the support it is a limit, and zero.
        residual: relative distance between z and the curve's z at the solution.
        steps: Newton steps. path: "warm", "continued" or "lost" for each point.
        unique: whether the upper functions are known to single out the law's solution; without that
            no branch is certified by them, and mass and moments have to speak.
    """

    z: NDArray[np.complex128]
    G: NDArray[np.complex128]
    margin: Array
    residual: Array
    steps: NDArray[np.int64]
    path: tuple[str, ...]
    unique: bool = True

    @property
    def certified(self) -> NDArray[np.bool_]:
        """Whether branch and residual are certified, per point."""
        small = self.residual < 1e-12
        return small & (np.array(self.path) != "lost") & self.unique


@dataclass(frozen=True)
class Spectrum:
    """A law with its compiled curve.

    Attributes:
        law: what it is the spectrum of.
        curve: its curve. parameters: numbers for it.
        bands: intervals of the continuous part, in order.
        atoms: pairs (place, mass).
        module: the compiled functions.
    """

    law: Law
    curve: Curve
    parameters: Array
    tables: tuple[Array, ...]
    bound: float
    atoms: tuple[tuple[float, float], ...]
    module: Any = field(repr=False)
    bands: tuple[Band, ...] = ()

    @property
    def edges(self) -> tuple[tuple[float, float], ...]:
        """Ends of the bands."""
        return tuple((b.low, b.high) for b in self.bands)

    def cauchy(self, z: ArrayLike) -> Points:
        """Return G at points off the support; both half-planes, and real points between bands.

        Raises:
            RangeError: for NaN, for real points on the support, and at atoms.

        Accuracy: relative residual below 1e-12 and branch certified per point.
        """
        points = np.atleast_1d(np.asarray(z, dtype=np.complex128)).ravel()
        self._refuse(points)
        real = points.imag == 0
        if real.any():
            out = np.empty((self._rows, points.size))
            out[:, ~real] = self._sweep(points[~real].real, np.abs(points[~real].imag))
            out[:, real] = self._sweep(points[real].real, np.zeros(int(real.sum())), real=True)
        else:
            out = self._sweep(points.real, np.abs(points.imag))
        G = out[0] + 1j * np.where(real, 0.0, out[1] * np.sign(points.imag))
        paths = _paths(out[5])
        steps = out[4].astype(np.int64)
        return Points(points, G, out[3], out[2], steps, paths, self.curve.unique)

    def _refuse(self, points: NDArray[np.complex128]) -> None:
        x = points.real
        on_real = points.imag == 0
        bad = ~np.isfinite(points)
        for low, high in self.edges:
            bad |= on_real & (x >= low) & (x <= high)
        for place, _ in self.atoms:
            bad |= on_real & (x == place)
        if bad.any():
            raise RangeError(
                f"Cauchy transform at z = {complex(points[bad][0]):.6g}",
                "not finite, or on the support, where G has two boundary values",
                "use density(x), or add an imaginary part",
            )

    def boundary(self, x: ArrayLike) -> Points:
        """Return G(x + i0) at points strictly inside the bands.

        Raises:
            RangeError: for a point that is not inside a band.

        Accuracy: as ``cauchy``.
        """
        points = np.atleast_1d(np.asarray(x, dtype=np.float64)).ravel()
        inside = self._inside(points)
        if not inside.all():
            raise RangeError(
                f"boundary value at x = {points[~inside][0]:.6g}",
                f"not inside a band; the bands are {self.edges}",
                "use density(x) or cauchy(z)",
            )
        out = self._sweep(points, np.zeros(points.size))
        paths = _paths(out[5])
        G = out[0] + 1j * out[1]
        steps, z = out[4].astype(np.int64), points.astype(np.complex128)
        return Points(z, G, out[3], out[2], steps, paths, self.curve.unique)

    def density(self, x: ArrayLike) -> Array:
        """Return the density of the continuous part; exact zeros off the bands; shape of x.

        At an edge the value is 0 (soft) or infinite (hard).

        Raises:
            RangeError: for NaN. NotConvergedError: if a branch could not be certified.

        Accuracy: relative 1e-13 away from edges; within a distance h of an edge e rounding of x
        alone moves it by eps e/h.
        """
        points = np.asarray(x, dtype=np.float64)
        if np.isnan(points).any():
            raise RangeError("density", "x holds NaN", "give numbers")
        flat = np.atleast_1d(points).ravel()
        out = np.zeros(flat.size)
        inside = self._inside(flat)
        if inside.any():
            rows = self._sweep(flat[inside], np.zeros(int(inside.sum())))
            lost = rows[5] == LOST
            if lost.any():
                raise NotConvergedError(
                    f"density at x = {flat[inside][lost][0]!r}",
                    "no solution in the upper half-plane was certified",
                    "x may be within rounding of an edge; move it",
                )
            out[inside] = -rows[1] / np.pi
        for band in self.bands:
            for end, place in zip((0, 1), (band.low, band.high), strict=True):
                if (flat == place).any():
                    out[flat == place] = np.inf if self.hard_edges(band)[end] else 0.0
        return out.reshape(points.shape)

    @property
    def _rows(self) -> int:
        return 6 + 2 * len(self.curve.unknowns)

    def _inside(self, x: Array) -> NDArray[np.bool_]:
        inside = np.zeros(x.size, dtype=bool)
        for low, high in self.edges:
            inside |= (x > low) & (x < high)
        return inside

    def _sweep(self, x: Array, y: Array, real: bool = False) -> Array:
        """Solve at x + i y in order of x.

        Rows: Re G, Im G, residual, margin, steps, path, then the unknowns as pairs.
        """
        out = np.empty((self._rows, x.size))
        ordered = bool(np.all(y[1:] == y[:-1]) and np.all(x[1:] >= x[:-1]))
        order = np.arange(0) if ordered else np.lexsort((x, y))
        places = (x, y) if ordered else (x[order], y[order])
        args = (*map(np.ascontiguousarray, places), self.parameters, self.bound, real, out)
        self.module.sweep(*args, *self.tables, *scratch_for(self.tables))
        if ordered:
            return out
        back = np.empty_like(out)
        back[:, order] = out
        return back

    @cached_property
    def panels(self) -> tuple[Panels, ...]:
        """The density resolved on each band."""
        return tuple(self._resolved(b) for b in self.bands)

    def _resolved(self, band: Band) -> Panels:
        ends = Ends(band.low, band.high, *band.orders)
        hard = self.hard_edges(band)
        rough = (hard[0] and band.low != 0) or (hard[1] and band.high != 0)
        return adaptive(self._interior(band, hard), ends, 1e-10 if rough else 1e-13)

    def _interior(self, band: Band, hard: tuple[bool, bool]) -> Integrand:
        """Return the density at nodes, freed from the rounding of x next to the edges.

        Near an edge the density goes like the distance to the power 1/2 or -1/2, so the value at
        the rounded node is moved to the node's true distance by that power.
        """

        def values(x: Array, from_low: Array, from_high: Array) -> Array:
            node = np.clip(x, np.nextafter(band.low, band.high), np.nextafter(band.high, band.low))
            low_ratio = np.sqrt(from_low / (node - band.low))
            high_ratio = np.sqrt(from_high / (band.high - node))
            near = np.where(from_low < from_high, low_ratio, high_ratio)
            diverges = np.where(from_low < from_high, hard[0], hard[1])
            moved: Array = self.density(node) * np.where(diverges, 1 / near, near)
            return moved

        return values

    def hard_edges(self, band: Band) -> tuple[bool, bool]:
        """Return whether the density diverges at the lower and at the upper edge of a band."""
        width = band.high - band.low
        low = self.density(band.low + width * np.array([1e-7, 4e-7]))
        high = self.density(band.high - width * np.array([1e-7, 4e-7]))
        return bool(low[0] > low[1]), bool(high[0] > high[1])

    @property
    def mass(self) -> float:
        """Total mass of bands and atoms; one, if no band was missed and every branch is right.

        Accuracy: quadrature to 1e-12.
        """
        return sum(p.total for p in self.panels) + sum(w for _, w in self.atoms)

    def mean(self, function: Callable[[Array], Array]) -> float:
        """Return the mean of a smooth function of x over the law.

        Accuracy: about 1e-12 for functions as smooth as polynomials.
        """
        atoms = sum(w * float(function(np.array([a]))[0]) for a, w in self.atoms)
        return atoms + sum(p.mean(function) for p in self.panels)

    def moment(self, k: int) -> float:
        """Return the moment of order k >= 0.

        Accuracy: as ``mean``.
        """
        return self.mean(lambda x: x**k)

    def cdf(self, x: ArrayLike, *, left: bool = False) -> Array:
        """Return mu((-inf, x]), or mu((-inf, x)) with ``left``; shape of x.

        Accuracy: absolute 1e-12.
        """
        points = np.asarray(x, dtype=np.float64)
        flat = np.atleast_1d(points).ravel()
        total = np.zeros(flat.size)
        for panels in self.panels:
            total += panels.running(flat)
        for place, mass in self.atoms:
            total += mass * (flat > place if left else flat >= place)
        return total.reshape(points.shape)

    def quantile(self, q: ArrayLike) -> Array:
        """Return the smallest x with cdf(x) >= q, for 0 < q < 1; shape of q.

        Raises:
            RangeError: for a level outside (0, 1).

        Accuracy: absolute 1e-12 divided by the density.
        """
        levels = np.asarray(q, dtype=np.float64)
        if not ((levels > 0) & (levels < 1)).all():
            raise RangeError("quantile", "a level outside (0, 1)", "give 0 < q < 1")
        flat = np.atleast_1d(levels).ravel()
        ends = [e for edge in self.edges for e in edge] + [a for a, _ in self.atoms]
        low, high = np.full(flat.size, min(ends)), np.full(flat.size, max(ends))
        low[self.cdf(low) >= flat] = min(ends)
        for _ in range(64):
            mid = (low + high) / 2
            below = self.cdf(mid) < flat
            low, high = np.where(below, mid, low), np.where(below, high, mid)
        at_start = self.cdf(np.full(flat.size, min(ends))) >= flat
        return np.where(at_start, min(ends), high).reshape(levels.shape)

    def distance(self, eigenvalues: ArrayLike) -> "Distance":
        """Return Kolmogorov-Smirnov and Wasserstein distances to sampled eigenvalues.

        Eigenvalues within 1e-9 of the bound from an atom are counted as on it.

        Raises:
            RangeError: for no eigenvalues or NaN.

        Accuracy: Kolmogorov-Smirnov 1e-12; Wasserstein 1e-4 relative (integral between samples).
        """
        sample = np.sort(np.asarray(eigenvalues, dtype=np.float64).ravel())
        if not sample.size or np.isnan(sample).any():
            raise RangeError("distance to eigenvalues", "none, or NaN", "give finite numbers")
        for place, _ in self.atoms:
            sample[np.abs(sample - place) < 1e-9 * self.bound] = place
        sample.sort()
        n = sample.size
        above = np.searchsorted(sample, sample, side="right") / n
        below = np.searchsorted(sample, sample, side="left") / n
        ks = max(
            float(np.abs(above - self.cdf(sample)).max()),
            float(np.abs(self.cdf(sample, left=True) - below).max()),
        )
        ends = [e for edge in self.edges for e in edge] + [a for a, _ in self.atoms]
        cuts = np.unique(np.concatenate([sample, ends, np.linspace(min(ends), max(ends), 400)]))
        offsets, weights = np.polynomial.legendre.leggauss(4)
        half = np.diff(cuts)[:, None] / 2
        x = cuts[:-1, None] + half * (1 + offsets)
        gap = np.abs(self.cdf(x) - np.searchsorted(sample, x, side="right") / n)
        return Distance(ks, float((gap * weights * half).sum()), n)

    def __repr__(self) -> str:
        bands = ", ".join(f"[{a:.6g}, {b:.6g}]" for a, b in self.edges) or "no band"
        atoms = ", ".join(f"{w:.6g} at {a:.6g}" for a, w in self.atoms)
        return f"Spectrum({bands}{'; atoms ' + atoms if atoms else ''})"


@dataclass(frozen=True)
class Distance:
    """Distances between a law and n sampled eigenvalues."""

    kolmogorov_smirnov: float
    wasserstein: float
    n: int


def spectrum(law: Law, bands: Sequence[Band] | None = None) -> Spectrum:
    """Compile a law and find its bands.

    Args:
        law: without free symbols.
        bands: skip the search and use these.

    Raises:
        RangeError: if a parameter is not a number.

    Accuracy: edges of towers to a few ulps, of coupled curves to 1e-15 of the bound.

    Example:
        >>> from derive.spectra.laws import marchenko_pastur
        >>> s = spectrum(marchenko_pastur(4))
        >>> s
        Spectrum([1, 9]; atoms 0.75 at 0)
        >>> round(s.mass, 12)
        1.0
    """
    require_laws("spectrum", law)
    curve = law.curve()
    symbols = sorted({str(s) for _, v in curve.parameters for s in v.free_symbols})
    if symbols:
        raise RangeError("spectrum", f"the law holds {', '.join(symbols)}", "give numbers for them")
    numbers = np.array([_double(v) for _, v in curve.parameters], dtype=np.float64)
    tables = tuple(point_tree(np.array([_double(a) for a in t])) for t in curve.tables)
    module = load(spectral_source(curve))
    bound = _double(law.bound)
    atoms = tuple((_double(a), _double(w)) for a, w in law.atoms())
    found = Spectrum(law, curve, numbers, tables, bound, tuple(sorted(atoms)), module)
    ready = tuple(bands) if bands is not None else tuple(_bands(found))
    return Spectrum(law, curve, numbers, tables, bound, found.atoms, module, ready)


def _bands(found: Spectrum) -> list[Band]:
    curve = found.curve
    if curve.is_tower:
        symbols = (s for s, _ in curve.parameters)
        values = dict(zip(symbols, found.parameters.tolist(), strict=True))

        tables = (*found.tables, *scratch_for(found.tables))

        def rungs(u: float) -> tuple[float, ...]:
            pairs: tuple[float, ...] = found.module.rungs(u, found.parameters, *tables)
            return pairs[::2]

        return tower_bands(curve, rungs, values)

    def inside(x: Array) -> NDArray[np.bool_]:
        return found._sweep(x, np.zeros(x.size))[5] != LOST

    return scanned_bands(inside, found.bound)


def _paths(codes: Array) -> tuple[str, ...]:
    return tuple(_PATHS[codes.astype(np.int64)].tolist())


def _double(expr: Any) -> float:
    return float(enclose(expr, 20))
