"""Many points side by side: a ``LaneProgram`` as Numba source that LLVM turns into vector code.

Stage: phases in, the text of one module out. Each block of ``WIDTH`` points owns a flat scratch
array with constant offsets, so that no two references can alias; each phase is one loop over the
lanes of a block, without branches. Points are independent: a point's numbers do not depend on its
neighbours, on the order of the points, or on the number of threads.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sympy import Expr, Pow, Rational, Symbol

from derive.codegen import BlockPrinter, LanePrinter
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
from derive.printing.machine_functions import function_name
from derive.program import UNIT
from numeric.elementary_text import HEAD, functions_text

WIDTH = 32
"""Points per block; a multiple of every vector width."""

FLAGS = ("arcp", "contract", "nsz", "reassoc")
"""What LLVM may do; nothing that breaks NaN or infinity."""

_TEMPLATE = '''"""Generated from the program {name}; do not edit.

Operations and divisions of one lane: {counts}.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
{functions}
UNIT = {unit!r}
OPTIONS = dict(error_model="numpy", fastmath={{{flags}}})


@intrinsic
def select(context, test, value, other):
    def chosen(context, builder, signature, arguments):
        return builder.select(*arguments)

    return types.float64(types.boolean, types.float64, types.float64), chosen


@njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)
def careful(inputs, constants, out, size, pending, s):
{call}
    for j in range({controls}):
        for i in range({width}):
            s[j * {width} + i] = inputs[j * size + pending[i]]
{setup}
    for step in range({max_steps}):
        left = 0.0
{tower}
        if left == 0.0:
            break
{between}
    for turn in range({rounds}):
        for step in range({polish_steps} if turn == 0 else {again_steps}):
            left = 0.0
            tolerance = {tolerance} if turn == 0 else {again}
{polish}
            if left == 0.0:
                break
        left = 0.0
{finish}
        if left == 0.0:
            break
    for i in range({width}):
{careful_out}


@njit("void(f8[::1],f8[::1],f8[::1],i8,i8,i8)", cache=True, nogil=True, **OPTIONS)
def run(inputs, constants, out, size, first, last):
    s = np.empty({scratch})
    pending = np.empty({both}, dtype=np.int64)
    held = 0
{call}
    for block in range(first, last):
        base = block * {width}
        for j in range({controls}):
            for i in range({width}):
                s[j * {width} + i] = inputs[j * size + base + i]
{begin}
        for step in range({quick_steps}):
            left = 0.0
{descend}
            if left == 0.0:
                break
        left = 0.0
{land}
        for i in range({width}):
{quick_out}
        if left == 0.0:
            continue
        for i in range({width}):
            if s[{failed} + i] != 0.0:
                pending[held] = base + i
                held += 1
        if held >= {width}:
            careful(inputs, constants, out, size, pending, s)
            held -= {width}
            for i in range(held):
                pending[i] = pending[{width} + i]
    if held > 0:
        for i in range(held, {width}):
            pending[i] = pending[0]
        careful(inputs, constants, out, size, pending, s)
{report}'''

_REPORT = """    for block in range(first, last):
        base = block * {width}
        for i in range({width}):
{load}
{phase}
        for i in range({width}):
{out}
"""


def lane_source(lanes: LaneProgram, width: int = WIDTH) -> str:
    """Return the source of a module with ``run(inputs, constants, out, size, first, last)``.

    ``inputs`` and ``out`` are flat arrays of shape (controls, size) and (rows, size); ``size`` is a
    multiple of ``width``; blocks ``first`` to ``last - 1`` are solved. The function releases the
    interpreter lock, so several threads may run different blocks.
    """
    names = lane_names(lanes)
    printer = _Printer(names)
    constants = [s for s, _ in lanes.program.constants]
    call = [f"    {names[s]} = constants[{i}]" for i, s in enumerate(constants)]
    call += [f"    {names[s]} = {printer.text(e)}" for s, e in lanes.call]
    indents = {"setup": 4, "between": 4, "polish": 12, "descend": 12}
    texts = {}
    for which in (lanes.quick, lanes.careful):
        text = PhaseText(printer, names, lanes.slots(which), width)
        for name, phase in which.phases.items():
            texts[name] = text.phase(phase, indents.get(name, 8), which.flags.get(name))
        texts |= text.solved(lanes, which)
    texts["report"] = _report_text(lanes, printer, names, width) if lanes.report else ""
    return _TEMPLATE.format(
        name=lanes.program.name,
        counts=counts_text(lanes),
        functions=_functions_text(printer.called),
        unit=2.0**-53,
        flags=", ".join(f'"{flag}"' for flag in FLAGS),
        call="\n".join(call),
        tolerance=_tolerance(),
        **texts,
        **solver_numbers(lanes, width),
    )


def _report_text(
    lanes: LaneProgram, printer: BlockPrinter, names: Mapping[Symbol, str], width: int
) -> str:
    assert lanes.report is not None, "asked for"
    text = PhaseText(printer, names, lanes.report_slots(), width)
    pad = " " * 12
    return _REPORT.format(
        width=width,
        load="\n".join(pad + line for line in text.loads(lanes)),
        phase=text.phase(lanes.report, 8, None),
        out="\n".join(pad + line for line in text.outs(lanes.reported, lanes.report.stores)),
    )


def solver_numbers(lanes: LaneProgram, width: int) -> dict[str, object]:
    """Return what the templates of lanes need: step limits, and places in the scratch array."""
    quick, careful = lanes.slots(lanes.quick), lanes.slots(lanes.careful)
    return {
        "width": width,
        "both": 2 * width,
        "scratch": width * max(len(quick), len(careful), len(lanes.report_slots())),
        "controls": len(lanes.program.inputs),
        "failed": width * quick[lanes.quick.failed],
        "quick_steps": QUICK_STEPS,
        "max_steps": MAX_STEPS,
        "rounds": ROUNDS,
        "polish_steps": LOOSER[-1][0],
        "again_steps": AGAIN[0],
        "again": repr(float(AGAIN[1])),
    }


def counts_text(lanes: LaneProgram) -> str:
    """Return operations and divisions per phase in words."""
    return ", ".join(f"{n} {p.operations} and {p.divisions}" for n, p in lanes.phases.items())


def lane_names(lanes: LaneProgram) -> dict[Symbol, str]:
    """Return target names for all symbols; each name is used once and clashes with no keyword."""
    names: dict[Symbol, str] = {UNIT: "UNIT", lanes.careful.tolerance: "tolerance"}
    symbols: dict[Symbol, None] = dict.fromkeys(lanes.slots(lanes.quick))
    symbols |= dict.fromkeys(lanes.slots(lanes.careful))
    symbols |= dict.fromkeys(lanes.report_slots())
    symbols |= dict.fromkeys(s for s, _ in lanes.program.constants)
    symbols |= dict.fromkeys(s for s, _ in lanes.call)
    for phase in lanes.phases.values():
        symbols |= dict.fromkeys((*phase.block.inputs, *(s for s, _ in phase.block.lines)))
    taken = set(names.values())
    for symbol in symbols:
        if symbol in names:
            continue
        name = f"v_{symbol.name.removeprefix('lane_')}"
        while name in taken:
            name += "_"
        names[symbol] = name
        taken.add(name)
    return names


def _tolerance() -> str:
    text = repr(float(LOOSER[-1][1]))
    for steps, tolerance in reversed(LOOSER[:-1]):
        text = f"{float(tolerance)!r} if step < {steps} else ({text})"
    return f"({text})"


def _functions_text(names: Iterable[str]) -> str:
    """Return the text of elementary functions, their imports included."""
    if not names:
        return ""
    return HEAD.partition('"""\n\n')[2] + functions_text(names) + "\n"


class _Printer(LanePrinter):
    """``LanePrinter`` that calls our elementary functions, which fill vector units.

    Selections are calls as well: as branches, they take twice as long to compile.

    Attributes:
        called: their names.
    """

    def __init__(self, names: Mapping[Symbol, str]) -> None:
        super().__init__(names)
        self.called: dict[str, None] = {}

    def _print_Function(self, expr: Any) -> str:
        if not function_name(expr):
            return str(super()._print_Function(expr))
        return self._call(function_name(expr), expr.args)

    _print_ExpBase = _print_log = _print_softplus = _print_Function

    def _print_Piecewise(self, expr: Any) -> str:
        *pieces, (last, _) = expr.args
        text = str(self._print(last))
        for value, test in reversed(pieces):
            text = f"select({self._print(test)}, {self._print(value)}, {text})"
        return text

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        if function_name(expr):
            return self._call("pow", expr.args)
        base, exponent = expr.args
        if exponent.is_Integer or abs(exponent) == Rational(1, 2):
            return super()._print_Pow(expr, rational)
        root = f"math.sqrt({self._print(base)})"
        return f"({root} * {self.parenthesize(Pow(base, exponent - Rational(1, 2)), 100)})"

    def _call(self, name: str, args: Sequence[Expr]) -> str:
        self.called[f"v{name}"] = None
        return f"v{name}({', '.join(self._print(a) for a in args)})"


class PhaseText:
    """Writes phases as loops over the lanes of a block, through a printer of expressions."""

    def __init__(
        self,
        printer: BlockPrinter,
        names: Mapping[Symbol, str],
        slots: Mapping[Symbol, int],
        width: int,
    ) -> None:
        self.printer, self.names, self.slots, self.width = printer, names, slots, width

    def phase(self, phase: Phase, indent: int, count: Symbol | None) -> str:
        """Write one phase as a Python loop; see ``lines``."""
        pad = " " * indent
        body = (f"{pad}    {line}" for line in self.lines(phase, count))
        return "\n".join([f"{pad}for i in range({self.width}):", *body])

    def lines(self, phase: Phase, count: Symbol | None) -> list[str]:
        """Write the assignments of one lane; ``count`` names the lane summed into ``left``."""
        block = phase.block
        body = [f"{self.names[s]} = {self.at(s)}" for s in block.inputs if s in self.slots]
        body += [f"{self.names[s]} = {self.printer.text(e)}" for s, e in block.lines]
        stored = self._stored(phase)
        body += [f"r{i} = {self.printer.text(e)}" for i, _, e in stored]
        body += [f"{self.at(s)} = r{i}" for i, s, _ in stored]
        return body + [f"left += r{i}" for i, s, _ in stored if s == count]

    def solved(self, lanes: LaneProgram, which: Quick | Careful) -> dict[str, str]:
        """Return the lines that pass on the rows of a solved point, under the template's name."""
        quick = isinstance(which, Quick)
        stores = (which.land if isinstance(which, Quick) else which.finish).stores[:-1]
        lines = self.outs(lanes.solved, stores, "base + i" if quick else "pending[i]")
        pad = " " * (12 if quick else 8)
        key = "quick_out" if quick else "careful_out"
        return {key: "\n".join(pad + line for line in lines)}

    def outs(
        self, rows: Sequence[int], lanes: Sequence[Symbol], place: str = "base + i"
    ) -> list[str]:
        """Return the lines that copy lanes to rows of the result."""
        pairs = zip(rows, lanes, strict=True)
        return [f"out[{row} * size + {place}] = {self.at(lane)}" for row, lane in pairs]

    def loads(self, lanes: LaneProgram) -> list[str]:
        """Return the lines that copy controls and unknowns of a solved point into lanes."""
        lines = [
            f"{self.at(c)} = inputs[{j} * size + base + i]"
            for j, c in enumerate(lanes.program.inputs)
        ]
        rows = lanes.solved[: len(lanes.unknowns)]
        pairs = zip(rows, lanes.unknowns, strict=True)
        return lines + [f"{self.at(x)} = out[{row} * size + base + i]" for row, x in pairs]

    @staticmethod
    def _stored(phase: Phase) -> Sequence[tuple[int, Symbol, Expr]]:
        pairs = zip(phase.stores, phase.block.results, strict=True)
        return [(i, s, e) for i, (s, e) in enumerate(pairs)]

    def at(self, symbol: Symbol) -> str:
        """Return the place of a symbol in the scratch array."""
        return f"s[{self.width * self.slots[symbol]} + i]"
