"""Points at which elementary functions are tried, and their values as balls.

Errors are counted in units of 2^-53 of the exact value, where that is a normal double.
"""

import math

import numpy as np
from flint import arb, ctx

UNIT = 2.0**-53
NORMAL = 2.0**-1022
BITS = 300

BALLS = {
    name: getattr(arb, name)
    for name in ("exp", "log", "expm1", "log1p", "tanh", "sinh", "cosh", "sin", "cos", "tan")
} | {
    "atan": arb.atan,
    "asin": arb.asin,
    "acos": arb.acos,
    "erf": arb.erf,
    "erfc": arb.erfc,
    "softplus": lambda x: x.exp().log1p(),
    "normal_cdf": lambda x: (-x / arb(2).sqrt()).erfc() / 2,
    "normal_pdf": lambda x: (-x * x / 2).exp() / (2 * arb.pi()).sqrt(),
    "pow": lambda x, y: x**y,
}


def near_zero(rng, count):
    """Numbers of all sizes down to 1e-300, of both signs."""
    return rng.choice([-1, 1], count) * 10 ** rng.uniform([-15, -300], 0, (count // 2, 2)).ravel()


def _angles(rng, count):
    quarters = np.rint(rng.uniform(-6e5, 6e5, count)) * (math.pi / 2)
    return [rng.uniform(-1e6, 1e6, count), rng.uniform(-10, 10, count), quarters]


def _tiny_steps(rng, count):
    return rng.choice([-1, 1], count) * 10 ** rng.uniform(-15, 0, count)


def domain(name, count=300, seed=11):
    """Return random points over the domain, and beside its delicate places."""
    rng = np.random.default_rng(seed)
    return np.concatenate([*_PLACES[name](rng, count), _ALWAYS.get(name, near_zero)(rng, count)])


_PLACES = {
    "exp": lambda rng, n: [rng.uniform(-708, 709.7, 2 * n)],
    "log": lambda rng, n: [10 ** rng.uniform(-320, 308, n), rng.uniform(0.5, 2, n)],
    "expm1": lambda rng, n: [rng.uniform(-40, 709.7, n), rng.uniform(-1, 1, n)],
    "log1p": lambda rng, n: [10 ** rng.uniform(-2, 308, n), rng.uniform(-1, 2, n)],
    "tanh": lambda rng, n: [rng.uniform(-25, 25, n), rng.uniform(-1, 1, n)],
    "sinh": lambda rng, n: [rng.uniform(-710, 710, n), rng.uniform(-1, 1, n)],
    "cosh": lambda rng, n: [rng.uniform(-710, 710, n), rng.uniform(-2, 2, n)],
    "softplus": lambda rng, n: [rng.uniform(-40, 40, n), rng.uniform(-708, 1e4, n)],
    "sin": _angles,
    "cos": _angles,
    "tan": _angles,
    "atan": lambda rng, n: [1 / near_zero(rng, n), rng.uniform(-3, 3, n)],
    "asin": lambda rng, n: [rng.uniform(-1, 1, n), 1 - np.abs(_tiny_steps(rng, n))],
    "acos": lambda rng, n: [rng.uniform(-1, 1, n), 1 - np.abs(_tiny_steps(rng, n))],
    "erf": lambda rng, n: [rng.uniform(-6, 6, n), rng.uniform(-1, 1, n)],
    "erfc": lambda rng, n: [rng.uniform(-6, 26.5, n), rng.uniform(-1, 2, n)],
    "normal_cdf": lambda rng, n: [rng.uniform(-37.5, 9, n), rng.uniform(-2, 2, n)],
    "normal_pdf": lambda rng, n: [rng.uniform(-37.6, 37.6, 2 * n)],
}
_ALWAYS = {
    "log": lambda rng, n: 1 + _tiny_steps(rng, n) / 2,
    "acos": _tiny_steps,
    "softplus": _tiny_steps,
}


def powers(count=300, seed=11):
    """Return bases and exponents: over all sizes of results, and bases near one."""
    rng = np.random.default_rng(seed)
    base = np.concatenate(
        [
            10 ** rng.uniform(-308, 308, count),
            10 ** rng.uniform(-3, 3, count),
            1 + _tiny_steps(rng, count) / 2,
        ]
    )
    size = rng.uniform(-708, 709, base.size) / np.log(base)
    return base, np.where(np.isfinite(size), size, 0.5)


def exact(name, *points):
    """Return the values of a function as balls of many digits."""
    with ctx.workprec(BITS):
        rows = [[arb(float(x)) for x in row] for row in zip(*points, strict=True)]
        return [BALLS[name](*row) for row in rows]


def units_off(name, values, *points):
    """Return the largest error of values, in units; results below normal numbers do not count."""
    with ctx.workprec(BITS):
        pairs = zip(values, exact(name, *points), strict=True)
        return max(abs(float((arb(float(v)) - e) / e)) for v, e in pairs if _counts(e)) / UNIT


def _counts(value):
    return NORMAL <= abs(float(value.mid())) < math.inf


ENDS = {
    "exp": {-math.inf: 0.0, math.inf: math.inf, 0.0: 1.0, 720.0: math.inf, -800.0: 0.0},
    "log": {0.0: -math.inf, 1.0: 0.0, math.inf: math.inf, -5e-324: math.nan},
    "expm1": {-math.inf: -1.0, math.inf: math.inf, 0.0: 0.0, 710.0: math.inf, -50.0: -1.0},
    "tanh": {-math.inf: -1.0, math.inf: 1.0, 0.0: 0.0, 5e-324: 5e-324},
    "sinh": {-math.inf: -math.inf, math.inf: math.inf, 0.0: 0.0, 711.0: math.inf, 5e-324: 5e-324},
    "cosh": {-math.inf: math.inf, math.inf: math.inf, 0.0: 1.0, -711.0: math.inf},
    "log1p": {-1.0: -math.inf, math.inf: math.inf, 0.0: 0.0, -2.0: math.nan, 5e-324: 5e-324},
    "softplus": {-math.inf: 0.0, math.inf: math.inf, 0.0: math.log(2.0)},
    "sin": {0.0: 0.0, 5e-324: 5e-324, 1.1e6: math.nan, math.inf: math.nan, -math.inf: math.nan},
    "cos": {0.0: 1.0, 5e-324: 1.0, -1.1e6: math.nan, math.inf: math.nan},
    "tan": {0.0: 0.0, 5e-324: 5e-324, 1.1e6: math.nan, math.inf: math.nan},
    "atan": {math.inf: math.pi / 2, -math.inf: -math.pi / 2, 0.0: 0.0, 1.0: math.pi / 4},
    "asin": {1.0: math.pi / 2, -1.0: -math.pi / 2, 0.0: 0.0, 1.5: math.nan},
    "acos": {1.0: 0.0, -1.0: math.pi, 0.0: math.pi / 2, -1.5: math.nan},
    "erfc": {-math.inf: 2.0, math.inf: 0.0, 0.0: 1.0},
    "erf": {-math.inf: -1.0, math.inf: 1.0, 0.0: 0.0, 1e-310: 2e-310 / math.sqrt(math.pi)},
    "normal_cdf": {-math.inf: 0.0, math.inf: 1.0, 0.0: 0.5, -39.0: 0.0},
    "normal_pdf": {-math.inf: 0.0, math.inf: 0.0, 40.0: 0.0},
}
"""Values that must come out exactly."""
POWER_ENDS = {
    (2.0, 10.0): 1024.0,
    (0.0, 0.5): 0.0,
    (0.0, -0.5): math.inf,
    (7.0, 0.0): 1.0,
    (1.0, 1e300): 1.0,
    (math.inf, 0.5): math.inf,
    (math.inf, -0.5): 0.0,
    (2.0, math.inf): math.inf,
    (2.0, -math.inf): 0.0,
    (0.5, math.inf): 0.0,
    (-2.0, 3.0): -8.0,
    (-2.0, 4.0): 16.0,
    (-2.0, 0.5): math.nan,
    (10.0, 400.0): math.inf,
    (10.0, -400.0): 0.0,
    (4.0, 0.5): 2.0,
}
ODD = ("expm1", "tanh", "sinh", "log1p", "sin", "tan", "atan", "asin", "erf")
"""Functions that keep the sign of zero."""
