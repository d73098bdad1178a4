r"""What a law is: atoms, moments and transforms, exact, and itself as a curve.

Stage: the base class of leaves (``derive.spectra.laws``) and of compositions
(``derive.transforms``).

Conventions, for a probability measure mu on the real line:

.. math:: G(z) = \int \frac{\mu(dx)}{z - x}, \quad R(g) = G^{-1}(g) - \frac1g, \quad
          \psi(s) = \int \frac{s x}{1 - s x}\mu(dx), \quad S(t) = \frac{1 + t}{t}\psi^{-1}(t),
          \quad T(t) = \frac{1}{S(t)}.
"""

from dataclasses import dataclass

from sympy import Expr, Integer, Max, Symbol

from derive.eliminate import Relation, eliminate
from derive.errors import NotSupportedError, RangeError
from derive.random_matrices.scalars import scalar
from derive.rewrite import Log, Step
from derive.spectra.curve import LARGE, Curve, Node, Sheet
from derive.spectra.free_series import cumulants_from_moments

Atom = tuple[Expr, Expr]
"""Place and mass."""


@dataclass(frozen=True)
class Law:
    """A compactly supported probability law on the real line; subclasses are leaves or steps."""

    @property
    def total_mass(self) -> Expr:
        """Mass of the law: one, by construction."""
        return Integer(1)

    @property
    def mean(self) -> Expr:
        """The first moment, exact."""
        return self.moments(1)[0]

    @property
    def nonnegative(self) -> bool:
        """Whether the support is known to lie in [0, infinity)."""
        raise NotImplementedError

    @property
    def bound(self) -> Expr:
        """A number that no point of the support exceeds in modulus."""
        raise NotImplementedError

    def atoms(self) -> tuple[Atom, ...]:
        """Return places and masses of all atoms, exact."""
        raise NotImplementedError

    def moments(self, count: int) -> list[Expr]:
        """Return the moments 1, ..., count, exact."""
        raise NotImplementedError

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write the law on a sheet, given its spectral argument at infinity."""
        raise NotImplementedError

    def R(self, g: Expr) -> Expr:
        """Return the R-transform at g.

        Raises:
            NotSupportedError: if no closed form is known here.
        """
        raise _no_closed_form("R-transform", self)

    def S(self, t: Expr) -> Expr:
        """Return the S-transform at t.

        Raises:
            NotSupportedError: if no closed form is known here.
        """
        raise _no_closed_form("S-transform", self)

    def T(self, t: Expr) -> Expr:
        """Return the T-transform 1/S at t."""
        return 1 / self.S(t)

    def cumulants(self, count: int) -> list[Expr]:
        """Return the free cumulants 1, ..., count, exact."""
        return cumulants_from_moments(self.moments(count))

    def atom_at(self, place: Expr) -> Expr:
        """Return the mass of the atom at a place (zero if there is none)."""
        return sum((w for a, w in self.atoms() if (a - place).equals(0)), Integer(0))

    def curve(self) -> Curve:
        """Return the law as code, with a start at infinity."""
        sheet = Sheet()
        return sheet.curve(self.write(sheet, LARGE))

    def polynomial(self) -> Relation:
        """Return the irreducible polynomial P(G, z) = 0 (python-flint resultants).

        Irrational parameters stay as symbols.

        Raises:
            NotSupportedError: if the curve has more than one unknown, or point tables.
        """
        curve = self.curve()
        if curve.constraints or curve.tables:
            found = f"{len(curve.unknowns)} coupled parameters"
            raise NotSupportedError(
                f"polynomial of {self}", found, "evaluate it numerically (numeric.spectrum)"
            )
        fixed = {s: v for s, v in curve.parameters if v.is_Rational or v.free_symbols}
        lines = [(s, e.xreplace(fixed)) for s, e in curve.lines]
        step = Step("write the law as a curve", f"z and G are rational in {curve.unknowns[0]}")
        return eliminate(
            lines,
            (Symbol("z"), curve.z.xreplace(fixed)),
            (Symbol("G"), curve.g.xreplace(fixed)),
            curve.unknowns[0],
            Log((step,)),
        )

    def add_to(self, sheet: Sheet, base: Node, law: "Law | None") -> Node | None:
        """Write base + this law by its R-transform; None if R is not rational.

        ``law`` is the law at the node ``base`` (None: only asking whether it can be done).
        """
        return None

    def multiply_to(self, sheet: Sheet, base: Node, law: "Law | None") -> Node | None:
        """Write base * this law by its S-transform; None if S is not rational."""
        return None


def kept(*atoms: Atom) -> tuple[Atom, ...]:
    """Drop atoms without mass; a mass that depends on symbols becomes its positive part."""
    out = []
    for place, mass in atoms:
        weight = Max(0, mass)
        if weight != 0:
            out.append((place, weight))
    return tuple(out)


def _no_closed_form(what: str, law: Law) -> NotSupportedError:
    remedy = "use curve(), polynomial(), moments() or numeric.spectrum"
    return NotSupportedError(f"{what} of {law}", "no closed form is known here", remedy)


def require_laws(what: str, *laws: object) -> None:
    """Refuse what is not a law.

    Raises:
        NotSupportedError: naming the first one.
    """
    for law in laws:
        if not isinstance(law, Law):
            remedy = "use derive.spectra.laws, law_of(...) or matrix_law(...)"
            raise NotSupportedError(what, f"{law!r} is no law", remedy)


def require_nonnegative(law: Law, what: str) -> None:
    """Refuse a law that is not known to live on [0, infinity)."""
    if not law.nonnegative:
        raise RangeError(f"{what} of {law}", "not known to be non-negative", "shift or square it")


def positive(value: object, what: str) -> Expr:
    """Return an exact scalar, refusing one that is known not to be positive."""
    expr = scalar(value)
    if expr.is_nonpositive or expr.is_real is False:
        raise RangeError(f"{what} {expr}", "not positive", "give a positive number")
    return expr


def atom_splits(sheet: Sheet, node: Node, law: Law) -> tuple[Expr, ...]:
    """Return functions that vanish at the atoms of a law, which cut its gaps.

    The gaps of a leaf whose parameter is z itself end at its atoms already.
    """
    if node.z in sheet.unknowns:
        return ()
    return tuple(node.z - sheet.parameter(a) for a, _ in law.atoms())
