"""A family at a point: what the user gives, checked, as a tape with exact values.

Stage: between ``tape`` and the methods of ``derive.model_rank``. Names are looked up in the family,
values become exact numbers, and symbols among the values stand for generic numbers.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Expr, Rational, Symbol, sympify

from derive.errors import NotClosedError, RangeError, UnknownNameError
from derive.exact import Number, exact_number
from derive.reader import read_expression
from derive.tangent_rank.number_field import NumberField, number_field
from derive.tangent_rank.tape import Tape, tape_of

Names = str | Sequence[str] | Sequence[Symbol]
Place = Mapping[str, Number] | Mapping[Symbol, Number] | Mapping[Symbol, Expr] | Mapping[str, Expr]
"""A point: values by parameter, given by name or by symbol."""


@dataclass(frozen=True, eq=False)
class Family:
    """A tape at a point.

    Attributes:
        tape: the family.
        values: exact value of each parameter.
        field: holds the irrational ones.
        symbols: what stands for generic values.
    """

    tape: Tape
    values: tuple[Expr, ...]
    field: NumberField
    symbols: tuple[Symbol, ...]

    def special(self, rng: random.Random, size: int, below: int = 1) -> tuple[Expr, ...]:
        """Return the values with random rational numbers for symbols."""
        drawn = {s: _nonzero(rng, size, below) for s in self.symbols}
        return tuple(v.xreplace(drawn) if v.free_symbols else v for v in self.values)


def _nonzero(rng: random.Random, size: int, below: int) -> Expr:
    return Rational(rng.choice((-1, 1)) * rng.randint(1, size), below)


def names_of(given: Names) -> list[str | Symbol]:
    """Return symbols or names one by one; a string is split at commas and blanks."""
    if isinstance(given, str):
        return list(given.replace(",", " ").split())
    return list(given)


def family_at(
    expr: Expr | str,
    parameters: Names,
    inputs: Names,
    point: Place | None,
) -> Family:
    """Return a family at a point, with every name checked.

    Raises:
        UnknownNameError: if a parameter or an input does not appear, or appears twice.
        NotClosedError: if a symbol is neither parameter nor input, or both.
        RangeError: for a value that is not a real constant.
    """
    listed, sampled = names_of(parameters), names_of(inputs)
    if isinstance(expr, str):
        expr = read_expression(expr, [str(s) for s in sampled] or ["x"], [str(s) for s in listed])
    family: Expr = sympify(expr, strict=True)
    present = {s.name: s for s in _symbols(family)}
    if len(present) < len(_symbols(family)):
        twice = sorted(n for n, k in Counter(s.name for s in _symbols(family)).items() if k > 1)
        raise NotClosedError(
            "the rank of a family",
            f"different symbols share the name {', '.join(twice)}",
            "make them with the same assumptions",
        )
    theta = _found(listed, present, "parameter")
    x = _found(sampled, present, "input")
    both = sorted({s.name for s in theta} & {s.name for s in x})
    if both:
        raise NotClosedError(
            f"the rank in {', '.join(both)}", "both parameter and input", "make it one of them"
        )
    free = sorted(set(present) - {s.name for s in (*theta, *x)})
    if free:
        raise NotClosedError(
            "the rank of a family",
            f"{', '.join(free)} is neither parameter nor input",
            "list it, or put a value in its place",
        )
    values = _values(theta, point or {})
    tape = tape_of(family, theta, x)
    numbers = [n.data for n in tape.nodes if n.op == "constant"]
    symbols = sorted({s for v in values for s in _symbols(v)}, key=str)
    _check_symbols(symbols, x)
    return Family(tape, values, number_field([*values, *numbers]), tuple(symbols))


def _symbols(expr: Expr) -> list[Symbol]:
    """Return the symbols of an expression, visiting every shared part once."""
    stack: list[Any] = [expr]
    seen: set[Any] = {expr}
    found: list[Symbol] = []
    while stack:
        part = stack.pop()
        if isinstance(part, Symbol):
            found.append(part)
        for arg in part.args:
            if arg not in seen:
                seen.add(arg)
                stack.append(arg)
    return found


def _found(
    listed: Sequence[str | Symbol], present: Mapping[str, Symbol], kind: str
) -> tuple[Symbol, ...]:
    names = [str(s) for s in listed]
    missing = [n for n in names if n not in present]
    if missing:
        raise UnknownNameError(
            f"{kind} {', '.join(missing)}",
            "does not appear in the family",
            f"its symbols are {', '.join(sorted(present)) or 'none'}",
        )
    repeated = sorted(n for n, times in Counter(names).items() if times > 1)
    if repeated:
        raise UnknownNameError(f"{kind} {', '.join(repeated)}", "listed twice", "list it once")
    if not names:
        raise UnknownNameError(f"a family without {kind}s", "none listed", f"list its {kind}s")
    return tuple(present[n] for n in names)


def _values(theta: Sequence[Symbol], point: Place) -> tuple[Expr, ...]:
    given = {str(k): exact_number(v) for k, v in point.items()}
    unknown = sorted(set(given) - {s.name for s in theta})
    if unknown:
        raise UnknownNameError(
            f"a value for {', '.join(unknown)}",
            "not a parameter",
            f"the parameters are {', '.join(s.name for s in theta)}",
        )
    for name, value in given.items():
        if value.is_real is False and not value.free_symbols:
            raise RangeError(f"{name} = {value}", "not real", "give a real number")
    return tuple(given.get(s.name, s) for s in theta)


def _check_symbols(symbols: Sequence[Symbol], inputs: Sequence[Symbol]) -> None:
    moving = sorted({s.name for s in symbols} & {s.name for s in inputs})
    if moving:
        raise RangeError(
            f"a point that depends on {', '.join(moving)}", "an input", "give constants"
        )
