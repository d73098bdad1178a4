"""Every unknown of random deep networks against fifty digits, and of the hardest points found.

The random points are the first of those on which the benchmark runs, lam from 1e-6 on. The hardest
ones had the largest error bounds among 300,000 such points of each depth; there the samples or the
features are within a thousandth of an interpolation peak.
"""

import mpmath
import numpy as np
import pytest
from sympy import Rational

from numeric.bench_features import workload
from numeric.compiled import compile
from numeric.reference import reference

LIMIT = 1e-13
POINTS = 32
HARD = {
    1: {
        "alpha": 3.541086566291606,
        "gamma_1": 3.549898160664739,
        "lam": 1.7511876815917994e-06,
        "noise": 0.23876495971512204,
        "a_1": 0.13371276175052266,
        "b_1": 0.946492892325092,
        "signal": 0.04485521040137098,
    },
    2: {
        "alpha": 0.5126176912196241,
        "gamma_1": 0.3636605330346688,
        "gamma_2": 0.5142533793059251,
        "lam": 3.3961487318133327e-06,
        "noise": 0.5589146837639145,
        "a_1": 0.2727889831663844,
        "b_1": 0.02033202871948473,
        "a_2": 0.1256509036510966,
        "b_2": 0.9037065621849891,
        "signal": 0.34376481116630103,
    },
    3: {
        "alpha": 0.2225074851666573,
        "gamma_1": 0.6153350333738882,
        "gamma_2": 1.877669776742886,
        "gamma_3": 0.22296297311628852,
        "lam": 1.012843295127092e-06,
        "noise": 0.9533009231652789,
        "a_1": 0.7547629256647271,
        "b_1": 0.4324234309294828,
        "a_2": 0.35041187966728143,
        "b_2": 0.022394382301853723,
        "a_3": 0.2436480023423237,
        "b_3": 0.5897963264300574,
        "signal": 0.10507651806955874,
    },
}


def truth(program, controls):
    """Fifty digits of the unknowns at doubles, taken as the rational numbers that they are."""
    exact = {n: Rational(*float(v).as_integer_ratio()) for n, v in controls.items()}
    found = reference(program, digits=50, **exact)
    return [found[name] for name in program.unknowns]


def relative_errors(values, expected):
    """Relative errors of doubles against many digits, rounded only at the end."""
    with mpmath.workdps(50):
        return np.array(
            [
                float(abs(mpmath.mpf(float(v)) / e - 1))
                for v, e in zip(values, expected, strict=True)
            ]
        )


def solved(work, inputs, method="llvm"):
    """Unknowns, shape (unknowns, points)."""
    evaluate = compile(work.program, outputs=(), errors=False, slopes=False, method=method)
    names = [q.name for q in work.program.inputs]
    solution = evaluate(**dict(zip(names, inputs, strict=True)))
    assert solution.converged
    return np.array([solution[name] for name in work.program.unknowns])


@pytest.mark.parametrize(
    ("method", "depth"), [("llvm", 1), ("llvm", 2), ("llvm", 3), ("lanes", 1), ("scalar", 1)]
)
def test_every_unknown_of_random_points_has_thirteen_digits(method, depth):
    work = workload(depth, POINTS, seed=1)
    names = [q.name for q in work.program.inputs]
    found = solved(work, work.inputs, method)
    for i in range(POINTS):
        expected = truth(work.program, dict(zip(names, work.inputs[:, i], strict=True)))
        assert np.max(relative_errors(found[:, i], expected)) <= LIMIT, f"point {i}"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_unknown_of_the_hardest_points_has_thirteen_digits(depth):
    work = workload(depth, 1)
    inputs = np.array([[HARD[depth][q.name]] for q in work.program.inputs])
    found = solved(work, inputs)[:, 0]
    assert np.max(relative_errors(found, truth(work.program, HARD[depth]))) <= LIMIT


@pytest.mark.parametrize("unknown", [0, 1])
def test_an_unknown_moved_by_three_parts_in_ten_to_the_thirteen_is_rejected(unknown):
    work = workload(1, 1)
    inputs = np.array([[HARD[1][q.name]] for q in work.program.inputs])
    found = solved(work, inputs)[:, 0]
    found[unknown] *= 1 + 3e-13
    assert relative_errors(found, truth(work.program, HARD[1]))[unknown] > LIMIT
