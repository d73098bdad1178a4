"""The figure of an activation: what is drawn is what was computed."""

import io

import numpy as np
import pytest
from sympy import erf, sqrt

from derive.activation import Activation
from derive.pairs.kernel_expansion import hermite_spectrum
from derive.symbols import z
from numeric.kernel_plots import activation_figure


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_the_panels_show_function_kernel_and_spectrum(name):
    figure = activation_figure(Activation(name), largest=12)
    left, middle, right = figure.axes
    x, y = left.lines[0].get_data()
    assert np.allclose(y, np.tanh(x) if name == "tanh" else np.maximum(x, 0))
    rho, kernel = middle.lines[0].get_data()
    second = {"tanh": 0.394294490397841, "relu": 0.5}[name]
    assert abs(kernel[-1] - second) < 1e-9
    orders, mass = right.lines[0].get_data()
    assert set(orders) <= set(range(13))
    assert abs(sum(mass * 0.5**orders) - np.interp(0.5, rho, kernel)) < 2e-5
    figure.savefig(io.BytesIO(), format="png")


def test_the_spectrum_of_a_probit_has_its_closed_form():
    found = hermite_spectrum(erf(z / sqrt(2)), 5)
    first = 2 / np.sqrt(2 * np.pi) / np.sqrt(2)
    assert [c.mid == 0 for c in found] == [True, False, True, False, True, False]
    assert abs(float(found[1]) - first) < 1e-15
    assert abs(float(found[3]) ** 2 - 2 / np.pi * 0.5**3 / 6) < 1e-15
