"""Chains of random layers, declared: base, layers, teacher and the controls they share.

Stage: what ``derive.layers`` derives its Systems from. All plain frozen values.
"""

from dataclasses import dataclass

from sympy import Add, Expr, Integer, Symbol

from derive.chains.random_gain import MixedLayer
from derive.chains.structured_weights import Atoms
from derive.rewrite import Log
from derive.symbols import Quantity, control
from derive.tables import Table

alpha = control("alpha", "samples per input dimension, n/d", latex=r"\alpha", positive=True)
lam = control("lam", "ridge, as in |y - X theta|^2 + lam |theta|^2", latex=r"\lambda", low=0)
noise = control("noise", "variance of the label noise", latex=r"\sigma^2", low=0)


def width(level: int) -> Quantity:
    """Return the control gamma_l = k_l/d."""
    return control(
        f"gamma_{level}",
        f"width of layer {level} per input dimension",
        latex=rf"\gamma_{{{level}}}",
        positive=True,
    )


@dataclass(frozen=True)
class Base:
    """Where the chain starts: a deterministic covariance of ``width`` (per input dimension).

    Attributes:
        width: 1 for the input itself.
        atoms: pairs (eigenvalue, weight), exact, weights summing to one.
        powers: variance of a unit-signal target along each atom; empty for the eigenvalues
            themselves, as of a target with isotropic coefficients.
    """

    width: Expr
    atoms: Atoms
    powers: tuple[Expr, ...] = ()

    @property
    def mean(self) -> Expr:
        """Mean eigenvalue."""
        return Add(*(value * weight for value, weight in self.atoms))

    def df(self, x: Expr) -> Expr:
        """``width * <Omega/(Omega + x)>``."""
        return self.width * Add(*(w * v / (v + x) for v, w in self.atoms))

    def minus_df_rate(self, x: Expr) -> Expr:
        """``-d df / d log x = width * <x Omega/(Omega + x)^2>``, all terms positive."""
        return self.width * Add(*(w * v * x / (v + x) ** 2 for v, w in self.atoms))

    def filled(self, k: Expr, scale: Expr) -> Expr:
        """``<Omega/(scale Omega + k)>``."""
        return Add(*(w * v / (k + scale * v) for v, w in self.atoms))

    def empty(self, x: Expr, scale: Expr = Integer(1)) -> Expr:
        """``<x/(scale Omega + x)>``, all terms positive."""
        return Add(*(w * x / (scale * v + x) for v, w in self.atoms))

    def lost(self, x: Expr, scale: Expr = Integer(1), order: int = 1) -> Expr:
        """Target variance left after shrinking: ``sum w P (x/(scale v + x))^order``."""
        pairs = zip(self.atoms, self.powers, strict=True)
        return Add(*(w * P * (x / (scale * v + x)) ** order for (v, w), P in pairs))


@dataclass(frozen=True)
class TableBase:
    """A base of many eigenvalues: ``Base`` over tables.

    Attributes:
        width: of the base, per input dimension.
        table: rows (weight, 0, eigenvalue).
        powered: rows (weight times target variance, 0, eigenvalue).
    """

    width: Expr
    table: Table
    powered: Table

    @property
    def atoms(self) -> Atoms:
        """Pairs (eigenvalue, weight)."""
        return tuple((v, w) for w, _, v in self.table.rows)

    @property
    def powers(self) -> tuple[Expr, ...]:
        """Target variance along each eigenvalue."""
        pairs = zip(self.powered.rows, self.table.rows, strict=True)
        return tuple(wp / w for (wp, _, _), (w, _, _) in pairs)

    @property
    def mean(self) -> Expr:
        """Mean eigenvalue."""
        return self.table.moment(0, 1)

    def df(self, x: Expr) -> Expr:
        """``width * <Omega/(Omega + x)>``."""
        return self.width * self.table.mean(0, 1, 1, x, Integer(0))

    def minus_df_rate(self, x: Expr) -> Expr:
        """``width * <x Omega/(Omega + x)^2>``."""
        return self.width * x * self.table.mean(0, 1, 2, x, Integer(0))

    def filled(self, k: Expr, scale: Expr) -> Expr:
        """``<Omega/(scale Omega + k)>``."""
        return self.table.mean(0, 1, 1, k / scale, Integer(0)) / scale

    def empty(self, x: Expr, scale: Expr = Integer(1)) -> Expr:
        """``<x/(scale Omega + x)>``."""
        return x / scale * self.table.mean(0, 0, 1, x / scale, Integer(0))

    def lost(self, x: Expr, scale: Expr = Integer(1), order: int = 1) -> Expr:
        """``sum w P (x/(scale v + x))^order``."""
        return (x / scale) ** order * self.powered.mean(0, 0, order, x / scale, Integer(0))


@dataclass(frozen=True)
class Layer:
    """One layer of independent weights, all neurons alike.

    Attributes:
        level: l.
        a: kappa_1^2 > 0.
        b: kappa_*^2 >= 0.
        width: gamma_l.
        rows: atoms (value, weight) of the covariance of its rows, empty for the identity.
    """

    level: int
    a: Symbol
    b: Expr
    width: Expr
    rows: Atoms = ()

    def mean(self, power: int, noise: int) -> Expr:
        """Return a^power b^noise."""
        return self.a**power * self.b**noise


@dataclass(frozen=True)
class Teacher:
    """The part of the target that the features see.

    Attributes:
        level: the target is linear in the features of this level of the chain (0: its base).
        signal: variance of the entries of theta; exact zero if nothing of the target is seen.
        hidden: variance of the target that acts as label noise.
    """

    level: int
    signal: Expr
    hidden: Expr


@dataclass(frozen=True)
class Chain:
    """Base, layers and teacher: what both routes read.

    Attributes:
        base, layers, teacher: the network.
        constants: exact values of the constant symbols.
        groups: controls that are given as one vector.
        log: steps so far.
        assumptions: statements under which the equations hold.
    """

    base: Base | TableBase
    layers: tuple[Layer | MixedLayer, ...]
    teacher: Teacher
    constants: tuple[tuple[Symbol, Expr], ...] = ()
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    log: Log = Log()
    assumptions: tuple[str, ...] = ()

    @property
    def widths(self) -> tuple[Expr, ...]:
        """Widths from the base to the last layer."""
        return (self.base.width, *(layer.width for layer in self.layers))

    @property
    def controls(self) -> tuple[Quantity, ...]:
        """Controls in the order of the call."""
        named = {n for _, names in self.groups for n in names}
        gammas = tuple(width(int(n.removeprefix("gamma_"))) for n in sorted(named, key=_level))
        return (alpha, *gammas, lam, noise)

    @property
    def first(self) -> int:
        """Level of the base."""
        if self.layers:
            return self.layers[0].level - 1
        return 0 if self.base.width == 1 else _level(str(self.base.width))


def _level(name: str) -> int:
    return int(name.removeprefix("gamma_"))
