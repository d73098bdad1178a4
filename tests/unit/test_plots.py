"""Figures: what is drawn where, read back from the axes."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from derive.errors import ShapeError, UnknownNameError
from numeric.experiments.sampling import Simulation
from numeric.plots import interpolation_mark, is_geometric, learning_curve

ALPHA = np.geomspace(0.1, 10, 9)


class Curve(dict):
    def __init__(self, controls, **values):
        super().__init__(values)
        self.controls = controls


@pytest.fixture
def curve():
    values = np.where(np.arange(9) == 4, np.nan, 1 + ALPHA)
    controls = {"alpha": ALPHA, "gamma_1": 0 * ALPHA + 2, "gamma_2": 0 * ALPHA + 1.2}
    return Curve(controls, E_test=values, E_train=values / 100)


@pytest.fixture
def simulation():
    at = ALPHA[::4]
    trials = 1 + at + 0.1 * np.array([-1.0, 0, 1])[None, :, None] * np.ones((2, 1, 1))
    return Simulation("toy", "", (50, 100), {"alpha": at}, {"E_test": trials}, 0)


def test_line_has_a_gap_at_points_that_did_not_converge(curve):
    line = learning_curve(curve).axes[0].lines[0]
    assert np.isnan(line.get_ydata()).tolist() == [i == 4 for i in range(9)]


def test_experiment_has_one_set_of_error_bars_per_size(curve, simulation):
    axes = learning_curve(curve, simulation).axes[0]
    assert len(axes.containers) == 2
    bars = axes.containers[0]
    np.testing.assert_allclose(bars.lines[0].get_ydata(), 1 + ALPHA[::4])
    segment = bars.lines[2][0].get_segments()[0]
    assert segment[1, 1] - segment[0, 1] == pytest.approx(2 * 0.1 / np.sqrt(3))


def test_interpolation_peak_is_marked_at_the_last_width(curve):
    assert interpolation_mark(curve) == {1.2: "$n = p$"}
    marked = [line for line in learning_curve(curve).axes[0].lines if line.get_label() == "$n = p$"]
    assert [float(line.get_xdata()[0]) for line in marked] == [1.2]


def test_no_peak_is_marked_where_the_width_varies():
    assert interpolation_mark(Curve({"gamma_1": ALPHA})) == {}
    assert interpolation_mark(Curve({"alpha": ALPHA})) == {}


def test_axes_are_logarithmic_for_a_geometric_grid_and_named_in_latex(curve):
    axes = learning_curve(curve).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == r"$\alpha = n/d$"
    assert axes.get_ylabel() == r"$E_{\mathrm{test}}$, $E_{\mathrm{train}}$"


@pytest.mark.parametrize(
    ("grid", "answer"),
    [
        (np.geomspace(0.1, 9, 50), True),
        (np.linspace(0.1, 9, 50), False),
        (np.array([1.0, 2.0]), False),
        (np.array([-1.0, 0.0, 1.0]), False),
    ],
)
def test_geometric_grids_are_recognised(grid, answer):
    assert is_geometric(grid) is answer


def test_figure_can_be_drawn_without_a_display(curve, simulation):
    target = io.BytesIO()
    learning_curve(curve, simulation).savefig(target, format="svg")
    assert b"<svg" in target.getvalue()


def test_wrong_axis_is_refused(curve):
    with pytest.raises(UnknownNameError, match="choose among alpha, gamma_1, gamma_2"):
        learning_curve(curve, x="beta")
    surface = SimpleNamespace(controls={"alpha": np.ones((2, 2))})
    with pytest.raises(ShapeError, match="give one slice"):
        learning_curve(surface)
