"""Proofs of many points as LLVM IR over FLINT's balls.

Stage: the proof blocks of a triangular Program in, the text of a module with ``prove`` and
``release`` out; ``ball_points`` fills its memory and calls it. The steps are those of
``proof.Engine``; what is not proved here is left to it.

The workspace holds, in this order, controls and constants, points m, boxes, steps d, sizes,
results, and then what the lines of the blocks need.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Expr, Symbol

from derive.block import Block, symbols_of
from derive.printing.ball_code import proof_blocks
from derive.program import Program
from numeric.ball_calls import BallWriter
from numeric.ball_library import BALL, PREFIX, signatures

WORDS = 4
"""Words of a stored ball before its limbs: size with sign, exponent, radius exponent, radius."""
PLAN = ("points", "bits", "steps", "limbs", "rows", "everything")
"""Words of the plan of a run; after them the precision of each Newton step."""
RUN = ("w", "text", "offsets", "starts", "words", "todo", "accuracy", "mids", "plan")
"""Addresses that ``prove`` takes, then the first point and the one after the last."""
_TRIES = 3
"""Inclusions about points that move on, as where a control has fewer digits than its double."""


@dataclass(frozen=True)
class BallCode:
    """A generated module.

    Attributes:
        source: LLVM IR.
        places: balls of the workspace.
        numbers: place and value of each number that must be enclosed before a run.
        size: place of the relative size of boxes, and after it of the ball about 1 of that radius.
        needed: whether each control matters to unknowns.
    """

    source: str
    places: int
    numbers: tuple[tuple[int, Expr], ...]
    size: int
    needed: tuple[bool, ...]


def ball_code(program: Program) -> BallCode:
    """Return the module that proves roots of a triangular program.

    Raises:
        NotSupportedError: for functions that have no call here.
    """
    blocks, n = proof_blocks(program), len(program.unknowns)
    writer, names = BallWriter(), blocks["inclusion"].inputs
    given, unknowns, at = names[: -2 * n], names[-2 * n : -n], names[-n:]
    count = len(program.inputs)
    controls, points, boxes, steps = (writer.take(k) for k in (len(given), n, n, n))
    size, limits = writer.take(2), writer.take(n)
    results = {name: writer.take(len(b.results)) for name, b in blocks.items()}
    roots = results["inclusion"]
    known = {s: controls + k for k, s in enumerate(given)}
    at_box = known | {s: boxes + k for k, s in enumerate(unknowns)}
    at_box |= {s: points + k for k, s in enumerate(at)}
    at_root = known | {s: roots + k for k, s in enumerate(unknowns)}
    functions = [writer.function("inclusion", blocks["inclusion"], at_box, steps)]
    functions += [
        writer.function(name, block, at_root, results[name])
        for name, block in blocks.items()
        if name != "inclusion"
    ]
    constants = [(known[s], e) for s, e in program.constants]
    memory = _Memory(
        controls=range(controls, controls + count),
        points=range(points, points + n),
        boxes=range(boxes, boxes + n),
        steps=range(steps, steps + n),
        limits=range(limits, limits + n),
        roots=range(roots, roots + n),
        conditions=_range(results["conditions"], blocks["conditions"]),
        others=(
            *_range(results["outputs"], blocks["outputs"]),
            *_range(results["slopes"], blocks["slopes"]),
        ),
        size=size,
        places=writer.places,
    )
    source = "\n".join([_declarations(), _HELPERS, *functions, _driver(memory)])
    numbers = (*constants, *((place, e) for e, place in writer.numbers.items()))
    matters = _symbols(blocks["inclusion"]) | _symbols(blocks["conditions"])
    needed = tuple(s in matters for s in given[:count])
    return BallCode(source, writer.places, numbers, size, needed)


def _symbols(block: Block) -> set[Symbol]:
    exprs = (*(e for _, e in block.lines), *block.results)
    return {s for e in exprs for s in symbols_of(e)}


def _range(first: int, block: Block) -> range:
    return range(first, first + len(block.results))


def _declarations() -> str:
    lines = [
        f"declare {result} @{PREFIX}{name}({', '.join(given)})"
        for name, (result, given, _) in signatures().items()
    ]
    return "\n".join([*lines, ""])


@dataclass(frozen=True)
class _Memory:
    """Which places hold what; ``size`` is that of boxes, and after it the ball about 1."""

    controls: range
    points: range
    boxes: range
    steps: range
    limits: range
    roots: range
    conditions: range
    others: tuple[int, ...]
    size: int
    places: int


_HELPERS = f"""
define internal void @choose(i1 %yes, i1 %no, ptr %z, ptr %a, ptr %b, i64 %p) {{
  br i1 %yes, label %first, label %else
first:
  call void @{PREFIX}set(ptr %z, ptr %a)
  ret void
else:
  br i1 %no, label %second, label %both
second:
  call void @{PREFIX}set(ptr %z, ptr %b)
  ret void
both:
  call void @{PREFIX}union(ptr %z, ptr %a, ptr %b, i64 %p)
  ret void
}}

define internal i1 @store(ptr %x, ptr %out, i64 %limbs) {{
  %exponent = load i64, ptr %x
  %sizeat = getelementptr i64, ptr %x, i64 1
  %size = load i64, ptr %sizeat
  %inside = getelementptr i64, ptr %x, i64 2
  %apartat = getelementptr i64, ptr %x, i64 3
  %radiusat = getelementptr i64, ptr %x, i64 4
  %radius = load i64, ptr %radiusat
  %widthat = getelementptr i64, ptr %x, i64 5
  %width = load i64, ptr %widthat
  %count = lshr i64 %size, 1
  %short = icmp ule i64 %count, 2
  %apart = load ptr, ptr %apartat
  %from = select i1 %short, ptr %inside, ptr %apart
  %top = ashr i64 %exponent, 62
  %rtop = ashr i64 %radius, 62
  %large = icmp eq i64 %top, 1
  %rlarge = icmp eq i64 %rtop, 1
  %long = icmp ugt i64 %count, %limbs
  %no = or i1 %large, %rlarge
  %bad = or i1 %no, %long
  br i1 %bad, label %refuse, label %keep
refuse:
  ret i1 false
keep:
  store i64 %size, ptr %out
  %out1 = getelementptr i64, ptr %out, i64 1
  store i64 %exponent, ptr %out1
  %out2 = getelementptr i64, ptr %out, i64 2
  store i64 %radius, ptr %out2
  %out3 = getelementptr i64, ptr %out, i64 3
  store i64 %width, ptr %out3
  br label %head
head:
  %k = phi i64 [ 0, %keep ], [ %next, %copy ]
  %more = icmp ult i64 %k, %count
  br i1 %more, label %copy, label %done
copy:
  %source = getelementptr i64, ptr %from, i64 %k
  %limb = load i64, ptr %source
  %place = add i64 %k, {WORDS}
  %target = getelementptr i64, ptr %out, i64 %place
  store i64 %limb, ptr %target
  %next = add i64 %k, 1
  br label %head
done:
  ret i1 true
}}
"""


class _Driver(BallWriter):
    """Writes the loop over points."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self.memory = memory

    def label(self, name: str) -> None:
        """Start a basic block."""
        self.lines.append(f"{name}:")

    def at(self, name: str, *places: int, bits: str = "%bits") -> str:
        """Write a call at a precision and return the instruction's text."""
        given = [f"ptr {self.place(k)}" for k in places]
        result, arguments, _ = signatures()[name]
        given += [f"i64 {bits}"] if arguments[-1] == "i64" else []
        return f"call {result} @{PREFIX}{name}({', '.join(given)})"

    def do(self, name: str, *places: int, bits: str = "%bits") -> None:
        """Write a call without a result."""
        text = self.at(name, *places, bits=bits)
        self.lines.append(text)

    def holds(self, name: str, *places: int) -> str:
        """Write a test and return an i1."""
        text = self.at(name, *places)
        return self.new(f"icmp ne i32 {self.new(text)}, 0")

    def all(self, flags: Sequence[str]) -> str:
        """Return the conjunction of tests."""
        total = flags[0]
        for flag in flags[1:]:
            total = self.new(f"and i1 {total}, {flag}")
        return total

    def read(self) -> str:
        """Set controls and points of point %i, and return whether all controls were numbers."""
        codes: list[str] = []
        count = len(self.memory.controls)
        row = self.new(f"mul i64 %i, {count}")
        for k, place in enumerate(self.memory.controls):
            index = self.new(f"add i64 {row}, {k}")
            where = self.new(f"getelementptr i64, ptr %offsets, i64 {index}")
            offset = self.new(f"load i64, ptr {where}")
            text = self.new(f"getelementptr i8, ptr %text, i64 {offset}")
            given = f"ptr {self.place(place)}, ptr {text}, i64 %bits"
            codes.append(self.new(f"call i32 @{PREFIX}set_str({given})"))
        for k, place in enumerate(self.memory.points):
            offset = self.new(f"mul i64 %points, {k}")
            index = self.new(f"add i64 {offset}, %i")
            source = self.new(f"getelementptr double, ptr %starts, i64 {index}")
            start = self.new(f"load double, ptr {source}")
            self.lines.append(f"call void @{PREFIX}set_d(ptr {self.place(place)}, double {start})")
        return self.all([self.new(f"icmp eq i32 {code}, 0") for code in codes])

    def refine(self) -> None:
        """Write one Newton step of all points, at precision %p."""
        m = self.memory
        for box, point in zip(m.boxes, m.points, strict=True):
            self.do("set", box, point)
        self.lines.append("call void @inclusion(ptr %w, i64 %p)")
        for point, step in zip(m.points, m.steps, strict=True):
            self.do("add", point, point, step, bits="%p")
            self.do("mid", point, point)

    def include(self) -> str:
        """Write the inclusion, and return whether root and conditions are proved."""
        m = self.memory
        for box, limit, point in zip(m.boxes, m.limits, m.points, strict=True):
            self.do("mul", box, point, m.size + 1)
            self.do("abs", limit, point)
            self.do("mul", limit, limit, m.size)
        self.lines.append("call void @inclusion(ptr %w, i64 %bits)")
        flags = []
        for root, point, step, limit in zip(m.roots, m.points, m.steps, m.limits, strict=True):
            self.do("add", root, point, step)
            self.do("abs", step, step)
            flags.append(self.holds("lt", step, limit))
        self.lines.append("call void @conditions(ptr %w, i64 %bits)")
        return self.all([*flags, *(self.holds("positive", k) for k in m.conditions)])

    def keep(self, places: Sequence[int], first: int, least: str) -> tuple[str, str]:
        """Store results of the point, and return the fewest bits and whether all were stored."""
        flags = []
        for row, place in enumerate(places, first):
            index = self.new(f"add i64 %row, {row}")
            offset = self.new(f"mul i64 {index}, %words_each")
            out = self.new(f"getelementptr i64, ptr %words, i64 {offset}")
            ball = self.place(place)
            flags.append(self.holds("finite", place))
            flags.append(self.new(f"call i1 @store(ptr {ball}, ptr {out}, i64 %limbs)"))
            middle = self.new(f"call double @{PREFIX}get_d(ptr {ball}, i32 4)")
            target = self.new(f"getelementptr double, ptr %mids, i64 {index}")
            self.lines.append(f"store double {middle}, ptr {target}")
            bits = self.new(f"call i64 @{PREFIX}accuracy(ptr {ball})")
            fewer = self.new(f"icmp slt i64 {bits}, {least}")
            least = self.new(f"select i1 {fewer}, i64 {bits}, i64 {least}")
        return least, self.all(flags)

    def loop(self) -> None:
        """Write the beginning of the loop over points."""
        for k, name in enumerate(PLAN):
            source = self.new(f"getelementptr i64, ptr %plan, i64 {k}")
            self.lines.append(f"%{name} = load i64, ptr {source}")
        self.lines += [f"%words_each = add i64 %limbs, {WORDS}", "br label %head"]
        self.label("head")
        self.lines += [
            "%i = phi i64 [ %first, %entry ], [ %next, %latch ]",
            "%more = icmp slt i64 %i, %last",
            "br i1 %more, label %look, label %done",
        ]
        self.label("look")
        self.lines += [
            "%todoat = getelementptr i8, ptr %todo, i64 %i",
            "%flag = load i8, ptr %todoat",
            "%open = icmp eq i8 %flag, 1",
            "br i1 %open, label %begin, label %latch",
        ]
        self.label("begin")
        self.lines.append("%row = mul i64 %i, %rows")
        self.lines.append(f"br i1 {self.read()}, label %newton, label %latch")

    def newton(self) -> None:
        """Write the Newton steps, each at its precision."""
        self.label("newton")
        self.lines += [
            "%k = phi i64 [ 0, %begin ], [ %k1, %step ]",
            "%again = icmp slt i64 %k, %steps",
            "br i1 %again, label %step, label %try",
        ]
        self.label("step")
        self.lines += [
            f"%pk = add i64 %k, {len(PLAN)}",
            "%pat = getelementptr i64, ptr %plan, i64 %pk",
            "%p = load i64, ptr %pat",
        ]
        self.refine()
        self.lines += ["%k1 = add i64 %k, 1", "br label %newton"]

    def tries(self) -> None:
        """Write the inclusion, about a point that moves on where it fails."""
        self.label("try")
        self.lines.append("%t = phi i64 [ 0, %newton ], [ %t1, %move ]")
        proved = self.include()
        self.lines.append(f"br i1 {proved}, label %root, label %retry")
        self.label("retry")
        self.lines += [
            "%t1 = add i64 %t, 1",
            f"%left = icmp slt i64 %t1, {_TRIES}",
            "br i1 %left, label %move, label %latch",
        ]
        self.label("move")
        for point, root in zip(self.memory.points, self.memory.roots, strict=True):
            self.do("mid", point, root)
        self.lines.append("br label %try")

    def results(self) -> None:
        """Write what follows a proof: outputs and slopes, and where everything is kept."""
        self.label("root")
        least, stored = self.keep(self.memory.roots, 0, "%bits")
        self.lines += [
            "%wanted = icmp ne i64 %everything, 0",
            "br i1 %wanted, label %carry, label %end",
        ]
        self.label("carry")
        self.lines += [f"call void @{name}(ptr %w, i64 %bits)" for name in ("outputs", "slopes")]
        fewest, kept = self.keep(self.memory.others, len(self.memory.roots), least)
        both = self.new(f"and i1 {stored}, {kept}")
        self.lines.append("br label %end")
        self.label("end")
        self.lines += [
            f"%fewest = phi i64 [ {least}, %root ], [ {fewest}, %carry ]",
            f"%right = phi i1 [ {stored}, %root ], [ {both}, %carry ]",
            "br i1 %right, label %write, label %latch",
        ]
        self.label("write")
        self.lines += [
            "store i8 0, ptr %todoat",
            "%accuracyat = getelementptr i64, ptr %accuracy, i64 %i",
            "store i64 %fewest, ptr %accuracyat",
            "br label %latch",
        ]


def _driver(memory: _Memory) -> str:
    """Return ``prove`` and ``release``.

    ``prove`` goes through the points whose byte in ``todo`` is 1 and makes it 0 where everything is
    proved and stored. ``offsets`` says where in ``text`` the controls of each point are written;
    ``starts`` has shape (unknowns, points), ``words`` (points, results, WORDS + limbs), ``mids``
    (points, results).
    """
    d = _Driver(memory)
    d.loop()
    d.newton()
    d.tries()
    d.results()
    d.label("latch")
    d.lines += ["%next = add i64 %i, 1", "br label %head"]
    d.label("done")
    d.lines.append("ret void")
    body = "\n".join(d.lines)
    given = ", ".join(f"ptr %{n}" for n in RUN)
    return f"""define void @prove({given}, i64 %first, i64 %last) {{
entry:
{body}
}}

define void @release(ptr %w) {{
entry:
  br label %head
head:
  %k = phi i64 [ 0, %entry ], [ %next, %head ]
  %offset = mul i64 %k, {BALL}
  %place = getelementptr i8, ptr %w, i64 %offset
  call void @{PREFIX}clear(ptr %place)
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, {memory.places}
  br i1 %more, label %head, label %done
done:
  ret void
}}
"""
