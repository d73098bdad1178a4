r"""Weights whose rows have a covariance: one inner unknown per structured layer.

Stage: one step of ``derive.layers``, before the layer itself. Weights W = Z C^{1/2} with Z of
independent entries and C independent of everything below turn the covariance Omega of the layer
below into C^{1/2} Omega C^{1/2}. Omega is rotation invariant from the left (or one of the two is a
multiple of the identity), so the two are free, and S-transforms multiply. In effective ridges: the
product at ridge y has the degrees of freedom that Omega has at x' and C at c,

.. math:: \langle C (C + c)^{-1} \rangle = \frac{\mathrm{df}'}{\gamma'}, \qquad
          y = x' \frac{\langle C (C + c)^{-1} \rangle}{\langle (C + c)^{-1} \rangle}.

Derivation: S(-D) = (1 - D)/(y D) for a matrix with D = <A (A + y)^-1>; S of the product is the
product of both, at the same D, so y = x' c D/(1 - D). With R = 1/(C + c), 1 - D = c <R>.
Differentiated in log x_0: c' = (q'/gamma')/<C R^2>, and dlog y = dlog x' + c' Var(R)/(<C R> <R>),
where Var(R) = <(R - <R>)^2>: only positive terms.
The data-kernel route reads the same with k, h and alpha h'/gamma' for x, df and df'/gamma'.
"""

from dataclasses import dataclass

from sympy import Add, Expr, Integer, Symbol

from derive.block import Line
from derive.chains.inner_roots import harmonic_root, line
from derive.system import Condition, Equation
from derive.tables import FEW, FewKinds, Kinds, Table

STEPS = 10
"""Newton steps of the inner root inside the tower; Newton on the full system does the rest."""

Atoms = tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True)
class Structured:
    """What the first pass over a row covariance leaves for the second.

    Attributes:
        equation, condition: those of c.
        ridge: y, the effective ridge of C^{1/2} Omega C^{1/2}.
        c: the unknown.
        plain, passed: <R> and <C R>.
    """

    equation: Equation
    condition: Condition
    ridge: Symbol
    c: Symbol
    plain: Symbol
    passed: Symbol


def kinds_of(level: int, atoms: Atoms) -> Kinds:
    """Return the eigenvalues as rows (weight, 0, value)."""
    rows = tuple((w, Integer(0), v) for v, w in atoms)
    few = len(rows) <= FEW
    return FewKinds(rows) if few else Table(f"rows_{level}", rows, latex=f"C_{{{level}}}")


def row_map(
    level: int, atoms: Atoms, c: Symbol, below: tuple[Expr, Expr, Expr], lines: list[Line]
) -> Structured:
    """Write the row covariance of a layer on either route.

    Args:
        level: the layer.
        atoms: pairs (eigenvalue > 0, weight) of C.
        c: the unknown.
        below: effective ridge below; D = df'/gamma'; and 1 - D in a form without cancellation.
        lines: straight-line code to append to.
    """
    ridge, filled, empty = below
    name, tag = str(level), f"{{{level}}}"
    kinds, zero = kinds_of(level, atoms), Integer(0)
    plain = line(lines, f"R_{name}", rf"\langle R\rangle_{tag}", kinds.mean(0, 0, 1, c, zero))
    passed = line(lines, f"CR_{name}", rf"\langle CR\rangle_{tag}", kinds.mean(0, 1, 1, c, zero))
    odds = line(lines, f"odds_{name}", rf"o_{tag}", filled / empty)
    root = harmonic_root(
        f"rows_{name}",
        lambda m, value: kinds.mean(0, 1, m, value, zero),
        (kinds.moment(0, 1), kinds.moment(0, 2)),
        1 + 1 / odds,
        STEPS,
    )
    moved = line(lines, f"y_{name}", f"y_{tag}", ridge * passed / plain)
    meaning = f"the rows of layer {level} have an effective ridge"
    equation = Equation(Integer(1), odds * c * plain / passed, root)
    return Structured(equation, Condition(odds, meaning, c), moved, c, plain, passed)


def row_growth(
    level: int, atoms: Atoms, done: Structured, share: Expr, lines: list[Line]
) -> Symbol:
    """Write the growth of dlog(ridge)/dlog x_0 over the row covariance.

    In positive terms for few atoms; a long list takes Var(R) as a difference, which is small beside
    s wherever it loses digits.

    Args:
        level: the layer.
        atoms: pairs (eigenvalue, weight) of C.
        done: what ``row_map`` returned.
        share: q'/gamma'.
        lines: straight-line code to append to.
    """
    name, tag = str(level), f"{{{level}}}"
    kinds, zero = kinds_of(level, atoms), Integer(0)
    if isinstance(kinds, FewKinds):
        spread = Add(*(w * (1 / (done.c + v) - done.plain) ** 2 for v, w in atoms))
    else:
        spread = kinds.mean(0, 0, 2, done.c, zero) - done.plain**2
    variance = line(lines, f"varR_{name}", rf"\mathrm{{Var}}_{tag}(R)", spread)
    steep = kinds.mean(0, 1, 2, done.c, zero)
    slope = line(lines, f"CRR_{name}", rf"\langle CR^2\rangle_{tag}", steep)
    growth = share * variance / (slope * done.passed * done.plain)
    return line(lines, f"g_{name}", f"g_{tag}", growth)


def mean(atoms: Atoms) -> Expr:
    """Return <C>."""
    return sum((v * w for v, w in atoms), Integer(0))


def inverse_mean(atoms: Atoms) -> Expr:
    """Return <1/C>; the ridge below is at most that times the ridge above."""
    return sum((w / v for v, w in atoms), Integer(0))
