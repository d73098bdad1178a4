"""Symbolic side of stieltjes: declarations, Gaussian calculus, equations, Programs.

Knows SymPy and exact arithmetic; never NumPy, and never the package ``numeric``.
"""

from typing import TYPE_CHECKING

from derive.public import on_first_use

if TYPE_CHECKING:
    from derive.activation import Activation as Activation
    from derive.channels import ConvexReadout as ConvexReadout
    from derive.channels import Linear as Linear
    from derive.channels import Logistic as Logistic
    from derive.channels import Sign as Sign
    from derive.errors import DeriveError as DeriveError
    from derive.expectation import Expectation as Expectation
    from derive.gaussian import expect as expect
    from derive.losses import Loss as Loss
    from derive.model_rank import model_rank as model_rank
    from derive.piecewise_rank import piecewise_rank as piecewise_rank
    from derive.printing.python_code import python_source as python_source
    from derive.reader import read_expression as read_expression
    from derive.readouts.power_laws import Capacity as Capacity
    from derive.readouts.ridge_limits import infinite_data as infinite_data
    from derive.readouts.ridge_limits import peak_law as peak_law
    from derive.readouts.ridge_limits import ridgeless as ridgeless
    from derive.symbols import control as control
    from derive.symbols import rho as rho
    from derive.symbols import z as z
    from derive.system import System as System
    from derive.value import Kind as Kind
    from derive.value import Value as Value

_HOMES = {
    "Activation": "derive.activation",
    "Capacity": "derive.readouts.power_laws",
    "ConvexReadout": "derive.channels",
    "DeriveError": "derive.errors",
    "Expectation": "derive.expectation",
    "Kind": "derive.value",
    "Linear": "derive.channels",
    "Logistic": "derive.channels",
    "Loss": "derive.losses",
    "Sign": "derive.channels",
    "System": "derive.system",
    "Value": "derive.value",
    "control": "derive.symbols",
    "expect": "derive.gaussian",
    "infinite_data": "derive.readouts.ridge_limits",
    "model_rank": "derive.model_rank",
    "peak_law": "derive.readouts.ridge_limits",
    "piecewise_rank": "derive.piecewise_rank",
    "python_source": "derive.printing.python_code",
    "read_expression": "derive.reader",
    "rho": "derive.symbols",
    "ridgeless": "derive.readouts.ridge_limits",
    "z": "derive.symbols",
}

__all__ = [
    "Activation",
    "Capacity",
    "ConvexReadout",
    "DeriveError",
    "Expectation",
    "Kind",
    "Linear",
    "Logistic",
    "Loss",
    "Sign",
    "System",
    "Value",
    "control",
    "expect",
    "infinite_data",
    "model_rank",
    "peak_law",
    "piecewise_rank",
    "python_source",
    "read_expression",
    "rho",
    "ridgeless",
    "z",
]

on_first_use(__name__, _HOMES)
