"""The elementary functions as LLVM IR, over vectors or single doubles.

Stage: the text of ``elementary_text`` in, definitions of LLVM functions out. Each operation of the
text becomes one instruction; pieces are written where they are called. A multiplication and an
addition may be fused (``contract``) where the text says SCALAR; where it says EXACT, no flag is
set, since the parts of a sum or product of two doubles must come out as written.
"""

import ast
import math
import struct
from functools import lru_cache
from typing import NamedTuple

from derive.errors import InternalError
from numeric.elementary_text import function_text

_DOUBLE, _WHOLE, _TRUTH = "double", "i64", "i1"
_ON_DOUBLES = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_ON_BITS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.LShift: "shl",
    ast.RShift: "ashr",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
}
_ORDER = {ast.Lt: "olt", ast.LtE: "ole", ast.Gt: "ogt", ast.GtE: "oge", ast.Eq: "oeq"}
_INTRINSICS = {"abs": "fabs", "sqrt": "sqrt", "copysign": "copysign", "fma": "fma"}
_CASTS = {"to_bits": _WHOLE, "from_bits": _DOUBLE}


class _Value(NamedTuple):
    """A value of the text: what it is called, and the type of one lane."""

    name: str
    kind: str


_Result = _Value | tuple[_Value, ...]


def function_ir(name: str, width: int) -> str:
    """Return the definition of ``@name.WIDTH``, a function ``v...`` of ``elementary_text``.

    Args:
        name: such as "vexp".
        width: doubles per vector; 0 stands for a single double.

    Example:
        >>> function_ir("vexp", 8).splitlines()[0]
        'define internal <8 x double> @vexp.8(<8 x double> %a0) noinline {'
    """
    return _Function(name, width).text()


_ARRAYS = """define void @run(ptr noalias %inputs, ptr noalias %constants, ptr noalias %out,
                 i64 %size, i64 %first, i64 %last) {{
entry:
  %any = icmp slt i64 %first, %last
  br i1 %any, label %block, label %done

block:
  %b = phi i64 [ %first, %entry ], [ %b.next, %block ]
  %place.0 = mul nsw i64 %b, {width}
{loads}
  %value = call {kind} @{name}.{width}({arguments})
  %to = getelementptr inbounds double, ptr %out, i64 %place.0
  store {kind} %value, ptr %to, align 8
  %b.next = add nsw i64 %b, 1
  %b.more = icmp slt i64 %b.next, %last
  br i1 %b.more, label %block, label %done

done:
  ret void
}}
"""
_LOAD = """  %from.{i} = getelementptr inbounds double, ptr %inputs, i64 %place.{i}
  %x.{i} = load {kind}, ptr %from.{i}, align 8
  %place.{next} = add nsw i64 %place.{i}, %size"""


def array_ir(name: str, count: int, width: int) -> str:
    """Return a module with ``run(inputs, constants, out, size, first, last)``: one function.

    ``inputs`` has ``count`` rows of ``size`` doubles, the arguments; ``out`` has one; blocks of
    ``width`` points are run.
    """
    kind = _typed(_DOUBLE, width)
    loads = (_LOAD.format(i=i, next=i + 1, kind=kind) for i in range(count))
    arguments = ", ".join(f"{kind} %x.{i}" for i in range(count))
    run = _ARRAYS.format(
        name=name, width=width, kind=kind, loads="\n".join(loads), arguments=arguments
    )
    return "\n".join([run, function_ir(name, width), *declarations_ir(width), ""])


def declarations_ir(width: int) -> list[str]:
    """Return the declarations of what the definitions call: one vector width, 0 for scalars."""
    kind = _typed(_DOUBLE, width)
    counts = {"fabs": 1, "sqrt": 1, "copysign": 2, "fma": 3}
    return [
        f"declare {kind} @llvm.{name}.{suffix(width)}({', '.join([kind] * count)})"
        for name, count in counts.items()
    ]


def suffix(width: int) -> str:
    """Return how names of intrinsics end."""
    return f"v{width}f64" if width else "f64"


def _typed(kind: str, width: int) -> str:
    return f"<{width} x {kind}>" if width else kind


@lru_cache(maxsize=64)
def _parsed(name: str) -> tuple[ast.FunctionDef, bool]:
    """Return the syntax tree of a function, and whether products and sums may be fused."""
    (tree,) = ast.parse(function_text(name)).body
    assert isinstance(tree, ast.FunctionDef), name
    return tree, "SCALAR" in ast.unparse(tree.decorator_list[0])


class _Function:
    """Writes one function."""

    def __init__(self, name: str, width: int) -> None:
        self.name, self.width = name, width
        self.lines: list[str] = []

    def text(self) -> str:
        """Return the definition."""
        arguments = [a.arg for a in _parsed(self.name)[0].args.args]
        given = [_Value(f"%a{i}", _DOUBLE) for i in range(len(arguments))]
        result = _Body(self, self.name, given).result()
        assert isinstance(result, _Value), self.name
        kind = _typed(_DOUBLE, self.width)
        heads = ", ".join(f"{kind} {g.name}" for g in given)
        end = f"@{self.name}.{self.width}({heads}) noinline {{"
        body = "\n".join(f"  {line}" for line in self.lines)
        return f"define internal {kind} {end}\n{body}\n  ret {kind} {result.name}\n}}\n"

    def new(self, text: str, kind: str) -> _Value:
        """Write an instruction."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return _Value(name, kind)

    def typed(self, kind: str) -> str:
        """Return the type of a value."""
        return _typed(kind, self.width)

    def constant(self, text: str, kind: str) -> _Value:
        """Return a number in all lanes."""
        return _Value(f"splat ({kind} {text})" if self.width else text, kind)


class _Body:
    """Writes the operations of one call."""

    def __init__(self, function: _Function, name: str, given: list[_Value]) -> None:
        self.function = function
        self.tree, self.fused = _parsed(name)
        names = [a.arg for a in self.tree.args.args]
        self.known: dict[str, _Value] = dict(zip(names, given, strict=True))

    def result(self) -> _Result:
        """Write all lines and return what the function returns."""
        for line in self.tree.body:
            match line:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.known[name] = self.value(value)
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Call() as call):
                    found = self.call(call)
                    assert not isinstance(found, _Value), ast.unparse(line)
                    self.known |= {
                        ast.unparse(t): part for t, part in zip(names, found, strict=True)
                    }
                case ast.Return(value=ast.Tuple(elts=items)):
                    return tuple(self.value(item) for item in items)
                case ast.Return(value=ast.expr() as value):
                    return self.value(value)
        raise InternalError(f"vector code of {self.tree.name}", "it returns nothing", "report it")

    def value(self, node: ast.expr) -> _Value:
        """Write an expression."""
        match node:
            case ast.Name(id=name):
                return self.known[name]
            case ast.Constant(value=bool() | int() | float() as number):
                return self.number(number)
            case ast.Attribute(attr="inf" | "nan" as name):
                return self.number(getattr(math, name))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self.number(-number)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                a = self.value(inner)
                return self.function.new(f"fneg {self.function.typed(a.kind)} {a.name}", a.kind)
            case ast.BinOp(left=left, op=operation, right=right):
                return self.binary(type(operation), self.value(left), self.value(right))
            case ast.Compare(left=left, ops=[order], comparators=[right]):
                return self.compare(type(order), self.value(left), self.value(right))
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.select(self.value(test), self.value(body), self.value(other))
            case ast.Call():
                found = self.call(node)
                assert isinstance(found, _Value), ast.unparse(node)
                return found
        raise InternalError("vector code", f"no rule for {ast.unparse(node)}", "report it")

    def number(self, value: float) -> _Value:
        """Return a constant; integers stand for bits."""
        if isinstance(value, int):
            return self.function.constant(str(value), _WHOLE)
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        return self.function.constant(f"0x{bits:016X}", _DOUBLE)

    def binary(self, operation: type[ast.operator], a: _Value, b: _Value) -> _Value:
        """Write arithmetic on doubles, integers or truth values."""
        flag = " contract" if self.fused else ""
        name = f"{_ON_DOUBLES[operation]}{flag}" if a.kind == _DOUBLE else _ON_BITS[operation]
        kind = self.function.typed(a.kind)
        return self.function.new(f"{name} {kind} {a.name}, {b.name}", a.kind)

    def compare(self, order: type[ast.cmpop], a: _Value, b: _Value) -> _Value:
        """Write a comparison; one with NaN fails."""
        name = f"fcmp {_ORDER[order]}" if a.kind == _DOUBLE else "icmp eq"
        kind = self.function.typed(a.kind)
        return self.function.new(f"{name} {kind} {a.name}, {b.name}", _TRUTH)

    def select(self, test: _Value, yes: _Value, no: _Value) -> _Value:
        """Write a selection."""
        mask, kind = self.function.typed(_TRUTH), self.function.typed(yes.kind)
        text = f"select {mask} {test.name}, {kind} {yes.name}, {kind} {no.name}"
        return self.function.new(text, yes.kind)

    def call(self, node: ast.Call) -> _Result:
        """Write a call: a cast, an intrinsic, or another function in place."""
        function, given = self.function, [self.value(a) for a in node.args]
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        first = f"{function.typed(given[0].kind)} {given[0].name}"
        if name in _CASTS:
            kind = _CASTS[name]
            return function.new(f"bitcast {first} to {function.typed(kind)}", kind)
        if name in _INTRINSICS:
            kind = function.typed(_DOUBLE)
            listed = ", ".join(f"{kind} {g.name}" for g in given)
            target = f"@llvm.{_INTRINSICS[name]}.{suffix(function.width)}"
            return function.new(f"call {kind} {target}({listed})", _DOUBLE)
        return _Body(function, name, given).result()
