"""Compiled kernels of the list against balls, for variances from 1e-6 to 1e6 and up to the ends."""

import random
from math import inf, ulp

import numpy as np
import pytest
from sympy import Rational

from derive.errors import RangeError
from derive.kernels import kernel
from numeric.kernels import compile_kernel
from tests.kernel_list import ACTIVATIONS, NUMBERS

VARIANCES = [Rational(1, 10**6), Rational(1, 100), 1, 100, 10**6]
CORRELATIONS = [-1.0, -0.999999, 0.0, 0.3, 1 - 1e-9, 1.0]
TOO_LARGE = [("exp", 10**6)]
TABLE = [(name, v) for name in ACTIVATIONS for v in VARIANCES if (name, v) not in TOO_LARGE]
EXTREME = [("sin", 10**6), ("gabor", 10**6), ("shifted step", VARIANCES[0])]
SAMPLE = EXTREME + random.Random(3).sample(TABLE, 12)


def deviation(name, variance):
    """Largest error at the correlations, in units of K(1), with the kernel as it is compiled."""
    declared = kernel(ACTIVATIONS[name].subs(NUMBERS), variances=(variance, variance))
    truth = [declared.at(Rational(rho), 18) for rho in CORRELATIONS]
    values = compile_kernel(declared)(np.array(CORRELATIONS))
    scale = max(abs(float(truth[-1])), ulp(0.0))
    errors = [abs(v - float(t)) / scale for v, t in zip(values, truth, strict=True)]
    return max(e if e >= 0 else inf for e in errors)


@pytest.mark.parametrize(("name", "variance"), SAMPLE)
def test_compiled_kernel_keeps_thirteen_digits_at_any_variance(name, variance):
    assert deviation(name, variance) <= 1e-13


def test_a_kernel_beyond_doubles_is_refused():
    with pytest.raises(RangeError, match="not finite"):
        compile_kernel(ACTIVATIONS["exp"].subs(NUMBERS), variances=(10**6, 10**6))
