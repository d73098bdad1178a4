"""Parse trees into SymPy expressions, every part checked as it appears.

Stage: the second half of ``reader``. A part that would be huge, complex, infinite or undefined is
refused where it arises, before SymPy could spend time on it.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NoReturn

from lark import Token
from sympy import And, Ge, Gt, I, Le, Lt, Not, Or, Pow, Rational, S, Symbol, nan, oo, zoo
from sympy.logic.boolalg import Boolean

from derive.enclosing.ball_program import Evaluation, working_precision
from derive.errors import DeriveError, ParseError
from derive.reading.vocabulary import COMPARISONS, CONSTANTS, FUNCTIONS, Word

LARGEST_EXPONENT = 1000
_NUMBER_BITS = 8192
_CONSTANT_BITS = 100_000
_SCIENTIFIC = 400
_TESTING_BITS = 64
_SHOWN = 60
_COMPARE: dict[str, Callable[..., Any]] = {"<": Lt, "<=": Le, ">": Gt, ">=": Ge}


def shown(text: str) -> str:
    """Return what was asked for, short enough for one line."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return f"reading {short!r}"


def _is_condition(value: Any) -> bool:
    """Return whether a value is a condition; SymPy's symbols are Boolean as well."""
    return isinstance(value, Boolean) and not isinstance(value, Symbol)


class Builder:
    """One method per rule of the grammar.

    Args:
        text: the whole text, for messages.
        known: variables and parameters by name.
    """

    def __init__(self, text: str, known: Mapping[str, Symbol]) -> None:
        self.text = text
        self.known = known

    def start(self, value: Any) -> Any:
        """Check the whole expression."""
        self._expression(value, None)
        if value.has(I):
            self._refuse("it is not real", None, "check roots and logarithms")
        return value

    def number(self, token: Token) -> Any:
        """An exact number."""
        _, _, exponent = str(token).lower().partition("e")
        if abs(int(exponent or 0)) > _SCIENTIFIC:
            self._refuse(f"the exponent of {token}", token, f"use at most {_SCIENTIFIC}")
        exact = Fraction(str(token))
        return Rational(exact.numerator, exact.denominator)

    def name(self, token: Token) -> Any:
        """A variable, a parameter or a constant."""
        word = str(token)
        if word in self.known:
            return self.known[word]
        if word in CONSTANTS:
            return CONSTANTS[word]
        return self._refuse(f"the function {word} without arguments", token, f"write {word}(...)")

    def call(self, token: Token, *arguments: Any) -> Any:
        """A function applied to arguments."""
        word = str(token)
        if word in self.known or word in CONSTANTS:
            self._refuse(f"{word} is not a function", token, f"write {word}*(...)")
        if word in COMPARISONS:
            if len(arguments) != 2:
                self._refuse(f"{word} takes 2 arguments", token, f"write {word}(a, b)")
            return self._compared(COMPARISONS[word], *arguments, token)
        function = FUNCTIONS[word]
        if not function.least <= len(arguments) <= function.most:
            self._refuse(
                f"{word} takes {function.arity()} argument(s) and has {len(arguments)}",
                token,
                "add or remove arguments",
            )
        self._check_arguments(function, arguments, token)
        return self._constant(function.build(*arguments), token)

    def _check_arguments(self, word: Word, arguments: tuple[Any, ...], token: Token) -> None:
        for i, argument in enumerate(arguments):
            if word.pairs:
                if not isinstance(argument, tuple):
                    self._refuse(f"{token} takes pairs", token, "write (value, condition)")
                self._expression(argument[0], token)
                self._condition(argument[1], token)
            elif word.condition == i:
                self._condition(argument, token)
            else:
                self._expression(argument, token)

    def pair(self, value: Any, condition: Any) -> Any:
        """A pair of a value and a condition."""
        return (value, condition)

    def compare(self, left: Any, sign: Token, right: Any) -> Any:
        """A comparison."""
        return self._compared(_COMPARE[str(sign)], left, right, sign)

    def between(self, left: Any, first: Token, middle: Any, second: Token, right: Any) -> Any:
        """A chain of two comparisons."""
        return And(self.compare(left, first, middle), self.compare(middle, second, right))

    def either(self, left: Any, *rest: Any) -> Any:
        """Disjunction."""
        return Or(self._condition(left, None), self._condition(rest[-1], None))

    def both(self, left: Any, *rest: Any) -> Any:
        """Conjunction."""
        return And(self._condition(left, None), self._condition(rest[-1], None))

    def opposite(self, condition: Any) -> Any:
        """Negation."""
        return Not(self._condition(condition, None))

    def add(self, left: Any, sign: Token, right: Any) -> Any:
        """Sum."""
        return self._constant(self._expression(left, sign) + self._expression(right, sign), sign)

    def subtract(self, left: Any, sign: Token, right: Any) -> Any:
        """Difference."""
        return self._constant(self._expression(left, sign) - self._expression(right, sign), sign)

    def multiply(self, left: Any, sign: Token, right: Any) -> Any:
        """Product."""
        return self._constant(self._expression(left, sign) * self._expression(right, sign), sign)

    def divide(self, left: Any, sign: Token, right: Any) -> Any:
        """Quotient."""
        if self._expression(right, sign).is_zero:
            self._refuse("division by zero", sign, "change the denominator")
        return self._constant(self._expression(left, sign) / right, sign)

    def negative(self, sign: Token, value: Any) -> Any:
        """Change of sign."""
        return -self._expression(value, sign)

    def positive(self, sign: Token, value: Any) -> Any:
        """A plus sign in front."""
        return self._expression(value, sign)

    def power(self, base: Any, sign: Token, exponent: Any) -> Any:
        """A power, of limited size."""
        self._expression(base, sign)
        self._expression(exponent, sign)
        if base.is_zero and not exponent.is_positive:
            self._refuse("a power of zero that is not positive", sign, "change the exponent")
        if exponent.free_symbols:
            if not base.is_positive:
                self._refuse(
                    "a variable exponent over a base that may be negative",
                    sign,
                    "write exp(b*log(a)) for positive a",
                )
        elif isinstance(base, Rational) and base not in (S.Zero, S.One, S.NegativeOne):
            self._check_number(base, self._ball(exponent, sign), sign)
        elif base.free_symbols and not bool(abs(self._ball(exponent, sign)) <= LARGEST_EXPONENT):
            self._refuse("a large exponent", sign, f"use at most {LARGEST_EXPONENT}")
        return self._constant(Pow(base, exponent), sign)

    def _check_number(self, number: Any, exponent: Any, sign: Token) -> None:
        """Refuse powers of numbers with thousands of digits."""
        bits = max(abs(number.p).bit_length(), number.q.bit_length())
        if not bool(abs(exponent) * bits <= _NUMBER_BITS):
            self._refuse("a number too large to write out", sign, "use a smaller power")

    def _compared(self, build: Callable[..., Any], left: Any, right: Any, sign: Token) -> Any:
        self._expression(left, sign)
        self._expression(right, sign)
        if not (left - right).free_symbols:
            self._refuse("a comparison of constants", sign, "compare with a variable")
        return build(left, right)

    def _expression(self, value: Any, token: Token | None) -> Any:
        """Return the value if it is a finite expression and not a condition or a pair."""
        if isinstance(value, tuple):
            self._refuse("a pair where a number is expected", token, "remove the comma")
        if _is_condition(value):
            self._refuse("a condition where a number is expected", token, "use where(c, a, b)")
        if value.has(zoo, nan, oo, -oo):
            self._refuse("it is not finite", token, "check for division by zero")
        return value

    def _condition(self, value: Any, token: Token | None) -> Any:
        if not _is_condition(value):
            self._refuse("a number where a condition is expected", token, "compare, as in z > 0")
        return value

    def _constant(self, value: Any, token: Token) -> Any:
        """Return the value; if it is a constant it must be finite, real and not huge."""
        self._expression(value, token)
        for number in (value.as_coeff_Mul()[0], value.as_coeff_Add()[0]):
            if isinstance(number, Rational):
                self._check_number(number, 1, token)
        if not value.free_symbols:
            self._ball(value, token)
        return value

    def _ball(self, value: Any, token: Token) -> Any:
        try:
            with working_precision(_TESTING_BITS):
                ball = Evaluation(_TESTING_BITS).complex(value)
        except DeriveError as error:
            return self._refuse(error.found, token, error.remedy)
        if not ball.is_finite():
            self._refuse("a constant that is not finite", token, "check its arguments")
        if not ball.imag.contains(0):
            self._refuse("a constant that is not real", token, "check roots and logarithms")
        size = abs(ball.real).upper().man_exp()
        if int(size[0]).bit_length() + int(size[1]) > _CONSTANT_BITS:
            self._refuse("a constant too large to use", token, "rescale it")
        return ball.real

    def _refuse(self, found: str, token: Token | None, remedy: str) -> NoReturn:
        place = f" at position {(token.start_pos or 0) + 1}" if token is not None else ""
        raise ParseError(shown(self.text), found + place, remedy)
