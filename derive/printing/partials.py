"""Partial derivatives of straight-line code, each named once and shared by every direction.

Stage: below Programs. ``derive.block.forward`` differentiates a line anew for each direction; here
the partial derivatives of a line become lines of their own, so that a further direction, or a
rounding bound, costs one multiplication and one addition per argument, and no division.
"""

from collections.abc import Iterable, Mapping, Sequence

from sympy import Abs, Add, Expr, Integer, Rational, Symbol, count_ops

from derive.block import Line, magnitude, named, partial, symbols_of
from derive.printing.machine_functions import function_units
from derive.tables import rounding_of


class Tangents:
    """Directions and rounding bounds of straight-line code over shared partial derivatives.

    ``lines`` holds the partials named so far; it must stand before the lines that ``push`` and
    ``bounds`` return.

    Args:
        code: the straight-line code.
        moving: inputs that move; every other input counts as constant. Where the code holds
            elementary functions, lines of constant inputs carry their rounding on as well, since
            a function may enlarge it.
        along: lines that ``push`` differentiates in another form.

    Example:
        >>> from sympy.abc import x, y
        >>> tangents = Tangents([(y, x**2)], [x])
        >>> new, rate = tangents.push({x: Integer(3)}, "d")
        >>> tangents.lines[0][1], new[0][1]
        (2*x, 3*y_by_x)
    """

    def __init__(
        self,
        code: Iterable[Line],
        moving: Iterable[Symbol],
        along: Mapping[Symbol, Expr] | None = None,
    ) -> None:
        self.code = tuple(code)
        self.lines: list[Line] = []
        self._moving = set(moving)
        if any(function_units(expr) != 0 for _, expr in self.code):
            self._moving |= {symbol for symbol, _ in self.code}  # controls alone may be rounded
        self._partials: dict[str, tuple[tuple[Symbol, Expr], ...]] = {}
        self._of_line = [self.partials(symbol.name, expr) for symbol, expr in self.code]
        self._along = along or {}
        self._pushed = list(self._of_line)
        for k, (symbol, _) in enumerate(self.code):
            if symbol in self._along:
                self._pushed[k] = self.partials(f"{symbol.name}_along", self._along[symbol])

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
        for (symbol, _), pairs in zip(self.code, self._pushed, strict=True):
            total = along(pairs, rate)
            plain = symbol in self._along
            rate[symbol] = total if plain else named(total, f"{symbol.name}_{tag}", out)
        return tuple(out), rate

    def bounds(
        self,
        errors: Mapping[Symbol, Expr],
        unit: Expr,
        tag: str,
        rounding: Mapping[Symbol, Expr] | None = None,
    ) -> tuple[tuple[Line, ...], dict[Symbol, Expr]]:
        """Carry first-order rounding bounds along the code, as ``derive.block.running_error``.

        Moving inputs that are missing in ``errors`` count as exact. ``rounding`` gives those lines
        whose own rounding is known, in units.
        """
        known: dict[Symbol, Expr] = dict(errors)
        out: list[Line] = []
        for (symbol, expr), pairs in zip(self.code, self._of_line, strict=True):
            own = (rounding or {}).get(symbol)
            new = bound(expr, pairs, known, unit) if own is None else own * unit
            total = new if own is None else new + passed(pairs, known)
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
    called = function_units(expr)
    weight = unit * (Integer(1 + count_ops(expr)) + called + more) + relative
    rounded = expr.free_symbols or more or called != 0
    total: Expr = weight * magnitude(expr) if rounded else Integer(0)
    return total + passed(pairs, errors)


def passed(pairs: Sequence[tuple[Symbol, Expr]], errors: Mapping[Symbol, Expr]) -> Expr:
    """Return what the errors of arguments leave, by absolute values."""
    return Add(*(Abs(p) * errors[s] for s, p in pairs if errors.get(s, Integer(0)) != 0))


def literal_rounding(expr: Expr, unit: Expr) -> Expr:
    """Return the rounding of a number that is no double; symbols are exact."""
    exact = not isinstance(expr, Rational) or int(expr.q).bit_count() == 1
    return Integer(0) if exact else unit * Abs(expr)
