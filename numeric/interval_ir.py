"""The interval code of an enclosure as vector LLVM IR.

Stage: lines of ``derive.printing.interval_code`` in, the text of one LLVM module out. The lines are
assignments of arithmetic, comparisons and selections on doubles; each becomes vector instructions.
The only flag is ``contract``, which those lines allow: a product and a sum may be fused.
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
_CONSTANTS = {"UNIT": UNIT, "GROW": GROW, "TINY": TINY, "INF": math.inf}
_ARITHMETIC = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_LOGIC = {ast.BitAnd: "and", ast.BitOr: "or"}
_ORDER = {ast.Lt: "olt", ast.Gt: "ogt"}


def interval_ir(
    name: str,
    constants: Sequence[str],
    inputs: Sequence[str],
    lines: Sequence[str],
    results: Sequence[str],
    width: int,
) -> str:
    """Return LLVM IR of ``run(inputs, constants, out, size, first, last)``.

    Args:
        name: what is proved, for the heading.
        constants: names of the entries of ``constants``.
        inputs: names of the rows of ``inputs``.
        lines: assignments in order.
        results: texts of what goes to the rows of ``out``.
        width: points per block.
    """
    writer = Writer(width, {})
    writer.begin(writer.vector)
    known = {}
    for k, constant in enumerate(constants):
        pointer = writer.new(f"getelementptr inbounds double, ptr %constants, i64 {k}")
        known[constant] = writer.splat(writer.new(f"load double, ptr {pointer}, align 8"))
    call = writer.end()
    writer.begin(writer.vector)
    for k, row in enumerate(inputs):
        place = writer.row("%inputs", k)
        known[row] = writer.new(f"load {writer.vector}, ptr {place}, align 8")
    code = _Code(writer, known)
    for line in lines:
        code.assign(line)
    for k, text in enumerate(results):
        value = code.value(ast.parse(text, mode="eval").body)
        writer.lines.append(f"store {writer.vector} {value}, ptr {writer.row('%out', k)}, align 8")
    text = _TEMPLATE.format(name=name, call=call, width=width, body=writer.end())
    return text + writer.declarations()


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
            case ast.Call(func=function, args=[argument]):
                root = "fabs" if isinstance(function, ast.Name) else "sqrt"
                vector, kind = self.writer.vector, f"v{self.writer.width}f64"
                value = self.value(argument)
                return self.writer.new(f"call {vector} @llvm.{root}.{kind}({vector} {value})")
            case ast.IfExp(test=test, body=body, orelse=other):
                mask, yes, no = self.condition(test), self.value(body), self.value(other)
                vector, bits = self.writer.vector, f"<{self.writer.width} x i1>"
                return self.writer.new(f"select {bits} {mask}, {vector} {yes}, {vector} {no}")
        raise NotSupportedError("interval code", ast.unparse(node), "report the program")

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
