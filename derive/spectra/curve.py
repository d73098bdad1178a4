r"""Spectral curves: a law as straight-line code z(u), G(u) in one or several complex parameters.

Stage: laws (``derive.transforms``) in, code out; read by ``numeric.spectrum`` and by expansions.

A curve holds unknowns u_1, ..., u_k, rational code, k - 1 constraints, and the functions z, G and
t = z G - 1 of u. Its *upper functions* are the subordination functions of the composition: at every
z in the upper half-plane the equations have exactly one solution with all of them in the upper
half-plane, and this solution is the law's. Two consequences make the branch checkable at a point:

* real z inside the support: a solution with all upper functions strictly in the upper half-plane
  and dz/du != 0 is a limit of such solutions, so it is the physical one;
* real z outside the support and off the atoms: a real solution along which all upper functions
  increase with z is the physical one, by the same limit.

Conventions: G(z) = integral of mu(dx)/(z - x); m(z) = -G(z) is the Stieltjes transform.
Sources: [belinschi2007] for sums and products, [silverstein1995] for Gram matrices.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sympy import Expr, Function, Integer, Symbol, sympify

from derive.block import Line
from derive.errors import NotSupportedError

LARGE = Symbol("Z")
"""The spectral argument in the expressions of ``Curve.start``."""


class PointSum(Function):
    """``PointSum(table, p, k, u)`` = mean over a table of points a of a**p / (u - a)**k."""

    nargs = 4

    def fdiff(self, argindex: int = 4) -> Expr:
        """Differentiate in the last argument."""
        table, p, k, u = cast(tuple[Expr, ...], self.args)
        return -k * PointSum(table, p, k + 1, u)


@dataclass(frozen=True)
class Rung:
    """One subordination function of a tower with one unknown, from the leaf up.

    Attributes:
        omega: its symbol. On every gap of the support below, cut at the zeros of ``splits``,
            d(omega)/d(previous omega) is a concave function of the previous one.
        splits: functions that are monotone on every piece made by the ones before them.
    """

    omega: Symbol
    splits: tuple[Expr, ...]


@dataclass(frozen=True)
class Curve:
    """A law as code.

    Attributes:
        unknowns: complex parameters.
        lines: straight-line rational code in unknowns and parameters.
        z: spectral argument. g: Cauchy transform. t: z*g - 1.
        constraints: expressions that vanish; one fewer than unknowns.
        upper: functions that lie in the upper half-plane with z.
        start: the unknowns at a large spectral argument ``LARGE``, to leading order.
        parameters: pairs (symbol, exact value).
        tables: points of large empirical measures, referred to by ``PointSum``.
        gaps: open intervals of the unknown on which the leaf law has no support; None as an end is
            infinity. Empty if the curve is not a tower.
        ladder: the rungs of a tower; empty if the curve is not one.
        unique: whether the upper functions single out the law's solution, by a theorem.
    """

    unknowns: tuple[Symbol, ...]
    lines: tuple[Line, ...]
    z: Expr
    g: Expr
    t: Expr
    constraints: tuple[Expr, ...]
    upper: tuple[Expr, ...]
    start: tuple[Expr, ...]
    parameters: tuple[tuple[Symbol, Expr], ...] = ()
    tables: tuple[tuple[Expr, ...], ...] = ()
    gaps: tuple[tuple[Expr | None, Expr | None], ...] = ()
    ladder: tuple[Rung, ...] = ()
    unique: bool = True

    @property
    def is_tower(self) -> bool:
        """Whether there is one unknown and every step is of a kind whose gaps are understood."""
        return bool(self.ladder)

    def values(self) -> dict[Symbol, Expr]:
        """Return the parameters by symbol."""
        return dict(self.parameters)


@dataclass(frozen=True)
class Node:
    """A law inside a sheet: what the law above it builds on."""

    z: Expr
    g: Expr
    t: Expr


@dataclass
class Sheet:
    """Collects the code of a curve while a tree of laws writes it, leaves first."""

    unknowns: list[Symbol] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    constraints: list[Expr] = field(default_factory=list)
    upper: list[Expr] = field(default_factory=list)
    start: list[Expr] = field(default_factory=list)
    parameters: list[tuple[Symbol, Expr]] = field(default_factory=list)
    tables: list[tuple[Expr, ...]] = field(default_factory=list)
    gaps: list[tuple[Expr | None, Expr | None]] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    tower: bool = True
    unique: bool = True

    def unknown(self, start: Expr) -> Symbol:
        """Add an unknown with its value at a large spectral argument."""
        symbol = Symbol(f"u{len(self.unknowns)}")
        self.unknowns.append(symbol)
        self.start.append(start)
        self.tower = self.tower and len(self.unknowns) == 1
        return symbol

    def line(self, name: str, expr: Expr) -> Expr:
        """Add a line and return its symbol; symbols and numbers are returned as they are."""
        if expr.is_Symbol or expr.is_Number:
            return expr
        symbol = Symbol(f"{name}{len(self.lines)}")
        self.lines.append((symbol, expr))
        return symbol

    def parameter(self, value: Expr) -> Expr:
        """Return a symbol for an exact value, so that code does not depend on it; 0, 1 stay."""
        if value in (Integer(0), Integer(1)):
            return value
        for symbol, known in self.parameters:
            if known == value:
                return symbol
        symbol = Symbol(f"p{len(self.parameters)}", real=True)
        self.parameters.append((symbol, value))
        return symbol

    def node(self, z: Expr, g: Expr, t: Expr) -> Node:
        """Write the three functions of a law as lines."""
        return Node(self.line("z", z), self.line("g", g), self.line("t", t))

    def rung(self, node: Node, splits: tuple[Expr, ...] = ()) -> None:
        """Record that the law at this node is the next rung of a tower."""
        if isinstance(node.z, Symbol):
            self.rungs.append(Rung(node.z, tuple(self.line("s", e) for e in splits)))

    def curve(self, top: Node) -> Curve:
        """Return the finished curve."""
        return Curve(
            unknowns=tuple(self.unknowns),
            lines=tuple(self.lines),
            z=top.z,
            g=top.g,
            t=top.t,
            constraints=tuple(self.constraints),
            upper=tuple(dict.fromkeys(self.upper)),
            start=tuple(self.start),
            parameters=tuple(self.parameters),
            tables=tuple(self.tables),
            gaps=tuple(self.gaps) if self.tower else (),
            ladder=tuple(self.rungs) if self.tower else (),
            unique=self.unique,
        )


Lift = Callable[[Expr], Any]


def evaluate(
    lines: tuple[Line, ...],
    known: Mapping[Symbol, Any],
    lift: Lift,
    tables: tuple[tuple[Expr, ...], ...] = (),
) -> dict[Symbol, Any]:
    """Run straight-line rational code on any type with +, *, / and integer powers.

    Args:
        lines: the code.
        known: values of unknowns and parameters.
        lift: the type's image of an exact number.
        tables: points for ``PointSum``.

    Returns:
        All values by symbol.

    Raises:
        NotSupportedError: if an expression is not rational.

    Example:
        >>> from fractions import Fraction
        >>> u, v = Symbol("u"), Symbol("v")
        >>> evaluate(((v, 1 / (u - 1)),), {u: Fraction(3)}, lambda q: Fraction(int(q)))[v]
        Fraction(1, 2)
    """
    found = dict(known)
    for symbol, expr in lines:
        found[symbol] = value_of(expr, found, lift, tables)
    return found


def value_of(
    expr: Expr,
    known: Mapping[Symbol, Any],
    lift: Lift,
    tables: tuple[tuple[Expr, ...], ...] = (),
) -> Any:
    """Return one rational expression on any type with +, *, / and integer powers."""

    def walk(e: Any) -> Any:
        if e.is_Symbol:
            return known[e]
        if e.is_Add or e.is_Mul:
            total = walk(e.args[0])
            for arg in e.args[1:]:
                total = total + walk(arg) if e.is_Add else total * walk(arg)
            return total
        if e.is_Pow and e.exp.is_Integer:
            base, k = walk(e.base), int(e.exp)
            return base**k if k > 0 else lift(Integer(1)) / base ** (-k)
        if isinstance(e, PointSum):
            return _point_sum(e, walk(e.args[3]), lift, tables)
        if e.is_number and not e.free_symbols:
            return lift(e)
        raise NotSupportedError("a curve", f"{e} is not rational", "use rational laws")

    return walk(sympify(expr, strict=True))


def _point_sum(e: PointSum, u: Any, lift: Lift, tables: tuple[tuple[Expr, ...], ...]) -> Any:
    index, p, k = (int(cast(Expr, a)) for a in e.args[:3])
    points = tables[index]
    total = lift(Integer(0))
    for a in points:
        total = total + lift(a**p) / (u - lift(a)) ** k
    return total / lift(Integer(len(points)))
