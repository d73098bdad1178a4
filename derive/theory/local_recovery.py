r"""Local linear recovery: how few samples could suffice to recover a function with a family.

Stage: the declaration of the second system. ``local_recovery(family, target)`` holds a family and
a random target of given intrinsic size; theory, experiment and figures all read it. The closed form
of the optimistic sample size comes from ``derive.recovery.sizes``, the witness from
``derive.model_rank`` at a point of the family, which is also where experiments start.

Source: arXiv:2406.18035 (local linear recovery), arXiv:2307.08921 (optimistic sample size),
arXiv:2211.11623 (rank stratification), arXiv:2105.14573 (embedding).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from derive.model_rank import ModelRank
from derive.recovery.family import Family, Point
from derive.recovery.sizes import SampleSize, optimistic_sample_size


@dataclass(frozen=True)
class LocalRecovery:
    """A family and a target, declared.

    Attributes:
        declaration: a declared family.
        target: intrinsic size of the target, as ``optimistic_sample_size`` takes it.
        seed: of the random target.
    """

    declaration: Any
    target: int | tuple[int, ...]
    seed: int = 0

    @cached_property
    def family(self) -> Family:
        """The family as an expression."""
        return self.declaration.family()

    @cached_property
    def point(self) -> Point:
        """Parameters of least rank for the random target."""
        return self.declaration.target(self.target, self.seed)

    def sample_size(self) -> SampleSize:
        """Return the optimistic sample size in closed form."""
        return optimistic_sample_size(self.declaration, self.target)

    def certify(self) -> ModelRank:
        """Return the certified rank at ``point``; its agreement is a witness of the closed form."""
        return self.family.rank(self.point)


def local_recovery(
    declaration: Any, target: int | Sequence[int], *, seed: int = 0
) -> LocalRecovery:
    """Declare the recovery of a random target by a family.

    Args:
        declaration: TwoLayer, FullyConnected, Convolutional, MatrixFactorization, DeepLinear,
            Diagonal or Monomial.
        target: intrinsic size: neurons, kernels, rank, entries, or widths of a narrow network.
        seed: of the target.

    Example:
        >>> from derive.recovery.networks import TwoLayer
        >>> model = local_recovery(TwoLayer(3, 4), 2)
        >>> model.sample_size()
        SampleSize(8 = k*(d + 1), exact; M = 16)
        >>> model.certify()
        ModelRank(8 of 16: exact)
    """
    size = target if isinstance(target, int) else tuple(target)
    return LocalRecovery(declaration, size, seed)
