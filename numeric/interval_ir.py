"""The interval code of an enclosure as vector LLVM IR.

Stage: lines of ``derive.printing.enclosure_steps`` in, the text of one LLVM module out. The lines
are assignments of arithmetic, comparisons and selections on doubles; each becomes vector
instructions. The only flag is ``contract``, which those lines allow: a product and a sum may be
fused. Rows are given by their addresses, so that nothing has to be copied together.

``estimate(x)`` and ``inverse(x)`` are divisions, or where the processor estimates reciprocals y of
relative error e, |e| <= 2^-14 (AVX-512): the estimate itself, and two steps y + y (1 - x y) with
fused operations. The defect 1 - x y is exact but for one rounding of itself, so that a step squares
the error and adds 2^-53 of its result and as much of the old error: below 2^-28 + 2^-52, then below
1.2 2^-53. Both hold for sizes between 2^-1000 and 2^1000, where no number on the way is subnormal.
"""

import ast
import math
from collections.abc import Mapping, Sequence

from derive.errors import NotSupportedError
from derive.printing.interval_code import GROW, TINY, UNIT
from numeric.vector_writer import Writer, double

_TEMPLATE = """; Generated from the proof of {name}; do not edit.
define void @run(ptr noalias %inputs, ptr noalias %constants, ptr noalias %out,
                 i64 %size, i64 %first, i64 %last) {{
entry:
{call}
  %any = icmp slt i64 %first, %last
  br i1 %any, label %block, label %done

block:
  %b = phi i64 [ %first, %entry ], [ %b.next, %block ]
  %base = mul nsw i64 %b, {width}
{body}
  %b.next = add nsw i64 %b, 1
  %b.more = icmp slt i64 %b.next, %last
  br i1 %b.more, label %block, label %done

done:
  ret void
}}
"""
_REGISTER = 8
_ESTIMATE = "llvm.x86.avx512.rcp14.pd.512"
_CONSTANTS = {"UNIT": UNIT, "GROW": GROW, "TINY": TINY, "INF": math.inf}
_ARITHMETIC = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_LOGIC = {ast.BitAnd: "and", ast.BitOr: "or"}
_ORDER = {ast.Lt: "olt", ast.Gt: "ogt", ast.GtE: "oge", ast.LtE: "ole"}


def interval_ir(
    name: str,
    constants: Sequence[str],
    inputs: Sequence[str],
    lines: Sequence[str],
    results: Sequence[str],
    width: int,
    estimates: bool = False,
) -> str:
    """Return LLVM IR of ``run(inputs, constants, out, size, first, last)``.

    ``inputs`` and ``out`` point to addresses of rows; the first row of ``out`` holds bytes, the
    others doubles. Blocks first, ..., last - 1 of ``width`` points are done; ``size`` is not used.

    Args:
        name: what is proved, for the heading.
        constants: names of the entries of ``constants``.
        inputs: names of the rows of ``inputs``.
        lines: assignments in order.
        results: texts of what goes to the rows of ``out``.
        width: points per block.
        estimates: whether the processor has AVX-512; then width must be 8.
    """
    writer = Writer(width, {})
    writer.estimates = estimates and width == _REGISTER
    writer.begin(writer.vector)
    known = {}
    for k, constant in enumerate(constants):
        pointer = writer.new(f"getelementptr inbounds double, ptr %constants, i64 {k}")
        known[constant] = writer.splat(writer.new(f"load double, ptr {pointer}, align 8"))
    rows = [_row(writer, "%inputs", k) for k in range(len(inputs))]
    places = [_row(writer, "%out", k) for k in range(len(results))]
    call = writer.end()
    writer.begin(writer.vector)
    for text, row in zip(inputs, rows, strict=True):
        place = writer.new(f"getelementptr inbounds double, ptr {row}, i64 %base")
        known[text] = writer.new(f"load {writer.vector}, ptr {place}, align 8")
    code = _Code(writer, known)
    for line in lines:
        code.assign(line)
    values = [code.value(ast.parse(text, mode="eval").body) for text in results]
    kind, element = f"<{width} x i8>", "i8"
    values[0] = writer.new(f"fptosi {writer.vector} {values[0]} to {kind}")
    for value, row in zip(values, places, strict=True):
        place = writer.new(f"getelementptr inbounds {element}, ptr {row}, i64 %base")
        writer.lines.append(f"store {kind} {value}, ptr {place}, align {1 + 7 * (element != 'i8')}")
        kind, element = writer.vector, writer.scalar
    text = _TEMPLATE.format(name=name, call=call, width=width, body=writer.end())
    return text + writer.declarations()


def _row(writer: Writer, array: str, k: int) -> str:
    pointer = writer.new(f"getelementptr inbounds ptr, ptr {array}, i64 {k}")
    return writer.new(f"load ptr, ptr {pointer}, align 8")


class _Code:
    """Translates assignments into instructions."""

    def __init__(self, writer: Writer, known: Mapping[str, str]) -> None:
        self.writer, self.known = writer, dict(known)
        self.numbers: dict[float, str] = {}

    def assign(self, line: str) -> None:
        """Write one assignment to a name."""
        (node,) = ast.parse(line).body
        assert isinstance(node, ast.Assign), line
        (target,) = node.targets
        assert isinstance(target, ast.Name), line
        self.known[target.id] = self.value(node.value)

    def value(self, node: ast.expr) -> str:
        """Write an expression and return the name of its value."""
        match node:
            case ast.Name(id=key):
                return self.known[key] if key in self.known else self.number(_CONSTANTS[key])
            case ast.Constant(value=float(number)):
                return self.number(number)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return self.writer.new(f"fneg {self.writer.vector} {self.value(inner)}")
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _ARITHMETIC:
                a, b = self.value(left), self.value(right)
                kind = _ARITHMETIC[type(operation)]
                return self.writer.new(f"{kind} contract {self.writer.vector} {a}, {b}")
            case ast.Call(func=ast.Name(id="estimate"), args=[argument]):
                return self._estimate(self.value(argument))
            case ast.Call(func=ast.Name(id="inverse"), args=[argument]):
                return self._inverse(self.value(argument))
            case ast.Call(func=ast.Name(id="scale"), args=[argument]):
                return self._scale(self.value(argument))
            case ast.Call(func=ast.Name(id=name), args=[argument]) if name.startswith("guess_"):
                return self._guess(name.removeprefix("guess_"), self.value(argument))
            case ast.Call(func=function, args=[argument]):
                root = "fabs" if isinstance(function, ast.Name) else "sqrt"
                return self._call(root, self.value(argument))
            case ast.IfExp(test=test, body=body, orelse=other):
                mask, yes, no = self.condition(test), self.value(body), self.value(other)
                vector, bits = self.writer.vector, f"<{self.writer.width} x i1>"
                return self.writer.new(f"select {bits} {mask}, {vector} {yes}, {vector} {no}")
        raise NotSupportedError("interval code", ast.unparse(node), "report the program")

    def _call(self, name: str, *values: str) -> str:
        vector, kind = self.writer.vector, f"v{self.writer.width}f64"
        given = ", ".join(f"{vector} {v}" for v in values)
        return self.writer.new(f"call {vector} @llvm.{name}.{kind}({given})")

    def _scale(self, value: str) -> str:
        """Return 2^k for whole numbers k of the range of exponents, made from its bits."""
        whole = f"<{self.writer.width} x i64>"
        k = self.writer.new(f"fptosi {self.writer.vector} {value} to {whole}")
        bias, shift = (f"<{', '.join([f'i64 {n}'] * self.writer.width)}>" for n in (1023, 52))
        biased = self.writer.new(f"add {whole} {k}, {bias}")
        bits = self.writer.new(f"shl {whole} {biased}, {shift}")
        return self.writer.new(f"bitcast {whole} {bits} to {self.writer.vector}")

    def _guess(self, name: str, value: str) -> str:
        """Call an elementary function; nothing that is proved rests on its accuracy."""
        vector, width = self.writer.vector, self.writer.width
        self.writer.functions[f"v{name}", width] = None
        return self.writer.new(f"call {vector} @v{name}.{width}({vector} {value})")

    def _estimate(self, value: str) -> str:
        vector = self.writer.vector
        if not self.writer.estimates:
            return self.writer.new(f"fdiv {vector} {self.number(1.0)}, {value}")
        given = f"{vector} {value}, {vector} zeroinitializer, i8 -1"
        return self.writer.new(f"call {vector} @{_ESTIMATE}({given})")

    def _inverse(self, value: str) -> str:
        y = self._estimate(value)
        if not self.writer.estimates:
            return y
        minus = self.writer.new(f"fneg {self.writer.vector} {value}")
        for _ in range(2):
            y = self._call("fma", y, self._call("fma", minus, y, self.number(1.0)), y)
        return y

    def condition(self, node: ast.expr) -> str:
        """Write a condition and return the name of its mask."""
        match node:
            case ast.Compare(left=left, ops=[order], comparators=[right]) if type(order) in _ORDER:
                a, b = self.value(left), self.value(right)
                return self.writer.new(f"fcmp {_ORDER[type(order)]} {self.writer.vector} {a}, {b}")
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _LOGIC:
                a, b = self.condition(left), self.condition(right)
                kind = _LOGIC[type(operation)]
                return self.writer.new(f"{kind} <{self.writer.width} x i1> {a}, {b}")
        raise NotSupportedError("interval code", ast.unparse(node), "report the program")

    def number(self, value: float) -> str:
        """Return a vector of equal numbers."""
        if value not in self.numbers:
            self.numbers[value] = self.writer.splat(double(value))
        return self.numbers[value]
