r"""The leaves of laws: atoms, semicircle, Marchenko-Pastur, arcsine, empirical; deep features.

Stage: declared spectra, and declared networks, to ``Law`` values (conventions in
``derive.spectra.law``). Parameters are exact numbers or controls; a law with free symbols can be
derived with but not evaluated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sympy import Expr, Integer, Rational, Symbol, binomial, sqrt

from derive.chains.random_gain import MixedLayer
from derive.constant import Constant
from derive.errors import NotSupportedError, RangeError, ShapeError
from derive.exact import exact_number
from derive.random_matrices.scalars import masses, scalar
from derive.random_matrices.spectral_measure import Atoms, SpectralMeasure
from derive.random_matrices.spectral_measure import MarchenkoPastur as MarchenkoPasturMeasure
from derive.spectra.curve import Node, PointSum, Rung, Sheet
from derive.spectra.free_series import moments_from_cumulants
from derive.spectra.law import Atom, Law, atom_splits, positive
from derive.theory.deep_features import DeepFeatures
from derive.transforms import Affine, gram

_TABLE_FROM = 9


@dataclass(frozen=True)
class PointMasses(Law):
    """Finitely many atoms, distinct, of total mass one."""

    points: tuple[Expr, ...]
    weights: tuple[Expr, ...]

    @property
    def nonnegative(self) -> bool:
        """If every point is."""
        return all(bool(p.is_nonnegative) for p in self.points)

    @property
    def bound(self) -> Expr:
        """Largest modulus."""
        return max((abs(p) for p in self.points), key=float)

    def atoms(self) -> tuple[Atom, ...]:
        """Return the declared atoms."""
        return tuple(zip(self.points, self.weights, strict=True))

    def moments(self, count: int) -> list[Expr]:
        """Finite sums."""
        return [sum((w * a**k for a, w in self.atoms()), Integer(0)) for k in range(1, count + 1)]

    def R(self, g: Expr) -> Expr:
        """Closed for one or two atoms."""
        if len(self.points) == 1:
            return self.points[0]
        if len(self.points) == 2:
            (a, v), (b, w) = self.atoms()
            root = (1 + g * (a + b)) ** 2 - 4 * g**2 * a * b - 4 * g * (v * b + w * a)
            return (a + b) / 2 + (sqrt(root.expand()) - 1) / (2 * g)
        return super().R(g)

    def S(self, t: Expr) -> Expr:
        """Closed for one atom."""
        return 1 / self.points[0] if len(self.points) == 1 else super().S(t)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """The parameter is z itself."""
        u = sheet.unknown(large)
        sheet.upper.append(u)
        if len(self.points) >= _TABLE_FROM:
            return self._from_table(sheet, u)
        pairs = [(sheet.parameter(a), sheet.parameter(w)) for a, w in self.atoms()]
        g = sum((w / (u - a) for a, w in pairs), Integer(0))
        t = sum((w * a / (u - a) for a, w in pairs), Integer(0))
        return _opened(sheet, sheet.node(u, g, t), self.points)

    def _from_table(self, sheet: Sheet, u: Expr) -> Node:
        index = Integer(len(sheet.tables))
        if len(set(self.weights)) > 1 or any(p.free_symbols for p in self.points):
            remedy = "repeat points instead of weighting them, and give numbers"
            raise NotSupportedError("more than eight atoms", "with unequal weights", remedy)
        sheet.tables.append(self.points)
        one, zero = Integer(1), Integer(0)
        node = sheet.node(u, PointSum(index, zero, one, u), PointSum(index, one, one, u))
        return _opened(sheet, node, self.points)

    def add_to(self, sheet: Sheet, base: Node, law: Law | None) -> Node | None:
        """One atom is a shift."""
        if len(self.points) > 1:
            return None
        a = sheet.parameter(self.points[0])
        node = sheet.node(base.z + a, base.g, base.t + a * base.g)
        if law is not None and sheet.tower:
            sheet.rung(node)
        return node


@dataclass(frozen=True)
class Semicircle(Law):
    """Semicircle of the given variance, centred."""

    variance: Expr

    @property
    def nonnegative(self) -> bool:
        """Never."""
        return False

    @property
    def bound(self) -> Expr:
        """Two standard deviations."""
        return 2 * sqrt(self.variance)

    def atoms(self) -> tuple[Atom, ...]:
        """None."""
        return ()

    def moments(self, count: int) -> list[Expr]:
        """Only the second cumulant is not zero."""
        zero = Integer(0)
        return moments_from_cumulants([zero, self.variance, *[zero] * count])[:count]

    def R(self, g: Expr) -> Expr:
        """Variance times g."""
        return self.variance * g

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """The parameter is G itself."""
        v = sheet.parameter(self.variance)
        u = sheet.unknown(1 / large)
        sheet.upper.append(-u)
        node = sheet.node(v * u + 1 / u, u, v * u**2)
        if sheet.tower:
            edge = sheet.parameter(1 / sqrt(self.variance))
            near_infinity = Rational(1, 10**30)
            sheet.gaps += [(-edge, -near_infinity), (near_infinity, edge)]
            sheet.rung(node)
        return node

    def add_to(self, sheet: Sheet, base: Node, law: Law | None) -> Node | None:
        """Write ``z = omega + variance G(omega)``."""
        v = sheet.parameter(self.variance)
        sheet.upper.append(base.z)
        node = sheet.node(base.z + v * base.g, base.g, base.t + v * base.g**2)
        return _on_top(sheet, node, base, law)


@dataclass(frozen=True)
class MarchenkoPastur(Law):
    """Law of scale * Z Z^T, Z of size N x M with variance 1/M, ratio = N/M."""

    ratio: Expr
    scale: Expr

    @property
    def nonnegative(self) -> bool:
        """Always."""
        return True

    @property
    def bound(self) -> Expr:
        """The upper edge."""
        return self.scale * (1 + sqrt(self.ratio)) ** 2

    def atoms(self) -> tuple[Atom, ...]:
        """Zeros beyond ratio one, of mass 1 - 1/ratio."""
        inner = gram(discrete([1]), self.ratio)
        return inner.atoms()

    def moments(self, count: int) -> list[Expr]:
        """Free cumulants are scale^n ratio^(n-1)."""
        c, s = self.ratio, self.scale
        return moments_from_cumulants([s ** (n + 1) * c**n for n in range(count)])

    def R(self, g: Expr) -> Expr:
        """Scale/(1 - ratio scale g)."""
        return self.scale / (1 - self.ratio * self.scale * g)

    def S(self, t: Expr) -> Expr:
        """1/(scale (1 + ratio t))."""
        return 1 / (self.scale * (1 + self.ratio * t))

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """The parameter is the spectral argument of the point mass below."""
        c, s = sheet.parameter(self.ratio), sheet.parameter(self.scale)
        u = sheet.unknown(large / (c * s))
        sheet.upper.append(u)
        t = sheet.line("t", 1 / (c * (u - 1)))
        z = sheet.line("z", s * (u**2 / (u - 1) if c == 1 else c * u * (1 + t)))
        node = sheet.node(z, 1 / (s * c * u), t)
        if sheet.tower:
            sheet.gaps += [(None, Integer(1)), (Integer(1), None)]
            sheet.rungs.append(Rung(u, ()))
            sheet.rung(node)
        return node

    def add_to(self, sheet: Sheet, base: Node, law: Law | None) -> Node | None:
        """Write ``z = omega + scale/(1 - ratio scale G(omega))``."""
        c, s = sheet.parameter(self.ratio), sheet.parameter(self.scale)
        sheet.upper.append(base.z)
        pole = sheet.line("s", 1 - c * s * base.g)
        node = sheet.node(base.z + s / pole, base.g, base.t + s * base.g / pole)
        return _on_top(sheet, node, base, law, pole)

    def multiply_to(self, sheet: Sheet, base: Node, law: Law | None) -> Node | None:
        """Write ``z = scale omega (1 + ratio t(omega))``."""
        c, s = sheet.parameter(self.ratio), sheet.parameter(self.scale)
        sheet.upper.append(base.z)
        growth = sheet.line("w", s * (base.z * base.g if c == 1 else 1 + c * base.t))
        node = sheet.node(base.z * growth, base.g / growth, base.t)
        return _on_top(sheet, node, base, law)


@dataclass(frozen=True)
class Arcsine(Law):
    """Arcsine law on [low, high]."""

    low: Expr
    high: Expr

    @property
    def nonnegative(self) -> bool:
        """If the lower edge is."""
        return bool(self.low.is_nonnegative)

    @property
    def bound(self) -> Expr:
        """The larger modulus of the two edges."""
        return max(abs(self.low), abs(self.high), key=float)

    def atoms(self) -> tuple[Atom, ...]:
        """None."""
        return ()

    def moments(self, count: int) -> list[Expr]:
        """Central binomial coefficients, shifted."""
        mid, q = (self.low + self.high) / 2, (self.high - self.low) / 4
        out = []
        for n in range(1, count + 1):
            even = range(0, n + 1, 2)
            terms = (binomial(n, k) * mid ** (n - k) * q**k * binomial(k, k // 2) for k in even)
            out.append(sum(terms, Integer(0)))
        return out

    def R(self, g: Expr) -> Expr:
        """(sqrt(1 + 4 q^2 g^2) - 1)/g plus the centre, q a quarter of the width."""
        q = (self.high - self.low) / 4
        return (self.low + self.high) / 2 + (sqrt(1 + 4 * q**2 * g**2) - 1) / g

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = centre + q (v + 1/v)``."""
        q = sheet.parameter((self.high - self.low) / 4)
        mid = sheet.parameter((self.low + self.high) / 2)
        v = sheet.unknown(large / q)
        sheet.upper.append(v)
        root = sheet.line("w", q * (v - 1 / v))
        node = sheet.node(mid + q * (v + 1 / v), 1 / root, (mid + 2 * q / v) / root)
        if sheet.tower:
            sheet.gaps += [(None, Integer(-1)), (Integer(1), None)]
            sheet.rung(node)
        return node


def _on_top(sheet: Sheet, node: Node, base: Node, law: Law | None, *more: Expr) -> Node:
    """Record a rung above a base law, cut at its atoms and where further functions vanish."""
    if law is not None and sheet.tower:
        sheet.rung(node, (*atom_splits(sheet, base, law), *more))
    return node


def _opened(sheet: Sheet, node: Node, points: Sequence[Expr]) -> Node:
    """Record the gaps of a leaf of atoms whose parameter is z, unless a point is a symbol."""
    if sheet.tower and not any(p.free_symbols for p in points):
        _open(sheet, node, points)
    return node


def _open(sheet: Sheet, node: Node, points: Sequence[Expr]) -> None:
    """Record the gaps between the points of a leaf whose parameter is z.

    Points of a table stay numbers: as parameters they would be written into the code.
    """
    listed = len(points) >= _TABLE_FROM
    ordered = sorted(points, key=float)
    ends = [None, *(p if listed else sheet.parameter(p) for p in ordered), None]
    sheet.gaps += list(pairwise(ends))
    sheet.rung(node)


def discrete(points: Sequence[object], weights: Sequence[object] | None = None) -> PointMasses:
    """Return the law with these atoms; equal points are merged.

    Args:
        points: places, length k >= 1.
        weights: masses, non-negative, of sum one, length k; equal if left out.

    Raises:
        ShapeError: if lengths differ or no point is given.
        RangeError: if the weights are not a probability.

    Example:
        >>> discrete([1, -1]).moments(4)
        [0, 1, 0, 1]
    """
    merged: dict[Expr, Expr] = {}
    for point, w in zip(points, masses(weights, len(points)), strict=True):
        p = scalar(point)
        if w != 0:
            merged[p] = merged.get(p, Integer(0)) + w
    return PointMasses(tuple(merged), tuple(merged.values()))


def empirical(points: Sequence[object]) -> PointMasses:
    """Return the empirical law of numbers (eigenvalues), equal weights."""
    return discrete(points)


def semicircle(variance: object = 1) -> Semicircle:
    """Return the semicircle of this variance, on [-2 sigma, 2 sigma].

    Raises:
        RangeError: if the variance is not positive.
    """
    return Semicircle(positive(variance, "variance of a semicircle"))


def marchenko_pastur(ratio: object, scale: object = 1) -> MarchenkoPastur:
    """Return the law of scale * Z Z^T, Z of size N x M with variance 1/M, ratio = N/M.

    Raises:
        RangeError: if ratio or scale is not positive.

    Example:
        >>> marchenko_pastur(2).atoms()
        ((0, 1/2),)
    """
    c = positive(ratio, "ratio of a Marchenko-Pastur law")
    return MarchenkoPastur(c, positive(scale, "scale of a Marchenko-Pastur law"))


def free_poisson(rate: object, jump: object = 1) -> MarchenkoPastur:
    """Return the free Poisson law: all free cumulants are rate * jump^n.

    Example:
        >>> free_poisson(2, 3).cumulants(3)
        [6, 18, 54]
    """
    r = positive(rate, "rate of a free Poisson law")
    return MarchenkoPastur(1 / r, r * positive(jump, "jump of a free Poisson law"))


def arcsine(low: object = -2, high: object = 2) -> Arcsine:
    """Return the arcsine law on [low, high].

    Raises:
        RangeError: if the interval is empty.
    """
    a, b = scalar(low), scalar(high)
    if (b - a).is_nonpositive:
        raise RangeError(f"arcsine law on [{a}, {b}]", "an empty interval", "give low < high")
    return Arcsine(a, b)


def law_of(measure: SpectralMeasure) -> Law:
    """Return the law of a spectral measure of the matrix language.

    Raises:
        NotSupportedError: for joint measures and for measures without a compact support.
    """
    if isinstance(measure, Atoms) and measure.coordinates == 1:
        return discrete([p[0] for p in measure.points], list(measure.weights))
    if isinstance(measure, MarchenkoPasturMeasure):
        return marchenko_pastur(measure.args[0], measure.args[1])
    remedy = "use atoms, power_law(a, count=...) or marchenko_pastur"
    raise NotSupportedError(f"law of {measure}", "not one compactly supported law", remedy)


def deep_features_covariance(model: DeepFeatures, gamma: Sequence[object]) -> Law:
    """Return the law of the population covariance Omega_L of the last layer's features.

    Args:
        model: the declared network.
        gamma: widths k_1/d, ..., k_L/d, positive.

    Raises:
        ShapeError: if the number of widths is not the depth.
        RangeError: if a width is not positive.

    Derivation: Omega_l = kappa_1^2 W Omega_{l-1} W^T + kappa_*^2 with W of size k_l x k_{l-1} and
    variance 1/k_{l-1}: one Gram step and one affine map per layer.
    """
    model.system()  # refuses networks that the layer map does not describe
    chain = model.chain()
    if any(isinstance(layer, MixedLayer) or layer.rows for layer in chain.layers):
        raise NotSupportedError(
            "the law of Omega_L of this network",
            "neurons of a layer differ, or rows have a covariance",
            "take the spectrum of sampled weights",
        )
    if len(gamma) != model.depth:
        found = f"{len(gamma)} widths for depth {model.depth}"
        raise ShapeError("widths gamma", found, "give one per layer")
    known: dict[Any, Expr] = {s: _constant(s, e) for s, e in chain.constants}
    for level, value in enumerate(gamma, 1):
        known |= {q: _width(value) for q in chain.controls if q.name == f"gamma_{level}"}
    atoms = [(a.xreplace(known), w) for a, w in chain.base.atoms]
    law: Law = discrete([a for a, _ in atoms], [w for _, w in atoms])
    below = chain.base.width.xreplace(known)
    for layer in chain.layers:
        if isinstance(layer, MixedLayer):
            found = "a layer with random gains is no affine image of a Gram matrix"
            raise NotSupportedError("law of a feature covariance", found, "use equal gains")
        width = layer.width.xreplace(known)
        law = Affine(gram(law, width / below), known[layer.a], layer.b.xreplace(known))
        below = width
    return law


def deep_features_kernel(model: DeepFeatures, alpha: object, gamma: Sequence[object]) -> Law:
    """Return the law of the data kernel X_L^T X_L/k_L (n x n) of the last layer's features.

    Args:
        model: the declared network.
        alpha: samples n/d, positive.
        gamma: widths k_1/d, ..., k_L/d, positive.
    """
    law = deep_features_covariance(model, gamma)
    last = _width(gamma[-1]) if model.depth else Integer(1)
    return gram(law, _width(alpha) / last)


def _constant(symbol: Symbol, value: Expr) -> Expr:
    """Return kappa_1^2 or kappa_*^2 as one atom: both are means of squares, so positive or zero."""
    return value if value == 0 else Constant(symbol.name, value)


def _width(value: object) -> Expr:
    number = scalar(value) if isinstance(value, Expr) else exact_number(value)
    return positive(number, "width or sample ratio")
