"""Experiments on local linear recovery, each with a claim that it would refuse.

The exponent law resolves a claim that is wrong by one sample: the orders differ by 1, the limits
by 0.05 and 0.1, and the spread over seeds is below 0.02.
"""

import numpy as np
import pytest

from derive.recovery.completion import completion_probability
from derive.recovery.linear import DeepLinear, Diagonal, MatrixFactorization
from derive.recovery.networks import Convolutional, FullyConnected, Monomial, TwoLayer
from derive.theory.local_recovery import local_recovery
from numeric.experiments.embedding import embedding_family
from numeric.experiments.local_recovery import exponent_law, hessian_rank
from numeric.experiments.small_start import STATEMENT, small_start

pytestmark = pytest.mark.simulation

FAMILIES = [
    (TwoLayer(2, 3), 1),
    (TwoLayer(2, 2, "sigmoid"), 1),
    (Convolutional((5,), (3,), 2, "shared"), 1),
    (Convolutional((5,), (3,), 2, "local"), 1),
    (Convolutional((5,), (3,), 2, "full"), 1),
    (MatrixFactorization(4, 4, 4), 1),
    (DeepLinear((3, 3, 3, 3)), 2),
    (Diagonal(6, 3), 4),
    (Monomial(3, 2, 3), 1),
    (FullyConnected((1, 2, 2, 1)), (1, 1, 1, 1)),
]


@pytest.mark.parametrize(("family", "target"), FAMILIES, ids=str)
def test_exponent_law_separates_one_sample(family, target):
    law = exponent_law(local_recovery(family, target))
    below, at = law.medians
    assert below == pytest.approx(1, abs=0.05)
    assert at == pytest.approx(2, abs=0.1)
    assert law.separates
    assert law.rank == law.claimed


@pytest.mark.parametrize("error", [-1, 1])
def test_exponent_law_refuses_a_size_that_is_wrong_by_one(error):
    model = local_recovery(MatrixFactorization(4, 4, 4), 1)
    law = exponent_law(model, model.sample_size().value + error, seeds=3)
    assert not law.separates
    assert "does not separate" in repr(law)


def test_a_family_without_surplus_recovers_to_rounding():
    law = exponent_law(local_recovery(TwoLayer(2, 1), 1), seeds=3)
    assert law.recovered
    assert law.separates


def test_hessian_at_zero_loss_has_the_smaller_of_samples_and_rank():
    model = local_recovery(Convolutional((5,), (3,), 2), 1)
    for n, rank in ((4, 4), (6, 6), (12, 6)):
        found = hessian_rank(model, n)
        assert (found.rank, found.expected, found.flat) == (rank, rank, 12 - rank)
        assert found.gap > 1e4


def test_split_networks_stay_critical_along_a_family_of_the_stated_dimension():
    found = embedding_family((2, 2, 2, 1))
    assert found.narrow_gradient < 1e-10
    assert found.wide_gradients.max() < 1e-10
    assert found.off_gradient > 1e-4
    assert 0.001 < found.loss < 0.1
    assert found.spread < 1e-12
    assert found.dimension == found.bound == 3


def test_training_from_a_small_start_recovers_nothing_below_the_size():
    """Twelve targets a size; a size too large by one would show recoveries at n = 7 or 8."""
    family = MatrixFactorization(4, 4, 4)
    found = small_start(family, 1, [5, 6, 10, 13], observed="entries", targets=12, steps=2500)
    assert found.optimistic == 7
    assert np.all(found.fractions[:2] == 0)
    assert found.fractions[3] > 0.5
    assert found.caps == pytest.approx([0, 0, float(completion_probability(4, 4, 10)), 1])
    # a fraction cannot exceed the exact probability by more than chance over 12 targets
    spread = np.sqrt(found.caps * (1 - found.caps) / 12)
    assert np.all(found.fractions <= found.caps + 3 * spread)
    assert found.statement == STATEMENT
