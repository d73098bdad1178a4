"""SymPy expressions as straight-line programs over complex balls.

Stage: between expressions and rigorous numbers. ``compile_ball`` turns an expression into a
callable on complex balls (python-flint ``acb``) that contains the true value and, when asked for,
proves that the function is holomorphic on the ball; that second promise is what rigorous
quadrature needs. A constant expression is the case without a variable.

Convention: a real function with kinks (Abs, Max, sign, Piecewise ...) is continued to complex
arguments branch by branch, the branch being chosen by the real part. Where the branch is not
certain the answer is not finite if holomorphy was asked for, and the union of the branches if not.

Custom SymPy classes join in by two methods:

``_ball(self, evaluate, prec) -> arb``
    the value of a constant object. ``evaluate`` is an ``Evaluation``: ``evaluate(expr)`` gives the
    ball of an argument, ``evaluate.doubt(reason)`` says that the returned ball is not proved.
``_acb(self, args, analytic) -> acb``
    optional: the value on complex balls ``args`` (one per argument) of an object that depends on
    the variable; not finite where ``analytic`` is asked for and cannot be promised.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flint import acb, arb, ctx, fmpq, fmpz_poly
from sympy import Basic, Expr, Float, Or, Rational, S, Symbol, true
from sympy.polys.rootoftools import ComplexRootOf

from derive.enclosing.ball_operations import NAN, Rule, conditions, functions, power
from derive.errors import NotClosedError, NotSupportedError

BallFunction = Callable[[acb, bool], acb]
_LOCK = threading.RLock()
_CACHE: dict[Basic, tuple[int, arb, tuple[str, ...]]] = {}
_CACHE_SIZE = 4096


@contextmanager
def working_precision(bits: int) -> Iterator[None]:
    """Set the precision of balls in this block; only one thread at a time may be inside."""
    with _LOCK:
        before = ctx.prec
        ctx.prec = bits
        try:
            yield
        finally:
            ctx.prec = before


class Evaluation:
    """Evaluation of constants at one working precision, with the doubts met on the way.

    Attributes:
        prec: working precision in bits.
        doubts: reasons why the results are not proved; empty when they are.
    """

    def __init__(self, prec: int) -> None:
        self.prec = prec
        self.doubts: list[str] = []

    def doubt(self, reason: str) -> None:
        """Record that what is being computed is not proved."""
        if reason not in self.doubts:
            self.doubts.append(reason)

    def complex(self, expr: Expr) -> acb:
        """Return the complex ball of a constant expression."""
        return _program(expr, None).bind(self)(NAN, False)

    def __call__(self, expr: Expr) -> arb:
        """Return the real ball of a constant expression; not finite if it is not real."""
        value = self.complex(expr)
        return value.real if value.imag.contains(0) else arb.nan()

    def custom(self, expr: Any) -> arb:
        """Return the ball of an object with a ``_ball`` method, computed once per precision."""
        prec, value, doubts = _CACHE.get(expr, (0, arb.nan(), ()))
        if prec < self.prec:
            inner = Evaluation(self.prec)
            value = expr._ball(inner, self.prec)
            doubts = tuple(inner.doubts)
            if len(_CACHE) >= _CACHE_SIZE:
                _CACHE.pop(next(iter(_CACHE)))
            _CACHE[expr] = (self.prec, value, doubts)
        for reason in doubts:
            self.doubt(reason)
        return value


@dataclass(frozen=True)
class _Operation:
    """One line: ``rule`` applied to the values of earlier lines; None for the variable."""

    node: Basic
    rule: Rule | None
    arguments: tuple[int, ...]
    varies: bool


@dataclass(frozen=True)
class _Program:
    lines: tuple[_Operation, ...]

    def bind(self, evaluation: Evaluation) -> BallFunction:
        """Evaluate the constant lines once, and return the function of the variable."""
        values: list[Any] = [NAN] * len(self.lines)
        varying = []
        for i, line in enumerate(self.lines):
            if line.varies:
                varying.append((i, line.rule, line.arguments))
            else:
                values[i] = _constant(line, values, evaluation)
        last = len(values) - 1

        def run(x: acb, analytic: bool) -> acb:
            for i, rule, arguments in varying:
                values[i] = x if rule is None else rule([values[j] for j in arguments], analytic)
            return values[last]

        return run


def _constant(line: _Operation, values: list[Any], evaluation: Evaluation) -> Any:
    if line.rule is None:
        return _atom(line.node, evaluation)
    return line.rule([values[j] for j in line.arguments], False)


def _atom(node: Basic, evaluation: Evaluation) -> acb:
    if hasattr(node, "_ball"):
        return acb(evaluation.custom(node))
    if isinstance(node, Rational):
        return acb(arb(fmpq(int(node.p), int(node.q))))
    if isinstance(node, Float):
        return _atom(Rational(node), evaluation)
    if isinstance(node, ComplexRootOf):
        return _root(node)
    return _CONSTANTS[node]()


def _root(node: Any) -> acb:
    """Return a real root of a polynomial; SymPy counts them from the left, before complex ones."""
    if not node.is_real:
        raise NotSupportedError(f"a rigorous number of {node}", "not real", "use a real root")
    coefficients = [int(c) for c in reversed(node.poly.all_coeffs())]
    pairs: Any = fmpz_poly(coefficients).complex_roots()
    found = [root for root, _ in pairs if root.imag.is_zero()]
    return acb(sorted(found, key=lambda root: float(root.real.mid()))[node.index])


_CONSTANTS: dict[Basic, Callable[[], acb]] = {
    S.Pi: acb.pi,
    S.Exp1: lambda: acb(arb.const_e()),
    S.ImaginaryUnit: lambda: acb(0, 1),
    S.EulerGamma: lambda: acb(arb.const_euler()),
    S.Catalan: lambda: acb(arb.const_catalan()),
    S.GoldenRatio: lambda: (1 + acb(5).sqrt()) / 2,
    S.NaN: lambda: NAN,
    S.Infinity: lambda: acb(arb.pos_inf()),
    S.NegativeInfinity: lambda: acb(arb.neg_inf()),
    S.ComplexInfinity: lambda: NAN,
}


class _Compiler:
    """Numbers the distinct subexpressions of an expression, each after its arguments."""

    def __init__(self, variable: Symbol | None) -> None:
        self.variable = variable
        self.lines: list[_Operation] = []
        self.index: dict[Basic, int] = {}

    def visit(self, node: Basic) -> int:
        if node not in self.index:
            line = self._line(node)
            self.index[node] = len(self.lines)
            self.lines.append(line)
        return self.index[node]

    def _line(self, node: Basic) -> _Operation:
        varies = self.variable is not None and self.variable in node.free_symbols
        if node == self.variable:
            return _Operation(node, None, (), True)
        if isinstance(node, Symbol):
            raise NotClosedError(
                "a rigorous number", f"the symbol {node} has no value", f"substitute {node}"
            )
        if not varies and (
            hasattr(node, "_ball")
            or isinstance(node, Rational | Float | ComplexRootOf)
            or node in _CONSTANTS
        ):
            return _Operation(node, None, (), False)
        rule, arguments = _rule(node)
        return _Operation(node, rule, tuple(self.visit(a) for a in arguments), varies)


def _rule(node: Basic) -> tuple[Rule, tuple[Basic, ...]]:
    """Return the rule of a node, and the expressions that it is applied to."""
    if getattr(node, "is_Pow", False):
        return power(node)
    if getattr(node, "is_Piecewise", False):
        pairs: list[Any] = list(node.args)
        flat = [part for pair in pairs for part in pair.args]
        if Or(*[pair.args[1] for pair in pairs]) == true:
            flat[-1] = true
        return conditions["Piecewise"], tuple(flat)
    if getattr(node, "bound_symbols", None):
        raise NotSupportedError(
            f"a rigorous number with {node} inside another mean",
            "the inner mean depends on the variable of the outer one",
            "write it as a mean over two correlated normals",
        )
    if hasattr(node, "_acb"):
        return node._acb, node.args
    name = type(node).__name__
    table = functions if name in functions else conditions
    if name not in table:
        raise NotSupportedError(
            f"a rigorous number of {node}",
            f"{name} is not among the functions with ball arithmetic",
            "rewrite it with " + ", ".join(sorted(functions)),
        )
    return table[name](node)


@lru_cache(maxsize=2048)
def _program(expr: Expr, variable: Symbol | None) -> _Program:
    compiler = _Compiler(variable)
    compiler.visit(expr)
    return _Program(tuple(compiler.lines))


def compile_ball(
    expr: Expr, variable: Symbol, evaluation: Evaluation | None = None
) -> BallFunction:
    """Return a function ``(x, analytic) -> acb`` that encloses ``expr`` at ``variable = x``.

    Args:
        expr: expression whose only free symbol is ``variable``.
        variable: the symbol that varies.
        evaluation: how constants are evaluated; at the current precision of balls if None.

    Raises:
        NotClosedError: if another symbol is free.
        NotSupportedError: if a function has no ball arithmetic; the message names it.

    Accuracy: the ball contains the value; with ``analytic`` it is finite only where the expression
        is holomorphic on the whole of ``x``.

    Example:
        >>> from flint import acb, arb
        >>> from sympy import Abs, Symbol
        >>> z = Symbol("z", real=True)
        >>> f = compile_ball(Abs(z), z)
        >>> f(acb(-2), True), f(acb(arb(0, 1)), True).is_finite()
        (2.00000000000000, False)
    """
    return _program(expr, variable).bind(evaluation or Evaluation(ctx.prec))
