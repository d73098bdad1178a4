"""Kernel values per second; the peers run beside ours where they are installed."""

import importlib
import importlib.util
import statistics
from time import perf_counter

import numpy as np
import pytest
from scipy import special
from sympy import Abs, Max, Min, Piecewise, erf, exp, log, sqrt, tanh

from derive.symbols import z
from numeric.elementary import NAMES, elementary
from numeric.kernels import compile_kernel

COUNT = 1_000_000
CASES = {
    "tanh": tanh(z),
    "softplus": log(1 + exp(z)),
    "relu": Max(z, 0),
    "erf": erf(z),
    "gelu": z * (1 + erf(z / sqrt(2))) / 2,
    "relu of tanh": Max(tanh(z), 0),
    "abs of tanh": Abs(tanh(z)),
    "silu": z / (1 + exp(-z)),
    "mish": z * tanh(log(1 + exp(z))),
    "elu": Piecewise((z, z > 0), (exp(z) - 1, True)),
    "clip": Max(Min(z, 1), -1),
    "custom": Piecewise((z + 2, z < -1), (z**2, z < 1), (2 - z, True)),
}
LIBRARY = {
    "exp": np.exp,
    "log": np.log,
    "expm1": np.expm1,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "atan": np.arctan,
    "normal_cdf": special.ndtr,
    "normal_pdf": lambda x: np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi),
    "tanh": np.tanh,
    "log1p": np.log1p,
    "softplus": lambda x: np.logaddexp(0, x),
    "asin": np.arcsin,
    "acos": np.arccos,
    "erfc": special.erfc,
    "erf": special.erf,
}


@pytest.fixture(scope="module")
def correlations():
    return np.random.default_rng(7).uniform(-1, 1, COUNT)


@pytest.mark.parametrize("name", CASES)
def test_compiled_kernel(benchmark, correlations, name):
    found = compile_kernel(CASES[name])
    found(correlations[:8])
    values = benchmark(found, correlations)
    benchmark.extra_info |= {
        "error": found.error,
        "relative": found.relative,
        "basis": found.basis,
        "values": COUNT,
        "nanoseconds": 1e9 * benchmark.stats.stats.median / COUNT,
    }
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", NAMES)
def test_elementary_function_beside_the_library(benchmark, correlations, name):
    """Take turns with NumPy or SciPy; the extra information holds the ratio of the medians."""
    ours, theirs, times = elementary(name), LIBRARY[name], []
    points = np.abs(correlations) if name == "log" else correlations
    np.testing.assert_allclose(ours(points), theirs(points), rtol=1e-14)

    def peer():
        start = perf_counter()
        theirs(points)
        times.append(perf_counter() - start)

    benchmark.pedantic(ours, args=(points,), setup=peer, rounds=15)
    own, other = benchmark.stats.stats.median, statistics.median(times)
    benchmark.extra_info |= {"library_over_ours": other / own, "nanoseconds": 1e9 * own / COUNT}


def _peer(name):
    """Return neural-tangents' kernel of unit variances as a function of an array, or skip."""
    for module in ("jax", "neural_tangents"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    try:
        jax = importlib.import_module("jax")
        stax = importlib.import_module("neural_tangents.stax")
    except (ImportError, AttributeError) as error:
        pytest.skip(f"the peer cannot be imported: {error}")
    jax.config.update("jax_enable_x64", True)
    layer = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu}[name]()
    return jax, layer[2]


@pytest.mark.parametrize("name", ["relu", "erf", "gelu"])
def test_peer_with_a_closed_kernel(benchmark, correlations, name):
    jax, kernel = _peer(name)
    side = 1000
    angles = np.random.default_rng(7).uniform(-np.pi, np.pi, (2, side))
    points = [np.stack([np.cos(a), np.sin(a)], axis=1) * np.sqrt(2) for a in angles]
    run = jax.jit(lambda a, b: kernel(a, b, get="nngp"))
    run(*points).block_until_ready()
    benchmark(lambda: run(*points).block_until_ready())
    benchmark.extra_info |= {"values": side * side}


def _by_hand(jnp, name):
    """Return a closed kernel of unit variances as somebody writes it in jax.numpy."""

    def relu(rho):
        return (jnp.sqrt((1 - rho) * (1 + rho)) + (jnp.pi - jnp.arccos(rho)) * rho) / (2 * jnp.pi)

    def erf(rho):
        return 2 / jnp.pi * jnp.arcsin(rho * 2 / 3)

    def gelu(rho):
        product = rho / 4 + rho * jnp.arcsin(rho / 2) / (2 * jnp.pi)
        return product + 1 / (2 * jnp.pi * jnp.sqrt(4 - rho * rho))

    return {"relu": relu, "erf": erf, "gelu": gelu}[name]


@pytest.mark.parametrize("name", ["relu", "erf", "gelu"])
def test_closed_kernel_beside_the_same_formula_under_jax(benchmark, correlations, name):
    """Take turns with ``jax.jit``; the extra information holds both medians and their ratio."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = importlib.import_module("jax.numpy")
    ours, points = compile_kernel(CASES[name]), jnp.asarray(correlations)
    theirs = jax.jit(_by_hand(jnp, name))
    assert np.abs(ours(correlations) - np.asarray(theirs(points))).max() < 1e-14
    times = []

    def peer():
        start = perf_counter()
        theirs(points).block_until_ready()
        times.append(perf_counter() - start)

    benchmark.pedantic(ours, args=(correlations,), setup=peer, rounds=31)
    own, other = benchmark.stats.stats.median, statistics.median(times)
    benchmark.extra_info |= {"jax_median": other, "jax_over_ours": other / own}
