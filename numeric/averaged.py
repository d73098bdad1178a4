"""What sums in place of averages over continuous spectra cost: values at twice the nodes.

Stage: equations with a power law or a Marchenko-Pastur spectrum in, differences out. Compiled
programs sum over a fixed number of nodes (``DysonEquations.discretised``); both rules converge
geometrically, so the difference to twice the nodes is the error of the coarser sum.
"""

from collections.abc import Mapping
from typing import Any

from derive.dyson import NODES, DysonEquations
from numeric.reference import reference


def averaging_error(
    equations: DysonEquations, nodes: int = NODES, **controls: Any
) -> Mapping[str, float]:
    """Return, for each output, the distance between sums over ``nodes`` and twice as many.

    Args:
        equations: with continuous spectral measures; without them all distances are zero.
        nodes: of the coarser sum.
        **controls: one number per control.

    Raises:
        NotConvergedError: if a branch could not be followed.

    Accuracy: an estimate of the error of the coarser sum; the finer one is far better.
    """
    if not equations.continuous:
        return dict.fromkeys(equations.outputs, 0.0)
    values = []
    for count in (nodes, 2 * nodes):
        program = equations.discretised(count).program(slope_control="")
        values.append(reference(program, digits=17, **controls))
    return {name: abs(float(values[0][name] - values[1][name])) for name in equations.outputs}
