"""Many points side by side: a ``LaneProgram`` as vector LLVM IR, written out in full.

Stage: phases in, the text of one LLVM module out. Every number of a block of ``width`` points is
one vector value; there is nothing left for a compiler to guess, so it compiles in a fraction of a
second and runs at the speed of C. The text is readable and can be compared between versions.

Numbers of one point do not depend on ``width``: all operations are element by element.
"""

from collections.abc import Sequence
from dataclasses import replace

from sympy import Symbol

from derive.printing.lane_phases import (
    AGAIN,
    LOOSER,
    MAX_STEPS,
    QUICK_STEPS,
    ROUNDS,
    Careful,
    LaneProgram,
    Phase,
    Quick,
)
from derive.program import UNIT
from numeric.vector_writer import FLAGS, ORDERED, Writer, double

_CAREFUL_WIDTH, _REPORT_WIDTH = 16, 8
"""Points side by side in the longer phases: wider vectors leave no registers there."""

_TEMPLATE = """; Generated from the program {name}; do not edit.
define void @run(ptr noalias %inputs, ptr noalias %constants, ptr noalias %out,
                 i64 %size, i64 %first, i64 %last) {{
entry:
  %lanes = alloca [{scratch} x double], align 64
  %fixed = alloca [{fixed} x double], align 64
  %pending = alloca [{both} x i64], align 64
{call}
  %any = icmp slt i64 %first, %last
  br i1 %any, label %block, label %done

block:
  %b = phi i64 [ %first, %entry ], [ %b.next, %next ]
  %held = phi i64 [ 0, %entry ], [ %held.next, %next ]
  %base = mul nsw i64 %b, {width}
{load}
{begin}
  br label %descend

descend:
  %t = phi i64 [ 0, %block ], [ %t.next, %descend ]
{counter}
{descend}
{counted}
  %t.left = icmp ne i{width} %t.bits, 0
  %t.next = add nuw nsw i64 %t, 1
  %t.more = icmp ult i64 %t.next, {quick_steps}
  %t.go = and i1 %t.left, %t.more
  br i1 %t.go, label %descend, label %land

land:
{land}
  %f.left = icmp ne i{width} %f.bits, 0
  br i1 %f.left, label %collect, label %next

collect:
  %c.bits = phi i{width} [ %f.bits, %land ], [ %c.next, %collect ]
  %c = phi i64 [ %held, %land ], [ %c.count, %collect ]
  %c.lane = call i{width} @llvm.cttz.i{width}(i{width} %c.bits, i1 true)
  %c.wide = zext i{width} %c.lane to i64
  %c.point = add nsw i64 %base, %c.wide
  %c.place = getelementptr inbounds i64, ptr %pending, i64 %c
  store i64 %c.point, ptr %c.place, align 8
  %c.count = add nuw nsw i64 %c, 1
  %c.less = sub i{width} %c.bits, 1
  %c.next = and i{width} %c.bits, %c.less
  %c.more = icmp ne i{width} %c.next, 0
  br i1 %c.more, label %collect, label %collected

collected:
  %full = icmp uge i64 %c.count, {width}
  br i1 %full, label %flush, label %next

flush:
  call void @careful(ptr %inputs, ptr %fixed, ptr %out, i64 %size, ptr %pending, i64 {width})
  %upper = getelementptr inbounds i64, ptr %pending, i64 {width}
  %rest = load <{width} x i64>, ptr %upper, align 64
  store <{width} x i64> %rest, ptr %pending, align 64
  %c.left = sub nuw nsw i64 %c.count, {width}
  br label %next

next:
  %held.next = phi i64 [ %held, %land ], [ %c.count, %collected ], [ %c.left, %flush ]
  %b.next = add nsw i64 %b, 1
  %b.more = icmp slt i64 %b.next, %last
  br i1 %b.more, label %block, label %tail

tail:
  %some = icmp ne i64 %held.next, 0
  br i1 %some, label %fill, label %after

fill:
  %k = phi i64 [ %held.next, %tail ], [ %k.next, %fill ]
  %k.place = getelementptr inbounds i64, ptr %pending, i64 %k
  %k.first = load i64, ptr %pending, align 64
  store i64 %k.first, ptr %k.place, align 8
  %k.next = add nuw nsw i64 %k, 1
  %k.more = icmp ult i64 %k.next, {width}
  br i1 %k.more, label %fill, label %last.call

last.call:
  call void @careful(ptr %inputs, ptr %fixed, ptr %out, i64 %size, ptr %pending, i64 %held.next)
  br label %after

after:
{after}

done:
  ret void
}}
"""

_REPORT = """
define internal void @report(ptr noalias %inputs, ptr noalias %fixed, ptr noalias %out,
                             i64 %size, i64 %first, i64 %last) noinline {{
entry:
  %lanes = alloca [{scratch} x double], align 64
  %begin = mul nsw i64 %first, {parts}
  %end = mul nsw i64 %last, {parts}
  br label %block

block:
  %b = phi i64 [ %begin, %entry ], [ %b.next, %block ]
  %base = mul nsw i64 %b, {width}
{load}
{report}
  %b.next = add nsw i64 %b, 1
  %b.more = icmp slt i64 %b.next, %end
  br i1 %b.more, label %block, label %done

done:
  ret void
}}
"""

_CAREFUL = """
define internal void @careful(ptr noalias %inputs, ptr noalias %fixed, ptr noalias %out,
                              i64 %size, ptr noalias %pending, i64 %count) noinline {{
entry:
  %lanes = alloca [{scratch} x double], align 64
  br label %part

part:
  %q = phi i64 [ 0, %entry ], [ %q.next, %scattered ]
  br label %gather

gather:
  %g = phi i64 [ 0, %part ], [ %g.next, %gather ]
{gather}
  %g.next = add nuw nsw i64 %g, 1
  %g.more = icmp ult i64 %g.next, {width}
  br i1 %g.more, label %gather, label %begin

begin:
{setup}
  br label %tower

tower:
  %t = phi i64 [ 0, %begin ], [ %t.next, %tower ]
{tower}
  %t.left = icmp ne i{width} %t.bits, 0
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
  %p.left = icmp ne i{width} %p.bits, 0
  %p.next = add nuw nsw i64 %p, 1
  %p.more = icmp ult i64 %p.next, %p.steps
  %p.go = and i1 %p.left, %p.more
  br i1 %p.go, label %polish, label %finish

finish:
{finish}
  %r.left = icmp ne i{width} %r.bits, 0
  %r.next = add nuw nsw i64 %r, 1
  %r.more = icmp ult i64 %r.next, {rounds}
  %r.go = and i1 %r.left, %r.more
  br i1 %r.go, label %turn, label %scatter

scatter:
  %s = phi i64 [ 0, %finish ], [ %s.next, %scatter ]
{scatter}
  %s.next = add nuw nsw i64 %s, 1
  %s.more = icmp ult i64 %s.next, {width}
  br i1 %s.more, label %scatter, label %scattered

scattered:
  %q.next = add nuw nsw i64 %q, {width}
  %q.more = icmp ult i64 %q.next, %count
  br i1 %q.more, label %part, label %done

done:
  ret void
}}
"""


_AFTER = """  call void @report(ptr %inputs, ptr %fixed, ptr %out, i64 %size, i64 %first, i64 %last)
  br label %done"""


def vector_source(lanes: LaneProgram, width: int, estimates: bool = False) -> str:
    """Return LLVM IR of ``run(inputs, constants, out, size, first, last)``; see ``numeric.lanes``.

    Args:
        lanes: the phases.
        width: points per block.
        estimates: whether the processor has AVX-512, whose estimates of reciprocals replace
            divisions in the quick pass.

    Raises:
        NotSupportedError: for functions that have no vector form.
    """
    constants = [s for s, _ in lanes.program.constants]
    fixed = {s: k for k, s in enumerate((UNIT, *constants, *(s for s, _ in lanes.call)))}
    text = _Text(Writer(width, fixed), lanes)
    call = text.call(constants)
    text.writer.estimates = estimates
    quick = text.quick(lanes.quick)
    text.writer.estimates = False
    part = min(width, _CAREFUL_WIDTH)
    text.writer.resize(part)
    text.writer.flags = ORDERED
    careful = text.careful(lanes.careful)
    text.writer.flags = FLAGS
    text.writer.resize(width)
    parts = [text.report(lanes.report)] if lanes.report else []
    text.writer.estimates = estimates
    first = _TEMPLATE.format(
        name=lanes.program.name,
        scratch=width * len(lanes.slots(lanes.quick)),
        fixed=max(1, len(fixed)),
        both=2 * width,
        width=width,
        quick_steps=QUICK_STEPS,
        call=call,
        after=_AFTER if parts else "  br label %done",
        **quick,
    )
    second = _CAREFUL.format(
        scratch=part * len(lanes.slots(lanes.careful)),
        width=part,
        max_steps=MAX_STEPS,
        polish_steps=LOOSER[-1][0],
        again_steps=AGAIN[0],
        rounds=ROUNDS,
        **careful,
    )
    cttz = f"declare i{width} @llvm.cttz.i{width}(i{width}, i1)"
    return "\n".join([first, second, *parts, cttz, text.writer.declarations()])


class _Text:
    """Writes the pieces of a module around one ``Writer``."""

    def __init__(self, writer: Writer, lanes: LaneProgram) -> None:
        self.writer, self.lanes = writer, lanes

    def call(self, constants: Sequence[Symbol]) -> str:
        """Lines once per call: constants and what depends on them alone, scalars in memory."""
        w = self.writer
        w.begin(w.scalar)
        w.known[UNIT] = double(2.0**-53)
        for k, symbol in enumerate(constants):
            pointer = w.new(f"getelementptr inbounds double, ptr %constants, i64 {k}")
            w.known[symbol] = w.new(f"load double, ptr {pointer}, align 8")
        for symbol, expr in self.lanes.call:
            w.known[symbol] = w.value(expr)
        for symbol, k in w.fixed.items():
            pointer = w.new(f"getelementptr inbounds double, ptr %fixed, i64 {k}")
            w.lines.append(f"store double {w.known[symbol]}, ptr {pointer}, align 8")
        return w.end()

    def quick(self, quick: Quick) -> dict[str, str]:
        """Pieces of the quick pass."""
        self.writer.slots = self.lanes.slots(quick)
        return {
            "load": self._load(),
            "begin": self._phase(quick.begin),
            **self._descend(quick),
            "land": self._land(quick),
        }

    def careful(self, careful: Careful) -> dict[str, str]:
        """Pieces of the careful pass."""
        self.writer.slots = self.lanes.slots(careful)
        on = careful.on
        return {
            "gather": self._gather(),
            "setup": self._phase(careful.setup),
            "tower": self._phase(careful.tower, on, "t"),
            "between": self._phase(careful.between),
            "tolerance": self._tolerance(careful.tolerance),
            "polish": self._phase(careful.polish, on, "p"),
            "finish": self._phase(careful.finish, on, "r"),
            "scatter": self._scatter(careful.finish),
        }

    def _load(self) -> str:
        """Lines that copy the controls of a block into lanes."""
        w = self.writer
        w.begin(w.vector)
        for j in range(len(self.lanes.program.inputs)):
            w.store(j, w.new(f"load {w.vector}, ptr {w.row('%inputs', j)}, align 8"))
        return w.end()

    def _phase(self, phase: Phase, on: Symbol | None = None, tag: str = "") -> str:
        """Lines of one phase; with ``on`` also ``%tag.bits``: which lanes are on."""
        w = self.writer
        values = w.values(phase)
        for symbol, value in zip(phase.stores, values, strict=True):
            w.store(w.slots[symbol], value)
        if on is not None:
            w.any(values[phase.stores.index(on)], tag)
        return w.end()

    def _descend(self, quick: Quick) -> dict[str, str]:
        """Lines of a quick step; its steps are counted in bytes."""
        w, phase = self.writer, quick.descend
        kept = [
            p for p in zip(phase.stores, phase.block.results, strict=True) if p[0] != quick.count
        ]
        stores, results = zip(*kept, strict=True)
        w.spread = True
        step = replace(phase, block=replace(phase.block, results=results), stores=stores)
        text = self._phase(step, quick.far, "t")
        w.spread = False
        kind = f"<{w.width} x i8>"
        head = f"  %n = phi {kind} [ zeroinitializer, %block ], [ %n.next, %descend ]"
        lines = [
            f"  %t.lanes = bitcast i{w.width} %t.bits to <{w.width} x i1>",
            f"  %t.ones = sext <{w.width} x i1> %t.lanes to {kind}",
            f"  %n.next = sub {kind} %n, %t.ones",
        ]
        return {"counter": head, "descend": text, "counted": "\n".join(lines)}

    def _count(self) -> str:
        """Write one plus the number that was counted."""
        w = self.writer
        total = w.new(f"uitofp <{w.width} x i8> %n.next to {w.vector}")
        return w.new(f"fadd {w.vector} {total}, {w.splat(double(1.0))}")

    def _land(self, quick: Quick) -> str:
        """Lines of the last quick phase, whose results go to the rows of ``out``."""
        w = self.writer
        w.begin(w.vector)
        w.kept[quick.count] = self._count()
        counting = w.end()
        *rows, failed = w.values(quick.land)
        del w.kept[quick.count]
        self._out(self.lanes.solved, rows)
        w.any(failed, "f")
        return f"{counting}\n{w.end()}"

    def _out(self, rows: Sequence[int], values: Sequence[str]) -> None:
        w = self.writer
        for row, value in zip(rows, values, strict=True):
            w.lines.append(f"store {w.vector} {value}, ptr {w.row('%out', row)}, align 8")

    def report(self, phase: Phase) -> str:
        """Return the function that reports on solved points."""
        w, lanes = self.writer, self.lanes
        whole, part = w.width, min(w.width, _REPORT_WIDTH)
        w.resize(part)
        w.slots = lanes.report_slots()
        w.begin(w.vector)
        sources = [("%inputs", j) for j in range(len(lanes.program.inputs))]
        sources += [("%out", j) for j in lanes.solved[: len(lanes.unknowns)]]
        for slot, (array, row) in enumerate(sources):
            w.store(slot, w.new(f"load {w.vector}, ptr {w.row(array, row)}, align 8"))
        load = w.end()
        self._out(lanes.reported, w.values(phase))
        size = w.width * len(sources)
        text = _REPORT.format(
            scratch=size, width=part, parts=whole // part, load=load, report=w.end()
        )
        w.resize(whole)
        return text

    def _gather(self) -> str:
        """Lines that copy the controls of pending point ``%g`` into its lane."""
        w = self.writer
        w.begin(w.scalar)
        point = self._point("%g")
        for j in range(len(self.lanes.program.inputs)):
            value = w.new(f"load double, ptr {w.row('%inputs', j, point)}, align 8")
            w.lines.append(f"store double {value}, ptr {self._lane(j, '%g')}, align 8")
        return w.end()

    def _scatter(self, finish: Phase) -> str:
        """Lines that copy the rows of lane ``%s`` to its point."""
        w = self.writer
        w.begin(w.scalar)
        point = self._point("%s")
        for row, symbol in zip(self.lanes.solved, finish.stores[:-1], strict=True):
            lane = self._lane(w.slots[symbol], "%s")
            value = w.new(f"load double, ptr {lane}, align 8")
            w.lines.append(f"store double {value}, ptr {w.row('%out', row, point)}, align 8")
        return w.end()

    def _point(self, lane: str) -> str:
        place = self.writer.new(f"add nuw nsw i64 %q, {lane}")
        pointer = self.writer.new(f"getelementptr inbounds i64, ptr %pending, i64 {place}")
        return self.writer.new(f"load i64, ptr {pointer}, align 8")

    def _lane(self, slot: int, lane: str) -> str:
        w = self.writer
        index = w.new(f"add nuw nsw i64 {lane}, {slot * w.width}")
        return w.new(f"getelementptr inbounds double, ptr %lanes, i64 {index}")

    def _tolerance(self, symbol: Symbol) -> str:
        """Lines that choose the tolerance of a polish step."""
        w = self.writer
        w.begin(w.scalar)
        value = double(float(LOOSER[-1][1]))
        for steps, tolerance in reversed(LOOSER[:-1]):
            test = w.new(f"icmp ult i64 %p, {steps}")
            value = w.new(f"select i1 {test}, double {double(float(tolerance))}, double {value}")
        again = double(float(AGAIN[1]))
        w.kept[symbol] = w.splat(w.new(f"select i1 %first.turn, double {value}, double {again}"))
        return w.end()
