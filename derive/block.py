"""Straight-line code over SymPy expressions, and its local forward derivatives.

Stage: what Systems and Programs are made of. A ``Block`` is a list of assignments, each defining a
new symbol from inputs and earlier symbols. It is never substituted into one big expression:
derivatives are taken line by line, so the size of the code grows with the number of lines only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sympy import Abs, Add, Expr, Integer, Symbol, count_ops

from derive.errors import NotClosedError

Line = tuple[Symbol, Expr]


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
        needed = set().union(*(e.free_symbols for e in self.results)) if self.results else set()
        kept: list[Line] = []
        for symbol, expr in reversed(self.lines):
            if symbol in needed:
                kept.append((symbol, expr))
                needed |= expr.free_symbols
        return Block(self.inputs, tuple(reversed(kept)), self.results)


def _require(expr: Expr, known: set[Symbol], where: str) -> None:
    missing = sorted(str(s) for s in expr.free_symbols - known)
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


def symbols_of(expr: Expr) -> list[Symbol]:
    """Return the free symbols of an expression in a fixed order."""
    return sorted((s for s in expr.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name)


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
            total += expr.diff(arg) * d
    return total


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
    weight = Integer(1 + count_ops(expr))
    total: Expr = unit * weight * magnitude(expr) if expr.free_symbols else Integer(0)
    for arg in symbols_of(expr):
        e = errors.get(arg, Integer(0))
        if e != 0:
            total += Abs(expr.diff(arg)) * e
    return total
