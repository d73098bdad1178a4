"""Coupled systems, many points side by side: a ``PathProgram`` as vector LLVM IR.

Stage: phases in, the text of one LLVM module out. ``width`` points are on their ways at once, each
on its own path and in its own mode; a point that has ended makes room for the next one. All
operations are element by element, so the numbers of a point depend neither on ``width``, nor on the
points beside it, nor on the order of the points, nor on the number of threads.
"""

from collections.abc import Sequence

from sympy import Symbol

from derive.block import fresh
from derive.coupled import CoupledProgram
from derive.errors import NotSupportedError, UnknownNameError
from derive.printing.lane_phases import Asked, Phase
from derive.printing.path_phases import PathProgram, path_program, reported
from numeric.vector_writer import Writer, double

PATHS = 16
"""Points on their ways at once."""
LARGEST = 16
"""Most unknowns whose linear systems are written out."""

_RUN = """; Generated from the coupled program {name}; do not edit.
define void @run(ptr noalias %inputs, ptr noalias %constants, ptr noalias %out,
                 i64 %size, i64 %first, i64 %last) {{
entry:
  %lanes = alloca [{scratch} x double], align 64
  %points = alloca [{width} x i64], align 64
  %begin = mul nsw i64 %first, {width}
  %end = mul nsw i64 %last, {width}
  %some = icmp slt i64 %first, %last
  br i1 %some, label %enter, label %done

enter:
  %due = phi i{width} [ -1, %entry ], [ %ended, %tick ]
  %held = phi i{width} [ 0, %entry ], [ %live, %tick ]
  %next = phi i64 [ %begin, %entry ], [ %ahead, %tick ]
{clear}
  br label %lane

lane:
  %bits = phi i{width} [ %due, %enter ], [ %bits.next, %lane.end ]
  %l.held = phi i{width} [ %held, %enter ], [ %l.live, %lane.end ]
  %l.next = phi i64 [ %next, %enter ], [ %l.ahead, %lane.end ]
  %l = call i{width} @llvm.cttz.i{width}(i{width} %bits, i1 true)
  %wide = zext i{width} %l to i64
  %bit = shl i{width} 1, %l
  %place = getelementptr inbounds i64, ptr %points, i64 %wide
  %was = and i{width} %l.held, %bit
  %full = icmp ne i{width} %was, 0
  br i1 %full, label %leave, label %take

leave:
  %old = load i64, ptr %place, align 8
{leave}
  br label %take

take:
  %more = icmp slt i64 %l.next, %end
  br i1 %more, label %fill, label %empty

fill:
  store i64 %l.next, ptr %place, align 8
{fill}
  %f.live = or i{width} %l.held, %bit
  %f.next = add nsw i64 %l.next, 1
  br label %lane.end

empty:
  %off = xor i{width} %bit, -1
  %e.live = and i{width} %l.held, %off
  br label %lane.end

lane.end:
  %l.live = phi i{width} [ %f.live, %fill ], [ %e.live, %empty ]
  %l.ahead = phi i64 [ %f.next, %fill ], [ %l.next, %empty ]
  %bits.less = sub i{width} %bits, 1
  %bits.next = and i{width} %bits, %bits.less
  %left = icmp ne i{width} %bits.next, 0
  br i1 %left, label %lane, label %start

start:
{start}
  %any = icmp ne i{width} %l.live, 0
  br i1 %any, label %tick, label %after

tick:
  %live = phi i{width} [ %l.live, %start ], [ %live, %tick ]
  %ahead = phi i64 [ %l.ahead, %start ], [ %ahead, %tick ]
{tick}
  %idle = xor i{width} %t.bits, -1
  %ended = and i{width} %idle, %live
  %wait = call i{width} @llvm.ctpop.i{width}(i{width} %ended)
  %few = icmp ult i{width} %wait, {room}
  %rest = and i{width} %t.bits, %live
  %moving = icmp ne i{width} %rest, 0
  %go = and i1 %few, %moving
  br i1 %go, label %tick, label %enter

after:
  call void @report(ptr %inputs, ptr %out, i64 %size, i64 %first, i64 %last)
  br label %done

done:
  ret void
}}
"""

_REPORT = """
define internal void @report(ptr noalias %inputs, ptr noalias %out,
                             i64 %size, i64 %first, i64 %last) noinline {{
entry:
  %lanes = alloca [{scratch} x double], align 64
  br label %block

block:
  %b = phi i64 [ %first, %entry ], [ %b.next, %end ]
  %base = mul nsw i64 %b, {width}
{load}
{report}
{slopes}
  br label %end

end:
  %b.next = add nsw i64 %b, 1
  %b.more = icmp slt i64 %b.next, %last
  br i1 %b.more, label %block, label %done

done:
  ret void
}}
"""

_SLOPES = """{slope}
  br label %shift

shift:
  %s = phi i64 [ 0, %block ], [ %s.next, %shift ]
{push}
{again}
{pull}
  %s.next = add nuw nsw i64 %s, 1
  %s.more = icmp ult i64 %s.next, {unknowns}
  br i1 %s.more, label %shift, label %spread

spread:
{spread}"""


def path_source(program: CoupledProgram, asked: Asked, width: int = PATHS) -> str:
    """Return LLVM IR of ``run(inputs, constants, out, size, first, last)``; see ``numeric.lanes``.

    Raises:
        NotSupportedError: for functions other than arithmetic, roots, absolute values, selections,
            and for no unknowns or more than ``LARGEST``.
    """
    if not 0 < len(program.unknowns) <= LARGEST:
        raise NotSupportedError(
            f"vector code for {program.name}",
            f"it has {len(program.unknowns)} unknowns, which is not 1 to {LARGEST}",
            'use method="path"',
        )
    writer, paths = Writer(width, {}), path_program(program, asked)
    run = _Machine(writer, paths).text()
    report = _Report(writer, paths).text()
    bits = f"i{width}"
    more = [
        f"declare {bits} @llvm.cttz.{bits}({bits}, i1)",
        f"declare {bits} @llvm.ctpop.{bits}({bits})",
    ]
    return "\n".join([run, report, *more, writer.declarations()])


def path_asked(
    program: CoupledProgram, outputs: Sequence[str] | None, errors: bool, slopes: bool
) -> Asked:
    """Return what is asked of a coupled program; all outputs by default.

    Raises:
        UnknownNameError: for an output that does not exist.
    """
    names = program.outputs if outputs is None else tuple(outputs)
    unknown = [name for name in names if name not in program.outputs]
    if unknown:
        known = ", ".join(program.outputs)
        raise UnknownNameError(f"output {unknown[0]!r}", f"the outputs are {known}", "use one")
    return Asked(names, errors, slopes and bool(program.slope_control))


class _Machine:
    """Writes ``run``: points enter lanes, tick, and leave."""

    def __init__(self, writer: Writer, paths: PathProgram) -> None:
        self.writer, self.paths = writer, paths
        self.entering = fresh("lane_entering")
        slots = paths.slots
        writer.slots = slots | {self.entering: len(slots)}

    def text(self) -> str:
        """Return the function."""
        w = self.writer
        return _RUN.format(
            name=self.paths.program.name,
            width=w.width,
            scratch=w.width * len(w.slots),
            room=max(1, w.width // 8),
            clear=self._clear(),
            leave=self._leave(),
            fill=self._fill(),
            start=self._start(),
            tick=self._tick(),
        )

    def _clear(self) -> str:
        w = self.writer
        w.begin(w.vector)
        w.store(w.slots[self.entering], w.splat(double(0.0)))
        return w.end()

    def _leave(self) -> str:
        """Lines that copy what a lane has found to the rows of its point."""
        w, rows = self.writer, self.paths.rows
        w.begin(w.scalar)
        lanes = [*self.paths.unknowns, self.paths.code, self.paths.count]
        names = [*self.paths.program.unknowns, "status", "steps"]
        for lane, name in zip(lanes, names, strict=True):
            value = w.new(f"load double, ptr {self._lane(w.slots[lane])}, align 8")
            place = w.row("%out", rows.index(name), "%old")
            w.lines.append(f"store double {value}, ptr {place}, align 8")
        return w.end()

    def _fill(self) -> str:
        """Lines that copy the controls of the next point into a lane."""
        w = self.writer
        w.begin(w.scalar)
        for j in range(len(self.paths.program.inputs)):
            value = w.new(f"load double, ptr {w.row('%inputs', j, '%l.next')}, align 8")
            w.lines.append(f"store double {value}, ptr {self._lane(j)}, align 8")
        place = self._lane(w.slots[self.entering])
        w.lines.append(f"store double {double(1.0)}, ptr {place}, align 8")
        return w.end()

    def _start(self) -> str:
        """Lines that put entering lanes at the start of their paths; the others stay."""
        w, begin = self.writer, self.paths.begin
        values = w.values(begin)
        half = w.splat(double(0.5))
        entering = w.value(self.entering)
        mask = w.new(f"fcmp ogt {w.vector} {entering}, {half}")
        for symbol, value in zip(begin.stores, values, strict=True):
            pointer = self._vector(w.slots[symbol])
            old = w.new(f"load {w.vector}, ptr {pointer}, align 64")
            kept = w.new(f"select <{w.width} x i1> {mask}, {w.vector} {value}, {w.vector} {old}")
            w.store(w.slots[symbol], kept)
        return w.end()

    def _tick(self) -> str:
        w, tick = self.writer, self.paths.tick
        values = w.values(tick)
        for symbol, value in zip(tick.stores, values, strict=True):
            w.store(w.slots[symbol], value)
        w.any(values[tick.stores.index(self.paths.on)], "t")
        return w.end()

    def _lane(self, slot: int) -> str:
        w = self.writer
        index = w.new(f"add nuw nsw i64 %wide, {slot * w.width}")
        return w.new(f"getelementptr inbounds double, ptr %lanes, i64 {index}")

    def _vector(self, slot: int) -> str:
        w = self.writer
        return w.new(f"getelementptr inbounds double, ptr %lanes, i64 {slot * w.width}")


class _Report:
    """Writes ``report``: residual, outputs, errors and slopes at the end of the paths."""

    def __init__(self, writer: Writer, paths: PathProgram) -> None:
        self.writer, self.paths = writer, paths
        slope = paths.slope
        self.base = tuple(fresh(f"lane_base_{s.name}") for s in (slope.stores if slope else ()))
        self.sums = tuple(fresh(f"lane_sum_{s.name}") for s in (slope.stores if slope else ()))
        lanes = (*paths.program.inputs, paths.code, *paths.unknowns, *paths.errors)
        self.slots = {s: k for k, s in enumerate((*lanes, *self.base, *self.sums))}
        self.kept = len(self.slots)

    def text(self) -> str:
        """Return the function."""
        w, paths = self.writer, self.paths
        w.slots = self.slots
        return _REPORT.format(
            width=w.width,
            scratch=w.width * (self.kept + 1),
            load=self._load(),
            report=self._report(paths.report),
            slopes=self._slopes(paths.slope) if paths.slope else "",
        )

    def _load(self) -> str:
        w, rows = self.writer, self.paths.rows
        w.begin(w.vector)
        sources: list[tuple[str, int, Symbol]]
        sources = [("%inputs", j, s) for j, s in enumerate(self.paths.program.inputs)]
        sources.append(("%out", rows.index("status"), self.paths.code))
        sources += [("%out", rows.index(s), x) for s, x in self._named_unknowns()]
        for array, row, symbol in sources:
            w.store(w.slots[symbol], w.new(f"load {w.vector}, ptr {w.row(array, row)}, align 8"))
        return w.end()

    def _named_unknowns(self) -> list[tuple[str, Symbol]]:
        return list(zip(self.paths.program.unknowns, self.paths.unknowns, strict=True))

    def _report(self, phase: Phase) -> str:
        w, paths = self.writer, self.paths
        values = w.values(phase)
        n = len(paths.errors)
        for symbol, value in zip(paths.errors, values[:n], strict=True):
            w.store(w.slots[symbol], value)
        names = [*reported(paths.program, paths.asked), "status"]
        self._out(names, values[n:])
        return w.end()

    def _out(self, names: Sequence[str], values: Sequence[str]) -> None:
        w, rows = self.writer, self.paths.rows
        for name, value in zip(names, values, strict=True):
            place = w.row("%out", rows.index(name))
            w.lines.append(f"store {w.vector} {value}, ptr {place}, align 8")

    def _slopes(self, phase: Phase) -> str:
        w, paths = self.writer, self.paths
        names = [f"d{o}_d{paths.program.slope_control}" for o in paths.asked.outputs]
        values = w.values(phase)
        self._out(names, values)
        if not paths.asked.errors:
            return w.end()
        eight = w.splat(double(8 * float(paths.numbers.unit)))
        for base, total, value in zip(self.base, self.sums, values, strict=True):
            w.store(w.slots[base], value)
            w.store(w.slots[total], self._times(eight, self._size(value)))
        return _SLOPES.format(
            slope=w.end(),
            push=self._push(),
            again=self._again(phase),
            pull=self._pull(),
            unknowns=len(paths.unknowns),
            spread=self._spread([f"error {name}" for name in names]),
        )

    def _push(self) -> str:
        """Lines that move unknown ``%s`` by its error."""
        w, n = self.writer, len(self.paths.unknowns)
        w.begin(w.vector)
        x, error = (self._dynamic(group[0]) for group in (self.paths.unknowns, self.paths.errors))
        assert n == len(self.paths.errors), "one error per unknown"
        value = w.new(f"load {w.vector}, ptr {x}, align 64")
        far = w.new(f"load {w.vector}, ptr {error}, align 64")
        least = self._times(w.splat(double(8 * float(self.paths.numbers.unit))), self._size(value))
        test = w.new(f"fcmp ogt {w.vector} {far}, {least}")
        shift = w.new(f"select <{w.width} x i1> {test}, {w.vector} {far}, {w.vector} {least}")
        moved = w.new(f"fadd {w.vector} {value}, {shift}")
        w.store(self.kept, value)
        w.lines.append(f"store {w.vector} {moved}, ptr {x}, align 64")
        return w.end()

    def _again(self, phase: Phase) -> str:
        """Lines that add what the slopes change by."""
        w = self.writer
        values = w.values(phase)
        for base, total, value in zip(self.base, self.sums, values, strict=True):
            far = w.new(f"fsub {w.vector} {value}, {w.value(base)}")
            both = w.new(f"fadd {w.vector} {w.value(total)}, {self._size(far)}")
            w.store(w.slots[total], both)
        return w.end()

    def _pull(self) -> str:
        """Lines that put unknown ``%s`` back."""
        w = self.writer
        w.begin(w.vector)
        pointer = w.new(f"getelementptr inbounds double, ptr %lanes, i64 {self.kept * w.width}")
        value = w.new(f"load {w.vector}, ptr {pointer}, align 64")
        place = self._dynamic(self.paths.unknowns[0])
        w.lines.append(f"store {w.vector} {value}, ptr {place}, align 64")
        return w.end()

    def _spread(self, names: Sequence[str]) -> str:
        w = self.writer
        w.begin(w.vector)
        self._out(names, [w.value(total) for total in self.sums])
        return w.end()

    def _dynamic(self, first: Symbol) -> str:
        """Return the place of the lane ``%s`` places behind another one."""
        w = self.writer
        offset = w.new(f"mul nuw nsw i64 %s, {w.width}")
        index = w.new(f"add nuw nsw i64 {offset}, {self.slots[first] * w.width}")
        return w.new(f"getelementptr inbounds double, ptr %lanes, i64 {index}")

    def _size(self, value: str) -> str:
        w = self.writer
        return w.new(f"call {w.vector} @llvm.fabs.v{w.width}f64({w.vector} {value})")

    def _times(self, a: str, b: str) -> str:
        return self.writer.new(f"fmul {self.writer.vector} {a}, {b}")
