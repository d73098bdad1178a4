"""Figures of curves: the line of the theory, the error bars of the experiment, the peak.

Stage: a curve and a simulation in, a matplotlib ``Figure`` out; writing it is the report's job.
Figures are built as objects, without the state of ``pyplot``, so no display is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from derive.errors import ShapeError, UnknownNameError
from numeric.experiments.sampling import Simulation

Array = NDArray[np.float64]
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "alpha": r"$\alpha = n/d$",
        "lam": r"$\lambda$",
        "noise": r"$\Delta$",
        "m": r"$m$",
        "E_test": r"$E_{\mathrm{test}}$",
        "E_train": r"$E_{\mathrm{train}}$",
    }
)
# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP*X"
_DECADES_FOR_LOG = 1.3


class Curve(Protocol):
    """Values by output name at the points of ``controls``; a ``Solution`` is one."""

    @property
    def controls(self) -> Mapping[str, Array]:
        """Value of each control at each point."""

    def __getitem__(self, output: str, /) -> Any:
        """Return the values of one output; NaN where there is none."""


def learning_curve(
    theory: Curve,
    simulation: Simulation | None = None,
    *,
    outputs: Sequence[str] = ("E_test", "E_train"),
    x: str = "alpha",
    marks: Mapping[float, str] | None = None,
    labels: Mapping[str, str] = LABELS,
) -> Figure:
    r"""Draw outputs against one control: theory as lines, experiment as points with error bars.

    Args:
        theory: a curve over one axis of points; lines have gaps where a value is NaN.
        simulation: the experiment; its points may be other values of ``x``. Error bars are one
            standard error, one marker per size.
        outputs: what to draw, each in its colour.
        x: the control on the horizontal axis, logarithmic if its values are geometric.
        marks: places on the horizontal axis and their labels; by default the interpolation peak
            n = p where there is one (``interpolation_mark``).
        labels: LaTeX names of controls and outputs.

    Raises:
        ShapeError: if the points form no single axis.
        UnknownNameError: if ``x`` is not a control.

    Accuracy: of a drawing.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    at = _axis(theory.controls, x)
    order = np.argsort(at)
    for i, (output, colour) in enumerate(zip(outputs, _cycle(_COLOURS), strict=False)):
        values = np.asarray(theory[output], dtype=float)
        axes.plot(at[order], values[order], color=colour, label=labels.get(output, output))
        if simulation is not None and output in simulation.outputs:
            _points(axes, simulation, output, x, (colour, i == 0))
    _scales(axes, at, [np.asarray(theory[output], dtype=float) for output in outputs])
    for place, text in (interpolation_mark(theory) if marks is None else marks).items():
        axes.axvline(place, color="0.5", linestyle=":", linewidth=1.2, label=text)
    axes.set_xlabel(labels.get(x, x))
    axes.set_ylabel(", ".join(labels.get(output, output) for output in outputs))
    axes.legend(frameon=False, fontsize="small")
    return figure


def interpolation_mark(theory: Curve) -> dict[float, str]:
    """Return where n = p, at alpha = gamma of the last layer, if that is one number."""
    widths = {name: v for name, v in theory.controls.items() if name.startswith("gamma")}
    if not widths:
        return {}
    last = np.unique(widths[max(widths, key=_layer)])
    return {float(last[0]): "$n = p$"} if last.size == 1 else {}


def is_geometric(values: Array) -> bool:
    """Return whether sorted values are positive and in geometric but not arithmetic progression."""
    ordered = np.unique(values)
    if ordered.size < 3 or ordered[0] <= 0:
        return False
    ratios, steps = np.diff(np.log(ordered)), np.diff(ordered)
    return bool(np.ptp(ratios) <= 1e-3 * ratios.max() and np.ptp(steps) > 1e-3 * steps.max())


def _layer(name: str) -> int:
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def _axis(controls: Mapping[str, Array], x: str) -> Array:
    if x not in controls:
        raise UnknownNameError(
            f"draw against {x!r}", "not a control", f"choose among {', '.join(controls)}"
        )
    values = np.asarray(controls[x], dtype=float)
    if values.ndim != 1:
        raise ShapeError(
            f"draw a curve over points of shape {values.shape}", "not one axis", "give one slice"
        )
    return values


def _cycle(items: Sequence[str]) -> Iterable[str]:
    while True:
        yield from items


def _points(
    axes: Axes, simulation: Simulation, output: str, x: str, style: tuple[str, bool]
) -> None:
    """Draw one output in a colour; the sizes are named in the legend for the first output only."""
    colour, named = style
    at = _axis(simulation.controls, x)
    mean, stderr = simulation.mean(output), simulation.stderr(output)
    for i, (d, marker) in enumerate(zip(simulation.d, _cycle(_MARKERS), strict=False)):
        ok = np.isfinite(mean[i]) & np.isfinite(stderr[i])
        axes.errorbar(
            at[ok],
            mean[i][ok],
            yerr=stderr[i][ok],
            fmt=marker,
            color=colour,
            markersize=4,
            markerfacecolor="none" if i % 2 else colour,
            capsize=2,
            linewidth=1,
            label=f"$d = {d}$" if named else None,
        )


def _scales(axes: Axes, at: Array, curves: Sequence[Array]) -> None:
    if is_geometric(at):
        axes.set_xscale("log")
    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves])
    positive = values.size > 0 and values.min() > 0
    if positive and np.log10(values.max() / values.min()) > _DECADES_FOR_LOG:
        axes.set_yscale("log")
