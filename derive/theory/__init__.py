"""The systems, each stated in the words of the modules of ``derive``."""

from typing import TYPE_CHECKING

from derive.public import on_first_use

if TYPE_CHECKING:
    from derive.recovery.completion import completion_probability as completion_probability
    from derive.recovery.completion import recovery_probability as recovery_probability
    from derive.recovery.linear import DeepLinear as DeepLinear
    from derive.recovery.linear import Diagonal as Diagonal
    from derive.recovery.linear import MatrixFactorization as MatrixFactorization
    from derive.recovery.networks import Convolutional as Convolutional
    from derive.recovery.networks import FullyConnected as FullyConnected
    from derive.recovery.networks import Monomial as Monomial
    from derive.recovery.networks import TwoLayer as TwoLayer
    from derive.recovery.placements import Kernels as Kernels
    from derive.recovery.sizes import optimistic_sample_size as optimistic_sample_size
    from derive.recovery.strata import fibre_strata as fibre_strata
    from derive.recovery.strata import rank_table as rank_table
    from derive.theory.deep_features import deep_features as deep_features
    from derive.theory.gram_weights import gram_features as gram_features
    from derive.theory.local_recovery import local_recovery as local_recovery

_HOMES = {
    "Convolutional": "derive.recovery.networks",
    "DeepLinear": "derive.recovery.linear",
    "Diagonal": "derive.recovery.linear",
    "FullyConnected": "derive.recovery.networks",
    "Kernels": "derive.recovery.placements",
    "MatrixFactorization": "derive.recovery.linear",
    "Monomial": "derive.recovery.networks",
    "TwoLayer": "derive.recovery.networks",
    "completion_probability": "derive.recovery.completion",
    "deep_features": "derive.theory.deep_features",
    "fibre_strata": "derive.recovery.strata",
    "gram_features": "derive.theory.gram_weights",
    "local_recovery": "derive.theory.local_recovery",
    "optimistic_sample_size": "derive.recovery.sizes",
    "rank_table": "derive.recovery.strata",
    "recovery_probability": "derive.recovery.completion",
}

__all__ = [
    "Convolutional",
    "DeepLinear",
    "Diagonal",
    "FullyConnected",
    "Kernels",
    "MatrixFactorization",
    "Monomial",
    "TwoLayer",
    "completion_probability",
    "deep_features",
    "fibre_strata",
    "gram_features",
    "local_recovery",
    "optimistic_sample_size",
    "rank_table",
    "recovery_probability",
]

on_first_use(__name__, _HOMES)
