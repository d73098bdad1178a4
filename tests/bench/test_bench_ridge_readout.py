"""Speed of ridge curves over 1,000 eigenvalues; skipped unless benchmarks are asked for."""

import numpy as np
import pytest

from numeric.compressed_spectrum import compress
from numeric.ridge_readout_theory import ridge_curve
from numeric.spectral_functions import Modes

POINTS, MODES = 10_000, 1_000


@pytest.fixture(scope="module")
def grid():
    rng = np.random.default_rng(0)
    n = rng.integers(50, 20_000, POINTS)
    n[: POINTS // 5] = MODES  # the peak
    lam = 10 ** rng.uniform(-10, 1, POINTS)
    return {"ratio": n / MODES, "lam": lam, "noise": 0.1}


@pytest.fixture(scope="module")
def modes():
    values = np.arange(1, MODES + 1.0) ** -1.5
    return Modes(values, np.full(MODES, 1 / MODES), values**2 / MODES)


def recorded(benchmark, curve):
    benchmark.extra_info |= {
        "steps": int(curve.steps.max()),
        "residual": float(curve.residual.max()),
        "converged": curve.converged,
    }


def test_exact_sums(benchmark, modes, grid):
    recorded(benchmark, benchmark(lambda: ridge_curve(modes, **grid)))


def test_sums_from_a_table_made_for_the_occasion(benchmark, modes, grid):
    curve = benchmark(lambda: ridge_curve(compress(modes, 1e-12, 1e3), **grid))
    recorded(benchmark, curve)
