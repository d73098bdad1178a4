r"""Hermite expansions of the two sides of a kernel, plain or with the kinks taken off.

Stage: between ``hermite_balls`` and ``kernel_series``. A ``Side`` is a function of a standard
normal variable; ``plain`` and ``split`` return the coefficients of rho^k, a bound of what is left
out after each order, and the kinks whose closed kernel is to be added.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

from flint import arb
from sympy import Expr, Symbol, sqrt, sympify

from derive.balls import Ball
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.enclosing.growth import refuse_divergent
from derive.enclosing.kinks import Piece, pieces
from derive.enclosing.normal_law import NormalLaw
from derive.errors import NotIntegrableError, NotSupportedError, RangeError
from derive.exact import exact_number
from derive.normal.hermite_balls import hermite_balls
from derive.normal.parity import parity
from derive.pairs.kink_kernel import Kink, find_kinks
from derive.symbols import z

_PRECISION = 200
_SPLIT_DEGREES = ((64, 6), (128, 9), (256, 12), (512, 15))
_LARGEST_DEGREE = 18


@dataclass(frozen=True)
class Side:
    """One side of a kernel as a function of a standard normal variable.

    Attributes:
        parts: analytic pieces.
        parity: "even" or "odd" where proved.
        mass: the second moment, positive.
        variable: the argument.
    """

    parts: tuple[Piece, ...]
    parity: str | None
    mass: arb
    variable: Symbol

    @property
    def has_kinks(self) -> bool:
        """Whether there is more than one piece."""
        return len(self.parts) > 1


@dataclass(frozen=True)
class Expansion:
    """Normalised coefficients c_0..c_K of a function, and its second moment."""

    coefficients: tuple[arb, ...]
    mass: arb

    @cached_property
    def missing(self) -> list[arb]:
        """Upper bounds of the second moment beyond orders 0, 1, ..., K; never negative."""
        rest, found = self.mass, []
        for c in self.coefficients:
            rest = rest - c * c
            found.append(rest.upper().max(arb(0)))
        return found


@dataclass(frozen=True)
class Terms:
    """What an expansion of a kernel holds.

    Attributes:
        products: coefficients of rho^k.
        tails: bound of everything beyond order k, at |rho| = 1.
        kinks: piecewise polynomials whose kernel is to be added.
        note: how the terms were made.
    """

    products: Sequence[arb]
    tails: Sequence[arb]
    kinks: tuple[tuple[Kink, ...], tuple[Kink, ...]]
    note: str


def side(s: Any, mean: Any, variance: Any, variable: Symbol) -> Side:
    """Return s(m + sqrt(r) z) as a function of a standard normal z.

    Raises:
        NotIntegrableError: if it has no second moment.
        RangeError: if a parameter has no value, or the variance is not positive.
    """
    expr, m, r = sympify(s, strict=True), exact_number(mean), exact_number(variance)
    foreign = (expr.free_symbols - {variable}) | m.free_symbols | r.free_symbols
    if foreign:
        names = ", ".join(sorted(map(str, foreign)))
        raise RangeError(f"a kernel series of {expr}", f"{names} has no value", "substitute it")
    with working_precision(_PRECISION):
        evaluation = Evaluation(_PRECISION)
        if not evaluation(r) > 0:
            raise RangeError(f"variance = {r}", "not positive", "give a variance > 0")
        standard: Expr = expr.xreplace({variable: m + sqrt(r) * variable})
        parts = pieces(standard, variable, evaluation)
    return Side(parts, parity(standard, variable), second_moment(parts, variable, 64), variable)


def hermite_spectrum(
    s: Any, order: int, mean: Any = 0, variance: Any = 1, *, bits: int = 80, variable: Symbol = z
) -> tuple[Ball, ...]:
    """Return the normalised Hermite coefficients c_k = mu_k/sqrt(k!), k = 0..order.

    Their squares sum to E s^2.

    Args:
        s: expression in the variable, without parameters.
        order: largest k.
        mean: mean of the normal law.
        variance: its variance, positive.
        bits: absolute accuracy 2^-bits in units of sqrt(E s^2).
        variable: the argument of s.

    Accuracy: proved; zeros by parity are exact.

    Example:
        >>> from sympy import tanh
        >>> [c.str(6) for c in hermite_spectrum(tanh(z), 3)]
        ['0', '0.605706', '0', '-0.148437']
    """
    f = side(s, mean, variance, variable)
    found = _expand(f.parts, variable, order, _bits(Fraction(1, 2**bits), f, f, 1), f.parity)
    return tuple(Ball(Fraction(0)) if c.is_zero() else Ball.from_arb(c) for c in found.coefficients)


def second_moment(parts: tuple[Piece, ...], variable: Symbol, bits: int) -> arb:
    """Return E f^2 with a relative radius of about ``2**-bits``.

    Raises:
        NotIntegrableError: if it is proved not to exist.
        NotSupportedError: if no bound of its growth is good enough.
        RangeError: if it cannot be told from zero.
    """
    squares = tuple(Piece(p.low, p.high, p.expr**2) for p in parts)
    try:
        wanted = 24
        while True:
            found = hermite_balls(squares, variable, 0, wanted)[0]
            if found > 0:
                break
            if wanted > 2000:
                raise RangeError(
                    f"a kernel of {parts[0].expr}", "it vanishes", "give a function that does not"
                )
            wanted *= 3
        size = max(0.0, -float(found.log().mid()) / math.log(2))
        return hermite_balls(squares, variable, 0, math.ceil(size) + bits + 8)[0]
    except NotIntegrableError as error:
        _refuse_infinite(squares, variable)
        raise NotSupportedError(
            f"a kernel of {parts[0].expr}", f"its growth is unknown: {error.found}", error.remedy
        ) from error


def _refuse_infinite(squares: tuple[Piece, ...], variable: Symbol) -> None:
    """Raise if the mean of the square is proved not to exist."""
    with working_precision(_PRECISION):
        law = NormalLaw(arb(0), arb(1), _PRECISION)
        try:
            refuse_divergent(squares, variable, law, Evaluation(_PRECISION))
        except NotIntegrableError as error:
            raise NotIntegrableError(
                f"a kernel with the square {squares[0].expr}",
                f"no second moment: {error.found}",
                error.remedy,
            ) from error


def plain(f: Side, g: Side, order: int, goal: Fraction) -> Terms:
    """Return the terms of Mehler's series up to an order."""
    bits = _bits(goal, f, g, 1)
    left = _expand(f.parts, f.variable, order, bits, f.parity)
    right = left if g is f else _expand(g.parts, g.variable, order, bits, g.parity)
    with working_precision(bits + 64):
        products = _product(left.coefficients, right.coefficients)
        return Terms(products, _crossed(left, right), ((), ()), "Hermite series")


def split(f: Side, g: Side, order: int, goal: Fraction, degree: int | None = None) -> Terms | None:
    """Return the terms with the kinks taken off; None if a kink has no Taylor coefficients.

    The degree is the last derivative whose jump is taken off; by default it grows with the order.
    Steep functions need a small one: their jumps are those of an asymptotic series.

    The remainders q enter the tail through sqrt(T_p T_q), so that T_q must be of the size of the
    square of the goal.
    """
    if degree is None:
        degree = next((d for k, d in _SPLIT_DEGREES if order <= k), _LARGEST_DEGREE)
    bits = _bits(goal, f, g, 2) + 40
    left = _take_off(f, degree, order, bits)
    right = left if g is f else _take_off(g, degree, order, bits)
    if left is None or right is None:
        return None
    with working_precision(bits + 128):
        known = _product(left.kinked.coefficients, right.kinked.coefficients)
        both = _product(left.total, right.total)
        crossed = [
            _crossed(left.kinked, right.smooth),
            _crossed(left.smooth, right.kinked),
            _crossed(left.smooth, right.smooth),
        ]
        return Terms(
            [a - b for a, b in zip(both, known, strict=True)],
            [a + b + c for a, b, c in zip(*crossed, strict=True)],
            (left.kinks, right.kinks),
            f"closed kernel of the kinks (derivatives 0..{degree}) plus a Hermite series",
        )


@dataclass(frozen=True)
class _Split:
    """f = p + q: the piecewise polynomial p, and the remainder q."""

    kinks: tuple[Kink, ...]
    kinked: Expansion
    smooth: Expansion

    @property
    def total(self) -> list[arb]:
        pairs = zip(self.kinked.coefficients, self.smooth.coefficients, strict=True)
        return [a + b for a, b in pairs]


def _take_off(f: Side, degree: int, order: int, bits: int) -> _Split | None:
    kinks = find_kinks(f.parts, f.variable, degree, bits)
    if kinks is None:
        return None
    polynomial: Any = 0
    kinked, smooth = [], []
    for i, part in enumerate(f.parts):
        if i:
            polynomial = polynomial + kinks[i - 1].expr(f.variable)
        kinked.append(Piece(part.low, part.high, polynomial + 0 * f.variable))
        smooth.append(Piece(part.low, part.high, part.expr - polynomial))
    expansions = (_expand(tuple(p), f.variable, order, bits, None) for p in (kinked, smooth))
    return _Split(kinks, *expansions)


def _bits(goal: Fraction, f: Side, g: Side, power: int) -> int:
    size = min(float(x.mass.log().mid()) for x in (f, g)) / math.log(2)
    return math.ceil(-math.log2(goal) * power + max(0.0, -size)) + 24


def _product(left: Sequence[arb], right: Sequence[arb]) -> list[arb]:
    return [a * b for a, b in zip(left, right, strict=True)]


def _crossed(left: Expansion, right: Expansion) -> list[arb]:
    return [(a * b).sqrt() for a, b in zip(left.missing, right.missing, strict=True)]


@lru_cache(maxsize=64)
def _expand(
    parts: tuple[Piece, ...], variable: Symbol, order: int, bits: int, symmetry: str | None
) -> Expansion:
    found = hermite_balls(parts, variable, order, bits)
    zero = {"even": 1, "odd": 0}.get(symmetry or "", 2)
    exact = tuple(arb(0) if k % 2 == zero else c for k, c in enumerate(found))
    squares = tuple(Piece(p.low, p.high, p.expr**2) for p in parts)
    with working_precision(bits + 64):
        return Expansion(exact, hermite_balls(squares, variable, 0, bits)[0])
