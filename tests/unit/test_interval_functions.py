"""Elementary functions in interval code: balls lie inside, and no radius is far too wide."""

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx

from derive.errors import NotSupportedError
from derive.printing.interval_code import GROW, TINY, UNIT, Node
from derive.printing.interval_erf import ErrorFunctionTape
from numeric.interval_ir import interval_ir
from numeric.vector_code import compile_vectors

N = 512
TRUE = {
    "exp": arb.exp,
    "expm1": arb.expm1,
    "log": arb.log,
    "log1p": arb.log1p,
    "softplus": lambda x: x.exp().log1p(),
    "tanh": arb.tanh,
    "sinh": arb.sinh,
    "cosh": arb.cosh,
    "sin": arb.sin,
    "cos": arb.cos,
    "tan": arb.tan,
    "atan": arb.atan,
    "asin": arb.asin,
    "acos": arb.acos,
    "erf": arb.erf,
    "erfc": arb.erfc,
}
UNIT_INTERVAL, POSITIVE = ("asin", "acos"), ("log", "log1p")
SHARP = 160
"""Roundings that the radius of a function at an exact argument of moderate size may amount to."""


@pytest.fixture(autouse=True)
def many_bits():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


def written(name, exact=False):
    tape = ErrorFunctionTape()
    value = tape.closed(tape.other_rule(name)(tape, [Node("x", "" if exact else "r")]))
    return tape.lines, value


def in_vectors(name, x, r, exact=False):
    """Return centres and radii from compiled code."""
    lines, value = written(name, exact)
    source = interval_ir(name, [], ["x", "r"], lines, ["0.0", value.mid, value.rad], 8)
    state, out = np.empty(x.size, dtype=np.int8), np.empty((2, x.size))
    given = np.array([x.ctypes.data, r.ctypes.data])
    places = np.array([state.ctypes.data, out[0].ctypes.data, out[1].ctypes.data])
    compile_vectors(source)(given, np.empty(0), places, 0, 0, x.size // 8)
    return out


def arguments(name, rng):
    if name in UNIT_INTERVAL:
        return rng.uniform(-1, 1, N)
    signs = 1 if name in POSITIVE else rng.choice([-1, 1], N)
    return signs * 10 ** rng.uniform(-6, 1.5, N)


def ball(value):
    return arb(value.numerator) / value.denominator


@pytest.mark.parametrize("width", [0.0, 1e-12, 1e-3])
@pytest.mark.parametrize("name", TRUE)
def test_the_function_over_the_interval_lies_inside(name, width, rng):
    x = arguments(name, rng)
    r = np.abs(x) * width
    mids, rads = in_vectors(name, x, r)
    decided = np.isfinite(rads)
    assert decided.mean() > 0.95
    for i in np.flatnonzero(decided):
        for place in (-1, 0, 1):
            t = Fraction(x[i]) + place * Fraction(r[i])
            value = TRUE[name](ball(t))
            assert abs(value - arb(mids[i])) <= arb(rads[i]) or abs(t) > 1


@pytest.mark.parametrize("name", TRUE)
def test_radii_at_exact_arguments_are_a_few_roundings(name, rng):
    x = rng.uniform(0.2, 0.9, N)
    mids, rads = in_vectors(name, x, np.zeros(N), exact=True)
    assert np.all(rads <= SHARP * UNIT * np.abs(mids))
    used = [
        float(abs(TRUE[name](arb(a)) - arb(m)) / arb(r))
        for a, m, r in zip(x, mids, rads, strict=True)
    ]
    assert 0.005 < max(used) <= 1  # a radius two hundred times smaller is refuted


def in_python(name, guess, x):
    lines, value = written(name, exact=True)
    scope = {"UNIT": UNIT, "TINY": TINY, "GROW": GROW, "INF": math.inf, "math": math, "x": x}
    scope |= {"scale": lambda k: 2.0**k, f"guess_{name}": guess}
    exec("\n".join(lines), scope)
    return scope[value.mid], scope[value.rad]


@pytest.mark.parametrize(
    ("name", "true"), [("log", math.log), ("log1p", math.log1p), ("atan", math.atan)]
)
def test_a_wrong_guess_only_widens_the_result(name, true):
    for x in (0.03, 0.7, 5.0):
        for error in (0.0, 1e-9, -1e-3):
            mid, rad = in_python(name, lambda v, e=error: true(v) * (1 + e), x)
            assert abs(TRUE[name](arb(x)) - arb(mid)) <= arb(rad)
            assert rad >= abs(error * true(x)) * (1 - 1e-6)


def test_what_is_out_of_reach_has_no_finite_radius():
    zero = np.zeros(8)
    for name, x in (("exp", 800.0), ("sin", 1e7), ("log", -1.0), ("asin", 1.5), ("log1p", -2.0)):
        rads = in_vectors(name, np.full(8, x), zero)[1]
        assert not np.isfinite(rads).any(), name
    for name in TRUE:
        assert not np.isfinite(in_vectors(name, np.full(8, np.nan), zero)[1]).any(), name


def test_tails_do_not_vanish_silently():
    """exp(-800) is no double of full digits: its radius says so."""
    mids, rads = in_vectors("exp", np.full(8, -800.0), np.zeros(8))
    assert np.all(mids - rads <= 0)
    assert np.all(rads < 1e-280)
    mids, rads = in_vectors("erfc", np.full(8, 20.0), np.zeros(8))
    assert np.all(rads < 1e-10 * mids)


def test_other_functions_are_refused():
    with pytest.raises(NotSupportedError, match="the proved functions are exp"):
        ErrorFunctionTape().other_rule("gamma")
