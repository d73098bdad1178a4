"""Printers: one Program, several targets.

Stage: Programs in, source text out; nothing is executed here. Every user symbol is renamed
(``c_`` controls, ``u_`` unknowns, ``v_`` lines, ``K_`` constants), so that no name can clash with
the surrounding code. Constants are arguments like controls, so that a new activation on a known
architecture needs no new code; only the rounding unit is a global, which each target supplies.

Targets: ``ScalarPrinter`` writes Python over the ``math`` module in the subset that Numba compiles
for CPU and CUDA; ``LanePrinter`` the same without short circuits, for vector units; ``CPrinter`` C
for comparison; ``MpmathPrinter`` writes the same lines for mpmath at any precision.
"""

from collections.abc import Mapping
from typing import Any

from sympy import Expr, Symbol
from sympy.printing.codeprinter import CodePrinter
from sympy.printing.precedence import precedence

from derive.block import Block
from derive.coupled import CoupledProgram
from derive.errors import NotSupportedError
from derive.program import UNIT, Program

_SAME_NAME = {
    name: name
    for name in ("exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "erf", "erfc", "sqrt")
} | {name: name for name in ("atan", "asin", "acos", "log1p", "expm1")}


class BlockPrinter(CodePrinter):
    """Prints expressions of a block; subclasses choose the module and the form of numbers."""

    module = "math"
    language = "Python"
    _default_settings = {**CodePrinter._default_settings, "precision": 17}

    def __init__(self, names: Mapping[Symbol, str]) -> None:
        super().__init__({})
        self.names = dict(names)

    def text(self, expr: Expr) -> str:
        """Print an expression."""
        return str(self.doprint(expr))

    def _print_Symbol(self, expr: Symbol) -> str:
        return self.names[expr]

    _print_Quantity = _print_Symbol

    def number(self, numerator: int, denominator: int) -> str:
        """Print an exact rational."""
        raise NotImplementedError

    def _print_Integer(self, expr: Any) -> str:
        return self.number(int(expr), 1)

    def _print_Rational(self, expr: Any) -> str:
        return self.number(int(expr.p), int(expr.q))

    _print_Half = _print_Rational
    _print_One = _print_Zero = _print_NegativeOne = _print_Integer

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, exponent = expr.as_base_exp()
        text = self.parenthesize(base, 100)
        if exponent == -1:
            return f"({self.number(1, 1)}/{text})"
        if exponent.is_Integer and 2 <= int(exponent) <= 4:
            return f"({'*'.join([text] * int(exponent))})"
        if exponent.is_Integer and -4 <= int(exponent) <= -2:
            return f"({self.number(1, 1)}/({'*'.join([text] * -int(exponent))}))"
        if exponent.is_Rational and exponent.q == 2 and abs(exponent.p) == 1:
            root = f"{self.module}.sqrt({self._print(base)})"
            return root if exponent.p == 1 else f"({self.number(1, 1)}/{root})"
        if exponent.is_Integer:
            return f"{text}**{int(exponent)}"
        return f"{text}**({self._print(exponent)})"

    def parenthesize(self, item: Any, level: int, strict: bool = False) -> str:
        """Print an operand, in parentheses unless it is a name or a call."""
        text = self._print(item)
        return text if item.is_Symbol and level >= 100 else self._wrapped(item, level, text)

    @staticmethod
    def _wrapped(item: Any, level: int, text: str) -> str:
        plain = precedence(item) > level or (item.is_Function and "(" in text)
        return text if plain else f"({text})"

    def _print_Abs(self, expr: Any) -> str:
        return f"abs({self._print(expr.args[0])})"

    def _print_Min(self, expr: Any) -> str:
        return self._fold("min", expr)

    def _print_Max(self, expr: Any) -> str:
        return self._fold("max", expr)

    def _fold(self, name: str, expr: Any) -> str:
        args = sorted(self._print(a) for a in expr.args)
        text = args[0]
        for arg in args[1:]:
            text = f"{name}({text}, {arg})"
        return text

    def _print_Piecewise(self, expr: Any) -> str:
        *pieces, (last, condition) = expr.args
        if condition is not True and condition != True:  # noqa: E712  (SymPy's true is not Python's)
            raise NotSupportedError("code for Piecewise", "no default branch", "end it with True")
        text = f"({self._print(last)})"
        for value, test in reversed(pieces):
            text = f"(({self._print(value)}) if ({self._print(test)}) else {text})"
        return text

    def _print_Relational(self, expr: Any) -> str:
        return f"{self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)}"

    def _print_And(self, expr: Any) -> str:
        return " and ".join(sorted(f"({self._print(a)})" for a in expr.args))

    def _print_Or(self, expr: Any) -> str:
        return " or ".join(sorted(f"({self._print(a)})" for a in expr.args))

    def _print_TableMean(self, expr: Any) -> str:
        return f"{expr.head}({self._print(expr.args[4])}, {self._print(expr.args[5])})"

    def _print_Function(self, expr: Any) -> str:
        name = type(expr).__name__
        if name not in _SAME_NAME:
            raise NotSupportedError(
                f"code for {name}", "no printer", "rewrite it, or add a printer"
            )
        return f"{self.module}.{_SAME_NAME[name]}({', '.join(self._print(a) for a in expr.args)})"

    def _print_softplus(self, expr: Any) -> str:
        text, zero = self._print(expr.args[0]), self.number(0, 1)
        small = f"{self.module}.log1p({self.module}.exp(-abs({text})))"
        return f"(max({text}, {zero}) + {small})"

    def _print_NumberSymbol(self, expr: Any) -> str:
        return f"{self.module}.{type(expr).__name__.lower().replace('exp1', 'e')}"

    _print_Pi = _print_Exp1 = _print_NumberSymbol

    def _print_not_supported(self, expr: Any) -> str:
        raise NotSupportedError(f"code for {type(expr).__name__}", str(expr), "rewrite it first")

    emptyPrinter = _print_not_supported

    def _get_statement(self, codestring: str) -> str:
        return codestring

    def _get_comment(self, text: str) -> str:
        return f"# {text}"

    def _declare_number_const(self, name: str, value: Any) -> str:
        return f"{name} = {value}"

    def _format_code(self, lines: list[str]) -> list[str]:
        return lines


class ScalarPrinter(BlockPrinter):
    """float64 scalar code over ``math``: the subset that Numba compiles for CPU and CUDA."""

    def number(self, numerator: int, denominator: int) -> str:
        """Print the nearest double of an exact rational."""
        return repr(numerator / denominator)


class LanePrinter(ScalarPrinter):
    """``ScalarPrinter`` without short circuits: conditions join with ``&`` and ``|``."""

    def _print_And(self, expr: Any) -> str:
        return " & ".join(sorted(f"({self._print(a)})" for a in expr.args))

    def _print_Or(self, expr: Any) -> str:
        return " | ".join(sorted(f"({self._print(a)})" for a in expr.args))


class CPrinter(LanePrinter):
    """C99 expressions over ``math.h``; used as an oracle for speed and values in tests."""

    module = ""
    language = "C"

    def _print_Piecewise(self, expr: Any) -> str:
        *pieces, (last, _) = expr.args
        text = f"({self._print(last)})"
        for value, test in reversed(pieces):
            text = f"(({self._print(test)}) ? ({self._print(value)}) : {text})"
        return text

    def _print_Abs(self, expr: Any) -> str:
        return f"fabs({self._print(expr.args[0])})"

    def _print_Function(self, expr: Any) -> str:
        return str(super()._print_Function(expr)).removeprefix(".")

    def _print_softplus(self, expr: Any) -> str:
        text = self._print(expr.args[0])
        return f"(fmax({text}, 0.0) + log1p(exp(-fabs({text}))))"

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, exponent = expr.as_base_exp()
        text = str(super()._print_Pow(expr, rational)).replace(".sqrt(", "sqrt(")
        if "**" not in text:
            return text
        power = int(exponent) if exponent.is_Integer else self._print(exponent)
        return f"pow({self._print(base)}, {power})"

    def _print_NumberSymbol(self, expr: Any) -> str:
        return {"Pi": "M_PI", "Exp1": "M_E"}[type(expr).__name__]

    _print_Pi = _print_Exp1 = _print_NumberSymbol


class MpmathPrinter(BlockPrinter):
    """mpmath code at the working precision of the context ``mp``; rationals stay exact."""

    module = "mp"

    def number(self, numerator: int, denominator: int) -> str:
        """Print an exact rational as a quotient of integers in the context."""
        text = f"mp.mpf({numerator})"
        return text if denominator == 1 else f"({text}/{denominator})"


def rename(program: Program | CoupledProgram) -> dict[Symbol, str]:
    """Return target names for all symbols of a program; each name is used once."""
    names: dict[Symbol, str] = {UNIT: "UNIT"}
    names |= {q: f"c_{q.name}" for q in program.inputs}
    names |= {s: f"K_{s.name}" for s, _ in program.constants}
    taken = set(names.values())
    for block in program.blocks().values():
        for symbol in (*block.inputs, *(s for s, _ in block.lines)):
            if symbol not in names:
                prefix = "u" if symbol.name in program.unknowns else "v"
                name = f"{prefix}_{symbol.name}"
                while name in taken:
                    name += "_"
                names[symbol] = name
                taken.add(name)
    return names


def function(name: str, block: Block, printer: BlockPrinter) -> str:
    """Print a block as a Python function of its inputs (less ``UNIT``), returning a tuple."""
    args = ", ".join(printer.names[s] for s in block.inputs if s != UNIT)
    lines = [f"def {name}({args}):"]
    lines += [f"    {printer.names[s]} = {printer.doprint(e)}" for s, e in block.lines]
    results = "".join(f"{printer.doprint(e)}, " for e in block.results)
    return "\n".join([*lines, f"    return ({results.strip()})"])


def array_function(head: str, block: Block, printer: BlockPrinter, stores: list[str]) -> str:
    """Print a block as a function that writes its results to places, such as ``out[3]``.

    Inputs that live in arrays are named so by the printer: ``names[symbol] = "c[0]"``.
    """
    lines = [f"def {head}:"]
    lines += [f"    {printer.names[s]} = {printer.doprint(e)}" for s, e in block.lines]
    results = zip(stores, block.results, strict=True)
    lines += [f"    {place} = {printer.doprint(e)}" for place, e in results]
    return "\n".join(lines if stores else [*lines, "    pass"])


def module_source(program: Program, printer_type: type[BlockPrinter]) -> dict[str, str]:
    """Print every block of a program as a function of controls, constants and unknowns."""
    printer = printer_type(rename(program))
    return {name: function(name, block, printer) for name, block in program.blocks().items()}
