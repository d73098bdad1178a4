"""Elementary functions in vector lanes: against balls on their whole domains, at the ends, as code.

Accuracy is counted in units of 2^-52 of the value.
"""

import math
import re

import numpy as np
import pytest
from flint import arb, ctx

from derive.errors import UnknownNameError
from numeric.cache import load
from numeric.elementary import NAMES, elementary, elementary_source

UNIT = 2.0**-52
BALLS = {
    "exp": arb.exp,
    "tanh": arb.tanh,
    "log1p": arb.log1p,
    "softplus": lambda x: x.exp().log1p(),
    "asin": arb.asin,
    "acos": arb.acos,
    "erfc": arb.erfc,
    "erf": arb.erf,
}
LIMIT = {"exp": 1.5, "erf": 1.5, "acos": 1.5}


def small(rng, count=300):
    return rng.choice([-1, 1], count) * 10 ** rng.uniform(-15, 0, count)


def domain(name):
    rng = np.random.default_rng(11)
    return {
        "exp": np.concatenate([rng.uniform(-660, 709, 900), small(rng)]),
        "tanh": np.concatenate([rng.uniform(-25, 25, 600), small(rng)]),
        "log1p": np.concatenate(
            [10 ** rng.uniform(-2, 300, 500), rng.uniform(-1, 2, 500), small(rng)]
        ),
        "softplus": np.concatenate([rng.uniform(-40, 40, 700), rng.uniform(-660, 1e4, 300)]),
        "asin": np.concatenate([rng.uniform(-1, 1, 700), small(rng)]),
        "acos": np.concatenate([rng.uniform(-1, 1, 700), 1 - np.abs(small(rng))]),
        "erfc": np.concatenate([rng.uniform(-6, 25, 900), small(rng)]),
        "erf": np.concatenate([rng.uniform(-6, 6, 700), small(rng)]),
    }[name]


def worst(name, values):
    """Largest relative error in units of 2^-52."""
    with ctx.workprec(160):
        exact = [BALLS[name](arb(float(x))) for x in domain(name)]
        pairs = zip(values, exact, strict=True)
        return max(abs(float((arb(float(v)) - e) / e)) for v, e in pairs) / UNIT


@pytest.mark.parametrize("name", NAMES)
def test_values_are_within_two_units_and_a_half_of_balls(name):
    assert worst(name, elementary(name)(domain(name))) < LIMIT.get(name, 2.5)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_of_four_units_would_be_seen(name):
    assert worst(name, elementary(name)(domain(name)) * (1 + 4 * UNIT)) > 2.5


ENDS = {
    "exp": {-math.inf: 0.0, math.inf: math.inf, 0.0: 1.0, 720.0: math.inf, -800.0: 0.0},
    "tanh": {-math.inf: -1.0, math.inf: 1.0, 0.0: 0.0},
    "log1p": {-1.0: -math.inf, math.inf: math.inf, 0.0: 0.0, -2.0: math.nan},
    "softplus": {-math.inf: 0.0, math.inf: math.inf, 0.0: math.log(2.0)},
    "asin": {1.0: math.pi / 2, -1.0: -math.pi / 2, 0.0: 0.0, 1.5: math.nan},
    "acos": {1.0: 0.0, -1.0: math.pi, 0.0: math.pi / 2, -1.5: math.nan},
    "erfc": {-math.inf: 2.0, math.inf: 0.0, 0.0: 1.0},
    "erf": {-math.inf: -1.0, math.inf: 1.0, 0.0: 0.0},
}


@pytest.mark.parametrize("name", NAMES)
def test_ends_of_the_domain_and_nan(name):
    found = elementary(name)([*ENDS[name], math.nan])
    np.testing.assert_array_equal(found, [*ENDS[name].values(), math.nan])


def test_odd_functions_keep_the_sign_of_zero():
    for name in ("tanh", "asin", "erf"):
        assert math.copysign(1.0, float(elementary(name)(-0.0))) == -1.0


@pytest.mark.parametrize("name", NAMES)
def test_loops_use_vector_registers_and_no_library(name):
    text = elementary_source().replace("cache=True", "cache=False")
    text += f"""
@njit(cache=False, fastmath=FLAGS, error_model="numpy")
def loop(points, out):
    for i in range(points.size):
        out[i] = v{name}(points[i])
"""
    loop = load(text).loop
    loop(np.zeros(4), np.zeros(4))
    (assembly,) = loop.inspect_asm().values()
    assert len(re.findall(r"mulpd|fmadd\w*pd|fmla", assembly)) > 5
    assert not re.search(rf"call\w*\s+.*\b{name}\b", assembly)


def test_shapes_are_kept_and_other_names_refused():
    assert elementary("exp")(np.zeros((2, 3))).shape == (2, 3)
    assert elementary("exp")(0.0).shape == ()
    with pytest.raises(UnknownNameError, match="gamma on arrays"):
        elementary("gamma")
