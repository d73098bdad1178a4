"""Compiled tangent matrices: f(x; theta) and its derivatives in theta at many inputs.

Stage: a declared ``Family`` in, machine code out, generated from the same tape that the certified
rank reads and cached by content like every other kernel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.codegen import ScalarPrinter, array_function
from derive.errors import ShapeError
from derive.recovery.family import Family
from derive.tangent_rank.lines import tangent_block
from derive.tangent_rank.tape import tape_of
from numeric.cache import load

Array = NDArray[np.float64]

_HEADER = '''"""Generated tangent matrix of {count} parameters; do not edit."""

import math

from numba import njit


@njit(cache=True, error_model="numpy")
def fill(theta, x, value, rows):
    """Fill values and tangent rows at all points."""
    for point in range(x.shape[0]):
        row(theta, x[point], value[point:], rows[point])


'''


@dataclass(frozen=True)
class Tangent:
    """A compiled family.

    Attributes:
        family: what was compiled.
        source: the generated text.
        fill: machine code ``fill(theta, x, value, rows)``.
    """

    family: Family
    source: str
    fill: Any

    def __call__(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """Return values and tangent matrix.

        Args:
            theta: parameters in the order of the family, shape (M,).
            x: inputs, shape (n, inputs).

        Returns:
            f of shape (n,), and df/dtheta of shape (n, M).

        Raises:
            ShapeError: if the shapes do not fit.

        Accuracy: rounding of float64, forward through the value and backward through the
            derivatives; a few units in the last place times the number of operations.
        """
        theta = np.ascontiguousarray(theta, dtype=float)
        x = np.ascontiguousarray(x, dtype=float)
        expected = len(self.family.parameters), len(self.family.inputs)
        if theta.ndim != 1 or x.ndim != 2 or (theta.size, x.shape[1]) != expected:
            raise ShapeError(
                f"theta of shape {theta.shape}, x of shape {x.shape}",
                f"the family has {expected[0]} parameters and {expected[1]} inputs",
                f"give ({expected[0]},) and (n, {expected[1]})",
            )
        value, rows = np.empty(len(x)), np.empty((len(x), theta.size))
        self.fill(theta, x, value, rows)
        return value, rows


def tangent_source(family: Family) -> str:
    """Return the generated module of a family as text."""
    block = tangent_block(tape_of(family.expr, family.parameters, family.inputs))
    names = {s: f"theta[{j}]" for j, s in enumerate(family.parameters)}
    names |= {s: f"x[{j}]" for j, s in enumerate(family.inputs)}
    names |= {s: f"v_{s.name}" for s, _ in block.lines}
    printer = ScalarPrinter(names)
    places = ["value[0]", *(f"rows[{j}]" for j in range(len(family.parameters)))]
    body = array_function("row(theta, x, value, rows)", block, printer, places)
    head = _HEADER.format(count=len(family.parameters))
    first, second = head.split("@njit", 1)
    decorator = '@njit(cache=True, error_model="numpy")\n'
    return f"{first}{decorator}{body}\n\n\n@njit{second.rstrip()}\n"


def compile_tangent(family: Family) -> Tangent:
    """Compile the values and tangent functions of a family.

    Example:
        >>> from derive.recovery.networks import TwoLayer
        >>> tangent = compile_tangent(TwoLayer(1, 1).family())
        >>> value, rows = tangent(np.array([2.0, 0.5]), np.array([[1.0]]))
        >>> value.round(6).tolist(), rows.round(6).tolist()
        ([0.924234], [[0.462117, 1.572895]])
    """
    source = tangent_source(family)
    return Tangent(family, source, load(source).fill)
