"""What a caller gives an evaluator: names, groups, ranges and shapes of controls, checked.

Stage: keyword arguments in, one array per input of a Program out, all of one shape.
"""

from collections.abc import Mapping
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.coupled import AnyProgram
from derive.errors import RangeError, ShapeError, UnknownNameError
from derive.symbols import Quantity

LIMIT = 1e-20
"""A slope control that is exactly zero is taken here: the limit from above."""
_SHOWN = 60


def broadcast_controls(
    program: AnyProgram, controls: Mapping[str, Any]
) -> list[NDArray[np.float64]]:
    """Check controls against a program and broadcast them; one array per input, in order.

    Raises:
        UnknownNameError: missing or unknown controls.
        ShapeError: a group of the wrong length, or shapes that do not broadcast.
        RangeError: a value out of its range, with its index.

    Accuracy: values are passed on as they are, NaN included.
    """
    flat = ungroup(program, controls)
    arrays = []
    for quantity in program.inputs:
        array = _as_floats(quantity.name, flat[quantity.name])
        _check_range(quantity, array)
        arrays.append(array)
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError as error:
        shapes = ", ".join(
            f"{q.name} {a.shape}" for q, a in zip(program.inputs, arrays, strict=True) if a.shape
        )
        raise ShapeError(
            "controls", f"shapes do not broadcast: {shapes}", "add axes, as in alpha[:, None]"
        ) from error


def ungroup(program: AnyProgram, controls: Mapping[str, Any]) -> dict[str, Any]:
    """Return controls by their single names, groups split.

    Raises:
        UnknownNameError: missing or unknown names.
        ShapeError: a group of the wrong length.
    """
    grouped = {n for names in program.groups.values() for n in names}
    expected = [q.name for q in program.inputs if q.name not in grouped] + list(program.groups)
    flat: dict[str, Any] = {}
    singles = {q.name for q in program.inputs}
    for name, value in controls.items():
        if name in program.groups:
            names = program.groups[name]
            items = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
            if len(items) != len(names):
                raise ShapeError(
                    f"{name} = {value!r}",
                    f"{len(items)} values for {len(names)} ({', '.join(names)})",
                    f"give {len(names)} values",
                )
            flat |= dict(zip(names, items, strict=True))
        elif name in singles:
            flat[name] = value
        else:
            raise UnknownNameError(
                f"control {name!r}",
                f"this program takes {', '.join(sorted(expected))}",
                "use one of them",
            )
    missing = sorted(singles - set(flat))
    if missing:
        raise UnknownNameError(
            f"controls of {program.name}",
            f"{', '.join(missing)} missing",
            f"this program takes {', '.join(sorted(expected))}",
        )
    return flat


def padded_inputs(
    program: AnyProgram, arrays: list[NDArray[np.float64]], width: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return inputs as (controls, size), size a multiple of ``width``, and which points are limits.

    The last point fills the rest. Exact zeros of the slope control are replaced by ``LIMIT``.

    Accuracy: the limit is off by a relative ``LIMIT`` times the logarithmic slope.
    """
    count = arrays[0].size
    size = -(-count // width) * width
    inputs = np.empty((len(arrays), size))
    for row, array in zip(inputs, arrays, strict=True):
        row[:count].reshape(array.shape)[...] = array
        row[count:] = row[count - 1] if count else np.nan
    names = [q.name for q in program.inputs]
    if program.slope_control not in names:
        return inputs, np.zeros(count, dtype=bool)
    row = inputs[names.index(program.slope_control)]
    at_limit = row[:count] == 0
    row[row == 0] = LIMIT
    return inputs, at_limit


def real_array(name: str, value: Any) -> NDArray[np.float64]:
    """Return numbers as doubles; masked entries are NaN.

    Raises:
        RangeError: for text, complex numbers and lists of uneven lengths.

    Accuracy: doubles are not changed.
    """
    try:
        return _filled(value)
    except (TypeError, ValueError) as error:
        text = shorten(repr(value), _SHOWN, placeholder="...")
        raise RangeError(f"{name} = {text}", "not a number or array", "give numbers") from error


def _as_floats(name: str, value: Any) -> NDArray[np.float64]:
    array = real_array(name, value)
    if array.ndim == 0 and np.isnan(array):
        raise RangeError(f"{name} = nan", "not a number", "give a number")
    return array


def _filled(value: Any) -> NDArray[np.float64]:
    """Return an array of doubles; masked entries are NaN.

    Raises:
        TypeError: for complex numbers, whose imaginary parts a conversion would drop.
    """
    if np.ma.isMaskedArray(value):
        return np.asarray(np.ma.filled(value.astype(np.float64), np.nan))
    found = np.asarray(value)
    if np.iscomplexobj(found):
        raise TypeError("complex")
    return np.asarray(found, dtype=np.float64)


def _check_range(quantity: Quantity, array: NDArray[np.float64]) -> None:
    low_ok = array > quantity.low if quantity.open_low else array >= quantity.low
    bad = ~(low_ok & (array <= quantity.high) & np.isfinite(array)) & ~np.isnan(array)
    if not bad.any():
        return
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f"[{', '.join(map(str, index))}]" if index else ""
    raise RangeError(
        f"{quantity.name}{where} = {array[index]:g}",
        "out of range" if np.isfinite(array[index]) else "not finite",
        f"give {quantity.range_text()}",
    )
