"""Elementary functions in vector lanes: against balls on their whole domains, at the ends, as code.

Both printings of the one text are tried: vector code for LLVM, with fused operations and without,
and Numba. Errors are counted in units of 2^-53 of the value.
"""

import math
import re

import numpy as np
import pytest
from flint import arb

from derive.errors import ShapeError, UnknownNameError
from numeric.cache import load
from numeric.elementary import DOMAIN, NAMES, UNITS, elementary, elementary_source
from numeric.elementary_ir import array_ir
from numeric.elementary_text import HEAD, functions_text
from numeric.vector_code import compile_vectors
from tests.elementary_cases import ENDS, ODD, POWER_ENDS, domain, exact, powers, units_off

GRIDS = HEAD + functions_text(f"v{name}" for name in UNITS)
GRIDS += "".join(
    f"""

@njit(**ARRAYS)
def {name}_grid(points, out):
    for i in range(out.size):
        out[i] = v{name}({"points[0, i], points[1, i]" if name == "pow" else "points[0, i]"})
"""
    for name in UNITS
)


def points(name):
    return np.array(powers() if name == "pow" else [domain(name)])


def by_llvm(name, rows):
    return elementary(name)(*rows)


def unfused(name, rows):
    """Run the vector code with every operation on its own."""
    text = array_ir(f"v{name}", len(rows), 4).replace(" contract", "")
    size = rows.shape[1] // 4 * 4
    out = np.empty(size)
    compile_vectors(text)(
        np.ascontiguousarray(rows[:, :size]), np.empty(0), out, size, 0, size // 4
    )
    return np.append(out, elementary(name)(*rows[:, size:]))


def by_numba(name, rows):
    out = np.empty(rows.shape[1])
    getattr(load(GRIDS), f"{name}_grid")(rows, out)
    return out


PRINTINGS = pytest.mark.parametrize("run", [by_llvm, unfused, by_numba])
EACH = pytest.mark.parametrize("name", UNITS)


@PRINTINGS
@EACH
def test_values_are_within_their_bounds_of_balls(name, run):
    rows = points(name)
    assert units_off(name, run(name, rows), *rows) < 0.9 * UNITS[name]


@EACH
def test_an_error_of_its_bound_would_be_seen(name):
    rows = points(name)
    off = by_llvm(name, rows) * (1 + (UNITS[name] + 1) * 2.0**-53)
    assert units_off(name, off, *rows) > UNITS[name]


@PRINTINGS
@pytest.mark.parametrize("name", NAMES)
def test_ends_of_the_domain_and_nan(name, run):
    found = run(name, np.array([[*ENDS[name], math.nan, math.nan, math.nan]]))
    np.testing.assert_array_equal(found, [*ENDS[name].values(), math.nan, math.nan, math.nan])


@PRINTINGS
def test_ends_of_powers_and_nan(run):
    rows = np.array([*POWER_ENDS, (math.nan, 1.0), (math.nan, 0.0), (1.0, math.nan)]).T
    expected = [*POWER_ENDS.values(), math.nan, math.nan, math.nan]
    np.testing.assert_array_equal(run("pow", rows), expected)


@PRINTINGS
@pytest.mark.parametrize("name", ODD)
def test_odd_functions_keep_the_sign_of_zero(name, run):
    zeros = run(name, np.array([[-0.0, 0.0, -0.0, 0.0]]))
    assert np.array_equal(np.copysign(1.0, zeros), [-1.0, 1.0, -1.0, 1.0])


@pytest.mark.parametrize("name", [n for n in DOMAIN if n in NAMES])
def test_a_step_beyond_the_domain_is_no_number(name):
    ends = [x for x in DOMAIN[name] if math.isfinite(x)]
    beyond = [math.nextafter(x, math.copysign(math.inf, x or -1.0)) for x in ends]
    assert np.all(np.isnan(elementary(name)(beyond)))
    assert not np.any(np.isnan(elementary(name)(ends)))


@pytest.mark.parametrize("name", ["exp", "erfc", "normal_cdf", "normal_pdf", "pow"])
def test_results_below_normal_numbers_lose_two_of_their_steps_at_most(name):
    rng = np.random.default_rng(5)
    low, high = {
        "exp": (-745.0, -708.5),
        "erfc": (26.6, 27.2),
        "normal_cdf": (-38.4, -37.6),
        "normal_pdf": (37.7, 38.5),
        "pow": (-1074.0, -1022.5),
    }[name]
    x = rng.uniform(low, high, 200)
    rows = [np.full(200, 2.0), x] if name == "pow" else [x]
    whole = elementary(name)(*rows) / 5e-324
    steps = np.array([float(e * arb(2) ** 1074) for e in exact(name, *rows)])
    assert np.max(np.abs(whole - steps)) <= 2.5


@EACH
def test_numba_loops_use_vector_registers_and_no_library(name):
    arguments = "points[i], points[i]" if name == "pow" else "points[i]"
    text = elementary_source().replace("cache=True", "cache=False")
    text += f"""
@njit(cache=False, fastmath=FLAGS, error_model="numpy")
def loop(points, out):
    for i in range(points.size):
        out[i] = v{name}({arguments})
"""
    loop = load(text).loop
    loop(np.zeros(4), np.zeros(4))
    (assembly,) = loop.inspect_asm().values()
    assert len(re.findall(r"mulpd|fmadd\w*pd|fmla", assembly)) > 5
    assert not re.search(rf"call\w*\s+.*\b{name}\b", assembly)


def test_shapes_are_kept_and_other_names_refused():
    assert elementary("exp")(np.zeros((2, 3))).shape == (2, 3)
    assert elementary("exp")(0.0).shape == ()
    assert elementary("pow")(np.full((2, 1), 4.0), [0.5, 2.0]).tolist() == [[2, 16], [2, 16]]
    assert elementary("log")(np.empty(0)).shape == (0,)
    with pytest.raises(UnknownNameError, match="gamma on arrays"):
        elementary("gamma")
    with pytest.raises(ShapeError, match="pow of 1 arrays: it takes 2"):
        elementary("pow")(1.0)
