"""Many points side by side: a ``LaneProgram`` as vector LLVM IR, written out in full.

Stage: phases in, the text of one LLVM module out. Every number of a block of ``width`` points is
one vector value; there is nothing left for a compiler to guess, so it compiles in a fraction of a
second and runs at the speed of C. The text is readable and can be compared between versions.

Numbers of one point do not depend on ``width``: all operations are element by element.
"""

import struct
from collections.abc import Sequence
from typing import Any

from sympy import Abs, Add, And, Expr, Integer, Mul, Or, Piecewise, Pow, Rational, Symbol
from sympy.core.relational import Equality, Ge, Gt, Le, Lt, Relational

from derive.errors import NotSupportedError
from derive.printing.lane_phases import AGAIN, LOOSER, MAX_STEPS, ROUNDS, LaneProgram, Phase
from derive.program import UNIT

FLAGS = "contract arcp nsz reassoc"
_COMPARE = {Gt: "ogt", Ge: "oge", Lt: "olt", Le: "ole", Equality: "oeq"}

_ARGUMENTS = ", ".join(
    [*(f"ptr noalias %{n}" for n in ("inputs", "constants", "out"))]
    + [f"i64 %{n}" for n in ("size", "first", "last")]
)
_TEMPLATE = """; Generated from the program {name}; do not edit.
define void @run({arguments}) {{
entry:
  %lanes = alloca [{scratch} x double], align 64
  %fixed = alloca [{fixed} x double], align 64
{call}
  %any = icmp slt i64 %first, %last
  br i1 %any, label %block, label %done

block:
  %b = phi i64 [ %first, %entry ], [ %b.next, %next ]
  %base = mul nsw i64 %b, {width}
{load}
{setup}
  br label %tower

tower:
  %t = phi i64 [ 0, %block ], [ %t.next, %tower ]
{tower}
  %t.next = add nuw nsw i64 %t, 1
  %t.more = icmp ult i64 %t.next, {max_steps}
  %t.go = and i1 %t.left, %t.more
  br i1 %t.go, label %tower, label %between

between:
{between}
  br label %turn

turn:
  %r = phi i64 [ 0, %between ], [ %r.next, %finish ]
  %first.turn = icmp eq i64 %r, 0
  %p.steps = select i1 %first.turn, i64 {polish_steps}, i64 {again_steps}
  br label %polish

polish:
  %p = phi i64 [ 0, %turn ], [ %p.next, %polish ]
{tolerance}
{polish}
  %p.next = add nuw nsw i64 %p, 1
  %p.more = icmp ult i64 %p.next, %p.steps
  %p.go = and i1 %p.left, %p.more
  br i1 %p.go, label %polish, label %finish

finish:
{finish}
  %r.next = add nuw nsw i64 %r, 1
  %r.more = icmp ult i64 %r.next, {rounds}
  %r.go = and i1 %r.left, %r.more
  br i1 %r.go, label %turn, label %next

next:
  %b.next = add nsw i64 %b, 1
  %b.more = icmp slt i64 %b.next, %last
  br i1 %b.more, label %block, label %done

done:
  ret void
}}
"""


def vector_source(lanes: LaneProgram, width: int) -> str:
    """Return LLVM IR of ``run(inputs, constants, out, size, first, last)``; see ``numeric.lanes``.

    Raises:
        NotSupportedError: for functions other than arithmetic, roots, absolute values, selections.
    """
    slots = {symbol: k for k, symbol in enumerate(lanes.slots())}
    constants = [s for s, _ in lanes.program.constants]
    fixed = {s: k for k, s in enumerate((UNIT, *constants, *(s for s, _ in lanes.call)))}
    writer = _Writer(width, slots, fixed)
    on = lanes.on
    parts = {
        "call": writer.call(constants, lanes),
        "load": writer.load(len(lanes.program.inputs)),
        "setup": writer.phase(lanes.setup),
        "tower": writer.phase(lanes.tower, on, "t"),
        "between": writer.phase(lanes.between),
        "tolerance": writer.tolerance(lanes.tolerance),
        "polish": writer.phase(lanes.polish, on, "p"),
        "finish": writer.finish(lanes.finish, on),
    }
    text = _TEMPLATE.format(
        arguments=_ARGUMENTS,
        name=lanes.program.name,
        scratch=width * len(slots),
        fixed=max(1, len(fixed)),
        width=width,
        max_steps=MAX_STEPS,
        polish_steps=LOOSER[-1][0],
        again_steps=AGAIN[0],
        rounds=ROUNDS,
        **parts,
    )
    vector = f"<{width} x double>"
    return text + "\n".join(
        [
            f"declare {vector} @llvm.fabs.v{width}f64({vector})",
            f"declare {vector} @llvm.sqrt.v{width}f64({vector})",
            "declare double @llvm.fabs.f64(double)",
            "declare double @llvm.sqrt.f64(double)",
            "",
        ]
    )


class _Writer:
    """Writes lines of LLVM IR; one instance per module, so that names are unique."""

    def __init__(self, width: int, slots: dict[Symbol, int], fixed: dict[Symbol, int]) -> None:
        self.width, self.slots, self.fixed = width, slots, fixed
        self.vector, self.scalar = f"<{width} x double>", "double"
        self.kind = self.vector
        self.lines: list[str] = []
        self.known: dict[Expr, str] = {}
        self.kept: dict[Symbol, str] = {}
        self.count = 0

    # --- pieces of the function ------------------------------------------------------------------

    def call(self, constants: Sequence[Symbol], lanes: LaneProgram) -> str:
        """Lines once per call: constants and what depends on them alone, scalars in memory."""
        self._begin(self.scalar)
        self.known[UNIT] = _double(2.0**-53)
        for k, symbol in enumerate(constants):
            pointer = self._new(f"getelementptr inbounds double, ptr %constants, i64 {k}")
            self.known[symbol] = self._new(f"load double, ptr {pointer}, align 8")
        for symbol, expr in lanes.call:
            self.known[symbol] = self.value(expr)
        for symbol, k in self.fixed.items():
            pointer = self._new(f"getelementptr inbounds double, ptr %fixed, i64 {k}")
            self.lines.append(f"store double {self.known[symbol]}, ptr {pointer}, align 8")
        return self._end()

    def load(self, controls: int) -> str:
        """Lines that copy the controls of a block into lanes."""
        self._begin(self.vector)
        for j in range(controls):
            source = self._row("%inputs", j)
            value = self._new(f"load {self.vector}, ptr {source}, align 8")
            self._store(j, value)
        return self._end()

    def tolerance(self, symbol: Symbol) -> str:
        """Lines that choose the tolerance of a polish step."""
        self._begin(self.scalar)
        value = _double(float(LOOSER[-1][1]))
        for steps, tolerance in reversed(LOOSER[:-1]):
            test = self._new(f"icmp ult i64 %p, {steps}")
            value = self._new(
                f"select i1 {test}, double {_double(float(tolerance))}, double {value}"
            )
        again = _double(float(AGAIN[1]))
        value = self._new(f"select i1 %first.turn, double {value}, double {again}")
        self.kept[symbol] = self._splat(value)
        return self._end()

    def phase(self, phase: Phase, on: Symbol | None = None, tag: str = "") -> str:
        """Lines of one phase; with ``on`` also ``%tag.left``: whether any lane is on."""
        values = self._values(phase)
        for symbol, value in zip(phase.stores, values, strict=True):
            self._store(self.slots[symbol], value)
        if on is not None:
            self._any(values[phase.stores.index(on)], tag)
        return self._end()

    def finish(self, phase: Phase, on: Symbol) -> str:
        """Lines of the last phase, whose results go to the rows of ``out``."""
        *rows, again = self._values(phase)
        for j, value in enumerate(rows):
            target = self._row("%out", j)
            self.lines.append(f"store {self.vector} {value}, ptr {target}, align 8")
        self._store(self.slots[on], again)
        self._any(again, "r")
        return self._end()

    def _any(self, value: str, tag: str) -> None:
        """Set ``%tag.left`` to whether any lane of a value is 1."""
        half = self._splat(_double(0.5))
        mask = self._new(f"fcmp ogt {self.vector} {value}, {half}")
        bits = self._new(f"bitcast <{self.width} x i1> {mask} to i{self.width}")
        self.lines.append(f"%{tag}.left = icmp ne i{self.width} {bits}, 0")

    def _values(self, phase: Phase) -> list[str]:
        self._begin(self.vector)
        for symbol, expr in phase.block.lines:
            self.known[symbol] = self.value(expr)
        return [self.value(e) for e in phase.block.results]

    # --- memory ----------------------------------------------------------------------------------

    def _begin(self, kind: str) -> None:
        self.kind, self.lines, self.known = kind, [], {}

    def _end(self) -> str:
        return "\n".join(f"  {line}" for line in self.lines)

    def _new(self, text: str) -> str:
        name = f"%v{self.count}"
        self.count += 1
        self.lines.append(f"{name} = {text}")
        return name

    def _row(self, array: str, row: int) -> str:
        offset = self._new(f"mul nsw i64 %size, {row}")
        place = self._new(f"add nsw i64 {offset}, %base")
        return self._new(f"getelementptr inbounds double, ptr {array}, i64 {place}")

    def _lane(self, slot: int) -> str:
        return self._new(f"getelementptr inbounds double, ptr %lanes, i64 {slot * self.width}")

    def _store(self, slot: int, value: str) -> None:
        pointer = self._lane(slot)
        self.lines.append(f"store {self.vector} {value}, ptr {pointer}, align 64")

    def _splat(self, value: str) -> str:
        first = self._new(f"insertelement {self.vector} poison, double {value}, i64 0")
        mask = f"<{self.width} x i32> zeroinitializer"
        return self._new(f"shufflevector {self.vector} {first}, {self.vector} poison, {mask}")

    def _number(self, value: float) -> str:
        text = _double(value)
        return text if self.kind == self.scalar else self._splat(text)

    def _symbol(self, symbol: Symbol) -> str:
        if symbol in self.kept:
            return self.kept[symbol]
        if symbol in self.slots:
            pointer = self._lane(self.slots[symbol])
            return self._new(f"load {self.vector}, ptr {pointer}, align 64")
        place = self.fixed[symbol]
        pointer = self._new(f"getelementptr inbounds double, ptr %fixed, i64 {place}")
        return self._splat(self._new(f"load double, ptr {pointer}, align 8"))

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
        raise NotSupportedError(
            f"vector code for {type(expr).__name__}", str(expr), 'use method="scalar"'
        )

    def _binary(self, operation: str, a: str, b: str) -> str:
        return self._new(f"{operation} {FLAGS} {self.kind} {a}, {b}")

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
            return self._new(f"fneg {FLAGS} {self.kind} {rest}")
        factors = [self.value(a) for a in expr.args]
        total = factors[0]
        for factor in factors[1:]:
            total = self._binary("fmul", total, factor)
        return total

    def _power(self, expr: Any) -> str:
        base, exponent = expr.as_base_exp()
        if exponent.is_negative:
            return self._binary("fdiv", self._number(1.0), self.value(Pow(base, -exponent)))
        if exponent == Rational(1, 2):
            return self._function("sqrt", self.value(base))
        if exponent.is_Integer:
            value = total = self.value(base)
            for _ in range(int(exponent) - 1):
                total = self._binary("fmul", total, value)
            return total
        raise NotSupportedError("vector code for a power", str(expr), 'use method="scalar"')

    def _function(self, name: str, value: str) -> str:
        suffix = "f64" if self.kind == self.scalar else f"v{self.width}f64"
        return self._new(f"call {FLAGS} {self.kind} @llvm.{name}.{suffix}({self.kind} {value})")

    def _selection(self, expr: Any) -> str:
        *pieces, (last, _) = expr.args
        total = self.value(last)
        mask = "i1" if self.kind == self.scalar else f"<{self.width} x i1>"
        for value, test in reversed(pieces):
            condition, chosen = self._condition(test), self.value(value)
            total = self._new(
                f"select {mask} {condition}, {self.kind} {chosen}, {self.kind} {total}"
            )
        return total

    def _condition(self, test: Any) -> str:
        if isinstance(test, Relational):
            a, b = self.value(test.lhs), self.value(test.rhs)
            return self._new(f"fcmp {_COMPARE[type(test)]} {self.kind} {a}, {b}")
        if isinstance(test, And | Or):
            mask = "i1" if self.kind == self.scalar else f"<{self.width} x i1>"
            operation = "and" if isinstance(test, And) else "or"
            names = [self._condition(a) for a in sorted(test.args, key=str)]
            total = names[0]
            for name in names[1:]:
                total = self._new(f"{operation} {mask} {total}, {name}")
            return total
        raise NotSupportedError("vector code for a condition", str(test), 'use method="scalar"')


def _double(value: float) -> str:
    """Return a double as LLVM writes it exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
