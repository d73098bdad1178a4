"""Texts that say exactly what an object holds, the same in every process.

Stage: beside ``derive.program``; what is derived from an object can be stored under the hash of its
text. Two symbols of one name are told apart, assumptions and ranges are part of the text, and an
object that holds anything whose meaning this room does not know has no text.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from sympy import Basic, Number, NumberSymbol, Symbol, srepr
from sympy.core.function import AppliedUndef
from sympy.core.numbers import ImaginaryUnit
from sympy.logic.boolalg import BooleanAtom

from derive.constant import Constant
from derive.symbols import Quantity

_PLAIN = (str, int, float, bool, type(None))
_HOMES = ("sympy.", "derive.")
_SILENT = frozenset({"log"})
"""Fields that tell how an object came about, not what it is."""


class _NoTextError(Exception):
    """An object holds something that this room does not know."""


def canonical_text(*objects: Any) -> str:
    """Return the text of numbers, strings, expressions, and containers and dataclasses of them.

    Returns:
        The text; empty if some part has none, such as a table or a function made in the session.

    Example:
        >>> from sympy import Symbol
        >>> x = Symbol("x")
        >>> canonical_text(x, x) == canonical_text(x, Symbol("x", positive=True))
        False
    """
    writer = _Writer()
    try:
        texts = [writer.text(o) for o in objects]
    except _NoTextError:
        return ""
    return "\n".join([*texts, *writer.notes])


class _Writer:
    """Writes objects; symbols and constants are numbered in the order in which they are met."""

    def __init__(self) -> None:
        self.known: dict[Basic, str] = {}
        self.notes: list[str] = []

    def text(self, thing: Any) -> str:
        if isinstance(thing, Basic):
            if thing not in self.known:
                self.known[thing] = self._expression(thing)
            return self.known[thing]
        if isinstance(thing, _PLAIN):
            return repr(thing)
        if isinstance(thing, tuple | list):
            return f"({', '.join(map(self.text, thing))})"
        if isinstance(thing, Mapping):
            return self.text([(k, v) for k, v in thing.items()])
        if is_dataclass(thing):
            kept = [f.name for f in fields(thing) if f.name not in _SILENT]
            values = ", ".join(f"{n}={self.text(getattr(thing, n))}" for n in kept)
            return f"{type(thing).__qualname__}({values})"
        raise _NoTextError

    def _expression(self, expr: Basic) -> str:
        if isinstance(expr, Symbol):
            return self._symbol(expr)
        if isinstance(expr, Constant):
            return self._note(expr.name, self.text(expr.value))
        if isinstance(expr, Number | NumberSymbol | ImaginaryUnit | BooleanAtom):
            return srepr(expr)
        kind = type(expr)
        unknown = not expr.args or isinstance(expr, AppliedUndef)
        if unknown or not kind.__module__.startswith(_HOMES):
            raise _NoTextError
        return f"{kind.__module__}.{kind.__qualname__}({', '.join(map(self.text, expr.args))})"

    def _symbol(self, symbol: Symbol) -> str:
        said = str(sorted(symbol.assumptions0.items()))
        if isinstance(symbol, Quantity):
            said = f"{said} {symbol.low} {symbol.high} {symbol.open_low}"
        return self._note(symbol.name, said)

    def _note(self, name: str, said: str) -> str:
        """Return a short name for something, and keep what it is for the end of the text."""
        short = f"{name}#{len(self.notes)}"
        self.notes.append(f"{short} {said}")
        return short
