"""Solutions at the limit of no ridge say how far they may be from it."""

import numpy as np
import pytest

from derive.theory.deep_features import deep_features
from numeric.compiled import compile


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("slopes", [True, False])
def test_training_errors_that_vanish_on_a_peak_are_within_their_errors(depth, slopes):
    # Of n = p samples and features, ridgeless regression fits every label: E_train = 0 there.
    evaluate = compile(deep_features(["tanh"] * depth), slopes=slopes)
    solution = evaluate(alpha=1.0, gamma=(1.0,) * depth, lam=0.0, noise=0.25)
    assert 0 < solution.E_train <= solution.error["E_train"] < 1e-8


def test_errors_off_the_peak_do_not_grow():
    evaluate = compile(deep_features(["tanh"]))
    alpha = np.array([0.5, 0.9, 1.1, 2.0])
    solution = evaluate(alpha=alpha, gamma=(1.0,), lam=0.0, noise=0.25)
    assert (solution.error["E_test"] < 1e-12 * solution.E_test).all()
