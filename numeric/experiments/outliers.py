"""Finite-size twin of outliers: eigenvalues next to predicted places, and overlaps with the spikes.

Stage: experiment. The matrix is drawn from the declaration that the theory reads, diagonalised, and
the eigenvalue nearest to each predicted place is taken, with its eigenvector.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from derive.errors import RangeError
from derive.spikes import Outliers
from numeric.experiments.matrices import Drawing, Samples


def sample_outliers(
    found: Outliers,
    places: Sequence[float],
    sizes: Mapping[str, float],
    seed: int = 0,
    *,
    trials: int = 1,
) -> Samples:
    """Sample the eigenvalues nearest to given places, and their overlaps with the spikes.

    Args:
        found: the declared matrix with its spikes.
        places: one place per outlier, distinct.
        sizes: a value for every dimension (integers >= 1) and every control of the matrix, by name.
        seed: of all draws.
        trials: number of independent draws.

    Returns:
        ``place_0``, ... and ``overlap_<vector>_0``, ...: arrays of shape (trials,). The overlap is
        (v^T psi)^2 for the unit eigenvector psi.

    Raises:
        RangeError: for no place.

    Accuracy: eigenvalues in double precision; fluctuations are of order 1/sqrt(size).
    """
    if not len(places):
        raise RangeError("sample of outliers", "no places", "find them first (numeric.outliers)")
    columns: dict[str, list[float]] = {}
    for trial in range(trials):
        drawing = Drawing(np.random.default_rng(np.random.SeedSequence((seed, trial))), sizes)
        values, vectors = np.linalg.eigh(drawing.matrix(found.matrix))
        for k, place in enumerate(places):
            nearest = int(np.argmin(np.abs(values - place)))
            columns.setdefault(f"place_{k}", []).append(float(values[nearest]))
            for v in found.vectors:
                overlap = float(drawing.direction(v) @ vectors[:, nearest]) ** 2
                columns.setdefault(f"overlap_{v.name}_{k}", []).append(overlap)
    return Samples({name: np.array(v) for name, v in columns.items()}, dict(sizes))
