"""Numeric side of stieltjes: compile, solve, certify, simulate, compare, report.

Reads declarations, Programs and sources from ``derive``; imports run one way only.
"""

from numeric.compare import compare as compare
from numeric.compiled import compile as compile
from numeric.experiments.deep_features import simulate as simulate
from numeric.reference import reference as reference
from numeric.report import report as report
from numeric.solution import Solution as Solution
from numeric.solution import Status as Status

__all__ = ["Solution", "Status", "compare", "compile", "reference", "report", "simulate"]
