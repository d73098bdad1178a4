"""Blocks made cheap for machines: invariants hoisted, divisions shared, minima as selections.

Stage: between Programs and printers that care for speed. Nothing is expanded or simplified: an
expression keeps its shape, except that

* what depends on constants only is computed once per call (level 0), and what depends on constants
  and controls only once per point (level 1); the rest (level 2) stays in the block;
* a division by D becomes a multiplication with one shared reciprocal 1/D;
* Min and Max become selections, so that a printer needs no function for them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sympy import Add, Expr, Integer, Max, Min, Mul, Piecewise, Pow, Symbol
from sympy.core.relational import Relational, StrictGreaterThan, StrictLessThan
from sympy.logic.boolalg import Boolean

from derive.block import Block, Line, symbols_of

CALL, POINT, BODY = 0, 1, 2


class Lowering:
    """Lowers blocks that share constants and controls; collects what is hoisted out of them.

    Attributes:
        call: lines to compute once per call, from constants.
        point: lines to compute once per point, from constants, controls and ``call``.

    Args:
        constants: symbols that are the same at all points.
        controls: symbols that are fixed at each point.

    Example:
        >>> from sympy.abc import a, c, x
        >>> lowering = Lowering([a], [c])
        >>> body = lowering.block(Block((a, c, x), (), (a * x / c + 1 / x, 2 / x)))
        >>> lowering.point, body.lines, body.results
        (((h1, 1/c), (h2, a*h1)), ((i0, 1/x),), (h2*x + i0, 2*i0))
    """

    def __init__(self, constants: Iterable[Symbol], controls: Iterable[Symbol]) -> None:
        self._level: dict[Symbol, int] = dict.fromkeys(constants, CALL)
        self._level |= dict.fromkeys(controls, POINT)
        self._hoisted: tuple[list[Line], list[Line]] = ([], [])
        self._levels: dict[Expr, int] = {}
        self._shared: dict[Expr, Symbol] = {}
        self._local: dict[Expr, Symbol] = {}
        self._alias: dict[Symbol, Expr] = {}
        self._lines: list[Line] = []
        self._count = 0

    @property
    def call(self) -> tuple[Line, ...]:
        """Lines to compute once per call."""
        return tuple(self._hoisted[CALL])

    @property
    def point(self) -> tuple[Line, ...]:
        """Lines to compute once per point."""
        return tuple(self._hoisted[POINT])

    def block(self, block: Block) -> Block:
        """Return the lowered block; its inputs are those it still reads."""
        self._lines, self._local, self._alias = [], {}, {}
        for symbol, expr in block.lines:
            self._define(symbol, self._lower(expr))
        results = tuple(self._lower(e) for e in block.results)
        defined = {s for s, _ in self._lines}
        read = {s for _, e in self._lines for s in symbols_of(e)}
        read |= {s for e in results for s in symbols_of(e)}
        inputs = tuple(sorted(read - defined, key=str))
        return Block(inputs, tuple(self._lines), results)

    def _define(self, symbol: Symbol, expr: Expr) -> None:
        if expr.is_Symbol or expr.is_Number:
            self._alias[symbol] = expr
            return
        level = self._level_of(expr)
        if level == BODY:
            self._lines.append((symbol, expr))
        else:
            self._alias[symbol] = self._hoist(expr, level)

    def _level_of(self, expr: Any) -> int:
        if isinstance(expr, Symbol):
            return self._level.get(expr, BODY)
        if not isinstance(expr, Add | Mul | Pow):
            return max((self._level_of(s) for s in symbols_of(expr)), default=CALL)
        if expr not in self._levels:
            self._levels[expr] = max(self._level_of(a) for a in expr.args)
        return self._levels[expr]

    def _hoist(self, expr: Expr, level: int) -> Expr:
        """Name an expression of level CALL or POINT once for all blocks."""
        if expr.is_Symbol or expr.is_Number:
            return expr
        if expr.could_extract_minus_sign() and isinstance(expr, Mul):
            return -self._hoist(-expr, level)
        if expr not in self._shared:
            symbol = self._fresh("h", expr)
            self._shared[expr] = symbol
            self._level[symbol] = level
            self._hoisted[level].append((symbol, expr))
        return self._shared[expr]

    def _fresh(self, letter: str, like: Expr) -> Symbol:
        name = f"{letter}{self._count}"
        self._count += 1
        return Symbol(name, positive=True) if _is_positive(like) else Symbol(name, real=True)

    def _name(self, letter: str, expr: Expr) -> Expr:
        """Name an expression where its level says: hoisted, or as a shared line of the block."""
        if expr.is_Symbol or expr.is_Number:
            return expr
        level = self._level_of(expr)
        if level != BODY:
            return self._hoist(expr, level)
        if expr not in self._local:
            symbol = self._fresh(letter, expr)
            self._local[expr] = symbol
            self._lines.append((symbol, expr))
        return self._local[expr]

    def _lower(self, expr: Any) -> Expr:
        if isinstance(expr, Symbol):
            return self._alias.get(expr, expr)
        if expr.is_Number or (isinstance(expr, Boolean) and not isinstance(expr, Relational)):
            return expr if expr.is_Number else expr.func(*(self._lower(a) for a in expr.args))
        if isinstance(expr, Mul | Add):
            return self._grouped(type(expr), [self._lower(a) for a in expr.args])
        if isinstance(expr, Pow):
            return self._power(expr)
        if isinstance(expr, Min | Max):
            return self._extreme(expr)
        if isinstance(expr, Piecewise):
            pieces: Any = expr.args
            pairs = [(self._lower(v), self._condition(c)) for v, c in pieces]
            return Piecewise(*pairs, evaluate=False)
        if not expr.args:
            return expr
        args = [self._lower(a) for a in expr.args]
        out = expr.func(*args)
        level = self._level_of(out)
        return out if level == BODY or isinstance(out, Relational) else self._hoist(out, level)

    def _condition(self, condition: Any) -> Any:
        if isinstance(condition, Relational):
            return condition.func(*(self._lower(a) for a in condition.args), evaluate=False)
        if condition.args:
            return condition.func(*(self._condition(a) for a in condition.args), evaluate=False)
        return condition

    def _power(self, expr: Any) -> Expr:
        base, exponent = self._lower(expr.base), expr.exp
        if exponent.is_Integer and exponent < 0:
            return Pow(self._name("i", 1 / base), -exponent)
        out = Pow(base, self._lower(exponent))
        level = self._level_of(out)
        cheap = level == BODY or (exponent.is_Integer and level == POINT and exponent == 1)
        return out if cheap else self._hoist(out, level)

    def _grouped(self, kind: type[Expr], args: Sequence[Expr]) -> Expr:
        """Rebuild a sum or product with its invariant part hoisted."""
        numbers = [a for a in args if a.is_Number]
        levels: list[list[Expr]] = [[], [], []]
        for arg in args:
            if not arg.is_Number:
                levels[self._level_of(arg)].append(arg)
        sign, lead = self._split_sign(kind, numbers)
        group: list[Expr] = list(lead)
        for level in (CALL, POINT):
            if levels[level]:
                group = [self._hoist(kind(*group, *levels[level]), level)]
        return kind(*sign, *group, *levels[BODY])

    @staticmethod
    def _split_sign(
        kind: type[Expr], numbers: Sequence[Expr]
    ) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
        """Keep a factor -1 outside of what is hoisted, so that x and -x share a name."""
        value = kind(*numbers)
        if kind is Mul and value.is_negative:
            return (Integer(-1),), () if value == -1 else (-value,)
        return (), tuple(numbers)

    @staticmethod
    def _beyond(extreme: Expr, a: Expr, b: Expr) -> Any:
        """Return the condition under which ``a`` replaces ``b`` in a minimum or maximum."""
        test = StrictLessThan if isinstance(extreme, Min) else StrictGreaterThan
        known = a == b or a.is_Number or b.is_Number
        return test(a, b, evaluate=known)

    def _extreme(self, expr: Any) -> Expr:
        args = [self._name("m", self._lower(a)) for a in sorted(expr.args, key=str)]
        out = args[0]
        for arg in args[1:]:
            test = self._beyond(expr, arg, out)
            chosen = Piecewise((arg, test), (out, True), evaluate=False)
            out = self._name("m", chosen) if test not in (True, False) else (arg if test else out)
        return out


def _is_positive(expr: Expr) -> bool:
    """Return whether an expression is known to be positive, without asking SymPy where it can."""
    known = _sign(expr)
    return bool(expr.is_positive) if known is None else known


def _sign(expr: Any) -> bool | None:
    """Return True if positive, False if nothing can be known, None if only SymPy may know.

    A plain real symbol as a term or a factor leaves the sign open.
    """
    if isinstance(expr, Symbol):
        open_sign = expr.is_nonnegative is None and expr.is_nonpositive is None
        return False if open_sign else (expr.is_positive or None)
    if expr.is_Number:
        return expr.is_positive or None
    if isinstance(expr, Add | Mul):
        signs = [_sign(a) for a in expr.args]
        return False if False in signs else (True if all(signs) else None)
    if isinstance(expr, Pow) and expr.exp.is_Integer:
        sign = _sign(expr.base)
        return sign if sign or expr.exp % 2 else None
    return None
