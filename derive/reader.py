"""Strings from outside, read into SymPy expressions; nothing is ever evaluated as code.

Stage: the door of ``derive``. A small LALR grammar knows numbers, ``+ - * / ** ^``, parentheses,
comparisons, and the words of ``vocabulary``. Decimal numbers are exact: ``0.1`` is 1/10. Length,
depth, and the size of powers and constants are limited, so that no short string costs much.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken
from sympy import Expr, Symbol

from derive import symbols
from derive.errors import ParseError, UnknownNameError
from derive.reading.expression_builder import Builder, shown
from derive.reading.vocabulary import COMPARISONS, CONSTANTS, FUNCTIONS

GRAMMAR = r"""
start: disjunction
?disjunction: conjunction | disjunction (OR | "or") conjunction -> either
?conjunction: negation | conjunction (AND | "and") negation -> both
?negation: comparison | ("not" | "~") negation -> opposite
?comparison: sum | sum COMPARE sum -> compare | sum COMPARE sum COMPARE sum -> between
?sum: product | sum PLUS product -> add | sum MINUS product -> subtract
?product: sign | product TIMES sign -> multiply | product OVER sign -> divide
?sign: power | MINUS sign -> negative | PLUS sign -> positive
?power: atom | atom POWER sign -> power
?atom: NUMBER -> number
     | NAME -> name
     | NAME "(" disjunction ("," disjunction)* ")" -> call
     | "(" disjunction ")"
     | "(" disjunction "," disjunction ")" -> pair
OR: "|"
AND: "&"
COMPARE: "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*"
OVER: "/"
POWER: "**" | "^"
NUMBER: /([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
NAME: /[A-Za-z_][A-Za-z_0-9]*/
%import common.WS
%ignore WS
"""
LONGEST = 2000
DEEPEST = 60
_NAME = re.compile(r"(?<![0-9A-Za-z_.])[A-Za-z_][A-Za-z_0-9]*")
_KEYWORDS = ("and", "or", "not")


def read_expression(
    text: str,
    variables: Iterable[str | Symbol] = ("z",),
    parameters: Mapping[str, Symbol] | Iterable[str | Symbol] = (),
) -> Expr:
    """Read an expression; a function's name alone is that function of the only variable.

    Args:
        text: such as ``"z*tanh(log(1 + exp(z)))"``, ``"where(z > 0, z, 0.1*z)"`` or ``"tanh"``.
        variables: names, or symbols, that may appear as arguments; names become real symbols.
        parameters: further names or symbols that may appear.

    Returns:
        The expression, with exact numbers.

    Raises:
        ParseError: if the text is not an expression of the grammar, is too long, deep or large,
            or is not finite and real.
        UnknownNameError: if a name is neither a variable, a parameter nor a word of the grammar.

    Example:
        >>> read_expression("0.1*z^2 + relu(z)")
        z**2/10 + Max(0, z)
        >>> read_expression("tanh")
        tanh(z)
    """
    if not isinstance(text, str):
        raise ParseError(f"reading {text!r}", "not a string", "give a string")
    names = _symbols(variables)
    known = {**names, **_symbols(parameters)}
    _check_size(text)
    _check_names(text, tuple(names), known)
    word = FUNCTIONS.get(text.strip())
    if word is not None and len(names) == 1 and word.least == 1 and not word.pairs:
        return word.build(next(iter(names.values())))
    try:
        tree = _grammar().parse(text)
    except (UnexpectedCharacters, UnexpectedEOF, UnexpectedToken) as error:
        raise _syntax_error(text, error) from None
    return _build(tree, Builder(text, known))


def _symbols(given: Mapping[str, Symbol] | Iterable[str | Symbol]) -> dict[str, Symbol]:
    if isinstance(given, Mapping):
        return dict(given)
    listed = (given,) if isinstance(given, str) else given
    return {str(item): _symbol(item) for item in listed}


def _symbol(item: str | Symbol) -> Symbol:
    if isinstance(item, Symbol):
        return item
    return symbols.z if item == "z" else Symbol(item, real=True)


def _check_size(text: str) -> None:
    if not text.strip():
        raise ParseError(shown(text), "empty", "write a function of z, such as tanh(z)")
    if len(text) > LONGEST:
        raise ParseError(shown(text), f"{len(text)} characters", f"use at most {LONGEST}")
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise ParseError(shown(text), f"nested {deepest} deep", f"nest at most {DEEPEST} deep")


def _check_names(text: str, variables: tuple[str, ...], known: Mapping[str, Symbol]) -> None:
    """Refuse unknown names before anything is built, all of them in one message."""
    words = {*FUNCTIONS, *COMPARISONS, *CONSTANTS, *_KEYWORDS, *known}
    unknown = {m.group(): m.start() + 1 for m in reversed(list(_NAME.finditer(text)))}
    unknown = {name: unknown[name] for name in reversed(unknown) if name not in words}
    if not unknown:
        return
    listed = ", ".join(f"{name} at position {at}" for name, at in unknown.items())
    close = [match for name in unknown for match in _close(name, words)]
    hint = f"did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
    letters = [name for name in unknown if len(name) == 1]
    count = f"{len(letters)} further variables, " if len(letters) > 1 else ""
    raise UnknownNameError(
        shown(text),
        f"{count}unknown {'names' if len(unknown) > 1 else 'name'} {listed}",
        f"{hint}the argument is {' or '.join(variables)}; "
        f"{_parameter_text(variables, known)}functions: {', '.join(sorted(FUNCTIONS))}",
    )


def _close(name: str, words: set[str]) -> list[str]:
    """Return the words that were probably meant: the same but for case, otherwise similar ones."""
    same = sorted(word for word in words if word.lower() == name.lower())
    return same or get_close_matches(name, words, 2, 0.7)


def _parameter_text(variables: tuple[str, ...], known: Mapping[str, Symbol]) -> str:
    others = [name for name in known if name not in variables]
    return f"parameters: {', '.join(others)}; " if others else ""


@lru_cache(maxsize=1)
def _grammar() -> Lark:
    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def _build(tree: Tree[Token], builder: Builder) -> Any:
    """Build bottom-up without recursion, so that long chains cannot exhaust the stack."""
    values: dict[int, Any] = {}
    for part in tree.iter_subtrees():
        children = [values[id(c)] if isinstance(c, Tree) else c for c in part.children]
        values[id(part)] = getattr(builder, part.data)(*children)
    return values[id(tree)]


def _syntax_error(
    text: str, error: UnexpectedCharacters | UnexpectedEOF | UnexpectedToken
) -> ParseError:
    at = error.pos_in_stream or 0
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    if ended or isinstance(error, UnexpectedEOF):
        return ParseError(shown(text), "it ends too early", "complete it, close all parentheses")
    found = f"unexpected {text[at]!r} at position {at + 1}"
    before = text[:at].rstrip()[-1:]
    if (text[at].isalnum() or text[at] in "(_") and (before.isalnum() or before == ")"):
        return ParseError(shown(text), found, "write products with *, as in 2*z")
    if text[at] == "=":
        return ParseError(shown(text), found, "compare with <, <=, >, >=, Eq(a, b) or Ne(a, b)")
    return ParseError(shown(text), found, "use numbers, names, + - * / ** ^ and parentheses")
