"""The systems, each stated in the words of the modules of ``derive``."""

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
