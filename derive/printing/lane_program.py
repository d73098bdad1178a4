"""A Program as a ``LaneProgram``: both passes over one set of hoisted lines.

Stage: Programs in, phases out; see ``lane_phases``.
"""

from derive.block import Block, fresh
from derive.errors import UnknownNameError
from derive.printing.careful_phases import careful_phases
from derive.printing.lane_phases import (
    Asked,
    Copy,
    LaneProgram,
    Phase,
    all_of,
    make_phase,
    read_by,
    row_names,
    solved_rows,
)
from derive.printing.lower import Lowering
from derive.printing.quick_phases import quick_phases
from derive.program import UNIT, Program


def lane_program(program: Program, asked: Asked | None = None) -> LaneProgram:
    """Return the phases of a program.

    Raises:
        UnknownNameError: for an output that the program does not have.
    """
    chosen = asked or all_of(program)
    for name in chosen.outputs:
        if name not in program.outputs:
            raise UnknownNameError(
                f"output {name!r}",
                f"{program.name} has {', '.join(program.outputs)}",
                "use one of them",
            )
    tolerance = fresh("lane_tolerance")
    constants = [s for s, _ in program.constants]
    lowering = Lowering([UNIT, tolerance, *constants], program.inputs)
    copy = Copy(program)
    quick = quick_phases(copy, lowering)
    careful = careful_phases(copy, lowering, tolerance)
    report = _report(copy, chosen, lowering)
    rows = row_names(program, chosen)
    return LaneProgram(program, chosen, lowering.call, quick, careful, report, copy.x, rows)


def _report(copy: Copy, asked: Asked, lowering: Lowering) -> Phase | None:
    """Return the phase of outputs, slopes and errors, with what is fixed at each point in it."""
    solved = solved_rows(copy.program)
    names = [name for name in row_names(copy.program, asked) if name not in solved]
    if not names:
        return None
    lines, found = copy.report(asked)
    stores = [(fresh(f"report_{i}"), found[name]) for i, name in enumerate(names)]
    phase = make_phase(lowering, lines, stores)
    lines = [*lowering.point, *phase.block.lines]
    block = Block(read_by(lines, phase.block.results), tuple(lines), phase.block.results)
    return Phase(block.pruned(), phase.stores)
