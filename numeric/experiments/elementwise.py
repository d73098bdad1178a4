r"""Apply an activation, a SymPy expression in ``z``, to an array of numbers.

Stage: the experiments read the same declaration as the derivation; this room turns its expressions
into array operations by walking the tree, so nothing is printed, parsed or executed as text.
Constants of the expression (sub-expressions without ``z``, such as the mean that a declaration
removes) are evaluated once, by ``float``.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy import special
from sympy import Expr

from derive.errors import NotConvergedError, NotSupportedError
from derive.symbols import z

Array = NDArray[np.float64]
Node = Any  # a SymPy expression, relation or boolean

_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "exp": np.exp,
        "log": np.log,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tanh": np.tanh,
        "asinh": np.arcsinh,
        "erf": special.erf,
        "erfc": special.erfc,
        "erfinv": special.erfinv,
        "gamma": special.gamma,
        "sign": np.sign,
        "Abs": np.abs,
        "Not": np.logical_not,
        "sech": lambda x: 1 / np.cosh(x),
        "floor": np.floor,
    }
)
_FOLDS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "Add": np.add,
        "Mul": np.multiply,
        "Max": np.maximum,
        "Min": np.minimum,
        "And": np.logical_and,
        "Or": np.logical_or,
        "StrictGreaterThan": np.greater,
        "StrictLessThan": np.less,
        "GreaterThan": np.greater_equal,
        "LessThan": np.less_equal,
        "Equality": np.equal,
        "Unequality": np.not_equal,
    }
)
_LARGEST_PRODUCT = 8  # integer powers up to here are products, which are faster than ``power``


def apply(expression: Expr, values: Array) -> Array:
    """Return an activation applied to each entry of an array.

    Args:
        expression: expression in ``derive.symbols.z``; its other parts must be numbers.
        values: array of any shape.

    Returns:
        Array of the same shape.

    Raises:
        NotSupportedError: if the expression holds a function that has no array form here.
        NotConvergedError: if a result is not finite.

    Accuracy: a few units in the last place per operation of the expression; cancellation inside
    the expression (``1 - erf(z)`` at large ``z``) is not repaired.

    Example:
        >>> import numpy as np
        >>> apply(z**2 + 1, np.array([0.0, 2.0]))
        array([1., 5.])
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        result = np.broadcast_to(_evaluate(_numbers_first(expression), values, {}), values.shape)
        finite = bool(np.isfinite(result.sum()))
    if not finite:
        spread = f"arguments between {values.min():.3g} and {values.max():.3g}"
        raise NotConvergedError(
            f"activation {expression}", f"not finite at {spread}", "use one that does not overflow"
        )
    return np.asarray(result, dtype=float)


@lru_cache(maxsize=256)
def _numbers_first(expression: Expr) -> Node:
    """Replace every maximal sub-expression without ``z`` by its number."""
    return _constants(sympy.sympify(expression, strict=True))


def _constants(node: Node) -> Node:
    if node.is_Number or node in (sympy.true, sympy.false):
        return node
    if z not in node.free_symbols and isinstance(node, Expr):
        return sympy.Float(float(node))
    return node.func(*map(_constants, node.args)) if node.args else node


def _evaluate(node: Node, values: Array, known: dict[Node, Any]) -> Any:
    if node not in known:
        known[node] = _operation(node, values, known)
    return known[node]


def _operation(node: Node, values: Array, known: dict[Node, Any]) -> Any:
    if node == z:
        return values
    if node.is_Number:
        return float(node)
    if node in (sympy.true, sympy.false):
        return bool(node)
    name = node.func.__name__
    if name == "Piecewise":
        return _pieces(node, values, known)
    arguments = [_evaluate(argument, values, known) for argument in node.args]
    if name == "Pow":
        return _power(arguments[0], arguments[1])
    if name == "Heaviside":
        return np.heaviside(arguments[0], arguments[1] if len(arguments) > 1 else 0.5)
    if name in _FOLDS:
        return reduce(_FOLDS[name], arguments)
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](arguments[0])
    raise NotSupportedError(
        f"sample a network with {name}(...)",
        "this function has no array form here",
        f"use {', '.join(sorted(_FUNCTIONS))}, Max, Min, Heaviside or Piecewise",
    )


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, float) and exponent.is_integer():
        size = int(abs(exponent))
        if size <= _LARGEST_PRODUCT:
            product = reduce(np.multiply, [base] * size) if size else 1.0
            return product if exponent >= 0 else 1 / product
    if exponent == 0.5:
        return np.sqrt(base)
    return np.power(base, exponent)


def _pieces(node: Node, values: Array, known: dict[Node, Any]) -> Any:
    """Evaluate each branch only where its condition is the first to hold."""
    result = np.full(values.shape, np.nan)
    free = np.ones(values.shape, dtype=bool)
    for branch, condition in node.args:
        here = free & np.broadcast_to(_evaluate(condition, values, known), values.shape)
        if here.any():
            result[here] = _evaluate(branch, values[here], {})
        free &= ~here
    return result
