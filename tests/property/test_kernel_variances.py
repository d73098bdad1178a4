"""Compiled kernels of the list against balls, for variances from 1e-6 to 1e6 and up to the ends.

Errors are relative to each value; where the kernel passes through zero, to the values around it,
and below 1e-100 of the largest value, to that.
"""

import random

import numpy as np
import pytest
from sympy import Rational

from derive.errors import RangeError
from derive.kernels import kernel
from numeric.kernels import compile_kernel
from tests.kernel_list import ACTIVATIONS, NUMBERS

VARIANCES = [Rational(1, 10**6), Rational(1, 1000), 1, 1000, 10**6]
CORRELATIONS = [-1.0, 1e-12 - 1, -0.999999, -0.9, 0.0, 1e-5, 0.3, 1 - 1e-9, 1.0]
TOO_LARGE = [("exp", 10**6)]
TABLE = [(name, v) for name in ACTIVATIONS for v in VARIANCES if (name, v) not in TOO_LARGE]
EXTREME = [("gelu", 10**6), ("elu", VARIANCES[0]), ("shifted step", VARIANCES[0])]
SAMPLE = EXTREME + random.Random(3).sample(TABLE, 12)
SMALLEST, DEPTH = 1e-290, 1e-100


def deviation(name, variance):
    """Largest relative error at the correlations, with the kernel as it is compiled."""
    declared = kernel(ACTIVATIONS[name].subs(NUMBERS), variances=(variance, variance))
    truth = np.array([float(declared.at(Rational(rho), 18)) for rho in CORRELATIONS])
    errors = np.abs(compile_kernel(declared)(np.array(CORRELATIONS)) - truth)
    left, right = np.append(truth[0], truth[:-1]), np.append(truth[1:], truth[-1])
    crosses = (truth == 0) | (left * truth < 0) | (truth * right < 0)
    around = np.maximum(np.abs(left), np.abs(right))
    local = np.where(crosses, np.maximum(np.abs(truth), around), np.abs(truth))
    floor = max(SMALLEST, DEPTH * np.abs(truth).max())
    return np.max(errors / np.maximum(local, floor))


@pytest.mark.parametrize(("name", "variance"), SAMPLE)
def test_compiled_kernel_keeps_thirteen_digits_at_any_variance(name, variance):
    assert deviation(name, variance) < 1e-13


def test_a_kernel_beyond_doubles_is_refused():
    with pytest.raises(RangeError, match="not finite"):
        compile_kernel(ACTIVATIONS["exp"].subs(NUMBERS), variances=(10**6, 10**6))
