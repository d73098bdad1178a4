r"""The spectrum of a matrix expression as a law: free sums and products take it like any other.

Stage: equations of (z - A)^-1 (``derive.dyson``) in, a ``Law`` out. The argument z and the coupled
core are the parameters of its curve, the equations of the core its constraints.

Branch: that z and -G lie in the upper half-plane together is necessary, and with one unknown it is
enough. With more, functions of the core that kept the sign of their imaginary part at sampled
points of the physical branch are added: they exclude roots, they do not prove one. ``unique`` says
which case it is; mass and moments (``numeric.spectrum``) then judge the whole, and
``derive.random_matrices.stability`` proves any point off the real axis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
from sympy import Expr, Integer, Symbol, sqrt

from derive.dyson import DysonEquations, equations
from derive.errors import NotSupportedError, UnknownNameError
from derive.exact import Number, exact_number
from derive.matrices import eye, ntrace
from derive.random_matrices.matrix_letters import Covariance, Flip, Gaussian, Wigner
from derive.random_matrices.matrix_nodes import (
    Eye,
    Formula,
    Inverse,
    Product,
    Sum,
    Zero,
    formula,
)
from derive.random_matrices.spectral_measure import Atoms
from derive.resultants import DIGITS, polynomial, with_values
from derive.spectra.curve import Node, Sheet, evaluate, value_of
from derive.spectra.follow_curve import Walk
from derive.spectra.laurent import Laurent
from derive.spectra.law import Atom, Law
from derive.symbols import Quantity

SAMPLES = ((0.3, 0.7), (-0.6, 0.2), (0.9, 0.05), (0.05, 0.02), (-0.1, 0.4), (0.5, 0.01))


@dataclass(frozen=True)
class SystemLaw(Law):
    """Law of a symmetric matrix expression with numbers for all its controls.

    Attributes:
        matrix: the expression.
        equations: of the normalised trace ``m`` of its resolvent, with numbers put in.
        z: spectral argument.
        limit: a number that no point of the support exceeds in modulus.
        positive: whether the matrix is known to be non-negative.
    """

    matrix: Formula
    equations: DysonEquations = field(repr=False, compare=False)
    z: Quantity
    limit: Expr
    positive: bool

    @property
    def nonnegative(self) -> bool:
        """As declared, or read off the form of the expression."""
        return self.positive

    @property
    def bound(self) -> Expr:
        """Sum and product of the norms of the letters."""
        return self.limit

    @property
    def unique(self) -> bool:
        """Whether the half-plane conditions alone prove the branch: one unknown."""
        return len(self.equations.unknowns) <= 1

    @cached_property
    def _final(self) -> DysonEquations:
        return self.equations.at(1)

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write the core as unknowns, its equations as constraints."""
        return self._written(sheet, large, self._signs)

    def _written(self, sheet: Sheet, large: Expr, signs: Sequence[tuple[Symbol, int]]) -> Node:
        argument = sheet.unknown(large)
        known: dict[Symbol, Expr] = {self.z: argument}
        for unknown, value in zip(self._final.unknowns, self._final.start, strict=True):
            known[unknown] = sheet.unknown(value.xreplace({self.z: large}))
        for symbol, expr in self._final.definitions:
            known[symbol] = sheet.line("y", expr.xreplace(known))
        for equation in self._final.equations:
            sheet.constraints.append(sheet.line("c", equation.residual.xreplace(known)))
        g = self._final.outputs["m"].xreplace(known)
        sheet.upper += [-g, *(sign * known[s] for s, sign in signs)]
        sheet.tower = False
        sheet.unique = sheet.unique and self.unique
        return sheet.node(argument, g, argument * g - 1)

    @cached_property
    def _signs(self) -> tuple[tuple[Symbol, int], ...]:
        """Functions of the core whose imaginary parts keep one sign at sampled points."""
        sheet = Sheet()
        top = self._written(sheet, _LARGE, ())
        walk = Walk(sheet.curve(top), mpmath.mpf(str(self.limit.evalf(DIGITS))))
        points = [walk.bound * mpmath.mpc(*map(mpmath.mpf, p)) for p in SAMPLES]
        found = [walk.at(p) for p in points]
        names = [*self._final.unknowns, *(s for s, _ in self._final.definitions)]
        seen: dict[Symbol, set[int]] = {s: set() for s in names}
        for point, values in zip(points, found, strict=True):
            known: dict[Symbol, Any] = {self.z: point}
            known |= dict(zip(self._final.unknowns, values[1:], strict=True))
            known = evaluate(self._final.definitions, known, _mpf)
            for s in names:
                seen[s].add(int(mpmath.sign(known[s].imag)))
        kept = [(s, signs.pop()) for s, signs in seen.items() if len(signs) == 1]
        return tuple((s, sign) for s, sign in kept if sign != 0)

    def moments(self, count: int) -> list[Expr]:
        """Expand the equations in 1/z, exactly; each round of substitution gains an order."""
        order = count + 3
        one = Integer(1)
        e = Laurent(1, (one, *[Integer(0)] * order))
        known: dict[Any, Any] = {self.z: e.inverse()}
        core: dict[Any, Any] = {
            u: value_of(v, known, _laurent(order))
            for u, v in zip(self._final.unknowns, self._final.start, strict=True)
        }
        for _ in range(2 * order):
            values = evaluate(self._final.definitions, {**known, **core}, _laurent(order))
            new = {
                u: value_of(x.rhs, values, _laurent(order))
                for u, x in zip(self._final.unknowns, self._final.equations, strict=True)
            }
            if all(_same(new[u], core[u], order) for u in core):
                break
            core = new
        values = evaluate(self._final.definitions, {**known, **core}, _laurent(order))
        g = value_of(self._final.outputs["m"], values, _laurent(order))
        return [g[k + 1] for k in range(1, count + 1)]

    def atoms(self) -> tuple[Atom, ...]:
        """Return poles of G: rational places from the polynomial, masses from its Newton polygon.

        Raises:
            NotSupportedError: for an atom at an irrational place or of irrational mass.
        """
        return self._atoms

    @cached_property
    def _atoms(self) -> tuple[Atom, ...]:
        from derive.spectra.poles import poles  # noqa: PLC0415  (needs a polynomial)

        relation = polynomial(self.equations, "m", self.z.name)
        walk = Walk(self.curve(), mpmath.mpf(str(self.limit.evalf(DIGITS))))

        def mass(place: Any) -> Any:
            step = walk.bound * mpmath.mpf(10) ** -8
            u = walk.at(mpmath.mpc(place, step))
            (g,) = walk.values(u, (walk.curve.g,))
            return -(g * step).imag

        return poles(relation, mass)


_LARGE = Symbol("Z")


def _mpf(value: Any) -> Any:
    return (
        mpmath.mpf(int(value.p)) / int(value.q)
        if value.is_Rational
        else mpmath.mpmathify(value.evalf(DIGITS))
    )


def _laurent(order: int) -> Any:
    return lambda c: Laurent(0, (c, *[Integer(0)] * order))


def _same(a: Laurent, b: Laurent, order: int) -> bool:
    return all(a[k] == b[k] for k in range(min(a.order, b.order), order - 1))


def matrix_law(
    matrix: object,
    values: Mapping[str, Number] | None = None,
    *,
    bound: Number | None = None,
    nonnegative: bool | None = None,
) -> SystemLaw:
    """Return the spectral law of a symmetric matrix expression.

    Args:
        matrix: symmetric expression.
        values: an exact number for every dimension and control.
        bound: no eigenvalue exceeds it in modulus; by default from the norms of the letters.
        nonnegative: whether no eigenvalue is negative; read off the expression by default.

    Raises:
        NotSupportedError: if the matrix is not symmetric, or its norm is not known.
        UnknownNameError: for a missing value.

    Example:
        >>> from derive.matrices import dims, eye, gaussian
        >>> n, d = dims("n d")
        >>> X = gaussian("X", d, n, 1/n)
        >>> law = matrix_law(X*X.T + eye(d), {"n": 2, "d": 1})
        >>> law.moments(3), law.nonnegative
        ([2, 9/2, 45/4], True)
    """
    body = formula(matrix, f"law of {matrix}")
    if body.shape[0] != body.shape[1] or body != body.T:
        raise NotSupportedError(f"law of {body}", "it is not symmetric", "give a symmetric matrix")
    z = Quantity("z_spectral", "spectral argument")
    found = equations({"m": ntrace((z * eye(body.shape[0]) - body).inv())})
    exact = {name: exact_number(v) for name, v in (values or {}).items()}
    known = {q.name for q in found.controls}
    missing = sorted(known - set(exact) - {z.name})
    if missing:
        asked = f"law of {body}"
        raise UnknownNameError(asked, f"no value for {', '.join(missing)}", "give values=")
    used = {name: v for name, v in exact.items() if name in known}
    fixed = with_values(found, used)
    numbers: dict[Any, Expr] = {s: exact[str(s)] for s in body.free_symbols if str(s) in exact}
    size = exact_number(bound) if bound is not None else norm(body).xreplace(numbers)
    if not size.is_number:
        said = f"its norm holds {', '.join(map(str, size.free_symbols))}"
        raise UnknownNameError(f"law of {body}", said, "give values= for all dimensions")
    sign = is_nonnegative(body) if nonnegative is None else nonnegative
    return SystemLaw(body, fixed, z, size, sign)


def norm(node: Formula) -> Expr:
    """Return an upper bound of the limiting operator norm, from the norms of the letters.

    Raises:
        NotSupportedError: for inverses, whose norm the letters do not bound.
    """
    if isinstance(node, Flip):
        return norm(node.letter)
    if isinstance(node, Gaussian):
        return sqrt(node.variance) * (sqrt(node.shape[0]) + sqrt(node.shape[1]))
    if isinstance(node, Wigner):
        return 2 * sqrt(node.variance * node.shape[0])
    if isinstance(node, Covariance) and isinstance(node.measure, Atoms):
        places = [abs(p[node.coordinate]) for p in node.measure.points]
        return max(places, key=float)
    if isinstance(node, (Eye, Zero)):
        return Integer(int(isinstance(node, Eye)))
    if isinstance(node, Sum):
        return sum((norm(t) for t in node.args), Integer(0))
    if isinstance(node, Product):
        total = abs(node.args[0])
        for factor in node.factors:
            total *= norm(factor)
        return total
    raise NotSupportedError(f"norm of {node}", "its letters do not bound it", "give bound=")


def is_nonnegative(node: Formula) -> bool:
    """Whether an expression is seen to be non-negative: squares, sums of them, inverses."""
    if isinstance(node, Eye):
        return True
    if isinstance(node, Covariance) and isinstance(node.measure, Atoms):
        return all(bool(p[node.coordinate].is_nonnegative) for p in node.measure.points)
    if isinstance(node, Inverse):
        return is_nonnegative(node.args[0])
    if isinstance(node, Sum):
        return all(is_nonnegative(t) for t in node.args)
    if not isinstance(node, Product) or not node.args[0].is_nonnegative:
        return False
    factors = node.factors
    while len(factors) >= 2 and factors[-1] == factors[0].T:
        factors = factors[1:-1]
    return not factors or (len(factors) == 1 and is_nonnegative(factors[0]))
