"""Straight-line code over SymPy expressions, and its local forward derivatives.

Stage: what Systems and Programs are made of. A ``Block`` is a list of assignments, each defining a
new symbol from inputs and earlier symbols. It is never substituted into one big expression:
derivatives are taken line by line, so the size of the code grows with the number of lines only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sympy import Abs, Add, Expr, Integer, Max, Min, Mul, Pow, Symbol, count_ops

from derive.errors import NotClosedError
from derive.printing.machine_functions import RATES, function_units

Line = tuple[Symbol, Expr]
_KEPT = 1 << 14
"""Expressions whose symbols are remembered; a deep Program has some thousand lines."""


@dataclass(frozen=True)
class Block:
    """Straight-line code: inputs, lines ``symbol = expression``, and named results.

    Attributes:
        inputs: symbols that are given.
        lines: assignments in order; each uses inputs and earlier symbols only.
        results: expressions in inputs and line symbols.

    Raises:
        NotClosedError: if a line or a result uses a symbol that is not defined before it.

    Example:
        >>> from sympy.abc import x, y
        >>> Block((x,), ((y, x**2),), (y + 1,)).operations
        2
    """

    inputs: tuple[Symbol, ...]
    lines: tuple[Line, ...]
    results: tuple[Expr, ...]

    def __post_init__(self) -> None:
        known = set(self.inputs)
        for symbol, expr in self.lines:
            _require(expr, known, f"line {symbol}")
            known.add(symbol)
        for i, expr in enumerate(self.results):
            _require(expr, known, f"result {i}")

    @property
    def operations(self) -> int:
        """Number of operations of all lines and results."""
        exprs = [e for _, e in self.lines] + list(self.results)
        return sum(int(count_ops(e)) for e in exprs)

    def pruned(self) -> "Block":
        """Return the block without lines that no result needs."""
        needed = {s for e in self.results for s in symbols_of(e)}
        kept: list[Line] = []
        for symbol, expr in reversed(self.lines):
            if symbol in needed:
                kept.append((symbol, expr))
                needed.update(symbols_of(expr))
        return Block(self.inputs, tuple(reversed(kept)), self.results)


def _require(expr: Expr, known: set[Symbol], where: str) -> None:
    missing = sorted(str(s) for s in symbols_of(expr) if s not in known)
    if missing:
        raise NotClosedError(where, f"uses {', '.join(missing)}", "define it before, or declare it")


def fresh(name: str, like: Symbol | None = None) -> Symbol:
    """Return a plain real symbol for a line; ``like`` passes on the sign assumption."""
    if like is not None and like.is_positive:
        return Symbol(name, positive=True)
    return Symbol(name, real=True)


def forward(
    lines: Iterable[Line], seeds: Mapping[Symbol, Expr], tag: str
) -> tuple[tuple[Line, ...], dict[Symbol, Expr]]:
    """Differentiate straight-line code line by line.

    Args:
        lines: the code.
        seeds: derivative of each input (missing inputs count as constant).
        tag: appended to the names of the new lines; must be new to the block.

    Returns:
        The derivative lines alone, to be put after the code, and the map from each symbol to its
        derivative (an exact zero where it does not depend on the seeds).
    """
    derivative: dict[Symbol, Expr] = dict(seeds)
    out: list[Line] = []
    for symbol, expr in lines:
        derivative[symbol] = named(chain(expr, derivative), f"{symbol.name}_{tag}", out)
    return tuple(out), derivative


@lru_cache(maxsize=_KEPT)
def symbols_of(expr: Expr) -> tuple[Symbol, ...]:
    """Return the free symbols of an expression in a fixed order."""
    free = (s for s in expr.free_symbols if isinstance(s, Symbol))
    return tuple(sorted(free, key=lambda s: s.name))


def renamed(expr: Any, names: Mapping[Symbol, Symbol]) -> Any:
    """Return ``expr.xreplace(names)``; extremes are not compared anew, which takes long."""
    if isinstance(expr, Symbol):
        return names.get(expr, expr)
    args = [renamed(a, names) for a in expr.args]
    if all(new is old for new, old in zip(args, expr.args, strict=True)):
        return expr
    options = {"evaluate": False} if isinstance(expr, Min | Max) else {}
    return expr.func(*args, **options)


def named(expr: Expr, name: str, lines: list[Line]) -> Expr:
    """Append ``name = expr`` and return the symbol; symbols and numbers return as they are."""
    if expr.is_Symbol or expr.is_Number:
        return expr
    symbol = fresh(name)
    lines.append((symbol, expr))
    return symbol


def chain(expr: Expr, derivative: Mapping[Symbol, Expr]) -> Expr:
    """Return the derivative of one expression by the chain rule, given those of its symbols."""
    total: Expr = Integer(0)
    for arg in symbols_of(expr):
        d = derivative.get(arg, Integer(0))
        if d != 0:
            total += partial(expr, arg) * d
    return total


def partial(expr: Expr, wrt: Symbol) -> Expr:
    """Return ``expr.diff(wrt)``: the same, found some times faster, and without cancellation.

    Sums, products and powers, which are nearly all of straight-line code, are differentiated here;
    SymPy also asks whether each derivative is zero, which takes longer than to find it.
    """
    if wrt not in symbols_of(expr):
        return Integer(0)
    if isinstance(expr, Symbol):
        return Integer(1)
    args: Any = expr.args
    if isinstance(expr, Add):
        return Add(*(partial(a, wrt) for a in args))
    if isinstance(expr, Mul):
        each = (Mul(*args[:i], partial(a, wrt), *args[i + 1 :]) for i, a in enumerate(args))
        return Add(*each)
    if isinstance(expr, Pow) and wrt not in symbols_of(expr.exp):
        return expr * (partial(expr.base, wrt) * expr.exp / expr.base)
    if type(expr) in RATES:
        return partial(args[0], wrt) * RATES[type(expr)](args[0])
    return expr.diff(wrt)


def magnitude(expr: Expr) -> Expr:
    """Return the sum of the absolute values of the terms: what rounding scales with."""
    return Add(*(Abs(term) for term in Add.make_args(expr)))


def running_error(
    lines: Iterable[Line], errors: Mapping[Symbol, Expr], unit: Expr, tag: str
) -> tuple[tuple[Line, ...], dict[Symbol, Expr]]:
    """Carry a first-order bound of the rounding error along straight-line code.

    Each line contributes ``unit`` times the number of its operations times its magnitude, plus the
    errors of its arguments through the absolute values of its partial derivatives.

    Args:
        lines: the code.
        errors: absolute error of each input (missing inputs count as exact).
        unit: rounding unit.
        tag: appended to the names of the new lines.

    Returns:
        The error lines alone, and the map from symbols to their errors.
    """
    known: dict[Symbol, Expr] = dict(errors)
    out: list[Line] = []
    for symbol, expr in lines:
        known[symbol] = named(error_of(expr, known, unit), f"{symbol.name}_{tag}", out)
    return tuple(out), known


def error_of(expr: Expr, errors: Mapping[Symbol, Expr], unit: Expr) -> Expr:
    """Return the first-order rounding bound of one expression, given those of its symbols."""
    weight = Integer(1 + count_ops(expr)) + function_units(expr)
    total: Expr = unit * weight * magnitude(expr) if expr.free_symbols else Integer(0)
    for arg in symbols_of(expr):
        e = errors.get(arg, Integer(0))
        if e != 0:
            total += Abs(partial(expr, arg)) * e
    return total
