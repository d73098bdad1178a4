"""Figures of local linear recovery: heat map over ranks, exponents over samples, strata of a fibre.

Stage: measured tables in, a matplotlib ``Figure`` out; writing it is the report's job.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from derive.errors import ShapeError

Array = NDArray[np.float64]
_SMALLEST = 1e-8  # smaller errors are drawn as this
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def stratification_map(
    n: Sequence[int], sizes: Mapping[int, int], errors: Array, title: str = ""
) -> Figure:
    """Draw errors over the number of samples and the rank of the target, with the sizes as steps.

    Args:
        n: numbers of samples, shape (columns,).
        sizes: optimistic sample size by rank of the target, one a row.
        errors: one error each, shape (rows, columns), positive.
        title: of the figure.

    Raises:
        ShapeError: if the shapes do not fit.

    Accuracy: of a drawing.
    """
    if errors.shape != (len(sizes), len(n)):
        raise ShapeError(
            f"errors of shape {errors.shape}", f"{len(sizes)} ranks, {len(n)} sizes", "give both"
        )
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    columns, rows = np.arange(len(n) + 1) - 0.5, np.arange(len(sizes) + 1) - 0.5
    image = axes.pcolormesh(columns, rows, np.log10(np.maximum(errors, _SMALLEST)), cmap="viridis")
    for row, size in enumerate(sizes.values()):
        place = float(np.interp(size, n, np.arange(len(n)))) - 0.5
        axes.plot([place, place], [row - 0.5, row + 0.5], color="white", linewidth=2.5)
        axes.text(place + 0.08, row, str(size), color="white", va="center", fontsize="small")
    axes.set_xticks(np.arange(len(n)), [str(k) for k in n])
    axes.set_yticks(np.arange(len(sizes)), [f"{rank}" for rank in sizes])
    axes.set_xlabel("$n$")
    axes.set_ylabel("rank of the target")
    axes.set_title(title, fontsize="medium")
    figure.colorbar(image, ax=axes, label=r"$\log_{10}$ test error")
    return figure


def exponent_lines(curves: Mapping[str, tuple[Array, Array, int]], title: str = "") -> Figure:
    """Draw the measured order of the error against n, one line a family, jumping at its size.

    Args:
        curves: by label, numbers of samples, median slopes, and the optimistic sample size.
        title: of the figure.

    Accuracy: of a drawing.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for (label, (n, slopes, size)), colour in zip(curves.items(), _COLOURS, strict=False):
        axes.plot(n, slopes, "o-", color=colour, markersize=4, label=f"{label}: $O = {size}$")
        axes.axvline(size, color=colour, linestyle=":", linewidth=1.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks([1, 2])
    axes.set_ylim(0.5, 2.5)
    axes.set_xlabel("$n$")
    axes.set_ylabel(r"order of the error in $\delta$")
    axes.set_title(title, fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    return figure


def strata_figure(strata: Sequence[Any], least: int, title: str = "") -> Figure:
    """Draw how many kinds of parameters of one fibre have which rank.

    Args:
        strata: objects with a ``rank``, such as ``derive.recovery.strata.Stratum``.
        least: the optimistic sample size, marked.
        title: of the figure.

    Accuracy: of a drawing.
    """
    ranks = np.array([s.rank for s in strata])
    found, counts = np.unique(ranks, return_counts=True)
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(found, counts, color=[_COLOURS[1] if r == least else _COLOURS[0] for r in found])
    axes.set_xlabel("rank of the tangent functions")
    axes.set_ylabel("kinds of parameters")
    axes.set_title(title, fontsize="medium")
    return figure


def recovery_curves(
    curves: Mapping[str, tuple[Array, Array]], size: int, cap: tuple[Array, Array] | None = None
) -> Figure:
    """Draw the fraction of targets recovered against n, one line a start, below the exact cap.

    Args:
        curves: by label, numbers of samples and fractions.
        size: the optimistic sample size, marked.
        cap: numbers of samples and the exact probability of a guarantee.

    Accuracy: of a drawing.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for (label, (n, fractions)), colour in zip(curves.items(), _COLOURS, strict=False):
        axes.plot(n, fractions, "o-", color=colour, markersize=4, label=label)
    if cap is not None:
        axes.plot(*cap, color="0.3", linestyle="--", label="probability of a guarantee (exact)")
    axes.axvline(size, color="0.5", linestyle=":", label=f"$O = {size}$")
    axes.set_xlabel("$n$")
    axes.set_ylabel("fraction recovered")
    axes.legend(frameon=False, fontsize="small", loc="upper left")
    return figure
