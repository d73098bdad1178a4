"""Numeric side of stieltjes: compile, solve, certify, simulate, compare, report.

Reads declarations, Programs and sources from ``derive``; imports run one way only.
"""

from typing import TYPE_CHECKING

from derive.public import on_first_use

if TYPE_CHECKING:
    from numeric.averaged import averaging_error as averaging_error
    from numeric.best_ridge import best_ridge as best_ridge
    from numeric.best_ridge import noise_threshold as noise_threshold
    from numeric.certify import certify as certify
    from numeric.compare import compare as compare
    from numeric.compiled import compile as compile
    from numeric.elementary import elementary as elementary
    from numeric.enclosures import enclosures as enclosures
    from numeric.experiments.convex_readout import simulate_readout as simulate_readout
    from numeric.experiments.deep_features import simulate as simulate
    from numeric.experiments.embedding import embedding_family as embedding_family
    from numeric.experiments.local_recovery import exponent_law as exponent_law
    from numeric.experiments.local_recovery import hessian_rank as hessian_rank
    from numeric.experiments.matrices import sample as sample
    from numeric.experiments.outliers import sample_outliers as sample_outliers
    from numeric.experiments.small_start import small_start as small_start
    from numeric.kernels import compile_kernel as compile_kernel
    from numeric.outliers import find_outliers as find_outliers
    from numeric.population import Population as Population
    from numeric.population import population as population
    from numeric.population import predict_learning_curve as predict_learning_curve
    from numeric.populations.networks import network as network
    from numeric.proximal_map import proximal_map as proximal_map
    from numeric.reference import reference as reference
    from numeric.regularity import refuse_irregular as refuse_irregular
    from numeric.report import report as report
    from numeric.ridge_readout_theory import ridge_curve as ridge_curve
    from numeric.selftest import self_test as self_test
    from numeric.solution import Solution as Solution
    from numeric.solution import Status as Status
    from numeric.spectral_functions import Modes as Modes
    from numeric.split_rules import mean_function as mean_function
    from numeric.split_rules import split_rule as split_rule
    from numeric.state_evolution import state_evolution as state_evolution
    from numeric.tangent import compile_tangent as compile_tangent

_HOMES = {
    "Modes": "numeric.spectral_functions",
    "Population": "numeric.population",
    "Solution": "numeric.solution",
    "Status": "numeric.solution",
    "averaging_error": "numeric.averaged",
    "best_ridge": "numeric.best_ridge",
    "certify": "numeric.certify",
    "compare": "numeric.compare",
    "compile": "numeric.compiled",
    "compile_kernel": "numeric.kernels",
    "compile_tangent": "numeric.tangent",
    "elementary": "numeric.elementary",
    "embedding_family": "numeric.experiments.embedding",
    "enclosures": "numeric.enclosures",
    "exponent_law": "numeric.experiments.local_recovery",
    "find_outliers": "numeric.outliers",
    "hessian_rank": "numeric.experiments.local_recovery",
    "mean_function": "numeric.split_rules",
    "network": "numeric.populations.networks",
    "noise_threshold": "numeric.best_ridge",
    "population": "numeric.population",
    "predict_learning_curve": "numeric.population",
    "proximal_map": "numeric.proximal_map",
    "reference": "numeric.reference",
    "refuse_irregular": "numeric.regularity",
    "report": "numeric.report",
    "ridge_curve": "numeric.ridge_readout_theory",
    "sample": "numeric.experiments.matrices",
    "sample_outliers": "numeric.experiments.outliers",
    "self_test": "numeric.selftest",
    "simulate": "numeric.experiments.deep_features",
    "simulate_readout": "numeric.experiments.convex_readout",
    "small_start": "numeric.experiments.small_start",
    "split_rule": "numeric.split_rules",
    "state_evolution": "numeric.state_evolution",
}

__all__ = [
    "Modes",
    "Population",
    "Solution",
    "Status",
    "averaging_error",
    "best_ridge",
    "certify",
    "compare",
    "compile",
    "compile_kernel",
    "compile_tangent",
    "elementary",
    "embedding_family",
    "enclosures",
    "exponent_law",
    "find_outliers",
    "hessian_rank",
    "mean_function",
    "network",
    "noise_threshold",
    "population",
    "predict_learning_curve",
    "proximal_map",
    "reference",
    "refuse_irregular",
    "report",
    "ridge_curve",
    "sample",
    "sample_outliers",
    "self_test",
    "simulate",
    "simulate_readout",
    "small_start",
    "split_rule",
    "state_evolution",
]

on_first_use(__name__, _HOMES)
