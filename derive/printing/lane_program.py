"""A Program as a ``LaneProgram``: both passes over one set of hoisted lines.

Stage: Programs in, phases out; see ``lane_phases``.
"""

from derive.block import fresh
from derive.errors import UnknownNameError
from derive.printing.careful_phases import careful_phases
from derive.printing.lane_phases import Asked, Copy, LaneProgram, all_of, row_names
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
    quick = quick_phases(copy, chosen, lowering)
    careful = careful_phases(copy, chosen, lowering, tolerance)
    rows = row_names(program, chosen)
    return LaneProgram(program, chosen, lowering.call, quick, careful, rows)
