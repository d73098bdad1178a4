"""Figure of an activation: the function, its kernel, its Hermite spectrum.

Stage: an activation in, a matplotlib ``Figure`` out; writing it is the report's job.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from derive.activation import Activation
from derive.enclosing.ball_program import compile_ball
from derive.errors import DeriveError
from derive.exact import Number
from derive.pairs.kernel_expansion import hermite_spectrum
from derive.symbols import z
from numeric.kernels import compile_kernel

_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"
_REACH = 4.0
_FLOOR = 1e-18


def activation_figure(
    activation: Activation, variance: Number = 1, largest: int = 24, *, accuracy: float = 1e-10
) -> Figure:
    """Draw an activation, its kernel at a variance, and mu_k^2/k! for k = 0..largest.

    Args:
        activation: what to draw; it must hold no parameters.
        variance: variance of the normals.
        largest: last order of the spectrum.
        accuracy: of the compiled kernel.

    Raises:
        NotConvergedError: if the kernel does not reach the accuracy.

    Accuracy: of a drawing. Orders that vanish by proof are marked on the axis; a spectrum that
        cannot be certified is left out, and the panel says why.
    """
    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    x = np.linspace(-_REACH, _REACH, 401)
    left.plot(x, _values(activation, x), color=_BLUE)
    left.set(xlabel="$z$", title=f"${_latex(activation)}$")
    rho = np.linspace(-1, 1, 401)
    found = compile_kernel(activation, accuracy, variances=(variance, variance))
    middle.plot(rho, found(rho), color=_ORANGE)
    middle.set(xlabel=r"$\rho$", title=r"$\mathbb{E}\,s(u)\,s(v)$")
    right.set(xlabel="$k$", title=r"$\mu_k^2/k!$")
    try:
        _spectrum(
            right, [float(c) for c in hermite_spectrum(activation.expr, largest, 0, variance)]
        )
    except DeriveError as error:
        right.text(0.5, 0.5, error.found, ha="center", va="center", wrap=True)
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
    return figure


def _spectrum(axes: Any, coefficients: list[float]) -> None:
    k = np.arange(len(coefficients))
    mass = np.square(coefficients)
    zero = mass == 0
    axes.set_yscale("log")
    shown = np.maximum(mass[~zero], _FLOOR)
    axes.vlines(k[~zero], shown.min() / 10, shown, color=_GREEN)
    axes.plot(k[~zero], shown, "o", color=_GREEN, markersize=4)
    axes.plot(k[zero], np.full(zero.sum(), shown.min() / 10), "x", color="0.5", markersize=4)
    axes.set_ylim(bottom=shown.min() / 20)


def _values(activation: Activation, x: NDArray[np.float64]) -> NDArray[np.float64]:
    from flint import acb  # noqa: PLC0415  (only drawings need it here)

    f = compile_ball(activation.expr, z)
    return np.array([float(f(acb(float(point)), False).real.mid()) for point in x])


def _latex(activation: Activation) -> str:
    text = activation._repr_latex_().strip("$")
    return text if len(text) < 60 and "cases" not in text else r"s(z)"
