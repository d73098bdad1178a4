"""Interval code as vector instructions computes what the same lines compute in Python."""

import math
from fractions import Fraction

import numpy as np
import pytest

from derive.errors import NotSupportedError
from derive.printing.interval_code import GROW, TINY, UNIT
from derive.printing.magnitude_code import ESTIMATE, INVERSE
from numeric.interval_ir import interval_ir
from numeric.vector_code import compile_vectors, has_estimates

LINES = [
    "a = x + k * abs(y)",
    "r = UNIT * abs(a) + TINY",
    "s = math.sqrt(abs(a)) / (1.0 + r * GROW)",
    "t = s if a > r else -INF",
    "u = (1.0 if (x > 0.5) & (y < 0.25) else 2.0) - t",
    "v = 3.0 if (x > 0.9) | (-y > 0.5) else u",
]


def addresses(*rows):
    return np.array([row.ctypes.data for row in rows], dtype=np.int64)


def test_lines_give_the_numbers_of_python_to_the_rounding_of_fused_sums(rng):
    size, width = 64, 8
    inputs = rng.uniform(-1, 1, (2, size))
    source = interval_ir("lines", ["k"], ["x", "y"], LINES, ["v", "t", "v", "0.5"], width)
    out, state = np.empty((3, size)), np.empty(size, dtype=np.int8)
    run = compile_vectors(source)
    run(addresses(*inputs), np.array([0.75]), addresses(state, *out), 0, 0, size // width)
    finite = np.isfinite(out[1])
    assert np.array_equal(state[finite], out[1, finite].astype(np.int8))
    names = {"UNIT": UNIT, "GROW": GROW, "TINY": TINY, "INF": math.inf, "math": math, "k": 0.75}
    for i in range(size):
        scope = names | {"x": float(inputs[0, i]), "y": float(inputs[1, i])}
        exec("\n".join(LINES), scope)
        assert out[:2, i] == pytest.approx([scope["t"], scope["v"]], rel=1e-15)
    assert np.all(out[2] == 0.5)
    assert np.isinf(out[0]).any()


def test_blocks_outside_the_range_are_left_alone():
    out, state = np.full(24, -1.0), np.full(24, 7, dtype=np.int8)
    run = compile_vectors(interval_ir("one", [], ["x"], ["a = x + x"], ["2.0", "a"], 8))
    run(addresses(np.arange(24.0)), np.empty(0), addresses(state, out), 0, 1, 2)
    assert np.array_equal(out[8:16], 2 * np.arange(8.0, 16.0))
    assert np.all(state[8:16] == 2)
    assert np.all(out[:8] == -1)
    assert np.all(out[16:] == -1)
    assert np.all(state[16:] == 7)


@pytest.mark.parametrize("estimates", [False, has_estimates()])
def test_reciprocals_are_within_their_bounds(rng, estimates):
    """Against exact fractions, over the range in which no number is subnormal."""
    x = np.ldexp(rng.uniform(1, 2, 4096), rng.integers(-1000, 1000, 4096))
    source = interval_ir(
        "reciprocals",
        [],
        ["x"],
        ["a = inverse(x)", "b = estimate(x)"],
        ["0.0", "a", "b"],
        8,
        estimates,
    )
    out, state = np.empty((2, x.size)), np.empty(x.size, dtype=np.int8)
    compile_vectors(source)(addresses(x), np.empty(0), addresses(state, *out), 0, 0, x.size // 8)
    for row, bound in zip(out, (INVERSE, ESTIMATE), strict=True):
        errors = [abs(Fraction(a) * Fraction(b) - 1) for a, b in zip(row, x, strict=True)]
        assert max(errors) < bound
    assert "rcp14" in source or not estimates


@pytest.mark.parametrize("line", ["a = x ** 2", "a = [x]", "a = x if x == x else x", "a = f(x, x)"])
def test_other_code_is_refused(line):
    with pytest.raises(NotSupportedError, match="interval code"):
        interval_ir("odd", [], ["x"], [line], ["a"], 8)
