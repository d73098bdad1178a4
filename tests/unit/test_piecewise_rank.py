"""Families with kinks: ranks over regions, with the histogram and what is not claimed."""

import pytest
from sympy.abc import a, b, w, x

from derive.errors import NotSupportedError, RangeError
from derive.piecewise_rank import piecewise_rank
from derive.recovery.networks import FullyConnected


def sampled(widths, **options):
    family = FullyConnected(widths, "relu").family()
    return piecewise_rank(family.expr, family.parameters, family.inputs, **options)


def test_one_neuron_has_its_scaling_symmetry():
    found = piecewise_rank("a*relu(w*x + b)", "a,w,b", "x")
    assert (found.rank, found.parameters) == (2, 3)


def test_a_dead_neuron_moves_nothing():
    point = {"a": 1, "w": 0, "b": -1}
    assert piecewise_rank("a*relu(w*x + b)", "a,w,b", "x", point).histogram == {0: 1}


def test_histogram_counts_every_draw_and_regions_are_smaller():
    found = sampled((2, 3, 1), draws=7)
    assert sum(found.histogram.values()) == 7
    assert max(found.regions) < found.rank == max(found.histogram) == 13 - 3
    assert "not covered" in found.note


def test_absolute_value_and_leaky_kinks_are_piecewise_linear_too():
    assert piecewise_rank("a*abs(w*x + b)", "a,w,b", "x").rank == 2
    assert piecewise_rank("a*leaky_relu(w*x + b)", "a,w,b", "x").rank == 2
    assert piecewise_rank("a*clip(w*x + b)", "a,w,b", "x").rank == 3


def test_same_seed_same_answer():
    assert sampled((1, 2, 1), draws=3, seed=4) == sampled((1, 2, 1), draws=3, seed=4)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: piecewise_rank("a*elu(w*x)", "a,w", "x"), NotSupportedError, "with exp"),
        (lambda: piecewise_rank("a*relu(w*x)", "a,w", "x", draws=0), RangeError, "at least once"),
        (
            lambda: piecewise_rank("a*relu(w*x)", "a,w", "x", {"a": 2**0.5, "w": "pi"}),
            RangeError,
            "not a decimal",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_smooth_families_are_welcome_when_they_are_polynomials():
    assert piecewise_rank(a * (w * x + b), [a, w, b], [x], draws=2).rank == 2
