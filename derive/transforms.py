r"""Compositions of laws: free sums, products, powers, compressions, Gram matrices.

Stage: laws in, laws out. A composition is a frozen tree; it knows its atoms and moments exactly,
and writes itself on a curve: with one parameter where an R- or S-transform is rational, otherwise
with one parameter per factor, tied by the equality of subordinated transforms.

Conventions: ``derive.spectra.law``. Sources: [belinschi2007] for subordination and atoms,
[silverstein1995] for Gram matrices.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sympy import Expr, Integer, Max, Symbol, sqrt

from derive.errors import RangeError
from derive.random_matrices.scalars import scalar
from derive.spectra.curve import Node, Sheet
from derive.spectra.free_series import (
    moments_from_cumulants,
    moments_from_s_series,
    s_series_from_moments,
)
from derive.spectra.laurent import product_terms
from derive.spectra.law import (
    Atom,
    Law,
    atom_splits,
    kept,
    positive,
    require_laws,
    require_nonnegative,
)
from derive.spectra.transformed import negated


def scaled(law: Law, a: object, shift: object = 0) -> Law:
    """Return the law of a*x + shift; a may be negative.

    Raises:
        RangeError: if a is zero.

    Example:
        >>> from derive.spectra.laws import semicircle
        >>> scaled(semicircle(), 2, 1).moments(2)
        [1, 5]
        >>> scaled(semicircle(), -2, 1).moments(3)
        [1, 5, 13]
    """
    require_laws("scaled law", law)
    factor = scalar(a)
    if factor.is_negative:
        return Affine(negated(law), -factor, scalar(shift))
    return Affine(law, positive(factor, "scale"), scalar(shift))


def gram(law: Law, ratio: object) -> Law:
    """Return the law of W A W^T, A of the given law (M x M), W of size ratio*M x M, variance 1/M.

    Raises:
        RangeError: if the law is not known to be non-negative or the ratio is not positive.

    Example:
        >>> from derive.spectra.laws import discrete
        >>> gram(discrete([1]), 2).atoms()
        ((0, 1/2),)
    """
    return Gram(law, positive(ratio, "ratio of a Gram matrix"))


def free_power(law: Law, s: object) -> Law:
    """Return the free additive power of order s >= 1: the s-fold free sum for integers."""
    return AdditivePower(law, _at_least_one(s))


def compress(law: Law, share: object) -> Law:
    """Return the law of a corner of relative size ``share`` in (0, 1], in generic position."""
    return Compression(law, _share(share))


def product_power(law: Law, k: int) -> Law:
    """Return the k-fold free product of a non-negative law with itself."""
    return ProductPower(law, k)


def free_sum(*laws: Law) -> Law:
    """Return the law of a sum of free elements.

    Example:
        >>> from derive.spectra.laws import semicircle
        >>> free_sum(semicircle(), semicircle()).cumulants(4)
        [0, 2, 0, 0]
    """
    if not laws:
        raise RangeError("free sum", "no laws", "give at least one")
    require_laws("free sum", *laws)
    total = laws[0]
    for law in laws[1:]:
        total = FreeSum(total, law)
    return total


def free_product(*laws: Law) -> Law:
    """Return the law of a^(1/2) b a^(1/2) with a and b free and non-negative.

    Raises:
        RangeError: if a law is not known to be non-negative, or is zero.

    Example:
        >>> from derive.spectra.laws import marchenko_pastur
        >>> free_product(marchenko_pastur(1), marchenko_pastur(1)).moments(4)
        [1, 3, 12, 55]
    """
    if not laws:
        raise RangeError("free product", "no laws", "give at least one")
    require_laws("free product", *laws)
    total = laws[0]
    for law in laws[1:]:
        total = FreeProduct(total, law)
    return total


@dataclass(frozen=True)
class Affine(Law):
    """Law of a*x + b, a > 0."""

    law: Law
    a: Expr
    b: Expr

    @property
    def nonnegative(self) -> bool:
        """Known if both parts are."""
        return self.law.nonnegative and bool(self.b.is_nonnegative)

    @property
    def bound(self) -> Expr:
        """The bound scales, and moves at most by the shift."""
        return self.a * self.law.bound + abs(self.b)

    def atoms(self) -> tuple[Atom, ...]:
        """Atoms move along."""
        return tuple((self.a * x + self.b, w) for x, w in self.law.atoms())

    def moments(self, count: int) -> list[Expr]:
        """Through cumulants: the first moves, the others scale."""
        k = self.law.cumulants(count)
        scaled = [c * self.a ** (i + 1) for i, c in enumerate(k)]
        return moments_from_cumulants([scaled[0] + self.b, *scaled[1:]])

    def R(self, g: Expr) -> Expr:
        """R scales with its argument and shifts."""
        return self.a * self.law.R(self.a * g) + self.b

    def S(self, t: Expr) -> Expr:
        """S is divided by a, if nothing is added."""
        return self.law.S(t) / self.a if self.b == 0 else super().S(t)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = a z + b; the same gaps and the same monotone direction``."""
        a, b = sheet.parameter(self.a), sheet.parameter(self.b)
        n = self.law.write(sheet, large / a)
        node = sheet.node(a * n.z + b, n.g / a, n.t + b / a * n.g)
        if sheet.tower:
            sheet.rung(node)
        return node

    def add_to(self, sheet: Sheet, base: Node, law: Law | None) -> Node | None:
        """A shift alone is added as it is."""
        if self.a != 1:
            return None
        inner = self.law.add_to(sheet, base, law)
        if inner is None:
            return None
        b = sheet.parameter(self.b)
        return sheet.node(inner.z + b, inner.g, inner.t + b * inner.g)


@dataclass(frozen=True)
class Gram(Law):
    """Law of W A W^T with W of size N x M, independent entries of variance 1/M, ratio = N/M."""

    law: Law
    ratio: Expr

    def __post_init__(self) -> None:
        require_nonnegative(self.law, "Gram matrix W A W^T")

    @property
    def nonnegative(self) -> bool:
        """Always."""
        return True

    @property
    def bound(self) -> Expr:
        """Bound times the upper edge of W W^T."""
        return self.law.bound * (1 + sqrt(self.ratio)) ** 2

    def atoms(self) -> tuple[Atom, ...]:
        """The rank of A that N rows do not reach leaves zeros: mass 1 - (1 - mu{0})/ratio."""
        zeros = 1 - (1 - self.law.atom_at(Integer(0))) / self.ratio
        return kept((Integer(0), zeros))

    def moments(self, count: int) -> list[Expr]:
        """Free cumulants are ratio^(n-1) times the moments of A (compound free Poisson)."""
        m = self.law.moments(count)
        return moments_from_cumulants([self.ratio**i * v for i, v in enumerate(m)])

    def S(self, t: Expr) -> Expr:
        """S_A(r t)/(1 + r t)."""
        return self.law.S(self.ratio * t) / (1 + self.ratio * t)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = omega (ratio + t(omega)), t = t(omega)/ratio``."""
        r = sheet.parameter(self.ratio)
        n = self.law.write(sheet, large / r)
        sheet.upper.append(n.z)
        growth = n.z * n.g if r == 1 else r + n.t  # 1 + t = z G, without cancellation
        node = sheet.node(n.z * growth, 1 / (r * n.z), n.t / r)
        if sheet.tower:
            sheet.rung(node, atom_splits(sheet, n, self.law))
        return node


@dataclass(frozen=True)
class FreeSum(Law):
    """Law of x + y, x and y free."""

    left: Law
    right: Law

    @property
    def nonnegative(self) -> bool:
        """Known if both are."""
        return self.left.nonnegative and self.right.nonnegative

    @property
    def bound(self) -> Expr:
        """Sum of the bounds."""
        return self.left.bound + self.right.bound

    def atoms(self) -> tuple[Atom, ...]:
        """Places a + b with mu{a} + nu{b} > 1; the excess is the mass [belinschi2007]."""
        return _pairs(self.left, self.right, lambda a, b: a + b)

    def moments(self, count: int) -> list[Expr]:
        """Cumulants add."""
        pairs = zip(self.left.cumulants(count), self.right.cumulants(count), strict=True)
        return moments_from_cumulants([a + b for a, b in pairs])

    def R(self, g: Expr) -> Expr:
        """R-transforms add."""
        return self.left.R(g) + self.right.R(g)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """By an R-transform where one is rational; else two parameters with equal 1/G."""
        for base, other in ((self.left, self.right), (self.right, self.left)):
            if other.add_to(Sheet(), _PROBE, None) is not None:
                return _certain(other.add_to(sheet, base.write(sheet, large), base))
        x, y = self.left.write(sheet, large), self.right.write(sheet, large)
        sheet.upper += [x.z, y.z]
        sheet.constraints.append(sheet.line("c", 1 / x.g - 1 / y.g))
        return sheet.node(x.z + y.z - 1 / x.g, x.g, x.t + y.t)

    def add_to(self, sheet: Sheet, base: Node, law: Law | None) -> Node | None:
        """One after the other, if both can."""
        if self.right.add_to(Sheet(), _PROBE, None) is None:
            return None
        between = self.left.add_to(sheet, base, law)
        if between is None:
            return None
        partial = FreeSum(law, self.left) if law is not None else None
        return self.right.add_to(sheet, between, partial)


@dataclass(frozen=True)
class FreeProduct(Law):
    """Law of x^(1/2) y x^(1/2), x and y free and non-negative."""

    left: Law
    right: Law

    def __post_init__(self) -> None:
        for law in (self.left, self.right):
            require_nonnegative(law, "free product")
            if law.mean == 0:
                raise RangeError("free product", "a factor is the point mass at 0", "leave it out")

    @property
    def nonnegative(self) -> bool:
        """Always."""
        return True

    @property
    def bound(self) -> Expr:
        """Product of the bounds."""
        return self.left.bound * self.right.bound

    def atoms(self) -> tuple[Atom, ...]:
        """At 0 the larger mass of the two; elsewhere a*b with the excess [belinschi2007]."""
        zero = Integer(0)
        origin = Max(self.left.atom_at(zero), self.right.atom_at(zero))
        others = _pairs(self.left, self.right, lambda a, b: a * b)
        return (*kept((zero, origin)), *(p for p in others if p[0] != 0))

    def moments(self, count: int) -> list[Expr]:
        """S-transforms multiply."""
        left = s_series_from_moments(self.left.moments(count))
        right = s_series_from_moments(self.right.moments(count))
        return moments_from_s_series(product_terms(left, right, count))

    def S(self, t: Expr) -> Expr:
        """S-transforms multiply."""
        return self.left.S(t) * self.right.S(t)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """By an S-transform where one is rational; else two parameters with equal t."""
        for base, other in ((self.left, self.right), (self.right, self.left)):
            if other.multiply_to(Sheet(), _PROBE, None) is not None:
                inner = large / sheet.parameter(other.mean)
                return _certain(other.multiply_to(sheet, base.write(sheet, inner), base))
        x = self.left.write(sheet, large / sheet.parameter(self.right.mean))
        y = self.right.write(sheet, large / sheet.parameter(self.left.mean))
        sheet.upper += [x.z, y.z]
        sheet.constraints.append(sheet.line("c", 1 / x.t - 1 / y.t))
        z = sheet.line("z", y.z * x.t / x.g)
        return sheet.node(z, x.g * x.z / z, x.t)

    def multiply_to(self, sheet: Sheet, base: Node, law: Law | None) -> Node | None:
        """One after the other, if both can."""
        if self.right.multiply_to(Sheet(), _PROBE, None) is None:
            return None
        between = self.left.multiply_to(sheet, base, law)
        if between is None:
            return None
        partial = FreeProduct(law, self.left) if law is not None else None
        return self.right.multiply_to(sheet, between, partial)


@dataclass(frozen=True)
class AdditivePower(Law):
    """Free additive power of order s >= 1."""

    law: Law
    s: Expr

    @property
    def nonnegative(self) -> bool:
        """As the law itself."""
        return self.law.nonnegative

    @property
    def bound(self) -> Expr:
        """A power of order s is at most s times as wide as a compression of the law."""
        return self.s * self.law.bound

    def atoms(self) -> tuple[Atom, ...]:
        """At s*a with mass s mu{a} - (s - 1), if positive."""
        return kept(*((self.s * a, self.s * w - self.s + 1) for a, w in self.law.atoms()))

    def moments(self, count: int) -> list[Expr]:
        """Cumulants are multiplied by s."""
        return moments_from_cumulants([self.s * k for k in self.law.cumulants(count)])

    def R(self, g: Expr) -> Expr:
        """R is multiplied by s."""
        return self.s * self.law.R(g)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = omega + (s - 1)(omega - 1/G(omega))``."""
        s = sheet.parameter(self.s)
        n = self.law.write(sheet, large)
        sheet.upper.append(n.z)
        node = sheet.node(n.z + (s - 1) * n.t / n.g, n.g, s * n.t)
        if sheet.tower:
            sheet.rung(node, (*atom_splits(sheet, n, self.law), n.g))
        return node


@dataclass(frozen=True)
class Compression(Law):
    """Law of a corner of relative size ``share``: a dilated power of order 1/share."""

    law: Law
    share: Expr

    @property
    def nonnegative(self) -> bool:
        """As the law itself."""
        return self.law.nonnegative

    @property
    def bound(self) -> Expr:
        """A corner is not larger than the matrix."""
        return self.law.bound

    def atoms(self) -> tuple[Atom, ...]:
        """At a with mass (mu{a} - (1 - share))/share, if positive."""
        c = self.share
        return kept(*((a, (w - 1 + c) / c) for a, w in self.law.atoms()))

    def moments(self, count: int) -> list[Expr]:
        """Cumulant n is multiplied by share^(n-1)."""
        k = self.law.cumulants(count)
        return moments_from_cumulants([v * self.share**i for i, v in enumerate(k)])

    def R(self, g: Expr) -> Expr:
        """R at share * g."""
        return self.law.R(self.share * g)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = share omega + (1 - share)(omega - 1/G(omega))``."""
        c = sheet.parameter(self.share)
        n = self.law.write(sheet, large / c)
        sheet.upper.append(n.z)
        node = sheet.node(c * n.z + (1 - c) * n.t / n.g, n.g / c, n.t / c)
        if sheet.tower:
            sheet.rung(node, (*atom_splits(sheet, n, self.law), n.g))
        return node


@dataclass(frozen=True)
class ProductPower(Law):
    """Free multiplicative power of a non-negative law, of positive integer order."""

    law: Law
    k: int

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise RangeError(f"product power {self.k}", "not a positive integer", "give 1, 2, ...")
        require_nonnegative(self.law, "product power")

    @property
    def nonnegative(self) -> bool:
        """Always."""
        return True

    @property
    def bound(self) -> Expr:
        """Power of the bound."""
        return self.law.bound**self.k

    def atoms(self) -> tuple[Atom, ...]:
        """At 0 the same mass; elsewhere a^k with mass k mu{a} - (k - 1), if positive."""
        zero = kept((Integer(0), self.law.atom_at(Integer(0))))
        k = self.k
        return (*zero, *kept(*((a**k, k * w - k + 1) for a, w in self.law.atoms() if a != 0)))

    def moments(self, count: int) -> list[Expr]:
        """The S-transform is raised to the power k."""
        base = s_series_from_moments(self.law.moments(count))
        series = base
        for _ in range(self.k - 1):
            series = product_terms(series, base, count)
        return moments_from_s_series(series)

    def S(self, t: Expr) -> Expr:
        """S to the power k."""
        return self.law.S(t) ** self.k

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = omega (t/G)^(k-1)``, as 1 + t = omega G."""
        n = self.law.write(sheet, large / sheet.parameter(self.law.mean) ** (self.k - 1))
        sheet.upper.append(n.z)
        sheet.tower = sheet.tower and self.k == 1
        ratio = sheet.line("r", n.t / n.g)
        return sheet.node(n.z * ratio ** (self.k - 1), n.g / ratio ** (self.k - 1), n.t)


_PROBE = Node(Symbol("z"), Symbol("g"), Symbol("t"))


def _certain(node: Node | None) -> Node:
    assert node is not None, "the step was probed before"
    return node


def _pairs(left: Law, right: Law, place: Callable[[Expr, Expr], Expr]) -> tuple[Atom, ...]:
    found = ((place(a, b), v + w - 1) for a, v in left.atoms() for b, w in right.atoms())
    return kept(*found)


def _at_least_one(value: object) -> Expr:
    expr = scalar(value)
    if (expr - 1).is_negative:
        raise RangeError(f"free power of order {expr}", "below 1", "give an order >= 1")
    return expr


def _share(value: object) -> Expr:
    expr = positive(value, "share of a compression")
    if (1 - expr).is_negative:
        raise RangeError(f"share of a compression {expr}", "above 1", "give a share in (0, 1]")
    return expr
