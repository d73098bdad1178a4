"""Expressions over lanes as LLVM IR: one instruction per operation, each distinct value once.

Stage: below ``vector_ir``, which puts phases into loops. A value is a vector of ``width`` doubles,
or one double for what is computed once per call.

Where the processor estimates reciprocals and inverse roots to 14 bits (AVX-512), lines that are
``rough`` take an estimate and one Newton step, which gives about eight digits; for zeros,
infinities and subnormal numbers the result is not finite. All other lines divide: two steps would
give all digits as well, but need as long as a division where several are under way. Only where two
divisions follow each other in a phase that is ``spread``, the second one takes that way, so that
the divider and the multipliers work at the same time.

Elementary functions are calls of what ``elementary_ir`` defines in the same module, once for each.
They are not written in place, where a sum of the caller might fuse with their last product in some
widths and not in others.
"""

import struct
from collections.abc import Mapping, Set
from typing import Any

from sympy import (
    Abs,
    Add,
    And,
    Expr,
    Integer,
    Mul,
    NumberSymbol,
    Or,
    Piecewise,
    Pow,
    Rational,
    Symbol,
)
from sympy.core.relational import Equality, Ge, Gt, Le, Lt, Relational

from derive.errors import NotSupportedError
from derive.printing.lane_phases import Phase
from derive.printing.machine_functions import function_name
from numeric.elementary_ir import declarations_ir, function_ir

FLAGS = "contract arcp nsz reassoc"
ORDERED = "contract arcp nsz"
"""Flags where the order of sums matters: residuals at noise level."""
_COMPARE = {Gt: "ogt", Ge: "oge", Lt: "olt", Le: "ole", Equality: "oeq"}
_REGISTER = 8
"""Doubles per estimate instruction."""
_ESTIMATES = {"rcp": "llvm.x86.avx512.rcp14.pd.512", "rsqrt": "llvm.x86.avx512.rsqrt14.pd.512"}


class Writer:
    """Writes lines of LLVM IR; one instance per module, so that names are unique.

    Attributes:
        width: points per vector.
        estimates: whether reciprocals start from the processor's estimates.
        spread: whether the second of two divisions in a row is left to the multipliers.
        slots: where each lane is kept in ``%lanes``.
        fixed: where each number that is the same for all points is kept in ``%fixed``.
        kept: values that are known already.
    """

    def __init__(self, width: int, fixed: Mapping[Symbol, int]) -> None:
        self.fixed, self.scalar = fixed, "double"
        self.widths: dict[int, None] = {}
        self.resize(width)
        self.estimates = self.spread = False
        self.flags = FLAGS
        self.slots: Mapping[Symbol, int] = {}
        self.kept: dict[Symbol, str] = {}
        self.kind = self.vector
        self.lines: list[str] = []
        self.known: dict[Expr, str] = {}
        self.rough: Set[Symbol] = frozenset()
        self.functions: dict[tuple[str, int], None] = {}
        self.count = 0

    def resize(self, width: int) -> None:
        """Go on with vectors of another width."""
        self.width, self.vector = width, f"<{width} x double>"
        self.widths[width] = None

    def declarations(self) -> str:
        """Return what the module must declare, and the elementary functions that were called."""
        part = f"<{_REGISTER} x double>"
        lines = [function_ir(name, width) for name, width in self.functions]
        lines += [line for width in (*self.widths, 0) for line in declarations_ir(width)]
        names = _ESTIMATES.values() if self.estimates else ()
        lines += [f"declare {part} @{name}({part}, {part}, i8)" for name in names]
        return "\n".join([*lines, ""])

    def values(self, phase: Phase) -> list[str]:
        """Write a phase and return the names of its results."""
        self.begin(self.vector)
        busy = False
        for symbol, expr in phase.block.lines:
            divides = isinstance(expr, Pow) and expr.exp == -1
            if divides and busy and self.spread and self.estimates and expr not in self.known:
                self.known[expr] = self._reciprocal(self.value(expr.args[0]))
            self.known[symbol] = self._line(expr, symbol in phase.rough)
            busy = divides and not busy
        return [self.value(e) for e in phase.block.results]

    def any(self, value: str, tag: str) -> None:
        """Set ``%tag.bits`` to the lanes of a value that are 1."""
        half = self.splat(double(0.5))
        mask = self.new(f"fcmp ogt {self.vector} {value}, {half}")
        self.lines.append(f"%{tag}.bits = bitcast <{self.width} x i1> {mask} to i{self.width}")

    # --- memory ----------------------------------------------------------------------------------

    def begin(self, kind: str) -> None:
        """Start a piece of text; what was computed before is not visible in it."""
        self.kind, self.lines, self.known = kind, [], {}

    def end(self) -> str:
        """Return the piece of text."""
        return "\n".join(f"  {line}" for line in self.lines)

    def new(self, text: str) -> str:
        """Write an instruction under a new name and return the name."""
        name = f"%v{self.count}"
        self.count += 1
        self.lines.append(f"{name} = {text}")
        return name

    def row(self, array: str, row: int, place: str = "%base") -> str:
        """Return the address of a place in a row of an array of shape (rows, size)."""
        offset = self.new(f"mul nsw i64 %size, {row}")
        index = self.new(f"add nsw i64 {offset}, {place}")
        return self.new(f"getelementptr inbounds double, ptr {array}, i64 {index}")

    def _lane(self, slot: int) -> str:
        return self.new(f"getelementptr inbounds double, ptr %lanes, i64 {slot * self.width}")

    def store(self, slot: int, value: str) -> None:
        """Keep a value in a lane."""
        pointer = self._lane(slot)
        self.lines.append(f"store {self.vector} {value}, ptr {pointer}, align 64")

    def splat(self, value: str) -> str:
        """Return a vector of equal numbers."""
        first = self.new(f"insertelement {self.vector} poison, double {value}, i64 0")
        mask = f"<{self.width} x i32> zeroinitializer"
        return self.new(f"shufflevector {self.vector} {first}, {self.vector} poison, {mask}")

    def _number(self, value: float) -> str:
        text = double(value)
        return text if self.kind == self.scalar else self.splat(text)

    def _symbol(self, symbol: Symbol) -> str:
        if symbol in self.kept:
            return self.kept[symbol]
        if symbol in self.slots:
            pointer = self._lane(self.slots[symbol])
            return self.new(f"load {self.vector}, ptr {pointer}, align 64")
        place = self.fixed[symbol]
        pointer = self.new(f"getelementptr inbounds double, ptr %fixed, i64 {place}")
        return self.splat(self.new(f"load double, ptr {pointer}, align 8"))

    # --- expressions -----------------------------------------------------------------------------

    def value(self, expr: Any) -> str:
        """Write an expression, each distinct one once per phase, and return its name."""
        if expr not in self.known:
            self.known[expr] = self._value(expr)
        return self.known[expr]

    def _value(self, expr: Any) -> str:
        if isinstance(expr, Symbol):
            return self._symbol(expr)
        if isinstance(expr, Integer | Rational):
            return self._number(int(expr.p) / int(expr.q))
        if isinstance(expr, Add):
            return self._sum(expr)
        if isinstance(expr, Mul):
            return self._product(expr)
        if isinstance(expr, Pow):
            return self._power(expr)
        if isinstance(expr, Abs):
            return self._function("fabs", self.value(expr.args[0]))
        if isinstance(expr, Piecewise):
            return self._selection(expr)
        if isinstance(expr, NumberSymbol):
            return self._number(float(expr))
        if function_name(expr):
            return self._called(function_name(expr), *(self.value(a) for a in expr.args))
        raise NotSupportedError(
            f"vector code for {type(expr).__name__}", str(expr), 'use method="scalar"'
        )

    def _binary(self, operation: str, a: str, b: str) -> str:
        return self.new(f"{operation} {self.flags} {self.kind} {a}, {b}")

    def _sum(self, expr: Any) -> str:
        terms = sorted(expr.args, key=lambda t: (t.could_extract_minus_sign(), str(t)))
        total = self.value(terms[0])
        for term in terms[1:]:
            if term.could_extract_minus_sign():
                total = self._binary("fsub", total, self.value(-term))
            else:
                total = self._binary("fadd", total, self.value(term))
        return total

    def _product(self, expr: Any) -> str:
        if expr.args[0] == -1:
            rest = self.value(Mul(*expr.args[1:]))
            return self.new(f"fneg {self.flags} {self.kind} {rest}")
        factors = [self.value(a) for a in expr.args]
        total = factors[0]
        for factor in factors[1:]:
            total = self._binary("fmul", total, factor)
        return total

    def _line(self, expr: Any, rough: bool) -> str:
        """Write a line; a rough one is a reciprocal or a root to about eight digits."""
        if rough and self.estimates and isinstance(expr, Pow) and expr not in self.known:
            if expr.exp == -1:
                self.known[expr] = self._rough_reciprocal(self.value(expr.base))
            elif expr.exp == Rational(1, 2):
                self.known[expr] = self._rough_root(self.value(expr.base))
        return self.value(expr)

    def _power(self, expr: Any) -> str:
        base, exponent = expr.args
        if isinstance(base, NumberSymbol) and exponent.is_Rational:
            return self._number(float(expr))
        if function_name(expr):
            return self._called("pow", self.value(base), self.value(exponent))
        if exponent.is_negative:
            return self._binary("fdiv", self._number(1.0), self.value(Pow(base, -exponent)))
        if not exponent.is_Integer:
            root = self._function("sqrt", self.value(base))
            if exponent == Rational(1, 2):
                return root
            rest = self.value(Pow(base, exponent - Rational(1, 2)))
            return self._binary("fmul", root, rest)
        value = total = self.value(base)
        for _ in range(int(exponent) - 1):
            total = self._binary("fmul", total, value)
        return total

    def _called(self, name: str, *values: str) -> str:
        """Write the call of an elementary function, which ``declarations`` then defines."""
        width = 0 if self.kind == self.scalar else self.width
        self.functions[f"v{name}", width] = None
        arguments = ", ".join(f"{self.kind} {value}" for value in values)
        return self.new(f"call {self.kind} @v{name}.{width}({arguments})")

    def _function(self, name: str, value: str) -> str:
        suffix = "f64" if self.kind == self.scalar else f"v{self.width}f64"
        return self.new(f"call {self.flags} {self.kind} @llvm.{name}.{suffix}({self.kind} {value})")

    def _estimate(self, name: str, value: str) -> str:
        """Apply an estimate instruction register by register."""
        part, parts = f"<{_REGISTER} x double>", []
        for first in range(0, self.width, _REGISTER):
            mask = ", ".join(f"i32 {first + k}" for k in range(_REGISTER))
            piece = self.new(
                f"shufflevector {self.vector} {value}, {self.vector} poison, "
                f"<{_REGISTER} x i32> <{mask}>"
            )
            call = f"call {part} @{_ESTIMATES[name]}({part} {piece}, {part} zeroinitializer, i8 -1)"
            parts.append(self.new(call))
        size = _REGISTER
        while len(parts) > 1:
            mask = ", ".join(f"i32 {k}" for k in range(2 * size))
            both = f"<{size} x double>"
            parts = [
                self.new(f"shufflevector {both} {a}, {both} {b}, <{2 * size} x i32> <{mask}>")
                for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
            size *= 2
        return parts[0]

    def _fma(self, a: str, b: str, c: str) -> str:
        v = self.vector
        return self.new(f"call {v} @llvm.fma.v{self.width}f64({v} {a}, {v} {b}, {v} {c})")

    def _rough_reciprocal(self, value: str) -> str:
        """Estimate 1/value and improve it: a step squares the error."""
        y = self._estimate("rcp", value)
        error = self._fma(self.new(f"fneg {self.vector} {value}"), y, self._number(1.0))
        return self._fma(y, error, y)

    def _reciprocal(self, value: str) -> str:
        """Return 1/value to the last digit or its neighbour, without the divider."""
        y = self._rough_reciprocal(value)
        error = self._fma(self.new(f"fneg {self.vector} {value}"), y, self._number(1.0))
        return self._fma(y, error, y)

    def _rough_root(self, value: str) -> str:
        """Return value times an estimate of its inverse root, after one step."""
        y = self._estimate("rsqrt", value)
        root = self.new(f"fmul {self.vector} {value}, {y}")
        minus = self.new(f"fneg {self.vector} {root}")
        error = self._fma(minus, y, self._number(1.0))
        half = self.new(f"fmul {self.vector} {root}, {self._number(0.5)}")
        return self._fma(half, error, root)

    def _selection(self, expr: Any) -> str:
        *pieces, (last, _) = expr.args
        total = self.value(last)
        mask = "i1" if self.kind == self.scalar else f"<{self.width} x i1>"
        for value, test in reversed(pieces):
            condition, chosen = self._condition(test), self.value(value)
            total = self.new(
                f"select {mask} {condition}, {self.kind} {chosen}, {self.kind} {total}"
            )
        return total

    def _condition(self, test: Any) -> str:
        if isinstance(test, Relational):
            a, b = self.value(test.lhs), self.value(test.rhs)
            return self.new(f"fcmp {_COMPARE[type(test)]} {self.kind} {a}, {b}")
        if isinstance(test, And | Or):
            mask = "i1" if self.kind == self.scalar else f"<{self.width} x i1>"
            operation = "and" if isinstance(test, And) else "or"
            names = [self._condition(a) for a in sorted(test.args, key=str)]
            total = names[0]
            for name in names[1:]:
                total = self.new(f"{operation} {mask} {total}, {name}")
            return total
        raise NotSupportedError("vector code for a condition", str(test), 'use method="scalar"')


def double(value: float) -> str:
    """Return a double as LLVM writes it exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
