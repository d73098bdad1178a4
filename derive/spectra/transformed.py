r"""Laws of -x and of 1/x.

Stage: laws in, laws out (``derive.transforms`` uses them for negative scales). Both maps take the
upper half-plane to the lower one, so the upper functions of the law below change sign.

.. math:: G_{-x}(w) = -G(-w), \qquad G_{1/x}(w) = \frac1w - \frac{1}{w^2}\,G\!\left(\frac1w\right),
          \qquad S_{1/x}(t) = \frac{1}{S(-1-t)}.

Source: [haagerup2007] for the last one.
"""

from dataclasses import dataclass
from typing import Any

import mpmath
from sympy import Dummy, Expr, Integer, Rational, factorial, limit

from derive.errors import NotSupportedError, RangeError
from derive.spectra.curve import Node, Sheet
from derive.spectra.follow_curve import DIGITS, Walk
from derive.spectra.free_series import moments_from_s_series
from derive.spectra.law import Atom, Law, require_laws

_HALVINGS = 20


def negated(law: Law) -> Law:
    """Return the law of -x.

    Example:
        >>> from derive.spectra.laws import marchenko_pastur
        >>> negated(marchenko_pastur(1)).moments(3)
        [-1, 2, -5]
    """
    require_laws("law of -x", law)
    return law.law if isinstance(law, Negated) else Negated(law)


def inverted(law: Law) -> Law:
    """Return the law of 1/x for a positive x whose support stays away from zero.

    Raises:
        RangeError: if the law is not known to be non-negative, or has an atom at zero.

    Example:
        >>> from derive.spectra.laws import discrete
        >>> inverted(discrete([1, 2])).moments(2)
        [3/4, 5/8]
    """
    require_laws("law of 1/x", law)
    if isinstance(law, Inverted):
        return law.law
    if not law.nonnegative:
        raise RangeError(f"inverse of {law}", "not known to be positive", "shift or square it")
    if law.atom_at(Integer(0)) != 0:
        mass = law.atom_at(Integer(0))
        raise RangeError(f"inverse of {law}", f"an atom of mass {mass} at zero", "add a ridge")
    return Inverted(law)


@dataclass(frozen=True)
class Negated(Law):
    """Law of -x."""

    law: Law

    @property
    def nonnegative(self) -> bool:
        """Not known."""
        return False

    @property
    def bound(self) -> Expr:
        """As the law itself."""
        return self.law.bound

    def atoms(self) -> tuple[Atom, ...]:
        """Mirrored."""
        return tuple((-a, w) for a, w in self.law.atoms())

    def moments(self, count: int) -> list[Expr]:
        """Odd ones change sign."""
        return [m * (-1) ** k for k, m in enumerate(self.law.moments(count), 1)]

    def R(self, g: Expr) -> Expr:
        """-R(-g)."""
        return -self.law.R(-g)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = -z`` below; every function of the law below is reflected."""
        first = len(sheet.upper)
        n = self.law.write(sheet, -large)
        sheet.upper[first:] = [-h for h in sheet.upper[first:]]
        sheet.tower = False
        return sheet.node(-n.z, -n.g, n.t)


@dataclass(frozen=True)
class Inverted(Law):
    """Law of 1/x, x > 0."""

    law: Law

    @property
    def nonnegative(self) -> bool:
        """Always."""
        return True

    @property
    def bound(self) -> Expr:
        """One over the lower edge, found from the curve to within a factor of two.

        Raises:
            RangeError: if the support reaches zero, or comes closer than 1e-6 of its width.
        """
        walk = Walk(self.law.curve(), mpmath.mpf(str(self.law.bound.evalf(DIGITS))))
        with mpmath.workdps(DIGITS):
            x = walk.bound / 2
            for _ in range(_HALVINGS):
                if self._below(walk, x):
                    return Rational(str(mpmath.nstr(1 / x, 8)))
                x /= 2
        raise RangeError(f"inverse of {self.law}", "its support reaches zero", "add a ridge")

    def _below(self, walk: Walk, x: Any) -> bool:
        """Whether [0, x] carries no mass, by the imaginary part of G next to it."""
        small = mpmath.mpf(10) ** -12
        for share in (1, mpmath.mpf("0.5"), mpmath.mpf("0.1"), mpmath.mpf("1e-3")):
            point = mpmath.mpc(share * x, small * x)
            (g,) = walk.values(walk.at(point), (walk.curve.g,))
            if -g.imag > 1000 * small * x * abs(g) ** 2 + 1000 * small * abs(g):
                return False
        return True

    def atoms(self) -> tuple[Atom, ...]:
        """Inverted."""
        return tuple((1 / a, w) for a, w in self.law.atoms())

    def moments(self, count: int) -> list[Expr]:
        """Of finitely many atoms by sums, otherwise from the S-transform.

        Raises:
            NotSupportedError: if the S-transform below has no closed form here.
        """
        if sum((w for _, w in self.law.atoms()), Integer(0)) == 1:
            pairs = self.atoms()
            return [sum((w * a**k for a, w in pairs), Integer(0)) for k in range(1, count + 1)]
        t = Dummy("t")
        series, term = [], self.S(t)
        for k in range(count):
            series.append(limit(term, t, 0) / factorial(k))
            term = term.diff(t)
        return moments_from_s_series(series)

    def S(self, t: Expr) -> Expr:
        """1/S(-1 - t)."""
        return (1 / self.law.S(-1 - t)).factor()

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write ``z = 1/z`` below; at infinity the law below is at zero, inside its gap."""
        first, unknowns = len(sheet.upper), len(sheet.unknowns)
        n = self.law.write(sheet, large)
        sheet.upper[first:] = [-h for h in sheet.upper[first:]]
        sheet.start[unknowns:] = self._at_zero(sheet, large)
        sheet.tower = False
        return sheet.node(1 / n.z, -n.z * n.t, -n.z * n.g)

    def _at_zero(self, sheet: Sheet, large: Expr) -> list[Expr]:
        """Return the unknowns below at a small argument, to first order in it."""
        curve = self.law.curve()
        if any(v.free_symbols for _, v in curve.parameters):
            raise NotSupportedError(f"curve of {self}", "it holds symbols", "give numbers")
        walk = Walk(curve, mpmath.mpf(str(self.law.bound.evalf(DIGITS))))
        with mpmath.workdps(DIGITS):
            size = 1 / mpmath.mpf(str(self.bound.evalf(DIGITS)))
            h = size * mpmath.mpf(10) ** -10
            low, high = walk.at(mpmath.mpc(-h, 0)), walk.at(mpmath.mpc(h, 0))
            starts = []
            for a, b in zip(low, high, strict=True):
                middle, slope = ((a + b) / 2).real, ((b - a) / (2 * h)).real
                starts.append(_exact(middle) + _exact(slope) / large)
        return starts


def _exact(value: object) -> Expr:
    return Rational(str(mpmath.nstr(value, 30)))
