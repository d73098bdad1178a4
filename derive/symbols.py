r"""Symbols that mean something: controls, unknowns, and the letters every room shares.

Stage: the floor of ``derive``. A ``Quantity`` is a SymPy symbol that carries its meaning, its range
and its LaTeX name; two quantities of one name and different meanings are different symbols.
"""

import keyword
from typing import Any

from sympy import Symbol

from derive.errors import ParseError, RangeError

z = Symbol("z", real=True)
"""The argument of an activation."""
rho = Symbol("rho", real=True)
"""The correlation of two unit normals, -1 <= rho <= 1."""


class Quantity(Symbol):
    r"""A real symbol with a meaning, a range and a LaTeX name.

    Args:
        name: a Python identifier that is not a keyword.
        meaning: what the quantity is, with its unit; one phrase.
        latex: LaTeX name; the name itself when empty.
        low: smallest value.
        high: largest value.
        open_low: whether ``low`` itself is excluded.

    Raises:
        ParseError: if the name cannot be a Python identifier.

    Example:
        >>> lam = Quantity("lam", "ridge", latex=r"\lambda", low=0)
        >>> lam.meaning, lam.is_nonnegative
        ('ridge', True)
    """

    __slots__ = ("high", "latex", "low", "meaning", "open_low")
    meaning: str
    latex: str
    low: float
    high: float
    open_low: bool

    def __new__(
        cls,
        name: str,
        meaning: str = "",
        *,
        latex: str = "",
        low: float = float("-inf"),
        high: float = float("inf"),
        open_low: bool = False,
    ) -> "Quantity":
        """Build the symbol outside SymPy's cache, so that its meaning is part of its identity."""
        if not name.isidentifier() or keyword.iskeyword(name):
            hint = "use 'lam' with latex=r'\\lambda'" if name == "lambda" else "choose another name"
            raise ParseError(f"quantity {name!r}", "not a free Python identifier", hint)
        assumptions: dict[str, bool] = {"real": True}
        if low > 0 or (low == 0 and open_low):
            assumptions = {"real": True, "positive": True}
        elif low == 0:
            assumptions = {"real": True, "nonnegative": True}
        self = Symbol.__xnew__(cls, name, **assumptions)
        self.meaning, self.latex, self.low, self.high = meaning, latex or name, low, high
        self.open_low = open_low
        return self

    def _hashable_content(self) -> tuple[Any, ...]:
        return (
            *super()._hashable_content(),
            self.meaning,
            self.latex,
            str(self.low),
            str(self.high),
            self.open_low,
        )

    def __getnewargs_ex__(self) -> tuple[tuple[str, str], dict[str, Any]]:
        options = {
            "latex": self.latex,
            "low": self.low,
            "high": self.high,
            "open_low": self.open_low,
        }
        return (self.name, self.meaning), options

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        args, options = self.__getnewargs_ex__()
        return _rebuild, (type(self), args, options)

    def _latex(self, printer: Any) -> str:
        return self.latex

    def contains(self, value: float) -> bool:
        """Return whether a number lies in the range (NaN never does)."""
        above = value > self.low if self.open_low else value >= self.low
        return bool(above and value <= self.high)

    def check(self, value: float) -> float:
        """Return the value if it lies in the range.

        Raises:
            RangeError: naming the quantity, the value and the range.

        Accuracy: the value itself, unchanged.
        """
        if not self.contains(value):
            raise RangeError(f"{self.name} = {value}", "out of range", f"give {self.range_text()}")
        return value

    def range_text(self) -> str:
        """Return the range in words, such as ``lam >= 0``."""
        parts = []
        if self.low != float("-inf"):
            parts.append(f"{self.name} {'>' if self.open_low else '>='} {self.low:g}")
        if self.high != float("inf"):
            parts.append(f"{self.name} <= {self.high:g}")
        return " and ".join(parts) or f"a finite {self.name}"


def _rebuild(cls: type[Quantity], args: tuple[str, str], options: dict[str, Any]) -> Quantity:
    return cls(*args, **options)


def control(
    name: str,
    meaning: str = "",
    *,
    latex: str = "",
    positive: bool = False,
    low: float = float("-inf"),
    high: float = float("inf"),
) -> Quantity:
    r"""Declare a control: an input that the user sets when a system is evaluated.

    Example:
        >>> control("lam", "ridge", latex=r"\lambda", positive=True).range_text()
        'lam > 0'
    """
    return Quantity(
        name, meaning, latex=latex, low=0.0 if positive else low, high=high, open_low=positive
    )
