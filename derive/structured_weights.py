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

from sympy import Expr, Integer, Symbol

from derive.block import Line
from derive.inner_roots import harmonic_root, line, total
from derive.system import Condition, Equation

STEPS = 8
"""Newton steps of the inner root inside the tower; Newton on the full system does the rest."""

Atoms = tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True)
class Structured:
    """What the first pass over a row covariance leaves for the second.

    Attributes:
        equation, condition: those of c.
        ridge: y, the effective ridge of C^{1/2} Omega C^{1/2}.
        R: resolvents 1/(C + c) of the atoms.
        plain, passed: <R> and <C R>.
    """

    equation: Equation
    condition: Condition
    ridge: Symbol
    R: tuple[Symbol, ...]
    plain: Symbol
    passed: Symbol


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
    R = tuple(
        line(lines, f"R_{name}_{j}", rf"R_{{{name},{j}}}", 1 / (c + v))
        for j, (v, _) in enumerate(atoms)
    )
    weighted = [w * r for (_, w), r in zip(atoms, R, strict=True)]
    plain = total(lines, f"R_{name}", rf"\langle R\rangle_{tag}", weighted)
    carried = [v * w * r for (v, w), r in zip(atoms, R, strict=True)]
    passed = total(lines, f"CR_{name}", rf"\langle CR\rangle_{tag}", carried)
    odds = line(lines, f"odds_{name}", rf"o_{tag}", filled / empty)
    root = harmonic_root(
        f"rows_{name}", [v * w for v, w in atoms], [v for v, _ in atoms], 1 + 1 / odds, STEPS
    )
    moved = line(lines, f"y_{name}", f"y_{tag}", ridge * passed / plain)
    meaning = f"the rows of layer {level} have an effective ridge"
    equation = Equation(Integer(1), odds * c * plain / passed, root)
    return Structured(equation, Condition(odds, meaning, c), moved, R, plain, passed)


def row_growth(
    level: int,
    atoms: Atoms,
    done: Structured,
    share: Expr,
    lines: list[Line],
) -> Symbol:
    """Write the growth of dlog(ridge)/dlog x_0 over the row covariance, in positive terms.

    Args:
        level: the layer.
        atoms: pairs (eigenvalue, weight) of C.
        done: what ``row_map`` returned.
        share: q'/gamma'.
        lines: straight-line code to append to.
    """
    name, tag = str(level), f"{{{level}}}"
    spread = [w * (r - done.plain) ** 2 for (_, w), r in zip(atoms, done.R, strict=True)]
    variance = total(lines, f"varR_{name}", rf"\mathrm{{Var}}_{tag}(R)", spread)
    steep = [v * w * r**2 for (v, w), r in zip(atoms, done.R, strict=True)]
    slope = total(lines, f"CRR_{name}", rf"\langle CR^2\rangle_{tag}", steep)
    growth = share * variance / (slope * done.passed * done.plain)
    return line(lines, f"g_{name}", f"g_{tag}", growth)


def mean(atoms: Atoms) -> Expr:
    """Return <C>."""
    return sum((v * w for v, w in atoms), Integer(0))


def inverse_mean(atoms: Atoms) -> Expr:
    """Return <1/C>; the ridge below is at most that times the ridge above."""
    return sum((w / v for v, w in atoms), Integer(0))
