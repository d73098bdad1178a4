"""Many points side by side: a ``LaneProgram`` as Numba source that LLVM turns into vector code.

Stage: phases in, the text of one module out. Each block of ``WIDTH`` points owns a flat scratch
array with constant offsets, so that no two references can alias; each phase is one loop over the
lanes of a block, without branches. Points are independent: a point's numbers do not depend on its
neighbours, on the order of the points, or on the number of threads.
"""

from collections.abc import Mapping, Sequence

from sympy import Expr, Symbol

from derive.codegen import BlockPrinter, LanePrinter
from derive.printing.lane_phases import AGAIN, LOOSER, MAX_STEPS, ROUNDS, LaneProgram, Phase
from derive.program import UNIT

WIDTH = 32
"""Points per block; a multiple of every vector width."""

FLAGS = ("arcp", "contract", "nsz", "reassoc")
"""What LLVM may do; nothing that breaks NaN or infinity."""

_TEMPLATE = '''"""Generated from the program {name}; do not edit.

Operations and divisions of one lane: {counts}.
"""

import math

import numpy as np
from numba import njit

UNIT = {unit!r}


@njit(
    "void(f8[::1],f8[::1],f8[::1],i8,i8,i8)",
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath={{{flags}}},
)
def run(inputs, constants, out, size, first, last):
    s = np.empty({scratch})
{call}
    for block in range(first, last):
        base = block * {width}
        for j in range({controls}):
            for i in range({width}):
                s[j * {width} + i] = inputs[j * size + base + i]
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
        for j in range({rows}):
            for i in range({width}):
                out[j * size + base + i] = s[{row_start} + j * {width} + i]
'''


def lane_source(lanes: LaneProgram, width: int = WIDTH) -> str:
    """Return the source of a module with ``run(inputs, constants, out, size, first, last)``.

    ``inputs`` and ``out`` are flat arrays of shape (controls, size) and (rows, size); ``size`` is a
    multiple of ``width``; blocks ``first`` to ``last - 1`` are solved. The function releases the
    interpreter lock, so several threads may run different blocks.
    """
    slots = {symbol: k for k, symbol in enumerate(lanes.slots())}
    names = lane_names(lanes)
    text = PhaseText(LanePrinter(names), names, slots, width)
    phases = {
        name: text.phase(phase, indent, lanes.on if name in ("tower", "polish", "finish") else None)
        for name, phase, indent in (
            ("setup", lanes.setup, 8),
            ("tower", lanes.tower, 12),
            ("between", lanes.between, 8),
            ("polish", lanes.polish, 16),
            ("finish", lanes.finish, 12),
        )
    }
    constants = [s for s, _ in lanes.program.constants]
    call = [f"    {names[s]} = constants[{i}]" for i, s in enumerate(constants)]
    call += [f"    {names[s]} = {text.printer.text(e)}" for s, e in lanes.call]
    return _TEMPLATE.format(
        name=lanes.program.name,
        counts=counts_text(lanes),
        unit=2.0**-53,
        flags=", ".join(f'"{flag}"' for flag in FLAGS),
        scratch=width * len(slots),
        width=width,
        controls=len(lanes.program.inputs),
        call="\n".join(call),
        max_steps=MAX_STEPS,
        polish_steps=LOOSER[-1][0],
        tolerance=_tolerance(),
        rounds=ROUNDS,
        again_steps=AGAIN[0],
        again=repr(float(AGAIN[1])),
        rows=len(lanes.rows),
        row_start=width * slots[lanes.finish.stores[0]],
        **phases,
    )


def counts_text(lanes: LaneProgram) -> str:
    """Return operations and divisions per phase in words."""
    named = zip(("setup", "tower", "between", "polish", "finish"), lanes.phases, strict=True)
    return ", ".join(f"{n} {p.operations} and {p.divisions}" for n, p in named)


def lane_names(lanes: LaneProgram) -> dict[Symbol, str]:
    """Return target names for all symbols; each name is used once and clashes with no keyword."""
    names: dict[Symbol, str] = {UNIT: "UNIT", lanes.tolerance: "tolerance"}
    symbols: dict[Symbol, None] = dict.fromkeys(lanes.slots())
    symbols |= dict.fromkeys(s for s, _ in lanes.program.constants)
    symbols |= dict.fromkeys(s for s, _ in lanes.call)
    for phase in lanes.phases:
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

    @staticmethod
    def _stored(phase: Phase) -> Sequence[tuple[int, Symbol, Expr]]:
        pairs = zip(phase.stores, phase.block.results, strict=True)
        return [(i, s, e) for i, (s, e) in enumerate(pairs)]

    def at(self, symbol: Symbol) -> str:
        """Return the place of a symbol in the scratch array."""
        return f"s[{self.width * self.slots[symbol]} + i]"
