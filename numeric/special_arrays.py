"""Owen's T and the probabilities of two normals on arrays, compiled for this processor.

Stage: beside ``special``, whose scalar functions it compiles; broadcasting arrays in, an array out.
The library's exponential and error functions are replaced by those of ``elementary``, so that the
sums over quadrature nodes fill vector units.
"""

import inspect
import re
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.errors import ShapeError, UnknownNameError
from numeric import special
from numeric.cache import load
from numeric.elementary import elementary_source

ARGUMENTS = {"normal_cdf": 1, "owens_t": 2} | dict.fromkeys(
    ("bivariate_normal", "conditional_normal", "scaled_density"), 3
)
_SUMS = ("_narrow", "_steep")
"""Functions whose sums may be taken in any order; elsewhere the order of differences matters."""
_CALLED = ("exp", "erf", "erfc", "asin", "atan")
"""Library functions that vector code replaces."""
_TABLES, _NUMBERS = ("_NODES", "_WEIGHTS"), ("_TAU", "_ROOT_HALF", "_DEPTH")

_GRID = """

@njit(**ARRAYS)
def {name}_grid({arguments}, out):
    for i in range(out.size):
        out[i] = {name}({items})
"""


def special_function(name: str) -> Callable[..., NDArray[np.float64]]:
    """Return a function of ``numeric.special`` on arrays that broadcast.

    Args:
        name: one of ``ARGUMENTS``, which says how many arrays it takes.

    Returns:
        A function; NaN gives NaN, and infinite h and k are allowed.

    Raises:
        UnknownNameError: for any other name.

    Accuracy: as the scalar function of this name in ``numeric.special``.

    Example:
        >>> orthant = special_function("bivariate_normal")
        >>> orthant([0.0, 0.0], 0.0, [0.5, 1.0]).round(15).tolist()
        [0.333333333333333, 0.5]
    """
    if name not in ARGUMENTS:
        raise UnknownNameError(
            f"{name} on arrays", f"there are {', '.join(ARGUMENTS)}", "use one of them"
        )
    run = getattr(_module(), f"{name}_grid")

    def function(*arguments: ArrayLike) -> NDArray[np.float64]:
        if len(arguments) != ARGUMENTS[name]:
            raise ShapeError(
                f"{name} of {len(arguments)} arrays", f"it takes {ARGUMENTS[name]}", "give those"
            )
        try:
            given = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in arguments))
        except ValueError as error:
            raise ShapeError(f"{name} of arrays", str(error), "give equal shapes") from error
        out = np.empty(given[0].size)
        run(*(np.ascontiguousarray(x).reshape(-1) for x in given), out)
        return out.reshape(given[0].shape)

    return function


@lru_cache(maxsize=1)
def _module() -> ModuleType:
    parts = [elementary_source(_CALLED), 'SUMS = ARRAYS | dict(fastmath=FLAGS | {"reassoc"})']
    parts += [f"{name} = {getattr(special, name)!r}" for name in _NUMBERS]
    parts += [f"{name} = np.array({getattr(special, name)!r})" for name in _TABLES]
    names = "|".join(_CALLED)
    for function in special.FUNCTIONS:
        text = re.sub(rf"\bmath\.({names})\(", r"v\1(", inspect.getsource(function))
        flags = "SUMS" if function.__name__ in _SUMS else "ARRAYS"
        parts.append(f"\n\n@njit(**{flags})\n{text}")
    for name, count in ARGUMENTS.items():
        letters = "abc"[:count]
        items = ", ".join(f"{x}[i]" for x in letters)
        parts.append(_GRID.format(name=name, arguments=", ".join(letters), items=items))
    return load("\n".join(parts))
