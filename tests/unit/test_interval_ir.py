"""Interval code as vector instructions computes what the same lines compute in Python."""

import math

import numpy as np
import pytest

from derive.errors import NotSupportedError
from derive.printing.interval_code import GROW, TINY, UNIT
from numeric.interval_ir import interval_ir
from numeric.vector_code import compile_vectors

LINES = [
    "a = x + k * abs(y)",
    "r = UNIT * abs(a) + TINY",
    "s = math.sqrt(abs(a)) / (1.0 + r * GROW)",
    "t = s if a > r else -INF",
    "u = (1.0 if (x > 0.5) & (y < 0.25) else 2.0) - t",
    "v = 3.0 if (x > 0.9) | (-y > 0.5) else u",
]


def test_lines_give_the_numbers_of_python_to_the_rounding_of_fused_sums(rng):
    size, width = 64, 8
    inputs = rng.uniform(-1, 1, (2, size))
    source = interval_ir("lines", ["k"], ["x", "y"], LINES, ["t", "v", "0.5"], width)
    out = np.empty((3, size))
    run = compile_vectors(source)
    run(inputs.reshape(-1), np.array([0.75]), out.reshape(-1), size, 0, size // width)
    names = {"UNIT": UNIT, "GROW": GROW, "TINY": TINY, "INF": math.inf, "math": math, "k": 0.75}
    for i in range(size):
        scope = names | {"x": float(inputs[0, i]), "y": float(inputs[1, i])}
        exec("\n".join(LINES), scope)
        assert out[:2, i] == pytest.approx([scope["t"], scope["v"]], rel=1e-15)
    assert np.all(out[2] == 0.5)
    assert np.isinf(out[0]).any()


def test_blocks_outside_the_range_are_left_alone():
    out = np.full((1, 24), -1.0)
    run = compile_vectors(interval_ir("one", [], ["x"], ["a = x + x"], ["a"], 8))
    run(np.arange(24.0), np.empty(0), out.reshape(-1), 24, 1, 2)
    assert np.array_equal(out[0, 8:16], 2 * np.arange(8.0, 16.0))
    assert np.all(out[0, :8] == -1)
    assert np.all(out[0, 16:] == -1)


@pytest.mark.parametrize("line", ["a = x ** 2", "a = [x]", "a = x if x == x else x"])
def test_other_code_is_refused(line):
    with pytest.raises(NotSupportedError, match="interval code"):
        interval_ir("odd", [], ["x"], [line], ["a"], 8)
