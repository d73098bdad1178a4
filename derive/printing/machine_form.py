"""Systems with their elementary functions in the form that machines evaluate well.

Stage: between Systems and Programs. A Program is evaluated in floating point, so what a System says
about elementary functions is written in the form that keeps digits, and so that error bounds hold:

* ``log(1 + x)`` becomes ``log1p(x)``, ``exp(x) - 1`` becomes ``expm1(x)`` and ``log(1 + exp(x))``
  becomes ``softplus(x)`` (``derive.printing.machine_functions``);
* reciprocal functions (``sech``, ``coth``, ``cot``, ...) become quotients;
* each function gets a line of its own, and so does an argument that is an expression. First-order
  bounds go line by line (``derive.printing.partials``): the rounding of ``-1/x`` in ``exp(-1/x)``
  is multiplied by 1/x, and the rounding of ``erf(x)`` in ``1/(1 - erf(x))`` by the quotient, both
  of which a bound of the whole expression would miss;
* so does a difference inside a product or a power, whose terms may be larger than the product.

Functions inside Piecewise stay there: a branch that is not taken may lie outside their domain.
"""

from dataclasses import replace
from typing import Any

from sympy import (
    Add,
    Expr,
    Function,
    Integer,
    Mul,
    Piecewise,
    Pow,
    Symbol,
    cos,
    cosh,
    cot,
    coth,
    csc,
    csch,
    exp,
    log,
    sec,
    sech,
    sin,
    sinh,
    tan,
    tanh,
)

from derive.block import Line, fresh, symbols_of
from derive.printing.machine_functions import expm1, function_name, log1p, softplus
from derive.system import System

_QUOTIENTS = {
    sech: lambda x: 1 / cosh(x),
    csch: lambda x: 1 / sinh(x),
    coth: lambda x: 1 / tanh(x),
    sec: lambda x: 1 / cos(x),
    csc: lambda x: 1 / sin(x),
    cot: lambda x: 1 / tan(x),
}


def machine_form(system: System) -> System:
    """Return a System with its functions in the form of this module; the same if it has none."""
    exprs = [e for _, e in system.definitions] + [e.rhs for e in system.equations]
    if not any(_has_functions(e) for e in (*exprs, *system.outputs.values())):
        return system
    separated = _Separated(system)
    definitions = [separated.line(s, e) for s, e in system.definitions]
    lines = [line for group in definitions for line in group]
    equations = []
    for equation in system.equations:
        new, rhs = separated(equation.rhs)
        lines += new
        equations.append(replace(equation, rhs=rhs))
    outputs = {}
    for name, expr in system.outputs.items():
        new, outputs[name] = separated(expr)
        lines += new
    return replace(system, definitions=tuple(lines), equations=tuple(equations), outputs=outputs)


def _has_functions(expr: Expr) -> bool:
    return any(function_name(e) or type(e) in _QUOTIENTS for e in expr.atoms(Function, Pow))


class _Separated:
    """Separates functions; equal ones share a line."""

    def __init__(self, system: System) -> None:
        names = {s.name for s in (*system.controls, *system.unknowns)}
        names |= {s.name for s, _ in (*system.constants, *system.definitions)}
        self._taken, self._count = names, 0
        self._known: dict[Expr, Symbol] = {}
        self._new: list[Line] = []

    def line(self, symbol: Symbol, expr: Expr) -> list[Line]:
        """Return the lines that replace a definition."""
        self._new = []
        found = self._written(expr)
        if self._new and self._new[-1][0] == found:  # the definition is that function itself
            _, value = self._new.pop()
            del self._known[value]
            self._known[value] = symbol
            return [*self._new, (symbol, value)]
        return [*self._new, (symbol, found)]

    def __call__(self, expr: Expr) -> tuple[list[Line], Expr]:
        """Return the lines that an expression needs, and what is left of it."""
        self._new = []
        found = self._written(expr)
        return self._new, found

    def _written(self, expr: Any) -> Expr:
        if not expr.args:
            return expr
        if isinstance(expr, Piecewise):
            return _in_place(expr)
        if type(expr) in _QUOTIENTS:
            return self._written(_QUOTIENTS[type(expr)](expr.args[0]))
        ready = _kept_digits(expr)
        rebuilt = ready.func(*(self._written(a) for a in ready.args))
        if not function_name(rebuilt):
            return self._factored(rebuilt)
        args = (self._named(a, "argument") for a in rebuilt.args)
        return self._named(rebuilt.func(*args), "function")

    def _factored(self, expr: Any) -> Expr:
        """Return a product or power with a line for each difference in it."""
        if not isinstance(expr, Mul | Pow):
            return expr
        args = (self._named(a, "difference") if _may_cancel(a) else a for a in expr.args)
        return expr.func(*args)

    def _named(self, expr: Any, name: str) -> Expr:
        plain = -expr if expr.could_extract_minus_sign() and name == "argument" else expr
        if plain.is_Symbol or not symbols_of(expr):
            return expr
        if expr not in self._known:
            while f"{name}_{self._count}" in self._taken:
                self._count += 1
            self._known[expr] = fresh(f"{name}_{self._count}")
            self._count += 1
            self._new.append((self._known[expr], expr))
        return self._known[expr]


def _in_place(expr: Any) -> Any:
    """Write functions without lines of their own."""
    if not expr.args:
        return expr
    if type(expr) in _QUOTIENTS:
        return _in_place(_QUOTIENTS[type(expr)](expr.args[0]))
    ready = _kept_digits(expr)
    return ready.func(*(_in_place(a) for a in ready.args))


def _may_cancel(expr: Any) -> bool:
    return isinstance(expr, Add) and any(t.could_extract_minus_sign() for t in expr.args)


def _kept_digits(expr: Any) -> Any:
    """Write a logarithm or a sum without the difference that would lose digits."""
    if isinstance(expr, log):
        argument = expr.args[0]
        rest = argument - 1
        if not (isinstance(argument, Add) and Integer(1) in argument.args):
            return expr
        return softplus(rest.args[0]) if isinstance(rest, exp) else log1p(rest)
    if not isinstance(expr, Add):
        return expr
    number, terms = expr.as_coeff_add()
    for term in terms:
        factor, rest = term.as_coeff_Mul()
        if isinstance(rest, exp) and number != 0 and factor == -number:
            return Add(factor * expm1(rest.args[0]), *(t for t in terms if t != term))
    return expr
