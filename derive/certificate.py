"""What a certificate of a Program evaluates.

Stage: beside ``derive.program``, which builds it; ``numeric.certify`` and ``numeric.enclosures``
execute it, in balls and in float64.
"""

from dataclasses import dataclass

from derive.block import Block


@dataclass(frozen=True)
class Proof:
    """What a certificate needs, in the same straight-line form.

    Attributes:
        inclusion: from boxes x_i and points at_x_i to d_i = -(J^-1 F(at_x))_i, where every entry of
            the Jacobian J is taken over the boxes. Evaluated with intervals, at_x + d holds all
            roots in the boxes; if it lies inside them, there is exactly one.
        conditions: controls and unknowns at a root to the branch conditions, each positive.
        meanings: what each condition says.
        steps: pairs (index, block): one entry of d from the others, by one row of J d = -F; takes
            move_x_i beside the inputs of ``inclusion``. The last unknown comes first.
        again: pairs (index, block): another expression for an unknown at a root, from the equation
            in which it is linear; the last unknown comes first.
        uniqueness: why the root with all conditions positive is the only one; empty if not known.
    """

    inclusion: Block
    conditions: Block
    meanings: tuple[str, ...]
    steps: tuple[tuple[int, Block], ...] = ()
    again: tuple[tuple[int, Block], ...] = ()
    uniqueness: str = ""
