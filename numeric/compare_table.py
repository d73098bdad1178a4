"""The text of a ``Comparison``: a summary of a few lines, and the full table.

Stage: reads what was judged; computes nothing but the layout.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from numeric.experiments.sampling import Simulation
from numeric.judged import Judged, count_rejected, count_tested, resolves, resolves_at_each_point

_ROWS = 8  # of the summary


def with_error(value: float, error: float) -> str:
    """Return a value with its error, both to the second digit of the error.

    Accuracy: a text; the error is rounded to two digits and the value to the same place.

    Example:
        >>> with_error(0.18724, 0.00352), with_error(1234.5, 30)
        ('0.1872 +/- 0.0035', '1234 +/- 30')
    """
    if not (np.isfinite(value) and np.isfinite(error)):
        return "not measured"
    if error <= 0:
        return f"{value:.6g} +/- 0"
    places = 1 - int(np.floor(np.log10(error)))
    if abs(places) > 12:
        return f"{value:.6g} +/- {error:.2g}"
    if places <= 0:
        return f"{value:.0f} +/- {error:.0f}"
    return f"{value:.{places}f} +/- {error:.{places}f}"


def summary(judged: Mapping[str, Judged], simulation: Simulation) -> str:
    """Return the head, the worst point of each output, and the verdict: at most 12 lines."""
    rows = [_worst(simulation, one, output) for output, one in judged.items()]
    left = len(rows) - _ROWS
    more = [f"... and {left} more outputs"] if left > 0 else []
    return "\n".join([_head(simulation), *_aligned(rows[:_ROWS]), *more, *verdict(judged)])


def full_table(judged: Mapping[str, Judged], simulation: Simulation) -> str:
    """Return one line per output, point and size, the extrapolation under them, and the verdict."""
    rows = [
        row
        for output, one in judged.items()
        for index in np.ndindex(simulation.points)
        for row in _point(simulation, one, output, index)
    ]
    return "\n".join([_head(simulation), *_aligned(rows), *verdict(judged)])


def verdict(judged: Mapping[str, Judged]) -> list[str]:
    """Return the verdict with its power, in one or two lines."""
    seen = [one for one in judged.values() if one.tested.any()]
    t = max(float(np.max(np.abs(one.t[one.tested]))) for one in seen)
    limit = max(float(np.max(one.limit[one.tested])) for one in seen)
    count, wrong = count_tested(judged), count_rejected(judged)
    found = f"largest |t| {t:.1f} of {count} (limit {limit:.1f})"
    if wrong:
        lines = [f"disagree at {wrong} of {count}: {found}"]
    else:
        lines = [f"agree: {found}; a theory wrong by {_power(judged)} would have been rejected"]
    asked = sum(one.theory.size for one in judged.values())
    if asked > count:
        lines.append(f"{asked - count} of {asked} not tested: no theory or too few trials")
    return lines


def _power(judged: Mapping[str, Judged]) -> str:
    whole, each = resolves(judged), resolves_at_each_point(judged)
    if all(one.theory.size == 1 for one in judged.values()):
        return f"{whole:.2%} in any output (98% power)"
    return f"{whole:.2%} along the curve of any output (98% power; {each:.2%} at any one point)"


def _head(simulation: Simulation) -> str:
    sizes = " ".join(map(str, simulation.d))
    fixed = [
        f"{name}={values.flat[0]:g}"
        for name, values in simulation.controls.items()
        if values.size and np.all(values == values.flat[0])
    ]
    at = f"; {' '.join(fixed)}" if fixed else ""
    return f"{simulation.name}: d = {sizes}, {simulation.trials} trials{at}"


def _varying(simulation: Simulation, index: tuple[int, ...]) -> str:
    return " ".join(
        f"{name}={values[index]:.4g}"
        for name, values in simulation.controls.items()
        if not np.all(values == values.flat[0])
    )


_TITLES = ("output", "at", "d", "simulation", "theory", "t", "resolves")


def _worst(simulation: Simulation, one: Judged, output: str) -> tuple[str, ...]:
    if not one.tested.any():
        return (output, "", "", "not measured", "", "", "")
    flat = int(np.nanargmax(one.ratio))
    index = tuple(int(i) for i in np.unravel_index(flat, one.ratio.shape))
    return _extrapolated(simulation, one, output, index)


def _extrapolated(
    simulation: Simulation, one: Judged, output: str, index: tuple[int, ...]
) -> tuple[str, ...]:
    sizes = simulation.d
    t = float(one.t[index])
    mark = " !" if one.ratio[index] > 1 else ""
    return (
        output,
        _varying(simulation, index),
        "inf" if len(sizes) > 1 else str(sizes[0]),
        with_error(float(one.value[index]), float(one.stderr[index])),
        f"{one.theory[index]:.6g}",
        f"{t:+.1f}{mark}",
        f"{one.resolves[index]:.2g}",
    )


def _point(
    simulation: Simulation, one: Judged, output: str, index: tuple[int, ...]
) -> Iterator[tuple[str, ...]]:
    mean, stderr = simulation.mean(output), simulation.stderr(output)
    for i, d in enumerate(simulation.d if len(simulation.d) > 1 else ()):
        yield (
            output,
            _varying(simulation, index),
            str(d),
            with_error(float(mean[(i, *index)]), float(stderr[(i, *index)])),
            f"{one.theory[index]:.6g}",
            f"{one.t_size[(i, *index)]:+.1f}",
            "",
        )
    yield _extrapolated(simulation, one, output, index)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    table = [_TITLES, *rows]
    used = [i for i in range(len(_TITLES)) if any(row[i] for row in table[1:])]
    width = {i: max(len(row[i]) for row in table) for i in used}
    return ["  ".join(row[i].ljust(width[i]) for i in used).rstrip() for row in table]
