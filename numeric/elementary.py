"""Elementary functions that fill vector units: their accuracy, their text, and calls on arrays.

Stage: beneath generated code; what its loops call instead of the library, whose functions no
compiler can put into vector lanes. One scalar function each, without branches: range reduction, a
polynomial, and the parts put together. ``elementary_text`` describes them; Numba compiles that text
as it stands, ``elementary_ir`` writes it as vector code for LLVM, and the results agree to
rounding.

The operations on bits need LLVM, so that this code is for the processor; devices have these
functions in hardware (``numeric.device_code``).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.errors import ShapeError, UnknownNameError
from numeric.elementary_ir import array_ir
from numeric.elementary_numbers import ANGLE
from numeric.elementary_text import HEAD, functions_text
from numeric.vector_code import compile_vectors, lanes_that_fit

UNITS: Mapping[str, float] = MappingProxyType(
    {
        "exp": 3.0,
        "log": 3.0,
        "expm1": 5.0,
        "log1p": 5.0,
        "tanh": 5.0,
        "sinh": 5.0,
        "cosh": 4.0,
        "softplus": 5.0,
        "pow": 3.0,
        "sin": 3.0,
        "cos": 3.0,
        "tan": 6.0,
        "atan": 4.0,
        "asin": 5.0,
        "acos": 3.0,
        "erf": 3.0,
        "erfc": 6.0,
        "normal_cdf": 7.0,
        "normal_pdf": 4.0,
    }
)
"""Bounds of the relative error, in units of 2^-53 of the exact value.

They hold for both printings of the text, with and without fused operations, for every double in the
domain whose result is at least 2^-1022 in size; below, the absolute error is at most 2^-1074 more
(2^-1073 for the products in erfc and the normal functions). They were measured against balls on
dense, random and edge points, and are at least a quarter larger than what was seen. sin, cos and
tan are NaN beyond ``ANGLE``; pow of a negative number is NaN unless the exponent is an integer, and
zero counts as positive.
"""
NAMES = tuple(name for name in UNITS if name != "pow")
"""Functions of one argument."""
DOMAIN: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "log": (0.0, math.inf),
        "log1p": (-1.0, math.inf),
        "asin": (-1.0, 1.0),
        "acos": (-1.0, 1.0),
        "pow": (0.0, math.inf),
        **dict.fromkeys(("sin", "cos", "tan"), (-ANGLE, ANGLE)),
    }
)
"""Where a function (of its first argument) is a number; the whole line if it is not listed."""


def elementary_source(names: Iterable[str] = tuple(UNITS)) -> str:
    """Return the text of functions: ``vexp``, ``vtanh``, ... and the pieces beneath them.

    A generated module that holds this text may call them on scalars in its loops.

    Args:
        names: some of ``UNITS``; all by default.
    """
    return HEAD + functions_text(f"v{name}" for name in names)


@lru_cache(maxsize=len(UNITS))
def elementary(name: str) -> Callable[..., NDArray[np.float64]]:
    """Return an elementary function of arrays, compiled for this processor.

    Args:
        name: one of ``UNITS``.

    Returns:
        A function of an array of any shape ("pow": of two that broadcast); NaN gives NaN, and
        nothing is raised.

    Raises:
        UnknownNameError: for any other name.

    Accuracy: ``UNITS`` times 1.1e-16, relative.

    Example:
        >>> tanh = elementary("tanh")
        >>> tanh([0.0, 1.0, -50.0]).tolist() == [0.0, math.tanh(1.0), -1.0]
        True
    """
    if name not in UNITS:
        raise UnknownNameError(f"{name} on arrays", f"there are {', '.join(UNITS)}", "use one")
    count = 2 if name == "pow" else 1
    width = lanes_that_fit()
    run = compile_vectors(array_ir(f"v{name}", count, width))

    def function(*x: ArrayLike) -> NDArray[np.float64]:
        if len(x) != count:
            raise ShapeError(f"{name} of {len(x)} arrays", f"it takes {count}", "give those")
        given = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in x))
        flat = [np.ascontiguousarray(a).reshape(1, -1) for a in given]
        rows = flat[0] if count == 1 else np.concatenate(flat)
        return _filled(run, rows, width).reshape(given[0].shape)

    return function


def _filled(run: Callable[..., None], rows: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the values at rows of arguments; the last points are run in a block of their own."""
    size = rows.shape[1]
    out, none = np.empty(size), np.empty(0)
    done = size - size % width
    run(rows, none, out, size, 0, done // width)
    if done < size:
        rest, last = np.zeros((len(rows), width)), np.empty(width)
        rest[:, : size - done] = rows[:, done:]
        run(rest, none, last, width, 0, 1)
        out[done:] = last[: size - done]
    return out
