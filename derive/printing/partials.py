"""Partial derivatives of straight-line code, each named once and shared by every direction.

Stage: below Programs. ``derive.block.forward`` differentiates a line anew for each direction; here
the partial derivatives of a line become lines of their own, so that a further direction, or a
rounding bound, costs one multiplication and one addition per argument, and no division.
"""

from collections.abc import Iterable, Mapping, Sequence

from sympy import Abs, Add, Expr, Integer, Symbol, count_ops

from derive.block import Line, magnitude, named, partial, symbols_of
from derive.printing.machine_functions import function_units
from derive.tables import rounding_of


class Tangents:
    """Directions and rounding bounds of straight-line code over shared partial derivatives.

    ``lines`` holds the partials named so far; it must stand before the lines that ``push`` and
    ``bounds`` return.

    Args:
        code: the straight-line code.
        moving: inputs that move; every other input counts as constant.

    Example:
        >>> from sympy.abc import x, y
        >>> tangents = Tangents([(y, x**2)], [x])
        >>> new, rate = tangents.push({x: Integer(3)}, "d")
        >>> tangents.lines[0][1], new[0][1]
        (2*x, 3*y_by_x)
    """

    def __init__(self, code: Iterable[Line], moving: Iterable[Symbol]) -> None:
        self.code = tuple(code)
        self.lines: list[Line] = []
        self._moving = set(moving)
        self._partials: dict[str, tuple[tuple[Symbol, Expr], ...]] = {}
        self._of_line = [self.partials(symbol.name, expr) for symbol, expr in self.code]

    def partials(self, name: str, expr: Expr) -> tuple[tuple[Symbol, Expr], ...]:
        """Return pairs (argument, partial derivative) of an expression, named after ``name``."""
        if name in self._partials:
            return self._partials[name]
        moving = [s for s in symbols_of(expr) if s in self._moving]
        pairs = tuple((s, named(partial(expr, s), f"{name}_by_{s}", self.lines)) for s in moving)
        if moving:
            self._moving.update(s for s, e in self.code if s.name == name)
        self._partials[name] = pairs
        return pairs

    def push(
        self, seeds: Mapping[Symbol, Expr], tag: str
    ) -> tuple[tuple[Line, ...], dict[Symbol, Expr]]:
        """Carry a direction along the code: its lines, and the rate of every symbol."""
        rate: dict[Symbol, Expr] = dict(seeds)
        out: list[Line] = []
        for (symbol, _), pairs in zip(self.code, self._of_line, strict=True):
            rate[symbol] = named(along(pairs, rate), f"{symbol.name}_{tag}", out)
        return tuple(out), rate

    def bounds(
        self, errors: Mapping[Symbol, Expr], unit: Expr, tag: str
    ) -> tuple[tuple[Line, ...], dict[Symbol, Expr]]:
        """Carry first-order rounding bounds along the code, as ``derive.block.running_error``.

        Moving inputs that are missing in ``errors`` count as exact.
        """
        known: dict[Symbol, Expr] = dict(errors)
        out: list[Line] = []
        for (symbol, expr), pairs in zip(self.code, self._of_line, strict=True):
            total = bound(expr, pairs, known, unit)
            known[symbol] = named(total, f"{symbol.name}_{tag}", out)
        return tuple(out), known


def along(pairs: Sequence[tuple[Symbol, Expr]], rate: Mapping[Symbol, Expr]) -> Expr:
    """Return the sum of partial derivatives times rates."""
    return Add(*(p * rate[s] for s, p in pairs if rate.get(s, Integer(0)) != 0))


def bound(
    expr: Expr, pairs: Sequence[tuple[Symbol, Expr]], errors: Mapping[Symbol, Expr], unit: Expr
) -> Expr:
    """Return the first-order rounding bound of an expression, given those of its arguments."""
    more, relative = rounding_of(expr)
    weight = unit * (Integer(1 + count_ops(expr)) + function_units(expr) + more) + relative
    total: Expr = weight * magnitude(expr) if expr.free_symbols or more else Integer(0)
    return total + Add(*(Abs(p) * errors[s] for s, p in pairs if errors.get(s, Integer(0)) != 0))
