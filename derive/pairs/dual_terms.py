r"""Integrands of two normals as sums of polynomial times exponential, cut by linear events.

Stage: between the normal form of one activation and the moments of a pair. An interval becomes one
or two half-lines; an error function becomes an event with an auxiliary unit normal g, independent
of everything else: erf(a x + b) = 2 P(sqrt(2) (a x + b) + g > 0) - 1.
"""

from dataclasses import dataclass, replace

from sympy import Expr, Integer, S, Symbol, expand, sqrt

from derive.normal.gaussian_terms import FLAT, Coefficients, Form, Mode
from derive.normal.intervals import Interval, decided_sign

Choice = tuple[Expr, tuple["Cut", ...]]


@dataclass(frozen=True)
class Cut:
    """The event ``slope*x + noise*g > level``.

    Attributes:
        side: 0 when x is the first normal, 1 when it is the second.
        slope: coefficient of x; ±1 for a half-line.
        noise: 1 when an auxiliary normal enters, else 0.
        level: right side of the inequality.
    """

    side: int
    slope: Expr
    noise: int
    level: Expr


@dataclass(frozen=True)
class Term:
    """A polynomial (lowest degree first) times a mode without error functions, on some events.

    ``bounded`` says that the events came from intervals with two ends, so that growth is harmless
    for the sum of such terms, if not for each.
    """

    mode: Mode
    cuts: tuple[Cut, ...]
    poly: Coefficients
    bounded: bool = False


def terms_of(form: Form, side: int) -> tuple[Term, ...]:
    """Return the terms of a form without point masses; equal modes on equal events are joined."""
    found: dict[tuple[Mode, tuple[Cut, ...]], list[Expr]] = {}
    unbounded = {replace(mode, bells=()) for cell, mode in form.terms if not cell.is_bounded()}
    for (cell, mode), poly in form.terms.items():
        plain = replace(mode, bells=())
        for weight, cuts in _products(_half_lines(cell, plain, side), _bells(mode, side)):
            row = found.setdefault((plain, cuts), [])
            row += [S.Zero] * (len(poly) - len(row))
            for n, coefficient in enumerate(poly):
                row[n] += weight * coefficient
    tidy = {key: tuple(expand(c) for c in row) for key, row in found.items()}
    return tuple(
        Term(*key, poly, bounded=key[0] not in unbounded)
        for key, poly in tidy.items()
        if any(c != 0 for c in poly)
    )


def _products(first: list[Choice], second: list[Choice]) -> list[Choice]:
    return [(w1 * w2, cuts1 + cuts2) for w1, cuts1 in first for w2, cuts2 in second]


def _half_lines(cell: Interval, mode: Mode, side: int) -> list[Choice]:
    """Write the indicator of an interval by half-lines along which the mode does not grow."""
    right = (Cut(side, S.One, 0, cell.low),)
    left = (Cut(side, -S.One, 0, -cell.high),)
    if cell.is_line():
        return [(S.One, ())]
    if not cell.is_bounded():
        return [(S.One, left if cell.high.is_finite else right)]
    beyond = (Cut(side, S.One, 0, cell.high),)
    before = (Cut(side, -S.One, 0, -cell.low),)
    place = _place(cell, mode)
    if place == 1:
        return [(S.One, right), (-S.One, beyond)]
    if place == -1:
        return [(S.One, left), (-S.One, before)]
    return [(S.One, ()), (-S.One, before), (-S.One, beyond)]


def _place(cell: Interval, mode: Mode) -> int:
    """Return 1 to count from the right, -1 from the left, 0 for the line less two tails."""
    if mode.quadratic == 0 and mode != FLAT:
        return -1 if decided_sign(mode.linear) == 1 else 1
    low, high = decided_sign(cell.low), decided_sign(cell.high)
    if high in (-1, 0):
        return -1
    return 0 if low == -1 and high == 1 else 1


def _bells(mode: Mode, side: int) -> list[Choice]:
    """Write a product of error functions as a signed sum of events."""
    choices: list[Choice] = [(S.One, ())]
    for slope, offset in mode.bells:
        above = (Cut(side, sqrt(2) * slope, 1, -sqrt(2) * offset),)
        choices = _products(choices, [(Integer(2), above), (-S.One, ())])
    return choices


def derivative(form: Form, x: Symbol) -> Form:
    """Return the derivative of a form away from the ends of its intervals.

    Jumps are not seen: use ``jumps`` first.
    """
    result = Form({}, {})
    for (cell, mode), poly in form.terms.items():
        risen = tuple(n * c for n, c in enumerate(poly))[1:]
        grown = (S.Zero, *(2 * mode.quadratic * c for c in poly))
        steady = tuple(mode.linear * c for c in poly)
        parts = [Form({(cell, mode): p}, {}) for p in (risen, steady, grown) if any(p)]
        parts += [_bell_slope(cell, mode, poly, i) for i in range(len(mode.bells))]
        result = result.plus(*parts)
    return result


def _bell_slope(cell: Interval, mode: Mode, poly: Coefficients, i: int) -> Form:
    """Return the term in which error function ``i`` is differentiated."""
    slope, offset = mode.bells[i]
    rest = replace(mode, bells=mode.bells[:i] + mode.bells[i + 1 :])
    square = Mode(-(offset**2), -2 * slope * offset, -(slope**2))
    factor = 2 * slope / sqrt(S.Pi)
    return Form({(cell, rest.times(square)): tuple(expand(factor * c) for c in poly)}, {})


def jumps(form: Form, x: Symbol) -> tuple[Expr, ...]:
    """Return the points at which the form is not proved continuous."""
    heights: dict[Expr, Expr] = {}
    for (cell, mode), poly in form.terms.items():
        value = mode.at(x) * sum(c * x**n for n, c in enumerate(poly))
        for end, sense in ((cell.low, 1), (cell.high, -1)):
            if end.is_finite is not False:
                heights[end] = heights.get(end, S.Zero) + sense * value.subs(x, end)
    return tuple(end for end, height in heights.items() if expand(height) != 0)
